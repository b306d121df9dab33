"""The table: conditions, schemas, and answers of DynamoDB that are not about conditions."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from drydock.aws.table import ConditionFailedError, Key, Table
from drydock.errors import NewerSchemaError, ServiceUnavailableError

KEY: Key = {"pk": "INSTANCE#i-1", "sk": "LEASE"}
OTHER: Key = {"pk": "INSTANCE#i-1", "sk": "RESULT"}
NEW = "attribute_not_exists(pk)"


def put(table: Table, key: Key = KEY, **more: Any) -> None:
    table.put({**key, **more}, NEW, {}, {})


@pytest.mark.parametrize(
    "value",
    [0, -1, 10**15, 1.5, 0.1, True, False, None, "", "text", [1, "two", [3.5]], {"a": {"b": [1, {"c": 2.25}]}}, [], {}],
    ids=repr,
)
def test_what_is_written_is_read_the_same(table: Table, value: Any) -> None:
    put(table, value=value)

    found = table.get(KEY)

    assert found is not None
    assert found["value"] == value
    assert type(found["value"]) is type(value)


def test_what_is_not_there_is_none(table: Table) -> None:
    assert table.get(KEY) is None


def test_an_item_of_a_newer_schema_is_not_touched(table: Table) -> None:
    put(table, schema=2)

    with pytest.raises(NewerSchemaError, match="has schema 2; this Drydock knows 1"):
        table.get(KEY)


def test_a_condition_that_does_not_hold_shows_what_stands_there(table: Table) -> None:
    put(table, owner="first")

    with pytest.raises(ConditionFailedError) as refused:
        put(table, owner="second")

    assert refused.value.found is not None and refused.value.found["owner"] == "first"


def test_a_condition_on_what_is_not_there_shows_nothing(table: Table) -> None:
    with pytest.raises(ConditionFailedError) as refused:
        table.update(KEY, "SET a = :a", "attribute_exists(pk)", {}, {":a": 1})

    assert refused.value.found is None


def test_an_update_returns_the_item_as_it_is_then(table: Table) -> None:
    put(table, a=1)

    assert table.update(KEY, "SET a = :a", "a = :before", {}, {":a": 2, ":before": 1})["a"] == 2


def test_a_deletion_has_its_condition(table: Table) -> None:
    put(table, owner="me")
    with pytest.raises(ConditionFailedError):
        table.delete(KEY, "#o = :o", {"#o": "owner"}, {":o": "you"})

    table.delete(KEY, "#o = :o", {"#o": "owner"}, {":o": "me"})

    assert table.get(KEY) is None


@pytest.mark.parametrize(("owner", "happens"), [("me", True), ("you", False)])
def test_putting_one_item_and_deleting_another_happens_wholly_or_not_at_all(
    table: Table, owner: str, happens: bool
) -> None:
    put(table, owner="me")

    try:
        table.write_together([table.addition({**OTHER}), table.removal(KEY, "#o = :o", {"#o": "owner"}, {":o": owner})])
    except ConditionFailedError:
        assert not happens

    assert (table.get(KEY) is None) is happens
    assert (table.get(OTHER) is not None) is happens


@pytest.mark.parametrize("reason", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_transaction_that_met_another_one_is_tried_again_and_not_taken_for_done(
    table: Table, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    def transact_write_items(**request: Any) -> None:
        response: Any = {
            "Error": {"Code": "TransactionCanceledException", "Message": "Transaction cancelled"},
            "CancellationReasons": [{"Code": "None"}, {"Code": reason}],
        }
        raise ClientError(response, "TransactWriteItems")

    put(table, owner="me")
    monkeypatch.setattr(table._client, "transact_write_items", transact_write_items)

    with pytest.raises(ServiceUnavailableError):
        table.write_together([table.addition({**OTHER}), table.removal(KEY, "#o = :o", {"#o": "owner"}, {":o": "me"})])


@pytest.mark.parametrize("index", ["lookup", "awaited"])
def test_items_are_found_by_an_index_however_many_they_are(table: Table, index: str) -> None:
    for number in range(12):
        put(table, {"pk": f"INSTANCE#i-{number}", "sk": "LEASE"}, **{index: "wanted"}, filler="x" * 200_000)
    put(table, {"pk": "INSTANCE#i-x", "sk": "LEASE"}, **{index: "unwanted"})

    found = table.look_up(index, "wanted")

    assert {item["pk"] for item in found} == {f"INSTANCE#i-{number}" for number in range(12)}
    assert len(found) == 12


def test_one_item_of_a_newer_drydock_does_not_keep_the_others_waiting(table: Table) -> None:
    put(table, {"pk": "INSTANCE#i-1", "sk": "LEASE"}, lookup="wanted", schema=2)
    put(table, {"pk": "INSTANCE#i-2", "sk": "LEASE"}, lookup="wanted")

    assert [item["pk"] for item in table.look_up("lookup", "wanted")] == ["INSTANCE#i-2"]
