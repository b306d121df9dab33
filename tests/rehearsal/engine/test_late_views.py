"""What AWS calls eventually consistent is a little behind: lists of executions, and the indexes of a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from rehearsal.account import EmbeddedAccount
from tests.rehearsal.conftest import DYNAMODBS

WAIT = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 10, "End": True}}}


@pytest.fixture
def account(request: pytest.FixtureRequest) -> Iterator[EmbeddedAccount]:
    with EmbeddedAccount(late_seconds=2, dynamodb=getattr(request, "param", None)) as opened:
        yield opened


def pass_time(account: EmbeddedAccount, seconds: float) -> None:
    end = account.clock.now() + timedelta(seconds=seconds)
    account.clock.call_at(end, lambda: None)
    account.clock.run(until=lambda: account.clock.now() >= end)


def test_an_execution_is_listed_late_and_as_it_was_but_described_as_it_is(account: EmbeddedAccount) -> None:
    states = account.client("stepfunctions")
    role = "arn:aws:iam::123456789012:role/drydock"
    machine = states.create_state_machine(name="drydock-Waits", definition=json.dumps(WAIT), roleArn=role)
    arn = machine["stateMachineArn"]
    execution = states.start_execution(stateMachineArn=arn)["executionArn"]

    def listed(**wanted: Any) -> list[str]:
        return [one["status"] for one in states.list_executions(stateMachineArn=arn, **wanted)["executions"]]

    def described() -> str:
        return str(states.describe_execution(executionArn=execution)["status"])

    assert (listed(), described()) == ([], "RUNNING")
    pass_time(account, 3)
    assert listed(statusFilter="RUNNING") == ["RUNNING"]
    pass_time(account, 8)
    assert (listed(), listed(statusFilter="SUCCEEDED"), described()) == (["RUNNING"], [], "SUCCEEDED")
    pass_time(account, 2)
    assert (listed(), listed(statusFilter="RUNNING"), described()) == (["SUCCEEDED"], [], "SUCCEEDED")


@pytest.mark.parametrize("account", DYNAMODBS, indirect=True)
def test_an_index_shows_items_as_they_were_and_a_consistent_read_as_they_are(account: EmbeddedAccount) -> None:
    table = {"TableName": "Items"}
    dynamodb = account.client("dynamodb")
    key = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
    names = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "lookup")]
    index = {"IndexName": "lookup", "KeySchema": [{"AttributeName": "lookup", "KeyType": "HASH"}]}
    dynamodb.create_table(
        KeySchema=key,
        AttributeDefinitions=names,
        GlobalSecondaryIndexes=[{**index, "Projection": {"ProjectionType": "ALL"}}],
        BillingMode="PAY_PER_REQUEST",
        **table,
    )
    item = {"pk": {"S": "a"}, "sk": {"S": "b"}}

    def indexed() -> list[str]:
        values = {":open": {"S": "OPEN"}}
        condition = {"KeyConditionExpression": "lookup = :open", "ExpressionAttributeValues": values}
        found = dynamodb.query(IndexName="lookup", **condition, **table)["Items"]
        return [one["phase"]["S"] for one in found]

    def write(change: str, **phase: str) -> None:
        values = {f":{name}": {"S": value} for name, value in phase.items()}
        more: dict[str, Any] = {"ExpressionAttributeValues": values} if values else {}
        dynamodb.update_item(Key=item, UpdateExpression=change, **more, **table)

    dynamodb.put_item(Item={**item, "lookup": {"S": "OPEN"}, "phase": {"S": "one"}}, **table)
    assert indexed() == []
    pass_time(account, 3)
    assert indexed() == ["one"]

    write("SET phase = :phase", phase="two")
    pass_time(account, 1)
    write("SET phase = :phase", phase="three")
    assert indexed() == ["one"]
    pass_time(account, 1.5)
    assert indexed() == ["two"]
    pass_time(account, 1)
    assert indexed() == ["three"]

    write("REMOVE lookup")
    assert indexed() == ["three"]
    assert "lookup" not in dynamodb.get_item(Key=item, ConsistentRead=True, **table)["Item"]
    pass_time(account, 3)
    assert indexed() == []

    write("SET lookup = :open", open="OPEN")
    pass_time(account, 3)
    dynamodb.delete_item(Key=item, **table)
    assert indexed() == ["three"]
    pass_time(account, 3)
    assert indexed() == []
