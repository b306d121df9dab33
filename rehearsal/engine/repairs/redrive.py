"""RedriveExecution, which moto does not have: an execution goes on from the state that did not succeed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from moto.core.responses import ActionResult
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.responses import StepFunctionResponse

from rehearsal.engine.repairs.errors import service_error
from rehearsal.engine.repairs.executions import Executions, begin, running, timestamp
from rehearsal.engine.repairs.patches import Patches

_REDRIVABLE = (ExecutionStatus.FAILED, ExecutionStatus.ABORTED, ExecutionStatus.TIMED_OUT)


@dataclass(frozen=True)
class Entry:
    """The state that an execution entered last, and all that it had by then."""

    state: str
    input: Any
    variables: Mapping[str, Any]


def repair_redrive(patches: Patches, executions: Executions) -> None:
    """moto has no RedriveExecution. Time-out, retries and heartbeats of the execution begin anew."""

    def enter(original: Callable[..., None], self: Any, env: Any) -> None:
        execution = running.get()
        if execution is not None and env is execution.exec_worker.env:
            # A variable is assigned anew, never changed.
            variables = dict(env.variable_store._inner_scope)
            execution.entry = Entry(self.name, env.states.get_input(), variables)
        original(self, env)

    def respond(self: Any) -> ActionResult:
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        if hasattr(execution, "map_run_arn"):
            text = f"Execution '{execution.exec_arn}' is redriven with the execution that started it."
            raise service_error("stepfunctions", "ExecutionNotRedrivable", text)
        if execution.exec_status not in _REDRIVABLE:
            text = f"Execution '{execution.exec_arn}' is {execution.exec_status.value} and cannot be redriven."
            raise service_error("stepfunctions", "ExecutionNotRedrivable", text)
        redrive(executions, execution)
        return ActionResult({"redriveDate": execution.redrive_date})

    patches.wrap(CommonStateField, "_eval_body", enter)
    patches.replace(StepFunctionResponse, "redrive_execution", respond)


def redrive(executions: Executions, execution: Any) -> None:
    """Let an execution that ended badly go on from the state that it was in."""
    execution.redrive_count = getattr(execution, "redrive_count", 0) + 1
    execution.redrive_date = executions.clock.now()
    execution.stop_date = execution.error = execution.cause = execution.output = None
    execution.transitions += 1
    worker, entry = execution.exec_worker, execution.entry
    history = worker.env.event_manager
    worker.env = env = worker._get_evaluation_environment()
    env.event_manager = history
    env.variable_store._inner_scope.update(entry.variables)
    env.states.reset(entry.input)
    env.states.context_object.context_object_data["Execution"].update(
        RedriveCount=execution.redrive_count, RedriveTime=timestamp(execution.redrive_date)
    )

    def enter(program: Any) -> None:
        env.next_state_name = execution.resumed_state = entry.state
        history.add_event(
            context=env.event_history_context,
            event_type=HistoryEventType.ExecutionRedriven,
            event_details=EventDetails(executionRedrivenEventDetails={"redriveCount": execution.redrive_count}),
        )

    begin(executions, worker, enter)
