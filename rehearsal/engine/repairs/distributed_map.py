"""The Distributed Map: each item is an execution of its own, with its own history, context and variables.

https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html

What the documentation leaves open, and is unconfirmed: children have no `$states.context.Map`, an item that failed and
is tolerated leaves null in the result, a role that may not start children fails the Map with States.Permissions, and
an aborted child counts neither as failed nor as succeeded.
"""

from __future__ import annotations

import copy
import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType, MapRunStatus
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.distributed_iteration_component import (
    DistributedIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.max_concurrency import MaxConcurrencyJSONata
from moto.stepfunctions.parser.asl.component.state.exec.state_map.state_map import StateMap
from moto.stepfunctions.parser.asl.component.state.exec.state_map.tolerated_failure import (
    ToleratedFailureCountDecl,
    ToleratedFailureCountInt,
    ToleratedFailureCountStringJSONata,
    ToleratedFailurePercentage,
    ToleratedFailurePercentageDecl,
    ToleratedFailurePercentageStringJSONata,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from moto.stepfunctions.parser.backend.execution import Execution

from rehearsal.engine.calls import Call, CallLog, current_caller
from rehearsal.engine.clock import Waiter, wake_all
from rehearsal.engine.repairs.executions import LARGEST_DATA, Executions, running
from rehearsal.engine.repairs.jsonata import evaluation_failure
from rehearsal.engine.repairs.patches import Patches
from rehearsal.engine.repairs.redrive import redrive

MOST_CHILDREN = 10_000
"""How many children run at the same time where MaxConcurrency is 0 or not given."""

DISPATCH_SECONDS = 0.01
"""AWS starts at most a hundred children a second."""


def repair_distributed_map(patches: Patches, executions: Executions, calls: CallLog) -> None:
    """moto runs the items of a Distributed Map within the parent's execution, in nobody's history, with the parent's
    variables, and fails with nothing that they do.
    """

    def run(self: Any, env: Any) -> None:
        settings, parent = env.stack.pop(), running.get()
        # A state that is redriven goes on with its Map Run; otherwise each entry, and each retry, begins a new one.
        resumed, parent.resumed_state = getattr(parent, "resumed_state", None), None
        map_run = getattr(parent, "map_run", None) if resumed == settings.state_name else None
        try:
            if map_run is None:
                parent.map_run = None
                record = settings.map_run_record
                _note(env, HistoryEventType.MapRunStarted, mapRunStartedEventDetails={"mapRunArn": record.map_run_arn})
                _check_role(executions, calls, env, "StartExecution", {"stateMachineArn": parent.state_machine.arn})
                map_run = _MapRun(
                    executions, calls, settings, self._get_iteration_program(), _read_items(settings, env)
                )
                parent.map_run = map_run
                results = map_run.run(env)
            else:
                details = {"mapRunArn": map_run.record.map_run_arn, "redriveCount": parent.redrive_count}
                _note(env, HistoryEventType.MapRunRedriven, mapRunRedrivenEventDetails=details)
                results = map_run.go_on(env)
        except FailureEventException as failure:
            error, cause = failure.extract_error_cause_pair() or (None, None)
            details = {key: value for key, value in (("error", error), ("cause", cause)) if value is not None}
            _note(env, HistoryEventType.MapRunFailed, mapRunFailedEventDetails=details)
            raise
        _note(env, HistoryEventType.MapRunSucceeded)
        # What is redriven from here on begins a new Map Run.
        parent.map_run = None
        if not self.writes_results and len(json.dumps(results, separators=(",", ":")).encode()) > LARGEST_DATA:
            text = "The Map returned a result with a size exceeding the maximum number of bytes service limit."
            raise _failure(env, StatesErrorNameType.StatesStatesDataLimitExceeded, text)
        env.stack.append(results)

    patches.replace(DistributedIterationComponent, "_eval_body", run)


def repair_map_settings(patches: Patches) -> None:
    """moto takes a percentage that is tolerated for a count and the other way round, cannot tell one that is not given
    from 0, and rounds what an expression returns.
    """

    def read(original: Callable[..., None], self: Any, properties: Any) -> None:
        original(self, properties)
        count, percentage = properties.get(ToleratedFailureCountDecl), properties.get(ToleratedFailurePercentageDecl)
        if percentage is not None and count is None:
            self.tolerated_failure_count_decl = ToleratedFailureCountInt(sys.maxsize)
        if percentage is None and count is not None:
            self.tolerated_failure_percentage_decl = ToleratedFailurePercentage(100.0)
        self.iteration_component.writes_results = self.result_writer is not None

    def visit_count(self: Any, ctx: Any) -> Any:
        return ToleratedFailureCountStringJSONata(string_jsonata=self.visitString_jsonata(ctx=ctx.string_jsonata()))

    def whole_number(field: str) -> Callable[[Any, Any], int]:
        def evaluate(self: Any, env: Any) -> int:
            value = _evaluate(self, env)
            if not isinstance(value, int) or value < 0:
                raise _wrong_setting(self, env, field, f"is not a non-negative integer: {value}")
            return value

        return evaluate

    def percentage(self: Any, env: Any) -> float:
        value = _evaluate(self, env)
        if not isinstance(value, int | float) or not 0 <= value <= 100:
            raise _wrong_setting(self, env, "ToleratedFailurePercentage", f"is not a percentage: {value}")
        return float(value)

    patches.wrap(StateMap, "from_state_props", read)
    patches.replace(Preprocessor, "visitTolerated_failure_count_string_jsonata", visit_count)
    patches.replace(MaxConcurrencyJSONata, "_eval_max_concurrency", whole_number("MaxConcurrency"))
    count = whole_number("ToleratedFailureCount")
    patches.replace(ToleratedFailureCountStringJSONata, "_eval_tolerated_failure_count", count)
    patches.replace(ToleratedFailurePercentageStringJSONata, "_eval_tolerated_failure_percentage", percentage)


def _wrong_setting(declaration: Any, env: Any, field: str, reason: str) -> FailureEventException:
    expression = declaration.string_jsonata.literal_value
    return evaluation_failure(env, f"The JSONata expression '{expression}' of the field '{field}' {reason}", field)


def _evaluate(declaration: Any, env: Any) -> Any:
    declaration.string_jsonata.eval(env=env)
    value = env.stack.pop()
    return None if isinstance(value, bool) else value


class _MapRun:
    """One run of a Distributed Map. Its state's task does the work, and another one that of a redrive."""

    def __init__(self, executions: Executions, calls: CallLog, settings: Any, program: Any, items: list[Any]) -> None:
        self.record = settings.map_run_record
        self._executions = executions
        self._calls = calls
        self._clock = executions.clock
        self._settings = settings
        self._program = program
        self._items = items
        self._parent = running.get()
        self._limit = self.record.max_concurrency or MOST_CHILDREN
        self._children: dict[int, Any] = {}
        self._running: set[int] = set()
        self._failed = 0
        self._waiters: list[Waiter] = []
        self._next_start = 0.0
        # moto counts nothing of what DescribeMapRun tells (AWS: executions and items, LocalStack's recording of
        # 2023-09-21).
        self.record.execution_counter.describe = self.record.item_counter.describe = self._count
        # The label stands at the end of the ARN of the children's machine.
        arn = self.record.map_state_machine_arn
        self._machine = copy.copy(self._parent.state_machine)
        self._machine.arn, self._machine.name = arn, arn.split(":stateMachine:")[1]

    def run(self, env: Any) -> list[Any]:
        """Return the outputs of all items, in their order."""
        try:
            for index in range(len(self._items)):
                child = self._children.get(index)
                if child is not None and child.exec_status == ExecutionStatus.SUCCEEDED:
                    continue
                self._wait_until(env, lambda: len(self._running) < self._limit)
                self._clock.sleep(self._next_start - self._clock.time())
                if child is None:
                    self._start(env, index)
                else:
                    self._redrive(env, index)
                self._next_start = self._clock.time() + DISPATCH_SECONDS
            self._wait_until(env, lambda: not self._running)
        except BaseException as error:
            self.record.set_stop(MapRunStatus.FAILED if isinstance(error, Exception) else MapRunStatus.ABORTED)
            for index in sorted(self._running):
                self._executions.cancel(self._children[index])
            raise
        self.record.set_stop(MapRunStatus.SUCCEEDED)
        return [self._children[index].output for index in range(len(self._items))]

    def go_on(self, env: Any) -> list[Any]:
        """Redrive what did not succeed and start what never began, once everything that still runs has ended."""
        while self._running:
            self._clock.wait(self._waiters)
        self._failed = 0
        return self.run(env)

    def _count(self) -> dict[str, int]:
        """Return how many items, each of which is an execution, are in which state."""
        found = Counter(child.exec_status for child in self._children.values())
        return {
            "pending": len(self._items) - len(self._children),
            "running": found[ExecutionStatus.RUNNING],
            "succeeded": found[ExecutionStatus.SUCCEEDED],
            "failed": found[ExecutionStatus.FAILED],
            "timedOut": found[ExecutionStatus.TIMED_OUT],
            "aborted": found[ExecutionStatus.ABORTED],
            "total": len(self._items),
            "resultsWritten": found[ExecutionStatus.SUCCEEDED],
        }

    def _wait_until(self, env: Any, condition: Callable[[], bool]) -> None:
        self._check_tolerance(env)
        while not condition():
            self._clock.wait(self._waiters)
            self._check_tolerance(env)

    def _check_tolerance(self, env: Any) -> None:
        percentage = 100 * self._failed / len(self._items) if self._items else 0
        settings = self._settings
        if self._failed > settings.tolerated_failure_count or percentage > settings.tolerated_failure_percentage:
            text = "The specified tolerated failure threshold was exceeded"
            raise _failure(env, StatesErrorNameType.StatesExceedToleratedFailureThreshold, text)

    def _select(self, env: Any, index: int) -> Any:
        """Return the input of an item's child."""
        item = self._items[index]
        selector = self._settings.item_selector or self._settings.parameters
        if selector is None:
            return item
        frame = env.open_frame()
        try:
            frame.states.reset(input_value=env.states.get_input())
            frame.states.context_object.context_object_data["Map"] = {"Item": {"Index": index, "Value": item}}
            frame.stack.append(frame.states.get_input())
            selector.eval(frame)
            return frame.stack.pop()
        finally:
            env.delete_frame(frame)

    def _start(self, env: Any, index: int) -> None:
        name = self._executions.make_uuid()
        parent = self._parent
        child: Any = Execution(
            name=name,
            sm_type=parent.sm_type,
            role_arn=parent.role_arn,
            exec_arn=f"{self._machine.arn.replace(':stateMachine:', ':execution:')}:{name}",
            account_id=parent.account_id,
            region_name=parent.region_name,
            state_machine=self._machine,
            start_date=self._clock.now(),
            cloud_watch_logging_session=None,
            activity_store={},
            input_data=json.dumps(self._select(env, index), separators=(",", ":"), ensure_ascii=False),
        )
        child.parent_arn = parent.exec_arn
        child.map_run_arn = self.record.map_run_arn
        child.exec_worker = child._get_start_execution_worker()
        child.exec_worker._get_evaluation_entrypoint = lambda: self._program
        self._children[index] = child
        self._await(index)
        child.exec_worker.start()

    def _redrive(self, env: Any, index: int) -> None:
        child = self._children[index]
        _check_role(self._executions, self._calls, env, "RedriveExecution", {"executionArn": child.exec_arn})
        self._await(index)
        redrive(self._executions, child)

    def _await(self, index: int) -> None:
        self._running.add(index)
        self._executions.watch(self._children[index], lambda: self._note_end(index))

    def _note_end(self, index: int) -> None:
        self._running.remove(index)
        if self._children[index].exec_status in (ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT):
            self._failed += 1
        wake_all(self._waiters)


def _check_role(executions: Executions, calls: CallLog, env: Any, operation: str, parameters: dict[str, Any]) -> None:
    """Fail the Map where its role may not do what AWS does with it."""
    caller = current_caller.get()
    assert caller is not None
    try:
        for check in calls.checks:
            check(Call(caller, "stepfunctions", operation, parameters, 0, executions.clock.now()))
    except ClientError as error:
        text = error.response["Error"]["Message"]
        raise _failure(env, StatesErrorNameType.StatesPermissions, text) from error


def _read_items(settings: Any, env: Any) -> list[Any]:
    if settings.item_reader is None:
        return list(settings.input_items)
    try:
        settings.item_reader.eval(env=env)
    except (ClientError, ValueError) as error:
        raise _failure(env, StatesErrorNameType.StatesItemReaderFailed, str(error)) from error
    return list(env.stack.pop())


def _note(env: Any, kind: HistoryEventType, **details: Any) -> None:
    env.event_manager.add_event(
        context=env.event_history_context, event_type=kind, event_details=EventDetails(**details) if details else None
    )


def _failure(env: Any, kind: StatesErrorNameType, cause: str) -> FailureEventException:
    name = StatesErrorName(typ=kind)
    return FailureEventException(
        FailureEvent(
            env=env,
            error_name=name,
            event_type=HistoryEventType.MapRunFailed,
            event_details=EventDetails(mapRunFailedEventDetails={"error": name.error_name, "cause": cause}),
        )
    )
