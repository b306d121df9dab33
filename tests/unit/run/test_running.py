"""Carrying a run out: what an execution came to, and whether the canary has proved itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drydock.plan.plans import Plan
from drydock.records.runs import Place
from drydock.run.running import canary_failure, count_items, describe_end, is_after_canary
from drydock.subject import Instance
from tests.unit.plan.test_plans import policy
from tests.unit.run.test_reports import ident, make_plan, planned_machine


@pytest.mark.parametrize(
    ("execution", "outcome", "error", "says"),
    [
        ({"status": "SUCCEEDED", "output": json.dumps({"verdict": "compliant"})}, "succeeded", "", ""),
        ({"status": "FAILED", "error": "HookFailedError", "cause": "exit 3"}, "failed", "HookFailedError", "exit 3"),
        ({"status": "FAILED", "error": "InstanceBusyError", "cause": "held"}, "busy", "InstanceBusyError", "held"),
        (
            {"status": "FAILED", "error": "X", "cause": json.dumps({"errorMessage": "said so", "stackTrace": []})},
            "failed",
            "X",
            "said so",
        ),
        ({"status": "ABORTED"}, "failed", "ABORTED", "somebody stopped it"),
        ({"status": "TIMED_OUT"}, "failed", "TIMED_OUT", "ended as TIMED_OUT"),
    ],
    ids=["success", "failure", "refusal", "cause as JSON", "abort", "time-out"],
)
def test_a_machine_has_the_outcome_of_its_execution(
    execution: dict[str, Any], outcome: str, error: str, says: str
) -> None:
    end = describe_end(execution)

    assert (end["outcome"], end["error"]) == (outcome, error)
    assert says in end["cause"]


@pytest.mark.parametrize(
    ("output", "verdict"), [(json.dumps({"verdict": "pending_reboot"}), "pending_reboot"), (None, "")]
)
def test_a_success_has_the_verdict_of_its_execution(output: str | None, verdict: str) -> None:
    assert describe_end({"status": "SUCCEEDED", "output": output})["verdict"] == verdict


def canary_of_three(max_errors: int = 0) -> Plan:
    machines = [planned_machine(number, wave=0 if number <= 3 else 1) for number in range(1, 6)]
    waves = [{"key": "w0", "count": 3, "isCanary": True}, {"key": "w1", "count": 2, "isCanary": False}]
    return make_plan(machines=machines, waves=waves, policy=policy(maxErrors=max_errors))


@pytest.mark.parametrize(
    ("outcomes", "max_errors", "says"),
    [
        (("succeeded", "succeeded", "succeeded"), 0, None),
        (("succeeded", "skipped", "busy"), 0, None),
        (("succeeded", "failed", "succeeded"), 1, None),
        (("succeeded", "failed", "succeeded"), 0, "1 of the 3 machines"),
        (("failed", "failed", "failed"), 3, "3 of the 3 machines"),
        (("skipped", "busy", "gone"), 0, "none of the 3 machines"),
        ((), 0, "none of the 3 machines"),
    ],
)
def test_the_others_follow_a_canary_that_kept_to_its_budget_and_of_which_one_was_done(
    outcomes: tuple[str, ...], max_errors: int, says: str | None
) -> None:
    places = [Place(Instance(ident(number)), "", outcome=outcome) for number, outcome in enumerate(outcomes, 1)]

    why = canary_failure(canary_of_three(max_errors), 1, places)

    assert (why is None) is (says is None)
    assert (says or "") in str(why or "")


@pytest.mark.parametrize(
    ("outcomes", "items"),
    [
        (("already_compliant",), 1),
        (("already_compliant", "already_compliant"), 3),
        (("already_compliant",) * 4, 6),
        (("already_compliant", "succeeded"), 6),
        (("succeeded",), 6),
    ],
)
def test_others_stand_in_for_a_canary_that_was_compliant_already(outcomes: tuple[str, ...], items: int) -> None:
    machines = [planned_machine(number, wave=0 if number == 1 else 1) for number in range(1, 8)]
    waves = [{"key": "w0", "count": 1, "isCanary": True}, {"key": "w1", "count": 6, "isCanary": False}]
    plan = make_plan(machines=machines, waves=waves, policy=policy())
    places = [Place(Instance(ident(number)), "", outcome=outcome) for number, outcome in enumerate(outcomes, 1)]

    assert canary_failure(plan, 1, places) is None
    assert count_items(plan, 1, places) == items


def test_a_stand_in_that_fails_proves_that_the_others_may_not_follow() -> None:
    outcomes = ("already_compliant", "already_compliant", "already_compliant", "failed")
    places = [Place(Instance(ident(number)), "", outcome=outcome) for number, outcome in enumerate(outcomes, 1)]

    assert "1 of the 4 machines of the canary failed" in str(canary_failure(canary_of_three(), 1, places))


def test_only_the_first_wave_after_the_canary_waits_for_its_proof() -> None:
    plan = canary_of_three()

    assert [is_after_canary(plan, number) for number in (0, 1)] == [False, True]
