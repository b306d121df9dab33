"""Release Instance: tags, result, end of the lease."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.release import release_instance
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return release_instance(Services(), read_step(event))
