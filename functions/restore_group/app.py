"""Restore Group: undo Drydock's own changes to the group."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.group.rolling import restore_group
from drydock.log import logged
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return restore_group(Services(), read_step(event))
