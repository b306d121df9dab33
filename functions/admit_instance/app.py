"""Admit Instance: check the input, take the lease, write the journal."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.admission import admit_instance
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return admit_instance(Services(), read_step(event))
