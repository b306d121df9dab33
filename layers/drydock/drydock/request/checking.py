"""Checks of JSON values that collect every mistake instead of stopping at the first."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from drydock.catalogue.saying import say
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
            return say("request.digits", digits=x.bit_length() * 3 // 10)


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
    told, more = spell_out("; ".join(mistakes[:_MOST_MISTAKES])), len(mistakes) - _MOST_MISTAKES
    return say("request.more_mistakes", told=told, more=more) if more > 0 else told


def one_of(*allowed: str) -> Check:
    """A check for text that is exactly one of these, upper and lower case told apart."""

    def check(path: str, value: Any) -> list[str]:
        if isinstance(value, str) and value in allowed:
            return []
        return [say("request.not_one_of", path=path, value=brief(value), allowed=allowed)]

    return check


def flag(path: str, value: Any) -> list[str]:
    """A check, as it is, for JSON's true or false: neither text nor a number stands for one."""
    return [] if isinstance(value, bool) else [say("request.no_flag", path=path, value=brief(value))]


def whole_number(least: int, most: int) -> Check:
    """A check for a number, and not a text, without a fraction and from `least` to `most`, both allowed."""

    def check(path: str, value: Any) -> list[str]:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return []
        return [say("request.no_whole_number", path=path, value=brief(value), least=str(least), most=str(most))]

    return check


def text(pattern: str, expected: str) -> Check:
    """A check for text that all of a regular expression fits; a mistake says that it is not what was `expected`.

    Whatever the expression, no text fits that AWS would not take.
    """
    matcher = re.compile(pattern)

    def check(path: str, value: Any) -> list[str]:
        if isinstance(value, str) and matcher.fullmatch(value) and not is_odd(value):
            return []
        return [say("request.not_expected", path=path, value=brief(value), expected=expected)]

    return check


def moment(path: str, value: Any) -> list[str]:
    """A check, as it is, for a time as text: ISO 8601 with `Z` or an offset from UTC."""
    try:
        if isinstance(value, str) and from_text(value).tzinfo is not None:
            return []
    except ValueError:
        pass
    return [say("request.no_time", path=path, value=brief(value))]


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
            return [say("request.no_list", path=path, value=brief(value))]
        if most is not None and len(value) > most:
            return [say("request.too_many", path=path, count=len(value), most=most)]
        return [mistake for index, element in enumerate(value) for mistake in item(f"{path}[{index}]", element)]

    return check


def section(keys: Mapping[str, Check], replaced: Mapping[str, Check] | None = None) -> Check:
    """An object with no other keys than these; each key may be left out. `replaced` says of old keys what is new."""
    checks = {**keys, **(replaced or {})}

    def check(path: str, value: Any) -> list[str]:
        if not isinstance(value, Mapping):
            return [say("request.no_object", path=path, value=brief(value))]
        mistakes = []
        for key, element in value.items():
            if key in checks:
                mistakes += checks[key](f"{path}.{key}", element)
            else:
                mistakes.append(_unknown(path, spell_out(str(key)[:_MOST]), list(keys)))
        return mistakes

    return check


def _unknown(path: str, key: str, known: list[str]) -> str:
    """With what was probably meant, or else all that is known."""
    near = get_close_matches(key.lower(), {one.lower(): one for one in known}, 1)
    if near:
        meant = next(one for one in known if one.lower() == near[0])
        return say("request.unknown_key.near", path=path, key=key, meant=meant)
    return say("request.unknown_key", path=path, key=key, known=known)


_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"


GUID = text(_UUID, say("expected.guid"))


INSTANCE_ID = text(r"i-[0-9a-f]{8}([0-9a-f]{9})?", say("expected.instance_id"))
RUN_ID = text(r"[a-zA-Z0-9_-]{1,80}", say("expected.run_id"))
PRINCIPAL = text(r"arn:aws[a-z-]*:(iam|sts)::[0-9]{12}:.{1,400}", say("expected.principal"))


def is_principal(value: object) -> bool:
    """Whether a value is the ARN of who starts a run, as its input has to name it."""
    return not PRINCIPAL("", value)
