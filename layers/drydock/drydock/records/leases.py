"""Leases: who works on a machine, what it was like before, and what was done to it so far.

One item a machine. In phase ADMITTING nothing has been touched; ACTIVE allows the owner to claim intents,
each before the changing call it stands for; in RESTORING only `give_back` acts. What the owner waits for stands
in the same item, so that whoever may act and whoever is woken are always decided together. A lease has no time
to live: it goes when the machine is given back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from drydock.aws.services import Services
from drydock.aws.table import AWAITED_INDEX, ConditionFailedError, Item, Key, Table, Write
from drydock.catalogue.saying import say
from drydock.errors import LeaseLostError, ServiceUnavailableError
from drydock.records.holder import Holder
from drydock.records.reading import Readings, mapping, maps, moment, read_all, readable, text
from drydock.records.results import Result
from drydock.records.shards import look_up_shards, shard_of
from drydock.records.waits import Wait, Work, read_wait
from drydock.subject import Group, Instance, Subject, subject_of_partition
from drydock.times import to_text

REFUSED = "refused"
"""The fact of an intent whose call AWS has surely not carried out."""


ADMITTING, ACTIVE, RESTORING = "ADMITTING", "ACTIVE", "RESTORING"


_ALL_LEASES, _LEASE = "LEASES", "LEASE"


FUNCTION_LIFETIME = timedelta(seconds=75)
"""Longer than any function runs (60 s): an intent older than this is carried out, or never will be."""


_HELD = "#owner = :owner AND redriveCount = :redrive"
_HELD_NAMES = {"#owner": "owner"}
Loss = Literal["lost", "untouched", "lost_at_once", "lost_in_call"]
"""What is said of a lease that an execution does not hold any more."""


def lease_key(subject: Subject) -> Key:
    """Where the lease of a machine or a group stands: there is one at most."""
    return {"pk": subject.partition, "sk": _LEASE}


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
        """When the newest intent was announced; when the lease was taken, where there is none."""
        return max([intent.at for intent in self.intents.values()], default=self.since)


@dataclass(frozen=True)
class LeaseSummary:
    """What the index holds of a lease, as it was a moment ago. Whoever needs more reads the lease itself."""

    subject: Subject
    holder: Holder
    phase: str

    @classmethod
    def from_item(cls, item: Item) -> LeaseSummary:
        """Read a lease out of the index, which holds only some of its attributes. Raises UnreadableItemError."""
        return _read_summary(item)


@readable
def _read_summary(item: Item) -> LeaseSummary:
    return LeaseSummary(_subject_of(item), Holder.from_item(item, "owner"), text(item["phase"]))


def _subject_of(item: Item) -> Subject:
    """Raises ValueError for an item that is no lease."""
    subject = subject_of_partition(item["pk"])
    if {"pk": item["pk"], "sk": item["sk"]} != lease_key(subject):
        raise ValueError(say("item.not_of_lease"))
    return subject


@dataclass(frozen=True)
class Claim:
    """An intent, whether it was announced just now, and the lease as it is with it."""

    intent: Intent
    is_new: bool
    lease: Lease


def _read_intent(name: str, raw: Mapping[str, Any]) -> Intent:
    facts = {key: value for key, value in raw.items() if key not in ("at", "id")}
    return Intent(name, moment(raw["at"]), text(raw.get("id", "")), facts)


@readable
def read_lease(item: Item) -> Lease:
    """A lease out of its item. An item of the phase ADMITTING has no journal yet: it is empty then.

    Raises UnreadableItemError.
    """
    subject, phase = _subject_of(item), text(item["phase"])
    return Lease(
        subject=subject,
        holder=Holder.from_item(item, "owner"),
        phase=phase,
        started=moment(item["startedAt"]),
        since=moment(item["since"]),
        phase_since=moment(item["phaseSince"]),
        journal=_read_journal(subject, phase, item),
        intents={name: _read_intent(name, raw) for name, raw in maps(item.get("intents", {})).items()},
        wait=read_wait(subject.key, mapping(item["wait"])) if "wait" in item else None,
        members=maps(item.get("members", {})),
        closed=mapping(item["closed"]) if "closed" in item else None,
    )


def _read_journal(subject: Subject, phase: str, item: Item) -> Mapping[str, Any]:
    """Empty before anything was touched. A group's is read by the executions of its members as well: it has to say
    whose roll it is, by an empty `runId` if it is no run's."""
    journal = mapping(item.get("journal", {}))
    if isinstance(subject, Group) and phase == ACTIVE:
        text(journal["runId"])
    return journal


def find_lease(table: Table, subject: Subject) -> Lease | None:
    """The lease of a machine or a group as it is now; None when nobody holds one."""
    item = table.get(lease_key(subject))
    return read_lease(item) if item else None


def all_leases(table: Table) -> Readings[LeaseSummary]:
    """Every lease of a machine and of a group. The index lags a little."""
    return read_all(look_up_shards(table, _ALL_LEASES), LeaseSummary.from_item)


def find_leases_that_await(table: Table, resource: str) -> list[Lease]:
    """The leases whose owners wait for an image, but those that cannot be read.

    The index lags; the leases are read as they are now.
    """
    found = [item for item in table.look_up(AWAITED_INDEX, resource) if item["sk"] == _LEASE]
    keys = [lease_key(subject_of_partition(item["pk"])) for item in found]
    items = [item for key in keys if (item := table.get(key)) is not None]
    return read_all(items, read_lease).read


@dataclass(frozen=True)
class Hold:
    """What an execution has of a machine or a group: all that it may change there is announced here first.

    The fence. Whatever is written is written only while the lease is this holder's, in the phase that allows it. A
    refusal becomes a LeaseLostError here and nowhere else: then nothing may be touched any more.
    """

    table: Table
    holder: Holder
    subject: Subject
    now: Callable[[], datetime]

    @classmethod
    def of(cls, services: Services, holder: Holder, subject: Subject) -> Hold:
        """The hold of this execution, with the table and the clock of `services`. Nothing is read or written for it."""
        return cls(services.table, holder, subject, services.now)

    def take(self, started: datetime) -> Lease | None:
        """Take the lease in phase ADMITTING. Returns None when it is ours now, else the lease that stands."""
        now = to_text(self.now())
        item = {
            **lease_key(self.subject),
            "lookup": shard_of(_ALL_LEASES, self.subject),
            "owner": self.holder.execution,
            "redriveCount": self.holder.redrive_count,
            "phase": ADMITTING,
            "startedAt": to_text(started),
            "since": now,
            "phaseSince": now,
            "intents": {},
            **({"members": {}} if isinstance(self.subject, Group) else {}),
        }
        try:
            self.table.put(
                item,
                f"attribute_not_exists(pk) OR ({_HELD} AND phase = :admitting)",
                _HELD_NAMES,
                {**self._values(), ":admitting": ADMITTING},
            )
        except ConditionFailedError as refused:
            if refused.found is None:
                raise
            return read_lease(refused.found)
        return None

    def activate(self, journal: Mapping[str, Any], intent: str) -> None:
        """Write the journal, allow changes, and announce the first one. Raises LeaseLostError."""
        now = to_text(self.now())
        lease, _ = self.change(
            "SET phase = :active, phaseSince = :now, journal = :journal, intents.#intent = :intent",
            "phase = :admitting",
            {"#intent": intent},
            {
                ":active": ACTIVE,
                ":admitting": ADMITTING,
                ":now": now,
                ":journal": dict(journal),
                ":intent": {"at": now},
            },
        )
        self.own(lease, "lost_at_once")

    def claim(self, name: str, **facts: Any) -> Claim:
        """Announce a changing call, and forget what was waited for before.

        An intent that stands without an answer is announced anew: its function is dead, and whoever carries it on must
        be seen to be alive. Commands are carried on by `commands` alone, which looks for them first.
        Raises LeaseLostError, and then nothing may be touched.
        """
        at = self.now()
        claim = self._announce(name, at, facts)
        if claim.is_new or claim.intent.id:
            return claim
        return Claim(self.renew(claim.intent, at), is_new=False, lease=claim.lease)

    def claim_or_find(self, name: str, **facts: Any) -> Claim:
        """As `claim`, but an intent that stands is left as it is."""
        return self._announce(name, self.now(), facts)

    def _announce(self, name: str, at: datetime, facts: Mapping[str, Any]) -> Claim:
        found, is_new = self.change(
            "SET intents.#name = :intent REMOVE #wait, awaited",
            "phase = :active AND attribute_not_exists(intents.#name)",
            {"#name": name, "#wait": "wait"},
            {":active": ACTIVE, ":intent": {"at": to_text(at), **facts}},
        )
        lease = self.own(found, "untouched")
        return Claim(lease.intents[name], is_new, lease)

    def renew(self, intent: Intent, at: datetime) -> Intent:
        """Announce anew, at `at`, a call that never happened as far as anybody knows. Only one function can win this.

        Raises LeaseLostError, ServiceUnavailableError when another function of this step is at it.
        """
        renewed = {**{key: value for key, value in intent.facts.items() if key != REFUSED}, "at": to_text(at)}
        found, is_done = self.change(
            "SET intents.#name = :intent",
            "phase = :active AND intents.#name.#at = :before AND attribute_not_exists(intents.#name.id)",
            {"#name": intent.name, "#at": "at"},
            {":active": ACTIVE, ":intent": renewed, ":before": to_text(intent.at)},
        )
        self.own(found, "lost")
        if not is_done:
            raise ServiceUnavailableError(say("hold.carried_on", subject=self.subject.key))
        return _read_intent(intent.name, renewed)

    def record(self, name: str, answer: Mapping[str, str]) -> None:
        """Store what AWS answered to the call of an intent, whatever the phase. Raises LeaseLostError."""
        _, is_done = self.change(
            "SET " + ", ".join(f"intents.#name.#{key} = :{key}" for key in answer),
            "attribute_exists(intents.#name)",
            {"#name": name, **{f"#{key}": key for key in answer}},
            {f":{key}": value for key, value in answer.items()},
        )
        if not is_done:
            self.own(None, "lost_in_call")

    def file(self, wait: Wait, work: Work) -> bool:
        """Put the wait in place of an older one, together with what AWS answered when the work was begun.

        False when a newer entry of the same execution has put its own, or the machine is being given back.
        Raises LeaseLostError.
        """
        # The event of an image does not name the instance.
        awaited = ["awaited = :awaited"] if wait.kind == "image" else []
        changes = {f"intents.#name.#{key} = :{key}": (key, value) for key, value in work.answer.items()}
        _, is_done = self.change(
            ", ".join(["SET #wait = :wait", *awaited, *changes]),
            "phase = :active AND (attribute_not_exists(#wait) OR #wait.#sequence <= :sequence)",
            {
                "#wait": "wait",
                "#sequence": "sequence",
                **({"#name": work.intent} if changes else {}),
                **{f"#{key}": key for key, _ in changes.values()},
            },
            {
                ":active": ACTIVE,
                ":wait": wait.to_item(),
                **({":awaited": wait.resource} if awaited else {}),
                ":sequence": wait.sequence,
                **{f":{key}": value for key, value in changes.values()},
            },
        )
        if not is_done and work.answer:
            self.record(work.intent, work.answer)
        return is_done

    def require(self) -> Lease:
        """The lease, which allows changes. Raises LeaseLostError."""
        return self.own(find_lease(self.table, self.subject), "lost")

    def begin_restoring(self, seen: Lease) -> Lease | None:
        """Fence off the owner, and wake it no more. The lease as it is then, or None when it has changed hands."""
        if seen.phase == RESTORING:
            return seen
        found, is_done = self.change(
            "SET phase = :restoring, phaseSince = :now REMOVE #wait, awaited",
            "phase = :before",
            {"#wait": "wait"},
            {":restoring": RESTORING, ":before": seen.phase, ":now": to_text(self.now())},
        )
        return found if is_done else None

    def claim_giving_back(self, name: str, **facts: Any) -> bool:
        """Announce a change by `give_back`. False while another pass may be at it, or the lease has changed hands."""
        now = self.now()
        _, is_done = self.change(
            "SET intents.#name = :intent",
            "phase = :restoring AND (attribute_not_exists(intents.#name) OR intents.#name.#at < :before)",
            {"#name": name, "#at": "at"},
            {
                ":restoring": RESTORING,
                ":intent": {"at": to_text(now), **facts},
                ":before": to_text(now - FUNCTION_LIFETIME),
            },
        )
        return is_done

    def drop(self, phase: str) -> bool:
        """Delete a lease that touched nothing. False when it was not ours in that phase."""
        try:
            self.table.delete(
                lease_key(self.subject),
                f"{_HELD} AND phase = :phase",
                _HELD_NAMES,
                {**self._values(), ":phase": phase},
            )
        except ConditionFailedError:
            return False
        return True

    def finish(self, phase: str, result: Result, *more: Write) -> bool:
        """Delete the lease, write the result, and what else goes with it: all or nothing. False when that was done."""
        try:
            self.table.write_together(
                [
                    self.table.addition(result.to_item()),
                    self.table.removal(
                        lease_key(self.subject),
                        f"{_HELD} AND phase = :phase",
                        _HELD_NAMES,
                        {**self._values(), ":phase": phase},
                    ),
                    *more,
                ]
            )
        except ConditionFailedError:
            return False
        return True

    def change(
        self, changes: str, condition: str, names: Mapping[str, str], values: Mapping[str, Any]
    ) -> tuple[Lease | None, bool]:
        """Change the lease, if it is ours and the condition holds: as it is then, and whether that was done."""
        try:
            item = self.table.update(
                lease_key(self.subject),
                changes,
                f"{_HELD} AND {condition}",
                {**_HELD_NAMES, **names},
                {**self._values(), **values},
            )
        except ConditionFailedError as refused:
            return (read_lease(refused.found) if refused.found else None), False
        return read_lease(item), True

    def own(self, found: Lease | None, otherwise: Loss) -> Lease:
        """A lease that was found, if it is ours and allows changes. Raises LeaseLostError, which says `otherwise`."""
        if found is None or found.holder != self.holder or found.phase != ACTIVE:
            raise LeaseLostError(say(f"held.{otherwise}", subject=self.subject.key))
        return found

    def _values(self) -> dict[str, Any]:
        return {":owner": self.holder.execution, ":redrive": self.holder.redrive_count}


def hold_of(services: Services, lease: Lease) -> Hold:
    """What the holder of a lease has: for a pass that gives it back, or a step that has read its own."""
    return Hold.of(services, lease.holder, lease.subject)
