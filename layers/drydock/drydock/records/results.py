"""Results: what became of a machine or a group in one execution. Kept for a year."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drydock.aws.table import ConditionFailedError, Item, Key, Table
from drydock.records.holder import Holder
from drydock.records.shards import look_up_shards, shard_of
from drydock.subject import Subject, subject_of_partition
from drydock.times import from_text, to_text

_UNTOLD = "UNTOLD"
_KEPT = timedelta(days=365)


@dataclass(frozen=True)
class UntoldResult:
    """What the index holds of a result that nobody was told of. Whoever needs more reads the result itself."""

    subject: Subject
    holder: Holder
    started: datetime
    """When the execution was started."""
    ended: datetime

    @classmethod
    def from_item(cls, item: Item) -> UntoldResult:
        return cls(
            subject=subject_of_partition(item["pk"]),
            holder=Holder(item["execution"], item["redriveCount"]),
            started=from_text(item["startedAt"]),
            ended=from_text(item["endedAt"]),
        )


def result_key(subject: Subject, holder: Holder, started: datetime) -> Key:
    """Sorted by the start of the execution: Step Functions frees names after 90 days, so a name is not enough."""
    begun = int(started.timestamp())
    return {
        "pk": subject.partition,
        "sk": f"RESULT#{begun:012d}#{holder.machine}#{holder.name}#{holder.redrive_count}",
    }


def make_result(
    subject: Subject, holder: Holder, started: datetime, outcome: str, ended: datetime, facts: Mapping[str, Any]
) -> Item:
    """`outcome` is succeeded, failed or refused. What people shall hear of is filed as untold until it is told."""
    item: Item = {
        **result_key(subject, holder, started),
        "instanceId": subject.key,
        "execution": holder.execution,
        "redriveCount": holder.redrive_count,
        "outcome": outcome,
        "startedAt": to_text(started),
        "endedAt": to_text(ended),
        "ttl": int((ended + _KEPT).timestamp()),
        **facts,
    }
    if outcome != "succeeded" or not item.get("runId") or item.get("notify") == "each":
        item["lookup"] = shard_of(_UNTOLD, subject)
    return item


def put_result(table: Table, result: Item) -> None:
    """Write a result that no lease goes with. The first one stands."""
    try:
        table.put(result, "attribute_not_exists(pk)", {}, {})
    except ConditionFailedError:
        return


def find_result(table: Table, subject: Subject, holder: Holder, started: datetime) -> Item | None:
    return table.get(result_key(subject, holder, started))


def untold_results(table: Table) -> list[UntoldResult]:
    """The results that nobody was told of. The index lags a little."""
    return [UntoldResult.from_item(item) for item in look_up_shards(table, _UNTOLD)]


def mark_result_told(table: Table, key: Key) -> None:
    try:
        table.update(key, "REMOVE lookup", "attribute_exists(lookup)", {}, {})
    except ConditionFailedError:
        return
