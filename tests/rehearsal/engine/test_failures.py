"""What failures are called, also where recordings and documentation disagree."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import iteration_worker
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel import branch_worker, branches_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)

from rehearsal.account import EmbeddedAccount
from tests.rehearsal.conftest import ENGINE_PROJECT
from tests.rehearsal.engine.asl import details, invoke, items, machine, run_definition

PUBLISHED = {
    "heartbeat": inspect.getsource(StateTaskServiceCallback._from_error),
    "item": inspect.getsource(iteration_worker),
    "branches": inspect.getsource(branches_decl),
    "branch": inspect.getsource(branch_worker),
}
END = {"Type": "Pass"}
ERROR = "{% $states.errorOutput.Error %}"


@pytest.fixture
def free() -> Iterator[EmbeddedAccount]:
    """An account with the functions of the small application, in which everybody may do everything."""
    with open_account() as account:
        yield account


@contextmanager
def open_account(**knobs: Any) -> Iterator[EmbeddedAccount]:
    with EmbeddedAccount(project=ENGINE_PROJECT, **knobs) as account:
        account.deploy()
        account.calls.checks.clear()
        yield account


def catch(*names: str) -> list[dict[str, Any]]:
    """Catchers, one for each name, that let the execution end with the name of the error."""
    return [{"ErrorEquals": [name], "Output": {"by": name, "error": ERROR}, "Next": "B"} for name in names]


def echo(**fields: Any) -> dict[str, Any]:
    arguments = {"FunctionName": "drydock-echo", "Payload": "{% $states.input %}"}
    return invoke(Arguments=arguments) | fields


@pytest.mark.parametrize("name", ["States.Timeout", "States.HeartbeatTimeout"])
def test_a_missed_heartbeat_is_called_as_recorded_or_as_documented(name: str) -> None:
    # LocalStack's recordings of 2024-04-18 have States.Timeout; concepts-error-handling States.HeartbeatTimeout.
    assert "Heartbeat" not in PUBLISHED["heartbeat"]
    arguments = {"FunctionName": "drydock-echo", "Payload": {"token": "{% $states.context.Task.Token %}"}}
    task = invoke(".waitForTaskToken", Arguments=arguments, TimeoutSeconds=600, HeartbeatSeconds=60)
    with open_account(heartbeat_error=name) as account:
        caught = run_definition(
            account, machine(A=task | {"Catch": catch("States.HeartbeatTimeout", "States.ALL")}, B=END)
        )
        uncaught = run_definition(account, machine(A=task))
    by = name if name == "States.HeartbeatTimeout" else "States.ALL"
    assert caught.output == {"by": by, "error": name}
    assert (uncaught.error, details(uncaught, "TaskTimedOut")["error"]) == (name, name)


def test_a_missed_heartbeat_is_called_as_recorded_unless_it_is_said() -> None:
    assert inspect.signature(EmbeddedAccount).parameters["heartbeat_error"].default == "States.Timeout"
    assert inspect.signature(EmbeddedAccount).parameters["all_catches_data_limit"].default is True


@pytest.mark.parametrize("catches", [True, False])
def test_whether_all_stands_for_a_result_that_is_too_large_can_be_chosen(catches: bool) -> None:
    # LocalStack's recordings of 2024-03-21 catch it; concepts-error-handling says that it has to be named.
    with open_account(all_catches_data_limit=catches) as account:
        task = echo(Arguments={"FunctionName": "drydock-echo", "Payload": {"text": "{% $pad('', 140000, 'ö') %}"}})
        by_all = run_definition(account, machine(A=task | {"Catch": catch("States.ALL")}, B=END))
        by_name = run_definition(account, machine(A=task | {"Catch": catch("States.DataLimitExceeded")}, B=END))
    assert by_name.output["error"] == "States.DataLimitExceeded"
    if catches:
        assert by_all.output == {"by": "States.ALL", "error": "States.DataLimitExceeded"}
    else:
        assert (by_all.status, by_all.error) == ("FAILED", "States.DataLimitExceeded")


def test_branches_run_beside_each_other_and_their_outputs_keep_their_order(free: EmbeddedAccount) -> None:
    # LocalStack's recordings of 2023-08-08. moto's branches need threads that the system numbers.
    assert "native_id" in PUBLISHED["branch"]
    waits = [{"Type": "Wait", "Seconds": seconds, "Output": seconds} for seconds in (30, 10)]
    branches = [
        {"StartAt": f"B{number}", "States": {f"B{number}": wait | {"End": True}}} for number, wait in enumerate(waits)
    ]
    view = run_definition(free, machine(A={"Type": "Parallel", "Branches": branches}))
    assert view.output == [30, 10]
    assert view.stopped is not None
    assert (view.stopped - view.started).total_seconds() == 30


def test_a_branch_that_fails_fails_the_state_by_its_own_error(free: EmbeddedAccount) -> None:
    # LocalStack's recordings of 2023-08-08.
    assert "CustomErrorName(error_name=exit_error_name)" in PUBLISHED["branches"]
    fail = {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "States.Timeout", "Cause": "late"}}}
    parallel = {"Type": "Parallel", "Branches": [fail], "Catch": catch("States.Timeout")}
    assert run_definition(free, machine(A=parallel, B=END)).output["by"] == "States.Timeout"


def test_an_item_that_times_out_fails_its_map_with_that(free: EmbeddedAccount) -> None:
    # LocalStack's recording of 2024-03-10.
    assert "CustomErrorName(error_name=" in PUBLISHED["item"]
    slow = echo(TimeoutSeconds=2, Arguments={"FunctionName": "drydock-echo", "Payload": {"op": "sleep", "seconds": 5}})
    view = run_definition(free, machine(A={"Type": "Map", "Items": [{}], "ItemProcessor": items(C=slow)}))
    assert (view.status, view.error) == ("FAILED", "States.Timeout")


def test_a_function_that_is_missing_is_named_with_its_version(free: EmbeddedAccount) -> None:
    # LocalStack's recording of 2025-11-25.
    view = run_definition(free, machine(A=invoke(Arguments={"FunctionName": "absent"})))
    assert view.error == "Lambda.ResourceNotFoundException"
    assert str(view.cause).startswith(
        "Function not found: arn:aws:lambda:ap-northeast-1:123456789012:function:absent:$LATEST "
        "(Service: AWSLambda; Status Code: 404; Error Code: ResourceNotFoundException;"
    )
