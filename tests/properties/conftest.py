"""Fixtures of the property tests: those of the unit tests."""

from __future__ import annotations

from tests.unit.world import table, world

__all__ = ["table", "world"]
