"""Back Up Before: make the image before patching, and wait until it is available."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.long_work import back_up
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    back_up(Services(), read_step(event))
