from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rehearsal.play.faults import FailCall
from tests.scenarios.machine.scenario import Scenario, assert_given_back

TWO_MACHINES = [
    pytest.param({"platform": "Linux", "power": "running"}, id="linux-running"),
    pytest.param({"platform": "Windows", "power": "stopped"}, id="windows-stopped"),
]


def _name(request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.id)


@pytest.mark.parametrize("spec", TWO_MACHINES)
def test_nothing_is_patched_without_the_image_before(
    scene: Scenario, request: pytest.FixtureRequest, spec: dict[str, Any]
) -> None:
    machine = scene.machine(f"image-{_name(request)}", wrong=("image_fails",), **spec)

    execution = scene.patch(machine)

    assert (execution.status, execution.error) == ("FAILED", "ImageFailedError")
    assert scene.commands(machine) == []
    assert len(machine.missing) == 2
    assert scene.result(machine)["verdict"] == "not_patched"
    assert [image.state for image in scene.images(machine)] == ["failed"]
    (message,) = scene.told(machine)
    assert "Internal error while the image was created" in message.said
    assert "No patch without a good backup" in message.said
    assert [state for _, state in machine.power_log] == [spec["power"]]
    assert_given_back(scene, machine, spec["power"])


def test_an_image_that_ec2_refuses_ends_the_flow_before_anything_is_patched(scene: Scenario) -> None:
    machine = scene.machine("image-refused")
    scene.given(FailCall("ec2:CreateImage", "TooManySnapshots", instance="image-refused"))

    execution = scene.patch(machine)

    assert (execution.status, execution.error) == ("FAILED", "AwsCallFailedError")
    assert "TooManySnapshots" in scene.told(machine)[0].said
    assert scene.commands(machine) == []
    assert_given_back(scene, machine, "running")


def test_an_image_that_takes_longer_than_its_deadline_ends_the_flow(scene: Scenario) -> None:
    machine = scene.machine("image-slow", durations=replace(scene.machine("image-usual").spec.durations, image=5000))

    execution = scene.patch(machine, {"deadlines": {"imageSeconds": 1800}})

    assert (execution.status, execution.error) == ("FAILED", "ImageTimedOutError")
    assert scene.commands(machine) == []
    assert_given_back(scene, machine, "running")


@pytest.mark.parametrize("spec", TWO_MACHINES)
def test_a_machine_whose_image_after_fails_is_patched_and_people_hear_of_the_image(
    scene: Scenario, request: pytest.FixtureRequest, spec: dict[str, Any]
) -> None:
    machine = scene.machine(f"after-{_name(request)}", **spec)
    execution = scene.start(machine)
    scene.run_until(execution, "Take Image After")

    machine.spec = replace(machine.spec, wrong=("image_fails",))
    scene.settle()

    assert scene.account.execution(execution).status == "SUCCEEDED"
    assert machine.missing == []
    result = scene.result(machine)
    assert (result["verdict"], result["images"]["after"]["state"]) == ("compliant", "failed")
    assert [image.state for image in scene.images(machine)] == ["available", "failed"]
    done, failed = scene.told(machine)
    assert str(done.subject).endswith("was patched")
    assert str(failed.subject).endswith("failed") and "Internal error while the image was created" in failed.said
    assert_given_back(scene, machine, spec["power"])


def test_a_start_that_falls_back_to_stopped_names_the_kms_keys(scene: Scenario) -> None:
    machine = scene.machine("falls-back", power="stopped", wrong=("start_falls_back",))

    execution = scene.patch(machine)

    assert (execution.status, execution.error) == ("FAILED", "InstanceStartFailedError")
    (message,) = scene.told(machine)
    assert "Client.InternalError" in message.said
    assert "KMS keys" in message.said.split("What to do next")[0]
    assert scene.commands(machine) == []
    assert_given_back(scene, machine, "stopped")


def test_a_start_for_which_ec2_has_no_room_says_so(scene: Scenario) -> None:
    machine = scene.machine("no-room", power="stopped")
    scene.given(FailCall("ec2:StartInstances", "InsufficientInstanceCapacity", instance="no-room"))

    execution = scene.patch(machine)

    assert (execution.status, execution.error) == ("FAILED", "InstanceStartFailedError")
    assert "InsufficientInstanceCapacity" in scene.told(machine)[0].said
    assert_given_back(scene, machine, "stopped")


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"managed": False}, id="never-managed"),
        pytest.param({"wrong": ("agent_never_online",)}, id="agent-does-not-call-in"),
    ],
)
def test_a_stopped_machine_turns_out_to_be_unmanaged_once_it_runs_and_is_stopped_again(
    scene: Scenario, request: pytest.FixtureRequest, spec: dict[str, Any]
) -> None:
    machine = scene.machine(_name(request), power="stopped", **spec)

    execution = scene.patch(machine, {"deadlines": {"startSeconds": 900}})

    assert (execution.status, execution.error) == ("FAILED", "AgentUnreachableError")
    assert scene.commands(machine) == []
    assert len(scene.told(machine)) == 1
    assert [state for _, state in machine.power_log] == ["stopped", "pending", "running", "stopping", "stopped"]
    assert_given_back(scene, machine, "stopped")


@pytest.mark.parametrize("spec", TWO_MACHINES)
@pytest.mark.parametrize("document", ["", "AWS-RunPatchBaseline"], ids=["the-probe", "the-installation"])
def test_a_command_that_is_not_delivered_fails_the_flow(
    scene: Scenario, request: pytest.FixtureRequest, document: str, spec: dict[str, Any]
) -> None:
    wrong = f"delivery_timeout:{document}" if document else "delivery_timeout"
    machine = scene.machine(_name(request), wrong=(wrong,), **spec)

    execution = scene.patch(machine)

    assert (execution.status, execution.error) == ("FAILED", "CommandNotDeliveredError")
    assert len(machine.missing) == 2
    (message,) = scene.told(machine)
    assert "never reached the machine" in message.said
    assert_given_back(scene, machine, spec["power"])


@pytest.mark.parametrize("spec", TWO_MACHINES)
@pytest.mark.parametrize("document", ["AWS-RunPatchBaseline", "AWS-InstallWindowsUpdates"])
def test_a_command_that_never_ends_keeps_its_power_until_it_has_expired(
    scene: Scenario, request: pytest.FixtureRequest, document: str, spec: dict[str, Any]
) -> None:
    if document == "AWS-InstallWindowsUpdates":
        spec = {**spec, "platform": "Windows"}
    machine = scene.machine(f"never-ends-{_name(request)}", wrong=("never_ends",), **spec)
    execution = scene.start(machine, {"document": document, "deadlines": {"patchSeconds": 1800}})
    scene.run_until(execution, "Install Patches")
    begun, boots = scene.account.clock.now(), machine.boots

    scene.settle()

    ended = scene.account.execution(execution)
    assert (ended.status, ended.error) == ("FAILED", "CommandTimedOutError")
    assert machine.boots == boots
    assert not any(begun < at < begun + timedelta(seconds=4200) for at, _ in machine.power_log)
    assert scene.result(machine)["verdict"] == "unknown"
    assert len(scene.told(machine)) == 1
    assert_given_back(scene, machine, spec["power"])


def test_machines_whose_agents_are_lost_in_the_reboot_are_left_running_and_people_are_told_of_both_at_once(
    scene: Scenario,
) -> None:
    gone: dict[str, Any] = {"platform": "Windows", "power": "stopped", "wrong": ("agent_lost",)}
    left_alone, killed = machines = [scene.machine(name, **gone) for name in ("agent-lost", "agent-lost-and-killed")]
    executions = [scene.start(machine) for machine in machines]
    scene.run_until(executions[1], "Install Patches", seconds=120)
    scene.account.stop_execution(executions[1])

    scene.run_for(minutes=3.5 * 60)
    assert [message.attributes["outcome"] for message in scene.told(killed)] == ["failed"]
    assert scene.told(left_alone) == [], "its flow waits for a sign that nothing installs"
    scene.run_for(minutes=10.5 * 60)

    assert [scene.account.execution(execution).status for execution in executions] == ["FAILED", "ABORTED"]
    for machine in machines:
        assert machine.power == "running"
        lease = scene.lease(machine)
        assert lease and lease["phase"] == "RESTORING"
        assert machine.interrupted == []
    (both,) = scene.told(left_alone)
    failed, kept = scene.told(killed)
    assert [one.attributes["outcome"] for one in (both, failed, kept)] == ["failed", "failed", "not_given_back"]
    assert "It could not be given back yet" in both.said and "could not be given back" not in failed.said
    assert "the agent is not online" in kept.said and "not online" not in failed.said
    for message in (both, kept):
        assert "see for yourself that nothing installs, then stop the machine" in message.said

    for machine in machines:
        scene.fleet.stop_behind_the_back(machine.instance_id)
    scene.settle()

    for machine in machines:
        assert_given_back(scene, machine, "stopped")
        assert scene.result(machine)["outcome"] == "failed"
        assert len(scene.told(machine)) == (1 if machine is left_alone else 2)


@pytest.mark.parametrize("spec", TWO_MACHINES)
def test_a_probe_that_cannot_be_read_fails_the_flow_before_anything_is_installed(
    scene: Scenario, request: pytest.FixtureRequest, spec: dict[str, Any]
) -> None:
    machine = scene.machine(f"garbage-{_name(request)}", wrong=("probe_garbage",), **spec)

    execution = scene.patch(machine)

    assert (execution.status, execution.error) == ("FAILED", "ProbeFailedError")
    assert scene.commands(machine, with_look=True) == ["drydock-Probe"]
    assert scene.result(machine)["verdict"] == "not_patched"
    assert_given_back(scene, machine, spec["power"])


@pytest.mark.parametrize("spec", TWO_MACHINES)
def test_a_health_probe_that_fails_fails_the_flow_of_a_machine_that_is_patched(
    scene: Scenario, request: pytest.FixtureRequest, spec: dict[str, Any]
) -> None:
    scene.fleet.add_document(f"Health-{_name(request)}")
    sick = scene.machine(f"sick-{_name(request)}", wrong=("health_fails",), **spec)
    well = scene.machine(f"well-{_name(request)}", **spec)
    policy = {"healthProbe": f"Health-{_name(request)}"}
    executions = [scene.start(machine, policy) for machine in (sick, well)]

    scene.settle()

    outcomes = [scene.account.execution(arn) for arn in executions]
    assert [outcome.error for outcome in outcomes] == ["HealthCheckFailedError", None]
    assert [outcome.status for outcome in outcomes] == ["FAILED", "SUCCEEDED"]
    for machine in (sick, well):
        assert machine.missing == []
        assert scene.result(machine)["verdict"] == "compliant"
        assert_given_back(scene, machine, spec["power"])
    assert len(scene.images(sick)) == 1
    (message,) = scene.told(sick)
    assert message.body.startswith("Act now: ") and "is patched and unwell" in str(message.subject)


def test_a_machine_that_ec2_does_not_stop_again_is_not_a_success_and_drydock_goes_on_trying(scene: Scenario) -> None:
    machine = scene.machine("unstoppable", power="stopped")
    scene.given(FailCall("ec2:StopInstances", "OperationNotPermitted", caller="restore_power", times=99))

    execution = scene.patch(machine)

    assert (execution.status, execution.error) == ("FAILED", "PowerNotRestoredError")
    assert machine.missing == []
    assert len(scene.told(machine)) == 1
    assert_given_back(scene, machine, "stopped")


def test_a_machine_that_is_ill_after_the_reboot_for_its_image_fails(scene: Scenario) -> None:
    scene.fleet.add_document("Health-Again")
    machine = scene.machine("ill-again", wrong=("health_fails_after_image",))

    execution = scene.patch(
        machine, {"healthProbe": "Health-Again", "backup": {"before": {"take": False}, "after": {"reboot": True}}}
    )

    assert (execution.status, execution.error) == ("FAILED", "HealthCheckFailedError")
    (image,) = scene.images(machine)
    assert (image.no_reboot, scene.fleet.tags(image.image_id)["DrydockVerdict"]) == (False, "failed")
    assert_given_back(scene, machine, "running")
