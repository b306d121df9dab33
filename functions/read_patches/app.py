"""Read Patches: what a scan before an installation has found, and whether anything is to be done at all."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.evidence import look_at_patches
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return look_at_patches(Services(), read_step(event))
