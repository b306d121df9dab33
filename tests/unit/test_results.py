"""Results: one for each execution of a machine, found by the sweep until it was told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drydock.results import find_result, make_result, mark_result_told, put_result, result_key, untold_results
from drydock.step import Holder
from drydock.table import Table
from tests.unit.fakes import START
from tests.unit.world import HOLDER, INSTANCE


@pytest.mark.parametrize(("outcome", "untold"), [("failed", 1), ("refused", 1), ("succeeded", 0)])
def test_what_did_not_succeed_waits_to_be_told(table: Table, outcome: str, untold: int) -> None:
    put_result(table, make_result(INSTANCE, HOLDER, outcome, START, {}))

    assert len(untold_results(table)) == untold


def test_a_result_that_was_told_is_kept_and_waits_no_more(table: Table) -> None:
    put_result(table, make_result(INSTANCE, HOLDER, "failed", START, {"verdict": "unknown"}))

    for _ in range(2):
        mark_result_told(table, result_key(INSTANCE, HOLDER))

    assert untold_results(table) == []
    found = find_result(table, INSTANCE, HOLDER)
    assert found is not None and found["verdict"] == "unknown"


def test_marking_what_does_not_exist_makes_nothing(table: Table) -> None:
    mark_result_told(table, result_key(INSTANCE, HOLDER))

    assert find_result(table, INSTANCE, HOLDER) is None


def test_the_first_result_stands(table: Table) -> None:
    put_result(table, make_result(INSTANCE, HOLDER, "failed", START, {}))
    put_result(table, make_result(INSTANCE, HOLDER, "succeeded", START, {}))

    found = find_result(table, INSTANCE, HOLDER)
    assert found is not None and found["outcome"] == "failed"


def test_every_redrive_has_its_own_result(table: Table) -> None:
    again = Holder(HOLDER.execution, 1)
    put_result(table, make_result(INSTANCE, HOLDER, "failed", START, {}))
    put_result(table, make_result(INSTANCE, again, "succeeded", START, {}))

    found = find_result(table, INSTANCE, again)
    assert found is not None and found["outcome"] == "succeeded"
    assert len(untold_results(table)) == 1


def test_a_result_is_kept_for_a_year() -> None:
    result = make_result(INSTANCE, HOLDER, "succeeded", START, {})

    assert result["ttl"] == int((START + timedelta(days=365)).timestamp())
    assert result["endedAt"] == "2026-01-13T01:00:00+00:00"
