"""Check Gates: whether another wave may begin."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.request.handling import read_step
from drydock.run.running import check_gates


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return check_gates(Services(), read_step(event))
