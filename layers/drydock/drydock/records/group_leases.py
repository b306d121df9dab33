"""The part of a group's lease that is about its members: whose turn came, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drydock.aws.autoscaling import ENTERING_STANDBY, STANDBY, Group
from drydock.catalogue.saying import say
from drydock.errors import MemberOvertakenError
from drydock.records import intents
from drydock.records.leases import (
    ACTIVE,
    Hold,
    Intent,
    Lease,
)
from drydock.texts import cut_bytes
from drydock.times import to_text

_ROOM_FOR_TEXTS = 36_000
"""Bytes in a group's lease, and in its result, for the causes of all members; as many for their notes."""

_MOST_TEXT = 600
"""Bytes of one of them at most."""


def fit_texts(end: Mapping[str, Any], members: int) -> dict[str, Any]:
    """What became of a member, with cause and note as short as so many members have room for.

    An item of DynamoDB takes 400 KB: a lease that is full can neither be changed nor released.
    """
    most = min(_MOST_TEXT, _ROOM_FOR_TEXTS // max(members, 1))
    return {**end, **{key: cut_bytes(str(end[key]), most) for key in ("cause", "note") if end.get(key)}}


def members_out(lease: Lease, group: Group) -> list[str]:
    """The members that the roll has taken out and not given back yet: the group wants so many less meanwhile."""
    return [
        member.instance_id
        for member in group.members
        if member.lifecycle in (STANDBY, ENTERING_STANDBY)
        and intents.enter_standby(member.instance_id) in lease.intents
    ]


def plan_launched(hold: Hold, instance_ids: Sequence[str]) -> None:
    """Note members that were launched since the roll began and are to be patched too. Raises LeaseLostError."""
    hold.claim(intents.launched_round(len(_launched(hold.require()))), members=list(instance_ids))


def launched_members(lease: Lease) -> list[list[str]]:
    """What `plan_launched` has noted, each time."""
    return [list(intent.facts["members"]) for intent in _launched(lease)]


def _launched(lease: Lease) -> list[Intent]:
    return [intent for name, intent in lease.intents.items() if intents.kind_of(name) == intents.ROUND]


def planned_members(lease: Lease) -> list[str]:
    """All members that the roll has meant to patch so far."""
    return [*lease.journal["planned"], *(member for members in launched_members(lease) for member in members)]


def claim_member(hold: Hold, instance_id: str) -> Lease | None:
    """Note that a member's turn has come. None when the roll takes no further member. Twice is once.

    Raises LeaseLostError.
    """
    found, is_new = hold.change(
        "SET members.#member = :member",
        "phase = :active AND attribute_not_exists(closed) AND attribute_not_exists(members.#member)",
        {"#member": instance_id},
        {":active": ACTIVE, ":member": {"at": to_text(hold.now())}},
    )
    lease = hold.own(found, "untouched")
    return lease if is_new or instance_id in lease.members else None


def claim_alone(
    hold: Hold, seen: Lease, name: str, *, if_open: bool = False, if_in_turn: str = "", **facts: Any
) -> Intent:
    """Announce a change, if nothing has been announced since the lease was `seen`.

    What was judged by that lease, and by the group as it was afterwards, holds then: of two members that judge at the
    same moment, one goes on. A function that carries on what a dead one has announced may do so at any time.
    Raises MemberOvertakenError when something has been announced or, with `if_open`, the roll takes no further member,
    or the turn of the member `if_in_turn` is over; LeaseLostError.
    """
    in_turn = " AND attribute_not_exists(members.#member.stays)" if if_in_turn else ""
    alone = "(size(intents) = :count AND attribute_not_exists(closed))" if if_open else "size(intents) = :count"
    found, is_done = hold.change(
        "SET intents.#name = :intent",
        f"phase = :active AND (attribute_exists(intents.#name) OR {alone}){in_turn}",
        {"#name": name, **({"#member": if_in_turn} if if_in_turn else {})},
        {":active": ACTIVE, ":intent": {"at": to_text(hold.now()), **facts}, ":count": len(seen.intents)},
    )
    lease = hold.own(found, "untouched")
    if not is_done:
        raise MemberOvertakenError(say("group.overtaken", group=seen.group_name, step=name))
    return lease.intents[name]


def members_leaving(lease: Lease) -> set[str]:
    """The members that have been told to leave, and not to come back yet, whatever AWS shows of them now."""
    return {
        instance_id
        for instance_id, found in lease.members.items()
        if intents.enter_standby(instance_id) in lease.intents
        and intents.exit_standby(instance_id) not in lease.intents
        and "outcome" not in found
    }


def end_member(hold: Hold, instance_id: str, outcome: Mapping[str, Any]) -> Lease | None:
    """Write down what became of a member, once. None when its turn has not come. Raises LeaseLostError."""
    facts = {**outcome, "endedAt": to_text(hold.now())}
    found, _ = hold.change(
        "SET " + ", ".join(f"members.#member.#{name} = :{name}" for name in facts),
        "phase = :active AND attribute_exists(members.#member) AND attribute_not_exists(members.#member.#outcome)",
        {"#member": instance_id, **{f"#{name}": name for name in facts}},
        {":active": ACTIVE, **{f":{name}": value for name, value in facts.items()}},
    )
    if found is not None and found.holder == hold.holder and "outcome" in found.members.get(instance_id, {}):
        return found
    hold.own(found, "lost")
    return None


def end_turn_in_service(hold: Hold, instance_id: str) -> bool:
    """Note that a member whose turn came never left service, so that no late function takes it out.

    False when it has left after all. Twice is once. Raises LeaseLostError.
    """
    found, is_done = hold.change(
        "SET members.#member.stays = :yes",
        "phase = :active AND attribute_exists(members.#member) AND attribute_not_exists(intents.#standby)",
        {"#member": instance_id, "#standby": intents.enter_standby(instance_id)},
        {":active": ACTIVE, ":yes": True},
    )
    hold.own(found, "lost")
    return is_done


def close_roll(hold: Hold, error: str, reason: str) -> None:
    """Take no further member; the first reason stands."""
    closed = {"error": error, "reason": reason}
    hold.change("SET closed = :closed", "attribute_not_exists(closed)", {}, {":closed": closed})
