"""Rolls in which something happens at the most awkward moment: between a decision and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from rehearsal.play.faults import FailCall, Moment, StopExecution, StopRun
from rehearsal.world.group_members import Change
from tests.scenarios.group.scenario import FAILING, QUICKLY, RollScenario, assert_group_given_back, roll_scenario

REPLACE = {**QUICKLY, "onMemberFailure": "replace"}
ILL = {"wrong": ("health_fails",)}


@pytest.fixture
def scene() -> Iterator[RollScenario]:
    with roll_scenario() as opened:
        yield opened


def let_ring_later(scene: RollScenario, name: str, seconds: float) -> None:
    """An alarm that is quiet now."""
    scene.account.client("cloudwatch").put_metric_alarm(
        AlarmName=name, EvaluationPeriods=1, ComparisonOperator="GreaterThanThreshold", Threshold=1
    )
    scene.account.alarms.set_state(name, "OK")
    scene.account.clock.call_later(seconds, lambda: scene.account.alarms.set_state(name, "ALARM"))


def test_a_member_that_waits_for_others_stays_when_an_alarm_rings_meanwhile(scene: RollScenario) -> None:
    group, monitor = scene.group("waits", 3)
    weak = next(member.instance_id for member in group.members.values() if member.machine.name == "waits-3")
    group.target_groups[0].fail_checks(weak)
    scene.run_for(10)
    let_ring_later(scene, "errors", 600)
    scene.account.clock.call_later(1200, group.target_groups[0].pass_checks)

    roll = scene.roll(group, {**QUICKLY, "gates": {"alarms": ["errors"], "calendars": []}})

    assert monitor.outages == []
    assert set(roll.outcomes.values()) == {"not_attempted"}
    assert set(roll.errors.values()) == {"AlarmRingingError"}
    assert "alarm errors is in ALARM" in roll.summary.said


def test_a_member_does_not_serve_while_its_stopped_installation_is_at_work(scene: RollScenario) -> None:
    group, _ = scene.group("stopped", 3, min=3)
    scene.given(StopExecution("stopped-1", Moment(30, "Install Patches")))
    at_work: list[str] = []

    def look(change: Change) -> None:
        if change.what in ("Pending", "InService") and change.instance_id in group.members:
            sent = scene.fleet.run_command.list_visible(None, change.instance_id)
            at_work.extend(
                command.document.name for command in sent if any(not one.over for one in command.invocations)
            )

    group.listeners.append(look)

    roll = scene.roll(group, QUICKLY)

    assert roll.outcomes["stopped-1"] == "failed"
    assert at_work == []
    assert_group_given_back(scene, group, sizes=(3, 3, 5))


def test_a_refill_that_is_throttled_takes_nothing_from_what_a_person_adds_meanwhile(scene: RollScenario) -> None:
    group, _ = scene.group("grow", [FAILING, {}, {}], min=1, max=8, zones=1)
    (strikes,) = scene.given(
        FailCall("autoscaling:SetDesiredCapacity", "Throttling", caller="await_in_service", times=8)
    )
    scene.once(group, "Terminating", lambda _: group.set_desired(4), seconds=10)

    scene.roll(group, REPLACE)

    assert strikes.count > 0
    assert group.desired == 4
    assert not [change for change in group.log if change.what == "Terminating"][1:]
    assert group.count_healthy() == 4


def test_a_refill_and_a_return_at_the_same_time_lose_no_place(scene: RollScenario) -> None:
    group, _ = scene.group("late", [{}, {}, FAILING, {}], batch=2, zones=1)
    scene.given(FailCall("autoscaling:SetDesiredCapacity", "Throttling", caller="await_in_service", times=10))

    roll = scene.roll(group, {**REPLACE, "batch": 2, "maxErrors": 1})

    assert sorted(roll.outcomes.values()) == ["failed", "succeeded", "succeeded", "succeeded"]
    assert_group_given_back(scene, group, sizes=(2, 4, 6))


def test_two_members_that_are_replaced_at_the_same_time_both_have_successors(scene: RollScenario) -> None:
    group, _ = scene.group("both", [FAILING, FAILING, {}, {}], batch=2, zones=1)

    scene.roll(group, {**REPLACE, "batch": 2})

    assert_group_given_back(scene, group, sizes=(2, 4, 6))


@pytest.mark.parametrize("after_effect", [False, True], ids=["refused", "answer lost"])
def test_a_termination_that_another_activity_hinders_is_made_once_and_no_ill_member_serves(
    scene: RollScenario, after_effect: bool
) -> None:
    scene.fleet.add_document("Is-Well")
    group, _ = scene.group("ill", [{}, ILL, {}], zones=1)
    scene.given(
        FailCall(
            "autoscaling:TerminateInstanceInAutoScalingGroup",
            "ScalingActivityInProgress",
            caller="return_member",
            times=1,
            after_effect=after_effect,
        )
    )
    ill = next(member.instance_id for member in group.members.values() if member.machine.name == "ill-2")

    roll = scene.roll(group, {**QUICKLY, "healthProbe": "Is-Well"})

    assert roll.moves["ill-2"] == "replace"
    assert "Pending" not in [change.what for change in group.log if change.instance_id == ill]
    assert_group_given_back(scene, group, sizes=(2, 3, 5))


@pytest.mark.parametrize("policy", [{}, {"capacity": "surge"}], ids=["reduce", "surge"])
def test_a_replacement_whose_roll_is_stopped_before_its_place_is_filled_is_filled(
    scene: RollScenario, policy: dict[str, str]
) -> None:
    hooks = {} if policy else {"terminating": 900}
    group, _ = scene.group("hooked", [FAILING, {}, {}], min=1, zones=1, hooks=hooks)
    scene.given(
        StopRun("night", Moment(3, "Await In Service")),
        FailCall("autoscaling:SetDesiredCapacity", "Throttling", caller="await_in_service", times=99),
    )

    scene.roll(group, {**REPLACE, **policy}, name="night")

    assert_group_given_back(scene, group, sizes=(1, 3, 5))


def test_a_killed_roll_gives_a_member_back_to_a_group_that_has_grown_to_its_max(scene: RollScenario) -> None:
    group, _ = scene.group("full", 3, min=2, max=3, zones=1)
    arn = scene.start_roll(group, QUICKLY, name="night")
    scene.once(group, "Standby", lambda _: group.set_desired(3), seconds=30)
    scene.once(
        group, "Standby", lambda _: scene.account.stop_execution(arn, "Rehearsal.Stopped", "somebody"), seconds=90
    )

    scene.settle()

    assert scene.view(arn).status == "ABORTED"
    assert [member.state for member in group.members.values()] == ["InService"] * 4
    assert (group.desired, group.max) == (4, 4)
    assert any("max is 4, not 3" in message.said for message in scene.view(arn).messages)
    assert scene.group_lease(group) is None


def test_people_hear_of_what_a_killed_roll_could_not_give_back(scene: RollScenario) -> None:
    group, _ = scene.group("left", 3, min=3, zones=1)
    arn = scene.start_roll(group, QUICKLY, name="night")
    scene.once(
        group, "Standby", lambda _: scene.account.stop_execution(arn, "Rehearsal.Stopped", "somebody"), seconds=20
    )
    scene.once(group, "Standby", lambda member: scene.fleet.stop_behind_the_back(member.instance_id), seconds=25)

    scene.settle()

    told = [message for message in scene.view(arn).messages if message.attributes.get("kind") == "group"]
    out = next(member.instance_id for member in group.members.values() if member.state == "Standby")
    assert len(told) == 2
    assert f"{out} is in standby still and was left there: it does not run" in told[1].said


def test_a_member_that_the_policy_holds_is_held_although_its_roll_is_stopped_first(scene: RollScenario) -> None:
    scene.fleet.add_document("Is-Well")
    group, _ = scene.group("held", [ILL, {}, {}], min=2, zones=1)
    scene.given(StopRun("night", Moment(0.0, "Return Member")))

    roll = scene.roll(group, {**QUICKLY, "onMemberFailure": "hold", "healthProbe": "Is-Well"}, name="night")

    assert [member.state for member in group.members.values()].count("Standby") == 1
    assert roll.moves == {"held-1": "hold"}
    assert "Held in standby, as the policy says" in roll.messages[-1].said
    assert scene.group_lease(group) is None


def test_a_member_that_is_terminated_out_of_service_is_missed(scene: RollScenario) -> None:
    group, _ = scene.group("missed", 4, min=1, zones=1)
    scene.once(group, "Standby", lambda member: group.terminate(member, False), seconds=100)

    roll = scene.roll(group, QUICKLY)

    assert roll.outcomes["missed-1"] == "gone"
    assert any("instances are wanted now, and 4 were" in problem for problem in roll.problems)


def test_min_is_what_it_was_also_when_a_policy_has_scaled_in_below_it(scene: RollScenario) -> None:
    group, _ = scene.group("low", 4, min=4, max=6, zones=1)
    scene.once(group, "InService", lambda _: group.follow_policy(-1), seconds=5)

    scene.roll(group, QUICKLY)

    assert (group.min, group.desired) == (4, 4)
    assert group.count_healthy() == 4


def test_a_member_that_does_not_get_into_standby_fails_and_no_other_is_drained(scene: RollScenario) -> None:
    group, monitor = scene.group("slow", 3, min=1, zones=1)
    arn = scene.start_roll(group, QUICKLY)
    scene.run_until(arn, "Roll Members")
    targets = group.target_groups[0]
    targets.spec = replace(targets.spec, deregistration_delay=1500)

    scene.settle()

    roll = scene.view(arn)
    assert (roll.status, roll.error) == ("FAILED", "MachinesFailedError")
    assert roll.outcomes == {"slow-1": "failed", "slow-2": "not_attempted", "slow-3": "not_attempted"}
    assert roll.errors["slow-1"] == "StandbyTimedOutError"
    assert len(monitor.outages) == 1
    assert_group_given_back(scene, group, sizes=(1, 3, 5))


@pytest.mark.parametrize("probe", ["", "Is-Well"], ids=["without a probe", "with one"])
def test_a_member_whose_installation_failed_goes_back_only_when_its_health_is_proved(
    scene: RollScenario, probe: str
) -> None:
    scene.fleet.add_document("Is-Well")
    group, _ = scene.group("unproved", [FAILING, {}], zones=1)

    roll = scene.roll(group, {**QUICKLY, "healthProbe": probe})

    assert roll.moves == {"unproved-1": "replace" if probe else "exit"}
    assert_group_given_back(scene, group, sizes=(1, 2, 4))
