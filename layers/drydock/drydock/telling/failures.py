"""Failures as people read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from drydock.catalogue.saying import say
from drydock.errors import Failure, RunStoppedError
from drydock.subject import Group, Instance, Subject, read_subject

STOPPED = ("ABORTED", RunStoppedError.__name__)
"""How executions end that somebody stopped, or that end because their run does."""

MOST_NAME = 255

MOST_ID = 100
"""What is given as an instance id may be anything, and becomes part of a key."""


def readable_cause(cause: str) -> str:
    """The message of a function's error; Step Functions passes it on as JSON with a stack trace."""
    try:
        parsed = json.loads(cause)
        return str(parsed["errorMessage"])
    except (KeyError, RecursionError, TypeError, ValueError):
        return cause


def end_of_execution(execution: Mapping[str, Any]) -> tuple[str, str]:
    """Error and cause of an execution that ended badly, as DescribeExecution tells them.

    Whoever stops an execution may call that what he likes: its error is ABORTED then, and the cause may be empty.
    """
    status = str(execution["status"])
    error, cause = str(execution.get("error") or ""), readable_cause(str(execution.get("cause") or ""))
    if status == "ABORTED":
        return status, ": ".join(part for part in (error, cause) if part)
    return error or status, cause or say("execution.ended", status=status)


def readable_failure(failure: Mapping[str, Any] | None) -> Failure | None:
    """An error and its cause as Step Functions hands them on, without the stack trace; None where there is none."""
    if not failure:
        return None
    return {"error": str(failure["error"]), "cause": readable_cause(str(failure.get("cause") or ""))}


def subject_of(detail: Mapping[str, Any]) -> Subject:
    """The instance or group that an execution was started for, whatever its input says.

    An instance without an id when it says nothing.

    The input in the event's detail is a JSON text, left out when it is large.
    """
    try:
        given = json.loads(detail.get("input") or "{}")
        if isinstance(given.get("groupName"), str):
            return Group(_storable(given["groupName"][:MOST_NAME]))
        instance_id = given["instanceId"]
        said = instance_id if isinstance(instance_id, str) else json.dumps(instance_id, separators=(",", ":"))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return Instance("")
    return read_subject(_storable(said[:MOST_ID]))


def _storable(said: str) -> str:
    """What becomes part of a key: halves of pairs of UTF-16 cannot be stored."""
    return said.encode(errors="replace").decode()
