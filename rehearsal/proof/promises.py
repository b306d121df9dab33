"""What Drydock promises of a run, whatever happens to it, judged by what is there when all is over."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.engine.deployment import Stack
from rehearsal.engine.messages import Message
from rehearsal.ledger import find_unfinished, read_items
from rehearsal.world.fleet import Fleet, Machine
from rehearsal.world.machines import REBOOTED_FROM_INSIDE

_INSTANCE_ID = re.compile(r"\bi-[0-9a-f]{17}\b")

MOST_EVENTS = 2_500
"""A tenth of what Step Functions allows an execution."""

_NOTHING_LEFT = dict.fromkeys(
    ("suspects", "untold", "images", "deadRuns", "untoldRuns", "unfinishedReports", "standing", "unreadable"), 0
)


@dataclass(frozen=True)
class Allowance:
    """What a disturbance excuses.

    `repeats` is how many messages may have been sent once more, `stopped` when nobody might begin any more, and
    `in_flight` how many machines may have begun after that all the same. A `silent` run may be unknown: it died before
    it did anything, and the event of its death was lost.
    """

    repeats: int = 0
    stopped: datetime | None = None
    in_flight: int = 0
    silent: bool = False


class _Facts:
    """All that can be seen of a run from outside."""

    def __init__(self, account: EmbeddedAccount, fleet: Fleet, stack: Stack, run_id: str) -> None:
        self.account = account
        self.fleet = fleet
        self.stack = stack
        self.run_id = run_id
        self.items = read_items(account, stack)
        self.run = next((item for item in self.items if (item["pk"], item["sk"]) == (f"RUN#{run_id}", "RUN")), {})
        executions = account.executions()
        self.executions = [view for view in executions if _is_of_run(account, view, run_id)]
        self.children = [view for view in self.executions if view.machine.endswith("-PatchInstance")]
        self.plan = self._read(str(self.run.get("planKey", "")))
        self.report = self._read(str(self.run.get("reportKey", "")))

    def messages(self, kind: str) -> list[Message]:
        """What people were told of this kind."""
        return [
            message
            for message in self.account.messages
            if message.attributes.get("kind") == kind and message.attributes.get("run") == self.run_id
        ]

    def _read(self, key: str) -> dict[str, Any]:
        if not key:
            return {}
        answer = self.account.client("s3").get_object(Bucket=self.stack.resource("LogBucket"), Key=key)
        content: dict[str, Any] = json.loads(answer["Body"].read())
        return content


def _is_of_run(account: EmbeddedAccount, view: ExecutionView, run_id: str) -> bool:
    if view.machine.endswith("-PatchInstance"):
        return isinstance(view.input, dict) and view.input.get("runId") == run_id
    if "/" in view.machine and view.parent is not None:
        view = account.execution(view.parent)
    return view.name == run_id


def broken_promises(
    account: EmbeddedAccount, fleet: Fleet, stack: Stack, run_id: str, allowance: Allowance | None = None
) -> list[str]:
    """All that is not as Drydock promises. Call it when all is quiet; it makes passes of `give_back` of its own."""
    facts, allowed = _Facts(account, fleet, stack, run_id), allowance or Allowance()
    return [
        *_judge_executions(facts, allowed),
        *(broken for machine in fleet.machines for broken in find_ill_treatment(fleet, machine)),
        *_judge_records(facts, allowed),
        *_judge_messages(facts, allowed),
        *find_work_left(account, stack, {"runId": facts.run_id}),
    ]


def _judge_executions(facts: _Facts, allowed: Allowance) -> Iterator[str]:
    for view in facts.executions:
        if view.status == "RUNNING":
            yield f"execution {view.machine}:{view.name} still runs"
        yield from judge_history(view.machine, view.name, len(view.events))
    started = Counter(str(view.input.get("instanceId")) for view in facts.children)
    for instance_id, count in started.items():
        if count > 1:
            yield f"{instance_id} was started {count} times"
    if allowed.stopped is not None:
        late = [view.name for view in facts.children if view.started > allowed.stopped]
        if len(late) > allowed.in_flight:
            yield f"{len(late)} machines began after the stop, {allowed.in_flight} were in flight: {late}"


def judge_history(machine: str, name: str, events: int) -> Iterator[str]:
    """Say whether an execution's history is longer than it may be."""
    if events > MOST_EVENTS:
        yield f"execution {machine}:{name} has {events} events"


def find_ill_treatment(fleet: Fleet, machine: Machine, *, most: int = 1) -> Iterator[str]:
    """Say whether a machine has another power than it was found with, and what was done more than `most` times."""
    if machine.power != machine.spec.power:
        yield f"{machine.name}: power found {machine.spec.power}, left {machine.power}"
    yield from find_cuts(machine)
    yield from find_repeated_work(fleet, machine, most=most)
    powers = Counter(power for _, power in machine.power_log)
    for power in ("pending", "stopping"):
        if powers[power] > most:
            yield f"{machine.name}: {powers[power]} times {power}"


def find_cuts(machine: Machine) -> Iterator[str]:
    """Say which commands lost the power under their work.

    A probe that asks whether anything installs may lose it to what does: an installation that reboots the machine.
    """
    for cut in machine.interrupted:
        if cut.installs or not cut.document.endswith("-Probe") or cut.cause != REBOOTED_FROM_INSIDE:
            yield f"{machine.name}: interrupted {cut}"


def find_repeated_work(fleet: Fleet, machine: Machine, *, most: int = 1) -> Iterator[str]:
    """Say which images and commands of a machine were made too often, and that a command is at work when all is over.

    An image is found again however often its execution was begun anew.
    """
    images = fleet.images.of_machine(machine)
    moments = Counter(fleet.tags(image.image_id).get("DrydockMoment", "?") for image in images)
    for moment, count in moments.items():
        if count > 1:
            yield f"{machine.name}: {count} images {moment}"
    sent = fleet.run_command.list_visible(None, machine.instance_id)
    for comment, count in Counter(command.request["Comment"] for command in sent).items():
        if count > most:
            yield f"{machine.name}: {count} commands {comment!r}"
    if any(not invocation.over for command in sent for invocation in command.invocations):
        yield f"{machine.name}: a command is still at work"


def find_left(items: Sequence[Mapping[str, Any]], *, repeats: int) -> Iterator[str]:
    """Say which of Drydock's items still ask for something. With `repeats`, a message may be on its way still."""
    yield from find_unfinished(items)
    for item in items:
        if item["pk"].startswith("TOLD#") and not item["told"] and not repeats:
            yield f"mark {item['pk']} {item['sk']} is not told"


def find_unreadable(messages: Iterable[Message]) -> Iterator[str]:
    """Say which messages are not made for people."""
    for message in messages:
        subject = message.subject or ""
        if "\n" in subject or not 0 < len(subject) < 100:
            yield f"subject {subject!r} is not one line of less than 100 characters"
        if '{"' in message.body or "Traceback" in message.body:
            yield f"nobody can read {message.body!r}"


def find_work_left(account: EmbeddedAccount, stack: Stack, subject: Mapping[str, str]) -> Iterator[str]:
    """Say what a further pass of `give_back` finds to do, for its subject and for all."""
    for event, expected in ((subject, {"move": "nothing"}), ({}, _NOTHING_LEFT)):
        outcome = account.functions.invoke(stack.resource("GiveBackFunction"), json.dumps(event))
        if outcome.failed or json.loads(outcome.payload) != expected:
            yield f"a further pass: {outcome.payload}"


def _judge_records(facts: _Facts, allowed: Allowance) -> Iterator[str]:
    yield from find_left(facts.items, repeats=allowed.repeats)
    if not facts.run:
        if not allowed.silent:
            yield "nothing is known of the run"
        if facts.children:
            yield "nothing is known of a run that has started machines"
        return
    if facts.run.get("phase") != "ENDED":
        yield f"the run is {facts.run.get('phase')}"
    if not facts.report:
        if not any("There is no report: it could not be stored." in message.body for message in facts.messages("run")):
            yield "there is no report, and nobody says so"
        return
    if facts.report["outcome"] != facts.run["outcome"]:
        yield f"the report says {facts.report['outcome']}, the table {facts.run['outcome']}"
    yield from _judge_outcomes(facts)


def _judge_outcomes(facts: _Facts) -> Iterator[str]:
    """Exactly one true outcome for every planned machine, and none for others."""
    reported = facts.report["machines"]
    ids = [machine["instanceId"] for machine in reported]
    planned = [machine["instanceId"] for machine in facts.plan.get("machines", [])]
    if Counter(ids) != Counter(planned):
        yield f"outcomes of {ids}, planned were {planned}"
    counted = Counter(machine["outcome"] for machine in reported)
    if {name: count for name, count in facts.report["counts"].items() if count} != dict(counted):
        yield f"counts {facts.report['counts']} of {counted}"
    results = {
        item["instanceId"]: item
        for item in facts.items
        if item["sk"].startswith("RESULT#") and item.get("runId") == facts.run_id
    }
    children = {str(view.input.get("instanceId")): view for view in facts.children}
    for outcome in reported:
        yield from _judge_outcome(facts, outcome, results, children)


def _judge_outcome(
    facts: _Facts,
    outcome: Mapping[str, Any],
    results: Mapping[str, Mapping[str, Any]],
    children: Mapping[str, ExecutionView],
) -> Iterator[str]:
    instance_id, said = outcome["instanceId"], outcome["outcome"]
    machine = facts.fleet.machine(instance_id)
    child, result = children.get(instance_id), results.get(instance_id)
    if said == "not_attempted":
        if child is not None:
            yield f"{machine.name}: not attempted, but its execution is {child.status}"
        if machine.boots != 1 or facts.fleet.run_command.list_visible(None, instance_id):
            yield f"{machine.name}: not attempted, but touched"
        if not outcome["cause"] and facts.report["outcome"] != "planned":
            yield f"{machine.name}: not attempted, and nobody knows why"
        return
    if child is None:
        yield f"{machine.name}: {said}, but it was never started"
        return
    if said == "succeeded" and (machine.missing or child.status != "SUCCEEDED"):
        yield f"{machine.name}: {said}, but {machine.missing} are missing and its execution is {child.status}"
    if said == "failed" and child.status == "SUCCEEDED":
        yield f"{machine.name}: {said}, but its execution succeeded"
    if result is not None and result["endedAt"] > facts.report["endedAt"]:
        yield f"{machine.name}: given back at {result['endedAt']}, after the report of {facts.report['endedAt']}"
    if result is not None and result["outcome"] == "succeeded" and said != "succeeded" and child.status == "SUCCEEDED":
        yield f"{machine.name}: {said}, but its result is {result['outcome']}"


def _judge_messages(facts: _Facts, allowed: Allowance) -> Iterator[str]:
    summaries = facts.messages("run")
    least = 0 if allowed.silent and not facts.run else 1
    if not least <= len(summaries) <= 1 + allowed.repeats:
        yield f"{len(summaries)} summaries: {[message.subject for message in summaries]}"
    about = Counter(
        instance_id
        for message in facts.messages("machine")
        for instance_id in set(_INSTANCE_ID.findall(message.body))
        if facts.fleet.knows(instance_id)
    )
    for instance_id, count in about.items():
        if count > 1 + allowed.repeats:
            yield f"{instance_id}: people were told {count} times"
    yield from find_unreadable((*summaries, *facts.messages("machine")))
    for summary in summaries:
        if facts.report and summary.attributes.get("outcome") != facts.report["outcome"]:
            yield f"people are told {summary.attributes.get('outcome')}, the report says {facts.report['outcome']}"
