"""Plan Run: find the machines, decide their order, and store the plan."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.planning import plan_run
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return plan_run(Services(), read_step(event))
