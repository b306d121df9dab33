"""Admitting a group: whether a roll through it may begin, and what is written down of it before anything is touched."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from drydock.aws.autoscaling import Group, Member
from drydock.aws.ec2 import Instance, name_of
from drydock.aws.executions import invoke_later
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import DrydockError, GroupBusyError, GroupTooLargeError
from drydock.group.rules import in_order, reduced, refusal, refusal_of_members, takes_members_out
from drydock.group.surging import choose_capacity, plan_capacity
from drydock.machine.admission import find_run_of, require_open_run, require_place
from drydock.records import intents
from drydock.records.leases import ADMITTING, Hold, Lease
from drydock.records.staleness import is_stale
from drydock.request.group import GroupRequest, read_group_request
from drydock.request.step import Step
from drydock.texts import cut_bytes

MOST_MEMBERS = 500
"""What a lease has room for: an item of DynamoDB takes 400 KB, and a member at most 800 bytes of it."""

_MOST_NAME = 60


def admit_group(services: Services, step: Step) -> dict[str, Any]:
    """Take the group's lease, write the journal, and return what later steps rely on.

    Raises one of the errors of admission; then nothing is touched and no lease is left behind.
    """
    environment = services.environment
    run = find_run_of(services, step.given)
    # A run hands over its whole policy, as it was approved.
    settings = None if run else services.ssm.parameter(environment.policy_parameter)
    request = read_group_request(step.given, settings or "{}", environment.policy_parameter, step.holder.execution)
    require_open_run(run, request.group.name)
    standing = Hold.of(services, step.holder, request.group).take(step.execution_started)
    if standing is not None and standing.holder != step.holder:
        if is_stale(services, standing):
            invoke_later(environment.function("give_back"), {"subject": request.group.key})
        raise GroupBusyError(
            say("group.busy", group=request.group.name, execution=standing.holder.name, since=standing.since)
        )
    try:
        return _admit(services, step, request, standing)
    except DrydockError:
        Hold.of(services, step.holder, request.group).drop(ADMITTING)
        raise


def _admit(services: Services, step: Step, request: GroupRequest, standing: Lease | None) -> dict[str, Any]:
    group, policy = services.autoscaling.group(request.group.name), request.policy
    found = look_at_members(services, group)
    planned = in_order(group, launch_times(found), request.only, request.first)
    journal: Mapping[str, Any]
    if standing is not None:
        journal = standing.journal
    else:
        require_place(services, step.holder, request.run_id, request.group)
        carried_out, why_not = choose_capacity(group, policy) if takes_members_out(policy) else (reduced(policy), "")
        refused = refusal(group, carried_out, services.autoscaling.refresh_at_work(request.group.name))
        refused = refused or refusal_of_members(group, [found[one.instance_id] for one in planned], policy)
        if refused is not None:
            raise refused
        if len(planned) > MOST_MEMBERS:
            raise GroupTooLargeError(say("group.too_large", group=group.name, count=len(planned), most=MOST_MEMBERS))
        journal = {
            "name": "",
            "runId": request.run_id,
            "notify": policy["notify"],
            "operation": policy["operation"],
            "onMemberFailure": policy["onMemberFailure"],
            "healthProbe": policy["healthProbe"],
            "snapshotId": request.snapshot_id,
            "min": group.min,
            "max": group.max,
            "desired": group.desired,
            "suspended": sorted(group.suspended),
            "unlessDoneSince": request.unless_done_since,
            **plan_capacity(group, carried_out, why_not, len(planned) if takes_members_out(policy) else 0),
            "memberIds": [member.instance_id for member in group.members],
            "planned": [member.instance_id for member in planned],
            "names": {member.instance_id: _name_of(found.get(member.instance_id)) for member in planned},
            "leftOut": _left_out(group, planned, request.only),
            "drainSeconds": services.autoscaling.drain_seconds(group.target_groups),
        }
        Hold.of(services, step.holder, request.group).activate(journal, intents.SUSPEND)
    return {
        "groupName": request.group.name,
        "policy": policy,
        "runId": request.run_id,
        "rollId": request.run_id or re.sub(r"[^a-zA-Z0-9_-]", "-", step.holder.name),
        "snapshotId": request.snapshot_id,
        "documents": request.documents,
        "batch": policy["batch"],
        "patchesLaunched": _patches_launched(request),
        "takesOut": takes_members_out(policy),
        "surges": int(journal["surges"]) > 0,
        "members": [{"instanceId": member.instance_id, "zone": member.zone} for member in planned],
    }


def _left_out(group: Group, planned: Sequence[Member], only: Collection[str]) -> list[str]:
    """Those that were asked for, and are not in service."""
    asked = only or {member.instance_id for member in group.members if member.is_outside}
    return sorted({*asked} - {member.instance_id for member in planned})


def _patches_launched(request: GroupRequest) -> bool:
    """Whoever names the members by hand means these only; a run names those of its plan, and its policy the others."""
    return request.policy["launchedMembers"] == "patch" and (not request.only or bool(request.run_id))


def look_at_members(services: Services, group: Group) -> dict[str, Instance]:
    """What EC2 says of the members, by instance id."""
    return services.ec2.describe_by_id(member.instance_id for member in group.members)


def _name_of(instance: Instance | None) -> str:
    return cut_bytes(name_of(instance), _MOST_NAME) if instance is not None else ""


def launch_times(found: Mapping[str, Instance]) -> dict[str, datetime]:
    """When the instances were launched, by id."""
    return {instance_id: one["LaunchTime"] for instance_id, one in found.items() if "LaunchTime" in one}
