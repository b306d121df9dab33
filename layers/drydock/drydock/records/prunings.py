"""Prunings: images that are on their way out. One item an image, in its machine's partition, until it is gone.

It is written before EC2 disables the image, and only while nobody holds the machine's lease, so that no execution that
needs the image begins unseen. It goes once the image is deregistered and its snapshots are deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from drydock.aws.table import ConditionFailedError, Item, Key, Table
from drydock.records.leases import lease_key
from drydock.records.reading import Readings, moment, read_all, readable, text
from drydock.records.shards import look_up_shards, shard_of
from drydock.subject import Instance, subject_of_partition
from drydock.times import to_text

_PRUNINGS = "PRUNINGS"
_PREFIX = "PRUNING#"


@dataclass(frozen=True)
class Pruning:
    """An image that goes."""

    instance_id: str
    image_id: str
    begun: datetime
    """When it was decided."""

    @property
    def key(self) -> Key:
        """Where it stands."""
        return {"pk": Instance(self.instance_id).partition, "sk": f"{_PREFIX}{self.image_id}"}


@readable
def _read(item: Item) -> Pruning:
    subject = subject_of_partition(item["pk"])
    if not isinstance(subject, Instance) or not text(item["sk"]).startswith(_PREFIX):
        raise ValueError(item["sk"])
    return Pruning(subject.id, item["sk"].removeprefix(_PREFIX), moment(item["startedAt"]))


@readable
def _read_left(item: Item) -> list[str]:
    return [text(one) for one in item.get("snapshots", [])]


def all_prunings(table: Table) -> Readings[Pruning]:
    """Every image that is on its way out. The index lags a little."""
    return read_all(look_up_shards(table, _PRUNINGS), _read)


def find_left(table: Table, pruning: Pruning) -> list[str] | None:
    """The snapshots that are left of an image, as it is now; None when nothing is. Raises UnreadableItemError."""
    item = table.get(pruning.key)
    return _read_left(item) if item else None


def begin_pruning(table: Table, pruning: Pruning) -> bool:
    """Decide that an image goes. False when its machine is in work, or it was decided already."""
    item: Item = {
        **pruning.key,
        "lookup": shard_of(_PRUNINGS, Instance(pruning.instance_id)),
        "startedAt": to_text(pruning.begun),
    }
    unless_in_work = table.absence(lease_key(Instance(pruning.instance_id)))
    try:
        table.write_together([unless_in_work, table.addition(item)])
    except ConditionFailedError:
        return False
    return True


def go_on_pruning(table: Table, pruning: Pruning, snapshots: Sequence[str]) -> bool:
    """Write down which snapshots go with an image, before it is deregistered. False when its machine is in work."""
    unless_in_work = table.absence(lease_key(Instance(pruning.instance_id)))
    change = table.change(
        pruning.key, "SET snapshots = :snapshots", "attribute_exists(pk)", {}, {":snapshots": list(snapshots)}
    )
    try:
        table.write_together([unless_in_work, change])
    except ConditionFailedError:
        return False
    return True


def note_left(table: Table, pruning: Pruning, snapshots: Sequence[str]) -> None:
    """Write down which snapshots are still there."""
    table.update(pruning.key, "SET snapshots = :snapshots", "attribute_exists(pk)", {}, {":snapshots": list(snapshots)})


def end_pruning(table: Table, pruning: Pruning) -> None:
    """Nothing is left to do for an image."""
    table.delete(pruning.key, "attribute_exists(pk) OR attribute_not_exists(pk)", {}, {})
