"""Behaviour as the documentation has it, where recordings have another. Each stands behind a knob of the account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.stepfunctions.parser.api import HistoryEventType, TaskTimedOutEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.eval.callback.callback import HeartbeatTimeoutError
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails

from rehearsal.engine.repairs.patches import Patches


def name_missed_heartbeats(patches: Patches) -> None:
    """moto calls a missed heartbeat States.Timeout, as AWS did (LocalStack's recordings of 2024-04-18); the
    documentation calls it States.HeartbeatTimeout.

    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """

    def name_error(original: Callable[..., Any], self: Any, env: Any, ex: Exception) -> Any:
        if not isinstance(ex, HeartbeatTimeoutError):
            return original(self, env, ex)
        name = StatesErrorName(typ=StatesErrorNameType.StatesHeartbeatTimeout)
        return FailureEvent(
            env=env,
            error_name=name,
            event_type=HistoryEventType.TaskTimedOut,
            event_details=EventDetails(
                taskTimedOutEventDetails=TaskTimedOutEventDetails(
                    resourceType=self._get_sfn_resource_type(),
                    resource=self._get_sfn_resource(),
                    error=name.error_name,
                )
            ),
        )

    patches.wrap(StateTaskServiceCallback, "_from_error", name_error)


def except_data_limits(patches: Patches) -> None:
    """moto lets States.ALL stand for States.DataLimitExceeded, as AWS did for the results of functions (LocalStack's
    recordings of 2024-03-21); by the documentation it has to be named.

    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """

    def match(original: Callable[..., None], self: Any, env: Any) -> None:
        error_name = env.stack[-1]
        original(self, env)
        if error_name == _DATA_LIMIT_EXCEEDED and _ALL in self.error_names:
            env.stack[-1] = False

    patches.wrap(ErrorEqualsDecl, "_eval_body", match)


_ALL = StatesErrorName(typ=StatesErrorNameType.StatesALL)
_DATA_LIMIT_EXCEEDED = StatesErrorName(typ=StatesErrorNameType.StatesStatesDataLimitExceeded)
