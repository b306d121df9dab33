"""Updates of agents when something goes wrong around them, and in a run: each test in an account of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rehearsal.play.faults import KillFunction, LoseEvents
from rehearsal.world.ssm_documents import NEWEST_AGENT
from tests.scenarios.machine.scenario import assert_given_back, scenario
from tests.scenarios.run.scenario import run_scenario

SAMPLE = Path(__file__).parents[2] / "events" / "update_agents.json"
UPDATE = {"operation": "UpdateAgents"}
OLD = "3.2.985.0"
COMMANDS = ["drydock-Probe", "AWS-UpdateSSMAgent", "AWS-ConfigureAWSPackage", "drydock-Probe"]


def test_without_any_event_agents_are_updated_all_the_same_and_each_command_is_sent_once() -> None:
    with scenario() as scene:
        scene.given(LoseEvents())
        machine = scene.machine("deaf", agent_version=OLD, power="stopped")

        execution = scene.patch(machine, UPDATE)

        assert execution.status == "SUCCEEDED"
        assert scene.commands(machine) == COMMANDS
        assert (machine.agent.version, scene.result(machine)["verdict"]) == (NEWEST_AGENT, "updated")
        assert_given_back(scene, machine, "stopped")


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", range(1, 7))
def test_a_function_that_dies_in_an_update_is_carried_on_without_sending_a_command_twice(
    call: int, after_effect: bool
) -> None:
    with scenario() as scene:
        machine = scene.machine("dies", agent_version=OLD, power="stopped")
        (strikes,) = scene.given(KillFunction("update_agent", call, after_effect=after_effect))

        execution = scene.patch(machine, UPDATE)

        assert strikes.count == 1, "the function makes three calls for each agent"
        assert execution.status == "SUCCEEDED"
        assert scene.commands(machine) == COMMANDS
        assert_given_back(scene, machine, "stopped")


def test_a_run_updates_the_agents_of_its_machines_and_patches_none() -> None:
    with run_scenario() as scene:
        tags = {"WinUpdate": "ON"}
        machines = [
            scene.machine("web-1", agent_version=OLD, tags=tags),
            scene.machine("web-2", platform="Windows", power="stopped", tags=tags),
        ]
        sample = json.loads(SAMPLE.read_text())

        run = scene.run(**sample)

        assert (run.status, run.outcomes) == ("SUCCEEDED", {"web-1": "succeeded", "web-2": "succeeded"})
        assert run.most_in_work == 1
        assert run.plan["operation"] == "UpdateAgents"
        for machine in machines:
            assert (machine.agent.version, len(machine.missing)) == (NEWEST_AGENT, 2)
            assert scene.images(machine) == []
            assert_given_back(scene, machine, machine.spec.power)
        assert "patched" not in run.summary.body
