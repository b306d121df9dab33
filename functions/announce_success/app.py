"""Announce Success: tell that a machine went well."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.services import Services
from drydock.telling import announce_success


def handler(event: dict[str, Any], context: object) -> None:
    announce_success(Services(), read_step(event))
