"""Runs: what is written down of a run is read again as it was, and the first of it stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from drydock.aws.table import Table
from drydock.errors import Failure, RunNotFoundError
from drydock.records.holder import Holder
from drydock.records.runs import (
    CARRYING_OUT,
    Place,
    PlaceEnd,
    Run,
    RunSummary,
    begin_carrying_out,
    count_taken,
    end_place,
    end_run,
    find_place,
    mark_run_told,
    open_run,
    open_runs,
    places_of_run,
    put_place,
    record_plan,
    require_run,
)
from drydock.subject import Group, Instance
from tests.unit.fakes import START
from tests.unit.records.recorded import RUN_EXECUTION, RUN_ID, recorded_end, recorded_plan
from tests.unit.world import INSTANCE, World

ABORTED: Failure = {"error": "ABORTED", "cause": "somebody stopped it"}


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
    assert open_runs(table).read == [RunSummary(RUN_ID, run.holder, run.started, "", None)]

    window = {"windowId": window_id, "executionId": "1"} if window_id else {}

    record_plan(table, run, recorded_plan(window=window))

    assert open_runs(table).read == [RunSummary(RUN_ID, run.holder, run.started, window_id, None)]


def test_a_plan_for_a_window_that_opens_later_is_no_run_of_that_window(table: Table) -> None:
    run = begin(table)

    record_plan(table, run, recorded_plan(window={"windowId": "mw-0123456789abcdef0", "executionId": ""}))

    assert open_runs(table).read == [RunSummary(RUN_ID, run.holder, run.started, "", None)]


def test_runs_are_found_by_the_month_of_their_start_in_the_order_of_their_starts_also_once_they_ended(
    table: Table,
) -> None:
    starts = {"b": START, "a": START - timedelta(hours=1), "before": START - timedelta(days=31)}
    for name, started in starts.items():
        holder = Holder(RUN_EXECUTION.replace(RUN_ID, name), 0)
        run = open_run(table, holder, started)
    mark_run_told(table, end_run(table, run, recorded_end()), is_report_finished=True)

    assert [item["pk"] for item in table.look_up("month", f"{START:%Y-%m}")] == ["RUN#a", "RUN#b"]
    assert [item["pk"] for item in table.look_up("month", "2025-12")] == ["RUN#before"]


def test_the_first_plan_of_a_run_stands(table: Table) -> None:
    first = record_plan(table, begin(table), recorded_plan(hash="11"))

    assert record_plan(table, begin(table), recorded_plan(hash="22")) == first


@pytest.mark.parametrize("failure", [None, ABORTED], ids=["well", "badly"])
def test_the_end_of_a_run_is_read_as_it_was_recorded_and_the_first_one_stands(
    table: Table, failure: Failure | None
) -> None:
    end = recorded_end(failure=failure, failed_groups=["web"])

    run = end_run(table, begin(table), end)

    assert run.is_ended and run.ended == end
    assert end_run(table, require_run(table, RUN_ID), recorded_end(outcome="failed")).ended == end


def test_a_run_whose_plan_needs_no_approval_may_be_carried_out(table: Table) -> None:
    run = record_plan(table, begin(table), recorded_plan())

    assert begin_carrying_out(table, run).phase == CARRYING_OUT


END: PlaceEnd = {"outcome": "succeeded", "error": "", "cause": "", "verdict": "compliant"}
FAILED: PlaceEnd = {"outcome": "failed", "error": "ImageFailedError", "cause": "no image", "verdict": ""}
LET_IN = Place(
    Instance(INSTANCE), "web-1", pace="Linux, guess", expected_seconds=600, execution="arn:child", admitted=START
)
PLACES = {
    "let in": LET_IN,
    "a group that was let in": replace(LET_IN, subject=Group("web"), only=[INSTANCE]),
    "not let in": replace(
        LET_IN, execution="", admitted=None, ended=START, outcome="not_attempted", error="BudgetSpentError", cause="2"
    ),
    "never decided": Place(
        Instance(INSTANCE), "web-1", ended=START, outcome="not_attempted", error="UNKNOWN", cause=""
    ),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_place_is_read_as_it_was_taken_and_the_first_one_stands(table: Table, place: Place) -> None:
    assert put_place(table, RUN_ID, place, START) == place

    assert find_place(table, RUN_ID, place.subject) == place
    assert put_place(table, RUN_ID, replace(place, name="another"), START) == place


def test_the_first_end_of_a_place_stands(table: Table) -> None:
    run = begin(table)
    put_place(table, RUN_ID, LET_IN, START)

    ended = replace(LET_IN, ended=START, outcome="succeeded", verdict="compliant")
    assert end_place(table, run, LET_IN.subject, END, START) == ended
    assert end_place(table, run, LET_IN.subject, END, START) is None
    assert end_place(table, run, LET_IN.subject, FAILED, START) is None

    assert places_of_run(table, RUN_ID) == [ended]
    assert require_run(table, RUN_ID).failed == 0


@pytest.mark.parametrize(
    ("members", "failed"),
    [(None, 1), ({"succeeded": 2, "failed": 3}, 3), ({"not_attempted": 2}, 1)],
    ids=["a machine", "a group with members that failed", "a group that failed by itself"],
)
def test_what_failed_counts_against_the_budget_of_the_run(
    table: Table, members: dict[str, int] | None, failed: int
) -> None:
    run = begin(table)
    place = replace(LET_IN, subject=Group("web") if members else LET_IN.subject)
    put_place(table, RUN_ID, place, START)

    end_place(table, run, place.subject, FAILED, START, members)

    assert require_run(table, RUN_ID).failed == failed


def test_what_machines_took_is_counted_by_kind(table: Table) -> None:
    run = begin(table)

    count_taken(table, RUN_ID, "Linux, guess", [26, 26, 8])
    count_taken(table, RUN_ID, "Windows, own history", [20])
    count_taken(table, RUN_ID, "Linux, guess", [26])
    count_taken(table, RUN_ID, "Linux, guess", [])

    assert run.taken == {}
    assert require_run(table, RUN_ID).taken == {"Linux, guess": {26: 3, 8: 1}, "Windows, own history": {20: 1}}


def test_nobody_has_a_place_before_the_turn_came(table: Table) -> None:
    run = begin(table)

    end_place(table, run, LET_IN.subject, FAILED, START)

    assert find_place(table, RUN_ID, LET_IN.subject) is None
    assert require_run(table, RUN_ID).failed == 0


def test_a_place_keeps_as_much_of_a_cause_as_ten_thousand_of_them_have_room_for(table: Table) -> None:
    run, said = begin(table), "断られました" * 5_000
    ended, begun = Instance(INSTANCE), Instance("i-00000000000000001")
    put_place(table, RUN_ID, Place(ended, "", ended=START, outcome="failed", error="X", cause=said), START)
    put_place(table, RUN_ID, Place(begun, "", execution="arn", admitted=START), START)
    end_place(table, run, begun, {"outcome": "failed", "error": "X", "cause": said}, START)

    causes = [place.cause for place in places_of_run(table, RUN_ID)]

    assert len(causes) == 2
    assert all(cause.startswith("断られました") and len(cause.encode()) <= 4_000 for cause in causes)
