"""What the account's own DynamoDB does that moto's does not; all else is shown by tests/properties/test_dynamodb.py."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.deployment import Stack

TABLE = {"TableName": "drydock-State"}
KEY = {"pk": {"S": "a"}}
own = pytest.mark.parametrize("engine", ["own"], indirect=True)


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    told = error.value.response["Error"]
    return told["Code"], told["Message"]


@own
@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("#none = :one", "name used in the document path is not defined; attribute name: #none"),
        ("n = :one AND n = :none", "value used in expression is not defined; attribute value: :none"),
    ],
)
def test_what_stands_for_something_must_be_given(
    engine: EmbeddedAccount, engine_stack: Stack, condition: str, message: str
) -> None:
    with pytest.raises(ClientError) as error:
        engine.client("dynamodb").put_item(
            Item=KEY, ConditionExpression=condition, ExpressionAttributeValues={":one": {"N": "1"}}, **TABLE
        )
    told = f"Invalid ConditionExpression: An expression attribute {message}"
    assert refusal(error) == ("ValidationException", told)


@own
def test_a_page_ends_before_a_megabyte_and_the_next_goes_on(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    client = engine.client("dynamodb")
    names = [f"{number:02}" for number in range(12)]
    for name in names:
        client.put_item(Item={"pk": {"S": name}, "large": {"S": "x" * 200_000}}, **TABLE)
    pages = list(client.get_paginator("scan").paginate(**TABLE))
    assert [[item["pk"]["S"] for item in page["Items"]] for page in pages] == [names[:5], names[5:10], names[10:]]


@own
def test_an_item_that_grows_is_refused_at_400_kilobytes(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    client = engine.client("dynamodb")

    def grow(name: str, length: int) -> None:
        value = {":text": {"S": "x" * length}}
        client.update_item(Key=KEY, UpdateExpression=f"SET {name} = :text", ExpressionAttributeValues=value, **TABLE)

    for _ in range(20):
        grow("same", 100_000)
    # The key takes 3 bytes, the names 4 and 6, the texts the rest.
    with pytest.raises(ClientError) as error:
        grow("larger", 400 * 1024 - 100_000 - 12)
    assert refusal(error) == ("ValidationException", "Item size to update has exceeded the maximum allowed size")
    grow("larger", 400 * 1024 - 100_000 - 13)


@own
def test_what_the_project_does_not_use_is_refused(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    client: Any = engine.client("dynamodb")
    with pytest.raises(NotImplementedError, match="PutItem with Expected is not rehearsed"):
        client.put_item(Item=KEY, Expected={"pk": {"Exists": False}}, **TABLE)
    with pytest.raises(ParamValidationError, match="Unknown parameter"):
        client.put_item(Item=KEY, Unknown=1, **TABLE)
    with pytest.raises(ParamValidationError, match="Invalid type"):
        client.put_item(Item={"pk": {"S": 1}}, **TABLE)
