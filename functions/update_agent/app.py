"""Update Agent SSM, Update Agent CloudWatch: bring an agent to its newest version."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.agents import update_agent
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    update_agent(Services(), read_step(event))
