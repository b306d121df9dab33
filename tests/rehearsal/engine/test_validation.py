"""The account refuses what AWS refuses, when it is created, updated, validated or deployed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.deployment import DeploymentError
from tests.rehearsal.conftest import ENGINE_PROJECT

SOUND = json.dumps({"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
UNSOUND = json.dumps(
    {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True, "Retry": []}, "B": {"Type": "Succeed"}}}
)
ROLE = "arn:aws:iam::123456789012:role/x"
REASON = "SCHEMA_VALIDATION_FAILED: Field 'Retry' is not supported at /States/A"


def test_a_machine_is_refused_with_all_reasons_and_not_created(engine: EmbeddedAccount) -> None:
    client = engine.client("stepfunctions")
    with pytest.raises(ClientError) as refused:
        client.create_state_machine(name="m", definition=UNSOUND, roleArn=ROLE)
    assert refused.value.response["Error"] == {
        "Code": "InvalidDefinition",
        "Message": f"Invalid State Machine Definition: '{REASON}'",
    }
    assert client.list_state_machines()["stateMachines"] == []


def test_an_update_that_is_refused_changes_nothing(engine: EmbeddedAccount) -> None:
    client = engine.client("stepfunctions")
    arn = client.create_state_machine(name="m", definition=SOUND, roleArn=ROLE)["stateMachineArn"]
    with pytest.raises(client.exceptions.InvalidDefinition):
        client.update_state_machine(stateMachineArn=arn, definition=UNSOUND)
    assert client.describe_state_machine(stateMachineArn=arn)["definition"] == SOUND
    client.update_state_machine(stateMachineArn=arn, definition=SOUND.replace('"A"', '"B"'))


def test_an_express_machine_is_held_to_its_own_rules(engine: EmbeddedAccount) -> None:
    client = engine.client("stepfunctions")
    task = {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync", "End": True}
    definition = json.dumps({"StartAt": "A", "States": {"A": task}})
    with pytest.raises(client.exceptions.InvalidDefinition):
        client.create_state_machine(name="m", definition=definition, roleArn=ROLE, type="EXPRESS")
    arn = client.create_state_machine(name="m", definition=SOUND, roleArn=ROLE, type="EXPRESS")["stateMachineArn"]
    with pytest.raises(client.exceptions.InvalidDefinition):
        client.update_state_machine(stateMachineArn=arn, definition=definition)


def test_validation_tells_every_reason_and_creates_nothing(engine: EmbeddedAccount) -> None:
    client = engine.client("stepfunctions")
    reason = {"severity": "ERROR", "code": "SCHEMA_VALIDATION_FAILED"}
    assert validate(client, UNSOUND) == {
        "result": "FAIL",
        "diagnostics": [reason | {"message": "Field 'Retry' is not supported", "location": "/States/A"}],
        "truncated": False,
    }
    assert validate(client, SOUND) == {"result": "OK", "diagnostics": [], "truncated": False}
    assert validate(client, " ")["diagnostics"] == [reason | {"message": "Definition must be a valid JSON object"}]
    assert client.list_state_machines()["stateMachines"] == []


def test_validation_tells_as_many_reasons_as_were_asked_for(engine: EmbeddedAccount) -> None:
    definition = SOUND.replace('"End": true', '"End": true, "Retry": [], "Catch": [], "TimeoutSeconds": 1')
    answer = validate(engine.client("stepfunctions"), definition, maxResults=2)
    assert (len(answer["diagnostics"]), answer["truncated"]) == (2, True)


def validate(client: Any, definition: str, **options: Any) -> dict[str, Any]:
    answer = client.validate_state_machine_definition(definition=definition, **options)
    del answer["ResponseMetadata"]
    return dict(answer)


def test_a_template_with_such_a_machine_is_not_deployed(
    engine: EmbeddedAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rehearsal.engine.deployment.resolve_definition", lambda text, values: UNSOUND)
    with pytest.raises(DeploymentError, match="Field 'Retry' is not supported at /States/A"):
        engine.deploy(template=ENGINE_PROJECT / "template.yaml")
