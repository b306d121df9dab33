"""The calls that read and write items. Each is refused as DynamoDB refuses it, by name and message.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/CommonErrors.html and the page of each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from itertools import chain, takewhile
from typing import Any

from moto.dynamodb.exceptions import ResourceNotFoundException
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends

from rehearsal.engine.answers import Answer, AWSError
from rehearsal.engine.dynamodb.expressions import (
    KeyTerm,
    Parsed,
    ParsedCondition,
    ParsedProjection,
    ParsedUpdate,
    parse_condition,
    parse_key_condition,
    parse_projection,
    parse_update,
)
from rehearsal.engine.dynamodb.items import Index, Items, Key, Order, Version
from rehearsal.engine.dynamodb.values import Attributes, give, refuse, refuse_values, size_of, take, take_all

Parameters = Mapping[str, Any]

LARGEST_ITEM = 400 * 1024
"""Bytes: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""
LARGEST_PAGE = 1 << 20
"""Bytes that a query or a scan reads at most."""
LARGEST_TRANSACTION = 100
LARGEST_BATCH, LARGEST_READING = 25, 100

_NOT_HELD = "The conditional request failed"
_NO_TEXT = "The AttributeValue for a key attribute cannot contain an empty string value."


class DynamoDB:
    """The items of the tables that moto has, in the account and the Region of the rehearsal."""

    def __init__(self, account: str, region: str, now: Callable[[], float], late: float) -> None:
        self._account = account
        self._region = region
        self._now = now
        self._late = late
        self._answers: dict[str, Answer] = {
            "GetItem": self.get_item,
            "PutItem": self.put_item,
            "UpdateItem": self.update_item,
            "DeleteItem": self.delete_item,
            "Query": self.query,
            "Scan": self.scan,
            "TransactWriteItems": self.transact_write_items,
            "BatchWriteItem": self.batch_write_item,
            "BatchGetItem": self.batch_get_item,
        }

    def find_answer(self, service: str, operation: str) -> Answer | None:
        """Return what answers an operation, None when it is not about items."""
        return self._answers.get(operation) if service == "dynamodb" else None

    def get_item(self, parameters: Parameters) -> dict[str, Any]:
        _know("GetItem", parameters, "Key", "ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames")
        items = self._items(parameters)
        wanted = _read_projection(parameters)
        _check_use(parameters, wanted)
        version = items.find(_read_key(items, parameters["Key"]))
        if version is None:
            return {}
        return {"Item": _project(version, wanted, parameters)}

    def put_item(self, parameters: Parameters) -> dict[str, Any]:
        _know("PutItem", parameters, "Item", *_CONDITIONAL, "ReturnValues")
        return _answer_old(parameters, _Put(self._items(parameters), parameters).carry_out())

    def update_item(self, parameters: Parameters) -> dict[str, Any]:
        _know("UpdateItem", parameters, "Key", "UpdateExpression", *_CONDITIONAL, "ReturnValues")
        write = _Update(self._items(parameters), parameters)
        before = write.carry_out()
        if parameters.get("ReturnValues") == "ALL_NEW":
            after = write.items.find(write.key)
            return {"Attributes": after.copy()} if after is not None else {}
        if parameters.get("ReturnValues") == "UPDATED_NEW":
            return write.answer_updated()
        return _answer_old(parameters, before)

    def delete_item(self, parameters: Parameters) -> dict[str, Any]:
        _know("DeleteItem", parameters, "Key", *_CONDITIONAL, "ReturnValues")
        return _answer_old(parameters, _Delete(self._items(parameters), parameters).carry_out())

    def transact_write_items(self, parameters: Parameters) -> dict[str, Any]:
        _know("TransactWriteItems", parameters, "TransactItems")
        wanted = parameters["TransactItems"]
        if len(wanted) > LARGEST_TRANSACTION:
            raise refuse(
                "1 validation error detected at 'transactItems' failed to satisfy constraint: "
                f"Member must have length less than or equal to {LARGEST_TRANSACTION}."
            )
        writes = [self._read_write(entry) for entry in wanted]
        if len({(id(write.items), write.key) for write in writes}) < len(writes):
            raise refuse("Transaction request cannot include multiple operations on one item")
        reasons: list[dict[str, Any]] = []
        versions: list[Version | None] = []
        for write in writes:
            try:
                write.check()
                versions.append(write.make())
                reasons.append({"Code": "None"})
            except AWSError as error:
                code = "ConditionalCheckFailed" if error.code == _FAILED else "ValidationError"
                reasons.append({"Code": code, "Message": str(error), **error.details})
        if len(versions) < len(writes):
            codes = ", ".join(reason["Code"] for reason in reasons)
            message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
            raise AWSError("TransactionCanceledException", message, CancellationReasons=reasons, Message=message)
        for write, version in zip(writes, versions, strict=True):
            write.keep(version)
        return {}

    def batch_write_item(self, parameters: Parameters) -> dict[str, Any]:
        _know("BatchWriteItem", parameters, "RequestItems")
        wanted = [(self._find(name), request) for name, some in parameters["RequestItems"].items() for request in some]
        if len(wanted) > LARGEST_BATCH:
            raise refuse("Too many items requested for the BatchWriteItem call")
        writes: list[_Write] = []
        for items, request in wanted:
            ((kind, given),) = request.items()
            writes.append(_Put(items, given) if kind == "PutRequest" else _Delete(items, given))
        if len({(id(write.items), write.key) for write in writes}) < len(writes):
            raise refuse("Provided list of item keys contains duplicates")
        for write in writes:
            write.carry_out()
        return {"UnprocessedItems": {}}

    def batch_get_item(self, parameters: Parameters) -> dict[str, Any]:
        _know("BatchGetItem", parameters, "RequestItems")
        asked = parameters["RequestItems"]
        if sum(len(given["Keys"]) for given in asked.values()) > LARGEST_READING:
            raise refuse("Too many items requested for the BatchGetItem call")
        answers: dict[str, list[Attributes]] = {}
        for name, given in asked.items():
            _know("BatchGetItem", given, "Keys", "ConsistentRead")
            items = self._find(name)
            keys = [_read_key(items, key) for key in given["Keys"]]
            if len(set(keys)) < len(keys):
                raise refuse("Provided list of item keys contains duplicates")
            answers[name] = [found.copy() for key in keys if (found := items.find(key)) is not None]
        return {"Responses": answers, "UnprocessedKeys": {}}

    def query(self, parameters: Parameters) -> dict[str, Any]:
        _know("Query", parameters, "IndexName", "KeyConditionExpression", "ScanIndexForward", "Limit", *_READING)
        items = self._items(parameters)
        index = _read_index(items, parameters)
        condition = parse_key_condition(parameters["KeyConditionExpression"])
        filtered, wanted = _read_filter(parameters), _read_projection(parameters)
        _check_use(parameters, condition, filtered, wanted)
        keys = index.keys if index else items.keys
        value, term = _read_terms(condition.terms, keys, parameters)
        low, holds = _read_range(term, parameters)
        start, backwards = _read_start(items, index, parameters), not parameters.get("ScanIndexForward", True)
        if index is None:
            found = [((sort, value, sort), version) for sort, version in items.in_partition(value, low)]
        else:
            found = items.in_index(index, value, low)
        # What holds for a sort key holds for all between it and the lowest.
        found = list(takewhile(lambda entry: holds(entry[0][0]), found))
        if backwards:
            found.reverse()
        if start is not None:
            found = [entry for entry in found if (entry[0] < start if backwards else entry[0] > start)]
        return _answer_page(items, index, found, filtered, wanted, parameters)

    def scan(self, parameters: Parameters) -> dict[str, Any]:
        _know("Scan", parameters, *_READING)
        items = self._items(parameters)
        filtered, wanted = _read_filter(parameters), _read_projection(parameters)
        _check_use(parameters, filtered, wanted)
        start = _read_start(items, None, parameters)
        found = [entry for entry in items.everything() if start is None or entry[0] > start[1:]]
        return _answer_page(items, None, found, filtered, wanted, parameters)

    @cached_property
    def _backend(self) -> DynamoDBBackend:
        return dynamodb_backends[self._account][self._region]

    def _items(self, parameters: Parameters) -> Items:
        return self._find(parameters["TableName"])

    def _find(self, name: str) -> Items:
        try:
            table = self._backend.get_table(name)
        except ResourceNotFoundException:
            raise AWSError("ResourceNotFoundException", "Requested resource not found") from None
        kept: Items | None = vars(table).get("rehearsed_items")
        if kept is None:
            # With the table they go.
            kept = vars(table)["rehearsed_items"] = Items(table, self._now, self._late)
        return kept

    def _read_write(self, entry: Parameters) -> _Write:
        if len(entry) != 1:
            raise refuse("TransactItems can only contain one of Check, Put, Update or Delete")
        ((kind, given),) = entry.items()
        _know(kind, given, *_TRANSACTED[kind])
        return _WRITES[kind](self._items(given), given)


_CONDITIONAL = (
    "ConditionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ReturnValuesOnConditionCheckFailure",
)
_READING = (
    "ConsistentRead",
    "ExclusiveStartKey",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "FilterExpression",
    "ProjectionExpression",
)
_FAILED = "ConditionalCheckFailedException"


def _know(operation: str, parameters: Parameters, *known: str) -> None:
    """Raise NotImplementedError for a parameter that asks for more than the project does."""
    for name in parameters:
        if name != "TableName" and name not in known:
            raise NotImplementedError(f"{operation} with {name} is not rehearsed by the account's own DynamoDB")


class _Write:
    """One write of one item, under its condition."""

    key: Key

    def __init__(self, items: Items, parameters: Parameters, *more: Parsed | None) -> None:
        self.items = items
        text = parameters.get("ConditionExpression")
        self._condition: ParsedCondition | None = None if text is None else parse_condition("ConditionExpression", text)
        _check_use(parameters, self._condition, *more)
        self.names: Mapping[str, str] = parameters.get("ExpressionAttributeNames") or {}
        self.values = take_all(parameters.get("ExpressionAttributeValues") or {})
        self._tells = parameters.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"

    def check(self) -> None:
        """Raise AWSError when the condition does not hold."""
        before = self.items.find(self.key)
        if self._condition is None:
            return
        if not self._condition.holds(before.attributes if before else {}, self.names, self.values):
            more = {"Item": before.copy()} if before is not None and self._tells else {}
            raise AWSError(_FAILED, _NOT_HELD, **more)

    def make(self) -> Version | None:
        """Return the item after the write, None when there is none; raises AWSError."""
        raise NotImplementedError

    def keep(self, version: Version | None) -> None:
        """Write what `make` returned."""
        self.items.write(self.key, version)

    def carry_out(self) -> Version | None:
        """Write when the condition holds, and return what stood there; raises AWSError."""
        self.check()
        before, after = self.items.find(self.key), self.make()
        self.keep(after)
        return before


class _Put(_Write):
    def __init__(self, items: Items, parameters: Parameters) -> None:
        super().__init__(items, parameters)
        self._attributes = take_all(parameters["Item"])
        for name in items.keys:
            if name not in self._attributes:
                raise refuse_values(f"Missing the key {name} in the item")
        self.key = _read_key(items, {name: self._attributes[name] for name in items.keys})
        _check_index_keys(items, self._attributes, self._attributes)
        self._size = size_of(self._attributes)
        if self._size > LARGEST_ITEM:
            raise refuse("Item size has exceeded the maximum allowed size")

    def make(self) -> Version:
        return Version(self._attributes, self._size)


class _Update(_Write):
    def __init__(self, items: Items, parameters: Parameters) -> None:
        self._update: ParsedUpdate = parse_update(parameters["UpdateExpression"])
        super().__init__(items, parameters, self._update)
        self.key = _read_key(items, parameters["Key"])
        changed = self._paths = self._update.resolve(self.names)
        self._changed = {str(path[0]) for path in changed}
        for name in items.keys:
            if name in self._changed:
                raise refuse_values(f"Cannot update attribute {name}. This attribute is part of the key")
        # What is set has the values and names that were given, once each or more often.
        names = sum(len(name.encode()) + 4 for name in self.names.values())
        self._given = (size_of(self.values) + names + len(parameters["UpdateExpression"])) * len(changed)

    def make(self) -> Version:
        before = self.items.find(self.key)
        old = (
            before.attributes
            if before
            else {name: {"S": text} for name, text in zip(self.items.keys, self.key, strict=False)}
        )
        new = self._update.apply(old, self.names, self.values)
        _check_index_keys(self.items, new, self._changed)
        version = Version(new, (before.at_most if before else size_of(old)) + self._given)
        # To measure the whole item takes longer than everything else.
        if self._update.copies or version.at_most > LARGEST_ITEM:
            version.at_most = version.size
            if version.at_most > LARGEST_ITEM:
                raise refuse("Item size to update has exceeded the maximum allowed size")
        return version

    def answer_updated(self) -> dict[str, Any]:
        """What stands now in the attributes that were updated."""
        if any(len(path) > 1 for path in self._paths):
            raise NotImplementedError(
                "UPDATED_NEW of a nested attribute is not rehearsed by the account's own DynamoDB"
            )
        after = self.items.find(self.key)
        attributes = after.attributes if after is not None else {}
        updated = {name: value for name, value in attributes.items() if name in self._changed}
        return {"Attributes": give(updated)} if updated else {}


class _Delete(_Write):
    def __init__(self, items: Items, parameters: Parameters) -> None:
        super().__init__(items, parameters)
        self.key = _read_key(items, parameters["Key"])

    def make(self) -> None:
        return None


class _Check(_Delete):
    def make(self) -> Version | None:  # type: ignore[override]
        return self.items.find(self.key)

    def keep(self, version: Version | None) -> None:
        """Nothing: it was only looked at."""


_WRITES: Mapping[str, Callable[[Items, Parameters], _Write]] = {
    "Put": _Put,
    "Update": _Update,
    "Delete": _Delete,
    "ConditionCheck": _Check,
}
_TRANSACTED = {
    "Put": ("Item", *_CONDITIONAL),
    "Update": ("Key", "UpdateExpression", *_CONDITIONAL),
    "Delete": ("Key", *_CONDITIONAL),
    "ConditionCheck": ("Key", *_CONDITIONAL),
}


def _answer_old(parameters: Parameters, before: Version | None) -> dict[str, Any]:
    wanted = parameters.get("ReturnValues", "NONE")
    if wanted not in ("NONE", "ALL_OLD"):
        raise NotImplementedError(f"ReturnValues {wanted} is not rehearsed by the account's own DynamoDB")
    return {"Attributes": before.copy()} if wanted == "ALL_OLD" and before is not None else {}


def _read_key(items: Items, key: Mapping[str, Mapping[str, Any]]) -> Key:
    if set(key) != set(items.keys):
        raise refuse("The provided key element does not match the schema")
    texts = []
    for name in items.keys:
        value = take(key[name])
        if "S" not in value:
            raise refuse_values(f"Type mismatch for key {name} expected: S actual: {next(iter(value))}")
        if not value["S"]:
            raise refuse(f"One or more parameter values are not valid. {_NO_TEXT} Key: {name}")
        texts.append(value["S"])
    return texts[0], texts[1] if len(texts) > 1 else ""


def _check_index_keys(items: Items, attributes: Attributes, changed: Iterable[str]) -> None:
    for index in items.indexes.values():
        for name in index.keys:
            if name not in changed or name not in attributes:
                continue
            value = attributes[name]
            if "S" not in value:
                actual = next(iter(value))
                raise refuse_values(
                    f"Type mismatch for Index Key {name} Expected: S Actual: {actual} IndexName: {index.name}"
                )
            if not value["S"]:
                raise refuse(
                    "One or more parameter values are not valid. A value specified for a secondary index key is not "
                    f"supported. {_NO_TEXT} IndexName: {index.name}, IndexKey: {name}"
                )


def _check_use(parameters: Parameters, *expressions: Parsed | None) -> None:
    """Refuse what is used and not given, and what is given and not used."""
    for kind, what in (("Names", "name"), ("Values", "value")):
        given: Mapping[str, Any] = parameters.get(f"ExpressionAttribute{kind}") or {}
        used: set[str] = set()
        for expression in expressions:
            if expression is None:
                continue
            these = expression.names if kind == "Names" else expression.values
            used |= these
            for name in these:
                if name not in given:
                    where = "the document path" if kind == "Names" else "expression"
                    raise refuse(
                        f"Invalid {expression.what}: An expression attribute {what} used in {where} is not defined; "
                        f"attribute {what}: {name}"
                    )
        for name in given:
            if name not in used:
                raise refuse(f"Value provided in ExpressionAttribute{kind} unused in expressions: keys: {{{name}}}")


def _read_projection(parameters: Parameters) -> ParsedProjection | None:
    text = parameters.get("ProjectionExpression")
    return None if text is None else parse_projection(text)


def _read_filter(parameters: Parameters) -> ParsedCondition | None:
    text = parameters.get("FilterExpression")
    return None if text is None else parse_condition("FilterExpression", text)


def _read_index(items: Items, parameters: Parameters) -> Index | None:
    name = parameters.get("IndexName")
    if name is None:
        return None
    if name not in items.indexes:
        raise refuse(f"The table does not have the specified index: {name}")
    if parameters.get("ConsistentRead"):
        raise refuse("Consistent reads are not supported on global secondary indexes")
    return items.indexes[name]


def _read_start(items: Items, index: Index | None, parameters: Parameters) -> Order | None:
    """Return where the last page ended."""
    start = parameters.get("ExclusiveStartKey")
    if start is None:
        return None
    key = _read_key(items, {name: start[name] for name in items.keys if name in start})
    return (start[index.sort]["S"] if index and index.sort else key[1], *key)


def _read_terms(
    terms: tuple[KeyTerm, ...], keys: tuple[str, ...], parameters: Parameters
) -> tuple[str, KeyTerm | None]:
    """Return the partition that is asked for, and what is asked of the sort key."""
    names: Mapping[str, str] = parameters.get("ExpressionAttributeNames") or {}
    by_name = {str(term.path.resolve(names)[0]): term for term in terms}
    partition = by_name.pop(keys[0], None)
    if partition is None:
        raise refuse(f"Query condition missed key schema element: {keys[0]}")
    if partition.comparator != "=" or len(by_name) != len(terms) - 1 or not by_name.keys() <= set(keys[1:]):
        raise refuse("Query key condition not supported")
    return _read_text(partition.values[0], keys[0], parameters), by_name.get(keys[-1])


def _read_text(value: str, name: str, parameters: Parameters) -> str:
    found = take(parameters["ExpressionAttributeValues"][value])
    if "S" not in found:
        raise refuse_values("Condition parameter type does not match schema type")
    if not found["S"]:
        raise refuse(f"One or more parameter values are not valid. {_NO_TEXT} Key: {name}")
    text: str = found["S"]
    return text


def _read_range(term: KeyTerm | None, parameters: Parameters) -> tuple[str, Callable[[str], bool]]:
    """Return the lowest sort key that is asked for, and what is asked of those from it on."""
    if term is None:
        return "", lambda sort: True
    first, *rest = [_read_text(value, str(term.path.parts[-1]), parameters) for value in term.values]
    tests: Mapping[str, tuple[str, Callable[[str], bool]]] = {
        "=": (first, lambda sort: sort == first),
        "<": ("", lambda sort: sort < first),
        "<=": ("", lambda sort: sort <= first),
        # The lowest text that is larger.
        ">": (first + "\0", lambda sort: True),
        ">=": (first, lambda sort: True),
        "BETWEEN": (first, lambda sort: sort <= rest[0]),
        "begins_with": (first, lambda sort: sort.startswith(first)),
    }
    return tests[term.comparator]


def _project(version: Version, wanted: ParsedProjection | None, parameters: Parameters) -> Attributes:
    if wanted is None:
        return version.copy()
    names: Mapping[str, str] = parameters.get("ExpressionAttributeNames") or {}
    found: Attributes = {}
    for path in wanted.paths:
        if len(path.parts) > 1:
            raise NotImplementedError("projections of what is inside an attribute are not rehearsed")
        value = path.find(version.attributes, names)
        if value is not None:
            found[str(path.resolve(names)[0])] = value
    return give(found)


def _answer_page(
    items: Items,
    index: Index | None,
    found: Iterable[tuple[object, Version]],
    filtered: ParsedCondition | None,
    wanted: ParsedProjection | None,
    parameters: Parameters,
) -> dict[str, Any]:
    """Return the first page of what was found."""
    names: Mapping[str, str] = parameters.get("ExpressionAttributeNames") or {}
    values = take_all(parameters.get("ExpressionAttributeValues") or {}) if filtered else {}
    read: list[Version] = []
    # Where so many were read, nobody has looked whether there are more:
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html
    size, more, most = 0, {}, parameters.get("Limit", 0)
    for _, version in chain(found, [(None, None)]):
        size += version.size if version else 0
        if (version and size > LARGEST_PAGE and read) or (most and len(read) == most):
            last = read[-1].attributes
            more = {
                "LastEvaluatedKey": give({name: last[name] for name in (*items.keys, *(index.keys if index else ()))})
            }
            break
        if version:
            read.append(version)
    kept = [one for one in read if filtered is None or filtered.holds(one.attributes, names, values)]
    answered = [_project(one, wanted, parameters) for one in kept]
    return {"Items": answered, "Count": len(kept), "ScannedCount": len(read), **more}
