from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.machine.scenario import Scenario, assert_given_back

MACHINES = {
    "linux-running": {"platform": "Linux", "power": "running"},
    "linux-stopped": {"platform": "Linux", "power": "stopped"},
    "windows-running": {"platform": "Windows", "power": "running"},
    "windows-stopped": {"platform": "Windows", "power": "stopped"},
}
TWO_MACHINES = {name: MACHINES[name] for name in ("linux-running", "windows-stopped")}


def _each(machines: dict[str, dict[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("spec", list(machines.values()), ids=list(machines))


@_each(MACHINES)
def test_a_machine_is_patched_between_two_images_and_given_back_as_it_was(
    scene: Scenario, spec: dict[str, Any]
) -> None:
    machine = scene.machine("-".join(spec.values()), **spec)
    wanted = [patch.name for patch in machine.missing]

    execution = scene.patch(machine)

    assert execution.status == "SUCCEEDED"
    assert machine.missing == []
    assert not machine.pending_reboot
    assert wanted == [patch.name for patch in machine.installed][-2:]
    result = scene.result(machine)
    assert (result["outcome"], result["verdict"], result["rebooted"]) == ("succeeded", "compliant", True)
    assert (result["powerBefore"], result["powerAfter"]) == (spec["power"], spec["power"])
    assert [(image.state, image.machine_state) for image in scene.images(machine)] == [("available", spec["power"])] * 2
    assert [message.attributes["outcome"] for message in scene.told(machine)] == ["succeeded"]
    assert_given_back(scene, machine, spec["power"])


@_each(TWO_MACHINES)
def test_a_machine_that_misses_nothing_is_compliant_and_not_rebooted_by_patching(
    scene: Scenario, spec: dict[str, Any]
) -> None:
    machine = scene.machine(f"nothing-{spec['platform']}", missing=(), **spec)

    execution = scene.patch(machine)

    assert execution.status == "SUCCEEDED"
    result = scene.result(machine)
    assert (result["verdict"], result["rebooted"]) == ("compliant", False)
    assert result["patches"]["installed"] == []
    assert_given_back(scene, machine, spec["power"])


@_each(TWO_MACHINES)
@pytest.mark.parametrize(
    ("wrong", "verdict", "error"),
    [
        pytest.param("install_error", "failed", "PatchingFailedError", id="the-installation-fails"),
        pytest.param("success_but_missing", "still_missing", "PatchesStillMissingError", id="success-yet-missing"),
        pytest.param("stale_patch_state", "unknown", "VerdictUnknownError", id="the-scan-reports-nothing"),
        pytest.param("scan_fails", "unknown", "VerdictUnknownError", id="the-scan-fails"),
    ],
)
def test_a_verdict_that_the_policy_minds_fails_the_flow_and_the_machine_is_given_back(
    scene: Scenario, spec: dict[str, Any], wrong: str, verdict: str, error: str
) -> None:
    machine = scene.machine(f"{wrong}-{spec['platform']}", wrong=(wrong,), **spec)

    execution = scene.patch(machine)

    assert (execution.status, execution.error) == ("FAILED", error)
    result = scene.result(machine)
    assert (result["outcome"], result["verdict"], result["failure"]["error"]) == ("failed", verdict, error)
    assert ["_UpdateBefore_" in image.name for image in scene.images(machine)] == [True]
    (message,) = scene.told(machine)
    assert (message.attributes["outcome"], error in message.said) == ("failed", True)
    assert_given_back(scene, machine, spec["power"])


@_each(TWO_MACHINES)
@pytest.mark.parametrize(
    ("wrong", "verdict"),
    [
        pytest.param("failed_after_reboot", "patched_reported_failed", id="failure-reported-after-a-good-reboot"),
        pytest.param("stays_pending_reboot", "pending_reboot", id="a-reboot-stays-pending"),
    ],
)
def test_a_verdict_that_the_policy_does_not_mind_is_a_success(
    scene: Scenario, spec: dict[str, Any], wrong: str, verdict: str
) -> None:
    machine = scene.machine(f"{wrong}-{spec['platform']}", wrong=(wrong,), **spec)

    execution = scene.patch(machine)

    assert execution.status == "SUCCEEDED"
    assert machine.missing == []
    result = scene.result(machine)
    assert (result["outcome"], result["verdict"], result["failure"]) == ("succeeded", verdict, None)
    assert [image.state for image in scene.images(machine)] == ["available", "available"]
    assert [message.attributes["outcome"] for message in scene.told(machine)] == ["succeeded"]
    assert_given_back(scene, machine, spec["power"])


@pytest.mark.parametrize(
    ("wrong", "verdict", "error"),
    [
        ("failed_after_reboot", "patched_reported_failed", "PatchingReportedFailedError"),
        ("stays_pending_reboot", "pending_reboot", "RebootPendingError"),
    ],
)
def test_a_policy_may_mind_a_verdict_that_others_do_not(scene: Scenario, wrong: str, verdict: str, error: str) -> None:
    machine = scene.machine(f"minded-{wrong}", wrong=(wrong,))

    execution = scene.patch(machine, {"failOn": [verdict]})

    assert (execution.status, execution.error) == ("FAILED", error)
    assert scene.result(machine)["verdict"] == verdict
    assert_given_back(scene, machine, "running")


@pytest.mark.parametrize(
    ("wrong", "verdict"),
    [("install_error", "failed"), ("success_but_missing", "still_missing"), ("scan_fails", "unknown")],
)
def test_a_policy_may_mind_no_verdict_at_all(scene: Scenario, wrong: str, verdict: str) -> None:
    machine = scene.machine(f"unminded-{wrong}", wrong=(wrong,))

    execution = scene.patch(machine, {"failOn": []})

    assert execution.status == "SUCCEEDED"
    assert scene.result(machine)["verdict"] == verdict
    assert_given_back(scene, machine, "running")


def test_without_reboot_the_patches_wait_for_one(scene: Scenario) -> None:
    machine = scene.machine("no-reboot")

    execution = scene.patch(machine, {"reboot": "NoReboot", "backup": {"before": {"reboot": False}}})

    assert execution.status == "SUCCEEDED"
    assert machine.boots == 1
    assert (machine.missing, machine.pending_reboot) == ([], True)
    result = scene.result(machine)
    assert (result["verdict"], result["rebooted"]) == ("pending_reboot", False)
    assert_given_back(scene, machine, "running")


def test_a_reboot_that_was_pending_before_is_done_with_the_patches(scene: Scenario) -> None:
    machine = scene.machine("was-pending", pending_reboot=True)

    execution = scene.patch(machine, {"backup": {"before": {"take": False}, "after": {"take": False}}})

    assert execution.status == "SUCCEEDED"
    assert not machine.pending_reboot
    assert scene.result(machine)["verdict"] == "compliant"


@pytest.mark.parametrize("hours", [-9, 7], ids=["slow", "fast"])
def test_a_machine_whose_clock_is_wrong_by_hours_is_judged_all_the_same(scene: Scenario, hours: int) -> None:
    good = scene.machine(f"clock-{hours}", clock_skew_seconds=hours * 3600)
    bad = scene.machine(f"clock-{hours}-stale", clock_skew_seconds=hours * 3600, wrong=("stale_patch_state",))
    executions = [scene.start(machine) for machine in (good, bad)]

    scene.settle()

    assert [scene.account.execution(arn).status for arn in executions] == ["SUCCEEDED", "FAILED"]
    assert [scene.result(machine)["verdict"] for machine in (good, bad)] == ["compliant", "unknown"]
    for machine in (good, bad):
        assert_given_back(scene, machine, "running")


UPDATES = (
    "KB5034001 Critical SecurityUpdates 2025-12-01",
    "KB5034002 Low Drivers 2025-12-01",
    "KB5034003 Unspecified UpdateRollups 2025-12-01",
    "KB5034004 Important SecurityUpdates 2026-01-10",
)


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        pytest.param({}, ["KB5034003"], id="the-four-severities"),
        pytest.param({"severityLevels": ["Critical"]}, ["KB5034002", "KB5034003", "KB5034004"], id="severities"),
        pytest.param({"severityLevels": []}, [], id="any-severity"),
        pytest.param({"categories": ["SecurityUpdates"]}, ["KB5034002", "KB5034003"], id="categories"),
        pytest.param({"includeKbs": ["KB5034002"]}, ["KB5034001", "KB5034003", "KB5034004"], id="included"),
        pytest.param({"excludeKbs": ["KB5034001", "5034002"]}, ["KB5034001", "KB5034002", "KB5034003"], id="excluded"),
        pytest.param({"publishedDaysOld": 14}, ["KB5034003", "KB5034004"], id="old-enough"),
    ],
)
def test_windows_update_installs_and_judges_what_passes_the_filters(
    scene: Scenario, request: pytest.FixtureRequest, filters: dict[str, Any], left: list[str]
) -> None:
    name = request.node.callspec.id
    machine = scene.machine(name, platform="Windows", power="stopped", missing=UPDATES)

    execution = scene.patch(machine, {"document": "AWS-InstallWindowsUpdates", "windowsUpdate": filters})

    assert execution.status == "SUCCEEDED"
    assert [update.name for update in machine.missing] == left
    result = scene.result(machine)
    assert (result["verdict"], result["rebooted"]) == ("compliant", True)
    assert result["patches"]["after"]["missing"] == 0
    assert "AWS-RunPatchBaseline" not in scene.commands(machine)
    assert_given_back(scene, machine, "stopped")


@pytest.mark.parametrize(
    ("wrong", "status", "verdict"),
    [
        ("install_error", "FAILED", "failed"),
        ("success_but_missing", "FAILED", "still_missing"),
        ("scan_fails", "FAILED", "unknown"),
        ("stale_patch_state", "FAILED", "unknown"),
        ("failed_after_reboot", "SUCCEEDED", "patched_reported_failed"),
        ("stays_pending_reboot", "SUCCEEDED", "pending_reboot"),
    ],
)
def test_windows_update_is_judged_by_a_search_and_not_by_its_report(
    scene: Scenario, wrong: str, status: str, verdict: str
) -> None:
    machine = scene.machine(f"update-{wrong}", platform="Windows", wrong=(wrong,))

    execution = scene.patch(machine, {"document": "AWS-InstallWindowsUpdates"})

    assert (execution.status, scene.result(machine)["verdict"]) == (status, verdict)
    assert len(scene.told(machine)) == 1
    assert_given_back(scene, machine, "running")


def test_a_search_that_fails_is_minded_only_where_the_policy_minds_what_is_unknown(scene: Scenario) -> None:
    machine = scene.machine("update-unminded", platform="Windows", wrong=("scan_fails",))

    execution = scene.patch(machine, {"document": "AWS-InstallWindowsUpdates", "failOn": ["failed"]})

    assert (execution.status, scene.result(machine)["verdict"]) == ("SUCCEEDED", "unknown")
    assert_given_back(scene, machine, "running")


def test_windows_update_without_reboot_leaves_the_reboot_pending(scene: Scenario) -> None:
    machine = scene.machine("update-no-reboot", platform="Windows")
    policy = {"document": "AWS-InstallWindowsUpdates", "reboot": "NoReboot", "backup": {"before": {"reboot": False}}}

    execution = scene.patch(machine, policy)

    assert execution.status == "SUCCEEDED"
    assert (machine.boots, machine.pending_reboot) == (1, True)
    assert scene.result(machine)["verdict"] == "pending_reboot"
    assert_given_back(scene, machine, "running")
