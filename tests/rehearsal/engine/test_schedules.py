"""When maintenance windows start: AWS's dialect of cron, rates, single times, zones, offsets and validity."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from rehearsal.engine.cron import read_cron
from rehearsal.engine.schedules import check_schedule, next_start

TOKYO = "Asia/Tokyo"
BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def starts(schedule: str, zone: str | None, after: str, count: int = 3, offset: int = 0) -> list[str]:
    found: list[str] = []
    start = next_start(schedule, zone, offset, at(after))
    while start is not None and len(found) < count:
        found.append(start.isoformat(timespec="minutes"))
        start = next_start(schedule, zone, offset, start)
    return found


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # The examples of the guide.
        ("cron(0 2 ? * THU#3 *)", ["2026-01-15T02:00", "2026-02-19T02:00"]),
        ("cron(15 10 ? * * *)", ["2026-01-13T10:15", "2026-01-14T10:15"]),
        ("cron(15 10 ? * MON-FRI *)", ["2026-01-13T10:15", "2026-01-14T10:15"]),
        ("cron(0 2 L * ? *)", ["2026-01-31T02:00", "2026-02-28T02:00"]),
        ("cron(15 10 ? * 6L *)", ["2026-01-30T10:15", "2026-02-27T10:15"]),
        ("cron(30 23 ? * 3#3 *)", ["2026-01-20T23:30", "2026-02-17T23:30"]),
        # Fields, one after the other.
        ("cron(0/20 8 * * ? *)", ["2026-01-13T08:00", "2026-01-13T08:20"]),
        ("cron(0 */12 * * ? *)", ["2026-01-13T12:00", "2026-01-14T00:00"]),
        ("cron(0 8-20/6 * * ? *)", ["2026-01-13T08:00", "2026-01-13T14:00"]),
        ("cron(0 2 1,15 * ? *)", ["2026-01-15T02:00", "2026-02-01T02:00"]),
        ("cron(0 2 31 * ? *)", ["2026-01-31T02:00", "2026-03-31T02:00"]),
        ("cron(0 2 29 2 ? *)", ["2028-02-29T02:00", "2032-02-29T02:00"]),
        ("cron(0 2 1 MAR,jun ? *)", ["2026-03-01T02:00", "2026-06-01T02:00"]),
        ("cron(0 2 1 */6 ? 2027/2)", ["2027-01-01T02:00", "2027-07-01T02:00"]),
        ("cron(0 2 1 1 ? 2027)", ["2027-01-01T02:00"]),
        ("cron(0 2 ? * 1 *)", ["2026-01-18T02:00", "2026-01-25T02:00"]),
        ("cron(0 2 ? * L *)", ["2026-01-17T02:00", "2026-01-24T02:00"]),
        ("cron(0 2 ? * FRIL *)", ["2026-01-30T02:00", "2026-02-27T02:00"]),
        ("cron(0 2 ? * TUE#5 *)", ["2026-03-31T02:00", "2026-06-30T02:00"]),
        ("cron(0 2 ? * TUE#2,THU#2 *)", ["2026-01-13T02:00", "2026-02-10T02:00"]),
        ("cron(0 2 15W 2 ? *)", ["2026-02-16T02:00", "2027-02-15T02:00"]),
        ("cron(0 2 1W 2,8 ? *)", ["2026-02-02T02:00", "2026-08-03T02:00"]),
        ("cron(0 2 LW 1,2 ? *)", ["2026-01-30T02:00", "2026-02-27T02:00"]),
        ("cron(0 2 31 2 ? *)", []),
        ("cron(0 2 1 1 ? 2025)", []),
    ],
)
def test_cron_comes_round_as_the_guide_says(schedule: str, expected: list[str]) -> None:
    found = [text.removesuffix("+00:00") for text in starts(schedule, None, "2026-01-13T01:00:00Z", 2)]

    assert found == expected


def test_seconds_can_stand_first() -> None:
    start = next_start("cron(24 30 09 ? * * *)", None, 0, at("2026-01-13T09:30:24Z"))

    assert start == at("2026-01-14T09:30:24Z")


def test_a_start_is_later_than_the_instant_it_is_asked_for() -> None:
    assert starts("cron(0 2 ? * TUE *)", None, "2026-01-13T02:00:00Z", 1) == ["2026-01-20T02:00+00:00"]
    assert starts("cron(0 2 ? * TUE *)", None, "2026-01-13T01:59:59Z", 1) == ["2026-01-13T02:00+00:00"]


@pytest.mark.parametrize(
    "schedule",
    [
        "cron(0 2 * * * *)",
        "cron(0 2 ? * ? *)",
        "cron(0 2 15 * MON *)",
        "cron(0 2 ? *)",
        "cron(60 2 ? * * *)",
        "cron(0 24 ? * * *)",
        "cron(0 2 32 * ? *)",
        "cron(0 2 0 * ? *)",
        "cron(0 2 ? 13 * *)",
        "cron(0 2 ? * 0 *)",
        "cron(0 2 ? * 8 *)",
        "cron(0 2 ? * TUE#6 *)",
        "cron(0 2 ? * TUESDAY *)",
        "cron(0 2 ? * * 1969)",
        "cron(0 2 L-3 * ? *)",
        "cron(0 5-2 ? * * *)",
        "cron(0 0/0 ? * * *)",
        "cron(0 2 ? * TUE *",
        "0 2 ? * TUE *",
        "rate(1 days)",
        "rate(2 day)",
        "rate(0 days)",
        "rate(1 week)",
        "at(2026-01-13)",
        "at(2026-13-13T00:00:00)",
        "at(2026-01-13T00:00:00Z)",
        # More often than every five minutes.
        "cron(* 2 ? * * *)",
        "cron(0,4 2 ? * * *)",
        "cron(0,10 0 2 ? * * *)",
        "rate(4 minutes)",
        "rate(1 minute)",
    ],
)
def test_what_systems_manager_does_not_know_is_refused(schedule: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check_schedule(schedule, None, 0)


@pytest.mark.parametrize("zone", ["Asia/Tokio", "Asia", "../etc/passwd", "a\x00b"])
def test_a_zone_that_is_not_known_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="not a time zone"):
        check_schedule("rate(1 day)", zone, 0)


@pytest.mark.parametrize("schedule", ["rate(7 days)", "at(2026-01-13T02:00:00)"])
def test_an_offset_is_for_cron_only(schedule: str) -> None:
    with pytest.raises(ValueError, match="needs a cron expression"):
        check_schedule(schedule, TOKYO, 1)


@pytest.mark.parametrize(
    "schedule", ["cron(0/5 * ? * * *)", "rate(5 minutes)", "rate(1 hour)", "at(2026-01-13T02:00:00)"]
)
def test_what_is_often_enough_is_taken(schedule: str) -> None:
    check_schedule(schedule, NEW_YORK, 0)


def test_patch_tuesday_is_wednesday_in_japan_and_not_the_second_wednesday() -> None:
    after_patch_tuesday = starts("cron(0 2 ? * TUE#2 *)", TOKYO, "2026-03-20T00:00:00+09:00", 2, offset=1)
    second_wednesday = starts("cron(0 2 ? * WED#2 *)", TOKYO, "2026-03-20T00:00:00+09:00", 2)

    # April 2026 begins with a Wednesday.
    assert after_patch_tuesday == ["2026-04-15T02:00+09:00", "2026-05-13T02:00+09:00"]
    assert second_wednesday == ["2026-04-08T02:00+09:00", "2026-05-13T02:00+09:00"]


def test_an_offset_counts_beyond_the_end_of_the_month_and_of_the_year() -> None:
    found = starts("cron(0 2 L * ? *)", TOKYO, "2026-11-30T12:00:00+09:00", 3, offset=2)

    assert found == ["2027-01-02T02:00+09:00", "2027-02-02T02:00+09:00", "2027-03-02T02:00+09:00"]


def test_a_start_that_is_already_due_by_its_offset_is_found_between_the_day_and_the_offset() -> None:
    start = next_start("cron(30 23 ? * TUE#3 *)", None, 2, at("2026-01-21T12:00:00Z"), since=at("2026-01-01T00:00:00Z"))

    assert start == at("2026-01-22T23:30:00Z")


def test_a_day_that_was_over_when_the_schedule_was_set_is_not_followed_by_a_start() -> None:
    """The guide: a window whose cron day was yesterday does not run tomorrow, with an offset of two days."""
    set_at = at("2026-01-21T23:30:00Z")

    start = next_start("cron(30 23 ? * TUE#3 *)", None, 2, set_at, since=set_at)

    assert start == at("2026-02-19T23:30:00Z")


@pytest.mark.parametrize(
    ("zone", "after", "expected"),
    [
        (BERLIN, "2026-03-27T12:00:00Z", ["2026-03-28T02:30+01:00", "2026-03-30T02:30+02:00"]),
        (NEW_YORK, "2026-03-06T12:00:00Z", ["2026-03-07T02:30-05:00", "2026-03-09T02:30-04:00"]),
        (TOKYO, "2026-03-27T12:00:00Z", ["2026-03-28T02:30+09:00", "2026-03-29T02:30+09:00"]),
    ],
)
def test_a_local_time_that_does_not_exist_is_left_out(zone: str, after: str, expected: list[str]) -> None:
    assert starts("cron(30 2 ? * * *)", zone, after, 2) == expected


@pytest.mark.parametrize(
    ("zone", "minute", "after", "expected"),
    [
        (BERLIN, "30 2", "2026-10-24T12:00:00Z", ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        (NEW_YORK, "30 1", "2026-10-31T12:00:00Z", ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"]),
    ],
)
def test_a_local_time_that_exists_twice_starts_the_first_time_only(
    zone: str, minute: str, after: str, expected: list[str]
) -> None:
    assert starts(f"cron({minute} ? * * *)", zone, after, 2) == expected


def test_nothing_starts_again_in_the_second_of_two_hours() -> None:
    in_the_second_hour = "2026-10-25T02:10:00+01:00"

    assert starts("cron(30 2 ? * * *)", BERLIN, in_the_second_hour, 1) == ["2026-10-26T02:30+01:00"]


def test_a_window_keeps_its_local_time_across_the_change_of_the_clocks() -> None:
    found = starts("cron(0 4 ? * SUN *)", BERLIN, "2026-03-22T12:00:00Z", 2)

    assert found == ["2026-03-29T04:00+02:00", "2026-04-05T04:00+02:00"]
    assert starts("cron(0 4 ? * SUN *)", BERLIN, "2026-03-20T12:00:00Z", 1) == ["2026-03-22T04:00+01:00"]


def test_the_day_after_the_offset_decides_whether_the_local_time_exists() -> None:
    skipped = starts("cron(30 2 ? * SAT#4 *)", BERLIN, "2026-03-01T00:00:00Z", 1, offset=1)

    assert skipped == ["2026-04-26T02:30+02:00"], "the fourth Saturday of March is the eve of the change"


def test_days_of_a_rate_are_24_hours_whatever_the_clocks_do() -> None:
    set_at = at("2026-03-28T02:30:00+01:00")

    start = next_start("rate(1 day)", BERLIN, 0, set_at, since=set_at)

    assert start is not None
    assert start.isoformat() == "2026-03-29T03:30:00+02:00"


def test_a_rate_is_counted_from_when_it_was_set() -> None:
    set_at = at("2026-01-13T01:00:00Z")

    first = next_start("rate(5 hours)", None, 0, at("2026-01-13T04:30:00Z"), since=set_at)
    second = next_start("rate(5 hours)", None, 0, at("2026-01-13T06:00:00Z"), since=set_at)

    assert (first, second) == (at("2026-01-13T06:00:00Z"), at("2026-01-13T11:00:00Z"))


def test_a_rate_begins_with_its_start_date() -> None:
    """The guide's second example: every Tuesday from the first of January 2019, until the end of June."""
    begins, ends = at("2019-01-01T03:15:00+09:00"), at("2019-06-30T06:15:00+09:00")

    def find(after: datetime) -> datetime | None:
        return next_start("rate(7 days)", TOKYO, 0, after, since=at("2018-12-01T00:00:00Z"), begins=begins, ends=ends)

    assert find(at("2018-12-01T00:00:00Z")) == begins
    assert find(begins) == begins + timedelta(days=7)
    assert find(at("2019-06-20T00:00:00Z")) == at("2019-06-25T03:15:00+09:00")
    assert find(at("2019-06-25T03:15:00+09:00")) is None


def test_the_first_start_is_not_before_the_start_date() -> None:
    """The guide's first example, but for the day of the month, which it has wrong."""
    start = next_start(
        "cron(0 09 ? * WED *)",
        "America/Los_Angeles",
        0,
        at("2020-11-01T00:00:00Z"),
        begins=at("2021-01-01T00:00:00-08:00"),
    )

    assert start is not None
    assert start.isoformat() == "2021-01-06T09:00:00-08:00"


def test_nothing_starts_after_the_end_date() -> None:
    def find(ends: str) -> datetime | None:
        return next_start("cron(0 2 ? * TUE *)", None, 0, at("2026-01-13T12:00:00Z"), ends=at(ends))

    assert find("2026-01-20T02:00:00Z") == at("2026-01-20T02:00:00Z")
    assert find("2026-01-20T01:59:59Z") is None


@pytest.mark.parametrize(
    ("zone", "expected"), [(None, "2026-07-07T15:55:00+00:00"), (TOKYO, "2026-07-07T15:55:00+09:00")]
)
def test_a_single_time_starts_once_in_its_zone(zone: str | None, expected: str) -> None:
    start = next_start("at(2026-07-07T15:55:00)", zone, 0, at("2026-01-13T00:00:00Z"))

    assert start is not None
    assert start.isoformat() == expected
    assert next_start("at(2026-07-07T15:55:00)", zone, 0, start) is None


def test_a_single_time_that_the_clocks_skip_never_starts() -> None:
    assert next_start("at(2026-03-29T02:30:00)", BERLIN, 0, at("2026-01-13T00:00:00Z")) is None


def test_starts_are_aware_and_come_in_order_over_years() -> None:
    cron = read_cron("0 0/6 ? * * *")
    local = list(islice(cron.occurrences(datetime(2026, 1, 1)), 4 * 365 * 2))  # noqa: DTZ001 - local times have none

    assert local == sorted(set(local))
    start = next_start("cron(0 0/6 ? * * *)", BERLIN, 0, datetime(2026, 1, 1, tzinfo=UTC))
    for _ in range(4 * 365):
        assert start is not None
        later = next_start("cron(0 0/6 ? * * *)", BERLIN, 0, start)
        assert later is not None
        assert start < later <= start + timedelta(hours=7)
        start = later
