"""Functions in this process: their environment, their end, their retries, and the calls that they make."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.engine.calls import Call, FunctionKilled, Interception
from rehearsal.engine.deployment import Stack
from tests.rehearsal.conftest import ENGINE_PROJECT

RunMachine = Callable[..., ExecutionView]


def test_a_function_sees_its_own_environment_and_nothing_else(
    run_machine: RunMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_LAPTOP", "x")
    environment = run_machine(op="environment").output["answer"]
    assert environment["GREETING"] == "hello"
    assert environment["TABLE"] == "drydock-State"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "drydock-echo"
    assert "SECRET_OF_THE_LAPTOP" not in environment
    assert "HOME" not in environment


def test_what_a_function_prints_is_kept_with_its_invocation(
    run_machine: RunMachine, engine: EmbeddedAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    run_machine(op="echo")
    assert [(name, text) for name, _, text in engine.functions.logs] == [("echo", "echoed\n")]
    assert "echoed" not in capsys.readouterr().out


def test_a_result_that_is_not_json_is_an_error(run_machine: RunMachine) -> None:
    assert run_machine(op="unmarshal").error == "Runtime.MarshalError"


def test_every_call_takes_virtual_time_and_is_counted(run_machine: RunMachine, engine: EmbeddedAccount) -> None:
    started = engine.clock.time()
    view = run_machine(op="read")
    assert engine.calls.counts["echo", "dynamodb", "GetItem"] == 1
    (call,) = [call for call in engine.calls.calls if call.service == "dynamodb"]
    assert call.caller.kind == "function"
    assert call.caller.execution == view.arn
    assert engine.clock.time() - started >= 0.1


def test_a_call_can_fail_before_or_after_it_took_effect(run_machine: RunMachine, engine: EmbeddedAccount) -> None:
    def break_call(call: Call) -> Interception | None:
        if call.operation == "PutItem":
            return Interception(after=ConnectionError("the answer was lost"), delay=5)
        return None

    engine.calls.interceptors.append(break_call)
    view = run_machine(work="never")
    assert view.error == "ConnectionError"
    item = engine.client("dynamodb").get_item(TableName="drydock-State", Key={"pk": {"S": "token 0"}})
    assert "Item" in item


def test_a_killed_function_is_a_runtime_exit(run_machine: RunMachine, engine: EmbeddedAccount) -> None:
    engine.calls.interceptors.append(
        lambda call: Interception(before=FunctionKilled()) if call.operation == "GetItem" else None
    )
    assert run_machine(op="read").error == "Runtime.ExitError"


def test_an_asynchronous_event_is_tried_three_times_and_then_kept(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    started = engine.clock.now()
    engine.client("lambda").invoke(
        FunctionName="drydock-echo", InvocationType="Event", Payload=json.dumps({"op": "fail"})
    )
    engine.run_until_quiet()
    assert engine.queue(engine_stack.resource("DeadLetters")) == ['{"op": "fail"}']
    assert engine.clock.now() - started == timedelta(seconds=180)


def test_a_synchronous_invocation_answers_as_lambda_does(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    client = engine.client("lambda")
    good = client.invoke(FunctionName="drydock-echo", Payload=b'{"a": 1}')
    assert json.loads(good["Payload"].read())["a"] == 1
    bad = client.invoke(FunctionName="drydock-echo", Payload=b'{"op": "fail"}')
    assert bad["FunctionError"] == "Unhandled"
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="drydock-nobody", Payload=b"{}")


def test_a_layer_is_imported_once_in_a_process_and_is_nobody_s_between_accounts() -> None:
    found = []
    for _ in range(2):
        assert "shared" not in sys.modules
        with EmbeddedAccount(project=ENGINE_PROJECT) as account:
            account.deploy()
            account.start_execution("Machine", {})
            account.run_until_quiet()
            found.append(sys.modules["shared"])
    assert found[0] is found[1]


def test_the_process_is_left_as_it_was() -> None:
    before = (os.environ, sys.stdout, sys.stderr, time.sleep, list(sys.path), sys.getrecursionlimit())
    with EmbeddedAccount(project=ENGINE_PROJECT) as account:
        account.deploy()
        account.start_execution("Machine", {"work": "never"})
        account.clock.run(until=lambda: bool(account.calls.calls))
    assert (os.environ, sys.stdout, sys.stderr, time.sleep, list(sys.path), sys.getrecursionlimit()) == before
    assert "shared" not in sys.modules
    assert abs(time.time() - 1768233600) > 10
