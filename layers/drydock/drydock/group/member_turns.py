"""A member's turn in a roll: out of service, patched by an execution of its own, and back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from drydock import subject
from drydock.aws.autoscaling import ENTERING_STANDBY, IN_SERVICE, STANDBY, Group
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.environment import Environment
from drydock.errors import (
    AwsCallFailedError,
    DrydockError,
    GroupNotReadyError,
    InServiceTimedOutError,
    InstanceNotFoundError,
    InstanceNotReadyError,
    InstanceRefreshAtWorkError,
    MachinesNotReadyError,
    MemberDrainingError,
    MemberGoneError,
    MemberNotReadyError,
    MemberOvertakenError,
    RollStoppedError,
    ServiceUnavailableError,
    StandbyTimedOutError,
    outcome_of_failure,
)
from drydock.group.member_moves import Move, decide_move
from drydock.group.refilling import (
    is_refilling,
    lacks_refill,
    note_refill,
    refill,
    wanted_with,
)
from drydock.group.rules import least_healthy, takes_members_out
from drydock.group.surging import let_member_return, policy_of, wanted_without_surge
from drydock.machine.refusal import done_since, refusal, refusal_by_guard, refusal_by_stack
from drydock.machine.settling import look_at_commands
from drydock.plan.estimates import DRAIN, is_guess
from drydock.plan.plans import slots_of
from drydock.records import intents
from drydock.records.group_leases import (
    claim_alone,
    claim_member,
    close_roll,
    end_member,
    end_turn_in_service,
    fit_texts,
    members_leaving,
    members_out,
    planned_members,
)
from drydock.records.history import find_history
from drydock.records.holder import Holder
from drydock.records.leases import Hold, Intent, Lease, find_lease, hold_of
from drydock.records.results import Member
from drydock.records.runs import Run, child_execution, child_name, find_place, find_run
from drydock.request.policy import Policy, deadline_of
from drydock.request.step import Step
from drydock.run.gates import Forecast, look_at_run, look_outside
from drydock.run.running import end_of_child, never_started, parts_of_members
from drydock.telling.failures import readable_failure
from drydock.times import from_text, to_text

MEMBER_TAG = "AutoPatchInstanceInASG"
IN_PROGRESS, COMPLETED = "InProgress", "Completed"

_PATCHED = ("compliant", "non_compliant", "patched_reported_failed", "pending_reboot", "unpatchable")
"""The verdicts that say of a member that it is patched."""


@dataclass(frozen=True)
class MemberTurn:
    """One member's turn in a roll. The owner of the group's lease is the roll, not the Map's child that acts for it."""

    owner: Holder
    group: subject.Group
    instance_id: str
    run_id: str

    @classmethod
    def read(cls, step: Step) -> MemberTurn:
        """The turn that a state of a roll is about: its data names the roll's execution, as the owner, and the run."""
        data = step.data
        owner = Holder(str(data["owner"]["execution"]), int(data["owner"]["redriveCount"]))
        return cls(owner, step.group, step.instance_id, str(data["runId"]))

    def hold(self, services: Services) -> Hold:
        """What the roll has of the group."""
        return Hold.of(services, self.owner, self.group)

    @property
    def child(self) -> str:
        """The name of the execution that patches the member."""
        return child_name(self.owner.name, subject.Instance(self.instance_id))

    def execution(self, environment: Environment) -> str:
        """The ARN of that execution."""
        return child_execution(self.owner, environment.stack, environment.region, subject.Instance(self.instance_id))


def take_turn(services: Services, step: Step) -> dict[str, Any]:
    """Let a member's turn begin, if it still is in service, the gates are open and there is anything to be done to it.

    Returns whether its turn has come, and the name of the execution that shall patch it. Raises LeaseLostError.
    """
    turn, policy = MemberTurn.read(step), step.policy
    lease = turn.hold(services).require()
    members = len(planned_members(lease))
    closed = _closed_gate(services, turn, policy, lease)
    if closed is not None:
        close_roll(turn.hold(services), type(closed).__name__, str(closed))
    _close_after_a_loss(services, turn, policy, lease)
    claimed = claim_member(turn.hold(services), turn.instance_id)
    if claimed is None:
        return {"taken": False, "childName": turn.child}
    has_left = intents.enter_standby(turn.instance_id) in claimed.intents
    if claimed.closed is not None and not has_left:
        # It waited, and the roll takes no further member now.
        why = {"error": claimed.closed["error"], "cause": claimed.closed["reason"]}
        _end(services, turn, policy, members, {"outcome": "not_attempted", **why})
        return {"taken": False, "childName": turn.child}
    member = services.autoscaling.group(turn.group.name).find(turn.instance_id)
    if member is None or member.is_leaving:
        _end(services, turn, policy, members, _gone_before())
        return {"taken": False, "childName": turn.child}
    needless = None if has_left else _needless(services, turn, policy, claimed)
    if needless is not None:
        error = type(needless).__name__
        _end(
            services,
            turn,
            policy,
            members,
            {"outcome": outcome_of_failure(error), "error": error, "cause": str(needless)},
        )
        return {"taken": False, "childName": turn.child}
    return {"taken": True, "childName": turn.child}


def enter_standby(services: Services, step: Step) -> dict[str, Any]:
    """Take a member out of service, if the gates are open still and the others can do without it.

    Returns whether its image is to be that of the launch template, and when its connections are drained.
    Raises GroupNotReadyError while too few others are healthy, MemberOvertakenError, RollStoppedError, MemberGoneError,
    LeaseLostError.
    """
    turn, policy = MemberTurn.read(step), step.policy
    lease = turn.hold(services).require()
    if intents.enter_standby(turn.instance_id) not in lease.intents:
        # It was looked at meanwhile, or had to wait.
        closed = _closed_gate(services, turn, policy, lease)
        if closed is not None:
            close_roll(turn.hold(services), type(closed).__name__, str(closed))
        lease = turn.hold(services).require()
        if lease.closed is not None:
            raise RollStoppedError(f"{turn.instance_id}: {lease.closed['error']}: {lease.closed['reason']}")
    group = services.autoscaling.group(turn.group.name)
    member = group.find(turn.instance_id)
    if member is None or member.is_leaving:
        raise MemberGoneError(say("member.gone", machine=turn.instance_id, group=turn.group.name))
    standing = lease.intents.get(intents.enter_standby(turn.instance_id))
    if member.lifecycle in (STANDBY, ENTERING_STANDBY):
        if standing is None:
            return {"donates": False, "drainedAt": to_text(services.now())}
        return _how_it_leaves(lease, standing)
    _require_spared(services, turn, policy, lease, group)
    left = claim_alone(
        hold_of(services, lease),
        lease,
        intents.enter_standby(turn.instance_id),
        if_open=True,
        if_in_turn=turn.instance_id,
        donates=_is_donor(lease, policy, turn.instance_id),
    )
    mark_member(services, turn.instance_id, IN_PROGRESS)
    services.autoscaling.enter_standby(turn.group.name, turn.instance_id)
    return _how_it_leaves(lease, left)


_SHOWN_AFTER = timedelta(seconds=2)
"""The intent comes before the call, and Auto Scaling shows the end of draining a moment later."""


def _how_it_leaves(lease: Lease, left: Intent) -> dict[str, Any]:
    drained = left.at + timedelta(seconds=int(lease.journal["drainSeconds"])) + _SHOWN_AFTER
    return {"donates": bool(left.facts["donates"]), "drainedAt": to_text(drained)}


def _is_donor(lease: Lease, policy: Policy, instance_id: str) -> bool:
    """Whether the launch template is to learn the image of this member: of the first that leaves, while that is well.

    One is enough. Where its donor fails and the roll goes on, the next that leaves is.
    """
    if not policy["refreshLaunchTemplate"]["enabled"] or policy["operation"] != "Install":
        return False
    standing = lease.intents.get(intents.enter_standby(instance_id))
    if standing is not None:
        return bool(standing.facts["donates"])
    donors = {
        intents.member_of(name)
        for name, intent in lease.intents.items()
        if intents.kind_of(name) == intents.kind_of(intents.enter_standby("")) and intent.facts.get("donates")
    }
    return not any(lease.members.get(donor, {}).get("outcome", "succeeded") == "succeeded" for donor in donors)


def _gone_before() -> dict[str, str]:
    return {"outcome": "gone", "error": MemberGoneError.__name__, "cause": say("member.given_away")}


def _require_spared(services: Services, turn: MemberTurn, policy: Policy, lease: Lease, group: Group) -> None:
    """Raises GroupNotReadyError while the group cannot do without a member."""
    if is_refilling(lease, turn.instance_id):
        raise GroupNotReadyError(say("group.place_filled", group=turn.group.name))
    targets = services.autoscaling.serving_targets(group.target_groups)
    leaving = members_leaving(lease) - {turn.instance_id}
    others = (group.serving if targets is None else group.serving & targets) - {turn.instance_id} - leaving
    wanted = wanted_without_surge(lease, group, len(members_out(lease, group)))
    least = least_healthy(policy_of(lease, policy), wanted)
    if len(others) < least:
        raise GroupNotReadyError(
            say("group.cannot_spare", group=turn.group.name, machine=turn.instance_id, count=len(others), least=least)
        )
    away = leaving | _away(lease, group, turn.instance_id)
    if len(away) >= policy["batch"]:
        raise GroupNotReadyError(say("group.members_out", group=turn.group.name, members=sorted(away)))


def _close_after_a_loss(services: Services, turn: MemberTurn, policy: Policy, lease: Lease) -> None:
    """A child of the Map that died has recorded no end of its member: then no further one begins."""
    unended = [key for key, found in lease.members.items() if key != turn.instance_id and "outcome" not in found]
    # As many may be at work beside this one as the batch has besides.
    if len(unended) >= policy["batch"]:
        reason = say("roll.end_unknown", members=unended)
        close_roll(turn.hold(services), RollStoppedError.__name__, reason)


def _needless(services: Services, turn: MemberTurn, policy: Policy, lease: Lease) -> DrydockError | None:
    """Why a member need not leave service: its execution would be refused, or the same was done to it meanwhile."""
    since = str(lease.journal.get("unlessDoneSince") or "")
    if since:
        done = done_since(find_history(services.table, policy["operation"], turn.instance_id), from_text(since))
        if done is not None:
            return done
    try:
        instance = services.ec2.describe_instance(turn.instance_id)
    except InstanceNotFoundError as error:
        return error
    refused = refusal(instance, policy, member_of_leased_group=True)
    if isinstance(refused, InstanceNotReadyError):
        return None
    environment = services.environment
    return refused or refusal_by_guard(instance, environment.guard_tag) or refusal_by_stack(instance, environment.stack)


def _away(lease: Lease, group: Group, instance_id: str) -> set[str]:
    """The other members whose turn it was and that are out of service still, also those that the group terminates."""
    return {
        member.instance_id
        for member in group.members
        if member.instance_id in lease.members and member.instance_id != instance_id and member.lifecycle != IN_SERVICE
    }


def _closed_gate(services: Services, turn: MemberTurn, policy: Policy, lease: Lease) -> DrydockError | None:
    """Why no further member may leave service, as it is now."""
    run = find_run(services.table, turn.run_id) if turn.run_id else None
    if run is not None:
        # What failed in this roll is in the run's budget only once the roll is over.
        run = replace(run, failed=run.failed + len(_failed(lease)))
        zone = run.time_zone or services.environment.time_zone
        verdict = look_at_run(run, _forecast(services, run, lease), services.now(), zone)
        if verdict is not None:
            return verdict.reason
    refresh = services.autoscaling.refresh_at_work(turn.group.name) if takes_members_out(policy) else ""
    if refresh:
        return InstanceRefreshAtWorkError(say("group.refresh_at_work", group=turn.group.name, refresh=refresh))
    return look_outside(services, policy["gates"])


def _forecast(services: Services, run: Run, lease: Lease) -> Forecast | None:
    """How long a member is expected to take, and what has to be restored after it; None where nobody planned that.

    What this roll's members took that are done counts for the others, and so do those of other rolls of the run.
    """
    place = find_place(services.table, run.run_id, lease.subject)
    if place is None or not place.pace:
        return None
    seconds = place.expected_seconds
    if is_guess(place.pace) and lease.journal["operation"] != "Scan":
        # The plan has assumed how long connections drain; by now it is known. What members took has it in it.
        seconds += int(lease.journal["drainSeconds"]) - DRAIN.linux
    members = [Member.from_item({"name": "", **found}) for found in lease.members.values() if "outcome" in found]
    forecast = Forecast.by_run(
        run, place.pace, seconds, say("estimate.as_planned"), Counter(parts_of_members(members, seconds))
    )
    return replace(forecast, seconds=forecast.seconds + place.after_seconds)


def mark_member(services: Services, instance_id: str, value: str | None) -> str:
    """Show people how far a member is; None for not patched. Returns why that could not be written, if so."""
    try:
        if value is None:
            services.ec2.remove_tags(instance_id, [MEMBER_TAG])
        else:
            services.ec2.set_tags(instance_id, {MEMBER_TAG: value})
    except (AwsCallFailedError, ServiceUnavailableError) as error:
        return say("tag.not_written", tag=MEMBER_TAG, reason=str(error))
    return ""


def _is_patched(operation: str, end: Mapping[str, Any]) -> bool:
    return operation == "Install" and end.get("verdict") in _PATCHED


def mark_unended(
    services: Services, lease: Lease, group: Group, instance_id: str, end: Mapping[str, Any] | None = None
) -> str:
    """As `mark_member`, for one whose turn came and whose end nobody has written down. `end` is what was found out."""
    if intents.enter_standby(instance_id) not in lease.intents or group.find(instance_id) is None:
        return ""
    is_patched = end is not None and _is_patched(str(lease.journal["operation"]), end)
    return mark_member(services, instance_id, COMPLETED if is_patched else None)


def await_standby(services: Services, step: Step) -> None:
    """Raises MemberNotReadyError until the member is in standby, MemberGoneError, StandbyTimedOutError.

    Raises MemberDrainingError where nobody has waited yet until its connections are drained, as `data.isDrained` says:
    a member without connections may be in standby at once.
    """
    turn = MemberTurn.read(step)
    lease = turn.hold(services).require()
    member = services.autoscaling.group(turn.group.name).find(turn.instance_id)
    if member is None or member.is_leaving:
        raise MemberGoneError(say("member.gone", machine=turn.instance_id, group=turn.group.name))
    if member.lifecycle == STANDBY:
        return
    if not step.data["isDrained"]:
        raise MemberDrainingError(say("machine.in_state", machine=turn.instance_id, state=member.lifecycle))
    since = lease.intents[intents.enter_standby(turn.instance_id)].at
    limit = timedelta(seconds=int(lease.journal["drainSeconds"])) + deadline_of(step.policy, "standbySeconds")
    if services.now() - since > limit:
        raise StandbyTimedOutError(say("member.not_in_standby", machine=turn.instance_id, state=member.lifecycle))
    raise MemberNotReadyError(say("machine.in_state", machine=turn.instance_id, state=member.lifecycle))


def return_member(services: Services, step: Step) -> dict[str, Any]:
    """Decide what becomes of a member whose work is over, and begin it: back, held in standby, or replaced.

    Returns the move: exit, hold, replace, gone or none. Raises GroupNotReadyError, MachinesNotReadyError while the
    member's execution is not over or a command of it is at work, MemberOvertakenError, LeaseLostError.
    """
    turn = MemberTurn.read(step)
    ended = _end_of_work(services, step, turn)
    _require_commands_over(services, turn)
    lease = turn.hold(services).require()
    group = services.autoscaling.group(turn.group.name)
    member = group.find(turn.instance_id)
    is_here = member is not None and not member.is_leaving
    if intents.replacement(turn.instance_id) in lease.intents:
        # A function that died in the middle has decided already.
        if is_here:
            _replace(services, turn, lease, group)
        return {"move": "replace", "work": ended}
    if member is None or not is_here:
        return {"move": "gone", "work": {**ended, "outcome": "gone"}}
    if intents.enter_standby(turn.instance_id) not in lease.intents:
        if end_turn_in_service(turn.hold(services), turn.instance_id):
            if ended["outcome"] == "not_attempted" and lease.closed is not None:
                # It was looked at, and did not leave any more: for the reason for which its roll takes no other.
                ended = {**ended, "error": lease.closed["error"], "cause": lease.closed["reason"]}
            return {"move": "none", "work": ended}
        # A function of its execution, which is over, was about to take it out, and has.
        raise MachinesNotReadyError(say("member.just_left", machine=turn.instance_id))
    move = _standing_move(lease, turn.instance_id) or decide_move(
        services, lease, turn.instance_id, ended, turn.execution(services.environment)
    )
    if move == "exit" and member.lifecycle in (STANDBY, ENTERING_STANDBY):
        if is_refilling(lease, turn.instance_id):
            raise MemberOvertakenError(say("group.place_filled", group=turn.group.name))
        claim_alone(hold_of(services, lease), lease, intents.exit_standby(turn.instance_id))
        let_member_return(services, turn.owner, lease, group)
        services.autoscaling.exit_standby(turn.group.name, turn.instance_id)
    elif move == "replace":
        _replace(services, turn, lease, group)
    elif move == "hold":
        turn.hold(services).claim(intents.hold(turn.instance_id))
    return {"move": move, "work": ended}


def _require_commands_over(services: Services, turn: MemberTurn) -> None:
    """Raises MachinesNotReadyError: what may be at work on a member still is waited for, out of service."""
    held = find_lease(services.table, subject.Instance(turn.instance_id))
    if held is None or held.holder.execution != turn.execution(services.environment):
        return
    try:
        settlement = look_at_commands(services, held)
    except InstanceNotFoundError:
        return
    if not settlement.is_settled:
        raise MachinesNotReadyError(say("member.not_settled", machine=turn.instance_id, hindrance=str(settlement)))


def _standing_move(lease: Lease, instance_id: str) -> Move | None:
    """What a function that died in the middle has decided."""
    if intents.hold(instance_id) in lease.intents:
        return "hold"
    return "exit" if intents.exit_standby(instance_id) in lease.intents else None


def _replace(services: Services, turn: MemberTurn, lease: Lease, group: Group) -> None:
    name, standing = intents.replacement(turn.instance_id), lease.intents.get(intents.replacement(turn.instance_id))
    wanted = standing.facts["wanted"] if standing is not None else wanted_with(lease, group)
    claim_alone(hold_of(services, lease), lease, name, wanted=wanted)
    services.autoscaling.terminate(turn.group.name, turn.instance_id)


def _end_of_work(services: Services, step: Step, turn: MemberTurn) -> Mapping[str, Any]:
    execution, failure = turn.execution(services.environment), readable_failure(step.data.get("failure"))
    ended = end_of_child(services, step, execution)
    was_never_started = (ended["outcome"], ended["error"]) == (never_started()["outcome"], never_started()["error"])
    if was_never_started and failure is not None:
        # It did not come into standby, or its execution could not be started: the next would fare no better.
        return {"outcome": outcome_of_failure(failure["error"]), "verdict": "", **failure}
    if ended["outcome"] != "succeeded" or not step.policy["refreshLaunchTemplate"]["enabled"]:
        return ended
    return {**ended, "imageId": _image_after(services, step, execution)}


def _image_after(services: Services, step: Step, execution: str) -> str:
    """The image of a patched member. Where the state did not see the end of its execution, that is looked at."""
    output = step.data.get("output")
    if output is None:
        output = json.loads((services.executions.find(execution) or {}).get("output") or "{}")
    return str(((output.get("images") or {}).get("after") or {}).get("imageId") or "")


def await_in_service(services: Services, step: Step) -> None:
    """Raises MemberNotReadyError until the group has its capacity back, MemberGoneError, InServiceTimedOutError.

    Raises MemberOvertakenError when something else was begun while another instance was to be asked for.
    """
    turn, move = MemberTurn.read(step), str(step.data["move"])
    lease = turn.hold(services).require()
    group = services.autoscaling.group(turn.group.name)
    lack = _lack_of_member(services, group, turn) if move == "exit" else _lack_of_capacity(services, group, lease, turn)
    if lack is None:
        return
    begun = intents.exit_standby if move == "exit" else intents.replacement
    since = lease.intents[begun(turn.instance_id)].at
    limit = timedelta(seconds=int(lease.journal["drainSeconds"])) + deadline_of(step.policy, "standbySeconds")
    if services.now() - since > limit:
        raise InServiceTimedOutError(f"{turn.instance_id}: {lack}")
    raise MemberNotReadyError(f"{turn.instance_id}: {lack}")


def _lack_of_member(services: Services, group: Group, turn: MemberTurn) -> str | None:
    member = group.find(turn.instance_id)
    if member is None or member.is_leaving:
        raise MemberGoneError(say("member.gone", machine=turn.instance_id, group=group.name))
    if member.lifecycle != IN_SERVICE or not member.is_healthy:
        return say(
            "member.lacks_service" if member.is_healthy else "member.lacks_health",
            state=member.lifecycle,
            group=group.name,
        )
    unhealthy = services.autoscaling.unhealthy_targets(group.target_groups, turn.instance_id)
    return say("member.lacks_targets", targets=unhealthy) if unhealthy else None


def _lack_of_capacity(services: Services, group: Group, lease: Lease, turn: MemberTurn) -> str | None:
    """A replaced member's place is filled by the group itself, or, where it wants one less now, asked for once."""
    member = group.find(turn.instance_id)
    if member is not None and not member.is_leaving:
        return say("member.still_there", state=member.lifecycle)
    if lacks_refill(lease, group, turn.instance_id):
        refill(services, lease, group, turn.instance_id)
        return say("member.refill_asked")
    if (standing := lease.intents.get(intents.refill(turn.instance_id))) is not None and not standing.id:
        note_refill(services, lease, turn.instance_id)
    if group.healthy_in_service < group.desired:
        return say("group.lacks_members", count=group.healthy_in_service, wanted=group.desired)
    return None


def record_member(services: Services, step: Step) -> dict[str, Any]:
    """Write down what became of a member, and stop the roll when more failed than may, or when nobody can tell."""
    turn = MemberTurn.read(step)
    work = dict(step.data.get("work") or {"outcome": "failed", "error": "", "cause": "", "verdict": ""})
    failure = readable_failure(step.data.get("failure"))
    if failure is not None:
        work |= {"outcome": "gone" if failure["error"] == MemberGoneError.__name__ else "failed", **failure}
    if takes_members_out(step.policy) and work["outcome"] not in ("gone", "already_compliant"):
        is_patched = work["outcome"] == "succeeded" and _is_patched(step.policy["operation"], work)
        work["note"] = mark_member(services, turn.instance_id, COMPLETED if is_patched else None)
    _end(services, turn, step.policy, int(step.data["members"]), {**work, "move": str(step.data.get("move") or "none")})
    return {"outcome": work["outcome"]}


def _end(services: Services, turn: MemberTurn, policy: Policy, members: int, outcome: Mapping[str, Any]) -> None:
    """Write down what became of a member, and stop the roll when more have failed than may, or too many are held."""
    told = fit_texts({"cause": "", **outcome}, members)
    lease = end_member(turn.hold(services), turn.instance_id, told)
    if lease is None:
        # It failed before its turn came, so no gate could be asked: the next would fare no better.
        close_roll(turn.hold(services), told["error"], told["cause"])
        return
    failed = _failed(lease)
    allowed = slots_of(policy["maxErrors"], len(lease.journal["planned"]), 0)
    held = [key for key in failed if lease.members[key].get("move") == "hold"]
    if len(failed) > allowed:
        why = say("roll.budget_spent", count=len(failed), allowed=allowed)
    elif len(held) >= policy["batch"]:
        why = say("roll.held_too_many", members=held, batch=policy["batch"])
    else:
        return
    close_roll(turn.hold(services), RollStoppedError.__name__, why)


def _failed(lease: Lease) -> list[str]:
    return [instance_id for instance_id, found in lease.members.items() if found.get("outcome") == "failed"]
