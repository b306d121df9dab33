"""Refresh Launch Template: give the group's launch template the image of a member that verified."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.group.golden_images import refresh_launch_template
from drydock.log import logged
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return refresh_launch_template(Services(), read_step(event))
