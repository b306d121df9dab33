"""Repairs of moto's Step Functions interpreter: how executions start, wait, retry, time out and stop.

The interpreter runs on the virtual clock: each of its threads is a task, and the tasks of an execution end with it.
"""

from __future__ import annotations

import copy
import itertools
import json
import random
import re
import sys
import time
import types
from collections.abc import Callable
from contextvars import Context, ContextVar
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from greenlet import GreenletExit
from moto.core.responses import ActionResult, EmptyResult
from moto.stepfunctions.parser import models, utils
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.antlr.runtime.ASLParser import ASLParser
from moto.stepfunctions.parser.asl.component import eval_component
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.component.common.retry import jitter_strategy_decl
from moto.stepfunctions.parser.asl.component.common.retry.retry_outcome import RetryOutcome
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import (
    EvalTimeoutError,
    Timeout,
    TimeoutSeconds,
)
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import iteration_worker
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel import branches_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_lambda
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_callback,
    state_task_service_lambda,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.fail import state_fail
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackOutcome,
    CallbackOutcomeFailure,
    CallbackOutcomeFailureError,
    CallbackOutcomeSuccess,
    HeartbeatTimeoutError,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
from moto.stepfunctions.parser.asl.eval.variable_store import VariableStore
from moto.stepfunctions.parser.asl.parse import preprocessor
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from rehearsal.engine.clock import CooperativeThreading, Task, VirtualClock, Waiter, wake_all
from rehearsal.engine.repairs.errors import service_error
from rehearsal.engine.repairs.patches import Patches

HISTORY_LIMIT = 25_000
HISTORY_PAGE = LIST_PAGE = 100
LARGEST_DATA = 262_144
"""Bytes of an input or an output."""
CANCELLATION_SECONDS = (1.0, 5.0)
"""How long it takes until a child is stopped whose parent is over."""
_TOKEN_LENGTH = 668
"""Of a task token, in recordings of 2023 and 2025; the API allows 2,048."""
EXECUTION_NAME = re.compile(r"[0-9A-Za-z._@+!='()-]{1,80}")

running: ContextVar[Any] = ContextVar("running", default=None)
"""The execution (of moto) on whose behalf a task of the interpreter works."""


class TaskToken:
    """A task token that was handed out, and what was said with it."""

    def __init__(self, execution: Any) -> None:
        self.execution = execution
        self.outcome: Any = None
        self.closed = False
        self.beats = 0
        self.waiters: list[Waiter] = []

    def answer(self, outcome: CallbackOutcome) -> None:
        """Keep the outcome for the task that waits, or will wait, for it."""
        self.outcome = outcome
        self.closed = True
        wake_all(self.waiters)

    def beat(self) -> None:
        """Begin a new heartbeat period."""
        self.beats += 1
        wake_all(self.waiters)


class Executions:
    """What the repairs share: the clock, the tokens, the tasks of each execution, and who hears of changes.

    `on_status(execution)` is called on every change of status, `on_entered(execution, state)` on every state.
    `enter(execution)` sets the context variables of a new execution's first task. `loses_cancellation(arn)` says of a
    child whose parent is over whether it runs on nevertheless.
    """

    def __init__(
        self,
        clock: VirtualClock,
        chance: random.Random,
        make_uuid: Callable[[], str],
        on_status: Callable[[Any], None],
        on_entered: Callable[[Any, str], None],
        enter: Callable[[Any], None],
        loses_cancellation: Callable[[str], bool],
    ) -> None:
        self.clock = clock
        self.chance = chance
        self.make_uuid = make_uuid
        self.on_status = on_status
        self.on_entered = on_entered
        self.enter = enter
        self.loses_cancellation = loses_cancellation
        self.tokens: dict[str, TaskToken] = {}
        self.by_arn: dict[str, Any] = {}
        """Every execution (of moto), children of a Distributed Map included."""
        self._watchers: dict[str, list[Callable[[], None]]] = {}

    def adopt(self, task: Task) -> None:
        """Note that a task belongs to the running execution, to end with it."""
        execution = running.get()
        if execution is not None:
            execution.tasks.append(task)

    def open_token(self, execution: Any) -> str:
        """Hand out a new token, as long as AWS's are."""
        text = f"AQCEAAAAKgAAAAMAAAAAAAAAA{self.make_uuid().replace('-', '')}".ljust(_TOKEN_LENGTH, "A")
        self.tokens[text] = TaskToken(execution)
        return text

    def token(self, text: str) -> TaskToken:
        """Return an open token; raises what AWS answers for one that is unknown or closed."""
        token = self.tokens.get(text)
        if token is None:
            raise service_error("stepfunctions", "InvalidToken", "Invalid Token: 'Invalid token'")
        if token.closed or token.execution.exec_status != ExecutionStatus.RUNNING:
            raise service_error(
                "stepfunctions", "TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'"
            )
        return token

    def token_of(self, env: Any) -> TaskToken:
        """Return the token of the task that is evaluated."""
        return self.tokens[env.states.context_object.context_object_data["Task"]["Token"]]

    def watch(self, execution: Any, action: Callable[[], None]) -> None:
        """Call `action` once when a running execution has ended."""
        self._watchers.setdefault(execution.exec_arn, []).append(action)

    def tell_end(self, execution: Any) -> None:
        """Tell everybody who watches an execution that it has ended."""
        for action in self._watchers.pop(execution.exec_arn, []):
            action()

    def cancel(self, child: Any, stop: Callable[[], None] | None = None) -> None:
        """Stop a child whose parent does not wait for it any more, by `stop` when given: soon, and best effort."""
        if child.exec_status != ExecutionStatus.RUNNING or self.loses_cancellation(child.exec_arn):
            return

        def abort() -> None:
            self.finish(child, ExecutionStatus.ABORTED, None, None)

        self.clock.call_later(self.chance.uniform(*CANCELLATION_SECONDS), stop or abort)

    def finish(self, execution: Any, status: ExecutionStatus, error: str | None, cause: str | None) -> None:
        """End a running execution from outside, at once."""
        if execution.exec_status != ExecutionStatus.RUNNING:
            return
        env = execution.exec_worker.env
        execution.exec_status, execution.error, execution.cause = status, error, cause
        execution.stop_date = self.clock.now()
        if status == ExecutionStatus.TIMED_OUT:
            env.set_timed_out()
            kind, name = HistoryEventType.ExecutionTimedOut, "executionTimedOutEventDetails"
        elif status == ExecutionStatus.ABORTED:
            env.set_stop(stop_date=execution.stop_date, cause=cause, error=error)
            kind, name = HistoryEventType.ExecutionAborted, "executionAbortedEventDetails"
        else:
            env.set_error({"error": error, "cause": cause})
            kind, name = HistoryEventType.ExecutionFailed, "executionFailedEventDetails"
        details = {key: value for key, value in (("error", error), ("cause", cause)) if value is not None}
        env.event_history_context.source_event_id = 0
        env.event_manager.add_event(env.event_history_context, kind, EventDetails(**{name: details}))
        tasks, execution.tasks = execution.tasks, []
        current = self.clock.current_task()
        for task in tasks:
            if task is not current:
                task.kill()
        self.on_status(execution)
        self.tell_end(execution)
        if current in tasks:
            raise GreenletExit


def run_on_clock(patches: Patches, executions: Executions) -> None:
    """moto's interpreter runs on OS threads and real time; here its threads are tasks of the virtual clock."""
    threads = CooperativeThreading(executions.clock, executions.adopt)
    clocked_time = types.SimpleNamespace(**{name: value for name, value in vars(time).items() if name[0] != "_"})
    clocked_time.sleep = executions.clock.sleep
    clocked_time.time = executions.clock.time
    for name, module in list(sys.modules.items()):
        if not name.startswith("moto.stepfunctions") or module is None:
            continue
        for attribute, substitute in (("threading", threads), ("time", clocked_time)):
            if isinstance(getattr(module, attribute, None), types.ModuleType):
                patches.replace(module, attribute, substitute)
        for attribute in ("Thread", "Event", "Lock", "RLock", "Condition"):
            value = getattr(module, attribute, None)
            if value is not None and getattr(value, "__module__", "") in ("threading", "_thread"):
                patches.replace(module, attribute, getattr(threads, attribute))
        if hasattr(module, "TMP_THREADS"):
            patches.replace(module, "TMP_THREADS", _Sink())


class _Sink(list[Any]):
    """A list that forgets; moto would keep every finished thread for ever."""

    def append(self, item: Any) -> None:
        pass


def repair_identifiers(patches: Patches, executions: Executions) -> None:
    """moto draws the identifiers of the interpreter from the system, so that no two runs are alike."""
    patches.replace(utils, "uuid4", executions.make_uuid)
    # These only tell the parts of a definition apart, which outlives the account.
    patches.replace(eval_component, "long_uid", lambda: str(next(_part_numbers)))


_part_numbers = itertools.count()


def repair_parsing(patches: Patches) -> None:
    """moto parses a definition again for every execution, which takes longer than to run it, and refuses an integer as
    ToleratedFailurePercentage.
    """
    patches.replace(AmazonStateLanguageParser, "parse", staticmethod(_parse))
    patches.replace(result_path, "parse", _parse_path)


_parse_path = lru_cache(maxsize=256)(result_path.parse)
_parse_definition = AmazonStateLanguageParser.parse


@lru_cache(maxsize=256)
def _parse(definition: str) -> Any:
    # moto's grammar only takes a percentage with a fraction.
    return _parse_definition(re.sub(r'("ToleratedFailurePercentage"\s*:\s*\d+)(?=\s*[,}])', r"\1.0", definition))


def repair_strings(patches: Patches) -> None:
    """moto keeps JSON's escapes in names and in strings that are assigned, and reads others as if Python had written
    them (AWS: the text; LocalStack's recording of 2025-02-02).
    """

    inner = Preprocessor._inner_string_of
    # Those who parse these read the escapes themselves.
    paths = (ASLParser.String_jsonpathContext, ASLParser.String_context_pathContext)

    def read(parser_rule_context: Any) -> Any:
        text = parser_rule_context.getText()
        is_string = text.startswith('"') and not isinstance(parser_rule_context, paths)
        return json.loads(text) if is_string else inner(parser_rule_context)

    patches.replace(Preprocessor, "_inner_string_of", staticmethod(read))
    patches.replace(preprocessor, "from_string_literal", read)


def repair_start(patches: Patches, executions: Executions) -> None:
    """moto calls an execution without a name "None", takes any name and an input of any size, and gives
    $states.context.Execution a StartTime that is a datetime and no RedriveCount (AWS: 0 from the start, LocalStack's
    recordings of 2026-02-19).
    """

    def start(
        original: Callable[..., Any],
        self: Any,
        state_machine_arn: str,
        name: str | None = None,
        execution_input: str = "{}",
        *arguments: Any,
        **keywords: Any,
    ) -> Any:
        name = name or executions.make_uuid()
        if not EXECUTION_NAME.fullmatch(name):
            raise service_error("stepfunctions", "InvalidName", f"Invalid Name: '{name}'")
        if len(execution_input.encode()) > LARGEST_DATA:
            text = f"Invalid Execution Input: larger than {LARGEST_DATA} bytes"
            raise service_error("stepfunctions", "InvalidExecutionInput", text)
        return original(self, state_machine_arn, name, execution_input, *arguments, **keywords)

    def environment(original: Callable[..., Any], self: Any) -> Any:
        env = original(self)
        context = env.states.context_object.context_object_data["Execution"]
        context["StartTime"] = timestamp(context["StartTime"])
        context["RedriveCount"] = 0
        return env

    patches.wrap(StepFunctionsParserBackend, "start_execution", start)
    patches.wrap(ExecutionWorker, "_get_evaluation_environment", environment)


def timestamp(instant: datetime) -> str:
    """Return an instant as AWS prints it: UTC, and no fraction of a second where there is none.

    https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html
    """
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z").replace(".000Z", "Z")


def repair_life_cycle(patches: Patches, executions: Executions) -> None:
    """moto lets a stopped or timed-out execution run on until its current wait is over, loses the error and the
    cause of StopExecution, tells nobody of a change of status, and has no limit of history events.
    """

    def start(self: Any) -> None:
        execution = self._execution_communication.execution
        execution.transitions = 0
        self.env = self._get_evaluation_environment()

        def enter(program: Any) -> None:
            self.env.next_state_name = program.start_at.start_at_name
            _record_start(self)

        begin(executions, self, enter)

    def terminate(original: Callable[..., None], self: Any) -> None:
        original(self)
        self.execution.tasks = []
        executions.on_status(self.execution)
        executions.tell_end(self.execution)

    def stop(self: Any, execution_arn: str, error: str | None = None, cause: str | None = None) -> Any:
        execution = self.describe_execution(execution_arn)
        executions.finish(execution, ExecutionStatus.ABORTED, error, cause)
        return execution

    def respond(self: Any) -> ActionResult:
        execution = self.stepfunction_backend.stop_execution(
            self._get_param("executionArn"), self._get_param("error"), self._get_param("cause")
        )
        return ActionResult({"stopDate": execution.stop_date})

    def publish(original: Callable[..., None], self: Any, **keywords: Any) -> None:
        original(self, **keywords)
        execution = running.get()
        if execution is None or execution.exec_status != ExecutionStatus.RUNNING:
            return
        kind = str(keywords["event_type"].value)
        if kind.endswith("StateEntered"):
            execution.transitions += 1
            executions.on_entered(execution, keywords["event_details"]["stateEnteredEventDetails"]["name"])
        if len(self._history_event_list) >= HISTORY_LIMIT - 1 and not kind.startswith("Execution"):
            cause = f"The execution reached the maximum number of history events ({HISTORY_LIMIT})."
            executions.finish(execution, ExecutionStatus.FAILED, "States.Runtime", cause)

    patches.replace(ExecutionWorker, "start", start)
    patches.wrap(BaseExecutionWorkerCommunication, "terminated", terminate)
    patches.replace(StepFunctionsParserBackend, "stop_execution", stop)
    patches.replace(StepFunctionResponse, "stop_execution", respond)
    patches.wrap(EventManager, "_publish_history_event", publish)


def begin(executions: Executions, worker: Any, enter: Callable[[Any], None]) -> None:
    """Let a worker evaluate its program in its environment; `enter(program)` says where it begins."""
    execution = worker._execution_communication.execution
    execution.tasks = []
    execution.exec_status = ExecutionStatus.RUNNING
    executions.by_arn[execution.exec_arn] = execution

    def run() -> None:
        running.set(execution)
        executions.enter(execution)
        program = worker._get_evaluation_entrypoint()
        enter(program)
        timer = None
        if program.timeout_seconds is not None:
            timer = executions.clock.call_later(
                program.timeout_seconds.timeout_seconds,
                lambda: executions.finish(execution, ExecutionStatus.TIMED_OUT, None, None),
            )
        try:
            EvalComponent.eval(program, worker.env)
        finally:
            if timer is not None:
                timer.cancel()
        worker._execution_communication.terminated()

    execution.tasks.append(executions.clock.spawn(run, execution.name, Context()))
    executions.on_status(execution)


def _record_start(worker: Any) -> None:
    details = worker._evaluation_details
    worker.env.event_manager.add_event(
        context=worker.env.event_history_context,
        event_type=HistoryEventType.ExecutionStarted,
        event_details=EventDetails(
            executionStartedEventDetails={
                "input": json.dumps(details.execution_details.inpt),
                "inputDetails": {"truncated": False},
                "roleArn": details.aws_execution_details.role_arn,
            }
        ),
        update_source_event_id=False,
    )


def repair_descriptions(patches: Patches, executions: Executions) -> None:
    """moto leaves the stop date of a timed-out execution, quotation marks of a string output and the redrive fields
    out of DescribeExecution, goes through all executions for it, does not find the children of a Distributed Map, and
    takes what is no ARN for one of something that does not exist (LocalStack's recordings of 2024-03-08).
    """

    def describe(self: Any) -> ActionResult:
        execution: Execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        answer = execution.to_describe_output()
        status = execution.exec_status
        redrivable = status not in (ExecutionStatus.RUNNING, ExecutionStatus.SUCCEEDED)
        answer.update(
            input=execution.execution_input,
            status=execution.status,
            redriveCount=getattr(execution, "redrive_count", 0),
            redriveDate=getattr(execution, "redrive_date", None),
            redriveStatus="REDRIVABLE" if redrivable else "NOT_REDRIVABLE",
            redriveStatusReason=None if redrivable else f"Execution is {execution.status} and cannot be redriven",
            mapRunArn=getattr(execution, "map_run_arn", None),
        )
        return ActionResult({name: value for name, value in answer.items() if value is not None})

    def find(original: Callable[..., Any], self: Any, execution_arn: str) -> Any:
        return executions.by_arn.get(execution_arn) or original(self, execution_arn)

    def check_arn(original: Callable[..., None], self: Any, arn: str, *arguments: Any, **keywords: Any) -> None:
        if not arn.startswith("arn:"):
            raise service_error("stepfunctions", "InvalidArn", f"Invalid Arn: 'Invalid ARN prefix: {arn}'")
        original(self, arn, *arguments, **keywords)

    patches.replace(StepFunctionResponse, "describe_execution", describe)
    patches.wrap(StepFunctionsParserBackend, "describe_execution", find)
    patches.wrap(StepFunctionsParserBackend, "_validate_arn", check_arn)


def delay_lists(patches: Patches, executions: Executions, seconds: float) -> None:
    """moto lists executions as they are; AWS's list "may not reflect very recent updates and changes", and shows a
    hundred a page, or as many as are asked for:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_ListExecutions.html
    """

    def answer(self: Any) -> ActionResult:
        machine = self.stepfunction_backend.describe_state_machine(self._get_param("stateMachineArn"))
        then, wanted = executions.clock.now() - timedelta(seconds=seconds), self._get_param("statusFilter")
        found = []
        for execution in reversed(machine.executions):
            stopped = execution.stop_date if execution.status != "RUNNING" else None
            is_over = stopped is not None and stopped <= then
            status = execution.status if is_over else "RUNNING"
            if execution.start_date <= then and wanted in (None, status):
                listed = {"executionArn": execution.execution_arn, "stateMachineArn": machine.arn, "status": status}
                listed |= {"name": execution.name, "startDate": execution.start_date}
                found.append({**listed, **({"stopDate": stopped} if is_over else {})})
        start = int(self._get_param("nextToken") or 0)
        end = start + (self._get_int_param("maxResults") or LIST_PAGE)
        return ActionResult({"executions": found[start:end], "nextToken": str(end) if end < len(found) else None})

    patches.replace(StepFunctionResponse, "list_executions", answer)


def repair_history(patches: Patches) -> None:
    """moto gives the whole history, whatever is asked for: AWS a hundred events a page, or as many as are asked for,
    and the last first on request (LocalStack's recording of 2024-01-28).

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_GetExecutionHistory.html
    """

    def answer(self: Any) -> ActionResult:
        history = self.stepfunction_backend.get_execution_history(self._get_param("executionArn"))
        events = list(history["events"])
        if self._get_param("reverseOrder"):
            events.reverse()
        start = int(self._get_param("nextToken") or 0)
        end = start + (self._get_int_param("maxResults") or HISTORY_PAGE)
        return ActionResult({"events": events[start:end], "nextToken": str(end) if end < len(events) else None})

    patches.replace(StepFunctionResponse, "get_execution_history", answer)


def repair_state_context(patches: Patches) -> None:
    """moto prints $states.context.State.EnteredTime with an offset instead of Z."""

    def evaluate(original: Callable[..., None], self: Any, env: Any) -> None:
        context = env.states.context_object.context_object_data
        if isinstance(context.get("State"), dict):
            context["State"]["EnteredTime"] = timestamp(datetime.now(UTC))
        original(self, env)

    patches.wrap(CommonStateField, "_eval_state_input", evaluate)


def repair_task_time(patches: Patches, executions: Executions) -> None:
    """moto leaves the thread of a timed-out task running, gives a task with a heartbeat and no timeout 60 seconds,
    and uses one task token for all attempts of a state.
    """

    def read(original: Callable[..., None], self: Any, properties: Any) -> None:
        original(self, properties)
        if properties.get(Timeout) is None:
            self.timeout = TimeoutSeconds(timeout_seconds=TimeoutSeconds.DEFAULT_TIMEOUT_SECONDS, is_default=True)

    def evaluate(self: Any, env: Any) -> None:
        self.timeout.eval(env=env)
        seconds = env.stack.pop()
        if _has_token(self):
            token = executions.open_token(running.get())
            env.states.context_object.context_object_data["Task"] = {"Token": token}
        frame = env.open_frame()
        frame.states.reset(input_value=env.states.get_input())
        frame.stack = copy.deepcopy(env.stack)
        task = executions.clock.current_task()
        assert task is not None
        late = EvalTimeoutError()
        timer = executions.clock.call_later(seconds, lambda: task.interrupt(late))
        try:
            self._eval_execution(frame)
        finally:
            timer.cancel()
            frame.set_ended()
            env.close_frame(frame)
            if _has_token(self):
                executions.tokens[token].closed = True
        output = frame.stack.pop()
        env.stack.append(output)
        if not self._is_language_query_jsonpath():
            env.states.set_result(output)
        for part in (self.assign_decl, self.result_selector, self.result_path):
            if part:
                part.eval(env=env)
        if not self.result_path:
            env.states.reset(input_value=env.stack.pop())

    def retry(original: Callable[..., Any], self: Any, env: Any, failure_event: Any) -> Any:
        outcome = original(self, env, failure_event)
        if outcome == RetryOutcome.CanRetry:
            running.get().transitions += 1
        return outcome

    patches.wrap(ExecutionState, "from_state_props", read)
    patches.replace(ExecutionState, "_evaluate_with_timeout", evaluate)
    patches.wrap(ExecutionState, "_handle_retry", retry)


def _has_token(state: Any) -> bool:
    """Whether a state waits for something that a token may answer: that it is told so, or the end of an execution."""
    return isinstance(state, StateTaskServiceCallback) and state.resource.condition is not None


def read_outcome(token: TaskToken) -> Any:
    """Return what a token was answered with; raises what fails the task."""
    if isinstance(token.outcome, CallbackOutcomeFailure):
        raise CallbackOutcomeFailureError(callback_outcome_failure=token.outcome)
    return json.loads(token.outcome.output)


def repair_task_tokens(patches: Patches, executions: Executions) -> None:
    """moto misses a token that is answered before the task begins to wait, loses the cause of SendTaskFailure, and has
    other answers than AWS for a token that is closed.
    """

    def wait(original: Callable[..., None], self: Any, env: Any, *arguments: Any, **keywords: Any) -> None:
        if self.resource.condition != ResourceCondition.WaitForTaskToken:
            return original(self, env, *arguments, **keywords)
        env.stack.pop()
        token = executions.token_of(env)
        heartbeat = None
        if self.heartbeat:
            self.heartbeat.eval(env=env)
            heartbeat = env.stack.pop()
        while token.outcome is None:
            beats = token.beats
            if not executions.clock.wait(token.waiters, heartbeat) and token.beats == beats:
                raise HeartbeatTimeoutError
        env.stack.append(read_outcome(token))
        return None

    def send_success(self: Any) -> EmptyResult:
        output = self._get_param("output")
        if len(output.encode()) > LARGEST_DATA:
            text = f"Invalid Output: larger than {LARGEST_DATA} bytes"
            raise service_error("stepfunctions", "InvalidOutput", text)
        try:
            json.loads(output)
        except ValueError as error:
            raise service_error("stepfunctions", "InvalidOutput", f"Invalid Output: '{error}'") from error
        text = self._get_param("taskToken")
        executions.token(text).answer(CallbackOutcomeSuccess(text, output))
        return EmptyResult()

    def send_failure(self: Any) -> EmptyResult:
        text = self._get_param("taskToken")
        token = executions.token(text)
        token.answer(CallbackOutcomeFailure(text, self._get_param("error"), self._get_param("cause")))
        return EmptyResult()

    def send_heartbeat(self: Any) -> EmptyResult:
        executions.token(self._get_param("taskToken")).beat()
        return EmptyResult()

    patches.wrap(StateTaskServiceCallback, "_eval_integration_pattern", wait)
    patches.replace(StepFunctionResponse, "send_task_success", send_success)
    patches.replace(StepFunctionResponse, "send_task_failure", send_failure)
    patches.replace(StepFunctionResponse, "send_task_heartbeat", send_heartbeat)


def repair_error_names(patches: Patches) -> None:
    """moto breaks off when a Fail state, a function, SendTaskFailure, an item or a branch reports an error that begins
    with "States." (LocalStack's recording of 2024-03-10 has States.Timeout for an item that timed out).
    """

    class AnyErrorName(CustomErrorName):
        def __init__(self, error_name: str | None) -> None:
            self.error_name = error_name

    functions = (state_task_lambda, state_task_service_lambda)
    for module in (state_fail, state_task_service_callback, *functions, iteration_worker, branches_decl):
        patches.replace(module, "CustomErrorName", AnyErrorName)


def repair_jitter(patches: Patches, executions: Executions) -> None:
    """moto draws the jitter of a retry from a source that no seed reaches."""
    patches.replace(jitter_strategy_decl, "random", executions.chance)


def repair_assigned_variables(patches: Patches) -> None:
    """moto writes the assigned variables into the history in the order of a set, strings unescaped."""

    def get(self: Any) -> dict[str, str]:
        return {name: json.dumps(self.get(name), separators=(",", ":")) for name in sorted(self._declaration_tracing)}

    patches.replace(VariableStore, "get_assigned_variables", get)


def execution_backend(account_id: str, region: str) -> Any:
    """Return the backend whose state machines execute."""
    return models.stepfunctions_parser_backends[account_id][region]
