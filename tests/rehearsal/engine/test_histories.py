"""What Step Functions' API tells of executions and Map Runs."""

from __future__ import annotations

import inspect
import itertools
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.stepfunctions.models import StepFunctionBackend
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor import map_run_record
from moto.stepfunctions.responses import StepFunctionResponse

from rehearsal.account import EmbeddedAccount
from tests.rehearsal.engine.asl import details, items, machine, old_machine, run_definition

PUBLISHED = {
    "history": inspect.getsource(StepFunctionResponse.get_execution_history),
    "arn": inspect.getsource(StepFunctionBackend._validate_execution_arn),
    "record": inspect.getsource(map_run_record),
    "machine": inspect.getsource(StepFunctionResponse._describe_state_machine),
}
NAMES = [f"S{number}" for number in range(60)]
LONG = machine(
    **{name: {"Type": "Pass", "Next": after} for name, after in itertools.pairwise(NAMES)},
    S59={"Type": "Pass"},
)


def events(account: EmbeddedAccount, arn: str, **options: Any) -> dict[str, Any]:
    return dict(account.client("stepfunctions").get_execution_history(executionArn=arn, **options))


def test_a_history_comes_in_pages_of_a_hundred_events_unless_others_are_asked_for(engine: EmbeddedAccount) -> None:
    # https://docs.aws.amazon.com/step-functions/latest/apireference/API_GetExecutionHistory.html
    assert "maxResults" not in PUBLISHED["history"]
    arn = run_definition(engine, LONG).arn
    first = events(engine, arn)
    second = events(engine, arn, nextToken=first["nextToken"])
    assert [event["id"] for event in first["events"]] == list(range(1, 101))
    assert [event["id"] for event in second["events"]] == list(range(101, 123))
    assert "nextToken" not in second
    assert len(events(engine, arn, maxResults=7)["events"]) == 7


def test_a_history_comes_the_last_event_first_on_request(engine: EmbeddedAccount) -> None:
    # LocalStack's recording of 2024-01-28.
    assert "reverseOrder" not in PUBLISHED["history"]
    arn = run_definition(engine, LONG).arn
    found = events(engine, arn, reverseOrder=True, maxResults=2)["events"]
    assert [event["type"] for event in found] == ["ExecutionSucceeded", "PassStateExited"]


@pytest.mark.parametrize(
    ("operation", "parameter"),
    [
        ("describe_execution", "executionArn"),
        ("get_execution_history", "executionArn"),
        ("describe_state_machine", "stateMachineArn"),
        ("list_executions", "stateMachineArn"),
    ],
)
def test_what_is_no_arn_is_told_from_what_does_not_exist(
    engine: EmbeddedAccount, operation: str, parameter: str
) -> None:
    # LocalStack's recordings of 2024-03-08.
    assert "Execution Does Not Exist" in PUBLISHED["arn"]
    with pytest.raises(ClientError) as refused:
        getattr(engine.client("stepfunctions"), operation)(**{parameter: "nonsense"})
    expected = {"Code": "InvalidArn", "Message": "Invalid Arn: 'Invalid ARN prefix: nonsense'"}
    assert refused.value.response["Error"] == expected


def test_a_map_run_counts_its_items_by_what_became_of_them(engine: EmbeddedAccount) -> None:
    # LocalStack's recording of 2023-09-21.
    assert "succeeded.count(" not in PUBLISHED["record"]
    engine.calls.checks.clear()
    fails = {"Type": "Choice", "Choices": [{"Condition": "{% $states.input = 0 %}", "Next": "F"}], "Default": "S"}
    inner = items(True, C=fails, F={"Type": "Fail"}, S={"Type": "Succeed"})
    mapped = {"Type": "Map", "Items": [0, 1, 2], "ToleratedFailurePercentage": 100, "ItemProcessor": inner}
    view = run_definition(engine, machine(A=mapped), {})
    client = engine.client("stepfunctions")
    (run,) = client.list_map_runs(executionArn=view.arn)["mapRuns"]
    described = client.describe_map_run(mapRunArn=run["mapRunArn"])
    counts = {"total": 3, "succeeded": 2, "failed": 1, "resultsWritten": 2}
    expected = dict.fromkeys(("pending", "running", "timedOut", "aborted"), 0) | counts
    assert described["itemCounts"] == described["executionCounts"] == expected
    assert described["status"] == "SUCCEEDED"


CHILD = {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "TimeoutSeconds": 7200}


def make_child(account: EmbeddedAccount, **states: dict[str, Any]) -> str:
    role = "arn:aws:iam::123456789012:role/x"
    client = account.client("stepfunctions")
    return str(client.create_state_machine(name="child", definition=machine(**states), roleArn=role)["stateMachineArn"])


@pytest.mark.parametrize("given", [{}, {"Input": None}], ids=["none", "null"])
def test_an_execution_that_is_started_without_an_input_gets_an_empty_object(
    engine: EmbeddedAccount, given: dict[str, Any]
) -> None:
    # LocalStack's recordings of 2023-06-30 and 2023-08-12.
    engine.calls.checks.clear()
    child = make_child(engine, C={"Type": "Pass"})
    view = run_definition(engine, machine(A=CHILD | {"Arguments": {"StateMachineArn": child} | given}))
    assert view.output["Input"] == {}


@pytest.mark.parametrize("answer", ["success", "failure"])
def test_whoever_has_the_token_of_a_task_that_waits_for_an_execution_may_answer_it(
    engine: EmbeddedAccount, answer: str
) -> None:
    # LocalStack's recording of 2024-07-12.
    engine.calls.checks.clear()
    client = engine.client("stepfunctions")
    child = make_child(engine, C={"Type": "Wait", "Seconds": 600})
    given = {"StateMachineArn": child, "Input": {"token": "{% $states.context.Task.Token %}"}}

    def tell() -> None:
        (started,) = [one for one in engine.executions() if one.parent]
        token = json.loads(started.input)["token"] if isinstance(started.input, str) else started.input["token"]
        if answer == "success":
            client.send_task_success(taskToken=token, output='"enough"')
        else:
            client.send_task_failure(taskToken=token, error="Enough", cause="no more")

    engine.clock.call_later(60, tell)
    view = run_definition(engine, machine(A=CHILD | {"Arguments": given}))
    assert view.stopped is not None
    assert (view.stopped - view.started).total_seconds() < 120
    if answer == "success":
        assert (view.status, view.output) == ("SUCCEEDED", "enough")
    else:
        assert (view.error, view.cause, details(view, "TaskFailed")["error"]) == ("Enough", "no more", "Enough")


def test_a_machine_is_described_with_the_variables_that_its_states_read(engine: EmbeddedAccount) -> None:
    # LocalStack's recordings of 2024-11-20.
    assert "variableReferences" not in PUBLISHED["machine"]
    client = engine.client("stepfunctions")
    assign = {"Type": "Pass", "Assign": {"group": "web", "size": 3}, "Next": "B"}
    read = {"Type": "Pass", "Parameters": {"size.$": "$size", "group.$": "$group"}}
    view = run_definition(engine, old_machine(A=assign, B=read))
    found = client.describe_state_machine_for_execution(executionArn=view.arn)
    assert found["variableReferences"] == {"B": ["group", "size"]}
    assert found["loggingConfiguration"]["includeExecutionData"] is False
    assert found["updateDate"] <= view.started
