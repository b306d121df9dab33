"""Plans: which machines a run works on, in which order and waves, and when it will be over. All of it is pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heapreplace
from itertools import groupby
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

from drydock.aws.ec2 import Instance, name_of, platform_of, state_of, tags_of
from drydock.aws.ssm import Agent
from drydock.errors import (
    DrydockError,
    InstanceBusyError,
    InstanceInGroupError,
    InstanceUnmanagedError,
    InvalidPolicyError,
)
from drydock.machine.ownership import NO_MEMBERSHIP, Membership
from drydock.machine.refusal import done_since, refusal, refusal_by_guard, refusal_by_stack
from drydock.plan.targets import LeftOut, Target, leave_out
from drydock.records.history import History
from drydock.request.checking import brief
from drydock.request.policy import Policy
from drydock.subject import Group, Subject, read_subject, subject_of_item
from drydock.tags import GROUP_TAG
from drydock.times import to_text

ORDER_TAG = "DrydockOrder"
MOST_WAVES = 100
DEFAULT_SECONDS = 600
"""How long a machine is expected to take of which nothing is known: image, installation, reboot, restore."""
OUT_OF_SERVICE_SECONDS = 600
"""How long a member of a group is expected to take besides: connections drain for 300 seconds unless a target group
says otherwise, and as long again until it is healthy."""

Basis = Literal["own history", "patch group", "default"]

_LAST = 1000
_MOST_NAMED = 10


class PlannedMember(TypedDict):
    """A member of an Auto Scaling group that a roll patches."""

    instanceId: str
    name: str


class PlannedMachine(TypedDict):
    """A machine, or a group whose members are patched in one roll: its `instanceId` is then the group's key.

    `wave` counts from 0; `basis` says what `seconds` is estimated from. A plan of an older Drydock has no `kind`.
    """

    instanceId: str
    name: str
    platform: str
    patchGroup: str
    power: str
    managed: Literal["yes", "unknown"]
    order: int | None
    wave: int
    seconds: int
    basis: Basis
    startsAt: str
    endsAt: str
    fits: bool
    kind: NotRequired[Literal["instance", "group"]]
    groupName: NotRequired[str]
    members: NotRequired[list[PlannedMember]]
    """Of a group: those that the targets mean and nothing speaks against."""


class PlannedWave(TypedDict):
    """`key` is where in the bucket the machines of the wave stand; `count` counts the members of groups."""

    key: str
    count: int
    isCanary: bool


class PlannedWindow(TypedDict):
    """The execution of a maintenance window that a run is part of."""

    windowId: str
    executionId: str
    name: str
    start: str
    end: str


class Plan(TypedDict):
    """`plan.json`. Times are UTC; an empty one means that there is none."""

    schema: int
    runId: str
    createdAt: str
    operation: str
    policy: Policy
    snapshotId: str
    window: PlannedWindow | None
    targets: list[Target]
    """All of them, to show."""
    targetGroups: list[list[Target]]
    """Conditions within a group have all to hold; groups are united."""
    follows: str
    resumes: str
    end: str
    lastAdmission: str
    predictedEnd: str
    machines: list[PlannedMachine]
    waves: list[PlannedWave]
    leftOut: list[LeftOut]
    warnings: list[str]
    needs: NotRequired[list[str]]
    """What somebody has to do before the night, or should; the first of the warnings."""


@dataclass(frozen=True)
class Candidate:
    """A machine or a group that is planned, with all that its place in the plan depends on."""

    subject: Subject
    name: str
    platform: str
    patch_group: str
    power: str
    managed: Literal["yes", "unknown"]
    tags: Mapping[str, str]
    seconds: int
    basis: Basis
    not_attempted: bool
    """Whether its turn did not come the last time; of a group, that of one of its members."""
    members: tuple[Candidate, ...] = ()
    """Of a group: those that are patched."""

    @property
    def machines(self) -> tuple[Candidate, ...]:
        """The machines that it stands for."""
        return self.members or (self,)

    @property
    def group_name(self) -> str:
        """Of a member or a group."""
        return self.tags.get(GROUP_TAG, "")

    @property
    def order(self) -> int | None:
        """What its tag says; None without one, or for one that says nothing sensible. Of a group, the lowest."""
        if self.members:
            return min((member.order for member in self.members if member.order is not None), default=None)
        value = self.tags.get(ORDER_TAG, "")
        return int(value) if re.fullmatch(r"[0-9]{1,3}", value) else None

    @property
    def label(self) -> str:
        """How people read it: `web-1 (i-…)`, `i-…` without a name, or `group web`."""
        if self.members:
            return f"group {self.name}"
        return f"{self.name} ({self.subject.key})" if self.name else self.subject.key


@dataclass(frozen=True)
class DraftWave:
    """A wave before it has a place in the bucket."""

    machines: tuple[Candidate, ...]
    is_canary: bool

    @property
    def count(self) -> int:
        """How many machines are in it, each member of a group counted."""
        return count_machines(self.machines)


@dataclass(frozen=True)
class Turn:
    """When a machine's turn is expected to be, and whether it can be taken up at all then."""

    starts: datetime
    ends: datetime
    fits: bool


@dataclass(frozen=True)
class Schedule:
    """When each machine's or group's turn is expected to be, and when all is done."""

    turns: Mapping[Subject, Turn]
    predicted_end: datetime
    """When the last machine that fits is done."""


def left_out(
    instance: Instance,
    policy: Policy,
    *,
    agent: Agent | None,
    held_by: str,
    history: History | None,
    since: datetime,
    guard_tag: str,
    stack: str,
    membership: Membership = NO_MEMBERSHIP,
) -> LeftOut | None:
    """Why a run does not plan a machine, or None.

    `held_by` names the execution of somebody else that holds the machine's lease, if any; `since` is when the run
    began: what was done to the machine after that is not done again.
    """
    why = _why_left_out(instance, policy, agent, held_by, history, since, guard_tag, stack, membership)
    return leave_out(instance["InstanceId"], name_of(instance), why) if why else None


def _why_left_out(
    instance: Instance,
    policy: Policy,
    agent: Agent | None,
    held_by: str,
    history: History | None,
    since: datetime,
    guard_tag: str,
    stack: str,
    membership: Membership,
) -> DrydockError | None:
    instance_id = instance["InstanceId"]
    if held_by:
        return InstanceBusyError(f"{instance_id}: {held_by} works on it")
    why = _refusal_once_settled(instance, policy, membership)
    if why is not None:
        return why
    why = refusal_by_stack(instance, stack) or refusal_by_guard(instance, guard_tag) or done_since(history, since)
    if why is not None:
        return why
    if state_of(instance) == "running" and (agent is None or not agent.online):
        return InstanceUnmanagedError(
            f"{instance_id}: is running, and Systems Manager does not reach it: check the SSM Agent, the instance "
            "profile (AmazonSSMManagedInstanceCore) and the route to Systems Manager"
        )
    return None


def _refusal_once_settled(instance: Instance, policy: Policy, membership: Membership) -> DrydockError | None:
    """Why admission would refuse an instance, once it is what it is about to be: its turn comes later."""
    settled = {"pending": "running", "stopping": "stopped"}.get(state_of(instance), state_of(instance))
    why = refusal({**instance, "State": {"Name": settled}}, policy, True, membership)
    group = tags_of(instance).get(GROUP_TAG)
    if why is None and group is not None and settled == "stopped":
        return InstanceInGroupError(
            f"{instance['InstanceId']}: is a stopped member of Auto Scaling group {group}; the group's roll patches "
            "those in service"
        )
    return why


class Durations:
    """How long machines take, from what is known of their past."""

    def __init__(self, history: Mapping[str, History]) -> None:
        self._own = {instance_id: _ninetieth(known.seconds) for instance_id, known in history.items() if known.seconds}
        alike: dict[tuple[str, str], list[int]] = {}
        for known in history.values():
            alike.setdefault((known.platform, known.patch_group), []).extend(known.seconds)
        self._alike = {kind: _ninetieth(seconds) for kind, seconds in alike.items() if seconds}

    def estimate(self, instance_id: str, platform: str, patch_group: str) -> tuple[int, Basis]:
        """Seconds that nine in ten do not exceed: of the machine itself, else of its like; and which of these."""
        if instance_id in self._own:
            return self._own[instance_id], "own history"
        if (platform, patch_group) in self._alike:
            return self._alike[platform, patch_group], "patch group"
        return DEFAULT_SECONDS, "default"


def _ninetieth(seconds: Collection[int]) -> int:
    """The 90th percentile by nearest rank: a duration that has really occurred."""
    rank = -(-9 * len(seconds) // 10)
    return sorted(seconds)[rank - 1]


def candidate(instance: Instance, agent: Agent | None, durations: Durations, not_attempted: bool) -> Candidate:
    """What the plan needs to know of an instance that nothing speaks against."""
    tags, platform, power = tags_of(instance), platform_of(instance), state_of(instance)
    patch_group = tags.get("Patch Group", tags.get("PatchGroup", ""))
    seconds, basis = durations.estimate(instance["InstanceId"], platform, patch_group)
    return Candidate(
        subject=read_subject(instance["InstanceId"]),
        name=name_of(instance),
        platform=platform,
        patch_group=patch_group,
        power=power,
        managed="yes" if power == "running" and agent is not None and agent.online else "unknown",
        tags=tags,
        seconds=seconds,
        basis=basis,
        not_attempted=not_attempted,
    )


def gather_groups(candidates: Iterable[Candidate], policy: Policy) -> list[Candidate]:
    """The candidates as they are worked on: the members of an Auto Scaling group together, in one roll."""
    alone: list[Candidate] = []
    members: dict[str, list[Candidate]] = {}
    for one in candidates:
        if one.group_name:
            members.setdefault(one.group_name, []).append(one)
        else:
            alone.append(one)
    return [*alone, *(_group(name, tuple(found), policy) for name, found in members.items())]


def _group(name: str, members: tuple[Candidate, ...], policy: Policy) -> Candidate:
    members = tuple(sorted(members, key=lambda member: (member.name, member.subject.key)))
    turns = -(-len(members) // policy["batch"])
    # A Scan takes nobody out of service.
    out_of_service = OUT_OF_SERVICE_SECONDS if policy["operation"] != "Scan" else 0
    # The slower ones decide how long a batch takes.
    work = sum(sorted((member.seconds for member in members), reverse=True)[:turns])
    return Candidate(
        subject=Group(name),
        name=name,
        platform=", ".join(sorted({member.platform for member in members})),
        patch_group=", ".join(sorted({member.patch_group for member in members} - {""})),
        power="running",
        managed="yes" if all(member.managed == "yes" for member in members) else "unknown",
        tags={GROUP_TAG: name},
        seconds=work + turns * out_of_service,
        basis=min((member.basis for member in members), key=_BASES.index),
        not_attempted=any(member.not_attempted for member in members),
        members=members,
    )


_BASES: Sequence[Basis] = ("default", "patch group", "own history")


def count_machines(candidates: Iterable[Candidate]) -> int:
    """How many machines they are, each member of a group counted."""
    return sum(len(one.machines) for one in candidates)


def was_not_attempted(at: datetime | None, history: History | None) -> bool:
    """Whether a machine's turn did not come in a run that planned it, and it has not been done since."""
    if at is None:
        return False
    return history is None or at > history.done


def in_order(candidates: Iterable[Candidate]) -> tuple[list[Candidate], list[str]]:
    """The machines in the order of their turns, and warnings.

    Those whose turn did not come last time are first; then the tag DrydockOrder decides, the lowest first.
    """
    ordered = sorted(candidates, key=_rank)
    unclear = [
        f"{machine.label}: {brief(machine.tags[ORDER_TAG])}"
        for planned in ordered
        for machine in planned.machines
        if ORDER_TAG in machine.tags and machine.order is None
    ]
    if not unclear:
        return ordered, []
    return ordered, [
        f"tag {ORDER_TAG} is not a whole number from 0 to {_LAST - 1}, so these come last: {first_of(unclear)}"
    ]


def _rank(machine: Candidate) -> tuple[bool, int, str, str]:
    order = _LAST if machine.order is None else machine.order
    return not machine.not_attempted, order, machine.name, machine.subject.key


def first_of(names: Sequence[str]) -> str:
    """Names for people, the first ten of them, and how many more there are."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def slots_of(text: str | int, total: int, at_least: int) -> int:
    """A number, or a percentage of `total` rounded down, in the grammar of Run Command; `at_least` at the least.

    As a number of errors, it is how many are allowed: 10% of 50 stops at the sixth.
    """
    given = str(text)
    number = total * int(given[:-1]) // 100 if given.endswith("%") else int(given)
    return max(number, at_least)


def make_waves(
    ordered: Sequence[Candidate], policy: Policy, *, with_canary: bool = True
) -> tuple[list[DraftWave], list[str]]:
    """The waves, and warnings. Raises InvalidPolicyError when there are too many.

    The canary is first, whatever the order of its machines. Machines of different DrydockOrder never share a wave,
    so that the lower ones are done when the higher ones begin; a canary of several orders takes several waves. A group
    is one of them, and is never split.
    """
    canary, warnings = _canary_of(ordered, policy) if with_canary else (set[Subject](), [])
    size = slots_of(policy["waveSize"], len(ordered), 1)
    first = [machine for machine in ordered if machine.subject in canary]
    rest = [machine for machine in ordered if machine.subject not in canary]
    waves = [DraftWave(machines, is_canary=True) for machines in _split(first, len(first))]
    waves += [DraftWave(machines, is_canary=False) for machines in _split(rest, size)]
    if len(waves) > MOST_WAVES:
        raise InvalidPolicyError(
            f"policy.waveSize: {brief(policy['waveSize'])} makes {len(waves):,} waves of {len(ordered):,} machines, "
            f"more than the {MOST_WAVES} that are possible: raise waveSize, or use fewer values of the tag {ORDER_TAG}"
        )
    return waves, warnings


def _canary_of(ordered: Sequence[Candidate], policy: Policy) -> tuple[set[Subject], list[str]]:
    """The machines with the canary's tag, and as many more, in order, as are missing to its count."""
    tag, text = policy["canary"]["tag"], policy["canary"]["count"]
    is_asked = str(text) not in ("0", "0%")
    count = slots_of(text, len(ordered), 1) if is_asked else 0
    tagged = {machine.subject for machine in ordered if tag and _has_tag(machine, tag)}
    others = [machine.subject for machine in ordered if machine.subject not in tagged]
    warnings = [f"policy.canary.tag: no planned machine has the tag {tag}"] if tag and ordered and not tagged else []
    return {*tagged, *others[: max(0, count - len(tagged))]}, warnings


def _has_tag(machine: Candidate, tag: str) -> bool:
    key, has_value, value = tag.partition("=")
    return any(key in one.tags and (not has_value or one.tags[key] == value) for one in machine.machines)


def _split(machines: Sequence[Candidate], size: int) -> list[tuple[Candidate, ...]]:
    waves = []
    for _, same in groupby(machines, key=lambda machine: machine.order):
        block = tuple(same)
        waves += [block[first : first + size] for first in range(0, len(block), size)]
    return waves


def predict(
    waves: Sequence[DraftWave],
    start: datetime,
    concurrency: int,
    soak: timedelta,
    end: datetime | None,
    last_admission: datetime | None,
) -> Schedule:
    """When each machine's turn comes: the earliest free slot, one wave after another, a soak after the canary.

    A machine fits when it starts before the last admission and is done by the end. One that does not is passed
    over, and a shorter one after it may still fit.
    """
    work = [_Work([(machine.subject, machine.seconds) for machine in wave.machines], wave.is_canary) for wave in waves]
    return _predict(work, start, concurrency, soak, end, last_admission)


class _Work(NamedTuple):
    """A wave as its times depend on it: its machines with their seconds."""

    machines: Sequence[tuple[Subject, int]]
    is_canary: bool


def _predict(
    waves: Sequence[_Work],
    start: datetime,
    concurrency: int,
    soak: timedelta,
    end: datetime | None,
    last_admission: datetime | None,
) -> Schedule:
    turns: dict[Subject, Turn] = {}
    now = start
    is_to_soak = False
    for wave in waves:
        if is_to_soak and not wave.is_canary:
            now, is_to_soak = now + soak, False
        free = [now] * min(concurrency, len(wave.machines))
        over = now
        for subject, seconds in wave.machines:
            starts, ends = free[0], free[0] + timedelta(seconds=seconds)
            fits = (last_admission is None or starts < last_admission) and (end is None or ends <= end)
            turns[subject] = Turn(starts, ends, fits)
            if fits:
                heapreplace(free, ends)
                over = max(over, ends)
                is_to_soak = is_to_soak or wave.is_canary
        now = over
    return Schedule(turns, max((turn.ends for turn in turns.values() if turn.fits), default=start))


def planned_machines(waves: Sequence[DraftWave], schedule: Schedule) -> list[PlannedMachine]:
    """The machines of a plan, in the order in which they are worked on."""
    return [
        _planned(machine, number, schedule.turns[machine.subject])
        for number, wave in enumerate(waves)
        for machine in wave.machines
    ]


def _planned(machine: Candidate, wave: int, turn: Turn) -> PlannedMachine:
    planned: PlannedMachine = {
        "kind": "instance",
        "instanceId": machine.subject.key,
        "name": machine.name,
        "platform": machine.platform,
        "patchGroup": machine.patch_group,
        "power": machine.power,
        "managed": machine.managed,
        "order": machine.order,
        "wave": wave,
        "seconds": machine.seconds,
        "basis": machine.basis,
        "startsAt": to_text(turn.starts),
        "endsAt": to_text(turn.ends),
        "fits": turn.fits,
    }
    if machine.members:
        planned |= {
            "kind": "group",
            "groupName": machine.name,
            "members": [{"instanceId": member.subject.key, "name": member.name} for member in machine.members],
        }
    return planned


def members_of(machine: PlannedMachine) -> Sequence[PlannedMember]:
    """The machines that an entry of a plan stands for: itself, or the members of the group."""
    return machine.get("members") or [{"instanceId": machine["instanceId"], "name": machine["name"]}]


def count_planned(plan: Plan) -> int:
    """How many machines a plan is about, each member of a group counted."""
    return sum(len(members_of(machine)) for machine in plan["machines"])


def at_another_time(plan: Plan, start: datetime, end: datetime, last_admission: datetime) -> Plan:
    """The same plan, with the times of a run that carries it out later. Its hash stays the same."""
    policy = plan["policy"]
    work = [
        _Work(
            [
                (subject_of_item(machine), machine["seconds"])
                for machine in plan["machines"]
                if machine["wave"] == number
            ],
            wave["isCanary"],
        )
        for number, wave in enumerate(plan["waves"])
    ]
    concurrency = slots_of(policy["maxConcurrency"], len(plan["machines"]), 1)
    schedule = _predict(work, start, concurrency, timedelta(minutes=policy["soakMinutes"]), end, last_admission)
    machines: list[PlannedMachine] = []
    for machine in plan["machines"]:
        turn = schedule.turns[subject_of_item(machine)]
        machines.append({**machine, "startsAt": to_text(turn.starts), "endsAt": to_text(turn.ends), "fits": turn.fits})
    return {
        **plan,
        "end": to_text(end),
        "lastAdmission": to_text(last_admission),
        "predictedEnd": to_text(schedule.predicted_end),
        "machines": machines,
    }


def wave_key(run_id: str, number: int) -> str:
    """Where in the bucket the items of a wave stand, for the Map that reads them; waves are numbered from 0."""
    return f"runs/{run_id}/wave-{number:03}.json"


def wave_items(plan: Plan, number: int) -> list[dict[str, Any]]:
    """The items of a wave, as they are stored for its Map. `only` names the members of a group."""
    return [_item(machine) for machine in plan["machines"] if machine["wave"] == number]


def _item(machine: PlannedMachine) -> dict[str, Any]:
    item = {"instanceId": machine["instanceId"], "name": machine["name"], "seconds": machine["seconds"]}
    if machine.get("kind") != "group":
        return item
    only = [member["instanceId"] for member in members_of(machine)]
    return {**item, "kind": "group", "groupName": machine["groupName"], "only": only}


def planned_waves(run_id: str, waves: Sequence[DraftWave]) -> list[PlannedWave]:
    """The waves of a plan, in the order in which they are worked on."""
    return [
        {"key": wave_key(run_id, number), "count": wave.count, "isCanary": wave.is_canary}
        for number, wave in enumerate(waves)
    ]


def plan_hash(plan: Plan) -> str:
    """The hash of what is approved: all of a plan but the run's own id, warnings, and what only depends on when.

    So an approved plan stays the same one when it is carried out later, by a run of another name.
    """
    approved: dict[str, Any] = {
        key: value
        for key, value in plan.items()
        if key not in ("runId", "createdAt", "end", "lastAdmission", "predictedEnd", "warnings", "needs")
    }
    approved["policy"] = _without(plan["policy"], "deadlineMinutes")
    approved["window"] = _without(plan["window"], "start", "end") if plan["window"] else None
    approved["machines"] = [_without(machine, "startsAt", "endsAt", "fits") for machine in plan["machines"]]
    # A wave's key holds the id of the run.
    approved["waves"] = [_without(wave, "key") for wave in plan["waves"]]
    canonical = json.dumps(approved, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _without(value: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: element for key, element in value.items() if key not in keys}
