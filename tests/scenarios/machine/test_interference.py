from __future__ import annotations

from typing import Any

import pytest

from rehearsal.world.fleet import Machine
from tests.scenarios.machine.scenario import Scenario, assert_given_back

NOTICED = 120
"""Seconds within which an event is noticed, without any heartbeat or deadline."""

IN_THE_MIDDLE = [
    pytest.param("Install Patches", {"power": "running"}, id="running-installs"),
    pytest.param("Install Patches", {"power": "stopped", "platform": "Windows"}, id="started-installs"),
    pytest.param("Probe Instance Before", {"power": "running"}, id="running-is-probed"),
    pytest.param("Wait Until Reachable", {"power": "stopped"}, id="started-comes-up"),
    pytest.param("Scan Patches", {"power": "running", "platform": "Windows"}, id="running-scans"),
    pytest.param("Run Hook After Install", {"power": "running"}, id="running-runs-a-hook"),
]


HOOK = "Hook"


@pytest.fixture(scope="module", autouse=True)
def _hook(scene: Scenario) -> None:
    scene.fleet.add_document(HOOK)


def _interfere(scene: Scenario, machine: Machine, state: str, terminate: bool) -> tuple[str, float]:
    """Take a machine away in a state; returns the execution and the seconds after which it noticed."""
    hooks = {"hooks": {"postInstall": HOOK}} if "Hook" in state else {}
    execution = scene.start(machine, {"backup": {"after": {"take": False}}, **hooks})
    scene.run_until(execution, state, seconds=2)
    begun = scene.account.clock.now()
    fleet = scene.fleet
    (fleet.terminate_behind_the_back if terminate else fleet.stop_behind_the_back)(machine.instance_id)
    scene.settle()
    stopped = scene.account.execution(execution).stopped
    assert stopped is not None
    return execution, (stopped - begun).total_seconds()


@pytest.mark.parametrize(("state", "spec"), IN_THE_MIDDLE)
def test_a_machine_that_somebody_stops_in_the_middle_is_noticed_at_once_and_left_stopped(
    scene: Scenario, request: pytest.FixtureRequest, state: str, spec: dict[str, Any]
) -> None:
    machine = scene.machine(f"stop-{request.node.callspec.id}", **spec)

    execution, seconds = _interfere(scene, machine, state, terminate=False)

    assert scene.account.execution(execution).error == "InstanceStoppedError"
    assert seconds < NOTICED
    assert machine.power == "stopped"
    assert "pending" not in [power for _, power in machine.power_log[-2:]]
    result = scene.result(machine)
    assert (result["powerBefore"], result["outcome"]) == (spec["power"], "failed")
    (message,) = scene.told(machine)
    assert "by somebody else" in message.said
    assert scene.lease(machine) is None


@pytest.mark.parametrize(("state", "spec"), IN_THE_MIDDLE)
def test_a_machine_that_somebody_terminates_in_the_middle_is_noticed_at_once(
    scene: Scenario, request: pytest.FixtureRequest, state: str, spec: dict[str, Any]
) -> None:
    machine = scene.machine(f"end-{request.node.callspec.id}", **spec)

    execution, seconds = _interfere(scene, machine, state, terminate=True)

    assert scene.account.execution(execution).error == "InstanceTerminatedError"
    assert seconds < NOTICED
    assert machine.power == "terminated"
    (message,) = scene.told(machine)
    assert "was terminated" in message.said
    assert scene.lease(machine) is None


@pytest.mark.parametrize("terminate", [False, True], ids=["stopped", "terminated"])
def test_a_machine_taken_away_while_it_is_imaged_is_not_patched(scene: Scenario, terminate: bool) -> None:
    machine = scene.machine(f"imaged-{terminate}")

    execution, _ = _interfere(scene, machine, "Back Up Before", terminate)

    expected = "InstanceTerminatedError" if terminate else "InstanceStoppedError"
    assert scene.account.execution(execution).error == expected
    assert scene.commands(machine) == []
    assert machine.power == ("terminated" if terminate else "stopped")
    assert len(scene.told(machine)) == 1
    assert scene.lease(machine) is None


@pytest.mark.parametrize(
    ("wrong", "killed", "status"),
    [
        pytest.param((), False, "SUCCEEDED", id="and-is-patched"),
        pytest.param(("image_fails",), False, "FAILED", id="and-is-not-imaged"),
        pytest.param((), True, "ABORTED", id="and-whose-execution-is-stopped"),
    ],
)
def test_a_machine_that_somebody_else_starts_meanwhile_is_not_stopped(
    scene: Scenario, request: pytest.FixtureRequest, wrong: tuple[str, ...], killed: bool, status: str
) -> None:
    machine = scene.machine(request.node.callspec.id, platform="Windows", power="stopped", wrong=wrong)
    execution = scene.start(machine)
    scene.run_until(execution, "Back Up Before", seconds=10)

    scene.account.client("ec2").start_instances(InstanceIds=[machine.instance_id])
    if killed:
        scene.run_until(execution, "Install Patches", seconds=30)
        scene.account.stop_execution(execution)
    scene.settle()

    assert scene.account.execution(execution).status == status
    assert [power for _, power in machine.power_log] == ["stopped", "pending", "running"]
    assert len(machine.missing) == (2 if wrong else 0)
    result = scene.result(machine)
    assert (result["powerBefore"], result["powerAfter"]) == ("stopped", "running")
    assert len(scene.told(machine)) == 1
    assert_given_back(scene, machine, "running")


def test_a_machine_that_somebody_stops_before_drydock_does_is_a_success(scene: Scenario) -> None:
    machine = scene.machine("stopped-first", power="stopped")
    execution = scene.start(machine)
    scene.run_until(execution, "What Is Left To Do?")

    scene.fleet.stop_behind_the_back(machine.instance_id)
    scene.settle()

    assert scene.account.execution(execution).status == "SUCCEEDED"
    assert machine.power == "stopped"
    assert scene.lease(machine) is None


def test_a_machine_that_is_stopping_when_its_turn_comes_is_waited_for_and_left_stopped(scene: Scenario) -> None:
    machine = scene.machine("stopping")
    scene.fleet.stop_behind_the_back(machine.instance_id)

    execution = scene.patch(machine)

    assert execution.status == "SUCCEEDED"
    assert machine.missing == []
    assert machine.power == "stopped"
    assert scene.result(machine)["powerBefore"] == "stopped"


def test_an_installation_that_somebody_cancels_is_judged_as_cancelled(scene: Scenario) -> None:
    machine = scene.machine("cancelled", wrong=("delivery_timeout:AWS-RunPatchBaseline",))
    execution = scene.start(machine, {"whenCompliant": "proceed"})
    scene.run_until(execution, "Install Patches", seconds=10)

    ssm = scene.account.client("ssm")
    (command,) = ssm.list_commands(InstanceId=machine.instance_id, MaxResults=1)["Commands"]
    ssm.cancel_command(CommandId=command["CommandId"])
    scene.settle()

    assert scene.account.execution(execution).error == "CommandCancelledError"
    assert machine.power == "running"
    assert len(scene.told(machine)) == 1
    assert scene.lease(machine) is None
