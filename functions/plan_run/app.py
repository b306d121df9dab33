"""Plan Run: find the machines, decide their order, and store the plan."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.request.handling import read_step
from drydock.run.planning import plan_run


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return plan_run(Services(), read_step(event))
