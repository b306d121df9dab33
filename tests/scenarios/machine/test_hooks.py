from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.machine.scenario import Scenario, assert_given_back, assert_untouched

HOOKS = {"preInstall": "Leave-Cluster", "postInstall": "Check-Files", "onExit": "Join-Cluster"}
PROBE, SEARCH, BASELINE, UPDATE = (
    "drydock-Probe",
    "drydock-SearchWindowsUpdates",
    "AWS-RunPatchBaseline",
    "AWS-InstallWindowsUpdates",
)
ONLY = {"before": {"take": False}, "after": {"take": False}}
"""No images: they are not what these scenarios are about."""

MACHINES = [
    pytest.param({"platform": "Linux", "power": "running"}, id="linux-running"),
    pytest.param({"platform": "Windows", "power": "stopped"}, id="windows-stopped"),
]


@pytest.fixture(scope="module", autouse=True)
def _documents(scene: Scenario) -> None:
    for document in HOOKS.values():
        scene.fleet.add_document(document)
    scene.fleet.add_document("Only-Windows", platforms=("Windows",))
    scene.fleet.add_document("Only-Linux", platforms=("Linux",))
    scene.account.client("ssm").create_document(
        Name="A-Runbook",
        Content='{"schemaVersion": "0.3", "mainSteps": [{"name": "Wait", "action": "aws:sleep", "inputs": {}}]}',
        DocumentType="Automation",
        DocumentFormat="JSON",
    )


def _sent(scene: Scenario, machine: Any) -> list[str]:
    """The commands in order, with the operation and reboot of the baseline's."""
    sent = reversed(scene.fleet.run_command.list_visible(None, machine.instance_id))
    return [
        " ".join(
            [command.document.name]
            + [
                value
                for key, value in command.request["Parameters"].items()
                for value in value
                if key in ("Operation", "RebootOption", "AllowReboot")
            ]
        )
        for command in sent
    ]


@pytest.mark.parametrize("spec", MACHINES)
def test_hooks_run_around_an_installation_that_reboots_after_the_second(scene: Scenario, spec: dict[str, Any]) -> None:
    machine = scene.machine(f"all-{spec['platform']}", **spec)

    execution = scene.patch(machine, {"hooks": HOOKS, "backup": ONLY, "whenCompliant": "proceed"})

    assert execution.status == "SUCCEEDED"
    assert _sent(scene, machine) == [
        PROBE,
        f"{BASELINE} Scan",
        HOOKS["preInstall"],
        f"{BASELINE} Install NoReboot",
        HOOKS["postInstall"],
        f"{BASELINE} Install RebootIfNeeded",
        HOOKS["onExit"],
        PROBE,
        f"{BASELINE} Scan",
    ]
    result = scene.result(machine)
    assert result["hooks"] == {"preInstall": "ran", "postInstall": "ran", "onExit": "ran"}
    assert (result["verdict"], result["rebooted"]) == ("compliant", True)
    assert {f"Hook {hook}: ran" in scene.told(machine)[0].said for hook in HOOKS} == {True}
    assert_given_back(scene, machine, spec["power"])


def test_hooks_run_around_windows_update_too(scene: Scenario) -> None:
    machine = scene.machine("all-update", platform="Windows")

    execution = scene.patch(machine, {"document": UPDATE, "hooks": HOOKS, "backup": ONLY, "whenCompliant": "proceed"})

    assert execution.status == "SUCCEEDED"
    assert _sent(scene, machine) == [
        PROBE,
        SEARCH,
        HOOKS["preInstall"],
        f"{UPDATE} False",
        HOOKS["postInstall"],
        "drydock-Reboot",
        HOOKS["onExit"],
        PROBE,
        SEARCH,
    ]
    result = scene.result(machine)
    assert result["hooks"] == {"preInstall": "ran", "postInstall": "ran", "onExit": "ran"}
    assert (result["verdict"], result["rebooted"]) == ("compliant", True)
    assert (machine.missing, machine.pending_reboot) == ([], False)
    assert_given_back(scene, machine, "running")


@pytest.mark.parametrize("document", [BASELINE, UPDATE])
def test_without_reboot_the_hooks_run_and_the_patches_wait_for_one(scene: Scenario, document: str) -> None:
    machine = scene.machine(f"no-reboot-{document}", platform="Windows")

    execution = scene.patch(machine, {"document": document, "reboot": "NoReboot", "hooks": HOOKS, "backup": ONLY})

    assert execution.status == "SUCCEEDED"
    result = scene.result(machine)
    assert result["hooks"] == {"preInstall": "ran", "postInstall": "ran", "onExit": "ran"}
    assert (result["verdict"], result["rebooted"]) == ("pending_reboot", False)
    assert (machine.boots, machine.pending_reboot) == (1, True)
    assert_given_back(scene, machine, "running")


@pytest.mark.parametrize("spec", MACHINES)
@pytest.mark.parametrize(
    ("missing", "pending", "outcomes", "boots"),
    [
        pytest.param((), False, ("not_needed", "not_needed", "ran"), 0, id="nothing-to-do"),
        pytest.param((), True, ("ran", "ran", "ran"), 1, id="only-a-reboot"),
    ],
)
def test_hooks_around_an_installation_are_not_needed_when_there_is_nothing_to_do(
    scene: Scenario,
    request: pytest.FixtureRequest,
    missing: tuple[str, ...],
    pending: bool,
    outcomes: tuple[str, ...],
    boots: int,
    spec: dict[str, Any],
) -> None:
    name = f"nothing-{request.node.callspec.id}"
    machine = scene.machine(name, missing=missing, pending_reboot=pending, **{**spec, "power": "running"})

    execution = scene.patch(machine, {"hooks": HOOKS, "backup": ONLY, "whenCompliant": "proceed"})

    assert execution.status == "SUCCEEDED"
    assert tuple(scene.result(machine)["hooks"][hook] for hook in HOOKS) == outcomes
    assert (f"{BASELINE} Install NoReboot" in _sent(scene, machine)) == (outcomes[0] == "ran")
    assert machine.boots == 1 + boots
    assert_given_back(scene, machine, "running")


@pytest.mark.parametrize("hook", list(HOOKS))
def test_a_single_hook_runs_alone(scene: Scenario, hook: str) -> None:
    machine = scene.machine(f"single-{hook}")

    execution = scene.patch(machine, {"hooks": {hook: HOOKS[hook]}, "backup": ONLY})

    assert execution.status == "SUCCEEDED"
    assert scene.result(machine)["hooks"] == {hook: "ran"}
    assert scene.commands(machine).count(HOOKS[hook]) == 1
    assert (machine.missing, machine.pending_reboot) == ([], False)
    assert_given_back(scene, machine, "running")


@pytest.mark.parametrize("spec", MACHINES)
@pytest.mark.parametrize(
    ("hook", "outcomes", "installed", "verdict"),
    [
        ("preInstall", ("failed", "failed", "ran"), False, "not_patched"),
        ("postInstall", ("ran", "failed", "ran"), True, "pending_reboot"),
        ("onExit", ("ran", "ran", "failed"), True, "compliant"),
    ],
)
def test_a_hook_that_fails_fails_the_flow_and_the_hook_on_exit_runs_all_the_same(
    scene: Scenario, hook: str, outcomes: tuple[str, ...], installed: bool, verdict: str, spec: dict[str, Any]
) -> None:
    machine = scene.machine(f"fails-{hook}-{spec['platform']}", wrong=(f"hook_fails:{hook}",), **spec)

    execution = scene.patch(machine, {"hooks": HOOKS, "backup": ONLY, "whenCompliant": "proceed"})

    assert (execution.status, execution.error) == ("FAILED", "HookFailedError")
    assert tuple(scene.result(machine)["hooks"][name] for name in HOOKS) == outcomes
    assert scene.result(machine)["verdict"] == verdict
    assert scene.commands(machine).count(HOOKS["onExit"]) == 1
    assert (machine.missing == []) == installed
    (message,) = scene.told(machine)
    assert f"the hook {hook} ({HOOKS[hook]}" in message.said
    assert f"Hook {hook}: failed" in message.said
    assert_given_back(scene, machine, spec["power"])


@pytest.mark.parametrize("spec", MACHINES)
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ("install_error", "PatchingFailedError"),
        ("delivery_timeout:AWS-RunPatchBaseline", "CommandNotDeliveredError"),
        ("never_ends", "CommandTimedOutError"),
    ],
)
def test_the_hook_on_exit_runs_after_a_failed_installation(
    scene: Scenario, request: pytest.FixtureRequest, wrong: str, error: str, spec: dict[str, Any]
) -> None:
    machine = scene.machine(f"exit-{request.node.callspec.id}", wrong=(wrong,), **spec)

    policy = {"hooks": {"onExit": HOOKS["onExit"]}, "backup": ONLY, "whenCompliant": "proceed"}
    execution = scene.patch(machine, policy)

    assert (execution.status, execution.error) == ("FAILED", error)
    assert scene.result(machine)["hooks"] == {"onExit": "ran"}
    commands = scene.commands(machine)
    assert commands.index(HOOKS["onExit"]) > commands.index(BASELINE)
    assert_given_back(scene, machine, spec["power"])


def test_the_hook_on_exit_runs_after_a_look_that_failed(scene: Scenario) -> None:
    machine = scene.machine("look-fails", wrong=(f"delivery_timeout:{BASELINE}",))

    execution = scene.patch(machine, {"hooks": {"onExit": HOOKS["onExit"]}, "backup": ONLY})

    assert (execution.status, execution.error) == ("FAILED", "CommandNotDeliveredError")
    assert scene.commands(machine) == [HOOKS["onExit"]]
    assert scene.result(machine)["verdict"] == "not_patched"
    assert_given_back(scene, machine, "running")


def test_no_hook_runs_on_a_machine_that_was_never_reached(scene: Scenario) -> None:
    machine = scene.machine("never-reached", power="stopped", wrong=("agent_never_online",))

    execution = scene.patch(machine, {"hooks": HOOKS, "backup": ONLY, "deadlines": {"startSeconds": 600}})

    assert execution.error == "AgentUnreachableError"
    assert scene.result(machine)["hooks"] == dict.fromkeys(HOOKS, "failed")
    assert scene.commands(machine) == []
    assert_given_back(scene, machine, "stopped")


@pytest.mark.parametrize(
    ("policy", "mistakes"),
    [
        pytest.param(
            {"hooks": {"preInstall": "No-Such", "onExit": "None-Such"}, "healthProbe": "Nor-This"},
            ["No-Such: does not exist", "None-Such: does not exist", "Nor-This: does not exist"],
            id="missing",
        ),
        pytest.param(
            {"hooks": {"postInstall": "Only-Windows"}}, ["Only-Windows: is for Windows, not for Linux"], id="platform"
        ),
        pytest.param({"hooks": {"onExit": "A-Runbook"}}, ["A-Runbook: its type is Automation"], id="type"),
    ],
)
def test_a_document_that_cannot_run_is_found_before_anything_is_touched(
    scene: Scenario, request: pytest.FixtureRequest, policy: dict[str, Any], mistakes: list[str]
) -> None:
    machine = scene.machine(f"document-{request.node.callspec.id}")

    execution = scene.patch(machine, policy)

    assert (execution.status, execution.error) == ("FAILED", "DocumentError")
    (message,) = scene.told(machine)
    assert [mistake for mistake in mistakes if mistake not in message.said] == []
    assert_untouched(scene, machine)


def test_a_linux_document_is_refused_on_windows(scene: Scenario) -> None:
    machine = scene.machine("document-windows", platform="Windows", power="stopped")

    execution = scene.patch(machine, {"hooks": {"preInstall": "Only-Linux"}})

    assert execution.error == "DocumentError"
    assert_untouched(scene, machine)
