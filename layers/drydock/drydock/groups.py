"""What a roll through an Auto Scaling group may do: pure decisions about the group as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from drydock.autoscaling import IN_SERVICE, LAUNCH, Group, Member
from drydock.errors import DrydockError, GroupBusyError, GroupNotRollableError
from drydock.policy import Policy

_LAST = "9"


def least_healthy(policy: Policy, desired: int) -> int:
    """How many members have to be in service and healthy while others are out."""
    wanted = str(policy["minHealthy"])
    if not wanted:
        return max(desired - _spared(policy), 1)
    if wanted.endswith("%"):
        return -(-desired * int(wanted[:-1]) // 100)
    return int(wanted)


def _spared(policy: Policy) -> int:
    """How many of the members that are wanted may be missing: none where there are instances more for those out."""
    return 0 if policy["capacity"] == "surge" else policy["batch"]


def reduced(policy: Policy) -> Policy:
    """The same policy without instances more."""
    return {**policy, "capacity": "reduce"}


def refusal(group: Group, policy: Policy, refresh: str) -> DrydockError | None:
    """Why a group cannot be rolled through as it is, or None."""
    if LAUNCH in group.suspended:
        return GroupNotRollableError(
            f"{group.name}: its process Launch is suspended, so no member could leave standby: resume it first"
        )
    if refresh:
        return GroupBusyError(f"{group.name}: instance refresh {refresh} is at work: wait for it, or cancel it")
    if any(member.weight != 1 for member in group.members):
        return GroupNotRollableError(
            f"{group.name}: its members have weights, so its sizes do not count members: Drydock does not roll through "
            "such a group"
        )
    if not group.healthy_in_service:
        return GroupNotRollableError(f"{group.name}: no member is in service and healthy")
    if policy["operation"] != "Scan" and group.desired - _spared(policy) < least_healthy(policy, group.desired):
        return GroupNotRollableError(
            f"{group.name}: {group.desired} members are wanted and {least_healthy(policy, group.desired)} have to be "
            f"healthy, so {_spared(policy)} cannot be spared: raise its desired capacity, set policy.capacity to "
            "surge, or lower policy.minHealthy"
        )
    return None


def in_order(group: Group, launched: Mapping[str, datetime], only: Collection[str]) -> list[Member]:
    """The members in the order of the roll: the oldest first, each in another zone than the last where possible."""
    left = sorted(
        (
            member
            for member in group.members
            if member.lifecycle == IN_SERVICE and (not only or member.instance_id in only)
        ),
        key=lambda member: (
            launched[member.instance_id].isoformat() if member.instance_id in launched else _LAST,
            member.instance_id,
        ),
    )
    ordered: list[Member] = []
    while left:
        zone = ordered[-1].zone if ordered else ""
        following = next((member for member in left if member.zone != zone), left[0])
        left.remove(following)
        ordered.append(following)
    return ordered


def lowered_min(group: Group, batch: int) -> int | None:
    """What the group's min has to be lowered to, so that a batch may leave; None when it need not be."""
    return group.desired - batch if group.desired - batch < group.min else None
