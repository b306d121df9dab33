"""Groups that are not rolled through, each with the reason and what to do; nothing is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from drydock.group.admission import MOST_MEMBERS
from rehearsal.world.fleet import Group
from rehearsal.world.group_specs import MixedPolicy, Pace
from tests.scenarios.group.scenario import QUICKLY, RollScenario, RollView, roll_scenario
from tests.scenarios.machine.scenario import assert_untouched


@pytest.fixture(scope="module")
def scene() -> Iterator[RollScenario]:
    with roll_scenario() as opened:
        yield opened


def assert_refused(scene: RollScenario, roll: RollView, error: str, *said: str) -> None:
    """The roll ended in Fail with a readable reason, and people heard it once with what to do."""
    assert (roll.status, roll.error) == ("FAILED", error)
    for words in said:
        assert words in str(roll.execution.cause)
        assert words in roll.summary.said
    assert roll.result["outcome"] == "refused"
    assert roll.messages == [roll.summary]
    assert "was refused" in str(roll.summary.subject)
    assert "Nothing was touched." in roll.summary.said
    assert "Read the reason above" not in roll.summary.said


def assert_group_untouched(scene: RollScenario, group: Group) -> None:
    assert scene.group_lease(group) is None
    assert [change for change in group.log if change.what in ("size", "EnteringStandby")] == []
    for member in group.members.values():
        assert_untouched(scene, member.machine)


CANNOT_SPARE: dict[str, tuple[int, dict[str, Any], str]] = {
    "one": (1, {}, "1 member is wanted and 1 has to be healthy, so 1 cannot be spared"),
    "count": (4, {"minHealthy": 4}, "4 have to be healthy"),
    "share": (4, {"minHealthy": "90%"}, "4 have to be healthy"),
    "batch": (2, {"batch": 3}, "so 3 cannot be spared"),
}


@pytest.mark.parametrize("name", CANNOT_SPARE)
def test_a_group_that_cannot_spare_a_member_is_refused_with_advice(scene: RollScenario, name: str) -> None:
    members, policy, said = CANNOT_SPARE[name]
    group, _ = scene.group(f"spare-{name}", members)

    roll = scene.roll(group, policy)

    assert_refused(scene, roll, "MemberNotSparedError", said, "set policy.capacity to surge", "lower policy.minHealthy")
    assert_group_untouched(scene, group)


def test_a_group_whose_members_could_not_come_back_is_refused(scene: RollScenario) -> None:
    group, _ = scene.group("no-launch", 2, suspended=["Launch"])

    roll = scene.roll(group)

    assert_refused(scene, roll, "ProcessSuspendedError", "its process Launch is suspended")
    assert_group_untouched(scene, group)


def test_a_group_whose_load_balancer_might_not_get_its_members_back_is_refused(scene: RollScenario) -> None:
    group, _ = scene.group("no-balancer", 2, suspended=["AddToLoadBalancer"])

    roll = scene.roll(group)

    assert_refused(scene, roll, "ProcessSuspendedError", "its process AddToLoadBalancer is suspended")
    assert_group_untouched(scene, group)


def test_a_group_without_a_member_in_service_is_refused(scene: RollScenario) -> None:
    group, _ = scene.group("empty", 0, min=0, desired=0)

    roll = scene.roll(group)

    assert_refused(scene, roll, "NoMemberInServiceError", "no member is in service")


def test_a_group_whose_members_have_weights_is_refused(scene: RollScenario) -> None:
    mixed = MixedPolicy(overrides=[{"InstanceType": "t3.medium", "WeightedCapacity": "2"}])
    group, _ = scene.group("weights", 3, min=4, max=12, desired=6, mixed=mixed)

    roll = scene.roll(group)

    assert_refused(scene, roll, "GroupWeightedError", "weight")
    assert_group_untouched(scene, group)


@pytest.mark.parametrize("status", ["Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking"])
def test_a_group_that_somebody_refreshes_is_refused(scene: RollScenario, status: str) -> None:
    group, _ = scene.group(f"refreshed-{status}", 2)
    refresh = scene.fleet.refreshes[group.name].start({})
    refresh.status = status

    arn = scene.start_roll(group)
    scene.run_for(0.1)
    refresh.status = "Pending"
    scene.run_for(1)

    roll = scene.view(arn)
    assert_refused(scene, roll, "InstanceRefreshAtWorkError", "instance refresh", "wait for it, or cancel it")
    assert scene.group_lease(group) is None
    scene.settle()


def test_a_group_that_is_too_large_for_one_roll_is_refused(scene: RollScenario) -> None:
    group, _ = scene.group("too-large", MOST_MEMBERS + 1, min=0, target_group=(), pace=Pace(health_check=3600))

    roll = scene.roll(group)

    assert_refused(
        scene, roll, "GroupTooLargeError", "501 of its members", "one roll takes 500: name some of them in only"
    )
    assert_group_untouched(scene, group)


def test_a_group_that_there_is_not_is_refused(scene: RollScenario) -> None:
    roll = scene.roll("nobody")

    assert_refused(scene, roll, "GroupNotFoundError", "nobody: there is no such Auto Scaling group here")


BAD: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "policy": ({"policy": {"batch": 0, "minHealthy": "many"}}, "InvalidPolicyError", ["policy.batch: 0", "minHealthy"]),
    "only": ({"only": ["web-1"]}, "InvalidInputError", ["input.only[0]: 'web-1' is not an instance id"]),
    "unknown": ({"groups": [], "policy": {"wat": 1}}, "InvalidInputError", ["input.groups: unknown", "policy.wat"]),
}


@pytest.mark.parametrize("name", BAD)
def test_an_input_with_mistakes_is_refused_with_all_of_them(scene: RollScenario, name: str) -> None:
    more, error, said = BAD[name]
    group, _ = scene.group(f"bad-{name}", 1)

    roll = scene.roll(group, **more)

    assert_refused(scene, roll, error, *said)
    assert_group_untouched(scene, group)


@pytest.mark.parametrize("given", [{}, {"groupName": 7}, {"groupName": ""}, {"groupName": None}])
def test_an_input_without_a_group_ends_in_fail_and_people_hear_why(
    scene: RollScenario, given: Mapping[str, Any]
) -> None:
    arn = scene.account.start_execution("RollGroup", given)
    scene.settle()

    roll = scene.view(arn)
    assert (roll.status, roll.error) == ("FAILED", "InvalidInputError")
    assert "input.groupName" in str(roll.execution.cause)
    (message,) = roll.messages
    assert "InvalidInputError" in message.said
    assert "input.groupName" in message.said


def test_a_group_in_work_is_refused_to_a_second_roll(scene: RollScenario) -> None:
    group, monitor = scene.group("busy", 2, min=2)
    first = scene.start_roll(group, QUICKLY, name="first")
    scene.run_until_out(group)

    second = scene.start_roll(group, QUICKLY)
    scene.run_for(1)

    assert_refused(scene, scene.view(second), "GroupBusyError", "first has held it since")
    scene.settle()
    assert scene.view(first).status == "SUCCEEDED"
    monitor.check()
    assert (group.min, group.desired) == (2, 2)


def test_a_ringing_alarm_takes_no_member_out(scene: RollScenario) -> None:
    group, monitor = scene.group("alarm", 2)

    roll = scene.roll(group, {**QUICKLY, "gates": {"alarms": ["unheard-of"], "calendars": []}})

    assert (roll.status, roll.error) == ("FAILED", "RollStoppedError")
    assert roll.outcomes == {"alarm-1": "not_attempted", "alarm-2": "not_attempted"}
    assert roll.errors["alarm-1"] == "AlarmRingingError"
    assert "2 were not attempted: there is no alarm unheard-of" in str(roll.execution.cause)
    assert monitor.outages == []
    for member in group.members.values():
        assert_untouched(scene, member.machine)


def test_a_member_that_may_not_be_patched_is_skipped_and_serves(scene: RollScenario) -> None:
    group, monitor = scene.group("excluded", [{}, {"tags": {"DrydockExclude": "licence server"}}, {}])

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    assert roll.outcomes == {"excluded-1": "succeeded", "excluded-2": "skipped", "excluded-3": "succeeded"}
    assert roll.errors == {"excluded-2": "InstanceExcludedError"}
    assert len(monitor.outages) == len(roll.children) == 2
    assert "1 skipped" in roll.summary.said
    assert "licence server" in roll.summary.said
    assert scene.member_tags(group).get("excluded-2") != "Completed"
    assert group.count_healthy() == 3
    monitor.check()
