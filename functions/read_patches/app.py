"""Read Patches Before: what the scan before an installation with hooks has found."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.evidence import read_patches
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    patches, is_fresh = read_patches(Services(), read_step(event))
    return {"patches": patches, "isFresh": is_fresh}
