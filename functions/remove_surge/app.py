"""Remove Surge: the very instance that was launched for the roll leaves the group."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.group.surging import remove_surge
from drydock.log import logged
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    remove_surge(Services(), read_step(event))
