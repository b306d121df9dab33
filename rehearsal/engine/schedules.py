"""When a maintenance window starts: cron(), rate() and at() expressions, time zones and offsets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rehearsal.engine.cron import Cron, read_cron

SHORTEST_INTERVAL = timedelta(minutes=5)

_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}


def next_start(
    schedule: str,
    zone: str | None,
    offset: int,
    after: datetime,
    *,
    since: datetime | None = None,
    begins: datetime | None = None,
    ends: datetime | None = None,
) -> datetime | None:
    """Return the first start after an instant, in the schedule's zone (UTC when it has none); None when none is left.

    `since` is when the schedule was set: a rate is counted from it, or from `begins` when that is later, and a day of
    cron that was over by then is not followed by a start, whatever its offset. `begins` and `ends` limit the starts.

    AWS does not say what becomes of a window at a local time that the clocks skip or show twice. Its other scheduler
    leaves out the first and runs once in the second, and so does this, the first time of the two:
    https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
    An at() with a zone is a time of that zone.

    Raises ValueError for what is not a schedule.
    """
    for start in _find_starts(schedule, zone, offset, after, since or after, begins):
        if start > after and (begins is None or start >= begins):
            return start if ends is None or start <= ends else None
    return None


def check_schedule(schedule: str, zone: str | None, offset: int) -> None:
    """Raise ValueError for a schedule that a window cannot have."""
    find_zone(zone)
    kind, text = _split(schedule)
    if offset and kind != "cron":
        raise ValueError("an offset needs a cron expression")
    if kind == "at":
        _read_instant(text)
    else:
        interval = _read_rate(text) if kind == "rate" else _shortest_gap(read_cron(text))
        if interval < SHORTEST_INTERVAL:
            raise ValueError(f"more often than every five minutes: {schedule}")


def find_zone(name: str | None) -> ZoneInfo:
    """Return a time zone by its IANA name, UTC for none; raises ValueError when there is none of that name."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"not a time zone: {name}") from error


def _find_starts(
    schedule: str, zone: str | None, offset: int, after: datetime, since: datetime, begins: datetime | None
) -> Iterator[datetime]:
    kind, text = _split(schedule)
    where = find_zone(zone)
    if kind == "at":
        start = _localize(_read_instant(text), where)
        if start is not None:
            yield start
    elif kind == "rate":
        interval = _read_rate(text)
        first = begins if begins is not None and begins > since else since + interval
        passed = max(0, (after - first) // interval)
        # Durations of the clock: a day is 24 hours even where the clocks change.
        yield from ((first + (passed + count) * interval).astimezone(where) for count in range(2))
    else:
        days = timedelta(days=offset)
        earliest = after if begins is None else max(after, begins)
        for local in read_cron(text).occurrences(earliest.astimezone(where).replace(tzinfo=None) - days):
            start = _localize(local + days, where)
            if start is not None and (not days or local.replace(tzinfo=where) > since):
                yield start


def _localize(local: datetime, zone: ZoneInfo) -> datetime | None:
    """Return a local time in its zone, the first of two; None for one that the clocks skip."""
    aware = local.replace(tzinfo=zone)
    return aware if aware.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == local else None


def _split(schedule: str) -> tuple[str, str]:
    found = re.fullmatch(r"(cron|rate|at)\((.+)\)", schedule.strip())
    if not found:
        raise ValueError(f"not a schedule expression: {schedule}")
    return found[1], found[2].strip()


def _read_rate(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9]\d*) (minute|hour|day)(s?)", text)
    if not found or (found[1] == "1") == bool(found[3]):
        raise ValueError(f"not a rate: {text}")
    return int(found[1]) * _UNITS[found[2]]


def _read_instant(text: str) -> datetime:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?", text):
        raise ValueError(f"not a time: {text}")
    return datetime.fromisoformat(text)


def _shortest_gap(cron: Cron) -> timedelta:
    seconds = [clock.hour * 3600 + clock.minute * 60 + clock.second for clock in cron.times]
    gaps = [later - earlier for earlier, later in pairwise(seconds)]
    return timedelta(seconds=min(gaps, default=86400))
