"""No power is cut before the machine itself says that nothing installs, whatever the status of a command says."""

from __future__ import annotations

from typing import Any

import pytest

from rehearsal.world.fleet import Durations, Machine
from tests.proved import proved
from tests.scenarios.machine.scenario import Scenario, assert_given_back

HOOK = "OnExit"

POLICY: dict[str, Any] = {"backup": {"before": {"take": False}, "after": {"take": True}}, "hooks": {"onExit": HOOK}}

LINUX = ("AWS-RunPatchBaseline", "Linux")
WINDOWS = ("AWS-RunPatchBaseline", "Windows")
WINDOWS_UPDATE = ("AWS-InstallWindowsUpdates", "Windows")
CANCELLED = ("cancel", "CommandCancelledError")
TIMED_OUT = ("timeout", "CommandTimedOutError")


@pytest.fixture(scope="module", autouse=True)
def _hook(scene: Scenario) -> None:
    scene.fleet.add_document(HOOK)


def _name(request: pytest.FixtureRequest) -> str:
    return f"{request.node.originalname[5:40]}-{request.node.callspec.id}"


def _patch_until(scene: Scenario, machine: Machine, document: str) -> str:
    """Begin, and come to where the installation has been at work for half a minute."""
    execution = scene.start(machine, {**POLICY, "document": document})
    scene.run_until(execution, "Install Patches", seconds=30)
    return execution


def _cancel(scene: Scenario, machine: Machine) -> None:
    """Somebody cancels the command that is at work."""
    ssm = scene.account.client("ssm")
    (command,) = ssm.list_commands(InstanceId=machine.instance_id, MaxResults=1)["Commands"]
    ssm.cancel_command(CommandId=command["CommandId"])


def _installs(machine: Machine) -> bool:
    return any(job.installs for job in machine.jobs)


@pytest.mark.parametrize(
    ("document", "platform", "end", "error", "killed"),
    [
        (*LINUX, *CANCELLED, True),
        (*LINUX, *TIMED_OUT, False),
        (*WINDOWS, *CANCELLED, False),
        (*WINDOWS_UPDATE, *TIMED_OUT, True),
        proved(*LINUX, *CANCELLED, False),
        proved(*LINUX, *TIMED_OUT, True),
        proved(*WINDOWS, *CANCELLED, True),
        proved(*WINDOWS, *TIMED_OUT, False),
        proved(*WINDOWS, *TIMED_OUT, True),
        proved(*WINDOWS_UPDATE, *CANCELLED, False),
        proved(*WINDOWS_UPDATE, *CANCELLED, True),
        proved(*WINDOWS_UPDATE, *TIMED_OUT, False),
    ],
)
def test_a_machine_keeps_its_power_until_what_outlived_its_command_is_done(
    scene: Scenario, request: pytest.FixtureRequest, end: str, error: str, killed: bool, document: str, platform: str
) -> None:
    machine = scene.machine(
        _name(request),
        platform=platform,
        power="stopped",
        wrong=(f"outlives_{end}",),
        durations=Durations(install=5400 if end == "timeout" else 1500),
    )
    execution = _patch_until(scene, machine, document)
    if end == "cancel":
        _cancel(scene, machine)
    else:
        scene.run_for(minutes=61)
    if killed:
        scene.run_for(minutes=1)
        scene.account.stop_execution(execution)
    scene.run_for(minutes=15)
    assert _installs(machine)
    assert machine.power == "running"
    assert scene.commands(machine, HOOK) == []
    assert scene.lease(machine) is not None

    scene.settle()

    assert scene.account.execution(execution).error == (None if killed else error)
    assert machine.missing == []
    assert len(scene.told(machine)) == 1
    assert (machine.power, scene.lease(machine)) == ("stopped", None)
    # The reboot of what outlived its command may have cut a probe short.
    assert machine.interrupted_installs == []


def test_an_installation_that_a_person_has_stopped_is_proved_to_be_over(scene: Scenario) -> None:
    machine = scene.machine("really-cancelled", power="stopped")
    execution = _patch_until(scene, machine, "AWS-RunPatchBaseline")

    _cancel(scene, machine)
    scene.settle()

    assert scene.account.execution(execution).error == "CommandCancelledError"
    assert len(machine.missing) == 2
    probes = scene.commands(machine, "Probe")
    assert len(probes) == 2, "one before the installation, one that settles it"
    states = scene.states(execution)
    assert states.index("Settle Commands") < states.index("Run Hook On Exit") < states.index("Restore Power")
    assert_given_back(scene, machine, "stopped")


def test_a_silent_agent_proves_nothing(scene: Scenario) -> None:
    machine = scene.machine(
        "silent", power="stopped", wrong=("outlives_cancel",), durations=Durations(install=5.5 * 3600)
    )
    execution = _patch_until(scene, machine, "AWS-RunPatchBaseline")
    _cancel(scene, machine)
    machine.agent.disconnect()

    scene.run_for(minutes=5 * 60)

    view = scene.account.execution(execution)
    assert (view.status, view.error) == ("FAILED", "CommandCancelledError")
    assert machine.power == "running"
    lease = scene.lease(machine)
    assert lease is not None and lease["phase"] == "RESTORING"
    sent = len(scene.commands(machine, "Probe"))
    assert sent <= 2, "one before, and one at most until Systems Manager knew that the agent is silent"

    machine.agent.connect()
    scene.settle()

    assert len(scene.commands(machine, "Probe")) > sent
    assert_given_back(scene, machine, "stopped")


def test_at_the_limit_people_are_told_what_installs_still_and_a_sweep_gives_the_machine_back_once_it_is_proved(
    scene: Scenario,
) -> None:
    machine = scene.machine(
        "limit", power="stopped", wrong=("outlives_cancel",), durations=Durations(install=8.5 * 3600)
    )
    _patch_until(scene, machine, "AWS-RunPatchBaseline")
    _cancel(scene, machine)

    scene.run_for(minutes=4 * 60 + 20)
    assert machine.power == "running" and _installs(machine)
    assert scene.lease(machine) is not None
    failed, not_given_back = scene.told(machine)
    assert (failed.attributes["outcome"], not_given_back.attributes["outcome"]) == ("failed", "not_given_back")
    assert f"limit ({machine.instance_id}) could not be given back yet" in not_given_back.said
    assert "holds /var/lib/rpm/.rpm.lock" in not_given_back.said
    assert "Do not stop, reboot or restore the machine while something installs" in not_given_back.said

    scene.settle()

    assert machine.missing == []
    assert_given_back(scene, machine, "stopped")


@pytest.mark.prove
def test_people_are_told_each_day_what_keeps_a_machine_whose_flow_was_stopped(scene: Scenario) -> None:
    machine = scene.machine("days", power="stopped", wrong=("outlives_cancel",), durations=Durations(install=30 * 3600))
    execution = _patch_until(scene, machine, "AWS-RunPatchBaseline")
    _cancel(scene, machine)
    scene.account.stop_execution(execution)

    scene.run_for(minutes=29 * 60)

    stopped, *days = scene.told(machine)
    assert stopped.attributes["outcome"] == "failed"
    assert [message.attributes["outcome"] for message in days] == ["not_given_back"] * 2
    assert all("holds /var/lib/rpm/.rpm.lock" in message.said for message in days)
    scene.settle()
    assert_given_back(scene, machine, "stopped")
