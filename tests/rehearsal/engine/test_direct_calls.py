"""The fast way for the busiest calls answers as the whole way does."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.deployment import Stack
from tests.rehearsal.conftest import on_each_dynamodb

TABLE = "drydock-State"


@on_each_dynamodb
def test_a_resource_speaks_python_and_a_client_the_api_side_by_side(
    engine: EmbeddedAccount, engine_stack: Stack
) -> None:
    # What a resource registers with its client is what moto's own tests, verified on AWS, rely on.
    client = boto3.client("dynamodb")
    table = boto3.resource("dynamodb", region_name="ap-northeast-1").Table(TABLE)
    table.put_item(Item={"pk": "a", "at": {"n": 123}})
    assert table.get_item(Key={"pk": "a"})["Item"] == {"pk": "a", "at": {"n": 123}}
    item = {"pk": {"S": "a"}, "at": {"M": {"n": {"N": "123"}}}}
    assert client.get_item(TableName=TABLE, Key={"pk": {"S": "a"}})["Item"] == item


@on_each_dynamodb
def test_a_key_without_a_text_is_refused_in_a_transaction_too(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    # moto's test_transaction_with_empty_key, which was verified on AWS.
    boto3.resource("dynamodb", region_name="ap-northeast-1").Table(TABLE).put_item(Item={"pk": "a"})
    update = {
        "TableName": TABLE,
        "Key": {"pk": {"S": ""}},
        "UpdateExpression": "SET sth = :v",
        "ExpressionAttributeValues": {":v": {"N": "0"}},
    }
    with pytest.raises(ClientError) as refused:
        engine.client("dynamodb").transact_write_items(TransactItems=[{"Update": update}])
    assert refused.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain "
        "an empty string value. Key: pk",
    }


@on_each_dynamodb
def test_what_was_not_asked_for_is_not_answered(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    # LocalStack's recordings of DynamoDB in state machines, 2023-10-26.
    client: Any = engine.client("dynamodb")
    key = {"pk": {"S": "a"}}
    answers = [
        client.put_item(TableName=TABLE, Item=key),
        client.update_item(
            TableName=TABLE, Key=key, UpdateExpression="SET n = :n", ExpressionAttributeValues={":n": {"N": "1"}}
        ),
        client.delete_item(TableName=TABLE, Key=key),
    ]
    assert [set(answer) for answer in answers] == [{"ResponseMetadata"}] * 3


@on_each_dynamodb
def test_a_set_may_be_given_as_a_tuple(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    client = engine.client("dynamodb")
    client.put_item(TableName=TABLE, Item={"pk": {"S": "a"}, "set": {"SS": ("x", "y")}})
    assert client.get_item(TableName=TABLE, Key={"pk": {"S": "a"}})["Item"]["set"] == {"SS": ["x", "y"]}


@on_each_dynamodb
def test_an_update_answers_what_it_has_updated_where_that_is_asked_for(
    engine: EmbeddedAccount, engine_stack: Stack
) -> None:
    client = engine.client("dynamodb")
    client.put_item(TableName=TABLE, Item={"pk": {"S": "a"}, "n": {"N": "1"}, "other": {"S": "stays"}})
    answer = client.update_item(
        TableName=TABLE,
        Key={"pk": {"S": "a"}},
        UpdateExpression="SET n = :n REMOVE gone",
        ExpressionAttributeValues={":n": {"N": "2"}},
        ReturnValues="UPDATED_NEW",
    )
    assert answer["Attributes"] == {"n": {"N": "2"}}


def test_a_refusal_has_the_status_that_the_services_model_gives_it(engine: EmbeddedAccount) -> None:
    with pytest.raises(ClientError) as refused:
        engine.client("sns").publish(TopicArn="arn:aws:sns:ap-northeast-1:123456789012:nobody", Message="m")
    response = refused.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == ("NotFound", 404)
