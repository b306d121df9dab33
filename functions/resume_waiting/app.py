"""Look again at what an execution waits for, because AWS reports that something happened to it."""

from __future__ import annotations

from typing import Any

from drydock.log import logger
from drydock.resuming import resume_waiting
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    logger.info("event", detail_type=event["detail-type"], detail_of=event.get("resources", []))
    return resume_waiting(Services(), event)
