"""Two nights with `reboot: Later`: what the first one puts off, the second one makes first, as an installation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from rehearsal.world.fleet import Machine
from tests.scenarios.run.group_runs import GroupRunScenario, group_run_scenario
from tests.scenarios.run.scenario import QUICKLY, RunView

LATER = {**QUICKLY, "reboot": "Later", "maxConcurrency": 4, "canary": {"count": 1}}
KERNEL, DATA = "kernel-6.1.90", "tzdata-2026a"


class Nights(NamedTuple):
    scene: GroupRunScenario
    first: RunView
    second: RunView
    machines: dict[str, Machine]


@pytest.fixture(scope="module")
def nights() -> Iterator[Nights]:
    with group_run_scenario() as scene:
        group, _ = scene.tagged_group("shop", 2, min=1)
        alone = scene.member("shop", "alone", missing=(KERNEL,))
        data = scene.member("shop", "data", missing=(DATA,))
        for member in scene.fleet.machines:
            assert member.missing
        first = scene.run("shop", LATER, name="first")
        scene.run_for(24 * 60)
        assert [machine.boots for machine in scene.fleet.machines] == [1] * 4
        second = scene.run("shop", LATER, name="second")
        machines = {machine.name: machine for machine in scene.fleet.machines}
        assert {alone.name, data.name} < set(machines) and group.name == "shop"
        yield Nights(scene, first, second, machines)


def test_the_first_night_names_who_owes_a_reboot_and_why(nights: Nights) -> None:
    owed = {one["name"]: one["reasons"] for one in nights.first.report["owedReboots"]}

    assert "data" not in owed and len(owed) == 3
    assert owed["alone"] == ["kernel 6.1.100-1.amzn2023.x86_64 runs, 6.1.101-1.amzn2023.x86_64 is installed"]
    assert "These owe a reboot, which the next run makes first (3)" in nights.first.summary.body
    assert "alone" in nights.first.summary.body.partition("These owe a reboot")[2]


def test_the_plan_of_the_second_night_names_them_and_what_aws_shows(nights: Nights) -> None:
    warnings = "\n".join(nights.second.plan["warnings"])

    assert "3 machines owe a reboot for what an earlier run installed" in warnings
    assert "alone" in warnings.partition("owe a reboot")[2]
    assert "InstalledPendingReboot" in warnings
    assert "owe a reboot" not in "\n".join(nights.first.plan["warnings"])


def test_the_second_night_pays_within_the_canary_and_in_standby_and_nobody_owes_any_more(nights: Nights) -> None:
    outcomes = nights.second.outcomes

    assert outcomes.pop("data") == "already_compliant"
    assert set(outcomes.values()) == {"succeeded"}
    assert nights.second.report["owedReboots"] == []
    assert not any(machine.runs_old_code for machine in nights.machines.values())
    assert nights.machines["data"].boots == 1
    for child in nights.second.children:
        machine = next(one for one in nights.machines.values() if one.instance_id == child.input["instanceId"])
        states = nights.scene.states(child.arn)
        assert ("Finish Install Before" in states) is (machine.name != "data")
        if machine.spec.group:
            assert states.index("Await Standby") < states.index("Finish Install Before")


def test_who_owes_a_reboot_is_expected_to_take_longer(nights: Nights) -> None:
    [alone] = [one for one in nights.second.plan["machines"] if one["name"] == "alone"]
    took = (nights.first.ended["alone"] - nights.first.began["alone"]).total_seconds()

    assert alone["seconds"] == pytest.approx(took + 150, abs=2)
