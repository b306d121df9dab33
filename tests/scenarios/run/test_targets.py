"""Which machines a run is about: the grammar of Run Command's targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from rehearsal.world.fleet import MachineSpec
from tests.scenarios.machine.scenario import MISSING, assert_untouched
from tests.scenarios.run.scenario import QUICKLY, RunScenario, RunView, run_scenario


@pytest.fixture(scope="module")
def scene() -> Iterator[RunScenario]:
    with run_scenario() as opened:
        yield opened


def plan(scene: RunScenario, *targets: Mapping[str, Any]) -> RunView:
    """Only plan, for these targets."""
    return scene.run(targets, planOnly=True)


def condition(key: str, *values: str) -> Mapping[str, Sequence[str] | str]:
    return {"key": key, "values": list(values)}


def test_a_run_touches_the_machines_with_the_tag_and_no_others(scene: RunScenario) -> None:
    wanted = scene.machine("tag-1", tags={"Role": "front"})
    other = scene.machine("tag-2", tags={"Role": "Front"})
    without = scene.machine("tag-3")

    run = scene.run([condition("tag:Role", "front")], QUICKLY)

    assert run.outcomes == {"tag-1": "succeeded"}
    assert wanted.missing == []
    assert_untouched(scene, other)
    assert_untouched(scene, without)


def test_one_of_several_values_is_enough(scene: RunScenario) -> None:
    for value in ("a", "b", "c"):
        scene.machine(f"value-{value}", tags={"Shelf": value})

    run = plan(scene, condition("tag:Shelf", "a", "c"))

    assert run.planned == ["value-a", "value-c"]


def test_several_conditions_have_to_hold_together(scene: RunScenario) -> None:
    scene.machine("and-1", tags={"Tier": "web", "Stage": "live"})
    scene.machine("and-2", tags={"Tier": "web", "Stage": "test"})
    scene.machine("and-3", tags={"Tier": "db", "Stage": "live"})

    run = plan(scene, condition("tag:Tier", "web"), condition("tag:Stage", "live"))

    assert run.planned == ["and-1"]


def test_a_tag_key_is_enough_whatever_its_value(scene: RunScenario) -> None:
    scene.machine("key-1", tags={"Nightly": ""})
    scene.machine("key-2", tags={"Nightly": "no"})
    scene.machine("key-3", tags={"nightly": "yes"})

    run = plan(scene, condition("tag-key", "Nightly"))

    assert run.planned == ["key-1", "key-2"]


def test_a_star_in_a_value_is_a_star(scene: RunScenario) -> None:
    scene.machine("star-1", tags={"Glob": "web*"})
    scene.machine("star-2", tags={"Glob": "web-2"})

    run = plan(scene, condition("tag:Glob", "web*"))

    assert run.planned == ["star-1"]


def test_ids_that_nobody_knows_and_hybrid_nodes_are_left_out_and_the_others_are_planned(scene: RunScenario) -> None:
    known = scene.machine("id-1")

    run = plan(
        scene, condition("InstanceIds", known.instance_id, "i-0123456789abcdef0", "mi-0123456789abcdef0", "i-deadbeef")
    )

    assert run.planned == ["id-1"]
    assert run.left_out == {
        "i-0123456789abcdef0": "InstanceNotFoundError",
        "i-deadbeef": "InstanceNotFoundError",
        "mi-0123456789abcdef0": "InstanceNotPatchableError",
    }
    reasons = {left["instanceId"]: left["reason"] for left in run.plan["leftOut"]}
    assert "is a hybrid node, not an EC2 instance" in reasons["mi-0123456789abcdef0"]


def test_a_resource_group_means_its_instances(scene: RunScenario) -> None:
    scene.machine("rg-1", tags={"Service": "shop"})
    scene.machine("rg-2", tags={"Service": "shop"})
    scene.machine("rg-3", tags={"Service": "blog"})
    scene.fleet.add_resource_group("shop", tags={"Service": "shop"})

    by_name = plan(scene, condition("resource-groups:Name", "shop"))
    by_type = plan(
        scene,
        condition("resource-groups:Name", "shop"),
        condition("resource-groups:ResourceTypeFilters", "AWS::EC2::Instance"),
    )

    assert by_name.planned == ["rg-1", "rg-2"]
    assert by_type.planned == ["rg-1", "rg-2"]


def test_the_members_of_an_auto_scaling_group_are_found_by_its_name_and_rolled_through(scene: RunScenario) -> None:
    members = [MachineSpec(name=f"asg-{number}", missing=MISSING["Linux"]) for number in (1, 2)]
    scene.fleet.add_group("shop-asg", members, min=1)

    run = scene.run([condition("tag:aws:autoscaling:groupName", "shop-asg")], QUICKLY)

    assert run.outcome == "succeeded"
    assert run.outcomes == {"asg-1": "succeeded", "asg-2": "succeeded"}
    assert {machine["groupName"] for machine in run.report["machines"]} == {"shop-asg"}


def test_hundreds_of_machines_are_found_page_by_page(scene: RunScenario) -> None:
    scene.machines("page", 230, missing=())

    run = plan(scene, condition("tag:Patch Group", "page"))

    assert len(run.planned) == 230
    assert f"a plan for {230} machines was made and nothing was touched" in run.summary.said
