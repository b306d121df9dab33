"""Texts of others, kept short. What stores them has room for bytes, not for characters."""

from __future__ import annotations

from collections.abc import Sequence

_ELLIPSIS = "…"

_MOST_NAMED = 10


def cut_bytes(text: str, most: int) -> str:
    """At most so many bytes of UTF-8, and no character in two; an ellipsis stands for the rest."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= most:
        return text
    kept = encoded[: most - len(_ELLIPSIS.encode())]
    return kept.decode(errors="ignore") + _ELLIPSIS


def first_of(names: Sequence[str], most: int = _MOST_NAMED, total: int = 0) -> str:
    """Names for people, the first of them, and how many more there are: of `total`, where not all are at hand."""
    more = max(len(names), total) - min(len(names), most)
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
