"""Record Outcome: write down what became of a machine."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.request.handling import read_step
from drydock.run.running import record_outcome


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return record_outcome(Services(), read_step(event))
