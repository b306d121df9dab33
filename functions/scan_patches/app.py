"""Scan Patches, Scan Patches Before: look for what is missing."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.patching import scan_patches
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> None:
    scan_patches(Services(), read_step(event))
