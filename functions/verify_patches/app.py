"""Verify Patches: judge the machine by evidence."""

from __future__ import annotations

from typing import Any

from drydock.evidence import verify_patches
from drydock.handling import read_step
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return verify_patches(Services(), read_step(event))
