"""Leases: who works on a machine, what it was like before, and what was done to it so far.

One item a machine. In phase ADMITTING nothing has been touched; ACTIVE allows the owner to claim intents,
each before the changing call it stands for; in RESTORING only `give_back` acts. What the owner waits for stands
in the same item, so that whoever may act and whoever is woken are always decided together. A lease has no time
to live: it goes when the machine is given back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drydock.aws.table import AWAITED_INDEX, ConditionFailedError, Item, Key, Table, Write
from drydock.errors import LeaseLostError, ServiceUnavailableError
from drydock.records.holder import Holder
from drydock.records.shards import look_up_shards, shard_of
from drydock.records.waits import Wait, Work, read_wait
from drydock.subject import Group, Instance, Subject, subject_of_partition
from drydock.times import from_text, to_text

REFUSED = "refused"
"""The fact of an intent whose call AWS has surely not carried out."""


ADMITTING, ACTIVE, RESTORING = "ADMITTING", "ACTIVE", "RESTORING"


_ALL_LEASES = "LEASES"


FUNCTION_LIFETIME = timedelta(seconds=75)
"""Longer than any function runs (60 s): an intent older than this is carried out, or never will be."""


HELD = "#owner = :owner AND redriveCount = :redrive"


HELD_NAMES = {"#owner": "owner"}


def lease_key(subject: Subject) -> Key:
    return {"pk": subject.partition, "sk": "LEASE"}


@dataclass(frozen=True)
class Intent:
    """A changing call that an execution announced. `id` is what AWS gave it, once that is known."""

    name: str
    at: datetime
    id: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Lease:
    """Who works on a machine or a group, since when, and all that give_back needs to know."""

    subject: Subject
    holder: Holder
    phase: str
    started: datetime
    """When the owner's execution was started."""
    since: datetime
    phase_since: datetime
    journal: Mapping[str, Any]
    intents: Mapping[str, Intent]
    wait: Wait | None
    members: Mapping[str, Mapping[str, Any]]
    """Of a group: what is known of the members whose turn came, by instance id."""
    closed: Mapping[str, str] | None
    """Of a group: why the roll takes no further member (error, reason)."""

    @property
    def instance_id(self) -> str:
        """The instance of a machine's lease; empty for a group's."""
        return self.subject.id if isinstance(self.subject, Instance) else ""

    @property
    def group_name(self) -> str:
        """The group of a group's lease; empty for a machine's."""
        return self.subject.name if isinstance(self.subject, Group) else ""

    def newest_intent_at(self) -> datetime:
        return max([intent.at for intent in self.intents.values()], default=self.since)


@dataclass(frozen=True)
class LeaseSummary:
    """What the index holds of a lease, as it was a moment ago. Whoever needs more reads the lease itself."""

    subject: Subject
    holder: Holder
    phase: str

    @classmethod
    def from_item(cls, item: Item) -> LeaseSummary:
        return cls(subject_of_partition(item["pk"]), Holder(item["owner"], item["redriveCount"]), item["phase"])


@dataclass(frozen=True)
class Claim:
    """An intent, whether it was announced just now, and the lease as it is with it."""

    intent: Intent
    is_new: bool
    lease: Lease


def _read_intent(name: str, raw: Mapping[str, Any]) -> Intent:
    facts = {key: value for key, value in raw.items() if key not in ("at", "id")}
    return Intent(name, from_text(raw["at"]), raw.get("id", ""), facts)


def read_lease(item: Item) -> Lease:
    subject = subject_of_partition(item["pk"])
    return Lease(
        subject=subject,
        holder=Holder(item["owner"], item["redriveCount"]),
        phase=item["phase"],
        started=from_text(item["startedAt"]),
        since=from_text(item["since"]),
        phase_since=from_text(item["phaseSince"]),
        journal=item.get("journal", {}),
        intents={name: _read_intent(name, raw) for name, raw in item.get("intents", {}).items()},
        wait=read_wait(subject.key, item["wait"]) if "wait" in item else None,
        members=item.get("members", {}),
        closed=item.get("closed"),
    )


def held_values(holder: Holder) -> dict[str, Any]:
    return {":owner": holder.execution, ":redrive": holder.redrive_count}


def find_lease(table: Table, subject: Subject) -> Lease | None:
    item = table.get(lease_key(subject))
    return read_lease(item) if item else None


def all_leases(table: Table) -> list[LeaseSummary]:
    """Every lease of a machine and of a group. The index lags a little."""
    return [LeaseSummary.from_item(item) for item in look_up_shards(table, _ALL_LEASES)]


def find_leases_that_await(table: Table, resource: str) -> list[Lease]:
    """The leases whose owners wait for an image. The index lags; the leases are read as they are now."""
    found = (find_lease(table, subject_of_partition(item["pk"])) for item in table.look_up(AWAITED_INDEX, resource))
    return [lease for lease in found if lease is not None]


def take_lease(table: Table, holder: Holder, subject: Subject, started: datetime, now: datetime) -> Lease | None:
    """Take the lease in phase ADMITTING. Returns None when it is ours now, else the lease that stands."""
    item = {
        **lease_key(subject),
        "lookup": shard_of(_ALL_LEASES, subject),
        "owner": holder.execution,
        "redriveCount": holder.redrive_count,
        "phase": ADMITTING,
        "startedAt": to_text(started),
        "since": to_text(now),
        "phaseSince": to_text(now),
        "intents": {},
        **({"members": {}} if isinstance(subject, Group) else {}),
    }
    try:
        table.put(
            item,
            f"attribute_not_exists(pk) OR ({HELD} AND phase = :admitting)",
            HELD_NAMES,
            {**held_values(holder), ":admitting": ADMITTING},
        )
    except ConditionFailedError as refused:
        if refused.found is None:
            raise
        return read_lease(refused.found)
    return None


def activate_lease(
    table: Table, holder: Holder, subject: Subject, journal: Mapping[str, Any], intent: str, now: datetime
) -> None:
    """Write the journal, allow changes, and announce the first one. Raises LeaseLostError."""
    try:
        table.update(
            lease_key(subject),
            "SET phase = :active, phaseSince = :now, journal = :journal, intents.#intent = :intent",
            f"{HELD} AND phase = :admitting",
            {**HELD_NAMES, "#intent": intent},
            {
                **held_values(holder),
                ":active": ACTIVE,
                ":admitting": ADMITTING,
                ":now": to_text(now),
                ":journal": dict(journal),
                ":intent": {"at": to_text(now)},
            },
        )
    except ConditionFailedError as refused:
        lease = read_lease(refused.found) if refused.found else None
        if lease is None or lease.holder != holder or lease.phase != ACTIVE:
            raise LeaseLostError(f"{subject.key}: the lease was lost before it was active") from refused


def claim_intent(table: Table, holder: Holder, subject: Subject, name: str, now: datetime, **facts: Any) -> Claim:
    """Announce a changing call, and forget what was waited for before.

    An intent that stands without an answer is announced anew: its function is dead, and whoever carries it on must
    be seen to be alive. Commands are carried on by `commands` alone, which looks for them first.
    Raises LeaseLostError, and then nothing may be touched.
    """
    claim = claim_or_find_intent(table, holder, subject, name, now, **facts)
    if claim.is_new or claim.intent.id:
        return claim
    return Claim(renew_intent(table, holder, subject, claim.intent, now), is_new=False, lease=claim.lease)


def claim_or_find_intent(
    table: Table, holder: Holder, subject: Subject, name: str, now: datetime, **facts: Any
) -> Claim:
    """As `claim_intent`, but an intent that stands is left as it is."""
    try:
        item = table.update(
            lease_key(subject),
            "SET intents.#name = :intent REMOVE #wait, awaited",
            f"{HELD} AND phase = :active AND attribute_not_exists(intents.#name)",
            {**HELD_NAMES, "#name": name, "#wait": "wait"},
            {**held_values(holder), ":active": ACTIVE, ":intent": {"at": to_text(now), **facts}},
        )
    except ConditionFailedError as refused:
        lease = read_lease(refused.found) if refused.found else None
        if lease and lease.holder == holder and lease.phase == ACTIVE and name in lease.intents:
            return Claim(lease.intents[name], is_new=False, lease=lease)
        raise LeaseLostError(f"{subject.key}: {name}: the lease is no longer ours; nothing was touched") from None
    lease = read_lease(item)
    return Claim(lease.intents[name], is_new=True, lease=lease)


def renew_intent(table: Table, holder: Holder, subject: Subject, intent: Intent, now: datetime) -> Intent:
    """Announce anew a call that never happened, as far as anybody knows. Only one function can win this.

    Raises LeaseLostError, ServiceUnavailableError when another function of this step is at it.
    """
    renewed = {**{key: value for key, value in intent.facts.items() if key != REFUSED}, "at": to_text(now)}
    try:
        table.update(
            lease_key(subject),
            "SET intents.#name = :intent",
            f"{HELD} AND phase = :active AND intents.#name.#at = :before AND attribute_not_exists(intents.#name.id)",
            {**HELD_NAMES, "#name": intent.name, "#at": "at"},
            {
                **held_values(holder),
                ":active": ACTIVE,
                ":intent": renewed,
                ":before": to_text(intent.at),
            },
        )
    except ConditionFailedError as refused:
        lease = read_lease(refused.found) if refused.found else None
        if lease and lease.holder == holder and lease.phase == ACTIVE:
            raise ServiceUnavailableError(f"{subject.key}: {intent.name}: another function carries this on") from None
        raise LeaseLostError(f"{subject.key}: {intent.name}: the lease is no longer ours") from None
    return _read_intent(intent.name, renewed)


def record_intent(table: Table, holder: Holder, subject: Subject, name: str, answer: Mapping[str, str]) -> None:
    """Store what AWS answered to the call of an intent. Raises LeaseLostError when the lease is gone."""
    try:
        table.update(
            lease_key(subject),
            "SET " + ", ".join(f"intents.#name.#{key} = :{key}" for key in answer),
            f"{HELD} AND attribute_exists(intents.#name)",
            {**HELD_NAMES, "#name": name, **{f"#{key}": key for key in answer}},
            {**held_values(holder), **{f":{key}": value for key, value in answer.items()}},
        )
    except ConditionFailedError as refused:
        raise LeaseLostError(f"{subject.key}: {name}: the lease went while the call was made") from refused


def file_wait(table: Table, holder: Holder, wait: Wait, work: Work) -> bool:
    """Put the wait in place of an older one, together with what AWS answered when the work was begun.

    False when a newer entry of the same execution has put its own, or the machine is being given back.
    Raises LeaseLostError.
    """
    # The event of an image does not name the instance.
    awaited = ["awaited = :awaited"] if wait.kind == "image" else []
    changes = {f"intents.#name.#{key} = :{key}": (key, value) for key, value in work.answer.items()}
    try:
        table.update(
            lease_key(Instance(wait.instance_id)),
            ", ".join(["SET #wait = :wait", *awaited, *changes]),
            f"{HELD} AND phase = :active AND (attribute_not_exists(#wait) OR #wait.#sequence <= :sequence)",
            {
                **HELD_NAMES,
                "#wait": "wait",
                "#sequence": "sequence",
                **({"#name": work.intent} if changes else {}),
                **{f"#{key}": key for key, _ in changes.values()},
            },
            {
                **held_values(holder),
                ":active": ACTIVE,
                ":wait": wait.to_item(),
                **({":awaited": wait.resource} if awaited else {}),
                ":sequence": wait.sequence,
                **{f":{key}": value for key, value in changes.values()},
            },
        )
    except ConditionFailedError:
        if work.answer:
            record_intent(table, holder, Instance(wait.instance_id), work.intent, work.answer)
        return False
    return True


def begin_restoring(table: Table, lease: Lease, now: datetime) -> Lease | None:
    """Fence off the owner and wake it no more. The lease as it is then, or None when it has changed hands."""
    if lease.phase == RESTORING:
        return lease
    try:
        item = table.update(
            lease_key(lease.subject),
            "SET phase = :restoring, phaseSince = :now REMOVE #wait, awaited",
            f"{HELD} AND phase = :before",
            {**HELD_NAMES, "#wait": "wait"},
            {
                **held_values(lease.holder),
                ":restoring": RESTORING,
                ":before": lease.phase,
                ":now": to_text(now),
            },
        )
    except ConditionFailedError:
        return None
    return read_lease(item)


def claim_giving_back(table: Table, lease: Lease, name: str, now: datetime, **facts: Any) -> bool:
    """Announce a change by `give_back`. False while another pass may be at it, or the lease has changed hands."""
    try:
        table.update(
            lease_key(lease.subject),
            "SET intents.#name = :intent",
            f"{HELD} AND phase = :restoring AND (attribute_not_exists(intents.#name) OR intents.#name.#at < :before)",
            {**HELD_NAMES, "#name": name, "#at": "at"},
            {
                **held_values(lease.holder),
                ":restoring": RESTORING,
                ":intent": {"at": to_text(now), **facts},
                ":before": to_text(now - FUNCTION_LIFETIME),
            },
        )
    except ConditionFailedError:
        return False
    return True


def drop_lease(table: Table, holder: Holder, subject: Subject, phase: str) -> bool:
    """Delete a lease that touched nothing. False when it was not ours in that phase."""
    try:
        table.delete(
            lease_key(subject),
            f"{HELD} AND phase = :phase",
            HELD_NAMES,
            {**held_values(holder), ":phase": phase},
        )
    except ConditionFailedError:
        return False
    return True


def end_lease_with_result(
    table: Table, holder: Holder, subject: Subject, phase: str, result: Item, *more: Write
) -> bool:
    """Delete the lease, write the result, and what else goes with it: all or nothing. False when that was done."""
    try:
        table.write_together(
            [
                table.addition(result),
                table.removal(
                    lease_key(subject),
                    f"{HELD} AND phase = :phase",
                    HELD_NAMES,
                    {**held_values(holder), ":phase": phase},
                ),
                *more,
            ]
        )
    except ConditionFailedError:
        return False
    return True
