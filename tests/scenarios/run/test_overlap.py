"""Runs that overlap: no machine is in work twice, and none is done twice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.proved import proved
from tests.scenarios.run.scenario import (
    QUICKLY,
    RunScenario,
    assert_commands_never_overlap,
    assert_patched,
    let_a_month_pass,
    run_scenario,
)


@pytest.fixture(scope="module")
def scene() -> Iterator[RunScenario]:
    with run_scenario() as opened:
        yield opened


def installations(scene: RunScenario, *names: str) -> list[int]:
    """How many installations each machine was sent."""
    machines = {machine.name: machine for machine in scene.fleet.machines}
    return [
        sum(
            command.parameters.get("Operation") == "Install"
            for command in scene.fleet.run_command.list_visible(None, machines[name].instance_id)
        )
        for name in names
    ]


@pytest.mark.parametrize("minutes", [0, 20, proved(1), proved(40)], ids=lambda minutes: f"{minutes}-minutes-later")
def test_two_runs_over_one_fleet_do_every_machine_once(scene: RunScenario, minutes: int) -> None:
    group = f"both-{minutes}"
    machines = scene.machines(group, 5)
    first = scene.start_run(group, {**QUICKLY, "maxConcurrency": 2})
    if minutes:
        scene.run_for(minutes=minutes)

    second = scene.start_run(group, {**QUICKLY, "maxConcurrency": 2})
    scene.settle()

    runs = [scene.view(first), scene.view(second)]
    assert [run.status for run in runs] == ["SUCCEEDED", "SUCCEEDED"]
    assert installations(scene, *(machine.name for machine in machines)) == [1] * 5
    assert sum(run.report["counts"]["succeeded"] for run in runs) == 5
    assert {run.report["counts"]["failed"] for run in runs} == {0}
    assert [len(run.summaries) for run in runs] == [1, 1]
    left = {**runs[1].left_out, **runs[1].errors, **runs[0].errors}
    assert set(left.values()) <= {"InstanceBusyError", "InstanceDoneError"}
    assert_patched(scene, *machines)
    assert_commands_never_overlap(scene, *machines)


@pytest.mark.parametrize("seed", [0, proved(1), proved(2)])
def test_however_runs_and_people_overlap_no_machine_is_in_work_twice_nor_done_twice(
    scene: RunScenario, seed: int
) -> None:
    chance = random.Random(seed)
    group = f"many-{seed}"
    machines = scene.machines(group, 6)
    arns = []
    for _ in range(4):
        arns.append(scene.start_run(group, {**QUICKLY, "maxConcurrency": chance.choice([1, 2, 6])}))
        scene.run_for(minutes=chance.choice([0.01, 0.1, 1, 2, 4]))
    scene.settle()

    runs = [scene.view(arn) for arn in arns]
    assert installations(scene, *(machine.name for machine in machines)) == [1] * 6
    assert sum(run.report["counts"]["succeeded"] for run in runs) == 6
    assert {run.report["counts"]["failed"] for run in runs} == {0}
    assert_patched(scene, *machines)
    assert_commands_never_overlap(scene, *machines)


def test_what_a_run_before_has_done_is_done_again_by_one_that_begins_later(scene: RunScenario) -> None:
    machines = scene.machines("again", 2)
    scene.run("again", QUICKLY)
    let_a_month_pass(*machines)
    scene.run_for(minutes=1)

    run = scene.run("again", QUICKLY)

    assert run.outcomes == {"again-1": "succeeded", "again-2": "succeeded"}
    assert_patched(scene, *machines)


def test_a_scan_that_overlaps_an_installation_is_another_thing_and_is_done(scene: RunScenario) -> None:
    machines = scene.machines("mixed", 2)
    install = scene.start_run("mixed", QUICKLY)
    # The first is done for more than the two minutes within which two runs of AWS-RunPatchBaseline collide.
    scene.run_for(minutes=22)

    scan = scene.start_run("mixed", operations=["Scan"])
    scene.settle()

    assert scene.view(install).outcome == "succeeded"
    assert scene.view(scan).outcomes == {"mixed-1": "succeeded"}
    assert scene.view(scan).left_out == {"mixed-2": "InstanceBusyError"}
    assert_commands_never_overlap(scene, *machines)


def test_a_plan_that_waited_for_approval_does_not_do_again_what_was_done_meanwhile(scene: RunScenario) -> None:
    scene.approvers("anna")
    machines = scene.machines("waited", 2)
    arn = scene.start_run("waited", {**QUICKLY, "approval": {"required": True, "seconds": 7200}})
    scene.run_until(arn, "Ask For Approval", seconds=60)
    scene.start(machines[0], QUICKLY)
    scene.run_for(minutes=40)

    scene.decide(scene.view(arn).run_id)
    run = scene.view(arn, settle=True)

    assert run.outcomes == {"waited-1": "skipped", "waited-2": "succeeded"}
    assert run.errors == {"waited-1": "InstanceDoneError"}
    assert installations(scene, "waited-1", "waited-2") == [1, 1]
    assert run.execution.stopped is not None
    assert run.execution.stopped - run.execution.started < timedelta(hours=2)
