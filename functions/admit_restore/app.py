"""Admit Restore: check the input and what can be restored, take the lease, write the journal."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged
from drydock.machine.restoring import admit_restore
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return admit_restore(Services(), read_step(event))
