"""The roll through an Auto Scaling group as a whole: the room it needs, how it ends, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drydock.aws.autoscaling import AZ_REBALANCE, Group
from drydock.aws.services import Services
from drydock.errors import GroupNotRestoredError, LeaseLostError, MachinesFailedError, RollStoppedError
from drydock.group.admission import launch_times, look_at_members
from drydock.group.golden_images import describe_refresh
from drydock.group.member_turns import mark_unended
from drydock.group.refilling import describe_departed
from drydock.group.rules import in_order
from drydock.group.surging import describe_surge, known_surge, lower_min, lowers_min_to, undo_max
from drydock.records import intents
from drydock.records.group_leases import (
    launched_members,
    members_out,
    plan_launched,
    planned_members,
    require_own_lease,
)
from drydock.records.leases import ACTIVE, Lease, claim_intent, end_lease_with_result, find_lease
from drydock.records.results import find_result, make_result, put_result
from drydock.request.step import Step
from drydock.telling.failures import readable_failure

MOST_ROUNDS = 5
"""So often a roll goes through members that were launched meanwhile: a group may launch some without an end."""

_MOST_NAMED = 20


def make_room(services: Services, step: Step) -> None:
    """Keep the group from balancing zones while members are out, and let it have fewer, by what is needed.

    Raises LeaseLostError, GroupNotReadyError.
    """
    lease = claim_intent(services.table, step.holder, step.subject, intents.SUSPEND, services.now()).lease
    if AZ_REBALANCE not in lease.journal["suspended"]:
        services.autoscaling.suspend(lease.group_name, AZ_REBALANCE)
    lower_min(services, step.holder, lease)


def plan_launched_members(services: Services, step: Step) -> dict[str, Any]:
    """Find the members that were launched since the roll began and are in service now, to be patched too.

    Returns them in the order of the roll; none when the roll takes no further member. `data.members` are those whose
    turn came last. Raises LeaseLostError.
    """
    lease = require_own_lease(services.table, step.holder, step.subject)
    group = services.autoscaling.group(lease.group_name)
    rounds = launched_members(lease)
    if rounds and rounds[-1] != [member["instanceId"] for member in step.data["members"]]:
        # A function that died has planned them already.
        return {"members": _items(group, rounds[-1])}
    if lease.closed or len(rounds) >= MOST_ROUNDS:
        return {"members": []}
    new = _launched(lease, group)
    found = in_order(group, launch_times(look_at_members(services, group)), new) if new else []
    ids = [member.instance_id for member in found]
    if ids:
        plan_launched(services.table, step.holder, step.subject, ids, services.now())
    return {"members": _items(group, ids)}


def _items(group: Group, instance_ids: list[str]) -> list[dict[str, str]]:
    members = [(instance_id, group.find(instance_id)) for instance_id in instance_ids]
    return [{"instanceId": instance_id, "zone": member.zone if member else ""} for instance_id, member in members]


def _launched(lease: Lease, group: Group) -> list[str]:
    """Members that the group has launched since the roll began, and that the roll does not mean to patch."""
    known = {*lease.journal["memberIds"], *lease.members, *known_surge(lease), *planned_members(lease)}
    return [member.instance_id for member in group.members if member.instance_id not in known and not member.is_leaving]


def restore_group(services: Services, step: Step) -> dict[str, Any]:
    """Undo Drydock's own changes to the group, where they still stand. Returns what could not be.

    Raises GroupNotReadyError, LeaseLostError, GroupNotRestoredError when members of its own are out still: then the
    lease stays, and `give_back` goes on.
    """
    lease = claim_intent(services.table, step.holder, step.subject, intents.RESTORE, services.now()).lease
    group = services.autoscaling.group(lease.group_name)
    left = [one for one in members_out(lease, group) if lease.members.get(one, {}).get("move") != "hold"]
    if left:
        causes = sorted({str(lease.members.get(one, {}).get("cause") or "") for one in left} - {""})
        raise GroupNotRestoredError(f"{group.name}: {', '.join(left)} could not leave standby yet: {'; '.join(causes)}")
    unended = [instance_id for instance_id, found in lease.members.items() if "outcome" not in found]
    notes = {one: mark_unended(services, lease, group, one) for one in unended}
    return {
        "problems": [
            *undo_changes(services, lease),
            *launched_meanwhile(lease, group),
            *describe_departed(lease, group),
            *(f"{instance_id}: {note}" for instance_id, note in notes.items() if note),
        ]
    }


def launched_meanwhile(lease: Lease, group: Group) -> list[str]:
    """Members that the group has launched since the roll began: they are not patched."""
    new = _launched(lease, group)
    return [f"launched meanwhile, and not patched: {', '.join(new)}"] if new else []


def undo_changes(services: Services, lease: Lease) -> list[str]:
    """Min and processes as they were, unless somebody else has changed them meanwhile."""
    name, journal = lease.group_name, lease.journal
    group = services.autoscaling.group(name)
    problems = []
    if intents.LOWER_MIN in lease.intents and group.min == lowers_min_to(lease):
        # With a member held in standby the group wants one less: more would launch another instance.
        size = min(int(journal["min"]), group.desired) if members_out(lease, group) else int(journal["min"])
        services.autoscaling.set_min(name, size)
        if size < journal["min"]:
            problems.append(f"min is {size}, not {journal['min']}: {group.desired} instances are wanted now")
    elif intents.LOWER_MIN in lease.intents and group.min != journal["min"]:
        problems.append(f"min is {group.min}: somebody else has set it, and Drydock left it")
    problems += undo_max(services, lease, group)
    if (
        intents.SUSPEND in lease.intents
        and AZ_REBALANCE not in journal["suspended"]
        and AZ_REBALANCE in group.suspended
    ):
        services.autoscaling.resume(name, AZ_REBALANCE)
    return problems


def release_group(services: Services, step: Step) -> dict[str, Any]:
    """End the work on a group, well or badly. Running twice changes nothing. Returns the execution's own output."""
    subject = step.group
    failure = readable_failure(step.data.get("failure"))
    lease = find_lease(services.table, subject) if subject.name else None
    if lease is None or lease.holder != step.holder:
        standing = find_result(services.table, subject, step.holder, step.execution_started)
        if standing is None:
            lost = {"error": LeaseLostError.__name__, "cause": f"{subject.key}: the lease is no longer ours"}
            failure = failure or lost
            standing = make_result(
                subject, step.holder, step.execution_started, "refused", services.now(), {"failure": failure}
            )
            put_result(services.table, standing)
        return summarise_group(standing)
    refresh = step.data.get("refresh") or {"problems": []}
    problems = [*(step.data.get("problems") or []), *refresh["problems"]]
    facts = describe_group(lease, failure, problems)
    result = make_result(subject, step.holder, step.execution_started, facts["outcome"], services.now(), facts)
    end_lease_with_result(services.table, step.holder, subject, ACTIVE, result)
    return summarise_group(result)


def describe_group(lease: Lease, failure: dict[str, str] | None, problems: list[str]) -> dict[str, Any]:
    """What the lease tells of a roll: every member that was planned has one outcome."""
    closed = lease.closed or {}
    why = {
        "error": closed.get("error") or (failure or {}).get("error", ""),
        "cause": closed.get("reason") or "the roll ended before its turn came",
    }
    members: dict[str, dict[str, Any]] = {
        str(instance_id): {"outcome": "not_attempted", **why} for instance_id in planned_members(lease)
    }
    for instance_id, found in lease.members.items():
        members[instance_id] = {"outcome": "failed", "error": "UNKNOWN", "cause": "its end is not known", **found}
    names: Mapping[str, str] = lease.journal.get("names") or {}
    members = {instance_id: {"name": names.get(instance_id, ""), **found} for instance_id, found in members.items()}
    failed = [instance_id for instance_id, found in members.items() if found["outcome"] == "failed"]
    left = [instance_id for instance_id, found in members.items() if found["outcome"] == "not_attempted"]
    if failure is None and failed:
        failure = {"error": MachinesFailedError.__name__, "cause": f"{lease.group_name}: {', '.join(failed)} failed"}
    elif failure is None and left:
        reason = (lease.closed or {}).get("reason", "")
        failure = {
            "error": RollStoppedError.__name__,
            "cause": f"{lease.group_name}: {len(left)} were not attempted: {reason}",
        }
    journal = lease.journal
    return {
        "groupName": lease.group_name,
        "outcome": "failed" if failure else "succeeded",
        "failure": failure,
        "runId": journal["runId"],
        "notify": journal["notify"],
        "operation": journal["operation"],
        "snapshotId": journal["snapshotId"],
        "sizes": {size: journal[size] for size in ("min", "max", "desired")},
        "members": members,
        "problems": [*_describe_left_out(lease), *describe_surge(lease), *_notes(lease), *problems],
        "launchTemplate": describe_refresh(lease),
    }


def _describe_left_out(lease: Lease) -> list[str]:
    left = lease.journal.get("leftOut") or []
    more = f" and {len(left) - _MOST_NAMED} more" if len(left) > _MOST_NAMED else ""
    return [f"left out, for they were not in service: {', '.join(left[:_MOST_NAMED])}{more}"] if left else []


def _notes(lease: Lease) -> list[str]:
    return [f"{instance_id}: {found['note']}" for instance_id, found in lease.members.items() if found.get("note")]


def summarise_group(result: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "groupName": result.get("groupName", ""),
        "outcome": result["outcome"],
        "members": {key: found["outcome"] for key, found in (result.get("members") or {}).items()},
        "failure": result.get("failure"),
    }
