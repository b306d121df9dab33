"""Make Room: keep the group from balancing zones, and let it have fewer members, by what is needed."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.rolling import make_room
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> None:
    make_room(Services(), read_step(event))
