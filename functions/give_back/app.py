"""Give machines back whose executions are over: one machine, or all that the schedule finds."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged, logger
from drydock.recovery.giving_back import give_back


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    done = give_back(Services(), event)
    logger.info("pass over", done=done)
    return done
