from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from tests.scenarios.machine.scenario import Scenario, assert_given_back
from tests.unit.world import made_image

MOMENTS = ["Before", "After"]
MACHINES = [
    pytest.param({"platform": "Linux", "power": "running"}, id="linux-running"),
    pytest.param({"platform": "Windows", "power": "stopped"}, id="windows-stopped"),
]


@pytest.mark.parametrize("spec", MACHINES)
def test_images_bear_the_instance_the_moment_and_the_execution_in_name_and_tags(
    scene: Scenario, spec: dict[str, Any]
) -> None:
    machine = scene.machine(f"names-{spec['platform']}", **spec)

    execution = scene.patch(machine, {"backup": {"deprecateAfterDays": 30}})

    images = scene.images(machine)
    assert [image.name for image in images] == [
        f"{machine.instance_id}_Update{moment}_{execution.name}" for moment in MOMENTS
    ]
    for image, moment in zip(images, MOMENTS, strict=True):
        for resource in (image.image_id, image.snapshot_id):
            tags = scene.fleet.tags(resource)
            assert (tags["Name"], tags["DrydockInstance"]) == (image.name, machine.instance_id)
            assert (tags["DrydockExecution"], tags["DrydockMoment"]) == (execution.name, moment)
        assert image.deprecated_at is not None
        assert abs(image.deprecated_at - image.created - timedelta(days=30)) <= timedelta(minutes=1)
    result = scene.result(machine)
    is_running = spec["power"] == "running"
    assert result["images"] == {
        "before": made_image(images[0].image_id),
        "after": made_image(images[1].image_id, crash_consistent=is_running),
    }
    told = [scene.fleet.tags(image.image_id)["DrydockConsistency"] for image in images]
    assert told == ["at-rest", "crash-consistent" if is_running else "at-rest"]
    assert scene.fleet.tags(images[1].image_id)["DrydockVerdict"] == "compliant"
    (message,) = scene.told(machine)
    assert f"Image before: {images[0].image_id}, available" in message.said
    assert f"Image after: {images[1].image_id}, pending still" in message.said
    assert_given_back(scene, machine, spec["power"])


def test_a_stopped_machine_is_imaged_while_it_is_stopped_before_and_after(scene: Scenario) -> None:
    machine = scene.machine("while-stopped", power="stopped")

    scene.patch(machine)

    assert [image.machine_state for image in scene.images(machine)] == ["stopped", "stopped"]
    (_, pending), (_, running), (_, stopping), (stopped_at, _) = machine.power_log[1:]
    assert (pending, running, stopping) == ("pending", "running", "stopping")
    before, after = scene.images(machine)
    assert before.created + timedelta(seconds=300) <= machine.power_log[1][0]
    assert after.created >= stopped_at


@pytest.mark.parametrize(("no_reboot", "boots"), [(True, 1), (False, 3)], ids=["without-reboot", "with-reboot"])
def test_a_running_machine_is_rebooted_for_its_images_unless_the_policy_says_otherwise(
    scene: Scenario, no_reboot: bool, boots: int
) -> None:
    machine = scene.machine(f"reboots-{no_reboot}", missing=())

    execution = scene.patch(
        machine,
        {
            "backup": {"before": {"reboot": not no_reboot}, "after": {"reboot": not no_reboot}},
            "whenCompliant": "proceed",
        },
    )

    assert execution.status == "SUCCEEDED"
    assert [image.no_reboot for image in scene.images(machine)] == [no_reboot, no_reboot]
    assert machine.boots == boots
    assert scene.result(machine)["rebooted"] is False
    assert_given_back(scene, machine, "running")


def test_a_machine_that_is_rebooted_for_its_last_image_is_reachable_when_it_is_given_back(scene: Scenario) -> None:
    machine = scene.machine("back-again", missing=())
    execution = scene.start(machine, {"backup": {"after": {"reboot": True}}, "whenCompliant": "proceed"})

    scene.run_until(execution, "Release Instance")

    assert machine.agent_online
    assert machine.status_check == "ok"
    scene.settle()


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("after", [True, False])
def test_a_policy_may_do_without_either_image(scene: Scenario, before: bool, after: bool) -> None:
    machine = scene.machine(f"some-{before}-{after}")

    execution = scene.patch(machine, {"backup": {"before": {"take": before}, "after": {"take": after}}})

    assert execution.status == "SUCCEEDED"
    wanted = [f"_Update{moment}_" for moment, is_wanted in zip(MOMENTS, (before, after), strict=True) if is_wanted]
    assert [re.findall("_Update[A-Za-z]+_", image.name)[0] for image in scene.images(machine)] == wanted
    assert_given_back(scene, machine, "running")


def test_the_name_of_an_image_is_cleaned_and_ends_in_a_hash_where_ec2_takes_no_such_name(scene: Scenario) -> None:
    machines = [scene.machine(f"cleaned-{number}") for number in (1, 2)]
    for machine, name in zip(machines, ("patch=tuesday+1", "patch=tuesday=1"), strict=True):
        scene.account.start_execution("PatchInstance", {"instanceId": machine.instance_id}, name=name)

    scene.settle()

    for machine in machines:
        names = [image.name for image in scene.images(machine)]
        assert len(set(names)) == 2
        for name, moment in zip(names, MOMENTS, strict=True):
            pattern = rf"{machine.instance_id}_Update{moment}_patch-tuesday-1-[0-9a-f]{{16}}"
            assert re.fullmatch(pattern, name)
        assert scene.result(machine)["verdict"] == "compliant"
