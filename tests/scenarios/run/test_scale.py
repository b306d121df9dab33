from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.account import carry_out, main
from rehearsal.proof.promises import MOST_EVENTS
from tests.faults.runs import NIGHT
from tests.scenarios.run.scenario import RunScenario, run_scenario

FUNCTION_SECONDS = 60
MOST_DATA = 256 * 1024
"""Bytes that a state may hand on."""


@pytest.mark.prove
def test_a_run_of_many_machines_of_which_some_fail_keeps_its_promises() -> None:
    run = carry_out(160)

    assert run.broken == ()
    counts = {outcome: count for outcome, count in run.report["counts"].items() if count}
    assert counts == {"succeeded": 152, "failed": 8}
    assert (run.status, run.report["outcome"]) == ("FAILED", "failed")
    assert run.told == {"machine": 8, "run": 1}
    assert run.most_events < MOST_EVENTS
    # Four turns of fifty, of half an hour each.
    assert run.minutes < 150


def test_the_bench_carries_a_run_out_and_plans_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", "4"]) == 0
    assert main(["--plan", "30"]) == 0

    shown = capsys.readouterr().out
    assert "a run of 4 machines, 50 at a time: {'failed': 1, 'succeeded': 3}" in shown
    assert "a run of 30 machines" in shown


@pytest.fixture(scope="module")
def crowd() -> Iterator[RunScenario]:
    """As many machines as a run may have, of which nothing is known yet."""
    with run_scenario() as scene:
        scene.machines("all", 10_000, missing=("openssl-3.0.8",))
        yield scene


def test_ten_thousand_machines_are_planned_within_the_time_and_size_that_aws_allows(crowd: RunScenario) -> None:
    run = crowd.run("all", {"maxConcurrency": "1%", "canary": {"count": 10}}, name=NIGHT, planOnly=True)

    calls = [call for call in crowd.account.calls.calls if call.caller.name == "plan_run"]
    taken = (calls[-1].at - calls[0].at).total_seconds()
    assert run.status == "SUCCEEDED"
    assert run.item["planned"] == 10_000
    assert [len(wave) for wave in run.waves] == [10, 9_990]
    # Half of the function's time is for computing.
    assert taken < FUNCTION_SECONDS / 2
    assert len(calls) < 300


def test_a_run_of_as_many_waves_as_there_may_be_is_planned_within_time_and_size(crowd: RunScenario) -> None:
    began = len(crowd.account.calls.calls)

    run = crowd.run("all", {"waveSize": "1%"}, name="many-waves", planOnly=True)

    calls = [call for call in crowd.account.calls.calls[began:] if call.caller.name == "plan_run"]
    planned = next(
        event["taskSucceededEventDetails"]["output"]
        for event in run.execution.events
        if "taskSucceededEventDetails" in event
    )
    assert len(run.waves) == 100
    assert (calls[-1].at - calls[0].at).total_seconds() < FUNCTION_SECONDS / 2
    # Two variables hold the waves, and are assigned together.
    assert 2 * len(planned) < MOST_DATA


def test_a_run_of_too_many_waves_is_refused_with_what_to_do(crowd: RunScenario) -> None:
    run = crowd.run("all", {"waveSize": 10}, name="too-many-waves", planOnly=True)

    assert (run.status, run.outcome) == ("FAILED", "refused")
    assert "waveSize" in run.summary.body


@pytest.mark.prove
def test_a_run_of_ten_thousand_machines_that_never_begin_is_reported_within_time(crowd: RunScenario) -> None:
    run = crowd.run("all", {"gates": {"alarms": ["unknown"]}}, name="closed")

    calls = [call for call in crowd.account.calls.calls if str(call.caller.execution).endswith(":closed")]
    of_report = [call for call in calls if call.caller.name == "summarise_run"]
    assert (run.status, run.outcome) == ("FAILED", "incomplete")
    assert len(run.report["machines"]) == run.report["counts"]["not_attempted"] == 10_000
    assert (of_report[-1].at - of_report[0].at).total_seconds() < FUNCTION_SECONDS / 2
    assert len(run.summary.body.encode()) < MOST_DATA
