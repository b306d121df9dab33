"""What Drydock promises of a roll through an Auto Scaling group, judged by what is there when all is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.engine.deployment import Stack
from rehearsal.engine.messages import Message
from rehearsal.ledger import read_items
from rehearsal.proof.promises import (
    MOST_EVENTS,
    find_cuts,
    find_left,
    find_repeated_work,
    find_unreadable,
    find_work_left,
)
from rehearsal.world.fleet import Fleet, Group, Machine

MEMBER_TAG = "AutoPatchInstanceInASG"


@dataclass(frozen=True)
class GroupBefore:
    """A group as it was found."""

    group: Group
    sizes: tuple[int, int, int]
    """Min, desired capacity and max."""
    suspended: tuple[str, ...]
    machines: tuple[Machine, ...]
    """The machines of the members that were in service."""

    @classmethod
    def of(cls, group: Group) -> GroupBefore:
        """Return the group as it is now."""
        serving = tuple(member.machine for member in group.members.values() if member.state == "InService")
        return cls(group, (group.min, group.desired, group.max), tuple(sorted(group.suspended)), serving)


@dataclass(frozen=True)
class RollAllowance:
    """What a disturbance excuses.

    `repeats` is how many messages may have been sent once more, `redrives` how often the roll was begun anew,
    `stopped` when nobody might begin any more and `in_flight` how many members may have begun after that all the same.
    A `silent` roll may be unknown: it died before it did anything, and the event of its death was lost. `sizes` are
    what the group has to have in the end, where somebody else has changed them.
    """

    repeats: int = 0
    redrives: int = 0
    stopped: datetime | None = None
    in_flight: int = 0
    silent: bool = False
    sizes: tuple[int, int, int] | None = None


@dataclass
class _Facts:
    """All that can be seen of a roll from outside."""

    account: EmbeddedAccount
    fleet: Fleet
    before: GroupBefore
    roll: ExecutionView
    items: list[dict[str, Any]]
    results: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def group(self) -> Group:
        return self.before.group

    @property
    def result(self) -> Mapping[str, Any]:
        """The newest result of the roll; empty when there is none."""
        return max(self.results, key=lambda result: int(result["redriveCount"]), default={})

    @property
    def members(self) -> Mapping[str, Mapping[str, Any]]:
        """What the newest result says of each member."""
        return self.result.get("members") or {}

    @property
    def children(self) -> list[ExecutionView]:
        """The executions that patch members."""
        return [
            view
            for view in self.account.executions()
            if view.machine.endswith("-PatchInstance") and view.name.startswith(f"{self.roll.name}-")
        ]

    def is_held(self, instance_id: str) -> bool:
        """Say whether people are told that a member is in standby still."""
        return any(
            instance_id in line and "standby" in line.lower()
            for message in self.messages
            for line in message.body.splitlines()
        )

    @property
    def messages(self) -> list[Message]:
        """What people were told of the roll as a whole."""
        return [
            message
            for message in self.account.messages
            if message.attributes.get("kind") == "group" and self.roll.arn in message.body
        ]


def broken_roll_promises(
    account: EmbeddedAccount,
    fleet: Fleet,
    stack: Stack,
    before: GroupBefore,
    roll: str,
    allowance: RollAllowance | None = None,
) -> list[str]:
    """All that is not as Drydock promises. Call it when all is quiet; it makes passes of `give_back` of its own."""
    items = read_items(account, stack)
    results: list[Mapping[str, Any]] = [
        item for item in items if item["sk"].startswith("RESULT#") and item.get("execution") == roll
    ]
    facts = _Facts(account, fleet, before, account.execution(roll), items, results)
    allowed = allowance or RollAllowance()
    return [
        *_judge_executions(facts, allowed),
        *_judge_group(facts, allowed),
        *(broken for machine in before.machines for broken in _judge_machine(facts, machine, allowed)),
        *_judge_records(facts, allowed),
        *_judge_messages(facts, allowed),
        *find_work_left(account, stack, {"subject": f"group/{facts.group.name}"}),
    ]


def _judge_executions(facts: _Facts, allowed: RollAllowance) -> Iterator[str]:
    for view in facts.account.executions():
        if view.status == "RUNNING":
            yield f"execution {view.machine}:{view.name} still runs"
        if len(view.events) > MOST_EVENTS:
            yield f"execution {view.machine}:{view.name} has {len(view.events)} events"
    if allowed.stopped is not None:
        late = [view.name for view in facts.children if view.started > allowed.stopped]
        if len(late) > allowed.in_flight:
            yield f"{len(late)} members began after the stop, {allowed.in_flight} were in flight: {late}"
        left = [
            change.instance_id
            for change in facts.group.log
            if change.what == "EnteringStandby" and change.at > allowed.stopped
        ]
        if len(left) > allowed.in_flight:
            yield f"{len(left)} members left service after the stop, {allowed.in_flight} were in flight: {left}"


def _judge_group(facts: _Facts, allowed: RollAllowance) -> Iterator[str]:
    """It is as it was found, but for members that are held, of which people are told."""
    group = facts.group
    held = [
        member.instance_id
        for member in group.members.values()
        if member.state == "Standby" and facts.is_held(member.instance_id)
    ]
    low, desired, high = allowed.sizes or facts.before.sizes
    desired -= len(held)
    if (group.min, group.desired, group.max) != (min(low, desired), desired, high):
        yield f"sizes {group.min}/{group.desired}/{group.max}, not {min(low, desired)}/{desired}/{high}"
    if tuple(sorted(group.suspended)) != facts.before.suspended:
        yield f"suspended {sorted(group.suspended)}, found {facts.before.suspended}"
    if len(group.members) != desired + len(held):
        yield f"{len(group.members)} members, not {desired + len(held)}"
    for member in group.members.values():
        if member.instance_id not in held and not (member.state == "InService" and group.is_healthy(member)):
            yield f"{member.machine.name} is {member.state}, {member.health}"
    changes = Counter((change.instance_id, change.what) for change in group.log)
    for (instance_id, what), count in changes.items():
        if what in ("EnteringStandby", "Terminating") and count > 1 + allowed.redrives:
            yield f"{instance_id}: {count} times {what}"


def _judge_machine(facts: _Facts, machine: Machine, allowed: RollAllowance) -> Iterator[str]:
    """It has its power, nothing was done to it twice, and what is said of it is true."""
    is_member = machine.instance_id in facts.group.members
    if is_member and machine.power != machine.spec.power:
        yield f"{machine.name}: power found {machine.spec.power}, left {machine.power}"
    if is_member:
        yield from find_cuts(machine)
    yield from find_repeated_work(facts.fleet, machine)
    if facts.fleet.tags(machine.instance_id).get(MEMBER_TAG) == "Completed" and machine.missing:
        yield f"{machine.name}: tagged as completed, but {machine.missing} are missing"
    untagged = f"the tag {MEMBER_TAG} could not be written" in str(facts.result.get("problems"))
    if is_member and facts.fleet.tags(machine.instance_id).get(MEMBER_TAG) == "InProgress" and not untagged:
        yield f"{machine.name}: tagged as in progress still"
    if facts.result and facts.result["outcome"] != "refused" and not allowed.redrives:
        yield from _judge_outcome(facts, machine)


def _judge_outcome(facts: _Facts, machine: Machine) -> Iterator[str]:
    said = facts.members.get(machine.instance_id, {}).get("outcome", "")
    children = [view for view in facts.children if view.input["instanceId"] == machine.instance_id]
    if len(children) > 1:
        yield f"{machine.name}: {len(children)} executions"
    if not said:
        yield f"{machine.name}: nothing is said of it"
    elif said == "not_attempted" and machine.boots != 1:
        yield f"{machine.name}: not attempted, but touched"
    elif said == "succeeded" and (machine.missing or not children or children[0].status != "SUCCEEDED"):
        yield f"{machine.name}: succeeded, but {machine.missing} are missing, executions {children}"


def _judge_records(facts: _Facts, allowed: RollAllowance) -> Iterator[str]:
    yield from find_left(facts.items, repeats=allowed.repeats)
    least = 0 if allowed.silent or allowed.redrives else 1
    if not least <= len(facts.results) <= 1 + allowed.redrives:
        yield f"{len(facts.results)} results of the roll"
    if facts.result and facts.result["outcome"] == "succeeded":
        failed = [key for key, found in facts.members.items() if found["outcome"] in ("failed", "not_attempted")]
        if failed:
            yield f"the roll succeeded, but not {failed}"


def _judge_messages(facts: _Facts, allowed: RollAllowance) -> Iterator[str]:
    told = facts.messages
    least = 0 if allowed.silent and not facts.results else 1
    held = any(found.get("move") == "hold" for found in facts.members.values())
    # What could not be given back is told once more, when that is known.
    more = int(bool(facts.result.get("givenBack")) and (held or bool(facts.result.get("problems"))))
    for problem in facts.result.get("problems") or []:
        # A mail breaks its lines where they are long.
        if not any(" ".join(str(problem).split()) in " ".join(message.body.split()) for message in told):
            yield f"nobody is told {problem!r}"
    if not least <= len(told) <= 1 + more + allowed.repeats + allowed.redrives:
        yield f"{len(told)} messages of the roll: {[message.subject for message in told]}"
    yield from find_unreadable(facts.account.messages)
    told_as = "succeeded" if facts.result.get("outcome") == "already_compliant" else facts.result.get("outcome")
    if facts.result and told and told[-1].attributes.get("outcome") not in (told_as, "failed"):
        yield f"people are told {told[-1].attributes.get('outcome')}, the result says {facts.result['outcome']}"
