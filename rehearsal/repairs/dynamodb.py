"""Repairs of moto's DynamoDB: what is right there, but takes time that grows with the table."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from moto.dynamodb import models
from moto.dynamodb.exceptions import ItemSizeToUpdateTooLarge
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing.expressions import UpdateExpressionParser

from rehearsal.repairs.patches import Patches

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

    class CopyOfItems:
        """The `copy` of moto's module, but for tables, which stay as they are."""

        @staticmethod
        def deepcopy(value: Any) -> Any:
            return value if type(value).__name__ == "Table" else copy.deepcopy(value)

        copy = staticmethod(copy.copy)

    patches.replace(models, "copy", CopyOfItems)
    patches.wrap(DynamoDBBackend, "transact_write_items", transact)


def repair_queries(patches: Patches) -> None:
    """moto sorts the whole table for every query."""
    signature = inspect.signature(Table.query)

    def query(original: Callable[..., Any], self: Table, *arguments: Any, **keywords: Any) -> Any:
        given = signature.bind_partial(self, *arguments, **keywords).arguments
        hash_key, index_name = given.get("hash_key"), given.get("index_name")
        wanted = dict(given.get("hash_key_conditions") or [])
        if index_name and wanted:
            found = [item for item in _all_items(self) if _has_attributes(item, wanted)]
        elif not index_name and hash_key is not None and self.range_key_attr:
            found = list(self.items[hash_key].values()) if hash_key in self.items else []
        else:
            return original(self, *arguments, **keywords)
        found.sort(key=lambda item: (item.hash_key, item.range_key) if item.range_key else item.hash_key)
        self.all_items = lambda: found
        try:
            return original(self, *arguments, **keywords)
        finally:
            del self.all_items

    patches.wrap(Table, "query", query)


def _all_items(table: Table) -> list[Item]:
    if table.range_key_attr:
        return [item for items in table.items.values() for item in items.values()]
    return list(table.items.values())


def _has_attributes(item: Item, wanted: dict[str, DynamoType]) -> bool:
    for name, expected in wanted.items():
        found = item.attrs.get(name)
        if found is None or found.type != expected.type or found.value != expected.value:
            return False
    return True


def repair_repeated_parsing(patches: Patches) -> None:
    """moto parses each update expression again for every call."""
    # The parsed expression is shared: what changes it works on a copy.
    patches.replace(UpdateExpressionParser, "make", staticmethod(_parse_update))


_parse_update = lru_cache(maxsize=1024)(UpdateExpressionParser.make)


def repair_item_copies(patches: Patches) -> None:
    """moto copies items by the general machinery, and measures the whole item again for each attribute it sets."""

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

    def update(original: Callable[..., Item], *arguments: Any, **keywords: Any) -> Item:
        item = original(*arguments, **keywords)
        if item.size() > LARGEST_ITEM:
            raise ItemSizeToUpdateTooLarge
        return item

    patches.replace(DynamoType, "__deepcopy__", copy_value)
    patches.replace(LimitedSizeDict, "__setitem__", dict.__setitem__)
    patches.wrap(DynamoDBBackend, "update_item", update)
    patches.wrap(Table, "put_item", update)
