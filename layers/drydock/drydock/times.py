"""Times as Drydock writes them: UTC, ISO 8601, milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def utc_now() -> datetime:
    """The time by the function's own clock, in UTC: what `Services` reads unless it is given another clock."""
    return datetime.now(UTC)


_MOST_TIME = timedelta(seconds=35)
"""A function ends after 60 seconds, and one call of AWS may take 20 of them."""


@dataclass(frozen=True)
class TimeBudget:
    """How long a function goes on with work of which the next one does the rest. It begins when it is made."""

    now: Callable[[], datetime]
    began: datetime

    @classmethod
    def begin(cls, now: Callable[[], datetime]) -> TimeBudget:
        """A budget by the function's own clock."""
        return cls(now, now())

    @property
    def is_spent(self) -> bool:
        """Whether the rest has to be left to the next function."""
        return self.now() - self.began > _MOST_TIME


def to_text(moment: datetime) -> str:
    """A time as `2026-01-13T01:00:00.000Z`, in UTC and to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """A time out of ISO 8601 with `Z` or an offset; without either it has no zone. Raises ValueError."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def find_zone(name: str) -> tzinfo:
    """A time zone by its IANA name; UTC for one that is not known, since a message must not fail over it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def in_zone(moment: datetime, zone: str) -> datetime:
    """The same moment by the clocks of a zone."""
    return moment.astimezone(find_zone(zone))


def for_people(moment: datetime, zone: str) -> str:
    """`2026-01-13 01:40 +09:00 (Asia/Tokyo)`"""
    found = find_zone(zone)
    return f"{to_the_minute(moment.astimezone(found))} ({found})"


def to_the_minute(local: datetime) -> str:
    """`2026-01-13 01:40 +09:00`, of a time in the zone of whoever reads it."""
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M} {offset[:3]}:{offset[3:5]}"


def day_in(moment: datetime, zone: str) -> str:
    """The date in a time zone, `2026-01-13`."""
    return f"{moment.astimezone(find_zone(zone)):%Y-%m-%d}"
