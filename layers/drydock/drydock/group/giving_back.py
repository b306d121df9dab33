"""Giving back a group: a convergent pass over one whose roll is over without having released it.

First the executions of its members end and give their machines back, then the members come back into service,
then the group is as it was. The lease stays until all is done.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from drydock.aws.autoscaling import IN_SERVICE, STANDBY, Group
from drydock.aws.ec2 import state_of
from drydock.aws.executions import OPEN
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import DrydockError, Failure, GroupNotFoundError, RollStoppedError, UnreadableItemError
from drydock.group.member_moves import Move, decide_move
from drydock.group.member_turns import mark_unended
from drydock.group.refilling import describe_departed, lacks_refill, note_refill, wanted_with
from drydock.group.rolling import result_of_roll, undo_changes
from drydock.group.surging import give_surge_back, make_room_for_return
from drydock.machine.release import find_instance
from drydock.records import intents
from drydock.records.leases import (
    ADMITTING,
    FUNCTION_LIFETIME,
    RESTORING,
    Hold,
    Lease,
    find_lease,
    hold_of,
)
from drydock.records.results import Result, put_result
from drydock.records.runs import child_execution
from drydock.records.staleness import SEEN_LATE, is_stale
from drydock.run.running import describe_end
from drydock.subject import Instance, Subject
from drydock.telling.failures import readable_cause

GroupMove = Literal[
    "nothing",
    "wait_for_functions",
    "stop_executions",
    "wait_for_members",
    "exit_standby",
    "replace_member",
    "hold_member",
    "fill_place",
    "wait_for_capacity",
    "remove_surge",
    "release",
]


def give_back_group(services: Services, subject: Subject) -> GroupMove:
    """One pass over one group; what was done."""
    lease = find_lease(services.table, subject)
    if lease is None or (lease.phase != RESTORING and not is_stale(services, lease)):
        return "nothing"
    if lease.phase == ADMITTING:
        return _end_untouched(services, lease)
    lease = hold_of(services, lease).begin_restoring(lease)
    if lease is None:
        return "nothing"
    hindrance = _stop_members(services, lease)
    if hindrance is not None:
        return hindrance
    held, unreadable = _members_held(services, lease)
    if held:
        return "wait_for_members"
    try:
        group = services.autoscaling.group(lease.group_name)
    except GroupNotFoundError:
        return _release(services, lease, None, [say("group.gone")])
    move = _give_members_back(services, lease, group, unreadable)
    if move is not None:
        return move
    if unreadable:
        # Whether they are in work is not known: they stay as they are, and so does what the group needs for them.
        raise next(iter(unreadable.values()))
    may_wait = services.now() - lease.phase_since < _SERVES_AGAIN
    next_move, staying = give_surge_back(services, lease, group, may_wait)
    if next_move is not None:
        return next_move
    problems = [
        *staying,
        *undo_changes(services, lease),
        *describe_departed(lease, group),
        *_still_out(lease, group),
        *(say("member.held", machine=one) for one in lease.members if _is_out(lease, group, one)),
    ]
    return _release(services, lease, group, problems)


def _end_untouched(services: Services, lease: Lease) -> GroupMove:
    if services.now() - lease.phase_since < FUNCTION_LIFETIME:
        return "wait_for_functions"
    if Hold.of(services, lease.holder, lease.subject).drop(ADMITTING):
        failure: Failure = {"error": "ABORTED", "cause": say("execution.ended_before")}
        result = Result(lease.subject, lease.holder, lease.started, services.now(), "refused", failure)
        put_result(services.table, result)
    return "release"


def _child(services: Services, lease: Lease, instance_id: str) -> str:
    environment = services.environment
    return child_execution(lease.holder, environment.stack, environment.region, Instance(instance_id))


def _stop_members(services: Services, lease: Lease) -> GroupMove | None:
    """Stop what still works on members: Step Functions' own cancellation is best effort. None once nothing can.

    From the fence on no execution is admitted for a member. One that was started before may be seen late, by a function
    that still lives or by an engine that hears late that the roll is over.
    """
    children = {
        child: services.executions.find(child)
        for child in (
            _child(services, lease, instance_id) for instance_id, one in lease.members.items() if "outcome" not in one
        )
    }
    running = [child for child, found in children.items() if found is not None and found["status"] in OPEN]
    for child in running:
        services.executions.stop(child, RollStoppedError.__name__, say("roll.over", roll=lease.holder.name))
    now = services.now()
    if now - max(lease.newest_intent_at(), lease.phase_since) < FUNCTION_LIFETIME:
        return "wait_for_functions"
    if running:
        return "stop_executions"
    is_unseen = None in children.values() and now - lease.phase_since < SEEN_LATE
    return "wait_for_functions" if is_unseen else None


def _members_held(services: Services, lease: Lease) -> tuple[bool, Mapping[str, UnreadableItemError]]:
    """Whether an execution of this roll still holds a member, by what the members' leases say now.

    And the members whose leases cannot be read, each with why.
    """
    unreadable: dict[str, UnreadableItemError] = {}
    is_held = False
    for instance_id, found in lease.members.items():
        if found.get("outcome") == "succeeded":
            continue
        member = Instance(instance_id)
        try:
            held = find_lease(services.table, member)
        except UnreadableItemError as error:
            unreadable[instance_id] = error
        else:
            is_held = is_held or (held is not None and held.holder.execution == _child(services, lease, member.id))
    return is_held, unreadable


def _give_members_back(services: Services, lease: Lease, group: Group, left_alone: Container[str]) -> GroupMove | None:
    """Let the members that Drydock put into standby leave it, and wait until they serve. None when all do.

    One that cannot leave hinders no other: what hindered the first is raised when the others are done.
    """
    hindrance: DrydockError | None = None
    moves: list[GroupMove] = []
    for instance_id in lease.members:
        if instance_id in left_alone:
            continue
        try:
            move = _give_member_back(services, lease, group, instance_id)
        except DrydockError as error:
            hindrance = hindrance or error
            continue
        if move in ("exit_standby", "replace_member", "hold_member", "fill_place"):
            return move
        moves += [move] if move is not None else []
    if hindrance is not None:
        raise hindrance
    may_wait = services.now() - lease.phase_since < _SERVES_AGAIN
    return "wait_for_capacity" if moves and may_wait else None


def _give_member_back(services: Services, lease: Lease, group: Group, instance_id: str) -> GroupMove | None:
    """The next move for one member, carried out; None when there is nothing left to do."""
    member = group.find(instance_id)
    if lacks_refill(lease, group, instance_id):
        if hold_of(services, lease).claim_giving_back(intents.refill(instance_id)):
            services.autoscaling.set_desired(group.name, group.desired + 1)
            note_refill(services, lease, instance_id)
        return "fill_place"
    if member is None or member.is_leaving or not _is_ours(lease, instance_id):
        return None
    if member.lifecycle != STANDBY:
        return None if member.lifecycle == IN_SERVICE else "wait_for_capacity"
    move = _move_of(services, lease, instance_id)
    if move == "hold":
        hold_of(services, lease).claim_giving_back(intents.hold(instance_id))
        return "hold_member"
    if move == "replace":
        name = intents.replacement(instance_id)
        standing = lease.intents.get(name)
        wanted = standing.facts["wanted"] if standing is not None else wanted_with(lease, group)
        if hold_of(services, lease).claim_giving_back(name, wanted=wanted):
            services.autoscaling.terminate(group.name, instance_id)
        return "replace_member"
    instance = find_instance(services, instance_id)
    if instance is None or state_of(instance) != "running":
        return None
    if hold_of(services, lease).claim_giving_back(intents.give_back_exit(instance_id)):
        make_room_for_return(services, lease, group)
        services.autoscaling.exit_standby(group.name, instance_id)
    return "exit_standby"


def _move_of(services: Services, lease: Lease, instance_id: str) -> Move:
    """What was decided of a member, or has to be now. One that was stopped, not one that failed, goes back."""
    if intents.replacement(instance_id) in lease.intents:
        return "replace"
    end = _end_of(services, lease, instance_id)
    if intents.exit_standby(instance_id) in lease.intents or end["outcome"] != "failed" or end["error"] in _STOPPED:
        return "exit"
    return decide_move(services, lease, instance_id, end, _child(services, lease, instance_id))


def _end_of(services: Services, lease: Lease, instance_id: str) -> Mapping[str, Any]:
    """What became of a member, from its execution where nobody has written it down."""
    found = lease.members[instance_id]
    if "outcome" in found:
        return found
    child = services.executions.find(_child(services, lease, instance_id))
    if child is None:
        return {**found, "outcome": "not_attempted", "error": "ABORTED", "cause": say("execution.never_started")}
    return {**found, **describe_end(child)}


_STOPPED = ("ABORTED", "TIMED_OUT", "UNKNOWN")
"""How a member's execution ends that somebody has stopped, or Drydock because the roll is over."""

_SERVES_AGAIN = timedelta(hours=1)
"""So long a pass waits for members to be in service; health is the group's own business after that."""


def _is_ours(lease: Lease, instance_id: str) -> bool:
    """Whether Drydock put a member into standby, and does not hold it there because the policy says so."""
    return intents.enter_standby(instance_id) in lease.intents and not _is_held(lease, instance_id)


def _is_held(lease: Lease, instance_id: str) -> bool:
    return intents.hold(instance_id) in lease.intents or lease.members[instance_id].get("move") == "hold"


def _is_out(lease: Lease, group: Group, instance_id: str) -> bool:
    member = group.find(instance_id)
    return _is_held(lease, instance_id) and member is not None and member.lifecycle == STANDBY


def _still_out(lease: Lease, group: Group) -> list[str]:
    return [
        say("member.left_in_standby", machine=instance_id)
        for instance_id in lease.members
        if (member := group.find(instance_id)) is not None
        and member.lifecycle == STANDBY
        and _is_ours(lease, instance_id)
    ]


def _release(services: Services, lease: Lease, group: Group | None, problems: list[str]) -> GroupMove:
    execution = services.executions.find(lease.holder.execution)
    status = str(execution["status"]) if execution else "UNKNOWN"
    cause = readable_cause(str((execution or {}).get("cause") or say("execution.ended", status=status)))
    failure: Failure = {"error": str((execution or {}).get("error") or status), "cause": cause}
    members: dict[str, Mapping[str, Any]] = {}
    for instance_id, found in lease.members.items():
        end = _end_of(services, lease, instance_id)
        if group is not None and "outcome" not in found:
            end = {**end, "note": mark_unended(services, lease, group, instance_id, end)}
        members[instance_id] = {**end, "move": "hold"} if _is_held(lease, instance_id) else end
    lease = replace(lease, members=members)
    result = replace(result_of_roll(lease, failure, problems, services.now()), given_back=True)
    if not Hold.of(services, lease.holder, lease.subject).finish(RESTORING, result):
        Hold.of(services, lease.holder, lease.subject).drop(RESTORING)
    return "release"
