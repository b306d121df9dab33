"""Remove Surge: the very instance that was launched for the roll leaves the group."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.services import Services
from drydock.surging import remove_surge


def handler(event: dict[str, Any], context: object) -> None:
    remove_surge(Services(), read_step(event))
