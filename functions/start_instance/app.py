"""Start Instance: start a stopped instance, and wait until it runs."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.long_work import start_instance
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    start_instance(Services(), read_step(event))
