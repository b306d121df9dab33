"""Verify Patches: judge the machine by evidence; where agents were updated, by their versions."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.agents import verify_agents
from drydock.machine.evidence import verify_patches
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    step = read_step(event)
    return verify_agents(step) if step.policy["operation"] == "UpdateAgents" else verify_patches(Services(), step)
