"""Passes over a group whose roll is over: members first, then the group, and the lease last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from drydock.aws.autoscaling import AZ_REBALANCE, AutoScaling, Group, Member
from drydock.errors import GroupNotFoundError, UnreadableItemError
from drydock.group.giving_back import give_back_group
from drydock.records.group_leases import claim_member, end_member
from drydock.records.holder import Holder
from drydock.records.leases import FUNCTION_LIFETIME, find_lease, lease_key
from drydock.records.results import Result, Roll, find_result
from drydock.subject import Instance, read_subject
from tests.unit.fakes import START
from tests.unit.world import INSTANCE, OTHER_EXECUTION, World, hold_as

ROLL = Holder(OTHER_EXECUTION.replace("PatchInstance", "RollGroup"), 0)
SUBJECT = read_subject("group/web")
OTHER = "i-0000000000000000b"
AS_FOUND = Group(
    name="web",
    min=2,
    max=3,
    desired=2,
    suspended=frozenset(),
    members=[Member(INSTANCE, "a", "InService", True), Member(OTHER, "b", "InService", True)],
    target_groups=[],
)


class FakeAutoScaling(AutoScaling):
    """A group that does at once what it is told; what it was told is kept."""

    def __init__(self, group: Group | None) -> None:
        self.now = group
        self.told: list[str] = []

    def group(self, name: str) -> Group:
        if self.now is None:
            raise GroupNotFoundError(name)
        return self.now

    def set_min(self, name: str, size: int) -> None:
        self._tell(f"min {size}", min=size)

    def resume(self, name: str, process: str) -> None:
        self._tell(f"resume {process}", suspended=self.group(name).suspended - {process})

    def set_desired(self, name: str, size: int) -> None:
        self._tell(f"desired {size}", desired=size)

    def exit_standby(self, name: str, instance_id: str) -> None:
        self._tell(f"exit {instance_id}", desired=self.group(name).desired + 1, members=self._with(instance_id))

    def serving_targets(self, target_groups: Sequence[str]) -> set[str] | None:
        return None

    def _with(self, instance_id: str) -> list[Member]:
        members = self.group("web").members
        return [replace(one, lifecycle="InService") if one.instance_id == instance_id else one for one in members]

    def _tell(self, what: str, **changes: Any) -> None:
        self.told.append(what)
        self.now = replace(self.group("web"), **changes)


@pytest.fixture
def scaling(world: World) -> FakeAutoScaling:
    """The group with one member out, its min lowered and its balancing suspended."""
    out = [replace(AS_FOUND.members[0], lifecycle="Standby"), AS_FOUND.members[1]]
    fake = FakeAutoScaling(
        replace(AS_FOUND, min=1, desired=1, suspended=frozenset({AZ_REBALANCE}), members=out),
    )
    world.services.autoscaling = fake
    return fake


def roll(world: World, *intents: str, **outcome: Any) -> None:
    """A roll took the first member out, and was stopped."""
    assert hold_as(world.table, ROLL, SUBJECT, world.clock()).take(START) is None
    journal = {
        "runId": "",
        "notify": "each",
        "operation": "Install",
        "onMemberFailure": "return",
        "healthProbe": "",
        "snapshotId": "",
        "min": 2,
        "max": 3,
        "desired": 2,
        "suspended": [],
        "lowersMinTo": 1,
        "planned": [INSTANCE, OTHER],
    }
    hold_as(world.table, ROLL, SUBJECT, world.clock()).activate(journal, "suspend")
    claim_member(hold_as(world.table, ROLL, SUBJECT, world.clock()), INSTANCE)
    for intent in ("lowerMin", f"standby:{INSTANCE}", *intents):
        hold_as(world.table, ROLL, SUBJECT, world.clock()).claim(intent)
    if outcome:
        end_member(hold_as(world.table, ROLL, SUBJECT, world.clock()), INSTANCE, outcome)
    world.executions.statuses[ROLL.execution] = "ABORTED"
    world.executions.statuses[child_of(INSTANCE)] = "ABORTED"


def child_of(instance_id: str) -> str:
    return f"{ROLL.execution.replace('RollGroup', 'PatchInstance')}-{instance_id}"


def passes(world: World, most: int = 10) -> list[str]:
    """What one pass after another does, until there is nothing left to do."""
    moves: list[str] = []
    while len(moves) < most and (not moves or moves[-1] != "nothing"):
        moves.append(give_back_group(world.services, SUBJECT))
        world.clock.move(seconds=FUNCTION_LIFETIME.total_seconds() + 1)
    return moves


def result(world: World) -> Result:
    found = find_result(world.table, SUBJECT, ROLL, START)
    assert found is not None
    return found


def rolled(world: World) -> Roll:
    found = result(world).roll
    assert found is not None
    return found


def test_members_come_back_before_the_group_is_restored_and_the_lease_ends(
    world: World, scaling: FakeAutoScaling
) -> None:
    roll(world)

    moves = passes(world)

    assert moves == ["wait_for_functions", "exit_standby", "release", "nothing"]
    assert scaling.told == [f"exit {INSTANCE}", "min 2", f"resume {AZ_REBALANCE}"]
    assert scaling.now == AS_FOUND
    assert find_lease(world.table, SUBJECT) is None
    assert result(world).outcome == "failed"
    assert {key: member.outcome for key, member in rolled(world).members.items()} == {
        INSTANCE: "failed",
        OTHER: "not_attempted",
    }


def test_a_roll_that_is_at_work_is_left_alone(world: World, scaling: FakeAutoScaling) -> None:
    roll(world)
    world.executions.statuses[ROLL.execution] = "RUNNING"

    assert passes(world) == ["nothing"]
    assert scaling.told == []


def test_nothing_is_undone_while_the_executions_of_members_run(world: World, scaling: FakeAutoScaling) -> None:
    roll(world)
    world.executions.statuses[child_of(INSTANCE)] = "RUNNING"
    stopped: list[str] = []
    world.executions.stop = lambda execution, error, cause: stopped.append(execution)  # type: ignore[method-assign]

    assert passes(world, most=3) == ["wait_for_functions", "stop_executions", "stop_executions"]
    assert set(stopped) == {child_of(INSTANCE)}
    assert scaling.told == []


def test_an_execution_that_was_started_as_the_roll_ended_is_stopped_though_lists_do_not_show_it_yet(
    world: World, scaling: FakeAutoScaling
) -> None:
    roll(world)
    world.clock.move(minutes=30)
    stopped: list[str] = []
    world.executions.stop = lambda execution, error, cause: stopped.append(execution)  # type: ignore[method-assign]
    world.executions.running_beside = lambda execution: set()  # type: ignore[method-assign]
    world.executions.unknown.add(child_of(INSTANCE))

    assert give_back_group(world.services, SUBJECT) == "wait_for_functions"
    world.clock.move(seconds=FUNCTION_LIFETIME.total_seconds() + 1)
    assert give_back_group(world.services, SUBJECT) == "wait_for_functions"
    world.executions.unknown.clear()
    world.executions.statuses[child_of(INSTANCE)] = "RUNNING"
    assert give_back_group(world.services, SUBJECT) == "stop_executions"

    assert (stopped, scaling.told) == ([child_of(INSTANCE)], [])


def test_a_member_that_was_admitted_as_the_roll_ended_is_waited_for_though_the_index_does_not_show_it_yet(
    world: World, scaling: FakeAutoScaling
) -> None:
    roll(world)
    world.clock.move(minutes=30)
    world.hold(holder=Holder(child_of(INSTANCE), 0))
    world.table.look_up = lambda index, value: []  # type: ignore[method-assign]

    assert passes(world, most=3) == ["wait_for_functions", "wait_for_members", "wait_for_members"]
    assert scaling.told == []


def test_a_member_whose_execution_was_never_started_comes_back_once_it_would_have_been_seen(
    world: World, scaling: FakeAutoScaling
) -> None:
    roll(world)
    world.executions.unknown.add(child_of(INSTANCE))

    assert passes(world) == ["wait_for_functions", "wait_for_functions", "exit_standby", "release", "nothing"]


def test_nothing_is_undone_while_a_machine_is_being_given_back(world: World, scaling: FakeAutoScaling) -> None:
    roll(world)
    world.hold(holder=Holder(child_of(INSTANCE), 0))

    assert passes(world, most=3) == ["wait_for_functions", "wait_for_members", "wait_for_members"]
    assert scaling.told == []


def test_a_member_whose_lease_cannot_be_read_stays_out_and_the_others_come_back(
    world: World, scaling: FakeAutoScaling
) -> None:
    roll(world)
    claim_member(hold_as(world.table, ROLL, SUBJECT, world.clock()), OTHER)
    hold_as(world.table, ROLL, SUBJECT, world.clock()).claim(f"standby:{OTHER}")
    scaling.now = replace(scaling.group("web"), members=[replace(one, lifecycle="Standby") for one in AS_FOUND.members])
    world.executions.statuses[child_of(OTHER)] = "ABORTED"
    world.ec2.instances[OTHER] = {**world.ec2.instances[INSTANCE], "InstanceId": OTHER}
    world.hold(holder=Holder(child_of(INSTANCE), 0))
    unreadable = {**lease_key(Instance(INSTANCE)), "owner": "somebody", "redriveCount": 0}
    world.table.put(unreadable, "attribute_exists(pk)", {}, {})

    moves = passes(world, most=2)
    with pytest.raises(UnreadableItemError, match=f"INSTANCE#{INSTANCE}") as told:
        give_back_group(world.services, SUBJECT)

    assert moves == ["wait_for_functions", "exit_standby"]
    assert scaling.told == [f"exit {OTHER}"]
    assert told.value.key == tuple(lease_key(Instance(INSTANCE)).values())
    lease = find_lease(world.table, SUBJECT)
    assert lease is not None and lease.phase == "RESTORING"


@pytest.mark.parametrize("power", ["stopped", "terminated"])
def test_a_member_that_does_not_run_stays_out_and_people_are_told(
    world: World, scaling: FakeAutoScaling, power: str
) -> None:
    roll(world)
    world.ec2.set_state(INSTANCE, power)

    passes(world)

    assert f"exit {INSTANCE}" not in scaling.told
    assert any(INSTANCE in problem and "standby" in problem for problem in rolled(world).problems)
    assert find_lease(world.table, SUBJECT) is None


def test_a_member_that_the_policy_holds_stays_out(world: World, scaling: FakeAutoScaling) -> None:
    roll(world, outcome="failed", move="hold")

    passes(world)

    assert scaling.told == ["min 1", f"resume {AZ_REBALANCE}"]
    assert rolled(world).members[INSTANCE].move == "hold"


def test_a_member_that_was_replaced_is_asked_for_once(world: World, scaling: FakeAutoScaling) -> None:
    roll(world)
    hold_as(world.table, ROLL, SUBJECT, world.clock()).claim(f"replace:{INSTANCE}", wanted=2)
    scaling.now = replace(scaling.group("web"), members=[AS_FOUND.members[1]])

    passes(world)

    assert [told for told in scaling.told if told.startswith("desired")] == ["desired 2"]


def test_what_somebody_else_has_set_meanwhile_is_left_and_said(world: World, scaling: FakeAutoScaling) -> None:
    roll(world)
    scaling.now = replace(scaling.group("web"), min=0, suspended=frozenset())

    passes(world)

    assert scaling.told == [f"exit {INSTANCE}"]
    assert any("min is 0" in problem for problem in rolled(world).problems)


def test_a_group_that_is_gone_is_released(world: World) -> None:
    world.services.autoscaling = FakeAutoScaling(None)
    roll(world)

    assert passes(world) == ["wait_for_functions", "release", "nothing"]
    assert rolled(world).problems == ["the group is gone"]


def test_an_execution_that_died_in_admission_has_touched_nothing(world: World, scaling: FakeAutoScaling) -> None:
    assert hold_as(world.table, ROLL, SUBJECT, world.clock()).take(START) is None
    world.executions.statuses[ROLL.execution] = "ABORTED"

    assert passes(world) == ["wait_for_functions", "release", "nothing"]
    assert scaling.told == []
    assert result(world).outcome == "refused"


def test_a_pass_for_a_group_that_nobody_holds_does_nothing(world: World) -> None:
    assert give_back_group(world.services, SUBJECT) == "nothing"
