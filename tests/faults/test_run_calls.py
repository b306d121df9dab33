from __future__ import annotations

from functools import cache

import pytest

from rehearsal.engine.calls import Call, FunctionKilled, Interception
from rehearsal.play.faults import FailCall, Fault, KillFunction
from rehearsal.proof.promises import Allowance
from tests.faults.mishaps import MISHAPS, break_off
from tests.faults.runs import (
    AT_ONCE,
    CLEAN,
    NIGHT,
    POLICY,
    assert_keeps_promises,
    fleet_of_four,
)
from tests.scenarios.run.scenario import FAILING, QUICKLY, run_scenario

STEPS = ("plan_run", "check_gates", "admit_machine", "record_outcome", "summarise_run")
FOREVER = 1_000_000


@cache
def _clean_calls() -> tuple[Call, ...]:
    """What the functions of a run of one machine call when nothing goes wrong around it."""
    with run_scenario() as scene:
        run = scene.run([scene.machine("web-1")], QUICKLY, name=NIGHT)
        assert run.outcomes == {"web-1": "succeeded"}
        machine = "-MaintenanceRun"
        return tuple(call for call in scene.account.calls.calls if machine in str(call.caller.execution))


def test_every_step_of_a_run_is_put_to_the_test() -> None:
    functions = {call.caller.name for call in _clean_calls() if call.caller.kind == "function"}

    assert functions == set(STEPS)


def _faults(function: str, mishap: str) -> list[Fault]:
    return list(break_off(_clean_calls(), function, mishap))


@pytest.mark.parametrize("function", STEPS)
def test_a_step_of_a_run_that_breaks_off_at_any_of_its_changes_is_carried_on_and_does_nothing_twice(
    function: str,
) -> None:
    faults = [fault for mishap in MISHAPS for fault in _faults(function, mishap)]
    with run_scenario() as scene:
        strikes = scene.given(*faults)
        runs = [str(getattr(fault, "run", "")) for fault in faults]
        started = [scene.start_run([scene.machine(run)], QUICKLY, name=run) for run in runs]

        scene.settle()

        for arn, struck in zip(started, strikes, strict=True):
            run = scene.view(arn)
            assert struck.count == 1, struck
            # What dies between a message and the note that it was sent sends it again: nobody can know.
            assert_keeps_promises(scene, run, Allowance(repeats=int(function == "summarise_run")))
            assert (run.status, run.outcomes) == ("SUCCEEDED", {run.run_id: "succeeded"}), struck
            assert len(run.children) == 1, struck


@pytest.mark.parametrize("mishap", ["killed before", "killed after", "timed out"])
@pytest.mark.parametrize("function", ["admit_machine", "record_outcome"])
def test_a_failure_counts_once_however_often_its_outcome_is_written_down(function: str, mishap: str) -> None:
    changes = len(_faults(function, mishap))
    for fault in _faults(function, mishap)[:changes]:
        assert isinstance(fault, KillFunction)
        with run_scenario() as scene:
            machines = [scene.machine("web-1", **FAILING), scene.machine("web-2"), scene.machine("web-3", **FAILING)]
            again = KillFunction(function, fault.call, after_effect=fault.after_effect, hangs=fault.hangs, run=NIGHT)
            (strikes,) = scene.given(again)

            run = scene.run(machines, {**QUICKLY, "maxErrors": 1}, name=NIGHT)

            assert strikes.count == 1
            assert run.item["failed"] == 2
            assert run.outcomes == {"web-1": "failed", "web-2": "succeeded", "web-3": "failed"}
            assert_keeps_promises(scene, run)


FOR_GOOD = {
    "no plan": ("dynamodb:PutItem", "plan_run", "failed", 0),
    "no waves": ("s3:PutObject", "plan_run", "failed", 0),
    "no gates": ("dynamodb:UpdateItem", "check_gates", "failed", 0),
    "no places": ("dynamodb:UpdateItem", "admit_machine", "incomplete", 0),
    "no turns": ("dynamodb:PutItem", "admit_machine", "incomplete", 0),
    "no outcomes": ("dynamodb:TransactWriteItems", "record_outcome", "stopped", 1),
    "no waves to read": ("s3:GetObject", "drydock-MaintenanceRun", "failed", 0),
}


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
@pytest.mark.parametrize(("call", "caller", "outcome", "children"), FOR_GOOD.values(), ids=FOR_GOOD.keys())
def test_a_call_of_a_run_that_fails_for_good_ends_in_one_report(
    call: str, caller: str, outcome: str, children: int, code: str
) -> None:
    with fleet_of_four() as scene:
        (strikes,) = scene.given(FailCall(call, code, caller=caller, times=FOREVER))

        run = scene.run("web", POLICY, name=NIGHT)

        assert strikes.count > 0
        assert run.status == "FAILED"
        assert run.outcome == outcome
        assert len(run.children) == children
        assert_keeps_promises(scene, run)
        # What cannot be written down stops the run: nothing is known of its budget any more.
        attempted = {name: outcome for name, outcome in run.outcomes.items() if outcome != "not_attempted"}
        assert attempted == dict(list(CLEAN.items())[:children])


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("s3:PutObject", "SlowDown"),
        ("dynamodb:UpdateItem", "AccessDeniedException"),
        ("dynamodb:UpdateItem", "ThrottlingException"),
        ("sns:Publish", "AuthorizationError"),
        ("sns:Publish", "Throttled"),
    ],
)
def test_a_summary_that_cannot_be_made_for_hours_is_made_by_the_sweeps(call: str, code: str) -> None:
    with fleet_of_four() as scene:
        (strikes,) = scene.given(FailCall(call, code, caller="summarise_run", times=40))

        run = scene.run("web", POLICY, name=NIGHT)

        assert strikes.count == 40
        assert run.status == "FAILED"
        assert run.outcomes == CLEAN
        assert len(run.summaries) == 1
        assert_keeps_promises(scene, run)


def test_a_report_that_may_not_be_stored_is_told_all_the_same() -> None:
    with fleet_of_four() as scene:
        scene.given(FailCall("s3:PutObject", "AccessDenied", caller="summarise_run", times=FOREVER))

        run = scene.run("web", POLICY, name=NIGHT)

        assert (run.status, run.item["outcome"], run.report) == ("FAILED", "failed", {})
        assert "There is no report: it could not be stored." in run.summary.body
        assert "web-3" in run.summary.body
        assert_keeps_promises(scene, run)


@pytest.mark.parametrize("call", range(1, 8))
def test_a_pass_over_a_dead_run_that_dies_at_any_of_its_calls_comes_again(call: int) -> None:
    with fleet_of_four() as scene:
        (strikes,) = scene.given(KillFunction("give_back", call, after_effect=True))
        arn = scene.start_run("web", AT_ONCE, name=NIGHT)
        scene.run_for(5)
        scene.account.stop_execution(arn)

        run = scene.view(arn, settle=True)

        assert strikes.count == 1
        assert run.outcome == "stopped"
        assert_keeps_promises(scene, run, Allowance(stopped=run.execution.stopped, in_flight=0))


@cache
def _calls_of_a_report() -> tuple[Call, ...]:
    """What is called for the report of a run that was stopped, when nothing goes wrong with that."""
    with fleet_of_four() as scene:
        arn = scene.start_run("web", AT_ONCE, name=NIGHT)
        scene.run_for(5)
        scene.account.stop_execution(arn)
        scene.settle()
        return tuple(call for call in scene.account.calls.calls if call.caller.name == "summarise_run")


def test_a_report_of_a_dead_run_that_dies_at_any_of_its_calls_is_made_again() -> None:
    for number, call in enumerate(_calls_of_a_report(), 1):
        if call.operation.startswith(("Describe", "Get", "List", "Query")):
            continue
        with fleet_of_four() as scene:
            (strikes,) = scene.given(KillFunction("summarise_run", number, after_effect=True))
            arn = scene.start_run("web", AT_ONCE, name=NIGHT)
            scene.run_for(5)
            scene.account.stop_execution(arn)

            run = scene.view(arn, settle=True)

            assert strikes.count == 1
            assert run.outcome == "stopped"
            assert_keeps_promises(scene, run, Allowance(repeats=int(call.operation == "Publish")))


def test_a_summary_whose_sender_always_dies_is_told_three_times_at_most() -> None:
    with fleet_of_four() as scene:

        def kill(call: Call) -> Interception | None:
            is_sent = (call.caller.name, call.operation) == ("summarise_run", "Publish")
            return Interception(after=FunctionKilled()) if is_sent else None

        scene.account.calls.interceptors.append(kill)

        run = scene.run("web", POLICY, name=NIGHT)

        assert run.outcomes == CLEAN
        assert 1 < len(run.summaries) <= 3
        assert_keeps_promises(scene, run, Allowance(repeats=2))
