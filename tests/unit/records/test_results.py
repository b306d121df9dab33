"""Results: one for each execution of a machine, found by the sweep until it was told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drydock.aws.table import Table
from drydock.records.holder import Holder
from drydock.records.results import (
    UntoldResult,
    find_result,
    make_result,
    mark_result_told,
    put_result,
    result_key,
    untold_results,
)
from tests.unit.fakes import START
from tests.unit.world import HOLDER, SUBJECT

LATER = START + timedelta(hours=1)
FACTS = {"runId": "run-7", "notify": "failures"}


@pytest.mark.parametrize("outcome", ["failed", "refused"])
@pytest.mark.parametrize("notify", ["each", "failures", "summary"])
@pytest.mark.parametrize("run", ["", "run-7"], ids=["by hand", "in a run"])
def test_what_did_not_succeed_waits_to_be_told(table: Table, outcome: str, notify: str, run: str) -> None:
    put_result(table, make_result(SUBJECT, HOLDER, START, outcome, LATER, {"runId": run, "notify": notify}))

    assert untold_results(table) == [UntoldResult(SUBJECT, HOLDER, START, LATER)]


@pytest.mark.parametrize(
    ("run", "notify", "untold"),
    [("", "failures", 1), ("", "summary", 1), ("run-7", "each", 1), ("run-7", "failures", 0), ("run-7", "summary", 0)],
)
def test_a_success_waits_to_be_told_where_it_is_announced(table: Table, run: str, notify: str, untold: int) -> None:
    put_result(table, make_result(SUBJECT, HOLDER, START, "succeeded", LATER, {"runId": run, "notify": notify}))

    assert len(untold_results(table)) == untold


def test_a_result_that_was_told_is_kept_and_waits_no_more(table: Table) -> None:
    put_result(table, make_result(SUBJECT, HOLDER, START, "failed", LATER, {"verdict": "unknown"}))

    for _ in range(2):
        mark_result_told(table, result_key(SUBJECT, HOLDER, START))

    assert untold_results(table) == []
    found = find_result(table, SUBJECT, HOLDER, START)
    assert found is not None and found["verdict"] == "unknown"


def test_marking_what_does_not_exist_makes_nothing(table: Table) -> None:
    mark_result_told(table, result_key(SUBJECT, HOLDER, START))

    assert find_result(table, SUBJECT, HOLDER, START) is None


def test_the_first_result_stands(table: Table) -> None:
    put_result(table, make_result(SUBJECT, HOLDER, START, "failed", LATER, {}))
    put_result(table, make_result(SUBJECT, HOLDER, START, "succeeded", LATER, FACTS))

    found = find_result(table, SUBJECT, HOLDER, START)
    assert found is not None and found["outcome"] == "failed"


def test_every_redrive_has_its_own_result(table: Table) -> None:
    again = Holder(HOLDER.execution, 1)
    put_result(table, make_result(SUBJECT, HOLDER, START, "failed", LATER, {}))
    put_result(table, make_result(SUBJECT, again, START, "succeeded", LATER, FACTS))

    found = find_result(table, SUBJECT, again, START)
    assert found is not None and found["outcome"] == "succeeded"
    assert len(untold_results(table)) == 1


def test_a_result_is_kept_for_a_year() -> None:
    result = make_result(SUBJECT, HOLDER, START, "succeeded", LATER, FACTS)

    assert result["ttl"] == int((LATER + timedelta(days=365)).timestamp())
    assert (result["startedAt"], result["endedAt"]) == ("2026-01-13T01:00:00.000Z", "2026-01-13T02:00:00.000Z")


def test_an_execution_whose_name_was_used_before_has_a_result_of_its_own(table: Table) -> None:
    in_spring = START + timedelta(days=91)
    put_result(table, make_result(SUBJECT, HOLDER, START, "failed", LATER, {}))
    assert find_result(table, SUBJECT, HOLDER, in_spring) is None

    put_result(table, make_result(SUBJECT, HOLDER, in_spring, "succeeded", in_spring, FACTS))

    outcomes = [find_result(table, SUBJECT, HOLDER, started) for started in (START, in_spring)]
    assert [result and result["outcome"] for result in outcomes] == ["failed", "succeeded"]


def test_executions_of_the_same_name_and_second_but_of_another_machine_have_results_of_their_own() -> None:
    other = Holder(HOLDER.execution.replace("drydock-PatchInstance", "drydock-RestoreInstance"), 0)

    assert result_key(SUBJECT, other, START) != result_key(SUBJECT, HOLDER, START)


def test_results_of_a_machine_sort_by_the_start_of_their_executions() -> None:
    starts = [START + timedelta(seconds=seconds) for seconds in (0, 1, 3600, 86_400, 400 * 86_400)]

    keys = [result_key(SUBJECT, HOLDER, started)["sk"] for started in starts]

    assert keys == sorted(keys)
