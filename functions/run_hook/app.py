"""Run Hook Before Install, After Install, On Exit: a Command document of the account."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.patching import run_hook
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    run_hook(Services(), read_step(event))
