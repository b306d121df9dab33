"""Check Health: the health probe of the policy, a Command document of the account."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.patching import check_health
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    check_health(Services(), read_step(event))
