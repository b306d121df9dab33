"""Plans: which machines a run works on, in which order and waves, and when it will be over. All of it is pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heapreplace
from itertools import groupby
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict, get_args

from drydock.aws.calls import in_chunks
from drydock.aws.ec2 import Instance, name_of, patch_group_of, platform_of, state_of, tags_of
from drydock.aws.ssm import Agent
from drydock.catalogue.saying import say
from drydock.documents import PinnedDocument
from drydock.errors import (
    DrydockError,
    InstanceBusyError,
    InstanceInGroupError,
    InstanceUnmanagedError,
    InvalidPolicyError,
)
from drydock.machine.ownership import NO_MEMBERSHIP, Membership
from drydock.machine.refusal import done_since, refusal, refusal_by_guard, refusal_by_stack
from drydock.plan.estimates import (
    Basis,
    Breakdown,
    Estimate,
    Estimates,
    RollEstimate,
    basis_text,
    break_down,
    estimate_roll,
    pace_of,
    savings_of,
    steps_after_roll,
    steps_around_member,
    steps_before_roll,
    steps_of_machine,
    whole_minutes,
)
from drydock.plan.targets import LeftOut, Target, leave_out
from drydock.records.history import History
from drydock.request.checking import brief
from drydock.request.policy import Policy
from drydock.subject import Group, Subject, read_subject, subject_of_item
from drydock.tags import GROUP_TAG
from drydock.times import to_text

ORDER_TAG = "DrydockOrder"
MOST_WAVES = 100
_LAST = 1000


class PlannedMember(TypedDict):
    """A member of an Auto Scaling group that a roll patches. One that `wasLeft` last time comes before the others."""

    instanceId: str
    name: str
    wasLeft: NotRequired[bool]
    missing: NotRequired[int]
    """Patches that the last scan found missing or failed, at `missingAt`; left out where nothing is known."""
    missingAt: NotRequired[str]


class PlannedRoll(TypedDict):
    """How long a roll is expected to take, in seconds: before its first batch, for each batch, after the last.

    `reaches` is how many members it is expected to come to before the run has to end.
    """

    before: int
    turns: list[int]
    after: int
    reaches: int


class PlannedMachine(TypedDict):
    """A machine, or a group whose members are patched in one roll: its `instanceId` is then the group's key.

    `wave` counts from 0; `basis` says what `seconds` is estimated from, and `samples` from how many runs. A plan of an
    older Drydock has no `kind`.
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
    samples: int
    startsAt: str
    endsAt: str
    fits: bool
    kind: NotRequired[Literal["instance", "group"]]
    groupName: NotRequired[str]
    members: NotRequired[list[PlannedMember]]
    """Of a group: those that the targets mean and nothing speaks against."""
    roll: NotRequired[PlannedRoll]
    """Of a group."""
    missing: NotRequired[int]
    """As of a member; a group has none of its own."""
    missingAt: NotRequired[str]


class ApprovedBefore(TypedDict):
    """The run whose plan was approved last for the same targets, when, and what is different in this one."""

    runId: str
    at: str
    differences: list[str]


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
    guesses: list[Breakdown]
    """What the estimates of machines consist of that have no history, and those of rolls."""
    leftOut: list[LeftOut]
    warnings: list[str]
    tooLong: list[str]
    """What would not be over in time even if it were alone in the window, and what to change: a sentence each."""
    advice: NotRequired[list[str]]
    """What would make all of it fit, where it does not: a sentence for each way."""
    needs: NotRequired[list[str]]
    """What somebody has to do before the night, or should; the first of the warnings."""
    given: NotRequired[Mapping[str, Any]]
    """The part of the policy that the input gave, over the account's settings."""
    carriesOut: NotRequired[str]
    """The run whose plan this one carries out, which was approved before; left out where there is none."""
    documents: NotRequired[dict[str, PinnedDocument]]
    """Hooks and health probe, by name, as they were when the plan was made: these versions are sent."""
    approvedBefore: NotRequired[ApprovedBefore | None]
    """None where no plan for the same targets was approved before, or that one can be read no more."""


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
    estimate: Estimate
    not_attempted: bool
    """Whether its turn did not come the last time; of a group, that of one of its members."""
    members: tuple[Candidate, ...] = ()
    """Of a group: those that are patched."""
    roll: RollEstimate | None = None
    """Of a group."""

    @property
    def machines(self) -> tuple[Candidate, ...]:
        """The machines that it stands for."""
        return self.members or (self,)

    @property
    def seconds(self) -> int:
        """How long it is expected to take, from its beginning until it is given back."""
        return self.roll.seconds if self.roll else self.estimate.seconds

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
            return say("plan.of_group", group=self.name)
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
    """Of a group whose roll does not come to all of its members: when it stops."""
    fits: bool
    batches: int
    """How many batches of a group fit; of a machine, 1 or 0."""


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
        return InstanceBusyError(say("machine.worked_on", machine=instance_id, execution=held_by))
    why = _refusal_once_settled(instance, policy, membership)
    if why is not None:
        return why
    why = refusal_by_stack(instance, stack) or refusal_by_guard(instance, guard_tag) or done_since(history, since)
    if why is not None:
        return why
    if state_of(instance) == "running" and (agent is None or not agent.online):
        return InstanceUnmanagedError(say("plan.unmanaged", machine=instance_id))
    return None


def _refusal_once_settled(instance: Instance, policy: Policy, membership: Membership) -> DrydockError | None:
    """Why admission would refuse an instance, once it is what it is about to be: its turn comes later."""
    settled = settled_power(state_of(instance))
    why = refusal({**instance, "State": {"Name": settled}}, policy, True, membership)
    group = tags_of(instance).get(GROUP_TAG)
    if why is None and group is not None and settled == "stopped":
        return InstanceInGroupError(say("plan.stopped_member", machine=instance["InstanceId"], group=group))
    return why


def settled_power(power: str) -> str:
    """What a state of EC2 is about to be."""
    return {"pending": "running", "stopping": "stopped"}.get(power, power)


def candidate(instance: Instance, agent: Agent | None, estimates: Estimates, not_attempted: bool) -> Candidate:
    """What the plan needs to know of an instance that nothing speaks against."""
    tags, platform, power = tags_of(instance), platform_of(instance), state_of(instance)
    patch_group = patch_group_of(instance)
    return Candidate(
        subject=read_subject(instance["InstanceId"]),
        name=name_of(instance),
        platform=platform,
        patch_group=patch_group,
        power=power,
        managed="yes" if power == "running" and agent is not None and agent.online else "unknown",
        tags=tags,
        estimate=estimates.estimate(
            instance["InstanceId"], platform, patch_group, settled_power(power), is_member=GROUP_TAG in tags
        ),
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
    platforms = sorted({member.platform for member in members})
    # No more is known of the roll than of the member of which least is known.
    estimate = max((member.estimate for member in members), key=lambda one: _BASES.index(one.basis))
    return Candidate(
        subject=Group(name),
        name=name,
        platform=", ".join(platforms),
        patch_group=", ".join(sorted({member.patch_group for member in members} - {""})),
        power="running",
        managed="yes" if all(member.managed == "yes" for member in members) else "unknown",
        tags={GROUP_TAG: name},
        estimate=estimate,
        not_attempted=any(member.not_attempted for member in members),
        members=members,
        # Where there are both, Windows is the slower.
        roll=estimate_roll(policy, platforms[-1], [member.seconds for member in members]),
    )


_BASES: Sequence[Basis] = get_args(Basis)


def count_machines(candidates: Iterable[Candidate]) -> int:
    """How many machines they are, each member of a group counted."""
    return sum(len(one.machines) for one in candidates)


def was_not_attempted(at: datetime | None, history: History | None) -> bool:
    """Whether a machine's turn did not come in a run that planned it, and it has not been done since."""
    if at is None:
        return False
    return history is None or history.done is None or at > history.done


def in_order(candidates: Iterable[Candidate]) -> tuple[list[Candidate], list[str]]:
    """The machines in the order of their turns, and warnings.

    Those whose turn did not come last time are first; then the tag DrydockOrder decides, the lowest first; then those
    that take longest: one that begins late and takes long keeps all others waiting for it alone.
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
    return ordered, [say("plan.order_unclear", tag=ORDER_TAG, last=_LAST - 1, machines=unclear)]


def _rank(machine: Candidate) -> tuple[bool, int, int, str, str]:
    order = _LAST if machine.order is None else machine.order
    return not machine.not_attempted, order, -machine.seconds, machine.name, machine.subject.key


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
            say(
                "plan.too_many_waves",
                size=brief(policy["waveSize"]),
                waves=len(waves),
                machines=len(ordered),
                most=MOST_WAVES,
                tag=ORDER_TAG,
            )
        )
    return waves, warnings


def _canary_of(ordered: Sequence[Candidate], policy: Policy) -> tuple[set[Subject], list[str]]:
    """The machines with the canary's tag, and as many more, in order, as are missing to its count."""
    tag, text = policy["canary"]["tag"], policy["canary"]["count"]
    is_asked = str(text) not in ("0", "0%")
    count = slots_of(text, len(ordered), 1) if is_asked else 0
    tagged = {machine.subject for machine in ordered if tag and _has_tag(machine, tag)}
    others = [machine.subject for machine in ordered if machine.subject not in tagged]
    warnings = [say("plan.no_canary_tag", tag=tag)] if tag and ordered and not tagged else []
    return {*tagged, *others[: max(0, count - len(tagged))]}, warnings


def _has_tag(machine: Candidate, tag: str) -> bool:
    key, has_value, value = tag.partition("=")
    return any(key in one.tags and (not has_value or one.tags[key] == value) for one in machine.machines)


def _split(machines: Sequence[Candidate], size: int) -> list[tuple[Candidate, ...]]:
    waves: list[tuple[Candidate, ...]] = []
    for _, same in groupby(machines, key=lambda machine: machine.order):
        waves += [tuple(some) for some in in_chunks(list(same), size)]
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
    over, and a shorter one after it may still fit. A group fits when one batch does, and keeps its slot for as long as
    it may work.
    """
    work = [
        _Work([(machine.subject, _roll_of(machine)) for machine in wave.machines], wave.is_canary) for wave in waves
    ]
    return _predict(work, start, concurrency, soak, end, last_admission)


def _roll_of(machine: Candidate) -> RollEstimate:
    """A machine is like a roll of one batch, with nothing to do around it."""
    return machine.roll or RollEstimate(0, (machine.seconds,), 0)


class _Work(NamedTuple):
    """A wave as its times depend on it: its machines with what they are expected to take."""

    machines: Sequence[tuple[Subject, RollEstimate]]
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
        for subject, estimate in wave.machines:
            turn = _turn(estimate, free[0], end, last_admission)
            turns[subject] = turn
            if turn.fits:
                heapreplace(free, turn.ends)
                over = max(over, turn.ends)
                is_to_soak = is_to_soak or wave.is_canary
        now = over
    return Schedule(turns, max((turn.ends for turn in turns.values() if turn.fits), default=start))


def _turn(estimate: RollEstimate, starts: datetime, end: datetime | None, last_admission: datetime | None) -> Turn:
    forever = timedelta(days=365)
    begins_within = last_admission - starts if last_admission else forever
    batches = estimate.batches_until(begins_within, end - starts if end else forever)
    # A roll begins before its first batch does.
    fits = batches > 0 and begins_within > timedelta()
    done = estimate.turns[:batches] if fits else estimate.turns
    return Turn(starts, starts + timedelta(seconds=estimate.before + sum(done) + estimate.after), fits, batches)


def planned_machines(waves: Sequence[DraftWave], schedule: Schedule, batch: int) -> list[PlannedMachine]:
    """The machines of a plan, in the order in which they are worked on; so many members of a group at once."""
    return [
        _planned(machine, number, schedule.turns[machine.subject], batch)
        for number, wave in enumerate(waves)
        for machine in wave.machines
    ]


def _planned(machine: Candidate, wave: int, turn: Turn, batch: int) -> PlannedMachine:
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
        "basis": machine.estimate.basis,
        "samples": machine.estimate.samples,
        "startsAt": to_text(turn.starts),
        "endsAt": to_text(turn.ends),
        "fits": turn.fits,
    }
    if machine.members:
        planned |= {
            "kind": "group",
            "groupName": machine.name,
            "members": [_planned_member(member) for member in machine.members],
        }
    if machine.roll:
        planned["roll"] = {
            "before": machine.roll.before,
            "turns": list(machine.roll.turns),
            "after": machine.roll.after,
            "reaches": _reached(len(machine.members), turn, batch),
        }
    return planned


def _reached(members: int, turn: Turn, batch: int) -> int:
    """How many members of a group its roll comes to in time."""
    return min(members, turn.batches * batch)


def _planned_member(member: Candidate) -> PlannedMember:
    planned: PlannedMember = {"instanceId": member.subject.key, "name": member.name}
    if member.not_attempted:
        planned["wasLeft"] = True
    return planned


def show_missing(machines: Iterable[PlannedMachine], missing: Mapping[str, tuple[int, datetime]]) -> None:
    """Write into the machines of a plan, and into the members of groups, how many patches each misses, where known."""
    for machine in machines:
        for one in machines_of(machine):
            if one["instanceId"] in missing:
                count, at = missing[one["instanceId"]]
                one["missing"], one["missingAt"] = count, to_text(at)


def estimate_of(machine: PlannedMachine) -> RollEstimate:
    """How long an entry of a plan is expected to take; a machine is like a roll of one batch."""
    roll = machine.get("roll")
    if roll is None:
        return RollEstimate(0, (machine["seconds"],), 0)
    return RollEstimate(roll["before"], tuple(roll["turns"]), roll["after"])


def guesses_of(candidates: Iterable[Candidate], policy: Policy) -> list[Breakdown]:
    """What the estimates consist of that no run has shown: of machines without history, and of rolls."""
    candidates = list(candidates)
    alone = [machine for one in candidates for machine in one.machines]
    guessed = [machine for machine in alone if machine.estimate.basis == "guess"]
    kinds = sorted({(one.platform, settled_power(one.power), bool(one.group_name)) for one in guessed})
    found = [
        break_down(
            say("guess.member", platform=platform) if is_member else say(f"guess.power.{power}", platform=platform),
            steps_of_machine(policy, platform, power, is_member=is_member),
        )
        for platform, power, is_member in kinds
    ]
    for platform in sorted({member.platform for one in candidates if one.members for member in one.members}):
        rolls = {
            say("guess.before_roll", platform=platform): steps_before_roll(policy, platform),
            say("guess.batch", platform=platform): steps_around_member(policy, platform),
            say("guess.after_roll", platform=platform): steps_after_roll(policy, platform),
        }
        found += [break_down(of, steps) for of, steps in rolls.items() if steps]
    return found


def members_of(machine: PlannedMachine) -> Sequence[PlannedMember]:
    """The machines that an entry of a plan stands for: itself, or the members of the group."""
    return machine.get("members") or [{"instanceId": machine["instanceId"], "name": machine["name"]}]


def machines_of(machine: PlannedMachine) -> Sequence[PlannedMachine | PlannedMember]:
    """The entry of a machine, or those of a group's members."""
    if "members" in machine:
        return machine["members"]
    return [machine]


def count_planned(plan: Plan) -> int:
    """How many machines a plan is about, each member of a group counted."""
    return sum(len(members_of(machine)) for machine in plan["machines"])


def count_outside(machine: PlannedMachine) -> int:
    """How many machines of an entry will not fit: of a group, those that its roll will not come to in time."""
    members = len(members_of(machine))
    if not machine["fits"]:
        return members
    return members - machine["roll"]["reaches"] if "roll" in machine else 0


def at_another_time(plan: Plan, start: datetime, end: datetime, last_admission: datetime) -> Plan:
    """The same plan, with the times of a run that carries it out later. Its hash stays the same."""
    policy = plan["policy"]
    work = [
        _Work(
            [
                (subject_of_item(machine), estimate_of(machine))
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
        moved: PlannedMachine = {
            **machine,
            "startsAt": to_text(turn.starts),
            "endsAt": to_text(turn.ends),
            "fits": turn.fits,
        }
        if "roll" in moved:
            moved["roll"] = {**moved["roll"], "reaches": _reached(len(moved["members"]), turn, policy["batch"])}
        machines.append(moved)
    return {
        **plan,
        "end": to_text(end),
        "lastAdmission": to_text(last_admission),
        "predictedEnd": to_text(schedule.predicted_end),
        "machines": machines,
        "tooLong": find_too_long(machines, policy, end - start),
    }


def find_too_long(machines: Iterable[PlannedMachine], policy: Policy, room: timedelta) -> list[str]:
    """What does not fit into an empty window, however often it is tried, and what helps; alike ones in one sentence."""
    alike: dict[tuple[int, Basis, int, str, str, bool], list[str]] = {}
    for machine in machines:
        least = estimate_of(machine).least
        if timedelta(seconds=least) <= room:
            continue
        is_group = machine.get("kind") == "group"
        kind = (least, machine["basis"], machine["samples"], machine["platform"], machine["power"], is_group)
        name = (
            say("plan.of_group", group=machine["groupName"]) if is_group else machine["name"] or machine["instanceId"]
        )
        alike.setdefault(kind, []).append(name)
    return [
        _too_long(names, Estimate(least, basis, samples), platform, power, is_group, policy, room)
        for (least, basis, samples, platform, power, is_group), names in alike.items()
    ]


def _too_long(
    names: Sequence[str],
    estimate: Estimate,
    platform: str,
    power: str,
    is_group: bool,
    policy: Policy,
    room: timedelta,
) -> str:
    minutes, has = whole_minutes(estimate.seconds), whole_minutes(room.total_seconds())
    more = max(5, -(-(estimate.seconds - int(room.total_seconds())) // 300) * 5)
    said = say(
        "plan.too_long.batch" if is_group else "plan.too_long",
        names=names,
        minutes=minutes,
        basis=basis_text(estimate.basis, estimate.samples),
        room=has,
        more=more,
    )
    savings = [
        say("plan.saves", change=change, minutes=saved)
        for change, saved in savings_of(policy, platform, settled_power(power))
    ]
    return say("plan.too_long.savings", advice=said, savings="; ".join(savings)) if savings else said


def wave_key(run_id: str, number: int) -> str:
    """Where in the bucket the items of a wave stand, for the Map that reads them; waves are numbered from 0."""
    return f"runs/{run_id}/wave-{number:03}.json"


def wave_items(plan: Plan, number: int) -> list[dict[str, Any]]:
    """The items of a wave, as they are stored for its Map: what a place in the run is judged by.

    `seconds` is what has to be left for it to begin: of a group, for one batch of the members that `only` names.
    """
    return [_item(machine) for machine in plan["machines"] if machine["wave"] == number]


def _item(machine: PlannedMachine) -> dict[str, Any]:
    estimate = estimate_of(machine)
    item = {
        "instanceId": machine["instanceId"],
        "name": machine["name"],
        "seconds": estimate.least,
        "pace": pace_of(machine["platform"], machine["basis"]),
        "basis": basis_text(machine["basis"], machine["samples"]),
    }
    if machine.get("kind") != "group":
        return item
    only = [member["instanceId"] for member in members_of(machine)]
    return {
        **item,
        "kind": "group",
        "groupName": machine["groupName"],
        "only": only,
        "first": [member["instanceId"] for member in members_of(machine) if member.get("wasLeft")],
        "turnSeconds": max(estimate.turns),
        "afterSeconds": estimate.after,
    }


def planned_waves(run_id: str, waves: Sequence[DraftWave]) -> list[PlannedWave]:
    """The waves of a plan, in the order in which they are worked on."""
    return [
        {"key": wave_key(run_id, number), "count": wave.count, "isCanary": wave.is_canary}
        for number, wave in enumerate(waves)
    ]


def plan_hash(plan: Plan) -> str:
    """The hash of what is approved: all of a plan but the run's own id, and what is only shown.

    That is whatever depends on when: times, estimates, powers, patches that are missing, warnings, and the comparison
    with an earlier plan. So an approved plan stays the same one when it is carried out later, by a run of another name.
    """
    approved: dict[str, Any] = {key: value for key, value in plan.items() if key not in _ONLY_SHOWN}
    approved["policy"] = _without(plan["policy"], "deadlineMinutes")
    approved["window"] = _without(plan["window"], "start", "end") if plan["window"] else None
    approved["machines"] = [_as_approved(machine) for machine in plan["machines"]]
    # A wave's key holds the id of the run.
    approved["waves"] = [_without(wave, "key") for wave in plan["waves"]]
    canonical = json.dumps(approved, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


_ONLY_SHOWN = frozenset(
    {
        "runId",
        "createdAt",
        "end",
        "lastAdmission",
        "predictedEnd",
        "guesses",
        "warnings",
        "tooLong",
        "advice",
        "needs",
        "approvedBefore",
    }
)
_ONLY_SHOWN_OF_MACHINES = (
    "power",
    "managed",
    "seconds",
    "basis",
    "samples",
    "startsAt",
    "endsAt",
    "fits",
    "roll",
    "missing",
    "missingAt",
)


def _as_approved(machine: PlannedMachine) -> dict[str, Any]:
    approved = _without(machine, *_ONLY_SHOWN_OF_MACHINES)
    if "members" in machine:
        approved["members"] = [_without(member, *_ONLY_SHOWN_OF_MACHINES) for member in machine["members"]]
    return approved


def _without(value: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: element for key, element in value.items() if key not in keys}
