from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.machine.scenario import Scenario, assert_given_back, assert_untouched


def restore(scene: Scenario, machine: Any, **given: Any) -> Any:
    arn = scene.account.start_execution("RestoreInstance", {"instanceId": machine.instance_id, **given})
    scene.settle()
    return scene.account.execution(arn)


@pytest.mark.parametrize("spec", [{"platform": "Linux"}, {"platform": "Windows", "power": "stopped"}])
def test_a_patched_machine_is_brought_back_to_its_image(scene: Scenario, spec: dict[str, Any]) -> None:
    machine = scene.machine(f"back-{spec['platform']}", **spec)
    missing, old_root, image_id = list(machine.missing), machine.root_volume, machine.spec.image_id
    scene.patch(machine, {"backup": {"after": {"take": False}}})
    assert machine.missing == []
    boots = machine.boots

    execution = restore(scene, machine)

    assert execution.status == "SUCCEEDED", execution
    assert machine.missing == missing
    assert machine.root_volume != old_root and machine.boots > boots
    assert_given_back(scene, machine, machine.spec.power)
    _, result = scene.results(machine)
    (image,) = scene.images(machine)
    assert result["outcome"] == "succeeded" and result["verdict"] == "restored"
    assert result["restored"]["imageId"] == image.image_id
    assert result["restored"]["keptVolumeId"] == old_root
    assert scene.fleet.tags(old_root)["DrydockReplacedRoot"] == machine.instance_id
    assert "DrydockState" not in scene.tags(machine) and "DrydockCompleted" not in scene.tags(machine)
    said = scene.told(machine)[-1].said
    assert "was brought back to what it was on" in said
    assert f"Root volume of before: {old_root}, kept" in said
    assert image_id == machine.spec.image_id


def test_twice_is_once_and_an_undo_can_be_undone(scene: Scenario) -> None:
    machine = scene.machine("twice")
    first_root = machine.root_volume
    scene.patch(machine, {"backup": {"after": {"take": False}}})
    restore(scene, machine)
    second_root = machine.root_volume

    again = restore(scene, machine)
    assert (again.error, machine.root_volume) == ("InstanceDoneError", second_root)
    assert first_root in str(again.cause)

    back = restore(scene, machine, volumeId=first_root)
    assert back.status == "SUCCEEDED"
    assert machine.missing == [] and machine.root_volume == first_root
    assert scene.results(machine)[-1]["restored"]["keptVolumeId"] == second_root
    assert_given_back(scene, machine, "running")


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"tags": {"DrydockKeepState": "the ledger"}}, {}, "InstanceNotRestorableError"),
    ({"instance_type": "m5.metal"}, {}, "InstanceNotRestorableError"),
    ({}, {"imageId": "ami-0000000000000dead"}, "NothingToRestoreError"),
    ({}, {}, "NothingToRestoreError"),
    ({}, {"volumeId": "vol-00000000000000001"}, "NothingToRestoreError"),
]


@pytest.mark.parametrize(("spec", "given", "error"), REFUSED)
def test_what_cannot_be_restored_is_refused_by_name_and_not_touched(
    scene: Scenario, spec: dict[str, Any], given: dict[str, Any], error: str
) -> None:
    machine = scene.machine(f"refused-{REFUSED.index((spec, given, error))}", **spec)

    execution = restore(scene, machine, **given)

    assert execution.error == error
    assert_untouched(scene, machine)
    (message,) = scene.told(machine)
    assert "was refused, and nothing was touched" in message.said


def test_a_failed_replacement_leaves_the_old_root_and_gives_the_machine_back(scene: Scenario) -> None:
    machine = scene.machine("fails", power="stopped", wrong=("replace_fails",))
    root = machine.root_volume
    scene.patch(machine, {"backup": {"after": {"take": False}}})

    execution = restore(scene, machine)

    assert execution.error == "RootVolumeNotReplacedError"
    assert (machine.root_volume, machine.missing) == (root, [])
    assert_given_back(scene, machine, "stopped")
    assert scene.results(machine)[-1]["restored"]["state"] == "kept"
    assert scene.results(machine)[-1]["verdict"] == "not_patched"


def test_a_machine_without_a_root_volume_is_kept_and_told_of_until_somebody_gives_it_one(scene: Scenario) -> None:
    machine = scene.machine("detached", power="stopped", wrong=("replace_detaches",))
    root = machine.root_volume
    scene.patch(machine, {"backup": {"after": {"take": False}}})

    arn = scene.account.start_execution("RestoreInstance", {"instanceId": machine.instance_id})
    scene.run_for(30 * 60)

    assert scene.account.execution(arn).error == "RootVolumeDetachedError"
    lease = scene.lease(machine)
    assert lease is not None and lease["phase"] == "RESTORING"
    assert (machine.power, machine.root_volume) == ("running", "")
    first, *daily = scene.told(machine)[1:]
    assert "IT HAS NO ROOT VOLUME" in first.said and f"that of before is {root}" in first.said
    assert first.attributes["urgency"] == "now"
    assert daily and all("there is no root volume" in message.said for message in daily)
    assert all("set its power yourself" not in message.said for message in daily)

    scene.fleet.root_volumes.attach_behind_the_back(machine, root)
    scene.settle()
    assert_given_back(scene, machine, "stopped")


@pytest.mark.parametrize("seconds", [1, 60, 170])
def test_an_execution_that_is_killed_while_the_root_is_replaced_leaves_a_whole_machine(
    scene: Scenario, seconds: float
) -> None:
    machine = scene.machine(f"killed-{seconds}", power="stopped")
    scene.patch(machine, {"backup": {"after": {"take": False}}})
    arn = scene.account.start_execution("RestoreInstance", {"instanceId": machine.instance_id})
    scene.run_until(arn, "Replace Root Volume", seconds)

    scene.account.client("stepfunctions").stop_execution(executionArn=arn)
    scene.settle()

    assert len(machine.missing) == 2
    (task,) = [task for task in scene.fleet.root_volumes.tasks if task.machine is machine]
    assert task.state == "succeeded"
    result = scene.results(machine)[-1]
    assert (result["outcome"], result["verdict"], result["restored"]["state"]) == ("failed", "unknown", "replaced")
    assert scene.fleet.tags(result["restored"]["keptVolumeId"])["DrydockReplacedRoot"] == machine.instance_id
    assert_given_back(scene, machine, "stopped")
