"""Rolls whose calls Auto Scaling refuses, for a while or for good."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rehearsal.play.faults import FailCall
from tests.scenarios.group.scenario import (
    QUICKLY,
    RollScenario,
    assert_group_given_back,
    assert_members_patched,
    roll_scenario,
)


@pytest.fixture
def scene() -> Iterator[RollScenario]:
    """An account of its own for each test: the faults strike whoever calls."""
    with roll_scenario() as opened:
        yield opened


def test_a_group_that_refuses_for_a_while_is_asked_again(scene: RollScenario) -> None:
    group, monitor = scene.group("moody", 2, min=2)
    strikes = scene.given(
        FailCall("autoscaling:EnterStandby", "ValidationError", "not now", times=2),
        FailCall("autoscaling:ExitStandby", "ValidationError", "not now", times=2),
        FailCall("autoscaling:UpdateAutoScalingGroup", "ValidationError", "not now", times=2),
        FailCall("autoscaling:SuspendProcesses", "ResourceContention", "a pending update", times=2),
        FailCall("autoscaling:ResumeProcesses", "ScalingActivityInProgress", "at work", times=2),
    )

    roll = scene.roll(group, QUICKLY)

    assert [struck.count for struck in strikes] == [2] * 5
    assert roll.status == "SUCCEEDED"
    assert_members_patched(group)
    assert_group_given_back(scene, group, sizes=(2, 2, 4))
    monitor.check()


@pytest.mark.parametrize(
    ("error", "expected"), [("ValidationError", "GroupNotReadyError"), ("AccessDenied", "AwsCallFailedError")]
)
def test_a_member_that_may_not_leave_is_not_patched_and_serves_on(
    scene: RollScenario, error: str, expected: str
) -> None:
    group, monitor = scene.group("stuck", 2, min=2)
    scene.given(FailCall("autoscaling:EnterStandby", error, "not for you", times=99))

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "FAILED"
    assert roll.errors["stuck-1"] == expected
    assert roll.outcomes["stuck-2"] == "not_attempted"
    assert "not for you" in roll.summary.said
    for member in group.members.values():
        assert scene.commands(member.machine) == [], "it was looked at, at the most"
    assert monitor.outages == []
    assert "Completed" not in scene.member_tags(group).values()
    assert_group_given_back(scene, group, sizes=(2, 2, 4))


@pytest.mark.parametrize(("error", "times"), [("ValidationError", 90), ("AccessDenied", 30)])
def test_a_member_that_may_not_come_back_is_said_to_be_out_and_given_back_in_the_end(
    scene: RollScenario, error: str, times: int
) -> None:
    group, monitor = scene.group("out", 2, min=2, zones=1)
    scene.given(FailCall("autoscaling:ExitStandby", error, "not for you", times=times))

    roll = scene.roll(group, QUICKLY)

    member = next(iter(group.members.values()))
    assert (roll.status, roll.error) == ("FAILED", "GroupNotRestoredError")
    assert roll.outcomes == {"out-1": "failed", "out-2": "not_attempted"}
    assert len(roll.messages) == 1
    assert f"{member.instance_id} could not leave standby yet" in roll.summary.said
    assert "Drydock gives its members and the group back as soon as that is safe." in roll.summary.said
    assert_members_patched(group, "out-1")
    assert_group_given_back(scene, group, sizes=(2, 2, 4))
    monitor.check()
