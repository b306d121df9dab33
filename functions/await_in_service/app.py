"""Await In Service: until the group has its capacity back."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.group.member_turns import await_in_service
from drydock.log import logged
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    await_in_service(Services(), read_step(event))
