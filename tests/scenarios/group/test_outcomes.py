"""Rolls that go well: which members leave when, what the group has meanwhile and afterwards, and what people hear."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from rehearsal.world.group_specs import Unconfirmed
from tests.proved import proved
from tests.scenarios.group.scenario import (
    QUICKLY,
    RollScenario,
    assert_group_given_back,
    assert_members_patched,
    roll_scenario,
)
from tests.scenarios.machine.scenario import LOOK, assert_untouched


@pytest.fixture(scope="module")
def scene() -> Iterator[RollScenario]:
    with roll_scenario() as opened:
        yield opened


def test_four_members_over_two_zones_are_patched_one_at_a_time_and_all_come_back(scene: RollScenario) -> None:
    group, monitor = scene.group("web", 4)

    roll = scene.roll(group)

    assert roll.status == "SUCCEEDED"
    assert roll.outcomes == dict.fromkeys(["web-1", "web-2", "web-3", "web-4"], "succeeded")
    assert set(roll.moves.values()) == {"exit"}
    # A member is launched anew sooner than an image of it is restored.
    assert [scene.images(member.machine) for member in group.members.values()] == [[], [], [], []]
    assert_members_patched(group)
    assert_group_given_back(scene, group, sizes=(3, 4, 6))
    monitor.check()
    assert (monitor.most_out, monitor.fewest_healthy, len(monitor.outages)) == (1, 3, 4)


def test_the_oldest_member_goes_first_and_zones_take_turns(scene: RollScenario) -> None:
    group, monitor = scene.group("order", 4)
    # By age alone both members of the first zone would follow each other.
    for days, name in enumerate(["order-3", "order-1", "order-4", "order-2"]):
        machine = next(member.machine for member in group.members.values() if member.machine.name == name)
        machine.launch_time = scene.account.clock.now() - timedelta(days=9 - days)

    roll = scene.roll(group, QUICKLY)

    assert roll.order == ["order-3", "order-4", "order-1", "order-2"]
    zones = [group.members[outage.instance_id].zone[-1] for outage in monitor.outages]
    assert zones == ["a", "c", "a", "c"]
    monitor.check()


def test_the_tag_of_a_member_says_how_far_it_is(scene: RollScenario) -> None:
    group, _ = scene.group("tags", 2)

    scene.start_roll(group, QUICKLY)
    scene.run_until_out(group)
    at_work = scene.member_tags(group)
    scene.settle()

    assert at_work == {"tags-1": "InProgress"}
    assert scene.member_tags(group) == {"tags-1": "Completed", "tags-2": "Completed"}


@pytest.mark.parametrize("suspended", [[], ["AZRebalance"], ["AlarmNotification", "AZRebalance"]])
def test_no_zones_are_balanced_meanwhile_and_afterwards_only_if_they_were_before(
    scene: RollScenario, suspended: list[str]
) -> None:
    group, monitor = scene.group(f"balance-{len(suspended)}", 2, suspended=suspended)

    scene.start_roll(group, QUICKLY)
    scene.run_until_out(group)
    meanwhile = set(group.suspended)
    scene.settle()

    assert meanwhile == {"AZRebalance", *suspended}
    assert_group_given_back(scene, group, sizes=(1, 2, 4), suspended=suspended)
    monitor.check()


@pytest.mark.parametrize(
    ("name", "batch", "lowest", "expected"),
    [
        pytest.param("room-0", 1, 2, 2, id="it has room"),
        proved("room-1", 1, 3, 2, id="it is at its min"),
        proved("room-2", 2, 3, 1, id="a batch of two"),
        pytest.param("room-3", 2, 2, 1, id="a batch of two with room for one"),
    ],
)
def test_min_is_lowered_by_exactly_what_is_needed_and_put_back(
    scene: RollScenario, name: str, batch: int, lowest: int, expected: int
) -> None:
    group, monitor = scene.group(name, 3, min=lowest, max=4, batch=batch)

    arn = scene.start_roll(group, {**QUICKLY, "batch": batch})
    scene.run_until_out(group)
    meanwhile = group.min
    scene.settle()

    assert meanwhile == expected
    assert scene.view(arn).status == "SUCCEEDED"
    assert_members_patched(group)
    assert_group_given_back(scene, group, sizes=(lowest, 3, 4))
    monitor.check()


def test_a_batch_of_two_takes_two_out_at_once_and_never_three(scene: RollScenario) -> None:
    group, monitor = scene.group("batch", 5, batch=2)

    roll = scene.roll(group, {**QUICKLY, "batch": 2})

    assert (roll.status, len(roll.outcomes)) == ("SUCCEEDED", 5)
    assert (monitor.most_out, monitor.fewest_healthy) == (2, 3)
    monitor.check()
    assert_members_patched(group)
    assert_group_given_back(scene, group, sizes=(3, 5, 7))


@pytest.mark.parametrize(
    ("name", "wanted", "least"),
    [proved("count", 1, 1), proved("number", "2", 2), proved("share", "50%", 2), ("rounded", "51%", 2)],
)
def test_the_policy_may_want_fewer_healthy_than_the_batch_leaves(
    scene: RollScenario, name: str, wanted: Any, least: int
) -> None:
    group, monitor = scene.group(name, 3, min_healthy=least)

    roll = scene.roll(group, {**QUICKLY, "minHealthy": wanted})

    assert roll.status == "SUCCEEDED"
    monitor.check()
    assert_group_given_back(scene, group, sizes=(2, 3, 5))


def test_a_group_of_one_is_patched_when_the_policy_allows_that_nobody_serves(scene: RollScenario) -> None:
    group, monitor = scene.group("single", 1, min=1, max=1, min_healthy=0)

    roll = scene.roll(group, {**QUICKLY, "minHealthy": 0})

    assert (roll.status, roll.outcomes) == ("SUCCEEDED", {"single-1": "succeeded"})
    monitor.check()
    assert_members_patched(group)
    assert_group_given_back(scene, group, sizes=(1, 1, 1))


def test_only_the_members_that_are_named_leave(scene: RollScenario) -> None:
    group, monitor = scene.group("only", 3)
    named = [member.instance_id for member in group.members.values() if member.machine.name == "only-2"]

    roll = scene.roll(group, QUICKLY, only=named)

    assert roll.outcomes == {"only-2": "succeeded"}
    assert [outage.instance_id for outage in monitor.outages] == named
    monitor.check()
    assert_members_patched(group, "only-2")
    for member in group.members.values():
        if member.machine.name != "only-2":
            assert_untouched(scene, member.machine)


def test_a_named_instance_that_is_no_member_in_service_is_said_to_be_left_out(scene: RollScenario) -> None:
    group, _ = scene.group("named", 2)
    unknown = "i-0123456789abcdef0"

    roll = scene.roll(group, QUICKLY, only=[next(iter(group.members)), unknown])

    assert (roll.status, roll.outcomes) == ("SUCCEEDED", {"named-1": "succeeded"})
    assert roll.problems == [f"left out, for they were not in service: {unknown}"]
    assert unknown in roll.summary.said


def test_a_member_that_somebody_has_put_into_standby_is_left_there_and_said_to_be(scene: RollScenario) -> None:
    group, _ = scene.group("standby", 3, min=1)
    held = next(iter(group.members))
    group.enter_standby([held], True)

    roll = scene.roll(group, QUICKLY)

    assert (roll.status, sorted(roll.outcomes)) == ("SUCCEEDED", ["standby-2", "standby-3"])
    assert roll.problems == [f"left out, for they were not in service: {held}"]
    assert group.members[held].state == "Standby"
    assert (group.min, group.desired) == (1, 2)


def test_a_scan_takes_no_member_out_and_marks_none(scene: RollScenario) -> None:
    group, monitor = scene.group("scan", 2, min=2)

    roll = scene.roll(group, {"operation": "Scan"})

    assert (roll.status, roll.outcomes) == ("SUCCEEDED", {"scan-1": "succeeded", "scan-2": "succeeded"})
    assert monitor.outages == []
    assert scene.member_tags(group) == {}
    assert {change.what for change in group.log} & {"size", "EnteringStandby"} == set()
    assert "2 scanned" in roll.summary.said
    assert_group_given_back(scene, group, sizes=(2, 2, 4))


def test_agents_are_brought_up_to_date_out_of_service(scene: RollScenario) -> None:
    group, monitor = scene.group("agents", 2)

    roll = scene.roll(group, {"operation": "UpdateAgents"})

    assert (roll.status, len(monitor.outages)) == ("SUCCEEDED", 2)
    assert "2 brought up to date" in roll.summary.said
    assert_group_given_back(scene, group, sizes=(1, 2, 4))
    monitor.check()


def test_the_group_does_not_replace_a_member_that_its_load_balancer_misses(scene: RollScenario) -> None:
    group, monitor = scene.group("checked", 2, min=2, health_check_type="ELB", grace=30)
    before = set(group.members)

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    assert set(group.members) == before
    assert_group_given_back(scene, group, sizes=(2, 2, 4))
    monitor.check()


def test_hooks_and_the_health_probe_of_the_policy_run_out_of_service(scene: RollScenario) -> None:
    for document in ("roll-before", "roll-after", "roll-exit", "roll-health"):
        scene.fleet.add_document(document)
    group, monitor = scene.group("hooks", 2)
    hooks = {"preInstall": "roll-before", "postInstall": "roll-after", "onExit": "roll-exit"}

    roll = scene.roll(group, {**QUICKLY, "hooks": hooks, "healthProbe": "roll-health"})

    assert roll.status == "SUCCEEDED"
    for outage in monitor.outages:
        machine = group.members[outage.instance_id].machine
        assert scene.commands(machine, "roll-") == ["roll-before", "roll-after", "roll-exit", "roll-health"]
        sent = scene.fleet.run_command.list_visible(None, machine.instance_id)
        assert outage.standby and outage.returned
        for command in sent:
            in_service = LOOK in command.request["Comment"]
            # What only asks the machine may do so while it drains.
            out_since = outage.left if command.document.name == "drydock-Probe" else outage.standby
            assert (out_since <= command.requested <= outage.returned) is not in_service
    monitor.check()


def test_a_group_without_a_load_balancer_is_rolled_through_too(scene: RollScenario) -> None:
    group, monitor = scene.group("workers", 2, target_group=())

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    monitor.check()
    assert_group_given_back(scene, group, sizes=(1, 2, 4))


@pytest.mark.parametrize(
    ("name", "unconfirmed"),
    [
        proved("told-as-launch", Unconfirmed(standby_events=True)),
        ("registers-itself", Unconfirmed(exit_registers=True)),
        ("idle", Unconfirmed(standby_when_idle=True)),
        ("whole-members", Unconfirmed(standby_in_units=False)),
    ],
)
def test_what_aws_leaves_open_about_standby_changes_nothing(
    scene: RollScenario, name: str, unconfirmed: Unconfirmed
) -> None:
    group, monitor = scene.group(name, 2, min=2, unconfirmed=unconfirmed)

    roll = scene.roll(group, QUICKLY)

    assert roll.status == "SUCCEEDED"
    monitor.check()
    assert_members_patched(group)
    assert_group_given_back(scene, group, sizes=(2, 2, 4))
    waited = [(outage.standby or outage.left) - outage.left for outage in monitor.outages]
    assert all((one < timedelta(minutes=1)) is unconfirmed.standby_when_idle for one in waited)


def test_the_members_of_a_roll_get_the_same_patches(scene: RollScenario) -> None:
    group, _ = scene.group("snapshot", 2)

    roll = scene.roll(group, QUICKLY, snapshotId="6d1f2a3b-1c2d-4e5f-8a9b-0c1d2e3f4a5b")

    assert roll.result["snapshotId"] == "6d1f2a3b-1c2d-4e5f-8a9b-0c1d2e3f4a5b"
    for member in group.members.values():
        sent = scene.fleet.run_command.list_visible(None, member.instance_id)
        snapshots = {command.parameters.get("SnapshotId", roll.result["snapshotId"]) for command in sent}
        assert snapshots == {roll.result["snapshotId"]}


def test_people_hear_once_of_a_roll_that_went_well(scene: RollScenario) -> None:
    group, _ = scene.group("heard", 2)

    roll = scene.roll(group, QUICKLY)

    assert roll.messages == [roll.summary]
    assert roll.summary.subject == "Drydock: Auto Scaling group heard was patched"
    assert "Members: 2 patched" in roll.summary.said
    assert "The group was given back." in roll.summary.said
    assert roll.summary.attributes == {"outcome": "succeeded", "kind": "group", "urgency": "nothing"}
    assert roll.summary.chat["content"]["title"] == roll.summary.subject


def test_people_who_want_to_hear_of_each_member_do(scene: RollScenario) -> None:
    group, _ = scene.group("each", 2)

    roll = scene.roll(group, {**QUICKLY, "notify": "each"})

    assert [message.attributes["kind"] for message in roll.messages] == ["machine", "machine", "group"]


def test_what_a_roll_ends_with_names_every_member(scene: RollScenario) -> None:
    group, _ = scene.group("output", 2)

    roll = scene.roll(group, QUICKLY)

    assert roll.execution.output["groupName"] == "output"
    assert roll.execution.output["outcome"] == "succeeded"
    assert roll.execution.output["members"] == dict.fromkeys(group.members, "succeeded")


def test_a_group_may_be_rolled_through_again(scene: RollScenario) -> None:
    group, monitor = scene.group("again", 2, min=2)

    first = scene.roll(group, QUICKLY)
    for member in group.members.values():
        member.machine.missing.append(member.machine.installed.pop())
    second = scene.roll(group, QUICKLY)

    assert (first.status, second.status) == ("SUCCEEDED", "SUCCEEDED")
    monitor.check()
    assert_members_patched(group)
    assert_group_given_back(scene, group, sizes=(2, 2, 4))
