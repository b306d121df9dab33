"""What functions write to their one log group."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scenarios.run.scenario import QUICKLY, RunScenario, run_scenario

OF_THE_RUN = {"plan_run", "ask_for_approval", "check_gates", "summarise_run"}
"""The functions whose states are about no single machine."""


@pytest.fixture
def scene() -> Iterator[RunScenario]:
    with run_scenario() as opened:
        yield opened


def _lines(scene: RunScenario) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line that Drydock wrote, and the function that wrote it."""
    for function, _, text in scene.account.functions.logs:
        for line in text.splitlines():
            yield function, json.loads(line)


def test_every_line_of_a_run_names_function_run_execution_and_instance(scene: RunScenario) -> None:
    machines = {machine.instance_id for machine in scene.machines("web", 2)}
    run = scene.run("web", QUICKLY)

    assert {(function, line["function"]) for function, line in _lines(scene)} == {
        (function, f"drydock-{function}") for function, _ in _lines(scene)
    }
    steps = [(function, line) for function, line in _lines(scene) if line["message"] == "step begun"]
    assert {"plan_run", "admit_machine", "install_patches", "summarise_run"} <= {function for function, _ in steps}
    assert {line["instance"] for _, line in steps if "instance" in line} == machines
    for function, line in steps:
        assert line["run"] == run.run_id, line
        assert line["execution"]
        assert ("instance" in line) == (function not in OF_THE_RUN), line


def test_what_failed_on_a_machine_is_found_by_its_id(scene: RunScenario) -> None:
    machine, *_ = scene.machines("web", 1, wrong=("image_fails",))
    scene.run("web")

    found = [line for _, line in _lines(scene) if line.get("instance") == machine.instance_id]
    assert "ImageFailedError" in {line.get("error") for line in found}
