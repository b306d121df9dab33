"""Record Outcome: write down what became of a machine."""

from __future__ import annotations

from typing import Any

from drydock.handling import read_step
from drydock.running import record_outcome
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return record_outcome(Services(), read_step(event))
