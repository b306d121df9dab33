"""Restore Power: stop an instance that was stopped before, and wait until it is."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.long_work import restore_power
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    restore_power(Services(), read_step(event))
