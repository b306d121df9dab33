"""Launch Surge: a surge instance, until it serves."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.group.surging import launch_surge
from drydock.log import logged
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    launch_surge(Services(), read_step(event))
