"""Await In Service: until the group has its capacity back."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.member_turns import await_in_service
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> None:
    await_in_service(Services(), read_step(event))
