"""Await Standby: until the member is in standby."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.member_turns import await_standby
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> None:
    await_standby(Services(), read_step(event))
