"""The outcome of a run: an ordered table, of which the first row that holds says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from drydock.run.outcomes import MACHINE_OUTCOMES, OUTCOMES_OF_RUNS, Ending


def ending(counts: Mapping[str, int] | None = None, **more: Any) -> Ending:
    found = {**dict.fromkeys(MACHINE_OUTCOMES, 0), **(counts or {"succeeded": 3})}
    rest = {"a_roll_failed": False, "error": "", "closed_by": "", "is_plan_only": False, "is_late": False}
    return Ending(counts=found, **{**rest, **more})


def row_of(end: Ending) -> str:
    return next(row.name for row in OUTCOMES_OF_RUNS if row.holds(end))


NONE: Mapping[str, int] = {"succeeded": 0}
LEFT: Mapping[str, int] = {"not_attempted": 3}
SOME_LEFT: Mapping[str, int] = {"succeeded": 2, "not_attempted": 1}
FAILED: Mapping[str, int] = {"succeeded": 1, "failed": 2}

DECIDED_BY = {
    "stopped_with_machines_left": ending(SOME_LEFT, closed_by="RunStoppedError"),
    "stopped_without_machines": ending(NONE, error="RunStoppedError"),
    "killed_with_machines_in_work": ending(FAILED, error="ABORTED"),
    "rejected": ending(LEFT, error="ApprovalRejectedError"),
    "not_answered": ending(LEFT, error="ApprovalTimedOutError"),
    "refused": ending(NONE, error="InvalidInputError"),
    "machines_failed": ending(FAILED),
    "a_roll_failed": ending(a_roll_failed=True),
    "ended_early": ending(error="States.Timeout"),
    "back_late": ending(SOME_LEFT, is_late=True),
    "nothing_is_left_of_the_targets": ending(NONE, is_left_to_people=True),
    "no_machine_was_there": ending(NONE),
    "only_planned": ending(LEFT, is_plan_only=True),
    "none_was_done": ending({"busy": 3}),
    "some_were_left": ending(SOME_LEFT),
    "all_were_done": ending(),
}


def test_every_row_decides_of_some_run() -> None:
    assert {name: row_of(end) for name, end in DECIDED_BY.items()} == {row.name: row.name for row in OUTCOMES_OF_RUNS}


@pytest.mark.parametrize("closed_by", ["", "BudgetSpentError", "RunStoppedError"])
@pytest.mark.parametrize("error", ["PlanChangedError", "ApprovalRejectedError", "TIMED_OUT"])
def test_the_failure_of_a_run_that_touched_machines_tells_more_than_why_it_was_closed(
    error: str, closed_by: str
) -> None:
    assert row_of(ending(SOME_LEFT, error=error, closed_by=closed_by)) == "ended_early"


@pytest.mark.parametrize("error", ["ABORTED", "RunStoppedError"])
def test_a_run_that_was_stopped_when_all_was_done_is_done(error: str) -> None:
    assert row_of(ending(error=error)) == "all_were_done"
