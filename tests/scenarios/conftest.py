"""One account for all tests of a module."""

from __future__ import annotations

from tests.scenarios.machine.scenario import scene

__all__ = ["scene"]
