"""Tags that are nearly a target's, as people mistype them: what to ask EC2 for, and what is near. All of it is pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from drydock.aws.ec2 import escape

_SHORT_WORD = 4
"""A word of so many letters is asked for in all ways of capitals and small letters."""
_LONG_WORD = 6
"""From so many letters on, a word with one letter wrong is the same word mistyped; a shorter one is another word."""
_BLANKS = (("", ""), (" ", ""), ("", " "))
_SEPARATORS = (" ", "-", "_", "")
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+")


def is_near(one: str, other: str) -> bool:
    """Whether somebody may have meant one and written the other.

    Capitals and small letters, blanks and hyphens make no difference, nor does one letter that is wrong, missing, too
    many, or has changed places with the next, in a long word. Digits do, and first and last letters that are others:
    `web-1` and `web-2`, `server-a` and `server-b` are two names.
    """
    words, others = _words_of(one), _words_of(other)
    if "".join(words) == "".join(others):
        return _NUMBER.findall(one) == _NUMBER.findall(other) and (bool(words) or one.strip() == other.strip())
    if len(words) != len(others):
        return False
    different = [(a, b) for a, b in zip(words, others, strict=True) if a != b]
    return len(different) == 1 and _is_mistyped(*different[0])


def _words_of(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _is_mistyped(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) < _LONG_WORD - 1 or len(longer) < _LONG_WORD or len(longer) - len(shorter) > 1:
        return False
    begin = _common_prefix(shorter, longer)
    if len(shorter) < len(longer):
        return longer[begin].isalpha() and shorter[begin:] == longer[begin + 1 :]
    wrong, right = shorter[begin:], longer[begin:]
    if begin == 0 or not (wrong[0].isalpha() and right[0].isalpha()):
        return False
    is_swapped = wrong[:2] == right[1::-1] and wrong[2:] == right[2:] and wrong[:2].isalpha()
    return is_swapped or (wrong[1:] == right[1:] and wrong[1:] != "")


def _common_prefix(one: str, other: str) -> int:
    return next((index for index, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))


def spellings(words: Sequence[str], most: int) -> list[str]:
    """Filter values for EC2 that find what is near one of these words, without the words themselves: so many at most.

    EC2's filters tell capitals from small letters. `?` stands for one character, and by some of EC2's pages for none as
    well: what they find has to be looked at.
    """
    found: dict[str, None] = {}
    # The likeliest first, of each word.
    for kind in (_cases, _blanks, _separators, _typing_mistakes):
        for word in words:
            found.update(dict.fromkeys(kind(word)))
    literal = {escape(word) for word in words}
    return [pattern for pattern in found if pattern not in literal and pattern.strip()][:most]


def _cases(word: str) -> Iterator[str]:
    yield from map(escape, _cased(word))


def _blanks(word: str) -> Iterator[str]:
    for before, behind in _BLANKS:
        yield from (escape(f"{before}{cased}{behind}") for cased in _cased(word))


def _cased(word: str) -> list[str]:
    """A short word in all ways, a long one as people write words."""
    if len(word) <= _SHORT_WORD:
        return sorted(set(map("".join, product(*({one.lower(), one.upper()} for one in word)))))
    return [word, word.lower(), word.upper(), word.capitalize(), word.title(), word[:1].swapcase() + word[1:]]


def _separators(word: str) -> Iterator[str]:
    """The parts of a word otherwise put together."""
    parts = re.split(r"[ _-]", word)
    if len(parts) > 1 and all(parts):
        for separator in _SEPARATORS:
            for joined in _cased(separator.join(parts)):
                yield escape(joined)


def _typing_mistakes(word: str) -> Iterator[str]:
    for cased in dict.fromkeys((word, word.lower(), word.upper())):
        for match in _WORD.finditer(cased):
            if match.end() - match.start() >= _LONG_WORD - 1:
                yield from _mistyped(cased, match.start(), match.end())


def _mistyped(word: str, begin: int, end: int) -> Iterator[str]:
    for index in range(begin, end + 1):
        before, here, after = word[:index], word[index : index + 1], word[index + 1 :]
        yield f"{escape(before)}?{escape(here + after)}"
        if index == end or not here.isalpha():
            continue
        yield escape(before + after)
        if begin < index < end - 1:
            yield f"{escape(before)}?{escape(after)}"
            yield escape(before + after[:1] + here + after[1:])


def find_near_tag(tags: Mapping[str, str], key: str, values: Sequence[str]) -> str:
    """The tag that is a target's, or is near it, as `key = value`; empty for none."""
    exactly = tags.get(key)
    if exactly in values:
        return f"{key} = {exactly}"
    return next(
        (
            f"{has} = {value}"
            for has, value in tags.items()
            if is_near(has, key) and any(is_near(value, wanted) for wanted in values)
        ),
        "",
    )
