"""What the handler of a state does first: read the step, and let each log line name what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drydock.log import logger, name_in_log
from drydock.records.runs import MOST_RUN_ID
from drydock.request.step import Step


def read_step(event: Mapping[str, Any]) -> Step:
    """The step of a state."""
    step = Step.read(event)
    name_in_log(step.subject, step.group, run=_run_of(step), execution=step.holder.name)
    logger.info("step begun", state=step.state, retry_count=step.retry_count, redrive_count=step.holder.redrive_count)
    return step


def _run_of(step: Step) -> str:
    """The run that a step works for, as far as the state says so. What an execution was given may be anything."""
    if step.holder.state_machine.endswith("-MaintenanceRun"):
        return step.holder.name
    given = step.given if isinstance(step.given, Mapping) else {}
    run_id = step.machine.get("runId") or step.data.get("runId") or given.get("runId")
    return run_id[:MOST_RUN_ID] if isinstance(run_id, str) else ""
