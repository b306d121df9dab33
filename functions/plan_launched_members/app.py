"""Plan Launched Members: find the members that were launched since the roll began."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.group.rolling import plan_launched_members
from drydock.log import logged
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return plan_launched_members(Services(), read_step(event))
