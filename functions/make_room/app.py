"""Make Room: keep the group from balancing zones, and let it have fewer members, by what is needed."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.group.rolling import make_room
from drydock.log import logged
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    make_room(Services(), read_step(event))
