"""The sample inputs in `events/`, each carried out on machines such as it is meant for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rehearsal.play.group_monitor import GroupMonitor
from rehearsal.world.fleet import MachineSpec
from tests.scenarios.machine.scenario import MISSING, assert_given_back, assert_untouched
from tests.scenarios.run.scenario import RunScenario, assert_patched, run_scenario

EVENTS = Path(__file__).parents[3] / "events"
HOOKS = ("LeaveCluster", "CheckConfiguration", "JoinCluster", "CheckHealth")


@pytest.fixture
def scene() -> Iterator[RunScenario]:
    with run_scenario() as opened:
        yield opened


def sample(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return content


def start(scene: RunScenario, name: str) -> str:
    return scene.account.start_execution("MaintenanceRun", sample(name))


def test_a_patch_group_is_patched_one_machine_after_another_and_one_may_fail(scene: RunScenario) -> None:
    tags = {"Patch Group": "my-patch-group"}
    first = scene.machine("app-1", tags=tags)
    bad = scene.machine("app-2", tags=tags, wrong=("install_error",))
    last = scene.machine("app-3", tags=tags, power="stopped")
    other = scene.machine("other", tags={"Patch Group": "theirs"})

    run = scene.view(start(scene, "scheduled_patch_manager"), settle=True)

    assert run.outcomes == {"app-1": "succeeded", "app-2": "failed", "app-3": "succeeded"}
    assert run.most_in_work == 1
    assert (run.status, run.outcome) == ("FAILED", "failed")
    assert "app-2" in run.summary.said
    assert_patched(scene, first)
    assert_patched(scene, last, power="stopped")
    assert_given_back(scene, bad, "running")
    assert_untouched(scene, other)


def test_the_members_of_an_auto_scaling_group_are_patched_one_at_a_time(scene: RunScenario) -> None:
    members = [MachineSpec(name=f"shop-{number}", missing=MISSING["Linux"]) for number in (1, 2)]
    group = scene.fleet.add_group("my-auto-scaling-group", members, min=2)
    monitor = GroupMonitor(scene.account, group)

    run = scene.view(start(scene, "auto_scaling_group"), settle=True)

    monitor.check()
    assert (run.status, run.outcome) == ("SUCCEEDED", "succeeded")
    assert run.outcomes == {"shop-1": "succeeded", "shop-2": "succeeded"}
    assert_patched(scene, *[member.machine for member in group.members.values()])
    assert (group.min, group.desired) == (2, 2)


def test_agents_are_updated_and_nothing_else_is_done(scene: RunScenario) -> None:
    tags = {"WinUpdate": "ON"}
    machine = scene.machine("win-1", platform="Windows", tags=tags)
    without = scene.machine("win-2", platform="Windows", tags=tags, cloudwatch_agent_version="")
    versions = machine.agent.version, machine.cloudwatch_agent_version

    run = scene.view(start(scene, "update_agents"), settle=True)

    assert (run.status, run.outcome) == ("SUCCEEDED", "succeeded")
    assert run.outcomes == {"win-1": "succeeded", "win-2": "succeeded"}
    assert machine.agent.version > versions[0]
    assert machine.cloudwatch_agent_version > versions[1]
    assert len(machine.missing) == len(without.missing) == 2
    assert scene.images(machine) == []
    assert scene.snapshots(machine) == set()
    assert "patched" not in run.summary.said
    assert_given_back(scene, machine, "running")
    assert_given_back(scene, without, "running")


def test_hooks_run_before_and_after_patching_on_the_canary_first(scene: RunScenario) -> None:
    for document in HOOKS:
        scene.fleet.add_document(document)
    machines = [scene.machine(f"node-{number}", tags={"Patch Group": "cluster"}) for number in (1, 2)]

    run = scene.view(start(scene, "before_and_after_patching"), settle=True)

    assert run.outcome == "succeeded"
    assert run.waves == [["node-1"], ["node-2"]]
    assert run.began["node-2"] - run.ended["node-1"] >= timedelta(minutes=10)
    for machine in machines:
        ran = [document for document in scene.commands(machine) if document in HOOKS]
        assert sorted(ran) == sorted(HOOKS)
        assert ran[:2] == ["LeaveCluster", "CheckConfiguration"]
        hooks = scene.result(machine)["hooks"]
        assert set(hooks.values()) == {"ran"}
    assert_patched(scene, *machines)


def test_a_hook_that_fails_on_the_canary_keeps_the_other_machines_as_they_are(scene: RunScenario) -> None:
    for document in HOOKS:
        scene.fleet.add_document(document)
    tags = {"Patch Group": "cluster"}
    canary = scene.machine("node-1", tags=tags, wrong=("hook_fails:LeaveCluster",))
    other = scene.machine("node-2", tags=tags)

    run = scene.view(start(scene, "before_and_after_patching"), settle=True)

    assert run.outcomes == {"node-1": "failed", "node-2": "not_attempted"}
    assert len(canary.missing) == 2
    assert_given_back(scene, canary, "running")
    assert_untouched(scene, other)


@pytest.fixture
def windows(scene: RunScenario) -> RunScenario:
    """Two Windows machines that want Windows Update, one of them stopped, and one that does not."""
    scene.approvers("anna")
    scene.machine("win-on", platform="Windows", tags={"WinUpdate": "ON"})
    scene.machine("win-off", platform="Windows", power="stopped", tags={"WinUpdate": "ON"})
    scene.machine("win-not", platform="Windows", tags={"WinUpdate": "OFF"})
    return scene


def test_windows_update_runs_when_it_is_approved_with_images_and_a_stopped_machine_stays_stopped(
    windows: RunScenario,
) -> None:
    running, stopped, other = windows.fleet.machines
    arn = start(windows, "windows_update_with_approval")
    windows.run_until(arn, "Ask For Approval", seconds=300)
    (asked,) = windows.messages
    assert asked.topic == windows.stack.outputs["ApprovalsTopicArn"]
    assert_untouched(windows, running)

    windows.decide(windows.view(arn).run_id, reason="after hours")
    run = windows.view(arn, settle=True)

    assert (run.status, run.outcome) == ("SUCCEEDED", "succeeded")
    assert run.outcomes == {"win-off": "succeeded", "win-on": "succeeded"}
    assert "AWS-InstallWindowsUpdates" in windows.commands(running)
    assert [len(windows.images(machine)) for machine in (running, stopped)] == [2, 2]
    assert "Approved by" in run.summary.said
    assert sorted(message.attributes["kind"] for message in run.messages if message.topic != asked.topic) == [
        "machine",
        "machine",
        "run",
    ]
    assert_patched(windows, running)
    assert_patched(windows, stopped, power="stopped")
    assert_untouched(windows, other)


def test_whoever_is_asked_reads_in_the_mail_what_would_be_done_to_which_machines(windows: RunScenario) -> None:
    arn = start(windows, "windows_update_with_approval")
    windows.run_until(arn, "Ask For Approval", seconds=60)

    (asked,) = windows.messages
    assert "win-on" in asked.said
    assert "win-off" in asked.said
    assert "Install with AWS-InstallWindowsUpdates" in asked.said
    assert "Images: before patching, with a reboot; after patching" in asked.said
    assert "win-not" not in asked.said
    windows.settle()


@pytest.mark.parametrize(("decision", "outcome"), [("reject", "rejected"), ("", "not_answered")])
def test_windows_update_does_not_run_unless_it_is_approved_within_twenty_minutes(
    windows: RunScenario, decision: str, outcome: str
) -> None:
    arn = start(windows, "windows_update_with_approval")
    windows.run_until(arn, "Ask For Approval", seconds=300)
    asked = windows.account.clock.now()

    if decision:
        windows.decide(windows.view(arn).run_id, decision, reason="the shop is open")
    run = windows.view(arn, settle=True)

    assert (run.status, run.outcome) == ("FAILED", outcome)
    assert set(run.outcomes.values()) == {"not_attempted"}
    assert run.execution.stopped is not None
    waited = run.execution.stopped - asked
    assert waited < timedelta(minutes=1) if decision else timedelta(minutes=14) < waited < timedelta(minutes=17)
    assert len(run.summaries) == 1
    if decision:
        assert "the shop is open" in run.summary.said
    for machine in windows.fleet.machines:
        assert_untouched(windows, machine)
