"""Look again at what an execution waits for, because AWS reports that something happened to it."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logger
from drydock.recovery.resuming import resume_waiting


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    logger.info("event", detail_type=event["detail-type"], detail_of=event.get("resources", []))
    return resume_waiting(Services(), event)
