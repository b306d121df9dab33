"""A language: its sentences, and how it writes numbers, plurals, times, durations and lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True)
class Language:
    """What another language has to bring. A sentence's place holders have names, and say how they are written.

    `{name}` is text as it is. Of values that are no text, what stands after the colon says how:

    - `{count:# machine|# machines}`: a number, `#`, and the form that goes with it; `{count:is|are}` the form alone
    - `{count:number}`: a number alone
    - `{moment:time}`, `{moment:day}`, `{moment:clock}`, `{moment:weekday}`: a time of its own zone, to the minute; its
      date; its hour; its day of the week and hour
    - `{minutes:span}`: a duration in minutes
    - `{names:list}`: names, all of them; `{names:some}`: the first ten, and how many more there are;
      `{names:is|are}`: the form that goes with their number
    """

    sentences: Mapping[str, str]
    number: Callable[[int], str]
    form: Callable[[int, Sequence[str]], str]
    """Of the forms that a sentence gives, the one that goes with a number."""
    time: Callable[[datetime], str]
    day: Callable[[date], str]
    clock: Callable[[datetime], str]
    weekday: Callable[[datetime], str]
    span: Callable[[int], str]
    listing: Callable[[Sequence[str], int], str]
    """Names, and how many more there are that are not named."""
