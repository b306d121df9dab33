"""Summarise Run: one outcome for every machine, the report, and the one message. Also for a run that died."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.log import logger
from drydock.request.handling import read_step
from drydock.run.giving_back import end_dead_run
from drydock.run.summarising import summarise_run


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    if "runId" in event:
        logger.info("dead run", run_id=event["runId"])
        end_dead_run(Services(), event["runId"])
        return {}
    return summarise_run(Services(), read_step(event))
