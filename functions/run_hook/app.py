"""Run Hook Before Install, After Install, On Exit: a Command document of the account."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.patching import run_hook
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> None:
    run_hook(Services(), read_step(event))
