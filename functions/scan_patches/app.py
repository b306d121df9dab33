"""Scan Patches, Scan Patches Before: look for what is missing."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.patching import scan_patches
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    scan_patches(Services(), read_step(event))
