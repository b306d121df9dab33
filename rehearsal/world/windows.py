"""Maintenance windows of Systems Manager: their schedules, their executions and the state machines that they start."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from botocore.exceptions import ClientError

from rehearsal.engine.answers import AWSError
from rehearsal.engine.calls import ACCOUNT, REGION, Caller, current_caller
from rehearsal.engine.clock import Task, Timer, Waiter, wake_all
from rehearsal.engine.host import Host
from rehearsal.engine.schedules import next_start
from rehearsal.world.window_targets import Resource, find_resources

START_DELAY = 2.0
"""Seconds from the scheduled time to the start of the first task."""

LONGEST_INPUT = 4096
TARGET_PARAMETERS = frozenset({"WINDOW_TARGET_ID", "TARGET_TYPE", "TARGET_ID", "RESOURCE_ID"})
"""Pseudo parameters that are about a target: AWS does not say what they are in a task without targets."""

_STATUSES = {"SUCCEEDED": "SUCCESS", "TIMED_OUT": "TIMED_OUT"}


@dataclass
class Invocation:
    """One run of a task for one of its targets, or the one run of a task without targets."""

    invocation_id: str
    resource: Resource | None
    started: datetime
    status: str = "IN_PROGRESS"
    details: str | None = None
    ended: datetime | None = None
    execution: str | None = None
    """ARN of the execution that it started."""
    input: str | None = None


@dataclass
class TaskExecution:
    """One run of a task in one execution of its window."""

    task_execution_id: str
    task: Mapping[str, Any]
    """The task as it was registered."""
    started: datetime
    status: str = "IN_PROGRESS"
    details: str | None = None
    ended: datetime | None = None
    invocations: list[Invocation] = field(default_factory=list)


@dataclass
class WindowExecution:
    """One run of a window."""

    execution_id: str
    window_id: str
    scheduled: datetime
    started: datetime
    status: str = "PENDING"
    details: str | None = None
    ended: datetime | None = None
    tasks: list[TaskExecution] = field(default_factory=list)


@dataclass
class Window:
    """A maintenance window, with its targets and tasks as they were registered, in the names of the API."""

    window_id: str
    settings: dict[str, Any]
    created: datetime
    modified: datetime
    scheduled: datetime
    """When its schedule was set."""
    enabled: bool = True
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    timer: Timer | None = None

    @property
    def arn(self) -> str:
        """The window's ARN."""
        return f"arn:aws:ssm:{REGION}:{ACCOUNT}:maintenancewindow/{self.window_id}"

    def find_next_start(self, after: datetime) -> datetime | None:
        """Return when the window starts next after an instant; None when it does not any more, or is disabled."""
        if not self.enabled:
            return None
        return next_start(
            self.settings["Schedule"],
            self.settings.get("ScheduleTimezone"),
            self.settings.get("ScheduleOffset", 0),
            after,
            since=self.scheduled,
            begins=read_date(self.settings.get("StartDate")),
            ends=read_date(self.settings.get("EndDate")),
        )


class Windows:
    """The maintenance windows of an account.

    AWS does not say whether an execution of a window lasts until the state machines that it started have ended: it
    does while `waits` is true. Then the task's role needs states:DescribeExecution as well.

    A task without targets starts its state machine once, one with targets once for each resource. Tasks of Run Command
    exist and are shown, but are not run.
    """

    def __init__(self, account: Host, *, waits: bool = True) -> None:
        self.waits = waits
        self.windows: dict[str, Window] = {}
        self.executions: list[WindowExecution] = []
        """Every execution of every window, in the order they began."""
        self._account = account
        self._waiting: dict[str, list[Waiter]] = {}

    def find(self, window_id: str) -> Window:
        """Return a window. Raises AWSError when there is none."""
        window = self.windows.get(window_id)
        if window is None:
            raise AWSError("DoesNotExistException", f"Maintenance window {window_id} does not exist")
        return window

    def find_execution(self, execution_id: str) -> WindowExecution:
        """Return an execution of a window. Raises AWSError when there is none."""
        for execution in self.executions:
            if execution.execution_id == execution_id:
                return execution
        raise AWSError("DoesNotExistException", f"Maintenance window execution {execution_id} does not exist")

    def next_execution_time(self, window_id: str) -> datetime | None:
        """Return when a window starts next; None when it does not any more, or is disabled."""
        return self.find(window_id).find_next_start(self._account.clock.now())

    def run_next(self, window_id: str) -> str:
        """Finish what is going on, jump to the window's next start and return the id of the execution that begins.

        Schedules of rules do not fire on the way; other windows do. Raises LookupError when the window has no start.
        """
        self._account.run_until_quiet()
        while self.next_execution_time(window_id) is not None:
            for execution in self._run_until_one_begins():
                if execution.window_id == window_id:
                    return execution.execution_id
            self._account.run_until_quiet()
        raise LookupError(f"the window {window_id} does not start any more")

    def plan(self, window: Window, after: datetime | None = None) -> None:
        """Let a window start at its next time, which is after now unless another instant is given."""
        self.forget(window)
        when = window.find_next_start(after or self._account.clock.now())
        if when is not None:
            window.timer = self._account.clock.call_at(when, lambda: self._begin(window, when), background=True)

    def forget(self, window: Window) -> None:
        """Do not start a window any more."""
        if window.timer is not None:
            window.timer.cancel()
            window.timer = None

    def note_execution(self, arn: str, status: str) -> None:
        """Hear of an execution's change of status."""
        if status != "RUNNING":
            wake_all(self._waiting.pop(arn, []))

    def note_window(self, window: Window) -> None:
        """Tell EventBridge that a window was enabled or disabled."""
        detail = {"window-id": window.window_id, "status": "ENABLED" if window.enabled else "DISABLED"}
        self._put("Maintenance Window State-change Notification", detail, [window.arn])

    def note_target(self, window: Window, target_id: str, status: str) -> None:
        """Tell EventBridge that a target was registered or deregistered."""
        detail = {"window-target-id": target_id, "window-id": window.window_id, "status": status}
        target_arn = f"arn:aws:ssm:{REGION}:{ACCOUNT}:windowtarget/{target_id}"
        self._put("Maintenance Window Target Registration Notification", detail, [window.arn, target_arn])

    def _run_until_one_begins(self) -> list[WindowExecution]:
        """Jump to the next start of any window; return the executions that begin."""
        account, known = self._account, len(self.executions)
        # Weeks of sweeps that find nothing would take minutes.
        account.bus.stop_schedules()
        account.clock.run(lambda: len(self.executions) > known, background=True)
        account.bus.start_schedules()
        return self.executions[known:]

    def _begin(self, window: Window, scheduled: datetime) -> None:
        busy = any(execution.window_id == window.window_id and execution.ended is None for execution in self.executions)
        now = self._account.clock.now()
        execution = WindowExecution(self._account.make_uuid(), window.window_id, scheduled, now)
        self.executions.append(execution)
        self.plan(window, scheduled)
        if busy:
            self._end(window, execution, "SKIPPED_OVERLAPPING", "The previous execution is still in progress.")
            return
        self._note(window, execution)
        self._account.clock.sleep(START_DELAY)
        execution.started = self._account.clock.now()
        execution.status = "IN_PROGRESS"
        self._note(window, execution)
        tasks = sorted(window.tasks.values(), key=_priority)
        statuses: set[str] = set()
        for _, group in groupby([task for task in tasks if task["TaskType"] == "STEP_FUNCTIONS"], key=_priority):
            if self._account.clock.now() > _cutoff(window, scheduled):
                statuses.add("TIMED_OUT")
                break
            running = [self._spawn(window, execution, task) for task in group]
            for task in running:
                task.join()
        statuses.update(task.status for task in execution.tasks)
        self._end(window, execution, _worst(statuses))

    def _end(self, window: Window, execution: WindowExecution, status: str, details: str | None = None) -> None:
        execution.status, execution.details = status, details
        execution.ended = self._account.clock.now()
        self._note(window, execution)

    def _spawn(self, window: Window, execution: WindowExecution, task: Mapping[str, Any]) -> Task:
        run = TaskExecution(self._account.make_uuid(), task, self._account.clock.now())
        execution.tasks.append(run)
        return self._account.clock.spawn(lambda: self._run(window, execution, run), task["WindowTaskId"])

    def _run(self, window: Window, execution: WindowExecution, run: TaskExecution) -> None:
        self._note_task(window, execution, run)
        task, clock = run.task, self._account.clock
        targets: Sequence[Resource | None] = [None]
        if task["Targets"]:
            targets = find_resources(self._account.client, window.targets, task)
        waiting = deque(targets)
        most_errors = _count(task["MaxErrors"], len(targets)) if task["Targets"] else 0
        closes = _cutoff(window, execution.scheduled) if task.get("CutoffBehavior") == "CANCEL_TASK" else None

        def work() -> None:
            while waiting and (closes is None or clock.now() <= closes):
                if sum(invocation.status == "FAILED" for invocation in run.invocations) > most_errors:
                    break
                self._invoke(window, execution, run, waiting.popleft(), closes)

        workers = max(1, _count(task["MaxConcurrency"], len(targets)))
        for worker in [clock.spawn(work, task["WindowTaskId"]) for _ in range(workers)]:
            worker.join()
        statuses = {invocation.status for invocation in run.invocations}
        if waiting and "FAILED" not in statuses:
            statuses.add("TIMED_OUT")
        run.status = _worst(statuses)
        run.details = next((one.details for one in run.invocations if one.details), None)
        run.ended = clock.now()
        self._note_task(window, execution, run)

    def _invoke(
        self,
        window: Window,
        execution: WindowExecution,
        run: TaskExecution,
        resource: Resource | None,
        closes: datetime | None,
    ) -> None:
        invocation = Invocation(self._account.make_uuid(), resource, self._account.clock.now())
        run.invocations.append(invocation)
        self._note_invocation(window, execution, run, invocation)
        token = current_caller.set(None)
        try:
            self._assume_role(run.task)
            invocation.execution = self._start(window, execution, run, invocation)
            status = self._wait(invocation.execution, closes) if self.waits else "SUCCESS"
        except _CannotRun as error:
            status, invocation.details = "FAILED", str(error)[:250]
        except ClientError as error:
            status, invocation.details = "FAILED", f"{error.response['Error']['Code']}: {error}"[:250]
        finally:
            current_caller.reset(token)
        invocation.status = status
        invocation.ended = self._account.clock.now()
        self._note_invocation(window, execution, run, invocation)

    def _start(self, window: Window, execution: WindowExecution, run: TaskExecution, invocation: Invocation) -> str:
        """Start the task's state machine under the task's role; return the ARN of the execution."""
        values = {
            "WINDOW_ID": window.window_id,
            "WINDOW_TASK_ID": run.task["WindowTaskId"],
            "WINDOW_EXECUTION_ID": execution.execution_id,
            "TASK_EXECUTION_ID": run.task_execution_id,
            "INVOCATION_ID": invocation.invocation_id,
            **(invocation.resource.parameters if invocation.resource else {}),
        }
        given = run.task.get("TaskInvocationParameters", {}).get("StepFunctions", {})
        options = {name.lower(): expand(text, values) for name, text in given.items()}
        invocation.input = options.get("input")
        if invocation.input is not None and len(invocation.input) > LONGEST_INPUT:
            raise _CannotRun(f"The input is longer than {LONGEST_INPUT} characters.")
        answer = self._account.client("stepfunctions").start_execution(stateMachineArn=run.task["TaskArn"], **options)
        return str(answer["executionArn"])

    def _assume_role(self, task: Mapping[str, Any]) -> None:
        """Make the calls of this greenlet those of the task's role."""
        role = task.get("ServiceRoleArn")
        if role is None:
            # AmazonSSMServiceRolePolicy, of the service-linked role, knows state machines of these names only.
            if not task["TaskArn"].split(":")[-1].startswith("SSM"):
                raise _CannotRun(f"AWSServiceRoleForAmazonSSM may not states:StartExecution on {task['TaskArn']}")
            return
        try:
            found = self._account.client("iam").get_role(RoleName=role.split("/")[-1])["Role"]
        except ClientError as error:
            raise _CannotRun(f"There is no role {role}.") from error
        if not _trusts_ssm(found["AssumeRolePolicyDocument"]):
            raise _CannotRun(f"Systems Manager may not assume {role}.")
        current_caller.set(Caller("aws", "maintenance_window", role))

    def _wait(self, arn: str, closes: datetime | None) -> str:
        """Wait until an execution has ended, or the window has closed; return the status of the invocation."""
        clock = self._account.clock
        # Looked at without a call, which takes time: an end in the meantime would be waited for in vain.
        while self._account.status_of(arn) == "RUNNING":
            timeout = None if closes is None else (closes - clock.now()).total_seconds()
            # Nothing stops a state machine that has been started.
            if not clock.wait(self._waiting.setdefault(arn, []), timeout):
                return "TIMED_OUT"
        described = self._account.client("stepfunctions").describe_execution(executionArn=arn)
        return _STATUSES.get(described["status"], "FAILED")

    def _note(self, window: Window, execution: WindowExecution) -> None:
        detail = {
            **_describe_times(execution),
            "window-id": window.window_id,
            "window-execution-id": execution.execution_id,
            "status": execution.status,
        }
        self._put("Maintenance Window Execution State-change Notification", detail, [window.arn])

    def _note_task(self, window: Window, execution: WindowExecution, run: TaskExecution) -> None:
        detail = {**_describe_task(execution, run), "status": run.status}
        self._put("Maintenance Window Task Execution State-change Notification", detail, [window.arn])

    def _note_invocation(
        self, window: Window, execution: WindowExecution, run: TaskExecution, invocation: Invocation
    ) -> None:
        resource = invocation.resource
        about = {
            "window-target-id": resource and resource.window_target_id,
            "owner-information": resource and resource.owner,
        }
        detail = {
            **_describe_task(execution, run),
            **_describe_times(invocation),
            **{name: value for name, value in about.items() if value},
            # COMPLETE whatever came of it:
            # https://docs.aws.amazon.com/systems-manager/latest/userguide/reference-eventbridge-events.html
            "status": "COMPLETE" if invocation.ended else "IN_PROGRESS",
        }
        self._put("Maintenance Window Task Target Invocation State-change Notification", detail, [window.arn])

    def _put(self, detail_type: str, detail: dict[str, Any], resources: list[str]) -> None:
        self._account.bus.put("aws.ssm", detail_type, detail, resources)


class _CannotRun(Exception):
    """Raised when a task fails before AWS has made a call for it."""


def expand(text: str, values: Mapping[str, str]) -> str:
    """Return a text with the pseudo parameters of a task replaced; other braces stay."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values.get(found[1], found[0]), text)


def read_date(text: str | None) -> datetime | None:
    """Return a date and time in ISO-8601 format, UTC when it has no offset. Raises ValueError for anything else."""
    if not text:
        return None
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _worst(statuses: Collection[str]) -> str:
    return next((status for status in ("FAILED", "TIMED_OUT") if status in statuses), "SUCCESS")


def _count(text: str, total: int) -> int:
    """Return a number of targets that is given as such or in percent of them."""
    return int(text[:-1]) * total // 100 if text.endswith("%") else int(text)


def _priority(task: Mapping[str, Any]) -> int:
    priority: int = task["Priority"]
    return priority


def _cutoff(window: Window, scheduled: datetime) -> datetime:
    """Return until when tasks may start."""
    return scheduled + timedelta(hours=window.settings["Duration"] - window.settings["Cutoff"])


def _trusts_ssm(policy: Mapping[str, Any]) -> bool:
    for statement in policy["Statement"]:
        services = statement["Principal"].get("Service", []) if isinstance(statement["Principal"], dict) else []
        if statement["Effect"] == "Allow" and "ssm.amazonaws.com" in services:
            return True
    return False


def _describe_task(execution: WindowExecution, run: TaskExecution) -> dict[str, str]:
    return {
        **_describe_times(run),
        "task-execution-id": run.task_execution_id,
        "window-id": execution.window_id,
        "window-execution-id": execution.execution_id,
    }


def _describe_times(run: WindowExecution | TaskExecution | Invocation) -> dict[str, str]:
    times = {"start-time": run.started, "end-time": run.ended}
    return {name: f"{when:%Y-%m-%dT%H:%M:%S.%fZ}" for name, when in times.items() if when is not None}
