"""Admit Machine: take a machine's place in the run, or write down why it is not attempted."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.request.handling import read_step
from drydock.run.running import admit_machine


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return admit_machine(Services(), read_step(event))
