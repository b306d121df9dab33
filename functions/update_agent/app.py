"""Update Agent SSM, Update Agent CloudWatch: bring an agent to its newest version."""

from __future__ import annotations

from typing import Any

from drydock.agents import update_agent
from drydock.handling import read_step
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> None:
    update_agent(Services(), read_step(event))
