"""What every handler does first: read the step, and let each log line name execution and subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drydock.log import logger
from drydock.request.step import Step


def read_step(event: Mapping[str, Any]) -> Step:
    """The step of a state."""
    step = Step.read(event)
    logger.append_keys(execution=step.holder.name, redrive_count=step.holder.redrive_count, subject=step.subject.key)
    logger.info("step begun", state=step.state, retry_count=step.retry_count)
    return step
