"""Fixtures of the unit tests."""

from __future__ import annotations

from tests.unit.world import emulator, table, world

__all__ = ["emulator", "table", "world"]
