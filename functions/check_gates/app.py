"""Check Gates: whether another wave may begin."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.running import check_gates
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return check_gates(Services(), read_step(event))
