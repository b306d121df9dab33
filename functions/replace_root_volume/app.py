"""Replace Root Volume: ask for it once, and see whether it is over."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.roots import replace_root_volume
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return replace_root_volume(Services(), read_step(event))
