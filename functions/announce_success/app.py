"""Announce Success: tell that a machine went well."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.recovery.alerts import announce_success
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    announce_success(Services(), read_step(event))
