"""What Systems Manager knows of a maintenance window: how long it is open, its targets and its tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drydock.aws.windows import Windows
from drydock.catalogue.saying import say
from drydock.errors import InvalidInputError
from drydock.plan.targets import GROUP_NAME, GROUP_TYPES, INSTANCE_IDS, Target, check_targets
from drydock.request.checking import join_mistakes
from drydock.request.policy import INSTALL_WINDOWS_UPDATES, RUN_PATCH_BASELINE
from drydock.times import from_text

_PATCHING = (RUN_PATCH_BASELINE, f"{RUN_PATCH_BASELINE}WithHooks", INSTALL_WINDOWS_UPDATES)


_ORDINARY_KEYS = {key.lower(): key for key in (INSTANCE_IDS, GROUP_NAME, GROUP_TYPES)}


@dataclass(frozen=True)
class WindowFacts:
    """One execution of a maintenance window."""

    window_id: str
    execution_id: str
    name: str
    start: datetime
    end: datetime
    last_admission: datetime
    """The window's cutoff: nothing is begun at or after it."""
    time_zone: str
    """IANA name; empty when the window has none of its own."""
    targets: Sequence[Sequence[Target]]
    """One group for each target that is registered with the window."""
    warnings: Sequence[str]
    next_start: datetime | None = None
    """When it opens again; None where that is not known, or it does not."""


def read_window(windows: Windows, window_id: str, execution_id: str, machine: str) -> WindowFacts:
    """All that a run needs to know of its window. `machine` is the name of the state machine of runs.

    Without an execution it is about the next one. Raises InvalidInputError when the window is gone, the execution is
    not known, or there is no next one.
    """
    window = windows.describe(window_id)
    opens = _read_next_start(str(window.get("NextExecutionTime") or ""))
    if not execution_id and opens is None:
        raise InvalidInputError(say("request.window.closed", name=window["Name"], id=window_id))
    start = opens if not execution_id and opens is not None else windows.started(execution_id)
    end = start + timedelta(hours=window["Duration"])
    targets, warnings = read_registered(windows.targets(window_id))
    return WindowFacts(
        window_id=window_id,
        execution_id=execution_id,
        name=window["Name"],
        start=start,
        end=end,
        last_admission=end - timedelta(hours=window["Cutoff"]),
        time_zone=window.get("ScheduleTimezone", ""),
        targets=targets,
        warnings=[*warnings, *_warn_of_tasks(windows.tasks(window_id), machine)],
        next_start=opens if execution_id else None,
    )


def _read_next_start(text: str) -> datetime | None:
    """Systems Manager writes it in ISO 8601, with an offset or a `Z`, and with or without seconds."""
    try:
        found = from_text(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def read_registered(registered: Sequence[Mapping[str, Any]]) -> tuple[list[list[Target]], list[str]]:
    """Sorted by id, so that a plan does not depend on the order in which they are listed."""
    groups: list[list[Target]] = []
    warnings = [] if registered else [say("window.no_targets")]
    for target in sorted(registered, key=lambda found: str(found["WindowTargetId"])):
        named = str(target.get("Name") or target["WindowTargetId"])
        conditions = [_read_condition(condition) for condition in target.get("Targets", [])]
        if mistakes := check_targets("targets", conditions):
            # A window may also serve other tasks than patching: what they are about is no mistake.
            warnings.append(say("window.target_left_aside", target=named, mistakes=join_mistakes(mistakes)))
        else:
            groups.append(conditions)
    return groups, warnings


def _read_condition(condition: Mapping[str, Any]) -> Target:
    """AWS's own examples also write `instanceids`."""
    key = str(condition["Key"])
    return {"key": _ORDINARY_KEYS.get(key.lower(), key), "values": list(condition.get("Values", []))}


def _warn_of_tasks(tasks: Sequence[Mapping[str, Any]], machine: str) -> list[str]:
    tasks = sorted(tasks, key=lambda task: str(task["WindowTaskId"]))
    warnings = []
    for task in tasks:
        document = str(task["TaskArn"]).rpartition("/")[2]
        if task["Type"] == "RUN_COMMAND" and document in _PATCHING:
            warnings.append(say("window.task_patches", task=_name_of(task), document=document))
    ours = [task for task in tasks if machine_of(task) == machine]
    if len(ours) > 1:
        names = [_name_of(task) for task in ours]
        warnings.append(say("window.tasks_many", count=len(ours), tasks=names))
    warnings += [say("window.task_has_targets", task=_name_of(task)) for task in ours if task.get("Targets")]
    return warnings


def _name_of(task: Mapping[str, Any]) -> str:
    return str(task.get("Name") or task["WindowTaskId"])


def machine_of(task: Mapping[str, Any]) -> str:
    """The name of the state machine that a task starts, also through a version or an alias."""
    parts = str(task["TaskArn"]).split(":")
    kind = task.get("Type") or task.get("TaskType")
    return parts[6] if kind == "STEP_FUNCTIONS" and len(parts) > 6 else ""
