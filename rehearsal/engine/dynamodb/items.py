"""The items of one table, and what its global indexes show of them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter

from moto.dynamodb.models.table import Table

from rehearsal.engine.dynamodb.values import Attributes, pack, size_of, unpack

Key = tuple[str, str]
"""The texts of partition key and sort key; the latter is empty where a table has none."""
Order = tuple[str, str, str]
"""What a query sorts by: the sort key of the index, or of the table where the index has none, and the item's key."""


class Version:
    """An item as it was at some time; nothing changes it. `at_most` is a bound of its size in bytes."""

    def __init__(self, attributes: Attributes, at_most: int) -> None:
        self.attributes = attributes
        self.at_most = at_most

    def copy(self) -> Attributes:
        """Return the attributes, sharing nothing with the table."""
        return unpack(self._packed)

    @cached_property
    def _packed(self) -> bytes:
        return pack(self.attributes)

    @cached_property
    def size(self) -> int:
        """Bytes, as DynamoDB counts them."""
        return size_of(self.attributes)


@dataclass(frozen=True)
class Index:
    """A global index: its keys, and what it holds of an item besides (None: everything)."""

    name: str
    partition: str
    sort: str | None
    held: frozenset[str] | None

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.partition, self.sort) if self.sort else (self.partition,)

    def show(self, version: Version) -> Version:
        """Return an item as the index holds it."""
        if self.held is None:
            return version
        held = {name: value for name, value in version.attributes.items() if name in self.held}
        return Version(held, version.at_most)


class Items:
    """What is in a table, in the order of its keys.

    Indexes follow "within a fraction of a second, under normal conditions", and later otherwise: here `late` seconds
    after each write (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html).
    """

    def __init__(self, table: Table, now: Callable[[], float], late: float) -> None:
        self.partition: str = table.hash_key_attr
        self.sort: str | None = table.range_key_attr
        self.indexes = {index.name: _read_index(index, self.keys) for index in table.global_indexes or ()}
        self.types: dict[str, str] = {one["AttributeName"]: one["AttributeType"] for one in table.attr}
        if table.indexes or set(self.types.values()) != {"S"}:
            raise NotImplementedError(f"table {table.name}: local indexes and keys that are no text are not rehearsed")
        self._now = now
        self._late = late
        self._partitions: dict[str, dict[str, Version]] = {}
        self._sorted: dict[str, list[str]] = {}
        self._indexed: dict[str, dict[str, dict[Key, Version]]] = {name: {} for name in self.indexes}
        self._recent: deque[tuple[float, Key, Version | None]] = deque()
        """When an item was written, which, and what stood there before."""

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.partition, self.sort) if self.sort else (self.partition,)

    def find(self, key: Key) -> Version | None:
        """Return an item as it is."""
        return self._partitions.get(key[0], {}).get(key[1])

    def write(self, key: Key, version: Version | None) -> None:
        """Put an item in the place of what stands there; None removes it."""
        before = self.find(key)
        if self.indexes:
            now = self._now()
            while self._recent and self._recent[0][0] <= now - self._late:
                self._recent.popleft()
            self._recent.append((now, key, before))
            for name, index in self.indexes.items():
                self._write_index(self._indexed[name], index, key, before, version)
        partition, sort = key
        if version is not None:
            self._partitions.setdefault(partition, {})[sort] = version
            if before is None:
                insort(self._sorted.setdefault(partition, []), sort)
        elif before is not None:
            del self._partitions[partition][sort]
            order = self._sorted[partition]
            del order[bisect_left(order, sort)]

    def in_partition(self, partition: str, low: str = "") -> Iterator[tuple[str, Version]]:
        """The items of a partition from a sort key on, in order."""
        order = self._sorted.get(partition, [])
        versions = self._partitions.get(partition, {})
        for sort in order[bisect_left(order, low) :]:
            yield sort, versions[sort]

    def everything(self) -> Iterator[tuple[Key, Version]]:
        """All items, in the order of their keys."""
        for partition in sorted(self._sorted):
            for sort, version in self.in_partition(partition):
                yield (partition, sort), version

    def in_index(self, index: Index, value: str, low: str = "") -> list[tuple[Order, Version]]:
        """What an index shows under a key from a sort key on, in order."""
        now = self._now()
        earlier: dict[Key, Version | None] = {}
        for at, key, before in self._recent:
            if at > now - self._late:
                earlier.setdefault(key, before)
        entries = self._indexed[index.name].get(value, {})
        found = [(key, version) for key, version in entries.items() if key not in earlier]
        for key, before in earlier.items():
            if before is not None and _is_held(index, before) and before.attributes[index.partition]["S"] == value:
                found.append((key, before))
        shown = []
        for key, version in found:
            sort = version.attributes[index.sort]["S"] if index.sort else key[1]
            if sort >= low:
                shown.append(((sort, *key), index.show(version)))
        return sorted(shown, key=itemgetter(0))

    @staticmethod
    def _write_index(
        entries: dict[str, dict[Key, Version]], index: Index, key: Key, before: Version | None, after: Version | None
    ) -> None:
        if before is not None and _is_held(index, before):
            del entries[before.attributes[index.partition]["S"]][key]
        if after is not None and _is_held(index, after):
            entries.setdefault(after.attributes[index.partition]["S"], {})[key] = after


def _is_held(index: Index, version: Version) -> bool:
    return all(name in version.attributes for name in index.keys)


def _read_index(index: object, keys: tuple[str, ...]) -> Index:
    schema: list[dict[str, str]] = index.schema  # type: ignore[attr-defined]
    projection: dict[str, object] = index.projection  # type: ignore[attr-defined]
    names = {one["KeyType"]: one["AttributeName"] for one in schema}
    held = None
    if projection["ProjectionType"] != "ALL":
        more: list[str] = projection.get("NonKeyAttributes") or []  # type: ignore[assignment]
        held = frozenset({*keys, *names.values(), *more})
    return Index(index.name, names["HASH"], names.get("RANGE"), held)  # type: ignore[attr-defined]
