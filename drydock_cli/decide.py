"""`drydock approve` and `drydock reject`: decide on exactly the plan that is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from drydock.aws.table import Item
from drydock.records.runs import ENDED
from drydock_cli.exit_codes import FAILED, TO_DO
from drydock_cli.judging import hash_of_plan
from drydock_cli.problems import CommandError
from drydock_cli.showing import brief, error_line, show_plan, words
from drydock_cli.stack import Stack
from drydock_cli.terminal import Terminal

_MOST_SHOWN = 50
_FORBIDDEN, _BROKEN = 403, 500


def decide(
    stack: Stack, terminal: Terminal, run_id: str, decision: Literal["approve", "reject"], reason: str, is_sure: bool
) -> int:
    """Show a plan and its hash, ask, and post the decision."""
    if not is_sure and (terminal.is_json or not terminal.can_ask):
        raise CommandError("nobody can be asked here: look at the plan first, then decide with --yes", TO_DO)
    if stack.output("ApprovalAuth") == "LINK":
        why = f"runs of the stack {stack.name} are decided by the link in the mail to the approvers"
        raise CommandError(why, TO_DO)
    run = _find_run(stack, run_id)
    plan_hash = str(run["planHash"])
    _show(stack, terminal, run, plan_hash)
    if not is_sure and not terminal.ask(f"{decision.capitalize()} this plan?"):
        terminal.note("nothing was decided")
        return TO_DO
    status, answer = stack.decide({"runId": run_id, "hash": plan_hash, "decision": decision, "reason": reason})
    if not 200 <= status < 300:
        raise CommandError(_refusal(status, answer), FAILED if status >= _BROKEN else TO_DO)
    result, by = str(answer.get("result") or decision), str(answer.get("by") or "")
    terminal.document({"runId": run_id, "hash": plan_hash, "decision": decision, **answer})
    said = str(answer.get("message") or "")
    terminal.say_wrapped(
        f"Run {run_id}: {words(result)}" + (f", by {by}" if by else ""),
        style="good" if result == "approved" else "warn",
    )
    if said:
        terminal.say_wrapped(said, "  ")
    return 0


def _find_run(stack: Stack, run_id: str) -> Item:
    """The item of a run that has a plan."""
    run = stack.read_run(run_id).run
    if run is not None and run.get("planKey") and run.get("planHash"):
        return run
    if run is None and stack.find_execution(run_id) is None:
        raise CommandError(f"there is no run {run_id} in the stack {stack.name} in {stack.region}")
    if run is not None and run["phase"] == ENDED:
        failure = run.get("failure") or {}
        why = error_line(failure.get("error"), failure.get("cause"))
        raise CommandError(f"run {run_id} ended without a plan" + (f": {why}" if why else ""))
    raise CommandError(f"run {run_id} has no plan yet: try again in a minute")


def _show(stack: Stack, terminal: Terminal, run: Item, plan_hash: str) -> None:
    """Print the stored plan, once it is proved to be the one with this hash."""
    bucket = str(run.get("bucket") or stack.output("LogBucketName"))
    place = f"s3://{bucket}/{run['planKey']}"
    plan: Any = stack.read_json(run["planKey"], bucket)
    if plan is None:
        raise CommandError(f"{place}: the plan is not there any more")
    try:
        found = hash_of_plan(plan)
    except (KeyError, TypeError, AttributeError) as error:
        raise CommandError(f"{place} is not a plan") from error
    if found != plan_hash:
        raise CommandError(f"{place} is not the plan that was made: its hash is {found}, not {plan_hash}")
    show_plan(terminal, plan, plan_hash, _MOST_SHOWN)
    approval = run.get("approval") or {}
    if run.get("startedBy"):
        terminal.say_wrapped(f"Started by {run['startedBy']}", later="  ")
    if approval.get("until"):
        terminal.say(f"To be decided until {terminal.at_text(approval['until'])}")
    terminal.say()


def _refusal(status: int, answer: Mapping[str, Any]) -> str:
    said = brief(answer.get("message") or answer.get("Message") or "no reason is given")
    if status == _FORBIDDEN and "message" not in answer:
        # The URL itself refused: the function was not asked.
        return (
            f"not allowed ({status}): {said} (needs lambda:InvokeFunctionUrl and, only through the URL, "
            "lambda:InvokeFunction on the function of the stack's output DecideUrl)"
        )
    return f"{said} ({status})"
