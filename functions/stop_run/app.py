"""Stop a run gently: no machine begins any more, those in work are finished. For `drydock stop`."""

from __future__ import annotations

from typing import Any

from drydock.log import logger
from drydock.running import stop_run
from drydock.services import Services


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    done = stop_run(Services(), event)
    logger.info("stop", run_id=event["runId"], done=done)
    return done
