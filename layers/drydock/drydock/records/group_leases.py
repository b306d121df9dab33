"""The part of a group's lease that is about its members: whose turn came, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from drydock.aws.autoscaling import ENTERING_STANDBY, STANDBY, Group
from drydock.aws.table import ConditionFailedError, Table
from drydock.errors import LeaseLostError, MemberOvertakenError
from drydock.records import intents
from drydock.records.holder import Holder
from drydock.records.leases import (
    ACTIVE,
    HELD,
    HELD_NAMES,
    Intent,
    Lease,
    claim_intent,
    find_lease,
    held_values,
    lease_key,
    read_lease,
)
from drydock.subject import Subject
from drydock.times import to_text


def require_own_lease(table: Table, holder: Holder, subject: Subject) -> Lease:
    """The lease of a group that is rolled through. Raises LeaseLostError."""
    lease = find_lease(table, subject)
    if lease is None or lease.holder != holder or lease.phase != ACTIVE:
        raise LeaseLostError(f"{subject.key}: the lease is no longer ours")
    return lease


def members_out(lease: Lease, group: Group) -> list[str]:
    """The members that the roll has taken out and not given back yet: the group wants so many less meanwhile."""
    return [
        member.instance_id
        for member in group.members
        if member.lifecycle in (STANDBY, ENTERING_STANDBY)
        and intents.enter_standby(member.instance_id) in lease.intents
    ]


def plan_launched(table: Table, holder: Holder, subject: Subject, instance_ids: Sequence[str], now: datetime) -> None:
    """Note members that were launched since the roll began and are to be patched too. Raises LeaseLostError."""
    lease = require_own_lease(table, holder, subject)
    claim_intent(table, holder, subject, intents.launched_round(len(_launched(lease))), now, members=list(instance_ids))


def launched_members(lease: Lease) -> list[list[str]]:
    """What `plan_launched` has noted, each time."""
    return [list(intent.facts["members"]) for intent in _launched(lease)]


def _launched(lease: Lease) -> list[Intent]:
    return [intent for name, intent in lease.intents.items() if intents.kind_of(name) == intents.ROUND]


def planned_members(lease: Lease) -> list[str]:
    """All members that the roll has meant to patch so far."""
    return [*lease.journal["planned"], *(member for members in launched_members(lease) for member in members)]


def claim_member(table: Table, holder: Holder, subject: Subject, instance_id: str, now: datetime) -> Lease | None:
    """Note that a member's turn has come. None when the roll takes no further member. Twice is once.

    Raises LeaseLostError.
    """
    try:
        item = table.update(
            lease_key(subject),
            "SET members.#member = :member",
            f"{HELD} AND phase = :active AND attribute_not_exists(closed) AND attribute_not_exists(members.#member)",
            {**HELD_NAMES, "#member": instance_id},
            {**held_values(holder), ":active": ACTIVE, ":member": {"at": to_text(now)}},
        )
    except ConditionFailedError as refused:
        lease = read_lease(refused.found) if refused.found else None
        if lease is None or lease.holder != holder or lease.phase != ACTIVE:
            raise LeaseLostError(f"{subject.key}: the lease is no longer ours; nothing was touched") from refused
        return lease if instance_id in lease.members else None
    return read_lease(item)


def claim_alone(table: Table, seen: Lease, name: str, now: datetime, *, if_open: bool = False, **facts: Any) -> None:
    """Announce a change, if nothing has been announced since the lease was `seen`.

    What was judged by that lease, and by the group as it was afterwards, holds then: of two members that judge at the
    same moment, one goes on. A function that carries on what a dead one has announced may do so at any time.
    Raises MemberOvertakenError when something has been announced or, with `if_open`, the roll takes no further member;
    LeaseLostError.
    """
    alone = "(size(intents) = :count AND attribute_not_exists(closed))" if if_open else "size(intents) = :count"
    try:
        table.update(
            lease_key(seen.subject),
            "SET intents.#name = :intent",
            f"{HELD} AND phase = :active AND (attribute_exists(intents.#name) OR {alone})",
            {**HELD_NAMES, "#name": name},
            {
                **held_values(seen.holder),
                ":active": ACTIVE,
                ":intent": {"at": to_text(now), **facts},
                ":count": len(seen.intents),
            },
        )
    except ConditionFailedError as refused:
        lease = read_lease(refused.found) if refused.found else None
        if lease is None or lease.holder != seen.holder or lease.phase != ACTIVE:
            raise LeaseLostError(f"{seen.subject.key}: the lease is no longer ours; nothing was touched") from refused
        raise MemberOvertakenError(f"{seen.subject.key}: something else was begun before {name}") from refused


def members_leaving(lease: Lease) -> set[str]:
    """The members that have been told to leave, and not to come back yet, whatever AWS shows of them now."""
    return {
        instance_id
        for instance_id, found in lease.members.items()
        if intents.enter_standby(instance_id) in lease.intents
        and intents.exit_standby(instance_id) not in lease.intents
        and "outcome" not in found
    }


def end_member(
    table: Table, holder: Holder, subject: Subject, instance_id: str, outcome: Mapping[str, Any], now: datetime
) -> Lease | None:
    """Write down what became of a member, once. None when its turn has not come. Raises LeaseLostError."""
    facts = {**outcome, "endedAt": to_text(now)}
    try:
        item = table.update(
            lease_key(subject),
            "SET " + ", ".join(f"members.#member.#{name} = :{name}" for name in facts),
            f"{HELD} AND phase = :active AND attribute_exists(members.#member) "
            "AND attribute_not_exists(members.#member.#outcome)",
            {**HELD_NAMES, "#member": instance_id, **{f"#{name}": name for name in facts}},
            {**held_values(holder), ":active": ACTIVE, **{f":{name}": value for name, value in facts.items()}},
        )
    except ConditionFailedError as refused:
        lease = read_lease(refused.found) if refused.found else None
        if lease is not None and lease.holder == holder and lease.phase == ACTIVE and instance_id not in lease.members:
            return None
        if lease is not None and lease.holder == holder and "outcome" in lease.members.get(instance_id, {}):
            return lease
        raise LeaseLostError(f"{subject.key}: the lease is no longer ours") from refused
    return read_lease(item)


def close_roll(table: Table, holder: Holder, subject: Subject, error: str, reason: str) -> None:
    """Take no further member; the first reason stands."""
    try:
        table.update(
            lease_key(subject),
            "SET closed = :closed",
            f"{HELD} AND attribute_not_exists(closed)",
            HELD_NAMES,
            {**held_values(holder), ":closed": {"error": error, "reason": reason}},
        )
    except ConditionFailedError:
        return
