"""Two stacks in one account: what one of them has in work, the other one leaves alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rehearsal.account import ExecutionView
from rehearsal.engine.deployment import Stack
from rehearsal.ledger import settle
from rehearsal.world.fleet import Machine
from tests.scenarios.machine.scenario import Scenario, assert_given_back, scenario


class TwoStacks:
    """The stack of the scenario, `drydock`, and beside it `night`."""

    def __init__(self, scene: Scenario) -> None:
        self.scene = scene
        self.night: Stack = scene.account.deploy(stack="night")

    def start(self, stack: str, machine: Machine) -> str:
        return self.scene.account.start_execution(f"{stack}-PatchInstance", {"instanceId": machine.instance_id})

    def settle(self) -> None:
        self.scene.settle()
        settle(self.scene.account, self.night)

    def ended(self, execution: str) -> ExecutionView:
        return self.scene.account.execution(execution)


@pytest.fixture(scope="module")
def stacks() -> Iterator[TwoStacks]:
    with scenario() as scene:
        yield TwoStacks(scene)


def test_a_machine_that_another_stack_has_in_work_is_refused_with_the_name_of_that_stack(stacks: TwoStacks) -> None:
    scene, machine = stacks.scene, stacks.scene.machine("shared")
    first = stacks.start("drydock", machine)
    scene.run_until(first, "Install Patches", seconds=5)
    assert (scene.tags(machine)["DrydockState"], scene.tags(machine)["DrydockStack"]) == ("InProgress", "drydock")

    second = stacks.start("night", machine)
    stacks.settle()

    refused = stacks.ended(second)
    assert (refused.status, refused.error) == ("FAILED", "InstanceOfOtherStackError")
    assert refused.cause and "stack drydock has it in work" in refused.cause
    assert stacks.ended(first).status == "SUCCEEDED"
    assert_given_back(scene, machine, "running")
    assert "DrydockStack" not in scene.tags(machine)


def test_once_one_stack_has_released_a_machine_the_other_one_takes_it(stacks: TwoStacks) -> None:
    machine = stacks.scene.machine("handed-over")
    for stack in ("drydock", "night"):
        execution = stacks.start(stack, machine)
        stacks.settle()
        assert stacks.ended(execution).status == "SUCCEEDED"
    assert stacks.scene.tags(machine)["DrydockState"] == "Completed"


def test_a_machine_that_is_given_back_is_free_for_the_other_stack(stacks: TwoStacks) -> None:
    scene, machine = stacks.scene, stacks.scene.machine("stopped-half-way")
    first = stacks.start("drydock", machine)
    scene.run_until(first, "Install Patches", seconds=5)
    scene.account.client("stepfunctions").stop_execution(executionArn=first)
    stacks.settle()
    assert "DrydockStack" not in scene.tags(machine)

    second = stacks.start("night", machine)
    stacks.settle()

    assert stacks.ended(second).status == "SUCCEEDED"


def test_tags_that_a_stack_left_which_is_gone_refuse_until_somebody_removes_them(stacks: TwoStacks) -> None:
    scene = stacks.scene
    machine = scene.machine("orphan", tags={"DrydockState": "InProgress", "DrydockStack": "of-last-year"})

    refused = scene.account.execution(stacks.start("night", machine))
    stacks.settle()

    assert stacks.ended(refused.arn).error == "InstanceOfOtherStackError"
    (message,) = scene.told(machine)
    assert "stack of-last-year has it in work" in message.said
    assert "remove the tags DrydockState and DrydockStack" in message.said

    keys = [{"Key": "DrydockState"}, {"Key": "DrydockStack"}]
    scene.account.client("ec2").delete_tags(Resources=[machine.instance_id], Tags=keys)
    again = stacks.start("night", machine)
    stacks.settle()

    assert stacks.ended(again).status == "SUCCEEDED"
