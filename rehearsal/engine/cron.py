"""AWS's dialect of cron: when an expression of Systems Manager comes round, as local times of no time zone.

https://docs.aws.amazon.com/systems-manager/latest/userguide/reference-cron-and-rate-expressions.html
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
YEARS = range(1970, 2200)

_SATURDAY = 7

Days = Callable[[int, int], set[int]]
"""Which days of a month are meant, by year and month."""


@dataclass(frozen=True)
class Cron:
    """A cron expression that has been read."""

    times: Sequence[time]
    """The times of day, in order."""
    months: frozenset[int]
    years: frozenset[int]
    days: Days

    def occurrences(self, start: datetime) -> Iterator[datetime]:
        """Give out the local times from `start` on, `start` included, until the dialect's last year."""
        for year in range(max(start.year, YEARS.start), YEARS.stop):
            if year not in self.years:
                continue
            for month in sorted(self.months):
                if (year, month) < (start.year, start.month):
                    continue
                for day in sorted(self.days(year, month)):
                    for clock in self.times:
                        when = datetime.combine(date(year, month, day), clock)
                        if when >= start:
                            yield when


@lru_cache(maxsize=256)
def read_cron(text: str) -> Cron:
    """Read what stands between the parentheses of cron(); raises ValueError for what the dialect does not have."""
    fields = text.upper().split()
    if len(fields) == 6:
        fields = ["0", *fields]
    if len(fields) != 7:
        raise ValueError(f"a cron expression has six fields, or seven with seconds: {text}")
    second, minute, hour, day, month, weekday, year = fields
    if [day, weekday].count("?") != 1:
        raise ValueError(f"either the day of the month or the day of the week must be '?': {text}")
    return Cron(
        times=[
            time(hours, minutes, seconds)
            for hours in sorted(_read_values(hour, range(24)))
            for minutes in sorted(_read_values(minute, range(60)))
            for seconds in sorted(_read_values(second, range(60)))
        ],
        months=frozenset(_read_values(month, range(1, 13), MONTHS)),
        years=frozenset(_read_values(year, YEARS)),
        days=_read_days_of_week(weekday) if day == "?" else _read_days_of_month(day),
    )


def _read_values(text: str, allowed: range, names: Sequence[str] = ()) -> set[int]:
    values: set[int] = set()
    for part in text.split(","):
        bounds, slash, step = part.partition("/")
        first, dash, last = bounds.partition("-")
        if bounds == "*":
            low, high = allowed.start, allowed.stop - 1
        else:
            low = _read_number(first, allowed, names)
            high = _read_number(last, allowed, names) if dash else allowed.stop - 1 if slash else low
        if high < low or (slash and not re.fullmatch(r"[1-9]\d*", step)):
            raise ValueError(f"not a range or a step: {part}")
        values.update(range(low, high + 1, int(step or 1)))
    return values


def _read_number(text: str, allowed: range, names: Sequence[str]) -> int:
    if text in names:
        return names.index(text) + allowed.start
    if not re.fullmatch(r"\d{1,4}", text) or int(text) not in allowed:
        raise ValueError(f"not between {allowed.start} and {allowed.stop - 1}: {text}")
    return int(text)


def _read_days_of_month(text: str) -> Days:
    readers: list[Days] = []
    for part in text.split(","):
        if part == "L":
            readers.append(lambda year, month: {monthrange(year, month)[1]})
        elif part == "LW":
            readers.append(lambda year, month: {_find_workday(year, month, monthrange(year, month)[1])})
        elif part.endswith("W"):
            readers.append(_near(_read_number(part[:-1], range(1, 32), ())))
        else:
            readers.append(_numbered(_read_values(part, range(1, 32))))
    return _join(readers)


def _read_days_of_week(text: str) -> Days:
    readers: list[Days] = []
    for part in text.split(","):
        name, hash_sign, number = part.partition("#")
        if hash_sign:
            readers.append(
                _nth(_read_number(name, range(1, 8), WEEKDAYS), _read_number(number, range(1, 6), ())),
            )
        elif part == "L":
            readers.append(_on_weekdays({_SATURDAY}))
        elif part.endswith("L"):
            readers.append(_last(_read_number(part[:-1], range(1, 8), WEEKDAYS)))
        else:
            readers.append(_on_weekdays(_read_values(part, range(1, 8), WEEKDAYS)))
    return _join(readers)


def _join(readers: Sequence[Days]) -> Days:
    return lambda year, month: {day for read in readers for day in read(year, month)}


def _numbered(numbers: set[int]) -> Days:
    return lambda year, month: {day for day in numbers if day <= monthrange(year, month)[1]}


def _near(number: int) -> Days:
    def find(year: int, month: int) -> set[int]:
        return {_find_workday(year, month, number)} if number <= monthrange(year, month)[1] else set()

    return find


def _on_weekdays(weekdays: set[int]) -> Days:
    return lambda year, month: {day for weekday in weekdays for day in _find_weekdays(year, month, weekday)}


def _nth(weekday: int, number: int) -> Days:
    return lambda year, month: set(_find_weekdays(year, month, weekday)[number - 1 : number])


def _last(weekday: int) -> Days:
    return lambda year, month: {_find_weekdays(year, month, weekday)[-1]}


def _find_weekdays(year: int, month: int, weekday: int) -> list[int]:
    """Return the days of a month that are a weekday, 1 being Sunday."""
    first, length = monthrange(year, month)
    return list(range(1 + (weekday - 2 - first) % 7, length + 1, 7))


def _find_workday(year: int, month: int, day: int) -> int:
    """Return the day from Monday to Friday that is nearest to a day and in the same month."""
    length = monthrange(year, month)[1]
    weekday = date(year, month, day).isoweekday()
    if weekday == 6:
        return day - 1 if day > 1 else day + 2
    if weekday == 7:
        return day + 1 if day < length else day - 2
    return day
