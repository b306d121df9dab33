"""Rolls through groups that scale meanwhile, that somebody changes, or whose members go away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rehearsal.world.fleet import Group
from rehearsal.world.group_members import Change
from rehearsal.world.group_specs import Unconfirmed
from tests.proved import proved
from tests.scenarios.group.scenario import (
    QUICKLY,
    RollScenario,
    assert_group_given_back,
    assert_members_patched,
    roll_scenario,
)


@pytest.fixture(scope="module")
def scene() -> Iterator[RollScenario]:
    with roll_scenario() as opened:
        yield opened


ONCE = Unconfirmed(standby_counts_when_terminated=False)
"""A member that is terminated in standby makes the group want one less once, not twice."""

GROWS: dict[str, tuple[Callable[[Group], Any], tuple[int, int, int], list[str]]] = {
    "policy": (lambda group: group.follow_policy(1), (3, 4, 6), []),
    "schedule": (
        lambda group: group.follow_schedule(smallest=4, desired=4),
        (4, 5, 6),
        ["min is 4: somebody else has set it, and Drydock left it"],
    ),
    "person": (lambda group: group.set_desired(4), (3, 5, 6), []),
}


@pytest.mark.parametrize("name", GROWS)
def test_a_group_that_grows_meanwhile_is_rolled_through_and_keeps_what_it_was_given(
    scene: RollScenario, name: str
) -> None:
    grow, sizes, noted = GROWS[name]
    group, monitor = scene.group(f"grows-{name}", 3, min=3, max=6, zones=1)
    scene.once(group, "Standby", lambda _: grow(group), seconds=60)

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    assert set(roll.outcomes.values()) == {"succeeded"}
    assert [problem for problem in roll.problems if problem.startswith("min")] == noted
    assert_members_patched(group, *(f"grows-{name}-{number}" for number in (1, 2, 3)))
    assert_group_given_back(scene, group, sizes=sizes)
    monitor.check()


def test_members_that_are_launched_meanwhile_are_reported(scene: RollScenario) -> None:
    group, _ = scene.group("launched", 2, zones=1)
    scene.once(group, "Standby", lambda _: group.follow_policy(1), seconds=60)

    roll = scene.roll(group, QUICKLY)

    new = next(key for key, member in group.members.items() if "new" in member.machine.name)
    assert any("launched" in problem and new in problem for problem in roll.problems)
    assert new in roll.summary.said


def test_members_that_are_launched_meanwhile_are_patched_where_the_policy_says_so(scene: RollScenario) -> None:
    group, monitor = scene.group("joined", 2, zones=1)
    scene.once(group, "Standby", lambda _: group.follow_policy(1), seconds=60)

    roll = scene.roll(group, {**QUICKLY, "launchedMembers": "patch"})

    assert roll.status == "SUCCEEDED"
    assert list(roll.outcomes.values()) == ["succeeded"] * 3
    assert roll.problems == []
    assert len(roll.children) == 3
    assert_members_patched(group)
    assert set(scene.member_tags(group).values()) == {"Completed"}
    assert_group_given_back(scene, group, sizes=(1, 3, 4))
    monitor.check()


def test_a_group_that_launches_without_an_end_is_not_followed_without_an_end(scene: RollScenario) -> None:
    group, _ = scene.group("restless", 1, min=0, max=30, zones=1)

    def grow(change: Change) -> None:
        if change.what == "Standby":
            group.follow_policy(1)

    group.listeners.append(grow)

    roll = scene.roll(group, {**QUICKLY, "minHealthy": 0, "launchedMembers": "patch"})

    assert roll.status == "SUCCEEDED"
    assert any(problem.startswith("launched meanwhile, and not patched: ") for problem in roll.problems)
    assert set(roll.outcomes.values()) == {"succeeded"}


def test_who_names_the_members_means_no_others(scene: RollScenario) -> None:
    group, _ = scene.group("named", 2, zones=1)
    scene.once(group, "Standby", lambda _: group.follow_policy(1), seconds=60)

    roll = scene.roll(group, {**QUICKLY, "launchedMembers": "patch"}, only=sorted(group.members))

    assert list(roll.outcomes.values()) == ["succeeded"] * 2
    assert any(problem.startswith("launched meanwhile, and not patched: ") for problem in roll.problems)


def test_a_member_that_is_scaled_in_while_it_is_worked_on_is_gone_and_the_roll_goes_on(scene: RollScenario) -> None:
    group, monitor = scene.group("shrinks", 4, min=1, min_healthy=2, zones=1, unconfirmed=ONCE)
    scene.once(group, "Standby", lambda member: group.terminate(member, True), seconds=300)

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    assert roll.outcomes == {
        "shrinks-1": "gone",
        "shrinks-2": "succeeded",
        "shrinks-3": "succeeded",
        "shrinks-4": "succeeded",
    }
    assert "1 gone meanwhile" in roll.summary.said
    monitor.check()
    assert scene.group_lease(group) is None
    assert group.count_healthy() == group.desired


def test_a_group_that_wants_two_less_for_a_member_that_is_terminated_in_standby_is_rolled_through(
    scene: RollScenario,
) -> None:
    group, _ = scene.group("twice", 5, min=1, min_healthy=1, zones=1)
    scene.once(group, "Standby", lambda member: group.terminate(member, True), seconds=300)

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    assert sorted(roll.outcomes.values()) == ["gone", "gone", "succeeded", "succeeded", "succeeded"]
    assert_group_given_back(scene, group, sizes=(1, 3, 7))


@pytest.mark.parametrize(
    ("what", "decrement"),
    [
        ("EnteringStandby", True),
        proved("EnteringStandby", False),
        ("Standby", True),
        ("Standby", False),
        proved("Pending", True),
        ("Pending", False),
        ("InService", True),
        proved("InService", False),
    ],
)
def test_a_member_that_is_terminated_at_any_moment_of_its_turn_is_gone_and_no_failure(
    scene: RollScenario, what: str, decrement: bool
) -> None:
    name = f"gone-{what}-{decrement}"
    group, monitor = scene.group(name, 3, min=0, min_healthy=1, zones=1, unconfirmed=ONCE)
    scene.once(group, what, lambda member: group.terminate(member, decrement), seconds=2)

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    assert roll.outcomes == {f"{name}-1": "gone", f"{name}-2": "succeeded", f"{name}-3": "succeeded"}
    monitor.check()
    assert group.count_healthy() == group.desired
    assert group.suspended == {}
    assert scene.group_lease(group) is None


@pytest.mark.parametrize("what", ["Standby", "InService"])
def test_a_member_that_somebody_terminates_behind_the_groups_back_is_gone_and_no_failure(
    scene: RollScenario, what: str
) -> None:
    name = f"deleted-{what}"
    group, _ = scene.group(name, 3, min=0, min_healthy=1, zones=1)
    scene.once(group, what, lambda member: scene.fleet.terminate_behind_the_back(member.instance_id), seconds=2)

    roll = scene.roll(group, QUICKLY)

    assert roll.outcomes[f"{name}-1"] == "gone"
    assert "failed" not in roll.outcomes.values()
    assert group.count_healthy() == group.desired
    assert group.suspended == {}
    assert scene.group_lease(group) is None


def test_members_that_are_scaled_in_before_their_turn_are_gone(scene: RollScenario) -> None:
    group, monitor = scene.group("before", 4, min=1, min_healthy=2, zones=1)
    last = next(member for member in group.members.values() if member.machine.name == "before-4")
    scene.once(group, "Standby", lambda _: group.terminate(last, True), seconds=60)

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    assert roll.outcomes["before-4"] == "gone"
    assert list(roll.outcomes.values()).count("succeeded") == 3
    monitor.check()
    assert_group_given_back(scene, group, sizes=(1, 3, 6))


def test_bounds_that_somebody_changes_meanwhile_are_left_and_reported(scene: RollScenario) -> None:
    group, monitor = scene.group("bounds", 3, min=3, zones=1)
    scene.once(group, "Standby", lambda _: group.update(1, 9), seconds=60)

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    assert "min is 1: somebody else has set it, and Drydock left it" in roll.problems
    assert "min is 1: somebody else has set it" in roll.summary.said
    assert_group_given_back(scene, group, sizes=(1, 3, 9))
    monitor.check()


def test_balancing_that_somebody_resumes_meanwhile_is_left_so(scene: RollScenario) -> None:
    group, monitor = scene.group("resumed", 2, zones=1)
    scene.once(group, "Standby", lambda _: group.resume(["AZRebalance"]), seconds=60)

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    assert_group_given_back(scene, group, sizes=(1, 2, 4))
    monitor.check()


def test_a_process_that_somebody_suspends_meanwhile_stays_so(scene: RollScenario) -> None:
    group, monitor = scene.group("suspended", 2, zones=1)
    scene.once(group, "Standby", lambda _: group.suspend(["AlarmNotification"]), seconds=60)

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    assert_group_given_back(scene, group, sizes=(1, 2, 4), suspended=["AlarmNotification"])
    monitor.check()


def test_a_member_waits_in_standby_until_launching_is_allowed_again(scene: RollScenario) -> None:
    group, monitor = scene.group("no-launch", 2, zones=1)

    def suspend_for_a_while(_: Any) -> None:
        group.suspend(["Launch"])
        scene.account.clock.call_later(2400, lambda: group.resume(["Launch"]))

    scene.once(group, "Standby", suspend_for_a_while, seconds=60)

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    assert_members_patched(group)
    assert_group_given_back(scene, group, sizes=(1, 2, 4))
    monitor.check()


def test_a_member_waits_in_standby_until_max_lets_it_back(scene: RollScenario) -> None:
    group, monitor = scene.group("full", 3, min=2, max=3, zones=1)

    def fill(_: Any) -> None:
        group.set_desired(3)
        scene.account.clock.call_later(2400, lambda: group.update(None, 4))

    scene.once(group, "Standby", fill, seconds=60)

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    assert_members_patched(group, "full-1", "full-2", "full-3")
    assert_group_given_back(scene, group, sizes=(2, 4, 4))
    monitor.check()


@pytest.mark.parametrize("refuses", [True, False])
def test_a_refresh_that_somebody_starts_meanwhile_leaves_no_member_out(scene: RollScenario, refuses: bool) -> None:
    name = f"refresh-{refuses}"
    group, monitor = scene.group(name, 3, min=2, zones=1, unconfirmed=Unconfirmed(refresh_refuses_standby=refuses))
    scene.once(group, "Standby", lambda _: scene.fleet.refreshes[group.name].start({}), seconds=60)

    roll = scene.roll(group, QUICKLY)

    assert (roll.status, roll.error) == ("FAILED", "RollStoppedError")
    assert set(roll.errors.values()) <= {"InstanceRefreshAtWorkError", "MemberGoneError"}
    assert "failed" not in {roll.outcomes[one] for one in roll.outcomes if roll.errors.get(one) == "MemberGoneError"}
    assert sorted(member.state for member in group.members.values()) == ["InService"] * 3
    assert_group_given_back(scene, group, sizes=(2, 3, 5))
    assert len(roll.outcomes) == 3
    assert roll.messages[-1] == roll.summary
    assert monitor.most_out <= 1


def test_an_alarm_that_rings_meanwhile_stops_the_roll_and_the_member_in_work_is_finished(scene: RollScenario) -> None:
    group, monitor = scene.group("rings", 3, min=3, zones=1)
    scene.account.client("cloudwatch").put_metric_alarm(
        AlarmName="roll-5xx",
        Namespace="AWS/ApplicationELB",
        MetricName="HTTPCode_Target_5XX_Count",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=10,
        ComparisonOperator="GreaterThanThreshold",
    )
    scene.account.alarms.set_state("roll-5xx", "OK")
    scene.once(group, "Standby", lambda _: scene.account.alarms.set_state("roll-5xx", "ALARM"), seconds=60)

    roll = scene.roll(group, {**QUICKLY, "gates": {"alarms": ["roll-5xx"], "calendars": []}})

    assert (roll.status, roll.error) == ("FAILED", "RollStoppedError")
    assert roll.outcomes == {"rings-1": "succeeded", "rings-2": "not_attempted", "rings-3": "not_attempted"}
    assert roll.errors == {"rings-2": "AlarmRingingError", "rings-3": "AlarmRingingError"}
    assert "2 were not attempted" in str(roll.execution.cause)
    assert "roll-5xx" in roll.summary.said
    assert_members_patched(group, "rings-1")
    assert_group_given_back(scene, group, sizes=(3, 3, 5))
    monitor.check()


def test_machines_of_a_warm_pool_are_left_alone(scene: RollScenario) -> None:
    group, monitor = scene.group("warm", 2, warm_pool=1, zones=1)

    roll = scene.roll(group, QUICKLY)

    assert (roll.status, roll.outcomes) == ("SUCCEEDED", {"warm-1": "succeeded", "warm-2": "succeeded"})
    states = {member.machine.name: member.state for member in group.members.values()}
    assert states == {"warm-1": "InService", "warm-2": "InService", "warm-warm-1": "Warmed:Stopped"}
    monitor.check()
