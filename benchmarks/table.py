"""What the table's indexes cost: `python -m benchmarks.table` counts write units, and times a look at 10,000 leases.

Both with indexes that hold all attributes, and as the template declares them. Units by
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html: an index is written when what it holds of an
item changes, each begun kilobyte of that is a unit, and a changed key is two writes. Writes that are refused, and the
doubling of transactions, are left out.
"""

from __future__ import annotations

import json
import math
import time
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from samtranslator.yaml_helper import yaml_parse

from benchmarks.flows import LINUX, WINDOWS
from drydock.aws.table import Table
from drydock.records.leases import all_leases
from rehearsal.account import EmbeddedAccount, Observer
from rehearsal.engine.calls import REGION, current_caller
from rehearsal.engine.dynamodb.values import size_of
from rehearsal.engine.project import PROJECT
from rehearsal.world.fleet import MachineSpec

Index = Mapping[str, Any]
Item = Mapping[str, Any]
"""As DynamoDB's API has it."""

LEASES = 10_000
_PAGE = 1 << 20


def _read_indexes() -> list[Index]:
    properties = yaml_parse((PROJECT / "template.yaml").read_text())["Resources"]["StateTable"]["Properties"]
    return list(properties["GlobalSecondaryIndexes"])


def _units(item: Item) -> int:
    return math.ceil(size_of(item) / 1024)


def _held(index: Index, item: Item | None) -> Item | None:
    """What an index holds of an item."""
    keys = [key["AttributeName"] for key in index["KeySchema"]]
    if item is None or any(key not in item for key in keys):
        return None
    projection = index["Projection"]
    if projection["ProjectionType"] == "ALL":
        return item
    names = {"pk", "sk", *keys, *projection.get("NonKeyAttributes", [])}
    return {name: value for name, value in item.items() if name in names}


def _index_units(index: Index, before: Item | None, after: Item | None) -> int:
    old, new = _held(index, before), _held(index, after)
    if old == new:
        return 0
    if old is None or new is None:
        return _units(old or new or {})
    if any(old[key["AttributeName"]] != new[key["AttributeName"]] for key in index["KeySchema"]):
        return _units(old) + _units(new)
    return max(_units(old), _units(new))


class _Writes(Observer):
    """Every change of every item: before and after."""

    def __init__(self, account: EmbeddedAccount, table: str) -> None:
        self._scan = account.client("dynamodb").get_paginator("scan").paginate(TableName=table)
        self.all: list[tuple[Item | None, Item | None]] = []
        self._last: dict[tuple[str, str], Item] = {}

    def call_made(self, call: object) -> None:
        """Note what the calls before this one have changed."""
        # Nobody's call, or it would be heard of in turn.
        token = current_caller.set(None)
        items = {(item["pk"]["S"], item["sk"]["S"]): item for page in self._scan for item in page["Items"]}
        current_caller.reset(token)
        for key in items.keys() | self._last.keys():
            before, after = self._last.get(key), items.get(key)
            if before != after:
                self.all.append((before, after))
        self._last = items


def record_writes(kind: MachineSpec) -> list[tuple[Item | None, Item | None]]:
    """Patch one machine; what was written to the table meanwhile."""
    with EmbeddedAccount() as account, account.open_fleet() as fleet:
        writes = _Writes(account, account.deploy().resource("StateTable"))
        account.observers.append(writes)
        account.start_execution("PatchInstance", {"instanceId": fleet.add(kind)})
        account.run_until_quiet()
        writes.call_made(None)
        return writes.all


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Iterator[bytes]:
        """As urllib3's."""
        yield self._content


def time_look(items: list[Item]) -> float:
    """Seconds of processor time that it takes to read these leases out of DynamoDB's answers."""
    session = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none", region_name=REGION)
    client = session.client("dynamodb")
    size = max(1, _PAGE // size_of(items[0]))
    pages = [items[start : start + size] for start in range(0, len(items), size)]
    answers = [{"Items": page, "LastEvaluatedKey": {"pk": {"S": "next"}}} for page in pages[:-1]]
    bodies = iter([json.dumps(answer).encode() for answer in [*answers, {"Items": pages[-1]}]])

    def answer(request: AWSPreparedRequest, **_: Any) -> Any:
        body = next(bodies, b'{"Items": []}')
        headers: Any = {"x-amz-crc32": str(zlib.crc32(body))}
        return AWSResponse(request.url, 200, headers, _Body(body))

    events: Any = client.meta.events
    events.register("before-send.dynamodb.Query", answer)
    table = Table.__new__(Table)
    table.name, table._client = "drydock-State", client
    began = time.process_time()
    found = all_leases(table).read
    seconds = time.process_time() - began
    assert len(found) == len(items)
    return seconds


def main() -> None:
    """Print both figures for both ways."""
    declared = _read_indexes()
    whole = [{**index, "Projection": {"ProjectionType": "ALL"}} for index in declared]
    for kind in (LINUX, WINDOWS):
        writes = record_writes(kind)
        own = sum(max(_units(item) for item in write if item is not None) for write in writes)
        for title, indexes in (("all attributes", whole), ("as declared", declared)):
            more = sum(_index_units(index, *write) for write in writes for index in indexes)
            print(f"{kind.name}, {title}: {own} write units of the table, {more} of its indexes, {own + more} in all")
        leases = [write for write in writes if (write[1] or write[0] or {})["sk"]["S"] == "LEASE"]
        reaching = sum(any(_index_units(index, *write) for index in declared) for write in leases)
        print(f"{kind.name}: {len(leases)} writes of the lease, {reaching} of them reach an index")
    lease = max((item for write in leases for item in write if item is not None), key=size_of)
    for title, index in (("all attributes", whole[0]), ("as declared", declared[0])):
        held = _held(index, lease)
        assert held is not None
        print(f"{LEASES:,} leases, {title}, {size_of(held):,} bytes each: {time_look([held] * LEASES):.2f} s")


if __name__ == "__main__":
    main()
