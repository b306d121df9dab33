"""Ask For Approval: ask the approvers, and wait until they have decided."""

from __future__ import annotations

from typing import Any

from drydock.approvals import Ways, ask_for_approval
from drydock.handling import read_step
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> None:
    ask_for_approval(Services(), Ways.read(), read_step(event))
