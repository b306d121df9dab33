from __future__ import annotations

import json
import os
import random
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from rehearsal.play.faults import LoseEvents, Moment, StopExecution
from rehearsal.world.fleet import Machine
from tests.faults.kinds import (
    ILL,
    KINDS,
    STOPPED,
    UPDATED,
    Kind,
    account_with_hooks,
    add,
    assert_is_given_back,
    clean_run,
)
from tests.scenarios.machine.scenario import Scenario, assert_given_back, scenario

FLOW = Path(__file__).parents[2] / "statemachines" / "patch_instance.asl.yaml"
LASTING = [
    name for name, state in yaml.safe_load(FLOW.read_text())["States"].items() if state["Type"] in ("Task", "Wait")
]
"""The states that take time: in the others nobody can stop an execution."""

INSTANTS = {"at once": 0.0, "in the function": 0.12, "later in the function": 0.31}
"""When an execution is stopped, in seconds after it entered the state; a function makes a call every 0.05 s."""

SEED = int(os.environ.get("KILL_SEED") or random.randrange(1_000_000))
"""Another one each time, unless the environment names it."""


@pytest.mark.parametrize("events", ["delivered", "lost"])
@pytest.mark.parametrize("state", LASTING)
def test_an_execution_stopped_in_a_state_gives_its_machine_back_and_is_told_of_once(state: str, events: str) -> None:
    # There is one account at a time.
    clean_run(UPDATED)
    clean_run(ILL)
    with account_with_hooks() as scene:
        if events == "lost":
            scene.given(LoseEvents())
        started = [
            (kind, add(scene, kind, f"{kind.name} {instant}"), INSTANTS[instant])
            for kind, instant in _choose_kills(state, events)
        ]
        stops = scene.given(*(StopExecution(machine.name, Moment(after, state)) for _, machine, after in started))
        executions = [scene.start(machine, kind.policy) for kind, machine, _ in started]

        scene.settle()

        assert any(strikes.count for strikes in stops)
        for (kind, machine, _), execution, strikes in zip(started, executions, stops, strict=True):
            assert scene.account.execution(execution).status == ("ABORTED" if strikes.count else clean_run(kind).status)
            assert_is_given_back(scene, kind, machine)
            _assert_done_at_most_once(scene, kind, machine)
            _assert_told_of_once(scene, kind, machine, is_lost=events == "lost")


def _choose_kills(state: str, events: str) -> list[tuple[Kind, str]]:
    """In the function with the stopped machine if it comes there; and, with events, one more by chance."""
    kinds = sorted(
        (kind for kind in (*KINDS, UPDATED, ILL) if state in clean_run(kind).states), key=lambda kind: kind != STOPPED
    )
    assert kinds, f"no kind of machine comes through {state}"
    usual = (kinds[0], "in the function")
    if events == "lost":
        return [usual]
    sys.stdout.write(f"KILL_SEED={SEED}\n")
    others = [(kind, instant) for kind in kinds for instant in INSTANTS if (kind, instant) != usual]
    return [usual, random.Random(f"{SEED} {state}").choice(others)]


def _assert_done_at_most_once(scene: Scenario, kind: Kind, machine: Machine) -> None:
    """What was done is the beginning of what is done in a clean run."""
    commands = tuple(scene.commands(machine))
    assert commands == clean_run(kind).commands[: len(commands)], machine.name
    images = scene.images(machine)
    assert len(images) <= clean_run(kind).images, machine.name
    assert all(image.state == "available" for image in images), machine.name


def _assert_told_of_once(scene: Scenario, kind: Kind, machine: Machine, *, is_lost: bool) -> None:
    """People heard once, and message, tag and result agree with each other."""
    told, results = scene.told(machine), scene.results(machine)
    assert len(told) <= 1, machine.name
    assert len(results) <= 1, machine.name
    tag = scene.tags(machine).get("DrydockState")
    if results and results[0]["outcome"] == "succeeded":
        # Without the event nobody hears that the execution was stopped after all had gone well.
        assert told or is_lost, machine.name
        assert tag == (None if results[0]["operation"] == "UpdateAgents" else "Completed"), machine.name
        assert not any("was not patched well" in message.body for message in told), machine.name
        return
    # Without event and lease nothing is left of an execution that was stopped before it had a lease.
    assert told or (is_lost and not results), machine.name
    assert tag is None, machine.name
    if results:
        assert results[0]["failure"]["error"] in ("Rehearsal.Stopped", clean_run(kind).error), machine.name


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
        assert "It was stopped before; Drydock gives it back as soon as that is safe." in message.body


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
