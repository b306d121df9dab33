"""Wait Until Reachable: running, status checks passed, agent online since the last start."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.reachability import require_reachable
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    require_reachable(Services(), read_step(event))
