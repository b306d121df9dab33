"""Restore Group: undo Drydock's own changes to the group."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.rolling import restore_group
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return restore_group(Services(), read_step(event))
