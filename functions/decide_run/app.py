"""Take what people decide about a run: from the function URL, or from a parameter that they wrote."""

from __future__ import annotations

from typing import Any

from drydock.approval.approvals import Ways
from drydock.approval.deciding import decide_run
from drydock.aws.services import Services
from drydock.log import logged


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any] | None:
    return decide_run(Services(), Ways.read(), event)
