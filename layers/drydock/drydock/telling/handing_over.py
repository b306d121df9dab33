"""Handing over to `alert_failure`, which alone tells people of machines, groups, images and items."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from drydock.aws.executions import invoke_later
from drydock.aws.services import Services
from drydock.aws.table import Key
from drydock.errors import UnreadableItemError
from drydock.log import logger
from drydock.records.holder import Holder
from drydock.subject import Subject
from drydock.times import to_text

_MOST_REASON = 2_000
"""Characters of a reason that are handed on."""


def alert_of(subject: Subject, holder: Holder, started: datetime) -> dict[str, Any]:
    """What `alert_failure` is told of an execution."""
    return {
        "subject": subject.key,
        "execution": holder.execution,
        "redriveCount": holder.redrive_count,
        "startedAt": to_text(started),
    }


def alert_later(services: Services, event: Mapping[str, Any]) -> None:
    """Have people told. Raises ServiceUnavailableError, AwsCallFailedError."""
    invoke_later(services.environment.function("alert_failure"), event)


def alert_unreadable(services: Services, key: Key, reason: str) -> None:
    """Have people told of an item that cannot be worked with."""
    logger.error("an item cannot be worked with", item=f"{key['pk']} {key['sk']}", reason=reason)
    alert_later(services, {"unreadable": {**key, "reason": reason[:_MOST_REASON]}})


def alert_stumble(services: Services, worked_with: Key, error: UnreadableItemError) -> None:
    """Have people told of the item that an error names, which may be another than the one that was worked with."""
    named = Key(pk=error.key[0], sk=error.key[1]) if error.key else worked_with
    alert_unreadable(services, named, str(error))
