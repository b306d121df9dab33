"""Admit Group: take the group's lease, write the journal, decide the order of its members."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.group.admission import admit_group
from drydock.log import logged
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return admit_group(Services(), read_step(event))
