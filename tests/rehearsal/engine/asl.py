"""Small definitions of state machines, and what becomes of an execution of one."""

from __future__ import annotations

import json
from typing import Any

from rehearsal.account import EmbeddedAccount, ExecutionView

TOKEN = "{% $states.context.Task.Token %}"


def machine(**states: dict[str, Any]) -> str:
    """A definition in JSONata that starts with the first of these states; each ends the machine unless it says
    something else.
    """
    return _define("JSONata", states)


def old_machine(**states: dict[str, Any]) -> str:
    """The same in JSONPath."""
    return _define("JSONPath", states)


def _define(language: str, states: dict[str, dict[str, Any]]) -> str:
    given = {name: _end(state) for name, state in states.items()}
    return json.dumps({"QueryLanguage": language, "StartAt": next(iter(given)), "States": given})


def _end(state: dict[str, Any]) -> dict[str, Any]:
    ends = state.get("Type") in ("Choice", "Succeed", "Fail") or {"Next", "End"} & state.keys()
    return state if ends else state | {"End": True}


def items(distributed: bool = False, **states: dict[str, Any]) -> dict[str, Any]:
    """What a Map does with its items."""
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"} if distributed else {"Mode": "INLINE"}
    given = {name: _end(state) for name, state in states.items()}
    return {"ProcessorConfig": config, "StartAt": next(iter(given)), "States": given}


def invoke(pattern: str = "", **fields: Any) -> dict[str, Any]:
    resource = f"arn:aws:states:::lambda:invoke{pattern}"
    return {"Type": "Task", "Resource": resource, "Arguments": {"FunctionName": "f", "Payload": TOKEN}} | fields


def run_definition(account: EmbeddedAccount, definition: str, given: Any = None) -> ExecutionView:
    """Run a definition with an input until nothing happens any more."""
    client = account.client("stepfunctions")
    role = "arn:aws:iam::123456789012:role/x"
    machine = client.create_state_machine(name=f"m{len(account.executions())}", definition=definition, roleArn=role)
    started = client.start_execution(stateMachineArn=machine["stateMachineArn"], input=json.dumps(given or {}))
    account.run_until_quiet()
    return account.execution(started["executionArn"])


def details(view: ExecutionView, kind: str) -> dict[str, Any]:
    """The details of the only event of a kind in a history."""
    (event,) = [event for event in view.events if event["type"] == kind]
    (found,) = [value for key, value in event.items() if key.endswith("Details")]
    return dict(found)
