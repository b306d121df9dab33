from __future__ import annotations

import pytest

from rehearsal.engine.calls import Call, FunctionKilled, Interception
from rehearsal.play.faults import LONGER_THAN_A_FUNCTION_LIVES, FailCall
from rehearsal.proof.promises import Allowance
from tests.faults.runs import (
    CLEAN,
    NIGHT,
    POLICY,
    assert_keeps_promises,
    fleet_of_four,
)
from tests.proved import proved

FOREVER = 1_000_000


FOR_GOOD = {
    "no plan": ("dynamodb:PutItem", "plan_run", "failed", 0),
    "no waves": ("s3:PutObject", "plan_run", "failed", 0),
    "no gates": ("dynamodb:UpdateItem", "check_gates", "failed", 0),
    "no places": ("dynamodb:UpdateItem", "admit_machine", "incomplete", 0),
    "no turns": ("dynamodb:PutItem", "admit_machine", "incomplete", 0),
    "no outcomes": ("dynamodb:UpdateItem", "record_outcome", "stopped", 1),
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
        ("sns:Publish", "AuthorizationError"),
        proved("dynamodb:UpdateItem", "ThrottlingException"),
        proved("sns:Publish", "Throttled"),
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
        assert "There is no report: it could not be stored." in run.summary.said
        assert "web-3" in run.summary.said
        assert_keeps_promises(scene, run)


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


def test_a_function_that_ends_while_it_looks_at_other_executions_is_carried_on() -> None:
    hung = Interception(delay=LONGER_THAN_A_FUNCTION_LIVES)
    planning = {
        "later-1": Interception(before=FunctionKilled("before")),
        "later-2": Interception(after=FunctionKilled("after")),
        "later-3": hung,
    }
    struck = {
        **{("plan_run", "DescribeExecution", name): death for name, death in planning.items()},
        ("give_back", "Query", ""): hung,
        ("give_back", "ListExecutions", ""): hung,
    }

    def strike(call: Call) -> Interception | None:
        return struck.pop((call.caller.name, call.operation, (call.caller.execution or "").rpartition(":")[2]), None)

    with fleet_of_four() as scene:
        earlier = scene.start_run("web", POLICY, name=NIGHT)
        scene.run_until(earlier, "Carry Out Wave", seconds=30)
        scene.account.calls.interceptors.append(strike)
        plans = [scene.start_run("web", name=name, planOnly=True) for name in planning]
        scene.settle()

        assert struck == {}
        assert [scene.account.status_of(plan) for plan in plans] == ["SUCCEEDED"] * len(plans)
        run = scene.view(earlier)
        assert run.outcomes == CLEAN
        assert_keeps_promises(scene, run)
