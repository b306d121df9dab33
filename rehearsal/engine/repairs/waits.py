"""Waits of state machines: on the virtual clock, until an instant as AWS takes it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEventException
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.timestamp import Timestamp
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction

from rehearsal.engine.definitions import is_timestamp
from rehearsal.engine.repairs.executions import Executions
from rehearsal.engine.repairs.jsonata import evaluation_failure
from rehearsal.engine.repairs.patches import Patches


def repair_waits(patches: Patches, executions: Executions) -> None:
    """moto compares the Timestamp of a Wait with local time, without its fraction, takes no offset but Z, and fails
    with States.Runtime where an expression returns none (AWS: States.QueryEvaluationError, LocalStack's recordings of
    2024-12-27).
    """

    def wait(self: Any, env: Any, wait_seconds: float) -> None:
        if wait_seconds > 0:
            executions.clock.sleep(wait_seconds)

    def parse(text: Any) -> datetime | None:
        return datetime.fromisoformat(text.replace("Z", "+00:00")) if is_timestamp(text) else None

    def seconds_left(self: Any, env: Any) -> float:
        self.string.eval(env=env)
        text = env.stack.pop()
        until = parse(text)
        if until is None and isinstance(self.string, StringJSONata):
            cause = "The Timestamp field cannot be parsed as an ISO-8601 extended offset date-time format string"
            raise evaluation_failure(env, f"{cause}: {text}", "Timestamp")
        if until is None:
            raise FailureEventException(self._create_failure_event(env, text))
        return until.timestamp() - executions.clock.time()

    patches.replace(WaitFunction, "_wait_interval", wait)
    patches.replace(Timestamp, "_from_timestamp_string", staticmethod(parse))
    patches.replace(Timestamp, "_get_wait_seconds", seconds_left)
