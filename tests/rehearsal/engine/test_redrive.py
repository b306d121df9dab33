"""An execution that is redriven goes on where it stopped, with all that it knew."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.stepfunctions.responses import StepFunctionResponse

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.deployment import Stack

MOTO_REDRIVES = hasattr(StepFunctionResponse, "redrive_execution")
"""Read before any account is opened."""


def test_moto_still_has_no_redrive() -> None:
    assert not MOTO_REDRIVES


def status_events(engine: EmbeddedAccount, arn: str) -> list[dict[str, Any]]:
    return [
        event["detail"]
        for event in engine.bus.events
        if event["detail-type"] == "Step Functions Execution Status Change" and event["resources"] == [arn]
    ]


def redrive(engine: EmbeddedAccount, arn: str) -> None:
    engine.client("stepfunctions").redrive_execution(executionArn=arn)


def test_a_redriven_execution_goes_on_in_the_state_that_did_not_succeed(
    engine: EmbeddedAccount, engine_stack: Stack
) -> None:
    until = (engine.clock.now() + timedelta(minutes=10)).isoformat()
    arn = engine.start_execution("Machine", {"op": "echo", "until": until})
    engine.clock.call_later(60, lambda: engine.stop_execution(arn, "Stopped", "by somebody"))
    engine.run_until_quiet()

    redrive(engine, arn)
    described = engine.client("stepfunctions").describe_execution(executionArn=arn)
    engine.run_until_quiet()

    view = engine.execution(arn)
    assert (described["status"], described["redriveCount"]) == ("RUNNING", 1)
    assert "stopDate" not in described and "error" not in described
    assert (view.status, view.error) == ("SUCCEEDED", None)
    assert view.output["echoed"]["op"] == "echo"
    assert [event["type"] for event in view.events if event["type"].startswith("Execution")] == [
        "ExecutionStarted",
        "ExecutionAborted",
        "ExecutionRedriven",
        "ExecutionSucceeded",
    ]
    entered = [
        event["stateEnteredEventDetails"]["name"] for event in view.events if "stateEnteredEventDetails" in event
    ]
    assert entered == ["Remember", "Echo", "Work?", "Wait", "Wait", "Done"]
    assert [(event["status"], event["redriveCount"]) for event in status_events(engine, arn)] == [
        ("RUNNING", 0),
        ("ABORTED", 0),
        ("RUNNING", 1),
        ("SUCCEEDED", 1),
    ]


def test_a_redrive_tries_a_failed_state_anew_with_a_new_token(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    arn = engine.start_execution("Machine", {"op": "echo", "work": "later"})
    engine.clock.call_later(60, lambda: engine.stop_execution(arn))
    engine.run_until_quiet()
    client, table = engine.client("stepfunctions"), engine.client("dynamodb")

    def token() -> str:
        item = table.get_item(TableName="drydock-State", Key={"pk": {"S": "token 0"}})["Item"]
        return str(item["token"]["S"])

    before = token()
    redrive(engine, arn)
    engine.clock.call_later(10, lambda: client.send_task_success(taskToken=token(), output='{"done": 2}'))
    engine.run_until_quiet()

    assert token() != before
    with pytest.raises(ClientError, match="TaskTimedOut"):
        client.send_task_success(taskToken=before, output="{}")
    assert engine.execution(arn).output["answer"] == {"done": 2}


def test_only_an_execution_that_ended_badly_can_be_redriven(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    arn = engine.start_execution("Machine", {"op": "echo"})
    engine.run_until_quiet()

    with pytest.raises(ClientError, match="ExecutionNotRedrivable"):
        redrive(engine, arn)
