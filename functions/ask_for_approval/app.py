"""Ask For Approval: ask the approvers, and wait until they have decided."""

from __future__ import annotations

from typing import Any

from drydock.approval.approvals import Ways, ask_for_approval
from drydock.aws.services import Services
from drydock.log import logged
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> None:
    ask_for_approval(Services(), Ways.read(), read_step(event))
