"""How what is looked up together is spread over several keys of the index.

All items with one key of an index share a partition, which takes 1,000 write units a second
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html). Writes to the table are
refused when its index cannot follow, so a wave of a thousand machines must not write under one key.
"""

from __future__ import annotations

from zlib import crc32

from drydock.aws.table import LOOKUP_INDEX, Item, Table
from drydock.subject import Subject

_SHARDS = 8
"""An item stays under the key that it was written with, so leases must not be there when this is made smaller."""


def shard_of(name: str, subject: Subject) -> str:
    """The key under which an item of this subject is looked up: `LEASES#5`. Always the same for a subject."""
    return f"{name}#{crc32(subject.key.encode()) % _SHARDS}"


def look_up_shards(table: Table, name: str) -> list[Item]:
    """What stands under a name, of all subjects. The index lags a little."""
    return [item for shard in range(_SHARDS) for item in table.look_up(LOOKUP_INDEX, f"{name}#{shard}")]
