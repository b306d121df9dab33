"""Take Turn: let the turn of a member begin, if there is anything to be done to it."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.group.member_turns import take_turn
from drydock.log import logged
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return take_turn(Services(), read_step(event))
