"""Checks of JSON values that collect every mistake instead of stopping at the first."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from drydock.times import from_text

Check = Callable[[str, Any], list[str]]
"""Takes the path of a value and the value; returns the mistakes, each one sentence that names the path."""


_MOST = 100


_MOST_MISTAKES = 50


_ODD = re.compile("[\0\ud800-\udfff]")
"""What no service of AWS takes in a text: NUL, and halves of pairs of UTF-16, which JSON can hold and UTF-8 cannot."""


class _Brief(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        """Python writes no number of more than some thousand digits."""
        try:
            return super().repr_int(x, level)
        except ValueError:
            return f"a number of about {x.bit_length() * 3 // 10} digits"


_briefly = _Brief()


_briefly.maxlevel, _briefly.maxstring, _briefly.maxother, _briefly.maxlong = 4, _MOST, _MOST, 40


def brief(value: Any) -> str:
    """A value as a mistake names it: whatever was given, the sentence stays short."""
    return _briefly.repr(value)


def is_odd(value: str) -> bool:
    """Whether a text has characters in it that no service of AWS takes."""
    return _ODD.search(value) is not None


def spell_out(value: str) -> str:
    """A text that AWS takes: what is odd in it is written as `\\ud800`."""
    return _ODD.sub(lambda found: f"\\u{ord(found[0]):04x}", value)


def join_mistakes(mistakes: list[str]) -> str:
    """All mistakes in one text that fits into a message, whatever was given."""
    more = len(mistakes) - _MOST_MISTAKES
    return spell_out("; ".join(mistakes[:_MOST_MISTAKES])) + (f"; and {more:,} more" if more > 0 else "")


def one_of(*allowed: str) -> Check:
    """A check for text that is exactly one of these, upper and lower case told apart."""

    def check(path: str, value: Any) -> list[str]:
        if isinstance(value, str) and value in allowed:
            return []
        return [f"{path}: {brief(value)} is not one of {', '.join(allowed)}"]

    return check


def flag(path: str, value: Any) -> list[str]:
    """A check, as it is, for JSON's true or false: neither text nor a number stands for one."""
    return [] if isinstance(value, bool) else [f"{path}: {brief(value)} is not true or false"]


def whole_number(least: int, most: int) -> Check:
    """A check for a number, and not a text, without a fraction and from `least` to `most`, both allowed."""

    def check(path: str, value: Any) -> list[str]:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return []
        return [f"{path}: {brief(value)} is not a whole number from {least} to {most}"]

    return check


def text(pattern: str, expected: str) -> Check:
    """A check for text that all of a regular expression fits; a mistake says that it is not what was `expected`.

    Whatever the expression, no text fits that AWS would not take.
    """
    matcher = re.compile(pattern)

    def check(path: str, value: Any) -> list[str]:
        if isinstance(value, str) and matcher.fullmatch(value) and not is_odd(value):
            return []
        return [f"{path}: {brief(value)} is not {expected}"]

    return check


def moment(path: str, value: Any) -> list[str]:
    """A check, as it is, for a time as text: ISO 8601 with `Z` or an offset from UTC."""
    try:
        if isinstance(value, str) and from_text(value).tzinfo is not None:
            return []
    except ValueError:
        pass
    return [f"{path}: {brief(value)} is not a time such as 2026-01-13T01:00:00Z"]


def number_or_share(pattern: str, least: int, most: int, expected: str) -> Check:
    """A whole number, as a number or as text, or a percentage as text: the grammar of Run Command."""
    of_text, of_number = text(pattern, expected), whole_number(least, most)

    def check(path: str, value: Any) -> list[str]:
        return of_text(path, value) if isinstance(value, str) else of_number(path, value) and of_text(path, value)

    return check


def list_of(item: Check, most: int | None = None) -> Check:
    """A check for a list with `most` elements at the most; each element is checked, and named by its index from 0."""

    def check(path: str, value: Any) -> list[str]:
        if not isinstance(value, list):
            return [f"{path}: {brief(value)} is not a list"]
        if most is not None and len(value) > most:
            return [f"{path}: {len(value)} are more than the {most} that are possible"]
        return [mistake for index, element in enumerate(value) for mistake in item(f"{path}[{index}]", element)]

    return check


def section(keys: Mapping[str, Check], replaced: Mapping[str, Check] | None = None) -> Check:
    """An object with no other keys than these; each key may be left out. `replaced` says of old keys what is new."""
    checks = {**keys, **(replaced or {})}

    def check(path: str, value: Any) -> list[str]:
        if not isinstance(value, Mapping):
            return [f"{path}: {brief(value)} is not an object"]
        mistakes = []
        for key, element in value.items():
            if key in checks:
                mistakes += checks[key](f"{path}.{key}", element)
            else:
                mistakes.append(f"{path}.{str(key)[:_MOST]}: unknown; {_meant(str(key)[:_MOST], list(keys))}")
        return mistakes

    return check


def _meant(key: str, known: list[str]) -> str:
    """What was probably meant, or else all that is known."""
    near = get_close_matches(key.lower(), {one.lower(): one for one in known}, 1)
    if near:
        return f"did you mean {next(one for one in known if one.lower() == near[0])}?"
    return f"known are {', '.join(known)}"


_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"


GUID = text(_UUID, "a GUID")


INSTANCE_ID = text(r"i-[0-9a-f]{8}([0-9a-f]{9})?", "an instance id such as i-0123456789abcdef0")
RUN_ID = text(r"[a-zA-Z0-9_-]{1,80}", "a run id (1 to 80 of A-Z a-z 0-9 _ -)")
PRINCIPAL = text(r"arn:aws[a-z-]*:(iam|sts)::[0-9]{12}:.{1,400}", "the ARN of a principal")


def is_principal(value: object) -> bool:
    """Whether a value is the ARN of who starts a run, as its input has to name it."""
    return not PRINCIPAL("", value)
