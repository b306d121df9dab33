"""Wait Until Reachable: running, status checks passed, agent online since the last start."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.reachability import require_reachable
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> None:
    require_reachable(Services(), read_step(event))
