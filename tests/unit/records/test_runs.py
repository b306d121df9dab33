"""Runs: what is written down of a run is read again as it was, and the first of it stands."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drydock.aws.table import Table
from drydock.errors import RunNotFoundError
from drydock.records.holder import Holder
from drydock.records.runs import (
    CARRYING_OUT,
    Run,
    RunSummary,
    begin_carrying_out,
    end_run,
    mark_run_told,
    open_run,
    open_runs,
    record_plan,
    require_run,
)
from tests.unit.fakes import START
from tests.unit.records.recorded import RUN_EXECUTION, RUN_ID, recorded_end, recorded_plan
from tests.unit.world import World

ABORTED = {"error": "ABORTED", "cause": "somebody stopped it"}


@pytest.fixture
def table(world: World) -> Table:
    return world.table


def begin(table: Table) -> Run:
    return open_run(table, Holder(RUN_EXECUTION, 0), START)


def test_a_run_knows_nothing_of_a_plan_or_an_end_before_there_is_one(table: Table) -> None:
    run = begin(table)

    assert (run.plan, run.ended, run.end, run.outcome, run.started_by) == (None, None, None, "", "")
    with pytest.raises(RunNotFoundError, match="has no plan"):
        run.require_plan()
    with pytest.raises(RunNotFoundError, match="has not ended"):
        run.require_end()


def test_the_plan_of_a_run_is_read_as_it_was_recorded(table: Table) -> None:
    plan = recorded_plan(window={"windowId": "mw-0123456789abcdef0"}, max_errors=2, started_by="arn:aws:iam::1:user/a")

    record_plan(table, begin(table), plan)

    run = require_run(table, RUN_ID)
    assert run.plan == plan
    assert (run.max_errors, run.started_by) == (2, "arn:aws:iam::1:user/a")
    assert (run.end, run.last_admission) == (plan.end, plan.last_admission)


@pytest.mark.parametrize("window_id", ["", "mw-0123456789abcdef0"], ids=["no window", "a window"])
def test_the_runs_that_have_not_ended_are_found_with_their_windows(table: Table, window_id: str) -> None:
    run = begin(table)
    assert open_runs(table) == [RunSummary(RUN_ID, run.holder, run.started, "", None)]

    record_plan(table, run, recorded_plan(window={"windowId": window_id} if window_id else {}))

    assert open_runs(table) == [RunSummary(RUN_ID, run.holder, run.started, window_id, None)]


def test_runs_are_found_by_the_month_of_their_start_in_the_order_of_their_starts_also_once_they_ended(
    table: Table,
) -> None:
    starts = {"b": START, "a": START - timedelta(hours=1), "before": START - timedelta(days=31)}
    for name, started in starts.items():
        holder = Holder(RUN_EXECUTION.replace(RUN_ID, name), 0)
        run = open_run(table, holder, started)
    mark_run_told(table, end_run(table, run, recorded_end()))

    assert [item["pk"] for item in table.look_up("month", f"{START:%Y-%m}")] == ["RUN#a", "RUN#b"]
    assert [item["pk"] for item in table.look_up("month", "2025-12")] == ["RUN#before"]


def test_the_first_plan_of_a_run_stands(table: Table) -> None:
    first = record_plan(table, begin(table), recorded_plan(hash="11"))

    assert record_plan(table, begin(table), recorded_plan(hash="22")) == first


@pytest.mark.parametrize("failure", [None, ABORTED], ids=["well", "badly"])
def test_the_end_of_a_run_is_read_as_it_was_recorded_and_the_first_one_stands(
    table: Table, failure: dict[str, str] | None
) -> None:
    end = recorded_end(failure=failure, failed_groups=["web"])

    run = end_run(table, begin(table), end)

    assert run.is_ended and run.ended == end
    assert end_run(table, require_run(table, RUN_ID), recorded_end(outcome="failed")).ended == end


def test_a_run_whose_plan_needs_no_approval_may_be_carried_out(table: Table) -> None:
    run = record_plan(table, begin(table), recorded_plan())

    assert begin_carrying_out(table, run).phase == CARRYING_OUT
