"""Verify Restore: whether the machine runs from the root that was wanted."""

from __future__ import annotations

from typing import Any

from drydock.log import logged
from drydock.machine.restoring import verify_restore
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return verify_restore(read_step(event))
