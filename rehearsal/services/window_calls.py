"""The SSM calls and the CloudFormation types of maintenance windows."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from botocore import xform_name
from botocore.model import Shape
from botocore.validate import ParamValidator

from rehearsal.engine.answers import Answer, AWSError, Parameters, take_page
from rehearsal.engine.calls import make_client
from rehearsal.engine.deployment import DeploymentError, Make
from rehearsal.engine.schedules import check_schedule
from rehearsal.engine.stack_resources import StackResource
from rehearsal.world.windows import (
    TARGET_PARAMETERS,
    Invocation,
    TaskExecution,
    Window,
    WindowExecution,
    Windows,
    read_date,
)

MOST_WINDOWS = 50
MOST_TASKS = 20
MOST_TARGETS = 100
UPCOMING = 100
"""How many future executions of a window are listed."""

_SCHEDULE = ("Schedule", "ScheduleTimezone", "ScheduleOffset", "StartDate", "EndDate")
_SETTINGS = ("Name", "Description", *_SCHEDULE, "Duration", "Cutoff", "AllowUnassociatedTargets")
_REQUIRED = ("Name", "Schedule", "Duration", "Cutoff", "AllowUnassociatedTargets")
_PAGE = 50

_CFN_PARAMETERS = {
    "MaintenanceWindowAutomationParameters": "Automation",
    "MaintenanceWindowLambdaParameters": "Lambda",
    "MaintenanceWindowRunCommandParameters": "RunCommand",
    "MaintenanceWindowStepFunctionsParameters": "StepFunctions",
}
_CFN_LOGGING = {"S3Bucket": "S3BucketName", "S3Prefix": "S3KeyPrefix", "Region": "S3Region"}


class WindowCalls:
    """One method for each SSM operation, named as in boto3; each takes the call's parameters."""

    def __init__(self, windows: Windows, now: Callable[[], datetime], make_uuid: Callable[[], str]) -> None:
        self._windows = windows
        self._now = now
        self._make_uuid = make_uuid

    def find_answer(self, service: str, operation: str) -> Answer | None:
        """Return what answers a call; None for those that are not about maintenance windows."""
        if service != "ssm" or "MaintenanceWindow" not in operation:
            return None
        answer: Answer | None = getattr(self, xform_name(operation), None)
        if answer is None:
            raise NotImplementedError(f"{operation} is not simulated")

        def check_and_answer(parameters: Parameters) -> dict[str, Any]:
            check_limits(parameters, _input_shape(operation), "")
            return copy.deepcopy(answer(parameters))

        return check_and_answer

    def resource_types(self) -> dict[str, Make]:
        """Return how CloudFormation makes resources, by type."""
        return {
            "AWS::SSM::MaintenanceWindow": self._make("CreateMaintenanceWindow", "WindowId"),
            "AWS::SSM::MaintenanceWindowTarget": self._make("RegisterTargetWithMaintenanceWindow", "WindowTargetId"),
            "AWS::SSM::MaintenanceWindowTask": self._make(
                "RegisterTaskWithMaintenanceWindow", "WindowTaskId", required=("Priority",)
            ),
        }

    def create_maintenance_window(self, parameters: Parameters) -> dict[str, Any]:
        """Serve CreateMaintenanceWindow."""
        if len(self._windows.windows) >= MOST_WINDOWS:
            raise AWSError("ResourceLimitExceededException", f"An account has at most {MOST_WINDOWS} windows.")
        settings = {name: parameters[name] for name in _SETTINGS if name in parameters}
        _check_settings(settings)
        now = self._now()
        window = Window(f"mw-{self._make_uuid().replace('-', '')[:17]}", settings, now, now, now)
        self._windows.windows[window.window_id] = window
        self._windows.plan(window)
        return {"WindowId": window.window_id}

    def update_maintenance_window(self, parameters: Parameters) -> dict[str, Any]:
        """Serve UpdateMaintenanceWindow: what is not given stays as it is, unless all is replaced."""
        window = self._windows.find(parameters["WindowId"])
        given = {name: parameters[name] for name in _SETTINGS if name in parameters}
        replace = parameters.get("Replace", False)
        missing = [name for name in _REQUIRED if name not in given] if replace else []
        if missing:
            raise AWSError("ValidationException", f"Replace needs {', '.join(missing)}.")
        settings = given if replace else {**window.settings, **given}
        _check_settings(settings)
        was_enabled = window.enabled
        if any(settings.get(name) != window.settings.get(name) for name in _SCHEDULE):
            window.scheduled = self._now()
        window.settings = settings
        window.modified = self._now()
        window.enabled = parameters.get("Enabled", window.enabled)
        self._windows.plan(window)
        if window.enabled != was_enabled:
            self._windows.note_window(window)
        return {"WindowId": window.window_id, **window.settings, "Enabled": window.enabled}

    def delete_maintenance_window(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DeleteMaintenanceWindow, whose model knows no error for a window that is not there."""
        window = self._windows.windows.pop(parameters["WindowId"], None)
        if window is not None:
            self._windows.forget(window)
        return {"WindowId": parameters["WindowId"]}

    def get_maintenance_window(self, parameters: Parameters) -> dict[str, Any]:
        """Serve GetMaintenanceWindow."""
        window = self._windows.find(parameters["WindowId"])
        return {
            **self._describe_window(window),
            "AllowUnassociatedTargets": window.settings["AllowUnassociatedTargets"],
            "CreatedDate": window.created,
            "ModifiedDate": window.modified,
        }

    def describe_maintenance_windows(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeMaintenanceWindows."""
        windows = _select(
            self._windows.windows.values(),
            parameters,
            {"Name": lambda window: window.settings["Name"], "Enabled": lambda window: str(window.enabled)},
            ignore_case=True,
        )
        page, token = take_page(windows, parameters, _PAGE)
        return {"WindowIdentities": [self._describe_window(window) for window in page], "NextToken": token}

    def describe_maintenance_window_schedule(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeMaintenanceWindowSchedule for one window or for all."""
        if set(parameters) - {"WindowId", "MaxResults", "NextToken"}:
            raise NotImplementedError("DescribeMaintenanceWindowSchedule of targets and with filters is not simulated")
        windows = self._windows.windows
        chosen = [self._windows.find(parameters["WindowId"])] if "WindowId" in parameters else list(windows.values())
        starts = [(start, window) for window in chosen for start in islice(self._find_starts(window), UPCOMING)]
        starts.sort(key=lambda item: item[0])
        page, token = take_page(starts, parameters, 10)
        listed = [
            {
                "WindowId": window.window_id,
                "Name": window.settings["Name"],
                "ExecutionTime": print_time(start),
            }
            for start, window in page
        ]
        return {"ScheduledWindowExecutions": listed, "NextToken": token}

    def register_target_with_maintenance_window(self, parameters: Parameters) -> dict[str, Any]:
        """Serve RegisterTargetWithMaintenanceWindow."""
        window = self._windows.find(parameters["WindowId"])
        if len(window.targets) >= MOST_TARGETS:
            raise AWSError("ResourceLimitExceededException", f"A window has at most {MOST_TARGETS} targets.")
        target_id = self._make_uuid()
        target = {key: value for key, value in parameters.items() if key != "ClientToken"}
        window.targets[target_id] = copy.deepcopy({**target, "WindowTargetId": target_id})
        self._windows.note_target(window, target_id, "REGISTERED")
        return {"WindowTargetId": target_id}

    def deregister_target_from_maintenance_window(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DeregisterTargetFromMaintenanceWindow."""
        window = self._windows.find(parameters["WindowId"])
        target_id = parameters["WindowTargetId"]
        if target_id not in window.targets:
            raise AWSError("DoesNotExistException", f"Maintenance window target {target_id} does not exist")
        used = any(target_id in values for task in window.tasks.values() for _, values in _find_targets(task))
        if parameters.get("Safe") and used:
            raise AWSError("TargetInUseException", f"Target {target_id} is still referenced in a task.")
        del window.targets[target_id]
        self._windows.note_target(window, target_id, "DEREGISTERED")
        return {"WindowId": window.window_id, "WindowTargetId": target_id}

    def describe_maintenance_window_targets(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeMaintenanceWindowTargets."""
        window = self._windows.find(parameters["WindowId"])
        targets = _select(
            window.targets.values(),
            parameters,
            {
                "Type": lambda target: target["ResourceType"],
                "WindowTargetId": lambda target: target["WindowTargetId"],
                "OwnerInformation": lambda target: target.get("OwnerInformation"),
            },
        )
        page, token = take_page(targets, parameters, _PAGE)
        return {"Targets": page, "NextToken": token}

    def register_task_with_maintenance_window(self, parameters: Parameters) -> dict[str, Any]:
        """Serve RegisterTaskWithMaintenanceWindow for state machines and commands."""
        window = self._windows.find(parameters["WindowId"])
        if len(window.tasks) >= MOST_TASKS:
            raise AWSError("ResourceLimitExceededException", f"A window has at most {MOST_TASKS} tasks.")
        _check_task(window, parameters)
        task_id = self._make_uuid()
        task = {
            "WindowTaskId": task_id,
            "Targets": [],
            "Priority": 1,
            # What AWS puts in the place of what a task without targets cannot have.
            "MaxConcurrency": "1",
            "MaxErrors": "1",
            **{key: value for key, value in parameters.items() if key != "ClientToken"},
        }
        window.tasks[task_id] = copy.deepcopy(task)
        return {"WindowTaskId": task_id}

    def deregister_task_from_maintenance_window(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DeregisterTaskFromMaintenanceWindow."""
        window, task = self._find_task(parameters)
        del window.tasks[task["WindowTaskId"]]
        return {"WindowId": window.window_id, "WindowTaskId": task["WindowTaskId"]}

    def get_maintenance_window_task(self, parameters: Parameters) -> dict[str, Any]:
        """Serve GetMaintenanceWindowTask."""
        return self._find_task(parameters)[1]

    def describe_maintenance_window_tasks(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeMaintenanceWindowTasks."""
        window = self._windows.find(parameters["WindowId"])
        tasks = _select(
            window.tasks.values(),
            parameters,
            {
                "WindowTaskId": lambda task: task["WindowTaskId"],
                "TaskArn": lambda task: task["TaskArn"],
                "Priority": lambda task: str(task["Priority"]),
                "TaskType": lambda task: task["TaskType"],
            },
        )
        page, token = take_page(tasks, parameters, _PAGE)
        hidden = ("TaskType", "TaskInvocationParameters")
        listed = [
            {"Type": task["TaskType"], **{key: value for key, value in task.items() if key not in hidden}}
            for task in page
        ]
        return {"Tasks": listed, "NextToken": token}

    def get_maintenance_window_execution(self, parameters: Parameters) -> dict[str, Any]:
        """Serve GetMaintenanceWindowExecution."""
        execution = self._windows.find_execution(parameters["WindowExecutionId"])
        return {
            "WindowExecutionId": execution.execution_id,
            "TaskIds": [run.task_execution_id for run in execution.tasks],
            **_describe_run(execution),
        }

    def describe_maintenance_window_executions(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeMaintenanceWindowExecutions, newest first; none for a window that is not there."""
        found = [one for one in self._windows.executions if one.window_id == parameters["WindowId"]]
        for condition in parameters.get("Filters", []):
            if condition["Key"] not in ("ExecutedBefore", "ExecutedAfter") or len(condition["Values"]) != 1:
                raise AWSError("ValidationException", f"The filter {condition['Key']} isn't valid.")
            limit = _read_date(condition["Key"], condition["Values"][0])
            before = condition["Key"] == "ExecutedBefore"
            found = [one for one in found if (one.started < limit if before else one.started > limit)]
        page, token = take_page(found[::-1], parameters, _PAGE)
        listed = [
            {"WindowId": one.window_id, "WindowExecutionId": one.execution_id, **_describe_run(one)} for one in page
        ]
        return {"WindowExecutions": listed, "NextToken": token}

    def describe_maintenance_window_execution_tasks(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeMaintenanceWindowExecutionTasks."""
        execution = self._windows.find_execution(parameters["WindowExecutionId"])
        runs = _select(execution.tasks, parameters, {"STATUS": lambda run: run.status})
        page, token = take_page(runs, parameters, _PAGE)
        listed = [
            {
                "WindowExecutionId": execution.execution_id,
                "TaskExecutionId": run.task_execution_id,
                "TaskArn": run.task["TaskArn"],
                "TaskType": run.task["TaskType"],
                **_describe_run(run),
            }
            for run in page
        ]
        return {"WindowExecutionTaskIdentities": listed, "NextToken": token}

    def describe_maintenance_window_execution_task_invocations(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeMaintenanceWindowExecutionTaskInvocations."""
        execution = self._windows.find_execution(parameters["WindowExecutionId"])
        runs = [run for run in execution.tasks if run.task_execution_id == parameters["TaskId"]]
        if not runs:
            raise AWSError("DoesNotExistException", f"Task execution {parameters['TaskId']} does not exist")
        invocations = _select(runs[0].invocations, parameters, {"STATUS": lambda invocation: invocation.status})
        page, token = take_page(invocations, parameters, _PAGE)
        listed = [
            _without_none(
                {
                    "WindowExecutionId": execution.execution_id,
                    "TaskExecutionId": parameters["TaskId"],
                    "InvocationId": invocation.invocation_id,
                    "ExecutionId": invocation.execution,
                    "TaskType": runs[0].task["TaskType"],
                    "Parameters": invocation.input,
                    "WindowTargetId": invocation.resource and invocation.resource.window_target_id,
                    "OwnerInformation": invocation.resource and invocation.resource.owner,
                    **_describe_run(invocation),
                }
            )
            for invocation in page
        ]
        return {"WindowExecutionTaskInvocationIdentities": listed, "NextToken": token}

    def _describe_window(self, window: Window) -> dict[str, Any]:
        settings = {key: value for key, value in window.settings.items() if key != "AllowUnassociatedTargets"}
        start = window.find_next_start(self._now())
        return _without_none(
            {
                "WindowId": window.window_id,
                **settings,
                "Enabled": window.enabled,
                "NextExecutionTime": start and print_time(start),
            }
        )

    def _find_task(self, parameters: Parameters) -> tuple[Window, dict[str, Any]]:
        window = self._windows.find(parameters["WindowId"])
        task = window.tasks.get(parameters["WindowTaskId"])
        if task is None:
            text = f"Maintenance window task {parameters['WindowTaskId']} does not exist"
            raise AWSError("DoesNotExistException", text)
        return window, task

    def _find_starts(self, window: Window) -> Iterator[datetime]:
        start = window.find_next_start(self._now())
        while start is not None:
            yield start
            start = window.find_next_start(start)

    def _make(self, operation: str, identifier: str, required: Sequence[str] = ()) -> Make:
        """Return how CloudFormation makes a resource by an operation, whose answer names the resource."""

        def make(name: str, logical_id: str, properties: dict[str, Any]) -> StackResource:
            missing = [key for key in required if key not in properties]
            if missing:
                raise DeploymentError(f"{logical_id}: {', '.join(missing)} is required")
            shape = _input_shape(operation)
            parameters = _coerce(_rename(properties), shape)
            report = ParamValidator().validate(parameters, shape)
            if report.has_errors():
                raise DeploymentError(f"{logical_id}: {report.generate_report()}")
            answer = self.find_answer("ssm", operation)
            assert answer is not None
            try:
                physical_id = str(answer(parameters)[identifier])
            except AWSError as error:
                raise DeploymentError(f"{logical_id}: {error.code}: {error}") from error

            def delete() -> None:
                # Targets and tasks go with their window.
                if identifier == "WindowId":
                    self.delete_maintenance_window({"WindowId": physical_id})

            return StackResource(physical_id, delete=delete)

        return make


def check_limits(value: Any, shape: Shape, path: str) -> None:
    """Raise the AWSError of AWS for a value outside the limits of its botocore shape."""
    kind = shape.type_name
    if kind == "structure":
        for name, item in value.items():
            check_limits(item, shape.members[name], f"{path}.{name}" if path else name)  # type: ignore[attr-defined]
        return
    if kind == "list":
        for number, item in enumerate(value, 1):
            check_limits(item, shape.member, f"{path}.{number}.member")  # type: ignore[attr-defined]
    size = len(value) if kind in ("string", "list", "blob") else value
    limits = shape.metadata
    complaint = ""
    if "min" in limits and size < limits["min"]:
        complaint = f"Member must have a size or value of at least {limits['min']}"
    elif "max" in limits and size > limits["max"]:
        complaint = f"Member must have a size or value of at most {limits['max']}"
    elif "enum" in limits and value not in limits["enum"]:
        complaint = f"Member must satisfy enum value set: [{', '.join(limits['enum'])}]"
    # Patterns with Unicode categories, which Python does not know, allow nearly everything.
    elif "\\p{" not in (pattern := limits.get("pattern", "")) and pattern and not re.search(pattern, value):
        complaint = f"Member must satisfy regular expression pattern: {pattern}"
    if complaint:
        text = f"1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {complaint}"
        raise AWSError("ValidationException", text)


def print_time(instant: datetime) -> str:
    """Return an instant as AWS prints the times of a schedule: seconds only where there are any, "Z" for UTC."""
    local = instant.replace(tzinfo=None)
    if local.microsecond:
        text = local.isoformat(timespec="milliseconds" if local.microsecond % 1000 == 0 else "microseconds")
    else:
        text = local.isoformat(timespec="seconds" if local.second else "minutes")
    offset = instant.strftime("%z")
    return text + ("Z" if offset == "+0000" else f"{offset[:3]}:{offset[3:]}")


def _check_settings(settings: Mapping[str, Any]) -> None:
    try:
        check_schedule(settings["Schedule"], settings.get("ScheduleTimezone"), settings.get("ScheduleOffset", 0))
    except ValueError as error:
        raise AWSError("ValidationException", f"Schedule: {error}") from error
    for name in ("StartDate", "EndDate"):
        _read_date(name, settings.get(name))
    cutoff, duration = settings["Cutoff"], settings["Duration"]
    if cutoff >= duration:
        raise AWSError("ValidationException", f"Cutoff was {cutoff} but must be smaller than {duration}")


def _check_task(window: Window, task: Parameters) -> None:
    targets = _find_targets(task)
    kind = task["TaskType"]
    # What AWS says: https://docs.aws.amazon.com/systems-manager/latest/userguide/troubleshooting-maintenance-windows.html
    for name in ("MaxConcurrency", "MaxErrors"):
        if not targets and name in task:
            text = f"Maintenance window tasks without targets don't support {name} values"
            raise AWSError("ValidationException", text)
        if targets and name not in task:
            raise AWSError("ValidationException", f"{name} is required for maintenance window tasks with targets")
    if kind == "RUN_COMMAND" and not targets:
        raise AWSError("ValidationException", "A task of type RUN_COMMAND needs targets")
    for key, values in targets:
        unknown = sorted(set(values) - set(window.targets)) if key == "WindowTargetIds" else []
        if unknown:
            raise AWSError("DoesNotExistException", f"Maintenance window target {unknown[0]} does not exist")
        if key == "InstanceIds" and not window.settings["AllowUnassociatedTargets"]:
            raise AWSError("ValidationException", "The window does not allow unassociated targets")
        if key not in ("WindowTargetIds", "InstanceIds"):
            raise AWSError("ValidationException", f"{key} is not a target of a task")
    if kind in ("AUTOMATION", "LAMBDA"):
        raise NotImplementedError(f"{kind} tasks are not simulated")
    given = task.get("TaskInvocationParameters", {})
    wanted = {"RUN_COMMAND": "RunCommand", "STEP_FUNCTIONS": "StepFunctions"}[kind]
    if set(given) - {wanted}:
        raise AWSError("ValidationException", f"TaskInvocationParameters of a task of type {kind} are {wanted}")
    used = set(re.findall(r"\{\{(\w+)\}\}", str(given))) & TARGET_PARAMETERS if not targets else set()
    if used:
        raise NotImplementedError(f"AWS does not say what {{{{{min(used)}}}}} is in a task without targets")


def _find_targets(task: Parameters) -> list[tuple[str, list[str]]]:
    return [(target["Key"], target["Values"]) for target in task.get("Targets", [])]


def _read_date(name: str, text: str | None) -> datetime:
    try:
        return read_date(text) or datetime.min.replace(tzinfo=UTC)
    except ValueError as error:
        raise AWSError("ValidationException", f"{name} is not a date in ISO-8601 format: {text}") from error


def _select(
    items: Any,
    parameters: Parameters,
    values: Mapping[str, Callable[[Any], str | None]],
    *,
    ignore_case: bool = False,
) -> list[Any]:
    """Return the items that the call's filters let through; `values` knows the keys that there are."""
    found = list(items)
    for condition in parameters.get("Filters", []):
        if condition["Key"] not in values:
            raise AWSError("ValidationException", f"The filter key {condition['Key']} isn't valid.")
        value = values[condition["Key"]]
        wanted = [text.lower() if ignore_case else text for text in condition["Values"]]
        found = [item for item in found if _lower(value(item), ignore_case) in wanted]
    return found


def _lower(text: str | None, lower: bool) -> str | None:
    return text.lower() if text is not None and lower else text


def _describe_run(run: WindowExecution | TaskExecution | Invocation) -> dict[str, Any]:
    return _without_none(
        {"Status": run.status, "StatusDetails": run.details, "StartTime": run.started, "EndTime": run.ended}
    )


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _input_shape(operation: str) -> Any:
    return make_client("ssm").meta.service_model.operation_model(operation).input_shape


def _rename(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return CloudFormation's properties in the names of the API."""
    renamed = dict(properties)
    for name, names in (("TaskInvocationParameters", _CFN_PARAMETERS), ("LoggingInfo", _CFN_LOGGING)):
        if name in renamed:
            renamed[name] = {names.get(key, key): value for key, value in renamed[name].items()}
    return renamed


def _coerce(value: Any, shape: Any) -> Any:
    """Return a property as the API wants it: a template's parameters are text, whatever they stand for."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        return {
            name: _coerce(item, shape.members[name]) if name in shape.members else item for name, item in value.items()
        }
    if kind == "list" and isinstance(value, list):
        return [_coerce(item, shape.member) for item in value]
    if kind == "map" and isinstance(value, dict):
        return {key: _coerce(item, shape.value) for key, item in value.items()}
    if kind == "integer" and isinstance(value, str) and re.fullmatch(r"\d+", value):
        return int(value)
    if kind == "boolean" and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if kind == "string" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value
