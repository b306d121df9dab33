"""What an execution is started with may be anything, and the table may be another Drydock's, or gone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.machine.scenario import Scenario, assert_untouched


def newer_lease(instance_id: str) -> dict[str, Any]:
    """A lease as no Drydock of today writes it, held by an execution that nobody knows."""
    return {
        "pk": {"S": f"INSTANCE#{instance_id}"},
        "sk": {"S": "LEASE"},
        "schema": {"N": "2"},
        "lookup": {"S": "LEASES#0"},
        "holder": {"M": {"execution": {"S": "somebody"}}},
    }


@pytest.mark.parametrize(
    "given",
    [[], [{"instanceId": "i-0123456789abcdef0"}], "i-0123456789abcdef0", 17, 0.5, True],
    ids=["list", "list-of-an-input", "text", "number", "fraction", "true"],
)
def test_an_execution_that_is_started_with_no_object_fails_and_people_hear_of_it_once(
    scene: Scenario, given: Any
) -> None:
    before = len(scene.messages)

    arn = scene.account.start_execution("PatchInstance", given)
    scene.settle()

    execution = scene.account.execution(arn)
    assert (execution.status, execution.error) == ("FAILED", "InvalidInputError")
    (message,) = scene.messages[before:]
    assert "is not an object" in message.said
    assert "Nothing was touched." in message.said
    assert not [item for item in scene.items() if item["sk"] == "LEASE" or "lookup" in item]


def test_a_huge_mistake_is_refused_in_a_message_that_reaches_people(scene: Scenario) -> None:
    machine = scene.machine("huge")

    execution = scene.patch(machine, {"failOn": ["never"] * 8_000, "x" * 60_000: "y" * 60_000})

    assert (execution.status, execution.error) == ("FAILED", "InvalidPolicyError")
    (message,) = scene.told(machine)
    assert "policy.failOn[0]: 'never'" in message.said
    assert len(message.body) < 32_768
    assert_untouched(scene, machine)


def test_a_machine_that_a_newer_drydock_holds_is_refused_told_of_and_left_to_it(scene: Scenario) -> None:
    machine, other = scene.machine("newer"), scene.machine("beside")
    lease = newer_lease(machine.instance_id)
    table = {"TableName": scene.stack.resource("StateTable")}
    dynamodb = scene.account.client("dynamodb")
    dynamodb.put_item(Item=lease, **table)

    refused = scene.start(machine)
    patched = scene.start(other)
    scene.run_for(minutes=12)

    found = dynamodb.get_item(Key={"pk": lease["pk"], "sk": lease["sk"]}, **table)["Item"]
    dynamodb.delete_item(Key={"pk": lease["pk"], "sk": lease["sk"]}, **table)
    scene.settle()
    assert found == lease
    assert scene.account.execution(refused).error == "NewerSchemaError"
    (message,) = scene.told(machine)
    assert (message.attributes["outcome"], "Nothing was touched." in message.said) == ("refused", True)
    assert_untouched(scene, machine)
    assert scene.account.execution(patched).status == "SUCCEEDED"
    assert scene.lease(other) is None
