"""Return Member: back into service, held in standby, or replaced."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.group.member_turns import return_member
from drydock.log import logged
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return return_member(Services(), read_step(event))
