from __future__ import annotations

import json
from typing import Any

import pytest

from rehearsal.play.faults import Fault, LoseCancellations, LoseEvents, Moment, StopExecution, StopRun
from rehearsal.proof.promises import Allowance
from tests.faults.runs import (
    AT_ONCE,
    CLEAN,
    LIMIT,
    NIGHT,
    POLICY,
    assert_keeps_promises,
    fleet_of_four,
    note_time,
)
from tests.proved import proved
from tests.scenarios.run.scenario import RunScenario

OF_CHILDREN = ("Admit Machine", "Patch Machine", "Record Outcome")
"""The states of the Map's children that take time. Rolls through groups are stopped in test_run_groups."""


def _arm(scene: RunScenario, stop: Fault, cancellations: str, events: str) -> list[Any]:
    scene.given(*([LoseCancellations()] if cancellations == "lost" else []))
    scene.given(*([LoseEvents()] if events == "lost" else []))
    (strikes,) = scene.given(stop)
    return note_time(scene, strikes)


@pytest.mark.parametrize("events", [proved("delivered"), "lost"])
@pytest.mark.parametrize("after", [240, 900])
def test_a_run_whose_cancellations_are_lost_is_stopped_by_giving_back(after: float, events: str) -> None:
    with fleet_of_four() as scene:
        moments = _arm(scene, StopRun(NIGHT, Moment(after, "Patch Machine")), "lost", events)

        run = scene.run("web", AT_ONCE, name=NIGHT)

        assert len(moments) == 1
        assert_keeps_promises(scene, run, Allowance(stopped=moments[0], in_flight=LIMIT))
        # Who was let in before may have begun after the stop, but none was let in later.
        assert sum(began > moments[0] for began in run.began.values()) <= LIMIT
        assert run.outcomes["web-4"] == "not_attempted"
        assert run.status == "ABORTED"
        assert "somebody stopped the run" in run.summary.said


@pytest.mark.parametrize("budget", [0, 1])
def test_a_machine_whose_execution_somebody_stops_is_a_failure_like_any_other(budget: int) -> None:
    with fleet_of_four() as scene:
        scene.given(StopExecution("web-1", Moment(60, "Install Patches")))

        run = scene.run("web", {**AT_ONCE, "maxConcurrency": 1, "maxErrors": budget}, name=NIGHT)

        assert_keeps_promises(scene, run)
        assert run.errors["web-1"] == "ABORTED"
        assert run.causes["web-1"] == "Rehearsal.Stopped: somebody stopped the execution"
        # The next failure, of web-3, spends a budget of one.
        expected = {
            0: {"web-1": "failed", "web-2": "not_attempted", "web-3": "not_attempted", "web-4": "not_attempted"},
            1: {"web-1": "failed", "web-2": "succeeded", "web-3": "failed", "web-4": "not_attempted"},
        }
        assert run.outcomes == expected[budget]
        assert run.errors["web-4"] == "BudgetSpentError"
        assert run.status == "FAILED"


@pytest.mark.parametrize("cancellations", [proved("arrive"), "lost"])
@pytest.mark.parametrize("state", OF_CHILDREN)
def test_a_child_of_the_map_that_somebody_stops_costs_its_machine_and_no_other(state: str, cancellations: str) -> None:
    with fleet_of_four() as scene:
        scene.given(*([LoseCancellations()] if cancellations == "lost" else []))
        arn = scene.start_run("web", {**AT_ONCE, "maxConcurrency": 1}, name=NIGHT)
        child = scene.run_until_any(lambda _, entered: entered == state)
        scene.run_for(0.12 / 60)
        scene.account.stop_execution(child)
        run = scene.view(arn, settle=True)

        assert_keeps_promises(scene, run)
        assert {**run.outcomes, "web-1": ""} == {**CLEAN, "web-1": ""}
        expected = {"Admit Machine": "not_attempted", "Record Outcome": "succeeded"}
        if state == "Patch Machine":
            assert run.outcomes["web-1"] == ("succeeded" if cancellations == "lost" else "failed")
        else:
            assert run.outcomes["web-1"] == expected[state]


def test_a_run_that_lasts_longer_than_it_may_is_given_back_like_one_that_was_stopped() -> None:
    with fleet_of_four() as scene:
        _limit_runs(scene, seconds=15 * 60)

        run = scene.run("web", AT_ONCE, name=NIGHT)

        assert run.status == "TIMED_OUT"
        assert_keeps_promises(scene, run)
        assert run.outcomes["web-4"] == "not_attempted"
        assert "TIMED_OUT" in run.summary.said or "time" in run.summary.said


def test_a_run_killed_before_its_first_state_is_told_of_all_the_same() -> None:
    with fleet_of_four() as scene:
        arn = scene.start_run("web", POLICY, name=NIGHT)
        scene.account.stop_execution(arn, "Rehearsal.Stopped", "at once")

        run = scene.view(arn, settle=True)

        assert scene.states(arn) == []
        assert (run.status, run.outcome, run.children) == ("ABORTED", "stopped", [])
        assert "at once" in run.summary.said
        assert_keeps_promises(scene, run)


def _limit_runs(scene: RunScenario, seconds: int) -> None:
    """Somebody gives the state machine a shorter time-out."""
    client = scene.account.client("stepfunctions")
    machine = scene.stack.resource("MaintenanceRun")
    definition = json.loads(client.describe_state_machine(stateMachineArn=machine)["definition"])
    definition["TimeoutSeconds"] = seconds
    client.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))
