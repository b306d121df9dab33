"""State machines on the virtual clock: waits, retries, task tokens, time-outs, stops and their events."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.engine.deployment import Stack

RunMachine = Callable[..., ExecutionView]


def kept_token(engine: EmbeddedAccount, attempt: int = 0) -> str:
    key = {"pk": {"S": f"token {attempt}"}}
    item = engine.client("dynamodb").get_item(TableName="drydock-State", Key=key)["Item"]
    return str(item["token"]["S"])


def status_events(engine: EmbeddedAccount, arn: str) -> list[dict[str, Any]]:
    return [
        event["detail"]
        for event in engine.bus.events
        if event["detail-type"] == "Step Functions Execution Status Change" and event["resources"] == [arn]
    ]


def test_a_function_error_reaches_the_machine_by_its_class_with_its_cause_as_json(
    run_machine: RunMachine,
) -> None:
    view = run_machine(op="fail")
    assert (view.status, view.error) == ("FAILED", "ValueError")
    cause = json.loads(str(view.cause))
    assert (cause["errorMessage"], cause["errorType"]) == ("as you wish", "ValueError")
    assert "/var/task/app.py" in cause["stackTrace"][0]


def test_a_retry_waits_with_full_jitter_and_counts_its_attempts(run_machine: RunMachine) -> None:
    view = run_machine(op="not_ready")
    assert view.status == "SUCCEEDED"
    assert view.output["echoed"]["retry"] == 2
    assert view.transitions == 6
    assert view.stopped is not None
    assert view.stopped - view.started < timedelta(seconds=31)


def test_a_function_that_takes_too_long_is_a_sandbox_timeout(run_machine: RunMachine, engine: EmbeddedAccount) -> None:
    view = run_machine(op="sleep", seconds=30)
    assert view.error == "Sandbox.Timedout"
    assert "Task timed out after 10.00 seconds" in str(view.cause)
    assert engine.calls.counts["echo", "dynamodb", "GetItem"] == 0, "a dead function makes no calls"


def test_a_token_answered_before_the_task_waits_is_not_missed(run_machine: RunMachine) -> None:
    view = run_machine(work="at_once")
    assert (view.status, view.output["answer"]) == ("SUCCEEDED", {"done": True})
    assert view.stopped is not None
    assert view.stopped - view.started < timedelta(seconds=2)


def test_a_failure_told_with_a_token_keeps_its_cause(run_machine: RunMachine) -> None:
    view = run_machine(work="fail")
    assert (view.status, view.error, view.cause) == ("FAILED", "WorkError", "broken")


def test_a_lost_heartbeat_enters_the_state_again_with_a_new_token(
    run_machine: RunMachine, engine: EmbeddedAccount
) -> None:
    view = run_machine(work="third_time")
    assert view.status == "SUCCEEDED"
    assert len({kept_token(engine, attempt) for attempt in range(3)}) == 3
    assert view.stopped is not None
    assert timedelta(minutes=20) < view.stopped - view.started < timedelta(minutes=21)


def test_a_heartbeat_that_never_comes_fails_the_task(run_machine: RunMachine) -> None:
    assert run_machine(work="never").error == "States.Timeout"


def test_a_heartbeat_begins_a_new_period(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    client = engine.client("stepfunctions")
    arn = engine.start_execution("Machine", {"work": "never"})
    for minute in (9, 18, 27):
        engine.clock.call_later(minute * 60, lambda: client.send_task_heartbeat(taskToken=kept_token(engine)))
    engine.clock.call_later(
        36 * 60, lambda: client.send_task_success(taskToken=kept_token(engine), output='{"beats": 3}')
    )
    engine.run_until_quiet()
    assert engine.execution(arn).output["answer"] == {"beats": 3}


@pytest.mark.parametrize(
    ("token", "code"), [("nonsense", "InvalidToken"), ("closed", "TaskTimedOut"), ("aborted", "TaskTimedOut")]
)
def test_a_token_that_is_closed_or_unknown_is_refused(
    engine: EmbeddedAccount, engine_stack: Stack, token: str, code: str
) -> None:
    arn = engine.start_execution("Machine", {"work": "at_once" if token == "closed" else "never"})
    waited: list[bool] = []
    engine.clock.call_later(5, lambda: waited.append(True))
    engine.clock.run(lambda: bool(waited))
    if token == "aborted":
        engine.stop_execution(arn)
    if token != "nonsense":
        token = kept_token(engine)
    with pytest.raises(ClientError) as raised:
        engine.client("stepfunctions").send_task_success(taskToken=token, output="{}")
    assert raised.value.response["Error"]["Code"] == code


def test_a_stop_takes_effect_at_once_and_keeps_error_and_cause(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    arn = engine.start_execution("Machine", {"work": "never"})
    engine.clock.call_later(60, lambda: engine.stop_execution(arn, "Operator", "enough"))
    engine.run_until_quiet()
    view = engine.execution(arn)
    assert (view.status, view.error, view.cause) == ("ABORTED", "Operator", "enough")
    assert view.events[-1]["type"] == "ExecutionAborted"
    assert engine.clock.now() - view.started < timedelta(seconds=62), "nothing waits on for it"
    described = engine.client("stepfunctions").describe_execution(executionArn=arn)
    assert (described["status"], described["error"], described["cause"]) == ("ABORTED", "Operator", "enough")
    assert described["stopDate"] == view.stopped


def test_a_stopped_execution_leaves_its_function_running(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    arn = engine.start_execution("Machine", {"op": "sleep", "seconds": 5})
    engine.clock.call_later(2, lambda: engine.stop_execution(arn))
    started = engine.clock.now()
    engine.run_until_quiet()
    assert engine.execution(arn).status == "ABORTED"
    assert engine.calls.counts["echo", "dynamodb", "GetItem"] == 1
    assert [name for name, _, _ in engine.functions.logs] == ["echo"]
    assert engine.clock.now() - started < timedelta(seconds=6), "nothing waits for the time-out of the function"


def test_a_machine_past_its_timeout_is_timed_out_and_says_so(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    arn = engine.start_execution("Machine", {"until": "2026-03-01T00:00:00Z"})
    engine.run_until_quiet()
    view = engine.execution(arn)
    assert view.status == "TIMED_OUT"
    assert view.stopped is not None
    assert view.stopped - view.started == timedelta(days=1)
    assert [detail["status"] for detail in status_events(engine, arn)] == ["RUNNING", "TIMED_OUT"]


def test_a_wait_ends_at_its_timestamp_whatever_the_offset(run_machine: RunMachine) -> None:
    view = run_machine(until="2026-01-13T12:00:00.5+09:00")
    assert view.stopped is not None
    assert view.stopped.isoformat() == "2026-01-13T03:00:00.500000+00:00"


def test_status_changes_are_events_in_the_shape_of_aws(run_machine: RunMachine, engine: EmbeddedAccount) -> None:
    view = run_machine(op="fail")
    running, failed = status_events(engine, view.arn)
    assert (running["status"], running["stopDate"], running["error"]) == ("RUNNING", None, None)
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "ValueError", view.cause)
    assert json.loads(failed["input"]) == {"op": "fail"}
    assert failed["startDate"] == round(view.started.timestamp() * 1000)


def test_executions_without_a_name_get_one_each_and_bad_names_are_refused(
    engine: EmbeddedAccount, engine_stack: Stack
) -> None:
    names = {engine.start_execution("Machine", {}).split(":")[-1] for _ in range(3)}
    assert len(names) == 3
    with pytest.raises(ClientError, match="InvalidName"):
        engine.start_execution("Machine", {}, name="no spaces")


def test_the_same_name_is_idempotent_while_running_and_taken_afterwards(
    engine: EmbeddedAccount, engine_stack: Stack
) -> None:
    first = engine.start_execution("Machine", {"op": "echo"}, name="once")
    assert engine.start_execution("Machine", {"op": "echo"}, name="once") == first
    engine.run_until_quiet()
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        engine.start_execution("Machine", {"op": "echo"}, name="once")


def test_the_same_seed_gives_the_same_history(engine: EmbeddedAccount) -> None:
    """Run twice in one process, with everything that is cached in between."""

    def run() -> str:
        with EmbeddedAccount(project=engine.project, seed=7) as account:
            account.deploy()
            arns = [account.start_execution("Machine", {"op": "not_ready", "work": "third_time"}) for _ in range(5)]
            account.run_until_quiet()
            histories = [account.execution(arn).events for arn in arns]
            return json.dumps([histories, account.bus.events], default=str)

    engine.__exit__(None, None, None)
    assert run() == run()
