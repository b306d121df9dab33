from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.machine.scenario import Scenario, assert_given_back, assert_untouched

NO_DOCUMENTS = {"preInstall": "No-Such", "postInstall": "No-Such", "onExit": "No-Such"}


@pytest.mark.parametrize(
    ("platform", "document", "command"),
    [
        ("Linux", "AWS-RunPatchBaseline", "AWS-RunPatchBaseline"),
        ("Windows", "AWS-RunPatchBaseline", "AWS-RunPatchBaseline"),
        ("Windows", "AWS-InstallWindowsUpdates", "drydock-SearchWindowsUpdates"),
    ],
)
def test_a_scan_only_looks_and_does_not_fail_on_missing_patches(
    scene: Scenario, platform: str, document: str, command: str
) -> None:
    machine = scene.machine(f"{document}-{platform}", platform=platform, tags={"DrydockState": "Parked"})

    execution = scene.patch(machine, {"operation": "Scan", "document": document, "hooks": NO_DOCUMENTS})

    assert execution.status == "SUCCEEDED"
    result = scene.result(machine)
    assert (result["outcome"], result["verdict"], result["failure"]) == ("succeeded", "scanned", None)
    assert (result["patches"]["after"]["missing"], result["hooks"]) == (2, {})
    assert scene.commands(machine) == ["drydock-Probe", command]
    assert len(machine.missing) == 2
    assert (machine.boots, len(machine.power_log)) == (1, 1)
    assert scene.images(machine) == []
    assert scene.tags(machine) == {"Name": machine.name, "DrydockState": "Parked"}
    (message,) = scene.told(machine)
    assert "was scanned: 2 patches are missing" in message.said
    assert "2 now" in message.said
    assert_given_back(scene, machine, "running")


def test_a_scan_of_a_stopped_machine_is_refused(scene: Scenario) -> None:
    machine = scene.machine("stopped", power="stopped")

    execution = scene.patch(machine, {"operation": "Scan"})

    assert (execution.status, execution.error) == ("FAILED", "InstanceNotRunningError")
    (message,) = scene.told(machine)
    assert "policy.startForScan" in message.said
    assert scene.result(machine)["outcome"] == "refused"
    assert_untouched(scene, machine)


@pytest.mark.parametrize("platform", ["Linux", "Windows"])
def test_a_policy_may_start_a_stopped_machine_for_a_scan_and_it_is_stopped_again(
    scene: Scenario, platform: str
) -> None:
    machine = scene.machine(f"started-{platform}", platform=platform, power="stopped")

    execution = scene.patch(machine, {"operation": "Scan", "startForScan": True})

    assert execution.status == "SUCCEEDED"
    result = scene.result(machine)
    assert (result["verdict"], result["patches"]["after"]["missing"]) == ("scanned", 2)
    assert [state for _, state in machine.power_log] == ["stopped", "pending", "running", "stopping", "stopped"]
    assert machine.boots == 2
    assert scene.images(machine) == []
    assert_given_back(scene, machine, "stopped")


@pytest.mark.parametrize(
    ("wrong", "policy"),
    [
        ("scan_fails", {}),
        ("stale_patch_state", {}),
        ("scan_fails", {"document": "AWS-InstallWindowsUpdates"}),
    ],
)
def test_a_scan_that_tells_nothing_is_not_a_success(
    scene: Scenario, request: pytest.FixtureRequest, wrong: str, policy: dict[str, Any]
) -> None:
    machine = scene.machine(f"blind-{request.node.callspec.id}", platform="Windows", wrong=(wrong,))

    execution = scene.patch(machine, {"operation": "Scan", **policy})

    assert execution.status == "FAILED"
    assert scene.result(machine)["outcome"] == "failed"
    assert len(scene.told(machine)) == 1
    assert_given_back(scene, machine, "running")


def test_a_scan_sees_a_reboot_that_is_pending_and_leaves_it(scene: Scenario) -> None:
    machine = scene.machine("pending", missing=(), pending_reboot=True)

    execution = scene.patch(machine, {"operation": "Scan"})

    assert execution.status == "SUCCEEDED"
    assert scene.result(machine)["patches"]["after"]["pendingReboot"] == 1
    assert machine.pending_reboot
    assert_given_back(scene, machine, "running")
