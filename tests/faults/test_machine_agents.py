"""Updates of agents when something goes wrong around them, and in a run: each test in an account of its own."""

from __future__ import annotations

import json
from pathlib import Path

from rehearsal.world.ssm_documents import NEWEST_AGENT
from tests.scenarios.machine.scenario import assert_given_back
from tests.scenarios.run.scenario import run_scenario

SAMPLE = Path(__file__).parents[2] / "events" / "update_agents.json"
OLD = "3.2.985.0"


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
        assert "patched" not in run.summary.said
