from __future__ import annotations

import json
from typing import Any

import pytest

from rehearsal.play.faults import EventFault, LoseCancellations, Moment, StopRun
from rehearsal.proof.promises import Allowance
from tests.faults.mishaps import HOWEVER_EVENTS_ARRIVE
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


@HOWEVER_EVENTS_ARRIVE
def test_a_run_goes_as_ever_however_events_arrive(events: EventFault) -> None:
    with fleet_of_four() as scene:
        (strikes,) = scene.given(events)

        run = scene.run("web", POLICY, name=NIGHT)

        assert strikes.count > 0
        assert (run.status, run.outcome, run.outcomes) == ("FAILED", "failed", CLEAN)
        assert_keeps_promises(scene, run)


@pytest.mark.parametrize("cancellations", ["arrive", "lost"])
@HOWEVER_EVENTS_ARRIVE
def test_a_stopped_run_is_given_back_and_told_of_once_however_events_arrive(
    events: EventFault, cancellations: str
) -> None:
    with fleet_of_four() as scene:
        scene.given(events, *([LoseCancellations()] if cancellations == "lost" else []))
        (strikes,) = scene.given(StopRun(NIGHT, Moment(300, "Patch Machine")))
        moments = note_time(scene, strikes)

        run = scene.run("web", AT_ONCE, name=NIGHT)

        assert run.status == "ABORTED"
        assert run.outcomes["web-4"] == "not_attempted"
        assert_keeps_promises(scene, run, Allowance(stopped=moments[0], in_flight=LIMIT))


@pytest.mark.parametrize("is_stopped", [False, True], ids=["clean", "stopped"])
def test_events_of_the_children_of_the_map_change_nothing(is_stopped: bool) -> None:
    with fleet_of_four(map_child_events=True) as scene:
        scene.given(*([StopRun(NIGHT, Moment(300, "Patch Machine"))] if is_stopped else []))

        run = scene.run("web", AT_ONCE, name=NIGHT)

        assert run.status == ("ABORTED" if is_stopped else "FAILED")
        assert is_stopped or run.outcomes == CLEAN
        # One for the machine that failed by itself; those that end with their run are in its summary.
        failed = sum(outcome == "failed" for outcome in run.outcomes.values())
        assert len(run.messages) == 1 + (0 if is_stopped else failed)
        assert_keeps_promises(scene, run)


@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_stopped_run_that_is_redriven_touches_nothing_and_says_so(when: str) -> None:
    with fleet_of_four() as scene:
        (strikes,) = scene.given(StopRun(NIGHT, Moment(0.12, "Patch Machine")))
        moments = note_time(scene, strikes)
        arn = scene.start_run("web", POLICY, name=NIGHT)
        scene.account.clock.run(until=lambda: bool(moments))
        if when == "at once":
            scene.run_for(1 / 60)
        else:
            scene.settle()
        began = len(scene.view(arn).children)

        scene.account.client("stepfunctions").redrive_execution(executionArn=arn)
        run = scene.view(arn, settle=True)

        assert (run.status, run.execution.error) == ("FAILED", "RunOverError")
        assert "nothing was touched" in str(run.execution.cause)
        # Who was let in just before the stop may begin after it.
        assert len(run.children) - began <= (1 if when == "at once" else 0)
        assert_keeps_promises(scene, run, Allowance(in_flight=1, stopped=moments[0]))


def test_a_failed_run_that_is_redriven_fails_again_and_nobody_hears_of_it_twice() -> None:
    with fleet_of_four() as scene:
        run = scene.run("web", POLICY, name=NIGHT)
        calls = len(scene.account.calls.calls)

        scene.account.client("stepfunctions").redrive_execution(executionArn=run.arn)
        again = scene.view(run.arn, settle=True)

        assert (again.status, again.execution.error) == ("FAILED", "MachinesFailedError")
        assert again.report == run.report
        assert len(again.messages) == len(run.messages)
        changed = {
            (call.caller.name, call.operation)
            for call in scene.account.calls.calls[calls:]
            if call.caller.kind == "function" and call.service in ("ec2", "ssm", "sns", "s3")
        }
        assert not changed
        assert_keeps_promises(scene, again)


def test_a_name_that_a_run_had_before_is_refused_without_a_word_of_the_earlier_one() -> None:
    with fleet_of_four() as scene:
        run = scene.run("web", POLICY, name=NIGHT)
        messages = len(scene.messages)

        # After 90 days Step Functions gives a name out again.
        planned = _invoke_step(scene, "PlanRunFunction", run.arn, {})
        summary = _invoke_step(scene, "SummariseRunFunction", run.arn, {"failure": _failure_of(planned)})

        assert planned["errorType"] == "RunOverError"
        assert summary["failure"]["error"] == "RunOverError"
        assert len(scene.messages) == messages
        assert scene.view(run.arn).report == run.report


def _invoke_step(scene: RunScenario, function: str, execution: str, data: dict[str, Any]) -> dict[str, Any]:
    """A step of an execution of the same name that was started a hundred days later."""
    context = {
        "Execution": {"Id": execution, "Input": {}, "StartTime": "2026-04-23T16:00:00.000Z"},
        "State": {"Name": "Any", "EnteredTime": "2026-04-23T16:00:01.000Z", "RetryCount": 0},
    }
    name = scene.stack.resource(function)
    outcome = scene.account.functions.invoke(name, json.dumps({"context": context, "data": data}))
    answer: dict[str, Any] = json.loads(outcome.payload)
    return answer


def _failure_of(answer: dict[str, Any]) -> dict[str, str]:
    return {"error": answer["errorType"], "cause": json.dumps(answer)}


@pytest.mark.parametrize("state", ["Patch Machine", proved("Check Gates"), proved("Summarise Run")])
def test_a_run_is_started_once_however_often_one_name_is_given(state: str) -> None:
    with fleet_of_four() as scene:
        arn = scene.start_run("web", POLICY, name=NIGHT)
        scene.run_until_any(lambda _, entered: entered == state)

        again = scene.start_run("web", POLICY, name=NIGHT)
        run = scene.view(arn, settle=True)

        assert again == arn
        assert run.outcomes == CLEAN
        with pytest.raises(scene.account.client("stepfunctions").exceptions.ExecutionAlreadyExists):
            scene.start_run("web", {**POLICY, "maxErrors": 1}, name=NIGHT)
        assert_keeps_promises(scene, run)
