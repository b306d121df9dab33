"""What a roll through an Auto Scaling group may do: pure decisions about the group as it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from drydock.aws.autoscaling import ADD_TO_LOAD_BALANCER, IN_SERVICE, LAUNCH, Group, Member
from drydock.aws.ec2 import Instance
from drydock.catalogue.saying import first_of, say
from drydock.errors import (
    DrydockError,
    InstanceRefreshAtWorkError,
    MemberNotSparedError,
    NoMemberInServiceError,
    ProcessSuspendedError,
)
from drydock.machine.ownership import cluster_of, refuse_weighted
from drydock.request.policy import Policy

_LAST = "9"


def takes_members_out(policy: Policy) -> bool:
    """Whether members leave service for what is done to them: a Scan enters no standby."""
    return policy["operation"] != "Scan"


def least_healthy(policy: Policy, desired: int) -> int:
    """How many members have to be in service and healthy while others are out."""
    wanted = str(policy["minHealthy"])
    if not wanted:
        return max(desired - _spared(policy), 1)
    if wanted.endswith("%"):
        return -(-desired * int(wanted[:-1]) // 100)
    return int(wanted)


def _spared(policy: Policy) -> int:
    """How many of the members that are wanted may be missing: none where there are surge instances for those out."""
    return 0 if policy["capacity"] == "surge" else policy["batch"]


def reduced(policy: Policy) -> Policy:
    """The same policy without surge instances."""
    return {**policy, "capacity": "reduce"}


def refusal(group: Group, policy: Policy, refresh: str) -> DrydockError | None:
    """Why a group cannot be rolled through as it is, or None."""
    if LAUNCH in group.suspended:
        # https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html
        return ProcessSuspendedError(say("group.launch_suspended", group=group.name, process=LAUNCH))
    if ADD_TO_LOAD_BALANCER in group.suspended and group.target_groups and takes_members_out(policy):
        # Documented for launches; whether a member that leaves standby is registered all the same is not.
        return ProcessSuspendedError(say("group.attach_suspended", group=group.name, process=ADD_TO_LOAD_BALANCER))
    if refresh:
        return InstanceRefreshAtWorkError(say("group.refresh", group=group.name, refresh=refresh))
    if group.counts_by_weight:
        return refuse_weighted(group.name)
    if not group.healthy_in_service:
        return NoMemberInServiceError(say("group.no_member", group=group.name))
    if takes_members_out(policy) and group.desired - _spared(policy) < least_healthy(policy, group.desired):
        return MemberNotSparedError(
            say(
                "group.spares_none",
                group=group.name,
                wanted=group.desired,
                least=least_healthy(policy, group.desired),
                spared=_spared(policy),
            )
        )
    return None


def refusal_of_members(group: Group, members: Iterable[Instance], policy: Policy) -> DrydockError | None:
    """Why the members that a roll is to patch, or one of them, are not to be touched at all, or None."""
    if policy["operation"] == "Scan":
        return None
    found = [(one["InstanceId"], cluster_of(one, group.tags)) for one in members]
    nodes = [(name, cluster) for name, cluster in found if cluster and cluster.kind not in policy["include"]]
    if not nodes:
        return None
    return nodes[0][1].refuse(f"{group.name}: {first_of(sorted(name for name, _ in nodes))}")


def in_order(
    group: Group, launched: Mapping[str, datetime], only: Collection[str], first: Collection[str] = ()
) -> list[Member]:
    """The members in the order of the roll: those of `first`, then the oldest.

    Each is in another zone than the last where possible.
    """
    left = sorted(
        (
            member
            for member in group.members
            if member.lifecycle == IN_SERVICE and (not only or member.instance_id in only)
        ),
        key=lambda member: (
            member.instance_id not in first,
            launched[member.instance_id].isoformat() if member.instance_id in launched else _LAST,
            member.instance_id,
        ),
    )
    ordered: list[Member] = []
    while left:
        zone = ordered[-1].zone if ordered else ""
        alike = [member for member in left if (member.instance_id in first) == (left[0].instance_id in first)]
        following = next((member for member in alike if member.zone != zone), left[0])
        left.remove(following)
        ordered.append(following)
    return ordered


def lowered_min(group: Group, batch: int) -> int | None:
    """What the group's min has to be lowered to, so that a batch may leave; None when it need not be."""
    return group.desired - batch if group.desired - batch < group.min else None
