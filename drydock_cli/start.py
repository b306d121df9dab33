"""`drydock run` and `drydock plan`: start a run, or only plan one."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from drydock.records.runs import PLANNING
from drydock.run.outcomes import SUCCESSES
from drydock_cli.exit_codes import FAILED, TO_DO, WELL, code_of
from drydock_cli.judging import input_mistakes
from drydock_cli.options import Account, Order
from drydock_cli.policy_file import read_policy
from drydock_cli.problems import CommandError
from drydock_cli.showing import error_line, show_plan, show_report, words
from drydock_cli.stack import RunItems, Stack
from drydock_cli.terminal import Terminal
from drydock_cli.watch import Watcher

_PLAN_SECONDS = 3
_MOST_LOOKS = 20
"""So many seconds it is looked whether a new run is refused: most plans are made by then."""
_BETWEEN_MISTAKES = re.compile(r"; (?=[a-z]\w*(?:[.\[][^ ;]*)?: )", re.IGNORECASE)
"""Each mistake begins with the path of what is wrong: `policy.backup.before: …`."""
_OF_THE_AWS_CLI = re.compile(r"Key=(?P<key>.+?),Values=(?P<values>.*)", re.DOTALL)


def run(account: Account, stack: Stack, terminal: Terminal, order: Order, interval: float | None) -> int:
    """Start a run, and watch it when there is an interval between looks."""
    given = read_input(order)
    run_id, execution = _start(stack, terminal, order, given)
    link = stack.console_link(run_id)
    if interval is not None:
        terminal.say(f"Run {run_id} has begun.", "strong")
        return Watcher(account, stack, terminal, run_id).until_the_end(interval, is_new=True)
    if refused := _find_refused(stack, terminal, run_id):
        _explain_missing_plan(account, stack, terminal, run_id, refused)
        terminal.document({"runId": run_id, "executionArn": execution, "outcome": "refused", "input": given})
        return TO_DO
    terminal.say(f"Run {run_id} has begun.", "strong")
    terminal.say(f"  Watch it: {account.again('watch', run_id)}")
    terminal.say(f"  Stop it:  {account.again('stop', run_id)}")
    terminal.say(f"  Console:  {link}")
    terminal.document({"runId": run_id, "executionArn": execution, "console": link, "input": given})
    return 0


def _find_refused(stack: Stack, terminal: Terminal, run_id: str) -> RunItems | None:
    """A run that was refused while it was planned; None for one that goes on, or of which nothing is known in time."""
    for _ in range(_MOST_LOOKS):
        try:
            found = stack.read_run(run_id)
        except (BotoCoreError, ClientError):
            # It has been started all the same: whoever watches it hears of the rest.
            return None
        run = found.run or {}
        if run.get("phase", PLANNING) != PLANNING:
            return found if run.get("outcome") == "refused" else None
        terminal.sleep(1)
    return None


def plan(account: Account, stack: Stack, terminal: Terminal, order: Order) -> int:
    """Start a run that only plans, wait for its plan and show it."""
    given = read_input(order)
    run_id, execution = _start(stack, terminal, order, given)
    found = Watcher(account, stack, terminal, run_id).wait_for_end(_PLAN_SECONDS)
    item = found.run or {}
    outcome = str(item.get("outcome", ""))
    stored = stack.read_json(item["planKey"], item.get("bucket", "")) if item.get("planKey") else None
    if stored is None or outcome not in SUCCESSES:
        _explain_missing_plan(account, stack, terminal, run_id, found)
        terminal.document({"runId": run_id, "executionArn": execution, "outcome": outcome, "plan": stored})
        return code_of(outcome, 0) or FAILED
    terminal.document(
        {
            "runId": run_id,
            "executionArn": execution,
            "outcome": outcome,
            "planHash": item["planHash"],
            "plan": stored,
        }
    )
    show_plan(terminal, stored, item["planHash"])
    terminal.say()
    code = TO_DO if stored.get("needs") else WELL
    if not stored["machines"]:
        terminal.say("There is nothing to patch." if code else "There is nothing to do.")
        return code
    policy = stored["policy"]
    minutes = str(policy.get("deadlineMinutes") or "MINUTES")
    window = stored["window"]
    if window and policy["approval"]["ahead"]:
        terminal.say_wrapped(
            f"Window {window['name']} carries it out when it opens, if it is approved by "
            f"{terminal.at_text(window['start'])}, by somebody else than who planned it:"
        )
    else:
        terminal.say("To carry it out as it is:")
        terminal.say(f"  {account.again('run', '--plan', run_id, '--minutes', minutes)}")
        terminal.say("To have it approved before that, by somebody else than who planned it:")
    terminal.say(f"  {account.again('approve', run_id)}")
    return TO_DO if stored["tooLong"] or stored.get("needs") else WELL


def _explain_missing_plan(account: Account, stack: Stack, terminal: Terminal, run_id: str, found: RunItems) -> None:
    item = found.run or {}
    report = stack.read_json(item["reportKey"], item.get("bucket", "")) if item.get("reportKey") else None
    if report is not None:
        place = f"s3://{item.get('bucket') or stack.output('LogBucketName')}/{item['reportKey']}"
        show_report(account, terminal, report, place)
    failure = item.get("failure") or {}
    why = error_line(failure.get("error"), failure.get("cause")) or "its plan is not there"
    terminal.note(f"{run_id}: {words(item.get('outcome') or 'no plan')}: {why}")


def _start(stack: Stack, terminal: Terminal, order: Order, given: dict[str, Any]) -> tuple[str, str]:
    run_id = order.name or new_run_id(terminal.now(), "plan" if order.is_only_planned else "run")
    # Before anything is asked of AWS.
    _require_acceptable(given, run_id)
    given["startedBy"] = stack.caller()
    if not order.is_only_planned and order.operation != "Scan" and terminal.can_ask and not order.is_sure:
        what = "\n".join(f"  {line}" for line in _what_is_started(order))
        if not terminal.ask(f"{what}\nStart run {run_id} on these machines of {stack.name} in {stack.region}?"):
            raise CommandError("nothing was started", TO_DO)
    # Whoever ends the command from now on knows what may have begun.
    terminal.say(f"Starting run {run_id}")
    if terminal.is_json:
        terminal.note(f"starting run {run_id}")
    return run_id, stack.start(run_id, given)


def _what_is_started(order: Order) -> list[str]:
    operation = order.operation or "Install"
    machines = [f"machines with {target}" for target in order.targets]
    machines += [f"the plan of run {order.plan}"] * bool(order.plan)
    machines += [f"what run {order.resume} left"] * bool(order.resume)
    return [f"{operation}: {', and '.join(machines)}"]


def new_run_id(now: datetime, verb: str) -> str:
    """`run-20260113T014000Z-1f2e3d`"""
    return f"{verb}-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _require_acceptable(given: Mapping[str, Any], run_id: str) -> None:
    mistakes = input_mistakes(given, run_id)
    if mistakes:
        mistakes = mistakes.replace("policy.deadlineMinutes: is", "--minutes (policy.deadlineMinutes): is")
        raise CommandError("\n".join(_BETWEEN_MISTAKES.split(mistakes)), TO_DO)


def read_input(order: Order) -> dict[str, Any]:
    """The input of the state machine."""
    given: dict[str, Any] = {}
    if sum(map(bool, (order.targets, order.plan, order.resume, order.window))) != 1:
        others = "--resume RUN" if order.is_only_planned else "--plan RUN or --resume RUN"
        raise CommandError(f"which machines? Name them with --target, or an earlier run with {others}", TO_DO)
    if order.targets:
        given["targets"] = [read_target(text) for text in order.targets]
    if order.window:
        given["window"] = {"windowId": order.window}
    for name in ("plan", "resume", "follows"):
        if value := getattr(order, name):
            given[name] = value
    if order.operation:
        given["operations"] = [order.operation]
    policy = read_policy(order.policy) if order.policy else {}
    if order.minutes is not None:
        policy["deadlineMinutes"] = order.minutes
    if policy:
        given["policy"] = policy
    if order.is_only_planned:
        given["planOnly"] = True
    return given


def read_target(text: str) -> dict[str, Any]:
    """`tag:Patch Group=web,db`, `Key=tag:Patch Group,Values=web,db`, or a JSON object where values have commas."""
    if text.lstrip().startswith("{"):
        try:
            value = json.loads(text)
        except ValueError as error:
            raise CommandError(f"--target {text}: not JSON: {error}", TO_DO) from error
        return dict(value)
    of_the_aws_cli = _OF_THE_AWS_CLI.fullmatch(text)
    if of_the_aws_cli:
        key, values = of_the_aws_cli["key"], of_the_aws_cli["values"]
    else:
        key, equals, values = text.partition("=")
        if not equals:
            raise CommandError(f"--target {text}: expected KEY=VALUE[,VALUE…], such as 'tag:Patch Group=web,db'", TO_DO)
    return {"key": key, "values": values.split(",")}
