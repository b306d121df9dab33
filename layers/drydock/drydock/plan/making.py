"""Making a plan: from what was asked for, and all that was looked up for it, to the plan. All of it is pure."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from drydock.aws.ec2 import Instance, name_of, tags_of
from drydock.aws.ssm import Agent
from drydock.aws.table import SCHEMA
from drydock.catalogue.saying import say
from drydock.documents import PinnedDocument
from drydock.errors import InvalidInputError, InvalidPolicyError, PlanExpiredError
from drydock.machine.operating_systems import describe_end
from drydock.machine.ownership import NO_MEMBERSHIP, Membership
from drydock.machine.refusal import refusal_as_protected
from drydock.plan.advice import advise
from drydock.plan.estimates import Estimates
from drydock.plan.plans import (
    Candidate,
    Plan,
    PlannedWindow,
    at_another_time,
    candidate,
    find_too_long,
    gather_groups,
    guesses_of,
    in_order,
    left_out,
    make_waves,
    planned_machines,
    planned_waves,
    predict,
    show_missing,
    slots_of,
    was_not_attempted,
)
from drydock.plan.run_request import RunRequest
from drydock.plan.same_patches import warn_of_other_patches
from drydock.plan.targets import LeftOut, Target, leave_out
from drydock.plan.window import WindowFacts
from drydock.records.history import History
from drydock.records.runs import SNAPSHOT_LIVES, Run
from drydock.request.policy import ON_EVIDENCE, Policy, tighten
from drydock.subject import Group
from drydock.tags import GROUP_TAG
from drydock.times import to_text

_MOST_MACHINES = 10_000
_TIME_TO_BEGIN = timedelta(minutes=5)
"""From the plan to the moment at which its first machine is let in, at most."""


@dataclass(frozen=True)
class Frame:
    """When a run has to be over. `end` is when the last machine is given back; none begins after `last_admission`."""

    end: datetime
    last_admission: datetime
    window: WindowFacts | None


def frame_of(window: WindowFacts | None, policy: Policy, started: datetime) -> Frame:
    """The window's end and cutoff, the policy's deadline, or the earlier of both.

    Raises InvalidPolicyError when there is neither.
    """
    minutes = policy["deadlineMinutes"]
    deadline = started + timedelta(minutes=minutes) if minutes else None
    if window is None:
        if deadline is None:
            raise InvalidPolicyError(say("policy.deadline.required"))
        return Frame(deadline, deadline, None)
    end = min(window.end, deadline or window.end)
    return Frame(end, min(window.last_admission, end), window)


@dataclass(frozen=True)
class Earlier:
    """The run that this one carries out, takes up or follows."""

    run: Run
    plan: Plan
    left: frozenset[str]
    """The machines that were not attempted."""
    is_canary_proved: bool

    def snapshot_lives(self, now: datetime) -> bool:
        """Whether all machines can be given the patches still that this run's got."""
        return now - self.run.require_plan().snapshot_since <= SNAPSHOT_LIVES

    @property
    def is_snapshot_unused(self) -> bool:
        """Whether no command has named its snapshot yet: it was only planned, and made the name itself."""
        return self.run.require_plan().is_only and self.plan["snapshotId"] == own_snapshot(self.run)


@dataclass(frozen=True)
class Facts:
    """All that a plan is made of: what was asked for, and what was looked up for it."""

    run: Run
    request: RunRequest
    policy: Policy
    frame: Frame
    earlier: Earlier | None
    now: datetime
    """When it was begun to look."""
    since: datetime
    """What was done to a machine after this is not done again."""
    target_groups: Sequence[Sequence[Target]]
    instances: Sequence[Instance]
    """The machines that are meant and that EC2 knows; of a run that takes up another, those that one left."""
    missing: Sequence[LeftOut]
    """The machines that are meant and that are not there."""
    histories: Mapping[str, History]
    """By instance id, as the next two."""
    left_over: Mapping[str, datetime]
    """When machines were last left over."""
    agents: Mapping[str, Agent]
    held: Mapping[str, str]
    """The names of the executions that have machines and groups in work, by the subject's key."""
    guard_tag: str
    """Key of the tag that an instance needs to be changed; empty when none is needed."""
    stack: str
    """The name of this stack."""
    stop_protected: frozenset[str] = frozenset()
    """Those of the stopped machines that EC2 would not stop again."""
    memberships: Mapping[str, Membership] = field(default_factory=dict)
    """What those that are members of Auto Scaling groups are to them, by instance id."""
    near_misses: Sequence[str] = ()
    """Machines that are nearly meant, a sentence each."""
    missing_patches: Mapping[str, tuple[int, datetime]] = field(default_factory=dict)
    """How many patches each machine misses, and when that was found, by instance id, where it is known."""
    documents: Mapping[str, PinnedDocument] = field(default_factory=dict)
    """Hooks and health probe as they are now, by name."""

    @property
    def resumed(self) -> Earlier | None:
        """The run that this one takes up."""
        return self.earlier if self.request.source == "resume" else None


def make_plan(facts: Facts) -> Plan:
    """The plan of a run: which machines, in which order and waves, when, and which not.

    Raises InvalidInputError when they are too many, InvalidPolicyError when their waves are.
    """
    policy, frame, request = facts.policy, facts.frame, facts.request
    candidates, without = sort_out(facts)
    if len(candidates) > _MOST_MACHINES:
        raise InvalidInputError(say("plan.too_many", count=len(candidates), most=_MOST_MACHINES))
    ordered, order_warnings = in_order(gather_groups(candidates, policy))
    snapshot = _choose_snapshot(facts)
    is_proved = facts.resumed is not None and snapshot.goes_on and facts.resumed.is_canary_proved
    waves, wave_warnings = make_waves(ordered, policy, with_canary=not is_proved)
    schedule = predict(
        waves,
        first_begin(facts),
        slots_of(policy["maxConcurrency"], len(ordered), 1),
        timedelta(minutes=policy["soakMinutes"]),
        frame.end,
        frame.last_admission,
    )
    machines = planned_machines(waves, schedule, policy["batch"])
    show_missing(machines, facts.missing_patches)
    plan: Plan = {
        "schema": SCHEMA,
        "runId": facts.run.run_id,
        "createdAt": to_text(facts.now),
        "operation": policy["operation"],
        "policy": policy,
        "snapshotId": snapshot.id,
        "given": request.given_policy,
        "documents": dict(facts.documents),
        "window": describe_window(frame.window),
        "targets": [target for group in facts.target_groups for target in group],
        "targetGroups": [list(group) for group in facts.target_groups],
        "follows": request.follows,
        "resumes": request.earlier if facts.resumed else "",
        "end": to_text(frame.end),
        "lastAdmission": to_text(frame.last_admission),
        "predictedEnd": to_text(schedule.predicted_end),
        "machines": machines,
        "waves": planned_waves(facts.run.run_id, waves),
        "guesses": guesses_of(ordered, policy),
        "leftOut": sorted(
            [*facts.missing, *without], key=lambda left: (left["error"], left["name"], left["instanceId"])
        ),
        "warnings": [
            *(frame.window.warnings if frame.window else ()),
            *([say("targets.near_misses", machines=facts.near_misses)] if facts.near_misses else ()),
            *_warn_of_ended_systems(facts),
            *_warn_of_reboots(facts, candidates),
            *snapshot.warnings,
            *order_warnings,
            *wave_warnings,
            *warn_of_other_patches(
                waves,
                policy,
                followed=facts.earlier.plan if facts.earlier and request.follows and snapshot.goes_on else None,
                proved=facts.resumed.plan if facts.resumed and is_proved else None,
            ),
        ],
        "tooLong": find_too_long(machines, policy, frame.end - begin_of(facts)),
    }
    return {**plan, "advice": advise(plan, facts.now, frame.end, frame.last_admission)}


def sort_out(facts: Facts) -> tuple[list[Candidate], list[LeftOut]]:
    """The machines that can be planned, and those that cannot, each with the reason."""
    estimates = Estimates(facts.histories, facts.policy, _room(facts))
    candidates: list[Candidate] = []
    without: list[LeftOut] = []
    for instance in facts.instances:
        instance_id = instance["InstanceId"]
        past, agent = facts.histories.get(instance_id), facts.agents.get(instance_id)
        reason = left_out(
            instance,
            facts.policy,
            agent=agent,
            held_by=facts.held.get(instance_id, "") or _group_held(instance, facts.held),
            history=past,
            since=facts.since,
            guard_tag=facts.guard_tag,
            membership=facts.memberships.get(instance_id, NO_MEMBERSHIP),
            stack=facts.stack,
        )
        if reason is None and instance_id in facts.stop_protected:
            reason = leave_out(instance_id, name_of(instance), refusal_as_protected(instance_id))
        if reason is not None:
            without.append(reason)
        else:
            was_left = was_not_attempted(facts.left_over.get(instance_id), past)
            candidates.append(candidate(instance, agent, estimates, was_left))
    return candidates, without


def begin_of(facts: Facts) -> datetime:
    """When the time began that the run has."""
    return facts.frame.window.start if facts.frame.window else facts.run.started


def _room(facts: Facts) -> timedelta:
    """What a machine may take that begins first of all, after an approval that comes late."""
    approval = facts.policy["approval"]
    may_ask = approval["required"] or approval["above"] > 0
    wait = timedelta(seconds=approval["seconds"]) if may_ask else timedelta()
    return max(facts.frame.end - first_begin(facts) - wait - _TIME_TO_BEGIN, timedelta())


def first_begin(facts: Facts) -> datetime:
    """Before this no machine begins: of a plan for a window, when that opens."""
    return max(facts.now, facts.frame.window.start) if facts.frame.window else facts.now


def _warn_of_ended_systems(facts: Facts) -> list[str]:
    """Which operating systems of the machines get no more updates, as far as their agents are online."""
    ended = Counter(
        said for agent in facts.agents.values() if (said := describe_end(agent.system, agent.system_version, facts.now))
    )
    return [say("system.ended.count", ended=said, count=count) for said, count in sorted(ended.items())]


def _warn_of_reboots(facts: Facts, candidates: Sequence[Candidate]) -> list[str]:
    """Which machines owe a reboot, and what AWS shows where the machine decides whether it needs one.

    What is stopped boots anew by itself.
    """
    if facts.policy["operation"] != "Install":
        return []
    owing = [one.label for one in candidates if _owes(facts.histories.get(one.subject.key)) and one.power == "running"]
    if not owing:
        said = []
    elif facts.policy["reboot"] == "NoReboot":
        said = [say("reboot.stays_owed", count=len(owing), machines=owing)]
    else:
        said = [say("reboot.owed_by", count=len(owing), machines=owing)]
    return [
        *said,
        *([say("reboot.counted_by_aws")] if facts.policy["reboot"] in ON_EVIDENCE else []),
    ]


def _owes(history: History | None) -> bool:
    return history is not None and history.owed is not None


def _group_held(instance: Instance, held: Mapping[str, str]) -> str:
    """Who rolls through the group of a machine; empty for nobody."""
    group = tags_of(instance).get(GROUP_TAG)
    return held.get(Group(group).key, "") if group else ""


class _Snapshot(NamedTuple):
    """The patch snapshot of a run, and whether it is that of the earlier run."""

    id: str
    goes_on: bool
    warnings: Sequence[str]


def _choose_snapshot(facts: Facts) -> _Snapshot:
    request, earlier = facts.request, facts.earlier
    own = request.snapshot_id or own_snapshot(facts.run)
    if earlier is None:
        return _Snapshot(own, False, [])
    if earlier.snapshot_lives(facts.now):
        return _Snapshot(earlier.plan["snapshotId"], True, [])
    over = say("plan.snapshot_over.resumed" if facts.resumed else "plan.snapshot_over", run=earlier.run.run_id)
    return _Snapshot(own, False, [over])


def own_snapshot(run: Run) -> str:
    """The name that a run gives its patch snapshot, always the same: AWS makes one for a name that it does not know."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, run.holder.execution))


def describe_window(window: WindowFacts | None) -> PlannedWindow | None:
    """A window as a plan has it."""
    if window is None:
        return None
    return {
        "windowId": window.window_id,
        "executionId": window.execution_id,
        "name": window.name,
        "start": to_text(window.start),
        "end": to_text(window.end),
    }


def require_not_expired(run: Run, now: datetime) -> None:
    """Raises PlanExpiredError when the plan of a run that only made it is too old."""
    if now >= run.expires:
        raise PlanExpiredError(say("plan.expired", run=run.run_id, until=run.expires))


def take_over(earlier: Earlier, request: RunRequest, account: Policy, run: Run, now: datetime) -> Plan:
    """The earlier run's plan as it is, at other times, with approvals and gates as strict as the account's of now.

    Raises PlanExpiredError.
    """
    plan = earlier.plan
    policy = cast(Policy, {**plan["policy"], "deadlineMinutes": request.policy["deadlineMinutes"]})
    frame = frame_of(None, policy, run.started)
    require_not_expired(earlier.run, now)
    if not earlier.is_snapshot_unused and not earlier.snapshot_lives(frame.end):
        raise PlanExpiredError(say("plan.snapshot_too_old", run=earlier.run.run_id))
    moved = at_another_time({**plan, "policy": tighten(policy, account)}, now, frame.end, frame.last_admission)
    advice = advise(moved, now, frame.end, frame.last_admission)
    return {**moved, "runId": run.run_id, "createdAt": to_text(now), "advice": advice}
