"""The indexes of the table hold what is read from them and nothing else: each attribute more costs writes.

What an index holds can never be changed (CloudFormation, AWS::DynamoDB::Table Projection: "Updates are not
supported"). Whoever needs more reads the item itself, by its key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from drydock.aws.table import AWAITED_INDEX, LOOKUP_INDEX
from drydock.records.holder import Holder
from drydock.records.image_watches import WatchSummary, watch_key
from drydock.records.leases import LeaseSummary
from drydock.records.results import UntoldResult, result_key
from drydock.records.runs import RunSummary
from drydock.subject import Instance
from tests.rules.project import resources

EXECUTION = "arn:aws:states:ap-northeast-1:123456789012:execution:drydock-PatchInstance:night-1"
KEYS = {"pk", "sk", LOOKUP_INDEX}
READ_BY_TABLE = {"schema"}


class RecordingItem(dict[str, Any]):
    """An item that has every attribute, as one reader needs it, and notes which ones are asked for."""

    def __init__(self, pk: str, sk: str) -> None:
        super().__init__()
        self.asked: set[str] = set()
        self.known = {
            "pk": pk,
            "sk": sk,
            "owner": EXECUTION,
            "execution": EXECUTION,
            "redriveCount": 0,
            "runId": "run",
            "moment": "before",
        }

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return self.known.get(name, "2026-11-30T00:00:00.000Z")

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return True

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return default


def _attributes_read_by(readers: Mapping[Callable[[RecordingItem], object], tuple[str, str]]) -> set[str]:
    asked: set[str] = set()
    for read, key in readers.items():
        item = RecordingItem(*key)
        read(item)
        asked |= item.asked
    return asked


def _projections() -> dict[str, dict[str, Any]]:
    properties = resources("AWS::DynamoDB::Table")["StateTable"]["Properties"]
    return {index["IndexName"]: index["Projection"] for index in properties["GlobalSecondaryIndexes"]}


def test_the_index_of_what_is_looked_up_holds_what_is_read_from_it_and_nothing_else() -> None:
    projection = _projections()[LOOKUP_INDEX]
    result = result_key(Instance("i-1"), Holder(EXECUTION, 0), datetime(2026, 11, 30, tzinfo=UTC))
    watch = watch_key("i-1", "ami-1")
    read = _attributes_read_by(
        {
            LeaseSummary.from_item: ("INSTANCE#i-1", "LEASE"),
            RunSummary.from_item: ("RUN#run", "RUN"),
            UntoldResult.from_item: (result["pk"], result["sk"]),
            WatchSummary.from_item: (watch["pk"], watch["sk"]),
        }
    )

    assert projection["ProjectionType"] == "INCLUDE"
    assert set(projection["NonKeyAttributes"]) == (read | READ_BY_TABLE) - KEYS


@pytest.mark.parametrize("index", [AWAITED_INDEX, "month"])
def test_an_index_that_only_says_where_things_are_holds_keys_only(index: str) -> None:
    assert _projections()[index] == {"ProjectionType": "KEYS_ONLY"}
