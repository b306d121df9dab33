"""Enter Standby: take a member out of service, if the gates are open and the others can do without it."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.group.member_turns import enter_standby
from drydock.log import logged
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return enter_standby(Services(), read_step(event))
