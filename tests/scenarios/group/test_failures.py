"""Rolls in which a member fails, or cannot leave or come back: the roll stops, and people know where everything is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rehearsal.play.faults import FailCall
from rehearsal.world.fleet import Durations, Group, Machine
from rehearsal.world.group_members import Change
from rehearsal.world.group_specs import Unconfirmed
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
from tests.scenarios.machine.scenario import assert_untouched


@pytest.fixture(scope="module")
def scene() -> Iterator[RollScenario]:
    with roll_scenario() as opened:
        yield opened


def machine_of(group: Group, name: str) -> Machine:
    return next(member.machine for member in group.members.values() if member.machine.name == name)


def assert_stopped_at(scene: RollScenario, roll: RollView, failed: str) -> None:
    """One member failed, none after it began, and the execution ended in Fail with a readable message."""
    failed_id = next(key for key, name in roll.names.items() if name == failed)
    assert (roll.status, roll.error) == ("FAILED", "MachinesFailedError")
    assert roll.execution.cause == f"{roll.result['groupName']}: {failed_id} failed"
    assert roll.outcomes[failed] == "failed"
    assert [name for name, outcome in roll.outcomes.items() if outcome == "failed"] == [failed]
    left = [name for name, outcome in roll.outcomes.items() if outcome == "not_attempted"]
    assert {roll.errors[name] for name in left} <= {"RollStoppedError"}
    for machine in scene.fleet.machines:
        if machine.name in left:
            assert_untouched(scene, machine)
    name = roll.result["groupName"]
    assert str(roll.summary.subject).endswith(f"Auto Scaling group {name} was not rolled through well")
    assert failed_id in roll.summary.said
    assert "{" not in roll.summary.said


def test_a_member_that_failed_but_is_well_goes_back_and_the_roll_stops(scene: RollScenario) -> None:
    group, monitor = scene.group("back", [{}, FAILING, {}, {}], min=4)

    roll = scene.roll(group, QUICKLY)

    assert_stopped_at(scene, roll, "back-2")
    assert roll.moves == {"back-1": "exit", "back-2": "exit"}
    assert {name for name, outcome in roll.outcomes.items() if outcome == "not_attempted"} == {"back-3", "back-4"}
    assert scene.member_tags(group) == {"back-1": "Completed"}
    assert "failed, back in service" in roll.summary.said
    assert "1 patched, 1 failed, 2 not attempted" in roll.summary.said
    assert_members_patched(group, "back-1")
    assert_group_given_back(scene, group, sizes=(4, 4, 6))
    monitor.check()


def test_people_hear_of_the_member_that_failed_and_of_the_roll(scene: RollScenario) -> None:
    group, _ = scene.group("heard", [{}, FAILING])

    roll = scene.roll(group, QUICKLY)

    assert [message.attributes["kind"] for message in roll.messages] == ["machine", "group"]
    assert "heard-2" in str(roll.messages[0].subject)
    assert roll.messages[0].attributes["run"] == roll.execution.name
    assert "It is a member of group heard: the message about the roll says where it goes." in roll.messages[0].said


@pytest.mark.prove
def test_a_member_that_nobody_can_ask_whether_it_installs_stays_in_standby_until_somebody_ends_it(
    scene: RollScenario,
) -> None:
    group, monitor = scene.group("ill", [{}, {"wrong": ("agent_lost",)}, {}], min=3, zones=1)
    failed = machine_of(group, "ill-2")
    arn = scene.start_roll(group, QUICKLY)

    scene.run_for(minutes=14 * 60)

    assert failed.power == "running"
    assert group.members[failed.instance_id].state == "Standby"
    assert scene.group_lease(group) is not None and scene.lease(failed) is not None
    # One message says both: that it failed, and what keeps it.
    (message,) = scene.told(failed)
    assert message.attributes["outcome"] == "failed"
    assert "It could not be given back yet" in message.said

    scene.fleet.terminate_behind_the_back(failed.instance_id)
    scene.settle()

    roll = scene.view(arn)
    assert roll.status == "FAILED"
    assert scene.lease(failed) is None
    assert "ill-2" not in [member.machine.name for member in group.members.values()]
    assert_group_given_back(scene, group, sizes=(3, 3, 5))
    monitor.check()


def test_a_member_stays_in_standby_until_what_outlived_its_command_is_done(scene: RollScenario) -> None:
    spec = {"wrong": ("outlives_timeout",), "durations": Durations(install=5400)}
    group, monitor = scene.group("outlived", [spec, {}], min=1, zones=1)
    served: list[bool] = []

    def look(change: Change) -> None:
        if change.what in ("Pending", "InService") and change.instance_id in group.members:
            served.extend(job.installs for job in group.members[change.instance_id].machine.jobs)

    group.listeners.append(look)

    roll = scene.roll(group, QUICKLY)

    assert roll.errors["outlived-1"] == "CommandTimedOutError"
    assert True not in served
    assert roll.moves["outlived-1"] == "exit"
    assert_group_given_back(scene, group, sizes=(1, 2, 4))
    monitor.check()


@pytest.mark.parametrize(("counts", "lowest"), [(True, 3), (False, 1), proved(True, 1), proved(False, 3)])
def test_a_member_that_failed_is_replaced_and_capacity_is_what_it_was(
    scene: RollScenario, counts: bool, lowest: int
) -> None:
    name = f"replaced-{lowest}-{counts}"
    group, monitor = scene.group(
        name,
        [{}, FAILING, {}],
        min=lowest,
        zones=1,
        unconfirmed=Unconfirmed(standby_counts_when_terminated=counts),
    )
    failed = machine_of(group, f"{name}-2")

    roll = scene.roll(group, {**QUICKLY, "onMemberFailure": "replace"})

    assert_stopped_at(scene, roll, f"{name}-2")
    assert roll.moves == {f"{name}-1": "exit", f"{name}-2": "replace"}
    assert failed.power == "terminated"
    assert (group.desired, group.capacity, group.count_healthy()) == (3, 3, 3)
    assert_group_given_back(scene, group, sizes=(lowest, 3, 5))
    monitor.check()


def test_a_member_whose_health_probe_fails_is_replaced(scene: RollScenario) -> None:
    scene.fleet.add_document("roll-health")
    group, monitor = scene.group("probed", [{}, {"wrong": ("health_fails",)}, {}], min=3, zones=1)

    roll = scene.roll(group, {**QUICKLY, "healthProbe": "roll-health"})

    assert_stopped_at(scene, roll, "probed-2")
    assert roll.errors["probed-2"] == "HealthCheckFailedError"
    assert roll.moves == {"probed-1": "exit", "probed-2": "replace"}
    assert_group_given_back(scene, group, sizes=(3, 3, 5))
    monitor.check()


def test_a_member_is_replaced_although_a_hook_keeps_it_terminating_for_long(scene: RollScenario) -> None:
    group, monitor = scene.group(
        "hooked", [{}, FAILING, {}], min=3, zones=1, hooks={"launching": 60, "terminating": 900}
    )

    roll = scene.roll(group, {**QUICKLY, "onMemberFailure": "replace"})

    assert_stopped_at(scene, roll, "hooked-2")
    assert roll.errors["hooked-2"] == "PatchingFailedError"
    assert_group_given_back(scene, group, sizes=(3, 3, 5))
    monitor.check()


def test_a_member_that_failed_is_held_in_standby_and_everybody_is_told(scene: RollScenario) -> None:
    group, monitor = scene.group("held", [{}, FAILING, {}], min=3, zones=1)
    failed = machine_of(group, "held-2")

    roll = scene.roll(group, {**QUICKLY, "onMemberFailure": "hold"})

    assert_stopped_at(scene, roll, "held-2")
    assert roll.moves == {"held-1": "exit", "held-2": "hold"}
    assert group.members[failed.instance_id].state == "Standby"
    assert failed.power == "running"
    assert f"Held in standby, as the policy says: {failed.instance_id}." in roll.summary.said
    # More than is wanted would launch another instance beside the one that is held.
    assert (group.min, group.desired, group.max) == (2, 2, 5)
    assert roll.problems == [
        "the group is mixed now: 1 of its members is patched, and 1 was not attempted",
        "min is 2, not 3: 2 instances are wanted now",
    ]
    assert all(problem in roll.summary.said for problem in roll.problems)
    assert not [member for member in group.members.values() if "new" in member.machine.name]
    assert group.suspended == {}
    assert scene.group_lease(group) is None
    monitor.check()


def test_a_roll_goes_on_while_no_more_have_failed_than_may(scene: RollScenario) -> None:
    group, monitor = scene.group("allowed", [FAILING, {}, FAILING, {}], min=4)

    roll = scene.roll(group, {**QUICKLY, "maxErrors": "25%"})

    assert (roll.status, roll.error) == ("FAILED", "MachinesFailedError")
    assert roll.outcomes == {
        "allowed-1": "failed",
        "allowed-2": "succeeded",
        "allowed-3": "failed",
        "allowed-4": "not_attempted",
    }
    assert "2 of its members failed, and the policy allows 1 (maxErrors)" in roll.summary.said
    assert_members_patched(group, "allowed-2")
    assert_group_given_back(scene, group, sizes=(4, 4, 6))
    monitor.check()


def test_a_member_that_is_held_leaves_no_room_for_another_however_many_may_fail(scene: RollScenario) -> None:
    group, monitor = scene.group("held-still", [FAILING, {}, {}], min=3)

    roll = scene.roll(group, {**QUICKLY, "maxErrors": 2, "onMemberFailure": "hold"})

    assert list(roll.outcomes.values()) == ["failed", "not_attempted", "not_attempted"]
    assert "is held in standby, and the policy takes 1 out at once (batch)" in roll.summary.said
    assert monitor.most_out == 1
    monitor.check()


def test_a_member_is_called_completed_only_when_it_is_patched(scene: RollScenario) -> None:
    missing, _ = scene.group("tolerated", [{"wrong": ("success_but_missing",)}, {}])
    agents, _ = scene.group("agents", 2)

    tolerated = scene.roll(missing, {**QUICKLY, "failOn": []})
    updated = scene.roll(agents, {**QUICKLY, "operation": "UpdateAgents"})

    assert (tolerated.status, updated.status) == ("SUCCEEDED", "SUCCEEDED")
    assert scene.member_tags(missing) == {"tolerated-2": "Completed"}
    assert scene.member_tags(agents) == {}


def test_a_member_whose_gates_cannot_be_asked_stops_the_roll_and_people_hear_why(scene: RollScenario) -> None:
    group, monitor = scene.group("unasked", 2)
    scene.given(FailCall("cloudwatch:DescribeAlarms", "AccessDenied", caller="take_turn", times=1))

    roll = scene.roll(group, {**QUICKLY, "gates": {"alarms": ["errors"], "calendars": []}})

    assert (roll.status, roll.error) == ("FAILED", "RollStoppedError")
    assert list(roll.outcomes.values()) == ["not_attempted", "not_attempted"]
    assert set(roll.errors.values()) == {"AwsCallFailedError"}
    assert "AccessDenied" in roll.summary.said
    assert monitor.outages == []
    assert_group_given_back(scene, group, sizes=(1, 2, 4))


def test_a_tag_that_cannot_be_written_is_reported_and_fails_nothing(scene: RollScenario) -> None:
    group, _ = scene.group("untagged", 2)
    scene.given(FailCall("ec2:CreateTags", "UnauthorizedOperation", caller="record_member", times=1))

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    (problem,) = roll.problems
    assert "the tag AutoPatchInstanceInASG could not be written" in problem
    assert problem in roll.summary.said


def test_the_other_member_of_a_batch_is_finished_when_one_fails(scene: RollScenario) -> None:
    group, monitor = scene.group("pair", [FAILING, {}, {}, {}], batch=2)

    roll = scene.roll(group, {**QUICKLY, "batch": 2})

    assert_stopped_at(scene, roll, "pair-1")
    assert [roll.outcomes[f"pair-{number}"] for number in (2, 3, 4)] == ["succeeded", "not_attempted", "not_attempted"]
    assert_members_patched(group, "pair-2")
    assert_group_given_back(scene, group, sizes=(2, 4, 6))
    monitor.check()


def test_a_member_that_its_load_balancer_never_calls_healthy_stops_the_roll(scene: RollScenario) -> None:
    group, monitor = scene.group("sick", 3)
    scene.once(group, "Pending", lambda member: group.target_groups[0].fail_checks(member.instance_id))

    roll = scene.roll(group, QUICKLY)

    assert_stopped_at(scene, roll, "sick-1")
    assert roll.errors["sick-1"] == "InServiceTimedOutError"
    assert "is not healthy in sick: unhealthy" in roll.summary.said
    assert "Completed" not in scene.member_tags(group).values()
    assert (group.min, group.desired, group.max) == (2, 3, 5)
    assert scene.group_lease(group) is None
    monitor.check()


def test_a_member_may_not_leave_while_another_is_unhealthy_for_the_load_balancer(scene: RollScenario) -> None:
    group, monitor = scene.group("weak", 3)
    weak = machine_of(group, "weak-3")
    group.target_groups[0].fail_checks(weak.instance_id)
    scene.account.clock.call_later(1800, group.target_groups[0].pass_checks)
    scene.run_for(10)

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    monitor.check()
    assert_members_patched(group)


def test_members_of_a_batch_that_ask_at_the_same_moment_do_not_leave_too_few(scene: RollScenario) -> None:
    group, monitor = scene.group("race", 4, batch=2)
    group.target_groups[0].fail_checks(machine_of(group, "race-4").instance_id)
    scene.account.clock.call_later(1800, group.target_groups[0].pass_checks)
    scene.run_for(10)

    roll = scene.roll(group, {**QUICKLY, "batch": 2})

    assert roll.status == "SUCCEEDED"
    assert monitor.fewest_healthy == 2
    monitor.check()


def test_a_pending_update_of_the_group_is_waited_for(scene: RollScenario) -> None:
    group, monitor = scene.group("contended", 2, min=2)

    def contend(seconds: float) -> None:
        group.contended = True
        scene.account.clock.call_later(seconds, lambda: setattr(group, "contended", False))

    contend(90)
    scene.once(group, "Standby", lambda _: contend(300))

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    assert_members_patched(group)
    assert_group_given_back(scene, group, sizes=(2, 2, 4))
    monitor.check()
