"""Texts of others, kept short. What stores them has room for bytes, not for characters."""

from __future__ import annotations

_ELLIPSIS = "…"


def cut_bytes(text: str, most: int) -> str:
    """At most so many bytes of UTF-8, and no character in two; an ellipsis stands for the rest."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= most:
        return text
    kept = encoded[: most - len(_ELLIPSIS.encode())]
    return kept.decode(errors="ignore") + _ELLIPSIS
