"""The calls to Drydock's DynamoDB table; `leases`, `results`, `runs` and others say what the items mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypedDict

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from drydock.aws.calls import call, client, error_text, in_chunks
from drydock.catalogue.saying import say
from drydock.errors import AwsCallFailedError, NewerSchemaError, ServiceUnavailableError
from drydock.log import logger

SCHEMA = 1
"""Of everything that is stored: items, plans and reports."""
LOOKUP_INDEX = "lookup"
AWAITED_INDEX = "awaited"
MONTH_INDEX = "month"
"""Each index is named after its key; that of months is sorted by `startedAt`."""

Item = dict[str, Any]
Write = Mapping[str, Any]
"""One part of a transaction."""

_BATCH, _BATCH_ATTEMPTS = 25, 4

_KNOWN = "attribute_not_exists(#schema) OR #schema <= :schema"

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


class Key(TypedDict):
    """The primary key of an item: `pk` says whom or what it is about, `sk` which of its items it is."""

    pk: str
    sk: str


class ConditionFailedError(Exception):
    """Raised when a condition did not hold; `found` is the item that stands there, if any."""

    def __init__(self, found: Item | None) -> None:
        super().__init__(found)
        self.found = found


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {key: _plain(element) for key, element in value.items()}
    if isinstance(value, list):
        return [_plain(element) for element in value]
    return value


def _exact(value: Any) -> Any:
    """DynamoDB's numbers are decimal."""
    if isinstance(value, float):
        return Decimal(str(value))
    if isinstance(value, Mapping):
        return {key: _exact(element) for key, element in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(element) for element in value]
    return value


def _to_wire(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _serialize(_exact(value)) for key, value in values.items()}


def from_wire(item: Mapping[str, Any]) -> Item:
    """An item as plain values. Raises NewerSchemaError for one that a newer Drydock wrote."""
    plain = {key: _plain(_deserialize(value)) for key, value in item.items()}
    schema = plain.get("schema", SCHEMA)
    # What is no number is not newer: whoever reads the item says that it cannot be read.
    if isinstance(schema, int) and schema > SCHEMA:
        raise NewerSchemaError(
            say("item.newer", item=f"{plain.get('pk')} {plain.get('sk')}", schema=schema, known=SCHEMA)
        )
    return plain


class Table:
    """One DynamoDB table. Items go in and out as plain values; each carries the schema it was written with."""

    def __init__(self, name: str, dynamodb: Any = None) -> None:
        """Without a client of DynamoDB, with the function's own."""
        self.name = name
        self._client = dynamodb or client("dynamodb")

    def get(self, key: Key) -> Item | None:
        """The item with this key as it is now (a consistent read), or None.

        Raises NewerSchemaError for one that a newer Drydock wrote.
        """
        answer = self._call(self._client.get_item, Key=_to_wire(key), ConsistentRead=True)
        return from_wire(answer["Item"]) if "Item" in answer else None

    def look_up(self, index: str, value: str) -> list[Item]:
        """All items with this value in an index. Indexes are eventually consistent."""
        return self._query_all(
            IndexName=index,
            KeyConditionExpression="#key = :value",
            ExpressionAttributeNames={"#key": index},
            ExpressionAttributeValues=_to_wire({":value": value}),
        )

    def _query_all(self, **query: Any) -> list[Item]:
        items: list[Item] = []
        while True:
            answer = self._call(self._client.query, **query)
            for item in answer["Items"]:
                try:
                    items.append(from_wire(item))
                except NewerSchemaError as error:
                    # One item of a newer Drydock must not keep all the others waiting.
                    logger.warning("left to a newer version", reason=str(error))
            if "LastEvaluatedKey" not in answer:
                return items
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def put(self, item: Item, condition: str, names: Mapping[str, str], values: Mapping[str, Any]) -> None:
        """Raises ConditionFailedError."""
        new = _to_wire({"schema": SCHEMA, **item})
        self._conditionally(self._client.put_item, condition, names, values, Item=new)

    def update(
        self, key: Key, update: str, condition: str, names: Mapping[str, str], values: Mapping[str, Any]
    ) -> Item:
        """The item as it is afterwards. Raises ConditionFailedError."""
        answer = self._conditionally(
            self._client.update_item,
            condition,
            names,
            values,
            Key=_to_wire(key),
            UpdateExpression=update,
            ReturnValues="ALL_NEW",
        )
        return from_wire(answer["Attributes"])

    def delete(self, key: Key, condition: str, names: Mapping[str, str], values: Mapping[str, Any]) -> None:
        """Raises ConditionFailedError."""
        self._conditionally(self._client.delete_item, condition, names, values, Key=_to_wire(key))

    def query(self, partition: str, beginning: str = "") -> list[Item]:
        """All items of a partition whose sort keys begin so, as they are now."""
        return self._query_all(
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk" + (" AND begins_with(sk, :sk)" if beginning else ""),
            ExpressionAttributeValues=_to_wire({":pk": partition, **({":sk": beginning} if beginning else {})}),
        )

    def put_many(self, items: Iterable[Item]) -> None:
        """Put items over whatever stands there. Raises ServiceUnavailableError when DynamoDB left some out."""
        wanted = [{"PutRequest": {"Item": _to_wire({"schema": SCHEMA, **item})}} for item in items]
        for some in in_chunks(wanted, _BATCH):
            left = some
            for _ in range(_BATCH_ATTEMPTS):
                answer = call(self._client.batch_write_item, RequestItems={self.name: left})
                left = answer.get("UnprocessedItems", {}).get(self.name, [])
                if not left:
                    break
            else:
                raise ServiceUnavailableError(
                    say("table.not_written", table=self.name, count=len(left)), was_refused=True
                )

    def change(
        self, key: Key, update: str, condition: str, names: Mapping[str, str], values: Mapping[str, Any]
    ) -> Write:
        """An update, for `write_together`; an empty condition always holds."""
        return {
            "Update": {
                "TableName": self.name,
                "Key": _to_wire(key),
                "UpdateExpression": update,
                **({"ConditionExpression": condition} if condition else {}),
                **_expression(names, values),
            }
        }

    def addition(self, item: Item) -> Write:
        """A new item, for `write_together`."""
        return {
            "Put": {
                "TableName": self.name,
                "Item": _to_wire({"schema": SCHEMA, **item}),
                "ConditionExpression": "attribute_not_exists(pk)",
            }
        }

    def absence(self, key: Key) -> Write:
        """That there is no such item, for `write_together`."""
        return {
            "ConditionCheck": {
                "TableName": self.name,
                "Key": _to_wire(key),
                "ConditionExpression": "attribute_not_exists(pk)",
            }
        }

    def removal(self, key: Key, condition: str, names: Mapping[str, str], values: Mapping[str, Any]) -> Write:
        """A deletion, for `write_together`."""
        return {
            "Delete": {
                "TableName": self.name,
                "Key": _to_wire(key),
                "ConditionExpression": condition,
                **_expression(names, values),
            }
        }

    def write_together(self, writes: Sequence[Write]) -> None:
        """All writes, or none.

        Raises ConditionFailedError, ServiceUnavailableError when another write was in the way.
        """
        try:
            call(self._client.transact_write_items, "TransactionCanceledException", TransactItems=list(writes))
        except ClientError as error:
            reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
            if "ConditionalCheckFailed" not in reasons:
                raise ServiceUnavailableError(say("table.transaction_cancelled", message=error_text(error))) from error
            raise ConditionFailedError(None) from error

    def _conditionally(
        self, method: Any, condition: str, names: Mapping[str, str], values: Mapping[str, Any], **parameters: Any
    ) -> Any:
        """Write, unless the condition does not hold or a newer Drydock wrote what stands there."""
        try:
            return self._call(
                method,
                "ConditionalCheckFailedException",
                ConditionExpression=f"({condition}) AND ({_KNOWN})",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **_expression({**names, "#schema": "schema"}, {**values, ":schema": SCHEMA}),
                **parameters,
            )
        except ClientError as error:
            found: Any = error.response.get("Item")
            raise ConditionFailedError(from_wire(found) if found else None) from error

    def _call(self, method: Any, *expected: str, **parameters: Any) -> Any:
        try:
            return call(method, *expected, TableName=self.name, **parameters)
        except AwsCallFailedError as error:
            raise AwsCallFailedError(say("table.refused", table=self.name, reason=str(error))) from error


def _expression(names: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    expression: dict[str, Any] = {}
    if names:
        expression["ExpressionAttributeNames"] = dict(names)
    if values:
        expression["ExpressionAttributeValues"] = _to_wire(values)
    return expression
