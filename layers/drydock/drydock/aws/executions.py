"""The calls to Step Functions and Lambda, and the answers to task tokens."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from drydock.aws.calls import call, client, look_at_once, pages
from drydock.errors import AwsCallFailedError, DrydockError
from drydock.log import log_failure, logger
from drydock.times import TimeBudget

OPEN = ("RUNNING", "PENDING_REDRIVE")
"""The states of an execution that goes on, or will."""

_GONE = ("ExecutionDoesNotExist", "StateMachineDoesNotExist")
_CLOSED_TASK = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")
_MOST_CAUSE = 32_000
_HANDED_TOGETHER = 40


class Executions:
    """Step Functions' executions, and the task tokens with which they wait."""

    def __init__(self) -> None:
        self._client = client("stepfunctions")

    def find(self, execution: str) -> Mapping[str, Any] | None:
        """An execution as it is; None when Step Functions does not know it, or its state machine (any more)."""
        try:
            found: Mapping[str, Any] = call(self._client.describe_execution, *_GONE, executionArn=execution)
        except ClientError:
            return None
        return found

    def is_running(self, execution: str) -> bool:
        """Whether an execution goes on, or will. False when Step Functions does not know it (any more)."""
        found = self.find(execution)
        return found is not None and found["status"] in OPEN

    def stop(self, execution: str, error: str, cause: str) -> None:
        """Stop an execution. One that is over already is fine."""
        try:
            call(self._client.stop_execution, *_GONE, executionArn=execution, error=error, cause=cause)
        except ClientError:
            return

    def running_beside(self, execution: str) -> set[str]:
        """All running executions of the same state machine, in a few calls however many they are."""
        machine = execution.rpartition(":")[0].replace(":execution:", ":stateMachine:")
        found = pages(
            self._client.list_executions,
            "StateMachineDoesNotExist",
            token="nextToken",
            stateMachineArn=machine,
            statusFilter="RUNNING",
            maxResults=1000,
        )
        try:
            return {one["executionArn"] for page in found for one in page["executions"]}
        except ClientError:
            # Nothing runs of a state machine that is gone.
            return set()

    def running_among(self, executions: Iterable[str]) -> set[str]:
        """All running executions of the state machines of these, in a few calls for each machine."""
        return {running for execution in _one_of_each_machine(executions) for running in self.running_beside(execution)}

    def believed_running(self, executions: Iterable[str]) -> set[str]:
        """As `running_among`, but what cannot be listed does not run as far as is known: each may be described."""
        running: set[str] = set()
        for execution in _one_of_each_machine(executions):
            try:
                running |= self.running_beside(execution)
            except AwsCallFailedError as error:
                logger.error("executions cannot be listed", execution=execution, reason=str(error))
        return running

    def answer(self, token: str, output: Mapping[str, Any]) -> bool:
        """Wake the execution that waits with this token. False for a token that is closed already, which is fine."""
        try:
            call(self._client.send_task_success, *_CLOSED_TASK, taskToken=token, output=json.dumps(output))
        except ClientError:
            return False
        return True

    def refuse(self, token: str, error: DrydockError) -> None:
        """Fail the state that waits with this token. A token that is closed already is fine."""
        try:
            call(
                self._client.send_task_failure,
                *_CLOSED_TASK,
                taskToken=token,
                error=type(error).__name__,
                cause=str(error)[:_MOST_CAUSE],
            )
        except ClientError:
            return
        log_failure(error)


def _one_of_each_machine(executions: Iterable[str]) -> Iterable[str]:
    return {execution.rpartition(":")[0]: execution for execution in executions}.values()


def hand_over(function: str, payloads: Sequence[Mapping[str, Any]], budget: TimeBudget) -> None:
    """Invoke a function asynchronously for each, as many as there is time for.

    They come in another order every time, so that whoever is left out once is not left out for ever.
    """
    left = list(payloads)
    # Chance that a test can repeat.
    random.Random(budget.began.timestamp()).shuffle(left)
    while left and not budget.is_spent:
        some, left = left[:_HANDED_TOGETHER], left[_HANDED_TOGETHER:]
        look_at_once(lambda payload: invoke_later(function, payload), some)
    if left:
        logger.info("left to the next pass", function=function, count=len(left))


def invoke_later(function: str, payload: Mapping[str, Any]) -> None:
    """Invoke a function asynchronously: Lambda retries it, and keeps what cannot be carried out."""
    call(
        client("lambda").invoke,
        FunctionName=function,
        InvocationType="Event",
        Payload=json.dumps(payload).encode(),
    )
