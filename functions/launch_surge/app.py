"""Launch Surge: an instance more, until it serves."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.services import Services
from drydock.surging import launch_surge


def handler(event: dict[str, Any], context: object) -> None:
    launch_surge(Services(), read_step(event))
