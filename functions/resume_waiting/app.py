"""Look again at what an execution waits for, because AWS reports that something happened to it."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged, logger
from drydock.recovery.resuming import resume_waiting


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    done = resume_waiting(Services(), event)
    logger.info("look over", detail_type=event["detail-type"], detail_of=event.get("resources", []), done=done)
    return done
