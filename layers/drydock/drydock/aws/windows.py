"""The calls to Systems Manager's maintenance windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from drydock.aws.calls import call, client, pages
from drydock.catalogue.saying import say
from drydock.errors import InvalidInputError

_UNKNOWN = "DoesNotExistException"


_PAGE = 100


class Windows:
    """Systems Manager's maintenance windows, with their targets, tasks and executions."""

    def __init__(self, made: Any = None) -> None:
        """Without a client, with the function's own."""
        self._client = made or client("ssm")

    def started(self, execution_id: str) -> datetime:
        """When an execution of a window began. Raises InvalidInputError when there is no such execution."""
        try:
            found = call(self._client.get_maintenance_window_execution, _UNKNOWN, WindowExecutionId=execution_id)
        except ClientError as error:
            raise InvalidInputError(say("window.unknown_execution", execution=execution_id)) from error
        started: datetime = found["StartTime"]
        return started.astimezone(UTC)

    def describe(self, window_id: str) -> Mapping[str, Any]:
        """Raises InvalidInputError when there is no such window."""
        try:
            window: Mapping[str, Any] = call(self._client.get_maintenance_window, _UNKNOWN, WindowId=window_id)
        except ClientError as error:
            raise _no_window(window_id) from error
        return window

    def targets(self, window_id: str) -> list[Mapping[str, Any]]:
        """Raises InvalidInputError when there is no such window."""
        return _list(self._client.describe_maintenance_window_targets, window_id, "Targets")

    def tasks(self, window_id: str) -> list[Mapping[str, Any]]:
        """Raises InvalidInputError when there is no such window."""
        return _list(self._client.describe_maintenance_window_tasks, window_id, "Tasks")

    def execution_tasks(self, execution_id: str) -> list[Mapping[str, Any]]:
        """The tasks of one execution of a window, and what became of them; none when it is not known any more."""
        try:
            found = pages(
                self._client.describe_maintenance_window_execution_tasks,
                _UNKNOWN,
                WindowExecutionId=execution_id,
                MaxResults=50,
            )
            return [task for page in found for task in page["WindowExecutionTaskIdentities"]]
        except ClientError:
            return []


def _list(method: Callable[..., Any], window_id: str, key: str) -> list[Mapping[str, Any]]:
    try:
        return [one for page in pages(method, _UNKNOWN, WindowId=window_id, MaxResults=_PAGE) for one in page[key]]
    except ClientError as error:
        raise _no_window(window_id) from error


def _no_window(window_id: str) -> InvalidInputError:
    return InvalidInputError(say("window.unknown", window=window_id))
