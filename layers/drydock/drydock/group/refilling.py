"""The place of a member that was replaced.

Standby has lowered the group's desired capacity, and terminating the member does not raise it again, so the group is
asked for one more. SetDesiredCapacity writes a number, so nothing else of Drydock's may change it at that moment: such
changes are announced by `claim_alone`, and none begins while a place is being filled.
"""

from __future__ import annotations

from drydock.aws.autoscaling import IN_SERVICE, STANDBY, Group
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import MemberNotReadyError
from drydock.group.surging import count_surge
from drydock.records import intents
from drydock.records.group_leases import claim_alone, members_leaving, members_out
from drydock.records.leases import Lease, hold_of


def wanted_with(lease: Lease, group: Group) -> int:
    """How many the group is to want once a member that is replaced now has a successor."""
    lacking = sum(lacks_refill(lease, group, instance_id) for instance_id in lease.members)
    return _wanted(lease, group) + lacking


def _wanted(lease: Lease, group: Group) -> int:
    """How many the group wants now, without what the roll has added to that and taken from it."""
    return group.desired + len(members_out(lease, group)) - count_surge(lease, group)


def lacks_refill(lease: Lease, group: Group, instance_id: str) -> bool:
    """Whether a replaced member is gone, and the group wants one less since."""
    replaced = lease.intents.get(intents.replacement(instance_id))
    refilled = lease.intents.get(intents.refill(instance_id))
    if replaced is None or (refilled is not None and refilled.id):
        return False
    member = group.find(instance_id)
    if member is not None and not member.is_leaving:
        return False
    return _wanted(lease, group) < int(replaced.facts["wanted"])


def is_refilling(lease: Lease, instance_id: str) -> bool:
    """Whether the place of another member is being filled at this moment."""
    return any(
        intents.kind_of(name) == intents.REFILL and not intent.id and intents.member_of(name) != instance_id
        for name, intent in lease.intents.items()
    )


def refill(services: Services, lease: Lease, group: Group, instance_id: str) -> None:
    """Ask for another instance in place of a replaced member. `lease` was read before `group`.

    Raises MemberNotReadyError while other members are on their way, MemberOvertakenError, LeaseLostError.
    """
    moving = [
        member.instance_id
        for member in group.members
        if (member.lifecycle == STANDBY and intents.exit_standby(member.instance_id) in lease.intents)
        or (member.lifecycle == IN_SERVICE and member.instance_id in members_leaving(lease))
    ]
    if moving or is_refilling(lease, instance_id):
        raise MemberNotReadyError(
            say("group.others_first", machine=instance_id, members=moving)
            if moving
            else say("group.place_first", machine=instance_id)
        )
    claim_alone(hold_of(services, lease), lease, intents.refill(instance_id))
    services.autoscaling.set_desired(group.name, group.desired + 1)
    note_refill(services, lease, instance_id)


def note_refill(services: Services, lease: Lease, instance_id: str) -> None:
    """Write down that the group was asked."""
    hold_of(services, lease).record(intents.refill(instance_id), {"id": "asked"})


def departed(lease: Lease, group: Group) -> list[str]:
    """The members that somebody else has terminated while the roll had them out of service."""
    return [
        instance_id
        for instance_id in lease.members
        if intents.enter_standby(instance_id) in lease.intents
        and intents.replacement(instance_id) not in lease.intents
        and ((member := group.find(instance_id)) is None or member.is_leaving)
    ]


def describe_departed(lease: Lease, group: Group) -> list[str]:
    """What people should know when the group wants less since, a phrase: it may be meant so."""
    gone, before = departed(lease, group), int(lease.journal["desired"])
    if not gone or _wanted(lease, group) >= before:
        return []
    return [say("group.departed", wanted=group.desired, before=before, members=gone)]
