"""Giving back a group: a convergent pass over one whose roll is over without having released it.

First the executions of its members end and give their machines back, then the members come back into service,
then the group is as it was. The lease stays until all is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from drydock.autoscaling import IN_SERVICE, STANDBY, Group
from drydock.ec2 import state_of
from drydock.errors import GroupNotFoundError
from drydock.failures import readable_cause
from drydock.group_leases import departure_of
from drydock.leases import (
    ADMITTING,
    FUNCTION_LIFETIME,
    RESTORING,
    Lease,
    all_leases,
    begin_restoring,
    claim_giving_back,
    drop_lease,
    end_lease_with_result,
    find_lease,
    record_intent,
)
from drydock.member_turns import mark_unended
from drydock.release import find_instance
from drydock.results import make_result, put_result
from drydock.rolling import describe_group, undo_changes
from drydock.running import describe_end
from drydock.runs import child_name
from drydock.services import Services
from drydock.staleness import is_stale
from drydock.surging import give_surge_back

GroupMove = Literal[
    "nothing",
    "wait_for_functions",
    "stop_executions",
    "wait_for_members",
    "exit_standby",
    "wait_for_capacity",
    "remove_surge",
    "release",
]


def give_back_group(services: Services, subject: str) -> GroupMove:
    """One pass over one group; what was done."""
    lease = find_lease(services.table, subject)
    if lease is None or (lease.phase != RESTORING and not is_stale(services, lease)):
        return "nothing"
    if lease.phase == ADMITTING:
        return _end_untouched(services, lease)
    lease = begin_restoring(services.table, lease, services.now())
    if lease is None:
        return "nothing"
    if services.now() - lease.newest_intent_at() < FUNCTION_LIFETIME:
        return "wait_for_functions"
    if _stop_members(services, lease):
        return "stop_executions"
    if _members_held(services, lease):
        return "wait_for_members"
    try:
        group = services.autoscaling.group(lease.group_name)
    except GroupNotFoundError:
        return _release(services, lease, None, ["the group is gone"])
    move = _give_members_back(services, lease, group)
    if move is not None:
        return move
    may_wait = services.now() - lease.phase_since < _SERVES_AGAIN
    next_move, staying = give_surge_back(services, lease, group, may_wait)
    if next_move is not None:
        return next_move
    problems = [*staying, *undo_changes(services, lease), *_still_out(lease, group)]
    return _release(services, lease, group, problems)


def _end_untouched(services: Services, lease: Lease) -> GroupMove:
    if services.now() - lease.phase_since < FUNCTION_LIFETIME:
        return "wait_for_functions"
    if drop_lease(services.table, lease.holder, lease.subject, ADMITTING):
        failure = {"error": "ABORTED", "cause": "the execution ended before it had begun"}
        facts = {"failure": failure}
        put_result(
            services.table,
            make_result(lease.subject, lease.holder, lease.started, "refused", services.now(), facts),
        )
    return "release"


def _children(services: Services, lease: Lease) -> set[str]:
    """The executions that patch members of this roll."""
    return {_child(services, lease, instance_id) for instance_id in lease.members}


def _child(services: Services, lease: Lease, instance_id: str) -> str:
    environment, holder = services.environment, lease.holder
    return (
        f"arn:{holder.partition}:states:{environment.region}:{holder.account}:execution:"
        f"{environment.stack}-PatchInstance:{child_name(holder.name, instance_id)}"
    )


def _stop_members(services: Services, lease: Lease) -> bool:
    """Stop what still works on members: Step Functions' own cancellation is best effort."""
    children = _children(services, lease)
    running = children & services.executions.running_among(children)
    for execution in running:
        services.executions.stop(execution, "RollStoppedError", f"the roll {lease.holder.name} is over")
    return bool(running)


def _members_held(services: Services, lease: Lease) -> bool:
    children = _children(services, lease)
    return any(other.holder.execution in children for other in all_leases(services.table))


def _give_members_back(services: Services, lease: Lease, group: Group) -> GroupMove | None:
    """Let the members that Drydock put into standby leave it, and wait until they serve. None when all do."""
    waits = False
    for instance_id in lease.members:
        member = group.find(instance_id)
        if member is None and _lacks_refill(lease, group, instance_id):
            if claim_giving_back(services.table, lease, f"refill:{instance_id}", services.now()):
                services.autoscaling.set_desired(group.name, group.desired + 1)
                record_intent(services.table, lease.holder, lease.subject, f"refill:{instance_id}", {"id": "asked"})
            return "wait_for_capacity"
        if member is None or member.is_leaving or not _is_ours(lease, instance_id):
            continue
        if member.lifecycle == STANDBY:
            instance = find_instance(services, instance_id)
            if instance is None or state_of(instance) != "running":
                continue
            if claim_giving_back(services.table, lease, f"giveBackExit:{instance_id}", services.now()):
                services.autoscaling.exit_standby(group.name, instance_id)
            return "exit_standby"
        waits = waits or member.lifecycle != IN_SERVICE
    return "wait_for_capacity" if waits and services.now() - lease.phase_since < _SERVES_AGAIN else None


def _end_of(services: Services, lease: Lease, instance_id: str) -> Mapping[str, Any]:
    """What became of a member, from its execution where nobody has written it down."""
    found = lease.members[instance_id]
    if "outcome" in found:
        return found
    child = services.executions.find(_child(services, lease, instance_id))
    if child is None:
        return {**found, "outcome": "not_attempted", "error": "ABORTED", "cause": "its execution was never started"}
    return {**found, **describe_end(child)}


def _lacks_refill(lease: Lease, group: Group, instance_id: str) -> bool:
    """Whether a member was replaced, and the group still wants one less since it had left."""
    refill = lease.intents.get(f"refill:{instance_id}")
    return (
        f"replace:{instance_id}" in lease.intents
        and (refill is None or not refill.id)
        and group.desired < int(lease.journal["desired"])
    )


_SERVES_AGAIN = timedelta(hours=1)
"""So long a pass waits for members to be in service; health is the group's own business after that."""


def _is_ours(lease: Lease, instance_id: str) -> bool:
    """Whether Drydock put a member into standby, and does not hold it there because the policy says so."""
    return departure_of(instance_id) in lease.intents and lease.members[instance_id].get("move") != "hold"


def _still_out(lease: Lease, group: Group) -> list[str]:
    return [
        f"{instance_id} is in standby still and was left there: it does not run"
        for instance_id in lease.members
        if (member := group.find(instance_id)) is not None
        and member.lifecycle == STANDBY
        and _is_ours(lease, instance_id)
    ]


def _release(services: Services, lease: Lease, group: Group | None, problems: list[str]) -> GroupMove:
    execution = services.executions.find(lease.holder.execution)
    status = str(execution["status"]) if execution else "UNKNOWN"
    cause = readable_cause(str((execution or {}).get("cause") or f"the execution ended as {status}"))
    failure = {"error": str((execution or {}).get("error") or status), "cause": cause}
    members: dict[str, Mapping[str, Any]] = {}
    for instance_id, found in lease.members.items():
        end = _end_of(services, lease, instance_id)
        if group is not None and "outcome" not in found:
            end = {**end, "note": mark_unended(services, lease, group, instance_id, end)}
        members[instance_id] = end
    lease = replace(lease, members=members)
    facts = {**describe_group(lease, failure, problems), "givenBack": True}
    result = make_result(lease.subject, lease.holder, lease.started, "failed", services.now(), facts)
    if not end_lease_with_result(services.table, lease.holder, lease.subject, RESTORING, result):
        drop_lease(services.table, lease.holder, lease.subject, RESTORING)
    return "release"
