"""Repairs of moto's DynamoDB: what is right there, but takes time that grows with the table."""

from __future__ import annotations

import copy
import inspect
import json
from collections import deque
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from moto.dynamodb import models, responses
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.exceptions import ItemSizeToUpdateTooLarge
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models import table as tables
from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict
from moto.dynamodb.models.table import Table
from moto.dynamodb.models.utilities import dynamo_to_dict
from moto.dynamodb.parsing.ast_nodes import DepthFirstTraverser, Node
from moto.dynamodb.parsing.expressions import UpdateExpressionParser
from moto.dynamodb.parsing.validators import (
    ActionCountValidator,
    OverlappingPathsValidator,
    UpdateExpressionValidator,
    UpdateHashRangeKeyValidator,
)
from moto.dynamodb.responses import DynamoHandler, DynamoResult

from rehearsal.engine.repairs.patches import Patches

LARGEST_ITEM = 405_000
"""Bytes that moto lets an item have."""


def repair_transactions(patches: Patches) -> None:
    """moto copies the whole table for every transaction, to be able to take it back."""

    def transact(original: Callable[..., None], self: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        touched = []
        for entry in transact_items:
            operation = next(iter(entry.values()))
            table = self.get_table(operation["TableName"])
            source = operation.get("Key") or operation["Item"]
            names = [name for name in (table.hash_key_attr, table.range_key_attr) if name]
            key = {name: source[name] for name in names if name in source}
            touched.append((table, key, copy.deepcopy(self.get_item(operation["TableName"], key))))
        try:
            original(self, transact_items)
        except Exception:
            for table, key, before in touched:
                hash_value, range_value = self.get_keys_value(table, key)
                if before is None:
                    table.delete_item(hash_value, range_value)
                elif range_value:
                    table.items[hash_value][range_value] = before
                else:
                    table.items[hash_value] = before
            raise

    # What it copies besides is the item before an update, for a stream, which no table of the project has.
    patches.replace(models, "copy", _NoCopies)
    patches.wrap(DynamoDBBackend, "transact_write_items", transact)


def repair_queries(patches: Patches) -> None:
    """moto sorts the whole table for every query, and copies what it finds although the answer is a copy again."""

    def query(
        original: Callable[..., Any],
        self: Table,
        hash_key: DynamoType | None,
        *arguments: Any,
        hash_key_conditions: list[tuple[str, DynamoType]],
        **keywords: Any,
    ) -> Any:
        index_name, consistent = arguments[_INDEX_NAME], arguments[_CONSISTENT]
        wanted = dict(hash_key_conditions)
        if index_name and wanted:
            found = [item for item in _Indexes.show(_all_items(self), self) if _has_attributes(item, wanted)]
            if not found and not consistent and any(index.name == index_name for index in self.all_indexes()):
                return [], 0, None
        elif not index_name and hash_key is not None and self.range_key_attr:
            found = list(self.items[hash_key].values()) if hash_key in self.items else []
        else:
            return original(self, hash_key, *arguments, hash_key_conditions=hash_key_conditions, **keywords)
        found.sort(key=lambda item: (item.hash_key, item.range_key) if item.range_key else item.hash_key)
        self.all_items = lambda: found
        try:
            return original(self, hash_key, *arguments, hash_key_conditions=hash_key_conditions, **keywords)
        finally:
            del self.all_items

    patches.wrap(Table, "query", query)
    patches.replace(tables, "copy", _NoCopies)


_AFTER_THE_KEY = list(inspect.signature(Table.query).parameters)[2:]
_INDEX_NAME, _CONSISTENT = (_AFTER_THE_KEY.index(name) for name in ("index_name", "consistent_read"))


def repair_projections(patches: Patches) -> None:
    """moto reads the whole item anew for each attribute that an index, or a request, wants of it."""

    def project(original: Callable[..., Item], self: Item, paths: list[list[str]]) -> Item:
        if any(len(path) != 1 or "[" in path[0] for path in paths):
            return original(self, paths)
        item = Item(self.hash_key, self.range_key, {})
        item.attrs.update((name, self.attrs[name]) for (name,) in paths if name in self.attrs)
        return item

    patches.wrap(Item, "project", project)


def _all_items(table: Table) -> list[Item]:
    if table.range_key_attr:
        return [item for items in table.items.values() for item in items.values()]
    return list(table.items.values())


_Earlier = tuple[float, Any, Item | None]
"""When an item was written, its key, and what stood there before."""


def delay_indexes(patches: Patches, now: Callable[[], float], seconds: float) -> None:
    """moto's global indexes show a write at once; AWS's follow the table "within a fraction of a second, under normal
    conditions", and later otherwise:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html
    """

    def note(table: Table, hash_key: Any, range_key: Any) -> None:
        if not table.global_indexes:
            return
        earlier: deque[_Earlier] = vars(table).setdefault("earlier", deque())
        while earlier and earlier[0][0] <= now() - seconds:
            earlier.popleft()
        found = table.get_item(hash_key, range_key)
        before = copy.copy(found) if found is not None else None
        if before is not None:
            # Nested values are changed in place, but no index of the project holds any.
            before.attrs = copy.copy(before.attrs)
        earlier.append((now(), (hash_key, range_key), before))

    def put(original: Callable[..., Item], self: Table, item_attrs: dict[str, Any], *more: Any, **options: Any) -> Item:
        keys = [
            DynamoType(item_attrs[name]) for name in (self.hash_key_attr, self.range_key_attr) if name in item_attrs
        ]
        if len(keys) == 2:
            note(self, *keys)
        return original(self, item_attrs, *more, **options)

    def delete(original: Callable[..., Item | None], self: Table, hash_key: Any, range_key: Any) -> Item | None:
        note(self, hash_key, range_key)
        return original(self, hash_key, range_key)

    def update(
        original: Callable[..., Item], self: DynamoDBBackend, table_name: str, key: Any, *more: Any, **options: Any
    ) -> Item:
        table = self.get_table(table_name)
        if table.hash_key_attr in key and table.range_key_attr in key:
            note(table, DynamoType(key[table.hash_key_attr]), DynamoType(key[table.range_key_attr]))
        return original(self, table_name, key, *more, **options)

    def show(items: list[Item], table: Table) -> list[Item]:
        versions: dict[Any, Item | None] = {}
        for at, key, before in vars(table).get("earlier", ()):
            if at > now() - seconds:
                versions.setdefault(key, before)
        if not versions:
            return items
        untouched = [item for item in items if (item.hash_key, item.range_key) not in versions]
        return untouched + [before for before in versions.values() if before is not None]

    patches.wrap(Table, "put_item", put)
    patches.wrap(Table, "delete_item", delete)
    patches.wrap(DynamoDBBackend, "update_item", update)
    patches.replace(_Indexes, "show", staticmethod(show))


class _Indexes:
    """What the global indexes of a table show of its items."""

    @staticmethod
    def show(items: list[Item], table: Table) -> list[Item]:
        return items


def _has_attributes(item: Item, wanted: dict[str, DynamoType]) -> bool:
    for name, expected in wanted.items():
        found = item.attrs.get(name)
        if found is None or found.type != expected.type or found.value != expected.value:
            return False
    return True


def repair_repeated_parsing(patches: Patches) -> None:
    """moto parses each expression of an update, a condition or a key again for every call."""

    def parse_key(
        key_condition_expression: str,
        expression_attribute_values: dict[str, Any],
        expression_attribute_names: dict[str, str],
        schema: list[dict[str, str]],
    ) -> Any:
        given = (expression_attribute_values, expression_attribute_names, schema)
        return _parse_key(key_condition_expression, *(json.dumps(part) for part in given))

    patches.replace(responses, "parse_expression", parse_key)
    # The parsed expression is shared: what changes it works on a copy.
    patches.replace(UpdateExpressionParser, "make", staticmethod(_parse_update))
    patches.replace(Node, "__deepcopy__", _copy_node)
    patches.replace(DepthFirstTraverser, "traverse_node_recursively", _traverse)
    patches.replace(ConditionExpressionParser, "_lex_condition_expression", _lex_condition)


def _copy_node(node: Node, memo: dict[int, Any] | None = None) -> Node:
    result: Node = object.__new__(type(node))
    vars(result).update(vars(node))
    if node.children is not None:
        result.children = [_copy_node(child) if isinstance(child, Node) else child for child in node.children]
        for child in result.children:
            if isinstance(child, Node):
                child.set_parent(result)
    return result


def _traverse(traverser: DepthFirstTraverser, node: Any, child_id: int = -1) -> Any:
    """Process a tree bottom up. moto asks anew at every node which classes it processes."""
    processors = traverser._processing_map()
    kinds = tuple(processors)

    def visit(node: Any, child_id: int) -> Any:
        if not _is_a(node.__class__, (Node,)):
            return node
        parent = node.parent
        for number, child in enumerate(node.children or ()):
            traverser.pre_processing_of_child(node, number)
            visit(child, number)
        found = _is_a(node.__class__, kinds)
        if found:
            node = processors[found](node)
            node.parent = parent
            if parent:
                parent.children[child_id] = node
        return node

    return visit(node, child_id)


@cache
def _is_a(kind: type, kinds: tuple[type, ...]) -> type | None:
    """The first of some classes that a class comes from."""
    return next((one for one in kinds if issubclass(kind, one)), None)


def _lex_condition(parser: ConditionExpressionParser) -> deque[Any]:
    return deque(_lex(parser.condition_expression))


@lru_cache(maxsize=1024)
def _lex(expression: str) -> tuple[Any, ...]:
    return tuple(_lex_once(ConditionExpressionParser(expression, {}, {})))


@lru_cache(maxsize=4096)
def _parse_key(expression: str, *given: str) -> Any:
    return _parse_key_once(expression, *(json.loads(part) for part in given))


_parse_key_once = responses.parse_expression
_lex_once = ConditionExpressionParser._lex_condition_expression
_parse_update = lru_cache(maxsize=1024)(UpdateExpressionParser.make)


class _NoCopies:
    """The `copy` of a module that copies what nothing will change."""

    @staticmethod
    def deepcopy(value: Any) -> Any:
        return value

    copy = staticmethod(copy.copy)


def repair_item_copies(patches: Patches) -> None:
    """moto copies items by the general machinery, many times for each call."""

    def copy_value(self: DynamoType, memo: dict[int, Any] | None = None) -> DynamoType:
        result = DynamoType.__new__(DynamoType)
        result.type = self.type
        value = self.value
        if isinstance(value, dict):
            result.value = {name: copy_value(item) for name, item in value.items()}
        elif isinstance(value, list):
            result.value = [copy_value(item) if isinstance(item, DynamoType) else item for item in value]
        else:
            result.value = value
        return result

    patches.replace(DynamoType, "__deepcopy__", copy_value)
    patches.replace(DynamoType, "to_regular_json", print_value)
    patches.replace(responses, "dynamo_to_dict", print_answer)


def repair_attribute_values(patches: Patches) -> None:
    """boto3 asks ten questions of each value that it writes, and looks up how to read each one by its name."""

    write_other: Callable[..., dict[str, Any]] = TypeSerializer.serialize  # type: ignore[assignment]
    read_other: Callable[..., Any] = TypeDeserializer.deserialize

    def write(self: TypeSerializer, value: Any) -> dict[str, Any]:
        kind = type(value)
        if kind is str:
            return {"S": value}
        if kind is dict:
            return {"M": {name: write(self, item) for name, item in value.items()}}
        if kind is list:
            return {"L": [write(self, item) for item in value]}
        return write_other(self, value)

    def read(self: TypeDeserializer, value: dict[str, Any]) -> Any:
        for kind, content in value.items():
            if kind == "S" or kind == "BOOL":
                return content
            if kind == "M":
                return {name: read(self, item) for name, item in content.items()}
            if kind == "L":
                return [read(self, item) for item in content]
        return read_other(self, value)

    patches.replace(TypeSerializer, "serialize", write)
    patches.replace(TypeDeserializer, "deserialize", read)


def print_value(value: DynamoType) -> dict[str, Any]:
    """Return an attribute value as the API prints it."""
    content = value.value
    if value.type == "M":
        return {"M": {name: print_value(item) for name, item in content.items()}}
    if value.type == "L":
        return {"L": [print_value(item) for item in content]}
    if value.type in ("B", "BS"):
        raise NotImplementedError("binary attributes are not rehearsed")
    return {value.type: list(content) if isinstance(content, list) else content}


def print_answer(answer: Any) -> Any:
    """Return an answer with every attribute value in it as the API prints it, sharing nothing with the table."""
    kind = type(answer)
    if kind is DynamoType:
        return print_value(answer)
    if kind is str or kind is int or kind is bool or answer is None:
        return answer
    if kind is dict or kind is LimitedSizeDict:
        return {name: print_answer(item) for name, item in answer.items()}
    if kind is list:
        return [print_answer(item) for item in answer]
    return dynamo_to_dict(answer)


def repair_item_sizes(patches: Patches) -> None:
    """moto measures the whole item again for each attribute that is set, and wraps each value again to measure it."""

    def measure_value(original: Callable[..., int], self: DynamoType) -> int:
        if self.type == "S":
            return len(self.value.encode())
        if self.type == "M":
            values = [value if type(value) is DynamoType else DynamoType(value) for value in self.value.values()]
            return int(sum(len(name.encode()) for name in self.value) + sum(value.size() for value in values))
        return original(self)

    def measure(original: Callable[..., Item], *arguments: Any, **keywords: Any) -> Item:
        item = original(*arguments, **keywords)
        given = keywords.get("expression_attribute_values")
        # An item grows by what it is given at most.
        bound = getattr(item, "size_bound", None)
        bound = item.size() if bound is None else bound + sum(len(str(value)) for value in (given or {}).values())
        if bound > LARGEST_ITEM:
            bound = item.size()
            if bound > LARGEST_ITEM:
                raise ItemSizeToUpdateTooLarge
        item.size_bound = bound
        return item

    patches.wrap(DynamoType, "size", measure_value)
    patches.replace(LimitedSizeDict, "__setitem__", dict.__setitem__)
    patches.wrap(DynamoDBBackend, "update_item", measure)
    patches.wrap(Table, "put_item", measure)


def repair_repeated_checks(patches: Patches) -> None:
    """moto checks the expressions of an update three times, and copies the item for answers that nobody asked for.

    Once the expressions of a request have passed, requests that differ in their values alone go straight to the table,
    without the checks that their values cannot fail.
    """
    passed = False

    def find_processors(original: Callable[..., list[Any]], self: Any) -> list[Any]:
        processors = original(self)
        return [one for one in processors if not isinstance(one, _SHAPE_CHECKS)] if passed else processors

    def update(original: Callable[..., DynamoResult], self: DynamoHandler) -> DynamoResult:
        nonlocal passed
        body = self.body
        wanted = body.get("ReturnValues", "NONE")
        shape = (
            wanted,
            body["TableName"],
            body.get("UpdateExpression"),
            body.get("ConditionExpression"),
            tuple((body.get("ExpressionAttributeNames") or {}).items()),
            tuple(body.get("ExpressionAttributeValues") or ()),
            tuple(body["Key"]),
        )
        if wanted not in ("NONE", "ALL_NEW") or shape not in _checked:
            result = original(self)
            _checked.add(shape)
            return result
        passed = True
        try:
            item = self.dynamodb_backend.update_item(
                body["TableName"],
                body["Key"],
                update_expression=body["UpdateExpression"].strip(),
                expression_attribute_names=body.get("ExpressionAttributeNames", {}),
                expression_attribute_values=self._get_expr_attr_values(),
                condition_expression=body.get("ConditionExpression"),
                return_values_on_condition_check_failure=body.get("ReturnValuesOnConditionCheckFailure"),
            )
        finally:
            passed = False
        return DynamoResult({"Attributes": item.to_json()["Attributes"]} if wanted == "ALL_NEW" else {})

    patches.wrap(DynamoHandler, "update_item", update)
    patches.wrap(UpdateExpressionValidator, "get_ast_processors", find_processors)


_checked: set[Any] = set()
"""The shapes of requests that have passed; what a shape leaves to fail is in the values."""

_SHAPE_CHECKS = (ActionCountValidator, OverlappingPathsValidator, UpdateHashRangeKeyValidator)
