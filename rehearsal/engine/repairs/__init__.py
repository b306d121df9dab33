"""Repairs of the emulator: one function per defect, each of which puts itself in place through `Patches`."""

from __future__ import annotations

from rehearsal.engine.repairs.patches import Patches

__all__ = ["Patches"]
