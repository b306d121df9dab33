"""Stop Run, and `drydock stop`: no machine begins any more, those in work are finished."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logged, logger, name_in_log
from drydock.run.running import stop_run


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    # A state hands it over as data, a person as it is.
    wanted = event.get("data") or event
    name_in_log(run=wanted["runId"])
    done = stop_run(Services(), wanted)
    logger.info("stop", done=done)
    return done
