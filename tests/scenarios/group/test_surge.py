"""Rolls with a surge instance: it serves before the first member leaves, and that very instance goes at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from rehearsal.play.faults import FailCall, KillFunction, Moment
from rehearsal.play.group_faults import ChangeGroup, ScalingPolicy
from rehearsal.proof.roll_promises import GroupBefore, broken_roll_promises
from rehearsal.world.fleet import Group
from rehearsal.world.group_members import Member
from rehearsal.world.group_specs import MixedPolicy
from tests.proved import proved
from tests.scenarios.group.scenario import (
    FAILING,
    QUICKLY,
    RollScenario,
    RollView,
    assert_group_given_back,
    assert_members_patched,
    roll_scenario,
)

SURGE: Mapping[str, Any] = {**QUICKLY, "capacity": "surge"}
OR_REDUCE: Mapping[str, Any] = {**SURGE, "surgeFallback": "reduce"}


@pytest.fixture
def scene() -> Iterator[RollScenario]:
    with roll_scenario() as opened:
        yield opened


def launched(group: Group) -> list[str]:
    """The instances that the group has launched, in order."""
    return [change.instance_id for change in group.log if change.what == "Pending"]


def surge_of(scene: RollScenario, group: Group) -> list[str]:
    """The instances that were launched for a roll, in order."""
    answers = [answer for _, answer in group.tokens.values()]
    return [one for answer in answers for found in answer["Instances"] for one in found["InstanceIds"]]


def calls_of(scene: RollScenario, operation: str) -> list[dict[str, Any]]:
    return [call.parameters for call in scene.account.calls.calls if call.operation == operation]


def assert_surged(scene: RollScenario, group: Group, count: int = 1) -> None:
    """So many surge instances were launched, none of them was worked on, and none is left."""
    surge = surge_of(scene, group)
    assert len(surge) == count
    for instance_id in surge:
        assert instance_id not in group.members
        assert [change.what for change in group.log if change.instance_id == instance_id].count("EnteringStandby") == 0
        assert scene.commands(scene.fleet.machine(instance_id)) == []
        assert scene.fleet.machine(instance_id).state == "terminated"


def test_a_group_of_one_is_patched_without_an_outage(scene: RollScenario) -> None:
    group, monitor = scene.group("web", 1, min=1, max=1, min_healthy=1)

    roll = scene.roll(group, SURGE)

    assert (roll.status, roll.outcomes, roll.problems) == ("SUCCEEDED", {"web-1": "succeeded"}, [])
    monitor.check()
    assert len(monitor.outages) == 1
    assert_surged(scene, group)
    assert_members_patched(group)
    assert_group_given_back(scene, group, sizes=(1, 1, 1))


def test_all_that_are_wanted_serve_while_each_of_four_members_is_out(scene: RollScenario) -> None:
    group, monitor = scene.group("web", 4, min=4, min_healthy=4)

    roll = scene.roll(group, SURGE)

    assert (roll.status, roll.problems) == ("SUCCEEDED", [])
    assert roll.outcomes == {f"web-{number}": "succeeded" for number in range(1, 5)}
    monitor.check()
    assert_surged(scene, group)
    assert_group_given_back(scene, group, sizes=(4, 4, 6))


def test_where_max_has_room_neither_max_nor_min_is_touched(scene: RollScenario) -> None:
    group, _ = scene.group("web", 2, min=2, max=3)

    scene.roll(group, SURGE)

    assert calls_of(scene, "UpdateAutoScalingGroup") == []
    assert calls_of(scene, "SetDesiredCapacity") == []


def test_a_max_without_room_is_raised_by_what_is_needed_and_restored(scene: RollScenario) -> None:
    group, _ = scene.group("web", 2, min=1, max=2)

    scene.roll(group, SURGE)

    assert [call.get("MaxSize") for call in calls_of(scene, "UpdateAutoScalingGroup")] == [3, 2]
    assert_group_given_back(scene, group, sizes=(1, 2, 2))


def test_a_batch_of_two_gets_two_instances_more_in_two_zones(scene: RollScenario) -> None:
    group, monitor = scene.group("web", 4, batch=2, min=4, max=4, min_healthy=4)

    roll = scene.roll(group, {**SURGE, "batch": 2})

    assert roll.status == "SUCCEEDED"
    monitor.check()
    assert monitor.most_out == 2
    assert_surged(scene, group, 2)
    zones = {scene.fleet.machine(instance_id).spec.zone for instance_id in surge_of(scene, group)}
    assert len(zones) == 2
    assert_group_given_back(scene, group, sizes=(4, 4, 4))


def test_no_more_are_launched_than_members_leave(scene: RollScenario) -> None:
    group, _ = scene.group("web", 3)
    only = [next(iter(group.members))]

    roll = scene.roll(group, {**SURGE, "batch": 2}, only=only)

    assert roll.outcomes == {"web-1": "succeeded"}
    assert_surged(scene, group, 1)


def test_it_serves_and_is_protected_before_the_first_member_leaves(scene: RollScenario) -> None:
    group, _ = scene.group("web", 2)
    seen: list[tuple[bool, bool]] = []

    def look(member: Member) -> None:
        (surge,) = (group.members[instance_id] for instance_id in surge_of(scene, group))
        seen.append((group.is_healthy(surge), surge.protected))

    scene.once(group, "EnteringStandby", look)
    scene.roll(group, SURGE)

    assert seen == [(True, True)]


def test_a_scan_launches_nothing(scene: RollScenario) -> None:
    group, _ = scene.group("web", 1, min=1, max=1)

    roll = scene.roll(group, {"operation": "Scan", "capacity": "surge"})

    assert roll.status == "SUCCEEDED"
    assert launched(group) == []


NOT_POSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "configuration": ({"launch_configuration": "old"}, "needs a launch template"),
    "warm": ({"warm_pool": 1}, "it has a warm pool"),
    "markets": ({"mixed": MixedPolicy(on_demand_percentage=50)}, "both On-Demand and Spot"),
    "weights": (
        {"mixed": MixedPolicy(overrides=[{"InstanceType": "t3.medium", "WeightedCapacity": "1"}])},
        "its instances have weights",
    ),
    "balancer": ({"suspended": ["AddToLoadBalancer"]}, "AddToLoadBalancer is suspended"),
}


@pytest.mark.parametrize("name", NOT_POSSIBLE)
def test_a_group_that_takes_no_launch_is_refused_with_the_reason(scene: RollScenario, name: str) -> None:
    settings, said = NOT_POSSIBLE[name]
    group, _ = scene.group("web", 2, **settings)

    roll = scene.roll(group, SURGE)

    assert (roll.status, roll.error) == ("FAILED", "SurgeNotPossibleError")
    assert said in roll.summary.said
    assert "policy.surgeFallback" in roll.summary.said
    assert roll.result["outcome"] == "refused"
    assert calls_of(scene, "LaunchInstances") == []
    assert scene.group_lease(group) is None


@pytest.mark.parametrize("name", ["configuration", "markets"])
def test_a_group_that_takes_no_launch_is_reduced_where_the_policy_says_so(scene: RollScenario, name: str) -> None:
    settings, said = NOT_POSSIBLE[name]
    group, monitor = scene.group("web", 2, min=2, max=2, **settings)

    roll = scene.roll(group, OR_REDUCE)

    assert roll.status == "SUCCEEDED"
    monitor.check()
    (problem,) = roll.problems
    assert "no surge instance was launched first" in problem and said in problem
    assert_group_given_back(scene, group, sizes=(2, 2, 2))


def test_a_zone_without_capacity_leads_to_another(scene: RollScenario) -> None:
    group, monitor = scene.group("web", 2, min_healthy=2)
    group.zones_without_capacity.add(group.zones[0])

    roll = scene.roll(group, SURGE)

    assert roll.status == "SUCCEEDED"
    monitor.check()
    assert_surged(scene, group)
    (surge,) = surge_of(scene, group)
    assert scene.fleet.machine(surge).spec.zone == group.zones[1]
    assert_group_given_back(scene, group, sizes=(1, 2, 4))


def test_without_capacity_anywhere_no_member_leaves(scene: RollScenario) -> None:
    group, monitor = scene.group("web", 2, min=2, max=2)
    group.zones_without_capacity.update(group.zones)

    roll = scene.roll(group, SURGE)

    assert (roll.status, roll.error) == ("FAILED", "SurgeNotPossibleError")
    assert "InsufficientInstanceCapacity" in roll.summary.said
    assert roll.outcomes == {"web-1": "not_attempted", "web-2": "not_attempted"}
    assert monitor.outages == []
    assert_group_given_back(scene, group, sizes=(2, 2, 2))


def test_without_capacity_anywhere_the_group_is_reduced_where_the_policy_says_so(scene: RollScenario) -> None:
    group, monitor = scene.group("web", 2, min=2, max=2)
    group.zones_without_capacity.update(group.zones)

    roll = scene.roll(group, OR_REDUCE)

    assert roll.status == "SUCCEEDED"
    monitor.check()
    assert monitor.fewest_healthy == 1
    (problem,) = roll.problems
    assert "the roll went on with fewer members" in problem and "InsufficientInstanceCapacity" in problem
    assert_group_given_back(scene, group, sizes=(2, 2, 2))


def test_a_group_of_one_is_not_reduced(scene: RollScenario) -> None:
    group, monitor = scene.group("web", 1, min=1, max=1)
    group.zones_without_capacity.update(group.zones)

    roll = scene.roll(group, OR_REDUCE)

    assert (roll.status, roll.error) == ("FAILED", "SurgeNotPossibleError")
    assert monitor.outages == []
    assert_group_given_back(scene, group, sizes=(1, 1, 1))


def test_an_instance_that_never_serves_is_removed_and_no_member_leaves(scene: RollScenario) -> None:
    group, monitor = scene.group("web", 2, min=2, max=2)
    scene.once(group, "InService", lambda member: group.target_groups[0].fail_checks(member.instance_id))

    roll = scene.roll(group, {**SURGE, "deadlines": {"startSeconds": 600}})

    assert (roll.status, roll.error) == ("FAILED", "SurgeNotPossibleError")
    assert "was launched and does not serve: is not healthy in the target groups" in roll.summary.said
    assert monitor.outages == []
    assert_surged(scene, group)
    assert_group_given_back(scene, group, sizes=(2, 2, 2))


def test_an_instance_that_the_group_gives_up_lets_no_member_leave(scene: RollScenario) -> None:
    group, monitor = scene.group("web", 2)
    scene.once(group, "InService", lambda member: group.terminate(member, decrement=True))

    roll = scene.roll(group, SURGE)

    assert (roll.status, roll.error) == ("FAILED", "SurgeNotPossibleError")
    assert "and the group has given it up" in roll.summary.said
    assert monitor.outages == []
    assert_surged(scene, group)
    assert_group_given_back(scene, group, sizes=(1, 2, 4))


@pytest.mark.parametrize("decrement", [True, False])
def test_an_instance_that_somebody_terminates_for_the_last_member_is_not_missed(
    scene: RollScenario, decrement: bool
) -> None:
    group, _ = scene.group("web", 1)

    def terminate(member: Member) -> None:
        (surge,) = surge_of(scene, group)
        group.terminate(group.members[surge], decrement)

    scene.once(group, "Standby", terminate)

    roll = scene.roll(group, SURGE)

    assert roll.status == "SUCCEEDED"
    assert_surged(scene, group)
    said = [problem for problem in roll.problems if "is gone without Drydock" in problem]
    assert len(said) == (0 if decrement else 1)
    assert_group_given_back(scene, group, sizes=(0, 1 if decrement else 2, 3))


@pytest.mark.parametrize("decrement", [True, False])
def test_an_instance_that_somebody_terminates_lets_a_member_leave_only_when_it_is_replaced(
    scene: RollScenario, decrement: bool
) -> None:
    group, monitor = scene.group("web", 2)

    def terminate(member: Member) -> None:
        (surge,) = surge_of(scene, group)
        group.terminate(group.members[surge], decrement)

    scene.once(group, "Standby", terminate)

    roll = scene.roll(group, SURGE)

    assert roll.outcomes["web-1"] == "succeeded"
    assert roll.errors == ({"web-2": "GroupNotReadyError"} if decrement else {})
    assert len(monitor.outages) == (1 if decrement else 2)
    assert_surged(scene, group)


@pytest.mark.parametrize(("members", "largest"), [(1, 1), (3, 4), proved(1, 2), proved(3, 3), proved(3, 5)])
def test_what_a_policy_scales_out_meanwhile_survives(scene: RollScenario, members: int, largest: int) -> None:
    group, _ = scene.group("web", members, min=1, max=largest)
    out = Moment(30, "Install Patches")
    (strikes,) = scene.given(ScalingPolicy(group="web", moment=out, adjustment=1))

    roll = scene.roll(group, SURGE)

    assert (strikes.count, roll.status) == (1, "SUCCEEDED")
    assert_surged(scene, group)
    wanted = members + 1
    said = [f"max is {wanted}, not {largest}: {wanted} instances are wanted now"] if wanted > largest else []
    assert [problem for problem in roll.problems if "max is" in problem] == said
    assert_group_given_back(scene, group, sizes=(1, wanted, max(wanted, largest)))


def test_a_policy_that_scales_in_meanwhile_takes_another_instance(scene: RollScenario) -> None:
    group, _ = scene.group("web", 3, min=1)
    (strikes,) = scene.given(ScalingPolicy(group="web", moment=Moment(60, "Roll Members"), adjustment=-1))

    roll = scene.roll(group, SURGE)

    assert (strikes.count, roll.status) == (1, "SUCCEEDED")
    assert_surged(scene, group)
    assert_group_given_back(scene, group, sizes=(1, 2, 5))


def test_a_max_that_somebody_sets_meanwhile_stays_and_is_reported(scene: RollScenario) -> None:
    group, _ = scene.group("web", 2, min=2, max=2)
    scene.given(ChangeGroup(group="web", moment=Moment(60, "Roll Members"), max=7))

    roll = scene.roll(group, SURGE)

    assert roll.problems == ["max is 7: somebody else has set it, and Drydock left it"]
    assert_group_given_back(scene, group, sizes=(2, 2, 7))


def test_an_instance_stays_in_the_place_of_a_member_that_is_held(scene: RollScenario) -> None:
    group, monitor = scene.group("web", [FAILING], min=1, max=1, min_healthy=1)

    roll = scene.roll(group, {**SURGE, "onMemberFailure": "hold"})

    assert (roll.status, roll.moves) == ("FAILED", {"web-1": "hold"})
    monitor.check()
    (surge,) = surge_of(scene, group)
    (problem,) = [one for one in roll.problems if surge in one]
    assert "does not leave standby" in problem
    assert group.members[surge].state == "InService"
    assert not group.members[surge].protected
    assert (group.min, group.desired, group.max) == (1, 1, 1)


@pytest.mark.parametrize("members", [1, 3])
def test_a_member_that_is_replaced_leaves_as_many_as_before(scene: RollScenario, members: int) -> None:
    group, monitor = scene.group("web", [FAILING, *[{}] * (members - 1)], min=1, min_healthy=members)

    roll = scene.roll(group, {**SURGE, "onMemberFailure": "replace"})

    assert roll.moves["web-1"] == "replace"
    monitor.check()
    assert_surged(scene, group)
    assert_group_given_back(scene, group, sizes=(1, members, members + 2))


def test_an_instance_stays_where_the_others_do_not_serve(scene: RollScenario) -> None:
    group, monitor = scene.group("web", 1, min=1, max=1, min_healthy=1)
    scene.once(group, "Standby", lambda member: group.target_groups[0].fail_checks(member.instance_id))

    roll = scene.roll(group, SURGE)

    assert (roll.status, roll.errors) == ("FAILED", {"web-1": "InServiceTimedOutError"})
    monitor.check()
    (surge,) = surge_of(scene, group)
    assert group.count_healthy() == 1
    assert any(f"{surge}, a surge instance, stays: without it 0 of 1 would serve" in one for one in roll.problems)


# What goes wrong around it


def assert_as_found(scene: RollScenario, group: Group, roll: RollView, status: str) -> None:
    assert roll.status == status
    assert [message for message in roll.messages if message.attributes.get("kind") == "group"] == [roll.summary]
    assert_surged(scene, group)
    assert_group_given_back(scene, group, sizes=(1, 1, 1))


@pytest.mark.prove
@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("function", ["launch_surge", "remove_surge"])
def test_a_function_that_dies_at_any_call_is_carried_on(scene: RollScenario, function: str, after_effect: bool) -> None:
    calls = range(1, 13)
    groups = [scene.group(f"call-{call:02}", 1, min=1, max=1, min_healthy=1) for call in calls]
    found = [GroupBefore.of(group) for group, _ in groups]
    scene.given(
        *(KillFunction(function, call=call, after_effect=after_effect, run=f"call-{call:02}") for call in calls)
    )
    started = [scene.start_roll(group, SURGE, name=group.name) for group, _ in groups]

    scene.settle()

    for arn, before, (group, monitor) in zip(started, found, groups, strict=True):
        assert scene.view(arn).status == "SUCCEEDED", group.name
        monitor.check()
        assert broken_roll_promises(scene.account, scene.fleet, scene.stack, before, arn) == [], group.name
        assert_surged(scene, group)


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ("LaunchInstances", "IdempotentCallInProgress"),
        *(
            (operation, error)
            for operation in ("LaunchInstances", "SetInstanceProtection", "TerminateInstanceInAutoScalingGroup")
            for error in ("ResourceContention", "InternalFailure")
        ),
    ],
)
def test_a_call_that_fails_for_a_while_is_made_again(
    scene: RollScenario, operation: str, error: str, after_effect: bool
) -> None:
    group, monitor = scene.group("web", 1, min=1, max=1, min_healthy=1)
    (strikes,) = scene.given(FailCall(f"autoscaling:{operation}", error, times=2, after_effect=after_effect))

    roll = scene.roll(group, SURGE)

    assert strikes.count > 0
    monitor.check()
    assert_as_found(scene, group, roll, "SUCCEEDED")


def test_a_launch_that_is_forbidden_ends_the_roll_before_a_member_leaves(scene: RollScenario) -> None:
    group, monitor = scene.group("web", 1, min=1, max=1)
    scene.given(FailCall("autoscaling:LaunchInstances", "AccessDenied", "not allowed", times=99))

    roll = scene.roll(group, SURGE)

    assert (roll.status, roll.error) == ("FAILED", "AwsCallFailedError")
    assert monitor.outages == []
    assert surge_of(scene, group) == []
    assert_group_given_back(scene, group, sizes=(1, 1, 1))


@pytest.mark.parametrize(
    ("state", "seconds"),
    [
        *(("Launch Surge", seconds) for seconds in (0.12, 0.27, 0.42, 30)),
        *(proved("Launch Surge", seconds) for seconds in (0, 0.17, 0.22, 0.32, 0.37, 0.47, 0.52)),
        ("Roll Members", 60),
        proved("Roll Members", 400),
        *(("Remove Surge", seconds) for seconds in (0.12, 0.27, 0.42)),
        *(proved("Remove Surge", seconds) for seconds in (0, 0.17, 0.22, 0.32, 0.37)),
    ],
)
def test_a_roll_that_is_stopped_leaves_no_instance_behind(scene: RollScenario, state: str, seconds: float) -> None:
    group, monitor = scene.group("web", 1, min=1, max=1, min_healthy=1)
    arn = scene.start_roll(group, SURGE)
    scene.run_until(arn, state, seconds)

    scene.account.client("stepfunctions").stop_execution(executionArn=arn)
    scene.settle()

    roll = scene.view(arn)
    assert roll.status == "ABORTED"
    monitor.check()
    assert len([one for one in roll.messages if one.attributes.get("kind") == "group"]) == 1
    assert len(surge_of(scene, group)) <= 1
    assert_group_given_back(scene, group, sizes=(1, 1, 1))


def test_a_launch_whose_answer_was_lost_with_the_roll_is_found_and_undone(scene: RollScenario) -> None:
    group, monitor = scene.group("web", 1, min=1, max=1, min_healthy=1)
    (strikes,) = scene.given(FailCall("autoscaling:LaunchInstances", "InternalFailure", times=99, after_effect=True))
    arn = scene.start_roll(group, SURGE)
    scene.run_until(arn, "Launch Surge", 5)
    assert (strikes.count > 0, len(surge_of(scene, group))) == (True, 1)

    scene.account.client("stepfunctions").stop_execution(executionArn=arn)
    scene.settle()

    monitor.check()
    assert_as_found(scene, group, scene.view(arn), "ABORTED")


def test_a_launch_whose_answer_never_comes_is_found_and_undone_by_the_roll(scene: RollScenario) -> None:
    group, monitor = scene.group("web", 1, min=1, max=1, min_healthy=1)
    scene.given(FailCall("autoscaling:LaunchInstances", "InternalFailure", times=999, after_effect=True))

    roll = scene.roll(group, SURGE)

    monitor.check()
    assert monitor.outages == []
    assert_as_found(scene, group, roll, "FAILED")
