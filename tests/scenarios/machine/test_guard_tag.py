from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.faults.kinds import HEALTH, HOOKS
from tests.scenarios.machine.scenario import Scenario, assert_given_back, assert_untouched, scenario

GUARD = "MayBePatched"
GUARDED: dict[str, Any] = {"tags": {GUARD: "true"}}
WINDOWS: dict[str, Any] = {"platform": "Windows", "power": "stopped"}


def guarded_scenario() -> AbstractContextManager[Scenario]:
    return scenario(parameters={"GuardTagKey": GUARD})


def _take_tag_away(scene: Scenario, instance_id: str) -> None:
    scene.account.client("ec2").delete_tags(Resources=[instance_id], Tags=[{"Key": GUARD}])


def test_machines_that_opted_in_are_patched_as_ever() -> None:
    with guarded_scenario() as scene:
        for document in (*HOOKS.values(), HEALTH):
            scene.fleet.add_document(document)
        linux = scene.machine("linux", **GUARDED)
        windows = scene.machine("windows", **GUARDED, **WINDOWS)

        executions = [scene.start(linux, {"hooks": HOOKS, "healthProbe": HEALTH}), scene.start(windows)]
        scene.settle()

        assert [scene.account.execution(arn).status for arn in executions] == ["SUCCEEDED", "SUCCEEDED"]
        assert scene.account.permissions.denied == []
        assert scene.tags(linux)["DrydockState"] == scene.tags(windows)["DrydockState"] == "Completed"
        assert_given_back(scene, linux, "running")
        assert_given_back(scene, windows, "stopped")


def test_machines_that_did_not_opt_in_are_refused_before_anything_is_touched() -> None:
    with guarded_scenario() as scene:
        machines = [
            scene.machine("untagged"),
            scene.machine("untagged-windows", **WINDOWS),
            scene.machine("opted-out", tags={GUARD: "false"}),
        ]

        executions = [scene.start(machine) for machine in machines]
        scene.settle()

        for machine, arn in zip(machines, executions, strict=True):
            refused = scene.account.execution(arn)
            assert (refused.status, refused.error) == ("FAILED", "InstanceNotPatchableError")
            assert refused.cause and f"{GUARD} = true" in refused.cause
            assert scene.result(machine)["outcome"] == "refused"
            assert len(scene.told(machine)) == 1
            assert_untouched(scene, machine)
        assert scene.account.permissions.denied == []


def test_without_a_guard_tag_any_machine_may_be_patched() -> None:
    with scenario() as scene:
        web = scene.machine("web", tags={GUARD: "false"})

        assert scene.patch(web).status == "SUCCEEDED"


# What IAM refuses whatever the code believes: the tag goes after admission, before the state.
DENIALS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "Back Up Before": ("back_up", "ec2:CreateImage", {}),
    "Start Instance": ("start_instance", "ec2:StartInstances", WINDOWS),
    "Probe Instance Before": ("probe_instance", "ssm:SendCommand", {}),
    "Install Patches": ("install_patches", "ssm:SendCommand", {}),
    "Restore Power": ("restore_power", "ec2:StopInstances", WINDOWS),
}


@pytest.mark.parametrize("state", DENIALS)
def test_iam_denies_changes_to_a_machine_whose_tag_is_taken_away(state: str) -> None:
    function, action, spec = DENIALS[state]
    with guarded_scenario() as scene:
        machine = scene.machine(**GUARDED, **spec)
        execution = scene.start(machine)
        scene.run_until(execution, state)
        _take_tag_away(scene, machine.instance_id)

        scene.run_for(90)

        ended = scene.account.execution(execution)
        assert (ended.status, ended.error) == ("FAILED", "AwsCallFailedError")
        assert f"{function} may not {action} on " in str(scene.account.permissions.denied[0])
        assert f"instance/{machine.instance_id}" in scene.account.permissions.denied[0].resource
        assert len(scene.told(machine)) == 1


def test_a_machine_whose_tag_is_taken_away_while_it_runs_is_given_back_once_the_tag_is_there_again() -> None:
    with guarded_scenario() as scene:
        win = scene.machine("win", **GUARDED, **WINDOWS)
        execution = scene.start(win)
        scene.run_until(execution, "Install Patches", seconds=5)
        _take_tag_away(scene, win.instance_id)

        scene.run_for(8 * 60)
        assert win.power == "running"
        assert scene.lease(win)
        assert [message.attributes["outcome"] for message in scene.told(win)] == ["failed", "not_given_back"]

        scene.account.client("ec2").create_tags(Resources=[win.instance_id], Tags=[{"Key": GUARD, "Value": "true"}])
        scene.settle()

        assert_given_back(scene, win, "stopped")
        assert len(scene.told(win)) == 2
