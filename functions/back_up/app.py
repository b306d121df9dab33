"""Back Up Before, Back Up After: make an image, and wait until it is available."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.long_work import back_up
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> None:
    back_up(Services(), read_step(event))
