"""A reboot only where the machine itself says that it runs old code."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from rehearsal.world.patch_states import parse_patch
from tests.scenarios.machine.scenario import Scenario, assert_given_back

WHEN_NEEDED = {"reboot": "WhenNeeded", "backup": {"before": {"take": False}, "after": {"take": False}}}
KERNEL, LIBRARY, DATA = "kernel-6.1.90", "openssl-3.0.8", "tzdata-2026a"


@pytest.mark.parametrize(
    ("name", "spec", "boots"),
    [
        ("data-only", {"missing": (DATA,)}, 1),
        ("data-on-windows", {"platform": "Windows", "missing": ("KB2267602 DefinitionUpdates",)}, 1),
        ("services-restarted", {"missing": (LIBRARY, DATA), "restarts_services": True}, 1),
        ("library", {"missing": (LIBRARY,)}, 2),
        ("kernel", {"missing": (KERNEL,), "restarts_services": True}, 2),
        ("windows", {"platform": "Windows", "missing": ("KB5034439",)}, 2),
        ("cannot-be-told", {"missing": (DATA,), "wrong": ("reboot_cannot_be_told",)}, 2),
    ],
)
def test_a_machine_is_rebooted_only_for_code_that_is_old_or_when_it_cannot_tell(
    scene: Scenario, name: str, spec: dict[str, Any], boots: int
) -> None:
    machine = scene.machine(f"needed-{name}", **spec)

    execution = scene.patch(machine, WHEN_NEEDED)

    assert execution.status == "SUCCEEDED"
    assert (machine.boots, machine.runs_old_code) == (boots, False)
    result = scene.result(machine)
    assert (result["verdict"], result["rebooted"]) == ("compliant", boots == 2)
    assert scene.commands(machine).count("drydock-Reboot") == boots - 1
    assert_given_back(scene, machine, "running")


def test_where_no_reboot_is_needed_one_look_more_is_all_that_it_costs(scene: Scenario) -> None:
    plain = scene.machine("states-plain", missing=(DATA,))
    asked = scene.machine("states-asked", missing=(DATA,))
    always = scene.start(plain, {**WHEN_NEEDED, "reboot": "RebootIfNeeded"})
    needed = scene.start(asked, WHEN_NEEDED)
    scene.settle()

    assert len(scene.states(needed)) == len(scene.states(always)) + 1
    assert (plain.boots, asked.boots) == (2, 1)


def test_what_aws_counts_and_the_machine_does_not_need_does_not_make_work_again(scene: Scenario) -> None:
    machine = scene.machine("counted", missing=(DATA,))
    scene.patch(machine, WHEN_NEEDED)
    assert machine.pending_reboot, "AWS counts it until the next boot"
    scene.run_for(5)

    scene.patch(machine, WHEN_NEEDED)

    first, second = scene.results(machine)
    assert (first["patches"]["after"]["pendingReboot"], first["verdict"]) == (1, "compliant")
    assert (second["outcome"], second["patches"]["after"]["pendingReboot"]) == ("already_compliant", 1)
    assert machine.boots == 1


def test_a_machine_that_would_boot_its_old_kernel_again_is_not_rebooted_and_never_compliant(scene: Scenario) -> None:
    machine = scene.machine("pinned", missing=(KERNEL,), wrong=("boots_old_kernel",))

    scene.patch(machine, WHEN_NEEDED)

    result = scene.result(machine)
    assert (result["verdict"], machine.boots) == ("pending_reboot", 1)
    assert any("a reboot would not help: kernel" in problem for problem in result["problems"])


def test_a_machine_on_which_something_installs_is_not_rebooted_and_that_is_told(scene: Scenario) -> None:
    machine = scene.machine("refusing", missing=(KERNEL,), wrong=("refuses_to_reboot",))

    execution = scene.patch(machine, WHEN_NEEDED)

    result = scene.result(machine)
    assert (execution.status, result["verdict"], machine.boots) == ("SUCCEEDED", "pending_reboot", 1)
    assert any("refused" in problem for problem in result["problems"])
    assert_given_back(scene, machine, "running")


def test_hooks_health_and_proof_come_with_the_reboot_as_always(scene: Scenario) -> None:
    for name in ("leave-cluster", "check-packages", "join-cluster", "check-health"):
        scene.fleet.add_document(name)
    machine = scene.machine("hooked-when-needed", missing=(KERNEL,))
    hooks = {"preInstall": "leave-cluster", "postInstall": "check-packages", "onExit": "join-cluster"}

    execution = scene.patch(machine, {**WHEN_NEEDED, "hooks": hooks, "healthProbe": "check-health"})

    assert execution.status == "SUCCEEDED"
    assert scene.commands(machine) == [
        "drydock-Probe",
        "leave-cluster",
        "AWS-RunPatchBaseline",
        "check-packages",
        "drydock-Probe",
        "drydock-Reboot",
        "join-cluster",
        "drydock-Probe",
        "AWS-RunPatchBaseline",
        "check-health",
    ]
    assert (machine.boots, scene.result(machine)["verdict"]) == (2, "compliant")


def test_the_reboot_of_windows_update_is_the_same(scene: Scenario) -> None:
    machine = scene.machine("windows-update", platform="Windows", power="stopped", missing=("KB5034439",))

    scene.patch(machine, {**WHEN_NEEDED, "document": "AWS-InstallWindowsUpdates"})

    assert (machine.boots, scene.result(machine)["verdict"]) == (3, "compliant")
    assert_given_back(scene, machine, "stopped")


LATER = {**WHEN_NEEDED, "reboot": "Later"}


def test_a_reboot_that_is_put_off_is_owed_and_made_first_by_the_next_execution(scene: Scenario) -> None:
    machine = scene.machine("later", missing=(KERNEL,))

    scene.patch(machine, LATER)

    result = scene.result(machine)
    assert (result["outcome"], result["verdict"], machine.boots) == ("succeeded", "pending_reboot", 1)
    assert result["reboot"]["isOwed"] and "kernel" in result["reboot"]["reasons"][0]
    assert any("owes a reboot" in problem for problem in result["problems"])
    assert "DrydockRebootOwed" in scene.tags(machine)

    scene.run_for(5)
    execution = scene.start(machine, LATER)
    scene.settle()

    # It was not taken for compliant although nothing is missing.
    second = scene.results(machine)[1]
    assert (second["outcome"], second["verdict"], machine.boots) == ("succeeded", "compliant", 2)
    states = scene.states(execution)
    assert states.index("Finish Install Before") < states.index("Install Patches")
    assert not machine.runs_old_code and not second["reboot"]["isOwed"]
    assert "DrydockRebootOwed" not in scene.tags(machine)
    scene.run_for(5)

    scene.patch(machine, LATER)
    assert (scene.results(machine)[2]["outcome"], machine.boots) == ("already_compliant", 2)


def test_an_owed_reboot_comes_after_the_hook_that_drains_and_before_the_installation(scene: Scenario) -> None:
    scene.fleet.add_document("drain-first")
    machine = scene.machine("later-hooked", missing=(KERNEL,))
    scene.patch(machine, LATER)
    scene.run_for(5)
    before = len(scene.commands(machine))

    scene.patch(machine, {**LATER, "hooks": {"preInstall": "drain-first"}})

    assert scene.commands(machine)[before:][:5] == [
        "drydock-Probe",
        "drain-first",
        "drydock-Reboot",
        "drydock-Probe",
        "AWS-RunPatchBaseline",
    ]
    assert (machine.boots, scene.results(machine)[1]["verdict"]) == (2, "compliant")


@pytest.mark.parametrize("how", ["debt-of-before", "hook-before-install"])
def test_what_an_installation_that_dies_puts_off_is_owed_out_of_the_boot_in_which_it_began(
    scene: Scenario, how: str
) -> None:
    scene.fleet.add_document(how)
    machine = scene.machine(f"dies-after-{how}", missing=(KERNEL,))
    policy = LATER if how == "debt-of-before" else {**LATER, "hooks": {"preInstall": how}}
    if how == "debt-of-before":
        scene.patch(machine, policy)
        machine.missing = [*machine.pending]
        scene.run_for(5)
    execution = scene.start(machine, policy)
    if how == "hook-before-install":
        scene.run_until(execution, "Run Hook Before Install")
        machine.reboot_for_image()
    scene.run_until(execution, "Install Patches", 30)
    assert machine.boots == 2, "it runs in another boot than it was probed in at first"

    scene.account.stop_execution(execution)
    scene.settle()

    [history] = [item for item in scene.items() if item["sk"] == f"Install#{machine.instance_id}"]
    assert machine.runs_old_code and history["owedBoot"] == machine.boot_id
    assert "DrydockRebootOwed" in scene.tags(machine)
    assert any("owes a reboot" in problem for problem in scene.results(machine)[-1]["problems"])
    scene.run_for(5)
    execution = scene.start(machine, LATER)
    scene.settle()
    assert "Finish Install Before" in scene.states(execution)
    assert (machine.boots, machine.runs_old_code) == (3, False)
    assert "DrydockRebootOwed" not in scene.tags(machine)


@pytest.mark.parametrize("how", ["rebooted", "stopped-and-started"])
def test_who_boots_the_machine_in_between_has_paid(scene: Scenario, how: str) -> None:
    machine = scene.machine(f"later-{how}", missing=(KERNEL,))
    scene.patch(machine, LATER)
    if how == "rebooted":
        machine.reboot_for_image()
    else:
        machine.stop()
        scene.run_for(5)
        machine.start()
    scene.run_for(10)

    scene.patch(machine, LATER)

    second = scene.results(machine)[1]
    assert (second["outcome"], second["verdict"], machine.boots) == ("already_compliant", "compliant", 2)
    assert "DrydockRebootOwed" not in scene.tags(machine)
    assert not [item for item in scene.items() if "owedBoot" in item and machine.instance_id in item["sk"]]


def test_a_machine_that_was_found_stopped_owes_nothing_since_it_boots_anyway(scene: Scenario) -> None:
    machine = scene.machine("later-stopped", missing=(KERNEL,), power="stopped")

    scene.patch(machine, LATER)

    assert not scene.result(machine)["reboot"]["isOwed"]
    assert "DrydockRebootOwed" not in scene.tags(machine)


def test_a_policy_without_reboots_leaves_what_is_owed(scene: Scenario) -> None:
    machine = scene.machine("later-never", missing=(KERNEL,))
    scene.patch(machine, LATER)
    scene.run_for(5)

    scene.patch(machine, {**LATER, "reboot": "NoReboot"})

    second = scene.results(machine)[1]
    assert (second["verdict"], second["reboot"]["isOwed"], machine.boots) == ("pending_reboot", True, 1)
    assert "DrydockRebootOwed" in scene.tags(machine)


def test_a_machine_on_which_nothing_can_be_done_is_left_and_not_called_compliant(scene: Scenario) -> None:
    machine = scene.machine("pinned-again", missing=(KERNEL,), wrong=("boots_old_kernel",))
    scene.patch(machine, {**WHEN_NEEDED, "reboot": "RebootIfNeeded"})
    scene.run_for(5)

    scene.patch(machine, WHEN_NEEDED)

    second = scene.results(machine)[1]
    assert (second["outcome"], second["verdict"]) == ("already_compliant", "pending_reboot")
    assert any("would not help" in problem for problem in second["problems"])


@pytest.mark.parametrize("reboot", ["WhenNeeded", "Later", "RebootIfNeeded"])
def test_a_reboot_that_does_not_remove_its_reason_is_named_and_not_made_again_for_it(
    scene: Scenario, reboot: str
) -> None:
    machine = scene.machine(f"in-vain-{reboot.lower()}", missing=(KERNEL,), wrong=("stays_pending_reboot",))
    policy = {**WHEN_NEEDED, "reboot": reboot}
    boots = []

    for _ in range(4):
        scene.patch(machine, policy)
        boots.append(machine.boots)
        scene.run_for(5)

    *_, third, fourth = scene.results(machine)
    assert boots[-3:] == [2, 2, 2] and machine.boots == 2, boots
    for result in (third, fourth):
        assert (result["outcome"], result["verdict"]) == ("already_compliant", "pending_reboot")
        assert any("has not helped" in problem for problem in result["problems"])
        assert not result["reboot"]["isOwed"]
    assert "DrydockRebootOwed" not in scene.tags(machine)
    assert scene.commands(machine, "drydock-Reboot") == (["drydock-Reboot"] if reboot != "RebootIfNeeded" else [])


def test_what_is_installed_anew_is_a_new_reason_to_reboot(scene: Scenario) -> None:
    machine = scene.machine("in-vain-then-new", missing=(KERNEL,), wrong=("stays_pending_reboot",))
    for _ in range(2):
        scene.patch(machine, WHEN_NEEDED)
        scene.run_for(5)
    assert machine.boots == 2
    machine.missing = [*machine.pending]

    scene.patch(machine, WHEN_NEEDED)

    assert (machine.boots, scene.results(machine)[-1]["verdict"]) == (3, "pending_reboot")


@pytest.mark.parametrize("reboot", ["RebootIfNeeded", "NoReboot"])
def test_old_code_for_which_the_policy_makes_no_reboot_is_told_and_takes_nobody_out(
    scene: Scenario, reboot: str
) -> None:
    machine = scene.machine(f"by-hand-{reboot.lower()}", missing=())
    machine.software.install([parse_patch(LIBRARY, "Linux", date(2026, 1, 1))])

    execution = scene.start(machine, {**WHEN_NEEDED, "reboot": reboot})
    scene.settle()

    result = scene.result(machine)
    assert (result["outcome"], result["verdict"]) == ("already_compliant", "pending_reboot")
    assert any("policy.reboot" in problem and "openssl" in problem for problem in result["problems"])
    assert "Install Patches" not in scene.states(execution) and machine.boots == 1


def test_whose_policy_calls_a_pending_reboot_a_failure_is_not_left_with_one(scene: Scenario) -> None:
    machine = scene.machine("by-hand-failing", missing=())
    machine.software.install([parse_patch(LIBRARY, "Linux", date(2026, 1, 1))])

    execution = scene.patch(machine, {**WHEN_NEEDED, "reboot": "NoReboot", "failOn": ["pending_reboot"]})

    assert (execution.status, execution.error) == ("FAILED", "RebootPendingError")
