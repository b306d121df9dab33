"""Saying a sentence of the catalogue."""

from __future__ import annotations

import string
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from drydock.catalogue.english.language import ENGLISH
from drydock.catalogue.language import Language

MOST_NAMED = 10


Value = str | int | date | Sequence[str]
"""What a sentence can write."""


def say(key: str, /, **values: Value) -> str:
    """A sentence by its key, with a value for each of its place holders.

    Texts of others, such as a Name tag, end no line. Raises KeyError for a sentence or value that is not there:
    tests/rules/test_catalogue.py holds every call against the catalogue.
    """
    sentence = ENGLISH.sentences[key]
    # Plans of ten thousand machines name as many steps.
    return _Formatter(ENGLISH).vformat(sentence, (), values) if "{" in sentence else sentence


def knows(key: str) -> bool:
    """Whether the catalogue has a sentence of this key."""
    return key in ENGLISH.sentences


def one_line(text: str) -> str:
    """Text of others, such as a Name tag, as it may stand inside a line."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


def first_of(names: Sequence[str], most: int = MOST_NAMED, total: int = 0) -> str:
    """Names, the first of them, and how many more there are: of `total`, where not all are at hand.

    At most 0: all of them.
    """
    named = [one_line(str(name)) for name in (names[:most] if most else names)]
    return ENGLISH.listing(named, max(len(names), total) - len(named))


class _Formatter(string.Formatter):
    """Writes values as a language does."""

    def __init__(self, language: Language) -> None:
        self._language = language

    def format_field(self, value: Any, format_spec: str) -> str:
        """What a sentence says after the colon, as `Language` explains it."""
        language = self._language
        match value:
            case datetime():
                ways = {"day": language.day, "clock": language.clock, "weekday": language.weekday}
                return ways.get(format_spec, language.time)(value)
            case date():
                return language.day(value)
            case bool() | str():
                return one_line(str(value))
            case int() if format_spec == "span":
                return language.span(value)
            case int():
                return self._count(value, format_spec)
            case Sequence() if "|" in format_spec:
                return self._count(len(value), format_spec)
            case Sequence():
                return first_of(value, MOST_NAMED if format_spec == "some" else 0)
        raise TypeError(f"{value!r} cannot be written into a sentence")

    def _count(self, count: int, format_spec: str) -> str:
        if format_spec in ("", "number"):
            return self._language.number(count)
        form = self._language.form(count, format_spec.split("|"))
        return form.replace("#", self._language.number(count))
