"""What the table's indexes cost: `python -m benchmarks.table` counts write units, and times a look at 10,000 leases.

Both with indexes that hold all attributes, and as the template declares them. `--write` writes the units into
docs/benchmarks.md. They are those of one machine, as `benchmarks.bills` counts them.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from benchmarks.bills import Meter, Write, index_units, units_of
from benchmarks.flows import LINUX, WINDOWS
from benchmarks.tables import PAGE, Row, Table, show
from drydock.aws.table import Table as StateTable
from drydock.records.leases import all_leases
from rehearsal.account import EmbeddedAccount
from rehearsal.engine.calls import REGION
from rehearsal.engine.dynamodb.items import Index, Version
from rehearsal.engine.dynamodb.values import size_of
from rehearsal.world.fleet import MachineSpec

Item = Mapping[str, Any]
"""As DynamoDB's API has it."""

LEASES = 10_000
_PAGE = 1 << 20


def record_writes(kind: MachineSpec) -> tuple[list[Write], Sequence[Index]]:
    """Patch one machine; what was written to the table meanwhile, and the indexes of the table."""
    with EmbeddedAccount(dynamodb="own") as account, account.open_fleet() as fleet:
        account.deploy()
        with Meter(account, sweeps=False) as meter:
            account.start_execution("PatchInstance", {"instanceId": fleet.add(kind)})
            account.run_until_quiet()
        return meter.writes, list(meter.indexes.values())


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
    table = StateTable.__new__(StateTable)
    table.name, table._client = "drydock-State", client
    began = time.process_time()
    found = all_leases(table).read
    seconds = time.process_time() - began
    assert len(found) == len(items)
    return seconds


def _is_of_lease(write: Write) -> bool:
    return any(version.attributes["sk"]["S"] == "LEASE" for version in write if version is not None)


def measure() -> tuple[Table, list[Write], Sequence[Index]]:
    """Return what a machine of each kind writes, with the writes of the last and the indexes of the table."""
    columns: dict[str, tuple[int, int, int, int]] = {}
    for kind in (LINUX, WINDOWS):
        writes, declared = record_writes(kind)
        own = sum(max(units_of(version.size) for version in write if version is not None) for write in writes)
        leases = [write for write in writes if _is_of_lease(write)]
        reaching = sum(any(index_units(index, *write) for index in declared) for write in leases)
        for title, indexes in (
            ("all attributes", [replace(one, held=None) for one in declared]),
            ("as declared", declared),
        ):
            more = sum(index_units(index, *write) for write in writes for index in indexes)
            columns[f"{kind.name}: {title}"] = (own, more, len(leases), reaching)
    rows = ("write units of the table", "of its indexes", "writes of the lease", "those that reach an index")
    figures = zip(*columns.values(), strict=True)
    table = Table("indexes", tuple(columns), tuple(Row(*row) for row in zip(rows, figures, strict=True)))
    return table, writes, declared


def main() -> None:
    """Print what a machine writes, and what it takes to read the leases, both ways."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name}")
    given = parser.parse_args()
    table, writes, declared = measure()
    show(table, write=given.write)
    versions = [version for write in writes if _is_of_lease(write) for version in write if version is not None]
    lease: Version = max(versions, key=lambda version: version.size)
    for title, held in (("all attributes", lease), ("as declared", declared[0].show(lease))):
        seconds = time_look([held.attributes] * LEASES)
        print(f"{LEASES:,} leases, {title}, {held.size:,} bytes each: {seconds:.2f} s")


if __name__ == "__main__":
    main()
