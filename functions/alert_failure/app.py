"""Tell people of an execution that ended badly, or a window that started none: once for each cause."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged, logger
from drydock.recovery.alerts import alert_failure
from drydock.recovery.window_alerts import alert_window


@logged
def handler(event: dict[str, Any], context: object) -> None:
    if event.get("source") == "aws.ssm":
        alert_window(Services(), event)
    else:
        alert_failure(Services(), event)
    logger.info("alert over", detail_type=event.get("detail-type", "sweep"))
