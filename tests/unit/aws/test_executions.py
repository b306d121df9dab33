"""Answers to task tokens, and what Step Functions says of executions."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from drydock.aws.executions import Executions, invoke_later
from drydock.errors import AwsCallFailedError, ImageFailedError, ServiceUnavailableError
from tests.unit.world import EXECUTION, OTHER_EXECUTION


def refusing(code: str) -> Callable[..., None]:
    def refuse(**request: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "said AWS"}}, "Call")

    return refuse


def answering(monkeypatch: pytest.MonkeyPatch, **calls: Any) -> Executions:
    monkeypatch.setattr("drydock.aws.executions.client", lambda service: SimpleNamespace(**calls))
    return Executions()


@pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
def test_a_token_that_is_closed_already_is_fine(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    executions = answering(monkeypatch, send_task_success=refusing(code), send_task_failure=refusing(code))

    executions.answer("token", {})
    executions.refuse("token", ImageFailedError("failed"))


@pytest.mark.parametrize(
    ("code", "error"), [("ThrottlingException", ServiceUnavailableError), ("AccessDeniedException", AwsCallFailedError)]
)
def test_an_answer_that_did_not_arrive_is_not_lost_in_silence(
    monkeypatch: pytest.MonkeyPatch, code: str, error: type[Exception]
) -> None:
    executions = answering(monkeypatch, send_task_success=refusing(code), send_task_failure=refusing(code))

    with pytest.raises(error):
        executions.answer("token", {})
    with pytest.raises(error):
        executions.refuse("token", ImageFailedError("failed"))


def test_an_error_ends_a_state_by_its_class_name_and_a_cause_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    executions = answering(monkeypatch, send_task_failure=lambda **request: sent.append(request))

    executions.refuse("token", ImageFailedError("x" * 40_000))

    (request,) = sent
    assert (request["taskToken"], request["error"]) == ("token", "ImageFailedError")
    assert len(request["cause"]) <= 32_768


def test_an_execution_that_is_not_known_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    executions = answering(monkeypatch, describe_execution=refusing("ExecutionDoesNotExist"))

    assert executions.find(EXECUTION) is None


def test_an_execution_is_found_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    executions = answering(
        monkeypatch, describe_execution=lambda executionArn: {"executionArn": executionArn, "status": "RUNNING"}
    )

    assert executions.find(EXECUTION) == {"executionArn": EXECUTION, "status": "RUNNING"}


def test_an_execution_that_cannot_be_asked_for_is_not_taken_for_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceUnavailableError):
        answering(monkeypatch, describe_execution=refusing("ThrottlingException")).find(EXECUTION)


def test_all_running_executions_of_the_same_machine_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {
        None: {"executions": [{"executionArn": EXECUTION}], "nextToken": "2"},
        "2": {"executions": [{"executionArn": OTHER_EXECUTION}]},
    }
    asked: list[dict[str, Any]] = []

    def list_executions(**request: Any) -> Any:
        asked.append(dict(request))
        return pages[request.get("nextToken")]

    running = answering(monkeypatch, list_executions=list_executions).running_beside(EXECUTION)

    assert running == {EXECUTION, OTHER_EXECUTION}
    assert asked[0]["stateMachineArn"] == (
        "arn:aws:states:ap-northeast-1:123456789012:stateMachine:drydock-PatchInstance"
    )
    assert asked[0]["statusFilter"] == "RUNNING"


def test_a_function_is_invoked_as_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    answering(monkeypatch, invoke=lambda **request: asked.append(request))

    invoke_later("drydock-give_back", {"subject": "i-1"})

    (request,) = asked
    assert (request["FunctionName"], request["InvocationType"]) == ("drydock-give_back", "Event")
    assert json.loads(request["Payload"]) == {"subject": "i-1"}
