"""Admit Machine: take a machine's place in the run, or write down why it is not attempted."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.running import admit_machine
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return admit_machine(Services(), read_step(event))
