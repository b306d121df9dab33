"""The roll through an Auto Scaling group as a whole: the room it needs, how it ends, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from drydock.aws.autoscaling import AZ_REBALANCE, Group
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import (
    Failure,
    GroupNotRestoredError,
    LeaseLostError,
    MachinesFailedError,
    RollStoppedError,
    as_failure,
)
from drydock.group.admission import launch_times, look_at_members
from drydock.group.golden_images import describe_refresh
from drydock.group.member_turns import mark_unended
from drydock.group.refilling import describe_departed
from drydock.group.rules import in_order
from drydock.group.surging import describe_surge, known_surge, lower_min, lowers_min_to, undo_max
from drydock.machine.release import announce_later
from drydock.records import intents
from drydock.records.group_leases import (
    fit_texts,
    launched_members,
    members_out,
    plan_launched,
    planned_members,
)
from drydock.records.leases import ACTIVE, Hold, Lease, find_lease
from drydock.records.results import Member, Result, Roll, find_result, put_result
from drydock.request.step import Step
from drydock.telling.failures import readable_failure
from drydock.texts import cut_bytes

MOST_ROUNDS = 5
"""So often a roll goes through members that were launched meanwhile: a group may launch some without an end."""


_MOST_PROBLEMS, _MOST_PROBLEM = 40, 300
"""So many problems are told of a roll, of so many bytes each: all members of a group may have the same one."""


def make_room(services: Services, step: Step) -> None:
    """Keep the group from balancing zones while members are out, and let it have fewer, by what is needed.

    Raises LeaseLostError, GroupNotReadyError.
    """
    lease = Hold.of(services, step.holder, step.subject).claim(intents.SUSPEND).lease
    if AZ_REBALANCE not in lease.journal["suspended"]:
        services.autoscaling.suspend(lease.group_name, AZ_REBALANCE)
    lower_min(services, step.holder, lease)


def plan_launched_members(services: Services, step: Step) -> dict[str, Any]:
    """Find the members that were launched since the roll began and are in service now, to be patched too.

    Returns them in the order of the roll; none when the roll takes no further member. `data.members` are those whose
    turn came last. Raises LeaseLostError.
    """
    lease = Hold.of(services, step.holder, step.subject).require()
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
        plan_launched(Hold.of(services, step.holder, step.subject), ids)
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
    lease = Hold.of(services, step.holder, step.subject).claim(intents.RESTORE).lease
    group = services.autoscaling.group(lease.group_name)
    left = [one for one in members_out(lease, group) if lease.members.get(one, {}).get("move") != "hold"]
    if left:
        causes = sorted({str(lease.members.get(one, {}).get("cause") or "") for one in left} - {""})
        raise GroupNotRestoredError(say("group.not_restored", group=group.name, members=left, causes="; ".join(causes)))
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
    return [say("group.launched_meanwhile", members=new)] if new else []


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
            problems.append(say("group.min_not_back", size=size, before=journal["min"], wanted=group.desired))
    elif intents.LOWER_MIN in lease.intents and group.min != journal["min"]:
        problems.append(say("group.min_of_others", size=group.min))
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
            lost = LeaseLostError(say("held.lost", subject=subject.key))
            standing = Result(
                subject, step.holder, step.execution_started, services.now(), "refused", failure or as_failure(lost)
            )
            put_result(services.table, standing)
        return summarise_group(standing)
    refresh = step.data.get("refresh") or {"problems": []}
    problems = [*(step.data.get("problems") or []), *refresh["problems"]]
    result = result_of_roll(lease, failure, problems, services.now())
    Hold.of(services, step.holder, subject).finish(ACTIVE, result)
    if result.went_well:
        announce_later(services, result)
    return summarise_group(result)


def result_of_roll(lease: Lease, failure: Failure | None, problems: Sequence[str], ended: datetime) -> Result:
    """What the lease tells of a roll, which failed when members did: each that was planned has one outcome."""
    members, journal = _members_at_end(lease, failure), lease.journal
    failure = failure or _failure_of_members(lease, members)
    return Result(
        subject=lease.subject,
        holder=lease.holder,
        started=lease.started,
        ended=ended,
        outcome="failed" if failure else "succeeded",
        failure=failure,
        run_id=journal["runId"],
        notify=journal["notify"],
        roll=Roll(
            group_name=lease.group_name,
            operation=journal["operation"],
            snapshot_id=journal["snapshotId"],
            sizes={"min": journal["min"], "max": journal["max"], "desired": journal["desired"]},
            members=members,
            problems=_told(
                [
                    *_describe_mixture(journal["operation"], members),
                    *_describe_left_out(lease),
                    *describe_surge(lease),
                    *problems,
                    *_notes(lease),
                ]
            ),
            launch_template=describe_refresh(lease),
        ),
    )


def _told(problems: Sequence[str]) -> list[str]:
    """As many problems as a result has room for."""
    more = len(problems) - _MOST_PROBLEMS
    told = [cut_bytes(problem, _MOST_PROBLEM) for problem in problems[:_MOST_PROBLEMS]]
    return [*told, say("roll.more_problems", count=more)] if more > 0 else told


def _members_at_end(lease: Lease, failure: Failure | None) -> dict[str, Member]:
    closed = lease.closed or {}
    why_not = {
        "error": closed.get("error") or (failure["error"] if failure else ""),
        "cause": closed.get("reason") or say("roll.ended_early"),
    }
    ends: dict[str, Mapping[str, Any]] = {
        instance_id: {"outcome": "not_attempted", **why_not} for instance_id in planned_members(lease)
    }
    for instance_id, found in lease.members.items():
        ends[instance_id] = {"outcome": "failed", "error": "UNKNOWN", "cause": say("member.end_unknown"), **found}
    names: Mapping[str, str] = lease.journal.get("names") or {}
    return {
        instance_id: Member.from_item({"name": names.get(instance_id, ""), **fit_texts(end, len(ends))})
        for instance_id, end in ends.items()
    }


def _success_of(members: Mapping[str, Member]) -> Literal["succeeded", "already_compliant"]:
    """A roll that has found nothing missing on any member has proved nothing."""
    outcomes = {member.outcome for member in members.values()}
    return "already_compliant" if "already_compliant" in outcomes and "succeeded" not in outcomes else "succeeded"


def _failure_of_members(lease: Lease, members: Mapping[str, Member]) -> Failure | None:
    failed = [instance_id for instance_id, member in members.items() if member.outcome == "failed"]
    left = [instance_id for instance_id, member in members.items() if member.outcome == "not_attempted"]
    if failed:
        return as_failure(MachinesFailedError(say("roll.members_failed", group=lease.group_name, members=failed)))
    if left:
        reason = (lease.closed or {}).get("reason", "")
        return as_failure(
            RollStoppedError(say("roll.members_left", group=lease.group_name, count=len(left), reason=reason))
        )
    return None


def _describe_mixture(operation: str, members: Mapping[str, Member]) -> list[str]:
    """That patched and unpatched members serve side by side, where the roll did not come to all of them."""
    patched = sum(member.outcome == "succeeded" for member in members.values())
    left = sum(member.outcome == "not_attempted" for member in members.values())
    if operation != "Install" or not patched or not left:
        return []
    return [say("group.mixed", patched=patched, left=left)]


def _describe_left_out(lease: Lease) -> list[str]:
    left = lease.journal.get("leftOut") or []
    return [say("roll.left_out", members=left)] if left else []


def _notes(lease: Lease) -> list[str]:
    return [f"{instance_id}: {found['note']}" for instance_id, found in lease.members.items() if found.get("note")]


def summarise_group(result: Result) -> dict[str, Any]:
    """What the execution says of itself; the stored result has everything."""
    members = result.roll.members if result.roll else {}
    return {
        "groupName": result.roll.group_name if result.roll else "",
        "outcome": _success_of(members) if result.outcome == "succeeded" else result.outcome,
        "members": {instance_id: member.outcome for instance_id, member in members.items()},
        "failure": result.failure,
    }
