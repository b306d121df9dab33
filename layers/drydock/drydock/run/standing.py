"""How a run stands that still works: people hear of it when its end has come, and when it waits for one machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from drydock.aws.calls import look_at_once
from drydock.aws.services import Services
from drydock.records.leases import Lease, LeaseSummary, find_lease
from drydock.records.runs import Place, Run, child_name, find_run, places_of_run
from drydock.subject import Group
from drydock.telling.tell_once import was_told

WAITS_FOR_ONE = timedelta(minutes=30)
"""For so long a run waits in vain for its one machine in work before people hear of it."""

_MOST_READ = 20

Why = Literal["end", "one"]


@dataclass(frozen=True)
class InWork:
    """A machine or group in work, or one that is not given back yet although its execution is over."""

    place: Place
    lease: Lease
    expected: datetime | None
    """When it was expected to be given back; None where that is not known."""


@dataclass(frozen=True)
class Standing:
    """A run that still works: why people should hear of it now, and how it stands."""

    run: Run
    why: Why
    at: datetime
    places: Sequence[Place]
    in_work: Sequence[InWork]
    """The first of them; one where `why` is `one`."""
    count: int
    """How many machines and groups are in work or not given back; the members of a group are one."""

    @property
    def cause(self) -> str:
        """Under this name it is marked that people were told."""
        return _cause(self.why)


def _cause(why: Why) -> str:
    return f"standing {why}"


def find_standing(services: Services, run_id: str, leases: Sequence[LeaseSummary]) -> Standing | None:
    """How a run stands, by the leases of all machines; None where nothing has to be told of it, or was told already.

    Nothing is said of a run whose machines are all given back: its own message does.
    """
    own = [lease for lease in leases if lease.holder.name == child_name(run_id, lease.subject)]
    now = services.now()
    found = [lease for lease in look_at_once(lambda one: _read(services, one), own[:_MOST_READ]) if lease is not None]
    is_slow = len(own) == 1 and all(now - lease.since >= WAITS_FOR_ONE for lease in found)
    run = find_run(services.table, run_id) if found else None
    if run is None or run.plan is None or run.is_ended:
        return None
    is_over = run.end is not None and now >= run.end
    why: Why = "end" if is_over else "one"
    if not (is_over or is_slow) or was_told(services, run.holder, _cause(why)):
        return None
    places = places_of_run(services.table, run_id)
    by_subject = {place.subject: place for place in places}
    in_work = [
        InWork(place, lease, _expected(run, place))
        for lease in found
        if (place := by_subject.get(lease.subject)) is not None
    ]
    if not in_work or (why == "one" and now < _waits_since(in_work[0], places) + WAITS_FOR_ONE):
        return None
    return Standing(run, why, now, places, in_work, len(own))


def _read(services: Services, summary: LeaseSummary) -> Lease | None:
    lease = find_lease(services.table, summary.subject)
    return lease if lease is not None and lease.holder == summary.holder else None


def _expected(run: Run, place: Place) -> datetime | None:
    if place.admitted is None or not place.expected_seconds:
        return None
    batch = int(run.require_plan().policy["batch"]) if isinstance(place.subject, Group) else 1
    turns = -(-max(len(place.only), 1) // max(batch, 1))
    return place.admitted + timedelta(seconds=place.expected_seconds * turns + place.after_seconds)


def _waits_since(waited_for: InWork, places: Sequence[Place]) -> datetime:
    """Since when nothing else goes on, and it should have been done."""
    ends = [place.ended for place in places if place.ended and place is not waited_for.place]
    return max([*ends, waited_for.expected or waited_for.lease.since])
