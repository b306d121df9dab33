"""Times: UTC with milliseconds in the table, the zone's own with its offset for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from drydock.times import day_in, for_people, from_text, to_text

MOMENT = datetime(2026, 1, 13, 1, 0, 5, 123_000, tzinfo=UTC)


def test_a_time_is_written_in_utc_and_read_as_it_was() -> None:
    assert to_text(MOMENT) == "2026-01-13T01:00:05.123Z"
    assert from_text(to_text(MOMENT)) == MOMENT
    assert to_text(MOMENT.astimezone(timezone(timedelta(hours=9)))) == to_text(MOMENT)


def test_times_sort_as_their_texts_do() -> None:
    moments = [MOMENT + timedelta(milliseconds=step) for step in (0, 1, 900, 100_000, 86_400_000)]

    assert [to_text(moment) for moment in moments] == sorted(to_text(moment) for moment in moments)


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("Asia/Tokyo", "2026-01-13 10:00 +09:00 (Asia/Tokyo)"),
        ("UTC", "2026-01-13 01:00 +00:00 (UTC)"),
        ("America/St_Johns", "2026-01-12 21:30 -03:30 (America/St_Johns)"),
    ],
)
def test_people_read_the_zone_and_its_offset(zone: str, text: str) -> None:
    assert for_people(MOMENT, zone) == text


@pytest.mark.parametrize("zone", ["Asia/Tokio", "", "../etc/passwd", "/etc/passwd", "Asia", "a\x00b"])
def test_a_zone_that_is_not_known_is_read_as_utc_and_said_so(zone: str) -> None:
    assert for_people(MOMENT, zone) == "2026-01-13 01:00 +00:00 (UTC)"
    assert day_in(MOMENT, zone) == "2026-01-13"


@pytest.mark.parametrize(("zone", "day"), [("Asia/Tokyo", "2026-01-14"), ("UTC", "2026-01-13")])
def test_a_day_is_that_of_the_zone(zone: str, day: str) -> None:
    assert day_in(MOMENT + timedelta(hours=15), zone) == day
