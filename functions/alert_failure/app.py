"""Tell people of an execution that failed, was aborted, or timed out: once for each cause."""

from __future__ import annotations

from typing import Any

from drydock.log import logger
from drydock.services import Services
from drydock.telling import alert_failure


def handler(event: dict[str, Any], context: object) -> None:
    logger.info("alert", detail_type=event.get("detail-type", "sweep"))
    alert_failure(Services(), event)
