"""Making a plan: whatever was looked up, the plan follows from it alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from drydock.errors import InstanceNotFoundError, InvalidInputError, InvalidPolicyError, PlanExpiredError
from drydock.plan.making import Earlier, Facts, Frame, frame_of, make_plan, take_over
from drydock.plan.plans import Plan, plan_hash
from drydock.plan.run_request import RunRequest, Source
from drydock.plan.targets import leave_out
from drydock.plan.window import WindowFacts
from drydock.records.history import History
from drydock.records.holder import Holder
from drydock.records.runs import PLANNING, RecordedPlan, Run
from drydock.request.policy import Policy
from drydock.subject import Group
from drydock.tags import GROUP_TAG
from drydock.times import to_text
from tests.unit.fakes import START, agent
from tests.unit.plan.test_plans import instance, instance_id, policy
from tests.unit.records.recorded import RUN_EXECUTION, a_run, recorded_plan
from tests.unit.world import EXECUTION, SNAPSHOT

NOW = START + timedelta(minutes=1)
END = START + timedelta(hours=2)
OLD = START - timedelta(days=4)
TARGET: Any = {"key": "tag:Patch Group", "values": ["web"]}
WINDOW = WindowFacts(
    window_id="mw-0123456789abcdef0",
    execution_id="11111111-2222-3333-4444-555555555555",
    name="nightly",
    start=START,
    end=START + timedelta(hours=4),
    last_admission=START + timedelta(hours=3),
    time_zone="Asia/Tokyo",
    targets=[[TARGET]],
    warnings=["two tasks"],
)


def run(run_id: str = "night-7", plan: RecordedPlan | None = None) -> Run:
    execution = f"{RUN_EXECUTION.rpartition(':')[0]}:{run_id}"
    return a_run(run_id=run_id, holder=Holder(execution, 0), phase=PLANNING, plan=plan)


def request(source: Source = "targets", given: Policy | None = None, **more: Any) -> RunRequest:
    facts: dict[str, Any] = {
        "source": source,
        "targets": [TARGET],
        "window_id": "",
        "window_execution_id": "",
        "earlier": "",
        "policy": given or policy(deadlineMinutes=120),
        "given_policy": {},
        "plan_only": False,
        "snapshot_id": "",
        "follows": "",
        "started_by": "",
    }
    return RunRequest(**{**facts, **more})


def facts(count: int = 3, **more: Any) -> Facts:
    known: dict[str, Any] = {
        "run": run(),
        "request": request(),
        "policy": policy(canary={"count": 1}),
        "frame": Frame(END, END, None),
        "earlier": None,
        "now": NOW,
        "since": START,
        "target_groups": [[TARGET]],
        "instances": [instance(number) for number in range(1, count + 1)],
        "missing": [],
        "histories": {},
        "left_over": {},
        "agents": {instance_id(number): agent(START) for number in range(1, count + 1)},
        "held": {},
        "guard_tag": "",
        "stack": "drydock",
    }
    return Facts(**{**known, **more})


def earlier(since: datetime = START, *, is_canary_proved: bool = True) -> Earlier:
    plan: Plan = {**make_plan(facts()), "snapshotId": SNAPSHOT}
    return Earlier(
        run("night-6", recorded_plan(snapshot_since=since)), plan, frozenset({instance_id(2)}), is_canary_proved
    )


def ids(plan: Plan) -> list[str]:
    return [one["instanceId"] for one in plan["machines"]]


def test_a_plan_names_every_machine_that_is_meant_once_planned_or_left_out() -> None:
    gone = leave_out(instance_id(9), "", InstanceNotFoundError("gone"))
    found = facts(
        instances=[instance(1), instance(2, tags={"DrydockExclude": "fragile"}), instance(3, state="stopped")],
        missing=[gone],
        agents={instance_id(1): agent(START)},
    )

    plan = make_plan(found)

    assert sorted(ids(plan)) == [instance_id(1), instance_id(3)]
    assert [(one["instanceId"], one["error"]) for one in plan["leftOut"]] == [
        (instance_id(2), "InstanceExcludedError"),
        (instance_id(9), "InstanceNotFoundError"),
    ]


def test_the_same_facts_make_the_same_plan() -> None:
    assert make_plan(facts()) == make_plan(facts())


@pytest.mark.parametrize(
    "held", [{instance_id(2): "other-run"}, {Group("web").key: "other-run"}], ids=["the machine", "its group"]
)
def test_a_machine_in_the_hands_of_others_is_left_out_by_their_name(held: dict[str, str]) -> None:
    plan = make_plan(facts(instances=[instance(1), instance(2, tags={GROUP_TAG: "web"})], held=held))

    (left,) = plan["leftOut"]
    assert (left["instanceId"], left["error"]) == (instance_id(2), "InstanceBusyError")
    assert "other-run" in left["reason"]


def test_what_was_left_over_last_time_comes_first_unless_it_was_done_meanwhile() -> None:
    done = History(instance_id(2), "Linux", "", START - timedelta(hours=1), EXECUTION, (600,))
    left = {instance_id(2): START - timedelta(hours=2), instance_id(3): START - timedelta(hours=2)}

    plan = make_plan(facts(left_over=left, histories={instance_id(2): done}, since=START))

    assert ids(plan) == [instance_id(3), instance_id(1), instance_id(2)]


def test_a_run_has_more_machines_than_it_takes_only_once_nobody_else_is_left_out() -> None:
    with pytest.raises(InvalidInputError, match="10,001 machines"):
        make_plan(facts(10_001))

    busy = {instance_id(1): "other-run"}
    assert len(make_plan(facts(10_001, held=busy, policy=policy()))["machines"]) == 10_000


def test_a_window_is_named_and_its_warnings_are_the_plans() -> None:
    plan = make_plan(facts(frame=frame_of(WINDOW, policy(), START)))

    assert plan["window"] is not None
    assert (plan["window"]["name"], plan["end"]) == ("nightly", to_text(WINDOW.end))
    assert plan["warnings"] == ["two tasks"]


def test_an_execution_has_one_snapshot_of_its_own_unless_it_is_given_one() -> None:
    own = [make_plan(facts(run=run(name)))["snapshotId"] for name in ("night-7", "night-7", "night-8")]
    given = make_plan(facts(request=request(snapshot_id=SNAPSHOT)))["snapshotId"]

    assert own[0] == own[1] != own[2]
    assert given == SNAPSHOT


@pytest.mark.parametrize("is_proved", [True, False], ids=["proved", "not proved"])
def test_a_run_that_takes_up_another_goes_on_with_its_patches_and_without_a_canary_that_is_proved(
    is_proved: bool,
) -> None:
    before = earlier(is_canary_proved=is_proved)

    plan = make_plan(facts(request=request("resume", earlier="night-6"), earlier=before))

    assert (plan["snapshotId"], plan["resumes"], plan["warnings"]) == (SNAPSHOT, "night-6", [])
    assert plan["waves"][0]["isCanary"] is not is_proved


def test_a_run_that_takes_up_one_whose_patches_are_too_old_begins_anew_with_a_canary_and_says_so() -> None:
    plan = make_plan(facts(request=request("resume", earlier="night-6"), earlier=earlier(OLD)))

    assert plan["snapshotId"] != SNAPSHOT
    assert plan["waves"][0]["isCanary"]
    assert "with a new canary" in plan["warnings"][0]


@pytest.mark.parametrize(("since", "is_same"), [(START, True), (OLD, False)], ids=["young", "too old"])
def test_a_run_that_follows_another_has_its_patches_and_a_canary_of_its_own(since: datetime, is_same: bool) -> None:
    plan = make_plan(facts(request=request(follows="night-6"), earlier=earlier(since)))

    assert (plan["snapshotId"] == SNAPSHOT) is is_same
    assert (plan["follows"], plan["resumes"]) == ("night-6", "")
    assert plan["waves"][0]["isCanary"]
    assert any("night-6" in warning for warning in plan["warnings"]) is not is_same


def test_a_plan_that_is_taken_over_stays_the_one_that_was_approved() -> None:
    before = earlier()

    moved = take_over(before, request("plan"), policy(), run("night-8"), NOW + timedelta(days=1))

    assert moved["runId"] == "night-8"
    assert plan_hash(moved) == plan_hash(before.plan)


def test_a_plan_is_not_taken_over_once_its_patches_are_too_old() -> None:
    with pytest.raises(PlanExpiredError, match="plan anew"):
        take_over(earlier(OLD), request("plan"), policy(), run("night-8"), NOW)


def test_a_plan_that_is_taken_over_asks_and_minds_what_the_settings_do_since() -> None:
    strict = policy(
        approval={"required": True, "minApprovals": 3}, gates={"alarms": ["errors-5xx"], "calendars": ["freeze"]}
    )

    moved = take_over(earlier(), request("plan"), strict, run("night-8"), NOW)["policy"]

    assert (moved["approval"]["required"], moved["approval"]["minApprovals"]) == (True, 3)
    assert moved["gates"] == {"alarms": ["errors-5xx"], "calendars": ["freeze"]}


@pytest.mark.parametrize(
    ("minutes", "end", "last_admission"),
    [
        (0, WINDOW.end, WINDOW.last_admission),
        (60, START + timedelta(hours=1), START + timedelta(hours=1)),
        (600, WINDOW.end, WINDOW.last_admission),
    ],
    ids=["no deadline", "a deadline before the cutoff", "a deadline after the window"],
)
def test_a_run_ends_with_its_window_or_its_deadline_whichever_is_first(
    minutes: int, end: datetime, last_admission: datetime
) -> None:
    frame = frame_of(WINDOW, policy(deadlineMinutes=minutes), START)

    assert (frame.end, frame.last_admission) == (end, last_admission)


def test_a_run_without_a_window_needs_a_deadline() -> None:
    with pytest.raises(InvalidPolicyError, match="deadlineMinutes"):
        frame_of(None, policy(), START)
    frame = frame_of(None, policy(deadlineMinutes=30), START)
    assert replace(frame, window=None) == Frame(START + timedelta(minutes=30), START + timedelta(minutes=30), None)
