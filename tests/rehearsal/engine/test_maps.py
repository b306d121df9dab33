"""Executions that start others: nested executions and the children of a Distributed Map."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.engine.calls import Interception

PROJECT = Path(__file__).parents[1] / "data" / "maps"
PREFIX = "arn:aws:states:ap-northeast-1:123456789012"


@pytest.fixture
def maps() -> Iterator[EmbeddedAccount]:
    """An account with machines that start others."""
    with EmbeddedAccount(project=PROJECT) as account:
        account.deploy()
        yield account


def write_items(account: EmbeddedAccount, items: Any, key: str = "items.json") -> None:
    body = items if isinstance(items, bytes) else json.dumps(items).encode()
    account.client("s3").put_object(Bucket="drydock-items", Key=key, Body=body)


def run(account: EmbeddedAccount, machine: str, **given: Any) -> ExecutionView:
    arn = account.start_execution(machine, given)
    account.run_until_quiet()
    return account.execution(arn)


def run_items(account: EmbeddedAccount, items: Sequence[dict[str, Any]], **given: Any) -> ExecutionView:
    write_items(account, items)
    return run(account, "Run", key="items.json", **given)


def stop_after(account: EmbeddedAccount, seconds: float, arn: str) -> None:
    """Stop an execution after some seconds, and run until nothing happens any more."""
    account.clock.call_later(seconds, lambda: account.stop_execution(arn, "Operator", "enough"))
    account.run_until_quiet()


def children(account: EmbeddedAccount, view: ExecutionView) -> list[ExecutionView]:
    return [child for child in account.executions() if child.parent == view.arn]


def statuses_told(account: EmbeddedAccount, arn: str) -> list[str]:
    return [event["detail"]["status"] for event in account.bus.events if event["resources"] == [arn]]


def types(view: ExecutionView) -> list[str]:
    return [event["type"] for event in view.events]


def milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def waiting(*seconds: int) -> list[dict[str, Any]]:
    return [{"op": "wait", "seconds": each} for each in seconds]


def nested(name: str, **given: Any) -> dict[str, Any]:
    return {"op": "nested", "name": name, "input": given}


# Nested executions


def test_a_parent_that_waits_gets_the_description_of_its_child_with_input_and_output_read(
    maps: EmbeddedAccount,
) -> None:
    view = run(maps, "Parent", name="one", input={"seconds": 90})
    child = maps.execution(f"{PREFIX}:execution:drydock-Child:one")
    assert child.stopped is not None
    assert (view.status, child.parent) == ("SUCCEEDED", view.arn)
    assert view.output == {
        "ExecutionArn": child.arn,
        "Input": {"seconds": 90},
        "InputDetails": {"Included": True},
        "Name": "one",
        "Output": {"given": {"seconds": 90}},
        "OutputDetails": {"Included": True},
        "RedriveCount": 0,
        "RedriveStatus": "NOT_REDRIVABLE",
        "RedriveStatusReason": "Execution is SUCCEEDED and cannot be redriven",
        "StartDate": milliseconds(child.started),
        "StateMachineArn": f"{PREFIX}:stateMachine:drydock-Child",
        "Status": "SUCCEEDED",
        "StopDate": milliseconds(child.stopped),
    }
    assert "TaskSubmitted" in types(view)


def test_a_parent_is_woken_by_the_end_of_its_child_and_does_not_ask_before(maps: EmbeddedAccount) -> None:
    view = run(maps, "Parent", name="one", input={"seconds": 3000})
    assert view.stopped is not None
    assert timedelta(seconds=3000) < view.stopped - view.started < timedelta(seconds=3001)
    assert maps.calls.counts["drydock-Parent", "stepfunctions", "DescribeExecution"] == 1


def test_the_first_version_of_the_wait_leaves_input_and_output_as_text(maps: EmbeddedAccount) -> None:
    output = run(maps, "Parent", how="sync", name="one", input={"a": 1}).output
    assert (output["Input"], output["Output"]) == ('{"a":1}', '{"given":{"a":1}}')


def test_without_a_wait_a_parent_goes_on_at_once_and_its_child_too(maps: EmbeddedAccount) -> None:
    view = run(maps, "Parent", how="plain", name="one", input={"seconds": 60})
    (child,) = children(maps, view)
    assert view.output == {"ExecutionArn": child.arn, "StartDate": milliseconds(child.started)}
    assert view.stopped is not None and child.stopped is not None
    assert view.stopped < child.stopped
    assert child.status == "SUCCEEDED"


def test_a_child_without_name_and_input_gets_a_name_and_no_input(maps: EmbeddedAccount) -> None:
    output = run(maps, "Parent", how="empty").output
    assert output["Input"] == {}
    assert len(output["Name"]) == 36


@pytest.mark.parametrize("how", ["sync", "sync:2"])
def test_a_child_that_fails_fails_the_task_with_its_description_as_the_cause(maps: EmbeddedAccount, how: str) -> None:
    view = run(maps, "Parent", how=how, name="one", input={"error": "BoomError"})
    (child,) = children(maps, view)
    assert (view.status, view.error, child.error) == ("FAILED", "States.TaskFailed", "BoomError")
    assert child.stopped is not None
    assert json.loads(str(view.cause)) == {
        "Cause": "told to",
        "Error": "BoomError",
        "ExecutionArn": child.arn,
        "Input": '{"error":"BoomError"}',
        "InputDetails": {"Included": True},
        "Name": "one",
        "RedriveCount": 0,
        "RedriveStatus": "REDRIVABLE",
        "StartDate": milliseconds(child.started),
        "StateMachineArn": f"{PREFIX}:stateMachine:drydock-Child",
        "Status": "FAILED",
        "StopDate": milliseconds(child.stopped),
    }


def test_a_child_that_is_aborted_fails_the_task(maps: EmbeddedAccount) -> None:
    parent = maps.start_execution("Parent", {"name": "one", "input": {"seconds": 600}})
    stop_after(maps, 60, f"{PREFIX}:execution:drydock-Child:one")
    view = maps.execution(parent)
    cause = json.loads(str(view.cause))
    assert (view.error, cause["Status"]) == ("States.TaskFailed", "ABORTED")
    assert (cause["Error"], cause["Cause"]) == ("Operator", "enough")


def test_a_child_that_times_out_fails_the_task_and_does_not_time_it_out(maps: EmbeddedAccount) -> None:
    view = run_items(maps, [nested("one", until="2026-01-20T00:00:00Z")])
    assert maps.execution(f"{PREFIX}:execution:drydock-Child:one").status == "TIMED_OUT"
    assert view.output["results"] == [{"caught": "States.TaskFailed"}]


def test_a_refusal_has_the_name_that_aws_gives_it(maps: EmbeddedAccount) -> None:
    error = ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "StartExecution")
    refused = Interception(before=error)
    maps.calls.interceptors.append(lambda call: refused if call.operation == "StartExecution" else None)
    view = run(maps, "Parent", name="one", input={})
    assert (view.error, children(maps, view)) == ("StepFunctions.ThrottlingException", [])


def test_a_name_is_idempotent_while_its_execution_runs_and_taken_afterwards(maps: EmbeddedAccount) -> None:
    given = {"name": "one", "input": {"seconds": 60}}
    first, second = (maps.start_execution("Parent", given) for _ in range(2))
    maps.run_until_quiet()
    third = run(maps, "Parent", **given)
    assert [maps.execution(arn).status for arn in (first, second)] == ["SUCCEEDED", "SUCCEEDED"]
    assert [child.name for child in maps.executions() if child.machine == "drydock-Child"] == ["one"]
    assert third.error == "StepFunctions.ExecutionAlreadyExistsException"


def test_another_input_for_a_running_name_is_refused(maps: EmbeddedAccount) -> None:
    maps.start_execution("Parent", {"name": "one", "input": {"seconds": 60}})
    view = run(maps, "Parent", name="one", input={"seconds": 61})
    assert view.error == "StepFunctions.ExecutionAlreadyExistsException"


def test_the_role_must_be_allowed_to_start_the_child(maps: EmbeddedAccount) -> None:
    maps.deploy({"Denied": "nested"}, stack="strict")
    view = run(maps, "strict-Parent", name="one", input={})
    assert view.error == "StepFunctions.AccessDeniedException"
    assert [str(request) for request in maps.permissions.denied] == [
        f"strict-Parent may not states:StartExecution on {PREFIX}:stateMachine:strict-Child"
    ]


@pytest.mark.parametrize("how", ["stop", "execution", "state"])
def test_a_child_is_stopped_soon_after_its_parent(maps: EmbeddedAccount, how: str) -> None:
    given = {"how": "short" if how == "state" else "sync:2", "name": "one", "input": {"seconds": 5000}}
    arn = maps.start_execution("Parent", given)
    if how == "stop":
        stop_after(maps, 60, arn)
    maps.run_until_quiet()
    view = maps.execution(arn)
    (child,) = children(maps, view)
    assert (view.status, view.error) == {
        "stop": ("ABORTED", "Operator"),
        "execution": ("TIMED_OUT", None),
        "state": ("FAILED", "States.Timeout"),
    }[how]
    assert child.status == "ABORTED"
    assert view.stopped is not None and child.stopped is not None
    assert timedelta(seconds=1) <= child.stopped - view.stopped <= timedelta(seconds=6)
    assert statuses_told(maps, child.arn) == ["RUNNING", "ABORTED"]


@pytest.mark.parametrize("seconds", [0.01, 0.03, 0.06])
def test_a_parent_that_is_stopped_while_it_starts_its_child_leaves_none(maps: EmbeddedAccount, seconds: float) -> None:
    arn = maps.start_execution("Parent", {"name": "one", "input": {"seconds": 5000}})
    stop_after(maps, seconds, arn)
    assert {child.status for child in children(maps, maps.execution(arn))} <= {"ABORTED"}


def test_a_child_that_nobody_waits_for_is_not_stopped_with_its_parent(maps: EmbeddedAccount) -> None:
    arn = maps.start_execution("Parent", {"how": "plain", "name": "one", "input": {"seconds": 60}})
    stop_after(maps, 0.04, arn)
    (child,) = children(maps, maps.execution(arn))
    assert child.status == "SUCCEEDED"


def test_a_cancellation_can_be_lost(maps: EmbeddedAccount) -> None:
    maps.lose_cancellations = lambda arn: True
    arn = maps.start_execution("Parent", {"name": "one", "input": {"seconds": 600}})
    stop_after(maps, 60, arn)
    (child,) = children(maps, maps.execution(arn))
    assert (maps.execution(arn).status, child.status) == ("ABORTED", "SUCCEEDED")


def test_a_role_that_may_not_stop_its_child_leaves_it_running(maps: EmbeddedAccount) -> None:
    maps.deploy({"Denied": "stopping"}, stack="strict")
    arn = maps.start_execution("strict-Parent", {"name": "one", "input": {"seconds": 600}})
    stop_after(maps, 60, arn)
    (child,) = children(maps, maps.execution(arn))
    assert child.status == "SUCCEEDED"
    assert [str(request) for request in maps.permissions.denied] == [
        f"strict-Parent may not states:StopExecution on {PREFIX}:execution:strict-Child:one"
    ]


# The children of a Distributed Map


def test_each_item_is_an_execution_of_its_own_with_its_own_history(maps: EmbeddedAccount) -> None:
    view = run_items(maps, [{"op": "echo"}, *waiting(7)])
    first, second = children(maps, view)
    assert view.status == "SUCCEEDED"
    assert first.arn == f"{PREFIX}:execution:drydock-Run/Items:{first.name}"
    assert first.machine == "drydock-Run/Items"
    assert first.input == {"item": {"op": "echo"}, "index": 0, "run": "run"}
    assert (types(first)[0], types(first)[-1]) == ("ExecutionStarted", "ExecutionSucceeded")
    assert (first.transitions, second.transitions, view.transitions) == (2, 3, 3)
    assert types(view)[3:9] == [
        "MapStateEntered",
        "MapStateStarted",
        "MapRunStarted",
        "MapRunSucceeded",
        "MapStateSucceeded",
        "MapStateExited",
    ]


def test_a_child_is_described_and_stopped_like_any_other_execution_but_not_listed(maps: EmbeddedAccount) -> None:
    write_items(maps, waiting(600, 600))
    arn = maps.start_execution("Run", {"key": "items.json"})
    told: list[dict[str, Any]] = []

    def look() -> None:
        first = children(maps, maps.execution(arn))[0]
        told.append(maps.client("stepfunctions").describe_execution(executionArn=first.arn))
        maps.stop_execution(first.arn)

    maps.clock.call_later(60, look)
    maps.run_until_quiet()
    (described,) = told
    assert (described["status"], described["stateMachineArn"]) == (
        "RUNNING",
        f"{PREFIX}:stateMachine:drydock-Run/Items",
    )
    assert described["mapRunArn"].startswith(f"{PREFIX}:mapRun:drydock-Run/Items:")
    assert [child.status for child in children(maps, maps.execution(arn))] == ["ABORTED", "SUCCEEDED"]
    machine = f"{PREFIX}:stateMachine:drydock-Run"
    listed = maps.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    assert [item["executionArn"] for item in listed] == [arn]


def test_a_child_has_its_own_context(maps: EmbeddedAccount) -> None:
    view = run_items(maps, [{"op": "context"}], id="run-7")
    (child,) = children(maps, view)
    (context,) = view.output["results"]
    assert context["Execution"]["Id"] == child.arn
    assert context["Execution"]["Name"] == child.name
    assert context["Execution"]["Input"] == {"item": {"op": "context"}, "index": 0, "run": "run-7"}
    assert context["StateMachine"]["Id"] == f"{PREFIX}:stateMachine:drydock-Run/Items"
    assert context["State"]["Name"] == "Show Context"
    assert "Map" not in context


def test_the_item_of_the_map_is_not_in_the_context_of_a_child(maps: EmbeddedAccount) -> None:
    (child,) = children(maps, run_items(maps, [{"op": "map_context"}]))
    assert child.error == "States.QueryEvaluationError"
    assert "returned nothing" in str(child.cause)


def test_results_come_in_the_order_of_the_items(maps: EmbeddedAccount) -> None:
    view = run_items(maps, waiting(30, 10, 20))
    assert [result["item"]["seconds"] for result in view.output["results"]] == [30, 10, 20]


def test_no_items_are_no_children(maps: EmbeddedAccount) -> None:
    view = run_items(maps, [])
    assert (view.status, view.output["results"], children(maps, view)) == ("SUCCEEDED", [], [])


@pytest.mark.parametrize(("concurrency", "seconds"), [(1, 240), (2, 120), (3, 120), (4, 60), (0, 60), (9, 60)])
def test_so_many_children_run_at_the_same_time(maps: EmbeddedAccount, concurrency: int, seconds: int) -> None:
    view = run_items(maps, waiting(60, 60, 60, 60), concurrency=concurrency)
    assert view.stopped is not None
    assert timedelta(seconds=seconds) < view.stopped - view.started < timedelta(seconds=seconds + 1)


@pytest.mark.parametrize("concurrency", [-1, 1.5, "2"])
def test_a_concurrency_that_is_not_a_whole_number_fails_the_map(maps: EmbeddedAccount, concurrency: Any) -> None:
    view = run_items(maps, waiting(1), concurrency=concurrency)
    assert (view.error, children(maps, view)) == ("States.QueryEvaluationError", [])


def test_at_most_a_hundred_children_start_each_second(maps: EmbeddedAccount) -> None:
    view = run_items(maps, waiting(*[1] * 250))
    starts = [child.started for child in children(maps, view)]
    assert len(starts) == 250
    assert starts[-1] - starts[0] >= timedelta(seconds=2.48)


def test_a_failure_that_is_tolerated_leaves_the_other_children_alone(maps: EmbeddedAccount) -> None:
    view = run_items(maps, [{"op": "fail"}, *waiting(60), {"op": "map_context"}], percentage=100)
    assert [child.status for child in children(maps, view)] == ["FAILED", "SUCCEEDED", "FAILED"]
    assert view.status == "SUCCEEDED"
    assert [result is None for result in view.output["results"]] == [True, False, True]


def test_one_failure_too_many_fails_the_map_and_stops_the_others(maps: EmbeddedAccount) -> None:
    view = run_items(maps, [{"op": "fail"}, {"op": "fail"}, *waiting(600, 600)], percentage=49)
    assert view.error == "States.ExceedToleratedFailureThreshold"
    found = children(maps, view)
    assert [child.status for child in found] == ["FAILED", "FAILED", "ABORTED", "ABORTED"]
    assert view.stopped is not None
    assert all(child.stopped is not None and child.stopped > view.stopped for child in found[2:])
    assert "MapRunFailed" in types(view) and "MapStateFailed" in types(view)


def test_no_child_starts_after_one_failure_too_many(maps: EmbeddedAccount) -> None:
    view = run_items(maps, [{"op": "fail"}, *waiting(10, 10)], percentage=0, concurrency=1)
    assert (view.error, len(children(maps, view))) == ("States.ExceedToleratedFailureThreshold", 1)


@pytest.mark.parametrize(
    ("count", "operations", "status"),
    [
        (True, "fail echo echo", "SUCCEEDED"),
        (True, "fail fail echo", "FAILED"),
        (False, "fail echo", "SUCCEEDED"),
        (False, "fail fail echo", "FAILED"),
    ],
)
def test_settings_may_be_numbers(maps: EmbeddedAccount, count: bool, operations: str, status: str) -> None:
    items = [{"op": operation} for operation in operations.split()]
    assert run(maps, "Counted", count=count, items=items).status == status


@pytest.mark.parametrize("body", [None, b"{not json", b'{"not": "a list"}', b"\xff"])
def test_items_that_cannot_be_read_fail_the_map(maps: EmbeddedAccount, body: bytes | None) -> None:
    if body is not None:
        write_items(maps, body)
    view = run(maps, "Run", key="items.json")
    assert (view.error, children(maps, view)) == ("States.ItemReaderFailed", [])


@pytest.mark.parametrize(
    ("denied", "error", "action"),
    [
        ("items", "States.ItemReaderFailed", "s3:GetObject"),
        ("children", "States.Permissions", "states:StartExecution"),
    ],
)
def test_the_role_must_be_allowed_to_read_items_and_to_start_children(denied: str, error: str, action: str) -> None:
    with EmbeddedAccount(project=PROJECT) as maps:
        maps.deploy({"Denied": denied})
        view = run_items(maps, [{"op": "echo"}])
        assert view.error == error
        assert [request.action for request in maps.permissions.denied] == [action]
        assert maps.permissions.denied[0].caller == "drydock-Run"


def test_a_result_that_is_too_large_is_caught_by_its_name(maps: EmbeddedAccount) -> None:
    view = run_items(maps, [{"op": "echo", "bytes": 140_000}, {"op": "echo", "bytes": 140_000}], forget=True)
    assert [child.status for child in children(maps, view)] == ["SUCCEEDED", "SUCCEEDED"]
    assert (view.status, view.error) == ("FAILED", "TooLarge")


def test_calls_of_a_child_are_made_for_it_under_the_role_of_its_machine(maps: EmbeddedAccount) -> None:
    view = run_items(maps, [{"op": "echo"}])
    (child,) = children(maps, view)
    (invoked,) = (call for call in maps.calls.calls if call.service == "lambda")
    assert (invoked.caller.name, invoked.caller.execution) == ("drydock-Run", child.arn)


def test_a_child_waits_for_an_execution_that_it_starts(maps: EmbeddedAccount) -> None:
    view = run_items(maps, [nested("good", seconds=60), nested("bad", error="BoomError")])
    good, bad = view.output["results"]
    assert good["Output"] == {"given": {"seconds": 60}}
    assert bad == {"caught": "States.TaskFailed"}
    parents = [maps.execution(f"{PREFIX}:execution:drydock-Child:{name}").parent for name in ("good", "bad")]
    assert parents == [child.arn for child in children(maps, view)]


def test_children_and_what_they_wait_for_are_stopped_soon_after_their_parent(maps: EmbeddedAccount) -> None:
    write_items(maps, [nested("one", seconds=600), *waiting(600), *waiting(600)])
    arn = maps.start_execution("Run", {"key": "items.json", "concurrency": 2})
    stop_after(maps, 60, arn)
    view = maps.execution(arn)
    found = children(maps, view)
    assert [child.status for child in found] == ["ABORTED", "ABORTED"], "and no other is started"
    assert view.stopped is not None
    ends = [child.stopped - view.stopped for child in found if child.stopped is not None]
    assert all(timedelta(seconds=1) <= end <= timedelta(seconds=5) for end in ends)
    assert ends[0] != ends[1]
    grandchild = maps.execution(f"{PREFIX}:execution:drydock-Child:one")
    assert grandchild.status == "ABORTED"
    assert grandchild.stopped is not None and found[0].stopped is not None
    assert grandchild.stopped > found[0].stopped


def test_lost_cancellations_let_children_and_what_they_wait_for_run_to_their_end(maps: EmbeddedAccount) -> None:
    maps.lose_cancellations = lambda arn: "/Items:" in arn
    write_items(maps, [nested("one", seconds=600), *waiting(600), *waiting(600)])
    arn = maps.start_execution("Run", {"key": "items.json", "concurrency": 2})
    stop_after(maps, 60, arn)
    assert [child.status for child in children(maps, maps.execution(arn))] == ["SUCCEEDED", "SUCCEEDED"]
    assert maps.execution(f"{PREFIX}:execution:drydock-Child:one").status == "SUCCEEDED"


def redrive(account: EmbeddedAccount, arn: str) -> ExecutionView:
    account.client("stepfunctions").redrive_execution(executionArn=arn)
    account.run_until_quiet()
    return account.execution(arn)


def test_a_redriven_map_goes_on_with_the_children_that_did_not_succeed(maps: EmbeddedAccount) -> None:
    write_items(maps, waiting(10, 600, 600, 20))
    arn = maps.start_execution("Run", {"key": "items.json", "concurrency": 2})
    stop_after(maps, 60, arn)
    before = children(maps, maps.execution(arn))

    view = redrive(maps, arn)

    found = children(maps, view)
    assert [child.status for child in before] == ["SUCCEEDED", "ABORTED", "ABORTED"]
    assert [child.arn for child in found[:3]] == [child.arn for child in before]
    assert [child.status for child in found] == ["SUCCEEDED"] * 4
    assert [result["item"]["seconds"] for result in view.output["results"]] == [10, 600, 600, 20]
    assert [types(child).count("ExecutionRedriven") for child in found] == [0, 1, 1, 0]
    assert (types(view).count("MapRunStarted"), types(view).count("MapRunRedriven")) == (1, 1)


def test_a_redriven_map_waits_for_children_that_have_not_been_stopped(maps: EmbeddedAccount) -> None:
    maps.lose_cancellations = lambda arn: True
    write_items(maps, waiting(300, 600, 20))
    arn = maps.start_execution("Run", {"key": "items.json", "concurrency": 2})
    maps.clock.call_later(60, lambda: maps.stop_execution(arn))
    maps.clock.call_later(90, lambda: maps.client("stepfunctions").redrive_execution(executionArn=arn))
    maps.run_until_quiet()
    view = maps.execution(arn)
    first, second, third = children(maps, view)
    assert second.stopped is not None
    assert third.started >= second.stopped
    assert [types(child).count("ExecutionRedriven") for child in (first, second, third)] == [0, 0, 0]
    assert (view.status, len(view.output["results"])) == ("SUCCEEDED", 3)


def test_the_role_must_be_allowed_to_redrive_children(maps: EmbeddedAccount) -> None:
    maps.deploy({"Denied": "redriving"}, stack="strict")
    maps.client("s3").put_object(Bucket="strict-items", Key="items.json", Body=json.dumps(waiting(600)).encode())
    arn = maps.start_execution("strict-Run", {"key": "items.json"})
    stop_after(maps, 60, arn)
    assert redrive(maps, arn).error == "States.Permissions"


def test_a_child_is_not_redriven_by_itself(maps: EmbeddedAccount) -> None:
    (child,) = children(maps, run_items(maps, [{"op": "fail"}]))
    with pytest.raises(ClientError, match="ExecutionNotRedrivable"):
        redrive(maps, child.arn)


@pytest.mark.parametrize("told", [False, True])
def test_whether_children_tell_of_their_status_can_be_chosen(told: bool) -> None:
    with EmbeddedAccount(project=PROJECT, map_child_events=told) as maps:
        maps.deploy()
        view = run_items(maps, [nested("one")])
        (child,) = children(maps, view)
        assert statuses_told(maps, child.arn) == (["RUNNING", "SUCCEEDED"] if told else [])
        assert statuses_told(maps, view.arn) == ["RUNNING", "SUCCEEDED"]
        assert statuses_told(maps, f"{PREFIX}:execution:drydock-Child:one") == ["RUNNING", "SUCCEEDED"]


def test_a_wait_follows_expressions_on_the_virtual_clock(maps: EmbeddedAccount) -> None:
    view = run(maps, "Parent", name="one", input={"until": "2026-01-13T01:30:00.250+09:00"})
    assert view.output["StopDate"] == 1768235400250
    view = run(maps, "Parent", name="two", input={"seconds": 1800})
    assert view.output["StopDate"] - view.output["StartDate"] == 1_800_000


def test_many_items_one_after_the_other_need_no_recursion(maps: EmbeddedAccount) -> None:
    view = run(maps, "Counted", count=True, items=[{"op": "echo", "item": number} for number in range(300)])
    assert (view.status, len(view.output)) == ("SUCCEEDED", 300)
    assert maps.clock.now() - view.started < timedelta(seconds=300)


def test_the_same_seed_gives_the_same_histories(maps: EmbeddedAccount) -> None:
    """Run twice in one process, with everything that is cached in between."""

    def record() -> str:
        with EmbeddedAccount(project=PROJECT, seed=7) as account:
            account.deploy()
            write_items(account, [{"op": "echo"}, {"op": "fail"}, nested("one", seconds=90), *waiting(600, 5)])
            arn = account.start_execution("Run", {"key": "items.json", "concurrency": 3})
            stop_after(account, 80, arn)
            histories = [(view.arn, view.stopped, view.events) for view in account.executions()]
            return json.dumps([histories, account.bus.events], default=str)

    maps.__exit__(None, None, None)
    assert record() == record()


def test_an_unknown_child_is_refused_as_any_other_execution(maps: EmbeddedAccount) -> None:
    with pytest.raises(ClientError, match="ExecutionDoesNotExist"):
        maps.client("stepfunctions").describe_execution(executionArn=f"{PREFIX}:execution:drydock-Run/Items:none")
