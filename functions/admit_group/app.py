"""Admit Group: take the group's lease, write the journal, decide the order of its members."""

from __future__ import annotations

from typing import Any

from drydock.group_admission import admit_group
from drydock.handling import read_step
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return admit_group(Services(), read_step(event))
