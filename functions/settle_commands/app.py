"""Settle Commands: wait until no command of Drydock is at work on the instance."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.long_work import settle_commands
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    settle_commands(Services(), read_step(event))
