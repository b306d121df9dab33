"""What a plan advises where not all of it fits: each way is enough, and nothing less of it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drydock.plan.advice import advise
from drydock.plan.plans import Plan, PlannedMachine, at_another_time
from tests.unit.fakes import START
from tests.unit.plan.test_plans import MINUTE, make_plan, policy

BATCH = "All would be expected to fit with {} members of a group at once (batch)"
CONCURRENCY = "All would be expected to fit with {} at once (maxConcurrency)"
TIME = "All would be expected to fit with {} more"


def a_group(*minutes: int) -> PlannedMachine:
    """A group whose batches take so long, a member in each."""
    (one,) = make_plan()["machines"][:1]
    members = [{"instanceId": f"i-{number}", "name": ""} for number in range(len(minutes))]
    roll = {"before": 0, "turns": [each * 60 for each in minutes], "after": 0, "reaches": 0}
    group = {
        "instanceId": "group/web",
        "kind": "group",
        "groupName": "web",
        "members": members,
        "roll": roll,
        "wave": 0,
    }
    return {**one, **group, "seconds": sum(minutes) * 60}  # type: ignore[typeddict-item]


def machines(*minutes: int) -> list[PlannedMachine]:
    (one,) = make_plan()["machines"][:1]
    return [
        {**one, "instanceId": f"i-{number:017x}", "seconds": each * 60, "wave": 0}
        for number, each in enumerate(minutes)
    ]


def advice(planned: list[PlannedMachine], end: int, last: int | None = None, **above: Any) -> list[str]:
    plan = make_plan(policy(**above))
    whole: Plan = {**plan, "machines": planned, "waves": [{"key": "", "count": len(planned), "isCanary": False}]}
    until = START + end * MINUTE
    last_admission = until if last is None else START + last * MINUTE
    return advise(at_another_time(whole, START, until, last_admission), START, until, last_admission)


def test_where_all_fits_nothing_is_advised() -> None:
    assert advice(machines(30, 30), end=60) == []


def test_more_at_once_or_more_time_is_advised_with_figures() -> None:
    assert advice(machines(30, 30, 30, 30), end=60) == [CONCURRENCY.format(2), TIME.format("1 h")]
    assert advice(machines(*[30] * 7), end=60, maxConcurrency=2) == [CONCURRENCY.format(4), TIME.format("1 h")]


def test_a_larger_batch_is_advised_where_it_helps() -> None:
    assert advice([a_group(40, 40, 40, 40)], end=80) == [BATCH.format(2), TIME.format("1 h 20 min")]
    assert advice([a_group(40, 40, 40, 40)], end=79) == [TIME.format("1 h 25 min")], "four at once would leave none"
    assert advice([a_group(40, 40, 40, 40)], end=80, minHealthy=3) == [TIME.format("1 h 20 min")]


def test_the_last_admission_counts() -> None:
    assert advice(machines(30, 30), end=120, last=30) == [CONCURRENCY.format(2), TIME.format("5 min")]


@pytest.mark.parametrize("other", [[], [30, 30]])
def test_what_fits_into_no_window_is_told_elsewhere(other: list[int]) -> None:
    assert advice(machines(90, *other), end=60, maxConcurrency=len(other) + 1) == []


def test_no_more_than_two_days_are_asked_for() -> None:
    assert advice(machines(*[60] * 60), end=60, maxConcurrency=1)[-1] == CONCURRENCY.format(60)
    assert timedelta(days=2) < timedelta(minutes=59 * 60)
