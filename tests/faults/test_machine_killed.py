from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.faults.kinds import (
    STOPPED,
    account_with_hooks,
    add,
)
from tests.scenarios.machine.scenario import Scenario, assert_given_back, scenario


@pytest.mark.parametrize("platform", ["Linux", "Windows"])
@pytest.mark.parametrize("power", ["running", "stopped"])
def test_nothing_is_powered_off_under_an_installation_whose_execution_is_stopped(platform: str, power: str) -> None:
    with scenario() as scene:
        machine = scene.machine(platform=platform, power=power)
        execution = scene.start(machine)
        scene.run_until(execution, "Install Patches", seconds=120)

        scene.account.stop_execution(execution)
        scene.run_for(5)

        assert machine.power == "running"
        assert scene.lease(machine)

        scene.settle()

        assert machine.missing == []
        assert_given_back(scene, machine, power)
        assert scene.commands(machine) == ["drydock-Probe", "AWS-RunPatchBaseline"]
        result = scene.result(machine)
        assert (result["outcome"], result["verdict"]) == ("failed", "unknown")
        assert result["failure"] == {"error": "ABORTED", "cause": "the execution ended as ABORTED"}
        assert (result["powerBefore"], result["powerAfter"]) == (power, power)
        assert len(scene.told(machine)) == 1


def test_nothing_is_powered_off_under_an_installation_whose_execution_times_out() -> None:
    with scenario() as scene:
        _limit_executions(scene, timedelta(minutes=15))
        win = scene.machine(platform="Windows", power="stopped")

        execution = scene.patch(win)

        assert execution.status == "TIMED_OUT"
        assert scene.states(execution.arn)[-1] == "Install Patches"
        assert win.missing == []
        assert_given_back(scene, win, "stopped")
        result = scene.result(win)
        assert (result["outcome"], result["verdict"]) == ("failed", "unknown")
        assert "TIMED_OUT" in result["failure"]["cause"] or "Timeout" in result["failure"]["error"]
        (message,) = scene.told(win)
        assert "It was stopped before; Drydock gives it back as soon as that is safe." in message.said


def test_a_command_that_has_not_begun_is_cancelled_when_its_execution_is_stopped() -> None:
    with scenario() as scene:
        win = scene.machine(platform="Windows", power="stopped", wrong=("delivery_timeout:AWS-RunPatchBaseline",))
        execution = scene.start(win)
        scene.run_until(execution, "Install Patches", seconds=60)

        scene.account.stop_execution(execution)
        scene.run_for(10)

        assert scene.account.calls.counts["give_back", "ssm", "CancelCommand"] == 1
        assert_given_back(scene, win, "stopped")
        assert len(scene.told(win)) == 1


@pytest.mark.parametrize("what", ["stopped", "terminated"])
def test_a_machine_that_somebody_took_away_after_the_kill_is_left_so(what: str) -> None:
    with scenario() as scene:
        web = scene.machine()
        execution = scene.start(web)
        scene.run_until(execution, "Back Up Before", seconds=10)
        scene.account.stop_execution(execution)

        if what == "stopped":
            scene.fleet.stop_behind_the_back(web.instance_id)
        else:
            scene.fleet.terminate_behind_the_back(web.instance_id)
        scene.settle()

        assert_given_back(scene, web, what)
        assert scene.account.calls.counts["give_back", "ec2", "StartInstances"] == 0
        result = scene.result(web)
        assert (result["outcome"], result["powerBefore"], result["powerAfter"]) == ("failed", "running", what)
        assert len(scene.told(web)) == 1


def test_a_machine_that_drydock_started_and_somebody_stopped_is_not_stopped_again() -> None:
    with scenario() as scene:
        win = scene.machine(platform="Windows", power="stopped")
        execution = scene.start(win)
        scene.run_until(execution, "Wait Until Reachable", seconds=5)
        scene.account.stop_execution(execution)

        scene.fleet.stop_behind_the_back(win.instance_id)
        scene.settle()

        assert_given_back(scene, win, "stopped")
        assert scene.account.calls.counts["give_back", "ec2", "StopInstances"] == 0


def test_a_machine_killed_while_it_stops_is_not_asked_to_stop_again() -> None:
    with account_with_hooks() as scene:
        win = add(scene, STOPPED)
        execution = scene.start(win)
        scene.run_until(execution, "Restore Power", seconds=10)

        scene.account.stop_execution(execution)
        scene.settle()

        assert_given_back(scene, win, "stopped")
        assert [state for _, state in win.power_log].count("stopping") == 1
        assert scene.result(win)["verdict"] == "unknown"


def _limit_executions(scene: Scenario, limit: timedelta) -> None:
    """Somebody gives the state machine a shorter time-out."""
    client = scene.account.client("stepfunctions")
    machine = scene.stack.resource("PatchInstance")
    definition = json.loads(client.describe_state_machine(stateMachineArn=machine)["definition"])
    definition["TimeoutSeconds"] = int(limit.total_seconds())
    client.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))
