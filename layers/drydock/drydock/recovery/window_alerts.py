"""Maintenance windows that did not start Drydock although they should have: their events, and who hears of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drydock.aws.services import Services
from drydock.errors import InvalidInputError
from drydock.plan.window import machine_of
from drydock.records.holder import Holder
from drydock.records.runs import RunSummary, find_run, open_runs
from drydock.run.messages import window_skipped_message, window_task_failed_message
from drydock.telling.tell_once import tell_once
from drydock.telling.text import location_of
from drydock.times import from_text, to_text

SKIPPED = "SKIPPED_OVERLAPPING"


def alert_window(services: Services, event: Mapping[str, Any]) -> None:
    """Tell of a window whose task failed before a run began, or that was skipped because its last run still works.

    Windows that do not start this stack's runs are somebody else's.
    """
    detail = event["detail"]
    if detail["status"] == SKIPPED:
        _tell_skipped(services, event)
    else:
        _tell_task_failed(services, event)


def _holder(services: Services, event: Mapping[str, Any]) -> Holder:
    """The run that the window would have started: what is told is told once for it."""
    environment = services.environment
    partition = str(event["resources"][0]).split(":")[1]
    name = event["detail"]["window-execution-id"]
    return Holder(
        f"arn:{partition}:states:{environment.region}:{event['account']}:execution:"
        f"{environment.run_state_machine}:{name}",
        0,
    )


def _tell_task_failed(services: Services, event: Mapping[str, Any]) -> None:
    detail, holder = event["detail"], _holder(services, event)
    tasks = services.windows.execution_tasks(detail["window-execution-id"])
    ours = [
        task
        for task in tasks
        if task["TaskExecutionId"] == detail["task-execution-id"] and machine_of(task) == holder.state_machine
    ]
    # A run that has begun tells what became of it itself.
    if not ours or find_run(services.table, holder.name) is not None:
        return
    window = _describe(services, detail["window-id"])
    message = window_task_failed_message(
        window_id=detail["window-id"],
        window_name=str(window.get("Name", "")),
        window_execution=detail["window-execution-id"],
        status=detail["status"],
        at=to_text(from_text(event["time"])),
        location=location_of(holder, services.environment, str(window.get("ScheduleTimezone", ""))),
        reason=str(ours[0].get("StatusDetails", "")),
    )
    tell_once(services, holder, "window", message, {"outcome": "failed", "kind": "window", "run": holder.name})


def _tell_skipped(services: Services, event: Mapping[str, Any]) -> None:
    detail, holder = event["detail"], _holder(services, event)
    window_id = detail["window-id"]
    if not any(machine_of(task) == holder.state_machine for task in services.windows.tasks(window_id)):
        return
    window, working = _describe(services, window_id), _find_working(services, window_id)
    message = window_skipped_message(
        window_id=window_id,
        window_name=str(window.get("Name", "")),
        run_id=working.run_id if working else "",
        execution=working.holder.execution if working else "",
        since=to_text(working.started) if working else "",
        at=to_text(from_text(event["time"])),
        location=location_of(holder, services.environment, str(window.get("ScheduleTimezone", ""))),
    )
    # One message for the run that makes openings be skipped, however many they are.
    cause, told_of = ("windowSkipped", working.holder) if working else ("window", holder)
    tell_once(services, told_of, cause, message, {"outcome": "skipped", "kind": "window", "run": told_of.name})


def _find_working(services: Services, window_id: str) -> RunSummary | None:
    runs = open_runs(services.table).read
    return next((run for run in runs if run.window_id == window_id), None)


def _describe(services: Services, window_id: str) -> Mapping[str, Any]:
    """A window that is gone meanwhile has no name."""
    try:
        return services.windows.describe(window_id)
    except InvalidInputError:
        return {}
