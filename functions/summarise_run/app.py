"""Summarise Run: one outcome for every machine, the report, and the one message. Also for a run that died."""

from __future__ import annotations

from typing import Any

from drydock.approval.approvals import Ways
from drydock.aws.services import Services
from drydock.log import logged, logger, name_in_log
from drydock.request.handling import read_step
from drydock.run.giving_back import end_dead_run
from drydock.run.summarising import summarise_run


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    if "runId" in event:
        name_in_log(run=event["runId"])
        logger.info("dead run")
        end_dead_run(Services(), Ways.read(), event["runId"])
        return {}
    return summarise_run(Services(), Ways.read(), read_step(event))
