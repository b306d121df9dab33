"""Await Standby: until the member is in standby."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.group.member_turns import await_standby
from drydock.log import logged
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    await_standby(Services(), read_step(event))
