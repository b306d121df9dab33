"""Echoes its event, or fails as it is told."""

from __future__ import annotations

from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer the event."""
    if event.get("op") == "fail":
        raise ValueError("as you wish")
    return {**event, "size": "x" * int(event.get("bytes", 0))}
