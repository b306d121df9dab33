"""Reports: exactly one outcome for every planned machine, one for the run, and what to do next."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drydock import errors
from drydock.errors import Failure
from drydock.plan.plans import Plan, PlannedMachine
from drydock.records.results import Member, Result
from drydock.records.runs import Place, Run
from drydock.request.policy import DEFAULTS
from drydock.run.outcomes import MACHINE_OUTCOMES, MachineOutcome, count_outcomes, failed_groups, outcome_of_run
from drydock.run.reports import group_outcomes, make_report, reconcile
from drydock.subject import Group, Instance, Subject
from drydock.times import to_text
from tests.unit.fakes import START
from tests.unit.records.recorded import (
    RUN_EXECUTION,
    RUN_ID,
    a_group_result,
    a_member,
    a_roll,
    a_run,
    recorded_end,
    recorded_plan,
)
from tests.unit.world import SNAPSHOT

REJECTED: Failure = {"error": "ApprovalRejectedError", "cause": "Hanako rejected it"}
UNANSWERED: Failure = {"error": "ApprovalTimedOutError", "cause": "nobody answered in time"}
ABORTED: Failure = {"error": "ABORTED", "cause": "the execution ended as ABORTED"}
CLOSED_BY_BUDGET = {"error": "BudgetSpentError", "reason": "2 failed, and the policy allows 1", "at": to_text(START)}
PLAN_ONLY = recorded_plan(is_only=True)
CLOSED_BY_HAND = {"error": "RunStoppedError", "reason": "somebody stopped it", "at": to_text(START)}


def ident(number: int) -> str:
    return f"i-{number:017x}"


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def planned_machine(number: int, **more: Any) -> PlannedMachine:
    machine: Any = {
        "instanceId": ident(number),
        "name": f"web-{number}",
        "platform": "Linux",
        "patchGroup": "web",
        "power": "running",
        "managed": "yes",
        "order": None,
        "wave": 0,
        "seconds": 600,
        "basis": "guess",
        "samples": 0,
        "startsAt": to_text(START),
        "endsAt": to_text(after(10)),
        "fits": True,
        **more,
    }
    return machine  # type: ignore[no-any-return]


def make_plan(count: int = 3, **more: Any) -> Plan:
    plan: Any = {
        "schema": 1,
        "runId": RUN_ID,
        "createdAt": to_text(START),
        "operation": "Install",
        "policy": deepcopy(DEFAULTS),
        "snapshotId": SNAPSHOT,
        "window": {
            "windowId": "mw-0123456789abcdef0",
            "executionId": "e-1",
            "name": "nightly",
            "start": to_text(START),
            "end": to_text(after(120)),
        },
        "targets": [{"key": "tag:Patch Group", "values": ["web"]}],
        "follows": "",
        "resumes": "",
        "end": to_text(after(120)),
        "lastAdmission": to_text(after(90)),
        "predictedEnd": to_text(after(60)),
        "machines": [planned_machine(number) for number in range(1, count + 1)],
        "waves": [{"key": f"runs/{RUN_ID}/wave-000.json", "count": count, "isCanary": False}],
        "guesses": [],
        "leftOut": [],
        "warnings": [],
        "tooLong": [],
        "advice": [],
        **more,
    }
    return plan  # type: ignore[no-any-return]


def approval(decision: str = "", **more: Any) -> dict[str, Any]:
    """What a run's item says of it; by Hanako, if she has decided."""
    said = {
        "by": "arn:aws:iam::123456789012:user/hanako",
        "name": "Hanako",
        "decision": decision,
        "reason": "",
        "at": to_text(after(5)),
        "via": "url",
        **more,
    }
    return {
        "token": "secret-token",
        "linkHash": "secret-hash",
        "hash": "ab" * 32,
        "sequence": "0000-1",
        "askedAt": to_text(START),
        "until": to_text(after(20)),
        "decision": decision,
        "decidedAt": to_text(after(5)) if decision else "",
        "decisions": [said] if decision else [],
        "mailed": True,
        "revision": 1,
    }


def place(number: int, outcome: str = "succeeded", **more: Any) -> Place:
    facts: dict[str, Any] = {
        "subject": Instance(ident(number)),
        "name": f"web-{number}",
        "execution": f"{RUN_EXECUTION}-{ident(number)}",
        "admitted": after(1),
        "ended": after(11),
        "outcome": outcome,
    }
    return Place(**{**facts, **more})


def failed_place(number: int, error: str = "ImageFailedError", **more: Any) -> Place:
    return place(number, "failed", error=error, cause=f"{ident(number)}: image ami-1 is failed", **more)


def outcomes_of(
    places: Sequence[Place] = (),
    plan: Plan | None = None,
    run: Run | None = None,
    failure: Failure | None = None,
) -> list[MachineOutcome]:
    return reconcile(plan or make_plan(), places, run or a_run(), failure)


def test_what_is_not_given_back_by_the_end_is_late_whenever_its_execution_ended() -> None:
    places = [place(1), failed_place(2), place(3)]

    assert report_of(places, ended=130)["insideWindow"] is True
    held = report_of(places, ended=130, is_held=True)
    assert (held["insideWindow"], held["minutesAfterEnd"]) == (False, 10)


def report_of(
    places: Sequence[Place] = (),
    plan: Plan | None = None,
    run: Run | None = None,
    failure: Failure | None = None,
    ended: float = 60,
    **more: Any,
) -> dict[str, Any]:
    plan, run = plan or make_plan(), run or a_run()
    outcomes = reconcile(plan, places, run, failure)
    report: Any = make_report(run=run, plan=plan, outcomes=outcomes, failure=failure, ended=after(ended), **more)
    return report  # type: ignore[no-any-return]


ALL_WELL = [place(1), place(2), place(3)]


def test_every_machine_has_the_outcome_of_its_place() -> None:
    one, two, three = outcomes_of([place(1), failed_place(2), place(3, "busy", error="InstanceBusyError")])

    assert [one["outcome"], two["outcome"], three["outcome"]] == ["succeeded", "failed", "busy"]
    assert (two["name"], two["error"]) == ("web-2", "ImageFailedError")
    assert "image ami-1 is failed" in two["cause"]
    assert (one["seconds"], one["wave"], one["isPlanned"]) == (600, 0, True)


@pytest.mark.parametrize(
    ("run", "failure", "error", "cause"),
    [
        ({"closed": CLOSED_BY_BUDGET}, None, "BudgetSpentError", "2 failed, and the policy allows 1"),
        ({"closed": CLOSED_BY_BUDGET}, ABORTED, "BudgetSpentError", "2 failed, and the policy allows 1"),
        ({}, REJECTED, "ApprovalRejectedError", "Hanako rejected it"),
        ({}, UNANSWERED, "ApprovalTimedOutError", "nobody answered in time"),
        (
            {"ended": recorded_end(outcome="stopped", failure=ABORTED)},
            None,
            "ABORTED",
            "the execution ended as ABORTED",
        ),
        ({"approval": approval("rejected")}, None, "ApprovalRejectedError", "the run was rejected"),
        ({"plan": PLAN_ONLY}, None, "", "only a plan was asked for"),
        ({}, {"error": "MachinesFailedError", "cause": "1 failed"}, "", "its turn did not come"),
        ({}, {"error": "States.Runtime", "cause": ""}, "States.Runtime", "the run ended early"),
        ({}, None, "", "its turn did not come"),
    ],
)
def test_a_machine_whose_turn_did_not_come_has_the_reason_of_the_run(
    run: dict[str, Any], failure: Failure | None, error: str, cause: str
) -> None:
    for machine in outcomes_of(run=a_run(**run), failure=failure):
        assert (machine["outcome"], machine["error"], machine["cause"]) == ("not_attempted", error, cause)


def test_a_machine_that_was_let_in_and_never_started_was_not_attempted() -> None:
    first = outcomes_of([place(1, "", ended=None)], failure=ABORTED)[0]

    assert first["outcome"] == "not_attempted"
    assert first["cause"].startswith("it was let in, but its execution was never started")


def test_a_machine_outside_the_plan_is_named_and_never_dropped() -> None:
    report = report_of([*ALL_WELL, place(9)])

    stranger = report["machines"][-1]
    assert (stranger["instanceId"], stranger["isPlanned"], stranger["wave"]) == (ident(9), False, -1)
    assert report["planned"] == 3
    assert any(ident(9) in warning and "does not name it" in warning for warning in report["warnings"])
    assert any("mistake of Drydock's" in step["text"] for step in report["next"])


def test_machines_are_reported_also_when_the_plan_cannot_be_read() -> None:
    outcomes = reconcile(None, [failed_place(2), place(1)], a_run())
    report = make_report(run=a_run(), plan=None, outcomes=outcomes, failure=None, ended=after(60))

    assert [machine["instanceId"] for machine in outcomes] == [ident(1), ident(2)]
    assert report["outcome"] == "failed"
    assert "the plan of 3 machines could not be read" in report["warnings"][0]


numbers = st.integers(1, 12)


@given(
    planned=st.lists(numbers, unique=True),
    taken=st.dictionaries(numbers, st.sampled_from(["", *MACHINE_OUTCOMES])),
)
def test_whatever_is_found_every_machine_has_exactly_one_outcome(planned: list[int], taken: dict[int, str]) -> None:
    plan = make_plan(machines=[planned_machine(number) for number in planned])
    places = [place(number, outcome) for number, outcome in taken.items()]

    outcomes = reconcile(plan, places, a_run())

    ids = [machine["instanceId"] for machine in outcomes]
    assert len(ids) == len(set(ids))
    assert ids[: len(planned)] == [ident(number) for number in planned]
    assert set(ids) == {ident(number) for number in {*planned, *taken}}
    assert {machine["outcome"] for machine in outcomes} <= set(MACHINE_OUTCOMES)
    assert sum(count_outcomes(outcomes).values()) == len(outcomes)
    json.dumps(make_report(run=a_run(), plan=plan, outcomes=outcomes, failure=None, ended=after(60)))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("InstanceBusyError", "busy"),
        ("InstanceNotFoundError", "gone"),
        ("InstanceTerminatedError", "gone"),
        ("InstanceExcludedError", "skipped"),
        ("InstanceInGroupError", "skipped"),
        ("InstanceDoneError", "skipped"),
        ("InstanceUnmanagedError", "failed"),
        ("ImageFailedError", "failed"),
        ("States.Runtime", "failed"),
        ("", "failed"),
    ],
)
def test_only_what_somebody_has_to_mend_counts_as_failed(error: str, outcome: str) -> None:
    assert errors.outcome_of_failure(error) == outcome
    assert not error.startswith("Instance") or hasattr(errors, error)


@pytest.mark.parametrize(
    ("places", "run", "failure", "outcome"),
    [
        (ALL_WELL, {}, None, "succeeded"),
        ([place(1), place(2, "skipped"), place(3, "busy")], {}, None, "succeeded"),
        ([place(1), failed_place(2), place(3)], {}, None, "failed"),
        ([place(1), failed_place(2)], {"closed": CLOSED_BY_BUDGET}, None, "failed"),
        ([place(1)], {}, None, "incomplete"),
        ([place(1)], {"closed": CLOSED_BY_HAND}, None, "stopped"),
        ([place(1), failed_place(2)], {"closed": CLOSED_BY_HAND}, None, "stopped"),
        (ALL_WELL, {"closed": CLOSED_BY_HAND}, None, "succeeded"),
        ([place(1), failed_place(2), place(3)], {"closed": CLOSED_BY_HAND}, None, "failed"),
        ([place(1), failed_place(2, "ABORTED"), place(3)], {}, ABORTED, "stopped"),
        ([place(1)], {}, ABORTED, "stopped"),
        (ALL_WELL, {}, ABORTED, "succeeded"),
        ([], {}, {"error": "RunStoppedError", "cause": "stopped while it waited for approval"}, "stopped"),
        ([], {}, REJECTED, "rejected"),
        ([], {}, UNANSWERED, "not_answered"),
        ([], {}, {"error": "PlanChangedError", "cause": ""}, "refused"),
        ([place(1)], {}, {"error": "PlanChangedError", "cause": ""}, "failed"),
        ([place(1)], {"closed": CLOSED_BY_HAND}, {"error": "TIMED_OUT", "cause": ""}, "failed"),
        (ALL_WELL, {}, {"error": "AwsCallFailedError", "cause": ""}, "failed"),
        (ALL_WELL, {}, {"error": "MachinesFailedError", "cause": ""}, "succeeded"),
        ([], {"plan": PLAN_ONLY}, None, "planned"),
    ],
)
def test_a_run_has_one_outcome(places: list[Place], run: dict[str, Any], failure: Failure | None, outcome: str) -> None:
    found = a_run(**run)

    assert outcome_of_run(outcomes_of(places, run=found, failure=failure), found, failure) == outcome


@pytest.mark.parametrize("plan_only", [False, True], ids=["run", "plan only"])
@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (None, "nothing_to_do"),
        (ABORTED, "stopped"),
        *(
            ({"error": error, "cause": ""}, "refused")
            for error in ("InvalidInputError", "InvalidPolicyError", "RunNotFoundError", "RunStillWorkingError")
        ),
        ({"error": "ServiceUnavailableError", "cause": ""}, "failed"),
    ],
)
def test_a_run_without_machines_has_an_outcome_too(plan_only: bool, failure: Failure | None, outcome: str) -> None:
    assert outcome_of_run([], a_run(plan=recorded_plan(is_only=plan_only)), failure) == outcome


def test_a_report_says_what_was_asked_what_was_done_and_when() -> None:
    report = report_of([place(1), failed_place(2), place(3)])

    assert (report["schema"], report["runId"], report["execution"]) == (1, RUN_ID, RUN_EXECUTION)
    assert report["asked"]["targets"] == [{"key": "tag:Patch Group", "values": ["web"]}]
    assert report["asked"]["window"]["name"] == "nightly"
    assert report["asked"]["operation"] == "Install"
    assert report["asked"]["policy"] == DEFAULTS
    assert (report["startedAt"], report["endedAt"], report["minutes"]) == (to_text(START), to_text(after(60)), 60)
    assert report["counts"] == {
        "succeeded": 2,
        "already_compliant": 0,
        "failed": 1,
        "busy": 0,
        "gone": 0,
        "skipped": 0,
        "not_attempted": 0,
    }
    assert (report["snapshotId"], report["planHash"]) == (SNAPSHOT, "ab" * 32)


@pytest.mark.parametrize(
    ("ended", "inside", "late"),
    [(90, True, -30), (120, True, 0), (120.5, False, 1), (150, False, 30)],
)
def test_a_run_is_inside_its_window_when_its_last_machine_was_given_back_in_time(
    ended: float, inside: bool, late: int
) -> None:
    places = [place(1), failed_place(2, ended=after(ended)), place(3, "not_attempted", ended=None)]

    report = report_of(places, ended=200)

    assert (report["insideWindow"], report["minutesAfterEnd"]) == (inside, late)
    assert any("after its window" in step["text"] for step in report["next"]) is not inside


def test_a_run_that_took_no_machine_was_neither_inside_its_window_nor_late() -> None:
    assert report_of(failure=REJECTED, ended=200)["insideWindow"] is None


def test_a_run_without_an_end_is_not_called_late() -> None:
    report = report_of(ALL_WELL, run=a_run(plan=None), ended=5_000)

    assert report["insideWindow"] is None


def test_who_approved_is_reported_and_what_lets_people_approve_is_not() -> None:
    report = report_of(ALL_WELL, run=a_run(approval=approval("approved", key="secret-key")))

    assert report["approval"]["decision"] == "approved"
    assert report["approval"]["decisions"][0]["by"] == "arn:aws:iam::123456789012:user/hanako"
    assert "secret" not in json.dumps(report)


@pytest.mark.parametrize(
    "given_input",
    [
        None,
        "nonsense",
        {"targets": "web", "window": "mw-1", "operations": [], "policy": [], "startedBy": 7},
        {"targets": [{"key": "InstanceIds", "values": ["i-1"]}], "operations": ["Scan"], "resume": {"run": "x"}},
        {"window": {"windowId": ["mw"], "name": "a\nb"}, "operations": "Install"},
    ],
)
def test_a_refused_run_is_reported_whatever_it_was_given(given_input: object) -> None:
    failure: Failure = {"error": "InvalidInputError", "cause": "input.targets: is no list"}

    report = make_report(
        run=a_run(plan=None), plan=None, outcomes=[], failure=failure, ended=after(1), given=given_input
    )

    assert (report["outcome"], report["failure"]) == ("refused", failure)
    assert report["next"] == [{"text": "Correct the input; nothing was touched.", "command": []}]
    json.dumps(report)


def test_what_is_left_can_be_taken_up_with_one_command() -> None:
    report = report_of([place(1)], run=a_run(closed={**CLOSED_BY_BUDGET, "error": "CalendarClosedError"}))

    text = " ".join(step["text"] for step in report["next"])
    assert ["run", "--resume", RUN_ID, "--minutes", "120"] in [step["command"] for step in report["next"]]
    assert "once the calendar is open again" in text
    assert "the same patches until 2026-01-16" in text


def test_each_kind_of_failure_has_one_step_however_many_machines_it_hit() -> None:
    plan = make_plan(40)
    places = [failed_place(number) for number in range(1, 31)]
    places += [failed_place(number, "HookFailedError") for number in range(31, 41)]

    images, hooks = report_of(places, plan=plan)["next"]

    assert images["text"].startswith("30 machines: no image could be made. No patch without a good backup")
    assert hooks["text"].startswith("10 machines: a hook failed. Look at the hook's output")


def test_a_run_that_went_well_asks_for_nothing() -> None:
    assert report_of(ALL_WELL)["next"] == []


def test_machines_that_nobody_can_reach_are_not_forgotten() -> None:
    left_out = [{"instanceId": ident(9), "name": "old", "error": "InstanceUnmanagedError", "reason": "no agent"}]

    (step,) = report_of(ALL_WELL, plan=make_plan(leftOut=left_out))["next"]

    assert step["text"].startswith("1 not managed by Systems Manager. Make it a managed node")


def test_a_cause_as_long_as_aws_makes_them_does_not_fill_the_report() -> None:
    report = report_of([place(1, "failed", error="X", cause="x" * 32_000), place(2), place(3)])

    assert len(report["machines"][0]["cause"]) == 2_000


# Groups

ROLL = f"{RUN_EXECUTION.replace('MaintenanceRun', 'RollGroup')}-web"


def group_plan() -> Plan:
    """A group of three and a machine."""
    members = [{"instanceId": ident(number), "name": f"web-{number}"} for number in (1, 2, 3)]
    group = planned_machine(1, kind="group", instanceId="group/web", name="web", groupName="web", members=members)
    return make_plan(machines=[group, planned_machine(4)])


def group_place(outcome: str = "succeeded", **more: Any) -> Place:
    only = [ident(number) for number in (1, 2, 3)]
    return place(1, outcome, **{"subject": Group("web"), "name": "web", "execution": ROLL, "only": only, **more})


def rolled(outcome: str = "succeeded", members: dict[str, Member] | None = None) -> Result:
    return a_group_result(outcome, a_roll(members or {ident(number): a_member() for number in (1, 2, 3)}))


def refused(error: str, cause: str) -> Result:
    return a_group_result("refused", failure={"error": error, "cause": cause})


def outcomes_of_group(found: Place, roll: Result | None) -> list[MachineOutcome]:
    rolls: dict[Subject, Result] = {Group("web"): roll} if roll else {}
    return reconcile(group_plan(), [found, place(4)], a_run(), None, rolls)[:3]


def test_the_members_of_a_group_are_reported_one_by_one_with_their_own_times() -> None:
    one, two, three = outcomes_of_group(group_place(), rolled())

    assert [each["outcome"] for each in (one, two, three)] == ["succeeded"] * 3
    assert (one["name"], one["groupName"], one["seconds"], one["execution"]) == ("web-1", "web", 300, ROLL)
    assert one["isPlanned"]


def test_a_roll_that_stopped_tells_what_failed_and_what_was_not_attempted() -> None:
    members = {
        ident(1): a_member(),
        ident(2): a_member("failed", error="ImageFailedError", cause="no image"),
        ident(3): a_member("not_attempted", error="RollStoppedError", cause="1 of its members failed"),
    }
    found = outcomes_of_group(group_place("failed", error="MachinesFailedError"), rolled("failed", members))

    assert [each["outcome"] for each in found] == ["succeeded", "failed", "not_attempted"]
    assert [each["error"] for each in found] == ["", "ImageFailedError", "RollStoppedError"]
    assert [each["cause"] for each in found] == ["", "no image", "1 of its members failed"]


@pytest.mark.parametrize(
    ("error", "outcome", "counts_as"),
    [
        ("GroupBusyError", "busy", "busy"),
        ("GroupNotFoundError", "gone", "gone"),
        ("MemberNotSparedError", "failed", "not_attempted"),
    ],
)
def test_the_members_of_a_group_that_was_refused_were_not_touched(error: str, outcome: str, counts_as: str) -> None:
    found = outcomes_of_group(group_place(outcome, error=error, cause="why"), refused(error, "why"))

    assert [(each["outcome"], each["error"], each["cause"]) for each in found] == [(counts_as, error, "why")] * 3


def test_a_planned_member_that_a_whole_roll_never_met_is_gone() -> None:
    found = outcomes_of_group(group_place(), rolled(members={ident(1): a_member(), ident(3): a_member()}))

    assert [each["outcome"] for each in found] == ["succeeded", "gone", "succeeded"]
    assert "group web" in found[1]["cause"]


def test_a_member_that_a_roll_took_up_by_itself_is_no_mistake_of_the_plan() -> None:
    newcomer = {ident(9): a_member(), **{ident(number): a_member() for number in (1, 2, 3)}}
    rolls: dict[Subject, Result] = {Group("web"): rolled(members=newcomer)}
    found = reconcile(group_plan(), [group_place()], a_run(), None, rolls)

    assert [each["instanceId"] for each in found if not each["isPlanned"]] == []
    assert found[-1]["groupName"] == "web"


def test_members_of_a_roll_that_nobody_knows_have_the_outcome_of_the_group() -> None:
    found = outcomes_of_group(group_place("not_attempted", error="DeadlineReachedError", cause="late"), None)

    assert {(each["outcome"], each["error"], each["cause"]) for each in found} == {
        ("not_attempted", "DeadlineReachedError", "late")
    }


def test_a_group_that_failed_by_itself_fails_the_run_and_is_told_with_what_to_do() -> None:
    places = [group_place("failed", error="MemberNotSparedError", cause="too small"), place(4)]
    rolls: dict[Subject, Result] = {Group("web"): refused("MemberNotSparedError", "too small")}
    outcomes = reconcile(group_plan(), places, a_run(), None, rolls)
    groups = group_outcomes(places, rolls, None)

    report = make_report(
        run=a_run(), plan=group_plan(), outcomes=outcomes, failure=None, ended=after(60), groups=groups
    )

    assert (report["outcome"], report["counts"]["failed"], report["planned"]) == ("failed", 0, 4)
    assert report["groups"] == groups
    assert any("The roll through group web: the group cannot spare a member" in step["text"] for step in report["next"])


def test_a_roll_that_was_stopped_with_its_run_has_not_failed() -> None:
    places = [group_place("failed", error="ABORTED", cause="its run is over")]

    assert failed_groups(group_outcomes(places, {}, ABORTED)) == []
    assert len(failed_groups(group_outcomes(places, {}, None))) == 1
