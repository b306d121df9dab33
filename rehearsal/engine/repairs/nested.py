"""Executions that start others: `states:startExecution`, alone or with the wait for their end (`.sync`, `.sync:2`).

https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from botocore.exceptions import ClientError
from greenlet import GreenletExit
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import EvalTimeoutError
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (
    StateTaskServiceSfn,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails

from rehearsal.engine.calls import CallLog, current_caller, make_client
from rehearsal.engine.clock import wake_all
from rehearsal.engine.direct_calls import call_directly
from rehearsal.engine.repairs.executions import Executions, read_outcome, running
from rehearsal.engine.repairs.patches import Patches

_WAITING = (ResourceCondition.Sync, ResourceCondition.Sync2)
_INTERRUPTIONS = (GreenletExit, EvalTimeoutError)
"""How a state ends that did not come to its end: its execution is over, or its time."""


def repair_nested_executions(patches: Patches, executions: Executions, calls: CallLog) -> None:
    """moto neither writes the parameters and answers of StartExecution as an integration does nor waits on the virtual
    clock, polls, leaves the child running when its parent is stopped, and knows no task token here (AWS: whoever has it
    may answer the task, LocalStack's recording of 2024-07-12).
    """

    def call(operation: str, parameters: dict[str, Any], act: Callable[[], Any] | None = None) -> Any:
        client = make_client("stepfunctions")
        return calls.perform(
            "stepfunctions", operation, parameters, act or (lambda: call_directly(client, operation, parameters))
        )

    def start(self: Any, env: Any, normalised_parameters: dict[str, Any], **others: Any) -> None:
        started: list[Any] = []
        parent = running.get()

        def act() -> Any:
            answer = call_directly(make_client("stepfunctions"), "StartExecution", normalised_parameters)
            child = executions.by_arn[answer["executionArn"]]
            if not hasattr(child, "parent_arn"):
                child.parent_arn = parent.exec_arn
            started.append(child)
            return answer

        try:
            answer = call("StartExecution", normalised_parameters, act)
        except _INTERRUPTIONS:
            if started and self.resource.condition in _WAITING:
                cancel(started[0])
            raise
        env.stack.append(_print(answer))

    def wait(self: Any, env: Any, *arguments: Any, **keywords: Any) -> None:
        condition = self.resource.condition
        if condition not in _WAITING:
            StateTaskServiceCallback._eval_integration_pattern(self, env, *arguments, **keywords)
            return
        arn = env.stack.pop()["ExecutionArn"]
        child, token = executions.by_arn[arn], executions.token_of(env)
        try:
            while child.exec_status == ExecutionStatus.RUNNING and token.outcome is None:
                executions.watch(child, partial(wake_all, token.waiters))
                executions.clock.wait(token.waiters)
            if token.outcome is not None:
                env.stack.append(read_outcome(token))
                return
            described = _print(call("DescribeExecution", {"executionArn": arn}))
        except _INTERRUPTIONS:
            cancel(child)
            raise
        if described["Status"] != "SUCCEEDED":
            # Input stays a string here, whatever the pattern.
            cause = json.dumps(described, separators=(",", ":"))
            raise _task_failure(self, env, cause)
        if condition == ResourceCondition.Sync2:
            described.update({name: json.loads(described[name]) for name in ("Input", "Output")})
        env.stack.append(described)

    def cancel(child: Any) -> None:
        caller = current_caller.get()

        def stop() -> None:
            current_caller.set(caller)
            # Best effort: the child runs on when the role may not stop it.
            with suppress(ClientError):
                call(
                    "StopExecution",
                    {"executionArn": child.exec_arn},
                    lambda: executions.finish(child, ExecutionStatus.ABORTED, None, None),
                )

        executions.cancel(child, stop)

    def write_parameters(self: Any, parameters: dict[str, Any], *arguments: Any, **keywords: Any) -> None:
        given = {name[0].lower() + name[1:]: value for name, value in parameters.items()}
        # No input, and one that is null, is an empty object (LocalStack's recordings of 2023-08-12).
        value = {} if given.get("input") is None else given["input"]
        given["input"] = value if _is_json(value) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        parameters.clear()
        parameters.update(given)

    def name_error(original: Callable[..., Any], self: Any, env: Any, ex: Exception) -> Any:
        return original(self, env, _write_out(ex) if isinstance(ex, ClientError) else ex)

    patches.replace(StateTaskServiceSfn, "_eval_service_task", start)
    patches.replace(StateTaskServiceSfn, "_eval_integration_pattern", wait)
    patches.replace(StateTaskServiceSfn, "_normalise_parameters", write_parameters)
    patches.wrap(StateTaskServiceSfn, "_from_error", name_error)


def _write_out(error: ClientError) -> ClientError:
    """Return an error with all that the interpreter reads of it, which adds "Exception" to every code."""
    about: Any = {"HTTPStatusCode": 400, "RequestId": ""} | dict(error.response.get("ResponseMetadata", {}))
    code, text = error.response["Error"]["Code"], error.response["Error"]["Message"]
    refused: Any = {"Error": {"Code": code.removesuffix("Exception"), "Message": text}, "ResponseMetadata": about}
    return ClientError(refused, error.operation_name)


def _is_json(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        json.loads(value)
    except ValueError:
        return False
    return True


def _print(value: Any) -> Any:
    """Return an answer as an integration gives it: names with a capital letter, sorted, times in milliseconds."""
    if isinstance(value, dict):
        printed = {
            name[0].upper() + name[1:]: _print(item) for name, item in value.items() if name != "ResponseMetadata"
        }
        return dict(sorted(printed.items()))
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else value


def _task_failure(state: Any, env: Any, cause: str) -> FailureEventException:
    name = StatesErrorName(typ=StatesErrorNameType.StatesTaskFailed)
    return FailureEventException(
        FailureEvent(
            env=env,
            error_name=name,
            event_type=HistoryEventType.TaskFailed,
            event_details=EventDetails(
                taskFailedEventDetails=TaskFailedEventDetails(
                    resource=state._get_sfn_resource(),
                    resourceType=state._get_sfn_resource_type(),
                    error=name.error_name,
                    cause=cause,
                )
            ),
        )
    )
