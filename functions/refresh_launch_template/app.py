"""Refresh Launch Template: give the group's launch template the image of a member that verified."""

from __future__ import annotations

from typing import Any

from drydock.golden_images import refresh_launch_template
from drydock.handling import read_step
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return refresh_launch_template(Services(), read_step(event))
