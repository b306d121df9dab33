"""Restore Power: stop an instance that was stopped before, and wait until it is."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.long_work import restore_power
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> None:
    restore_power(Services(), read_step(event))
