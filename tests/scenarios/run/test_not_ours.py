"""Machines that are not ours to reboot: left out of a run, refused alone and as members, each with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rehearsal.world.fleet import Machine
from tests.scenarios.group.scenario import QUICKLY, RollScenario
from tests.scenarios.machine.scenario import assert_untouched
from tests.scenarios.run.group_runs import GroupRunScenario, group_run_scenario

NODE = {"eks:cluster-name": "shop", "eks:nodegroup-name": "workers", "kubernetes.io/cluster/shop": "owned"}

ALONE: dict[str, tuple[dict[str, Any], str, str]] = {
    "kubelet": ({"tags": NODE}, "ClusterNodeError", "give its node group a newer image"),
    "spark": ({"tags": {"aws:elasticmapreduce:job-flow-id": "j-7"}}, "ClusterNodeError", "EMR cluster (j-7)"),
    "autopilot": ({"operator": "eks.amazonaws.com"}, "InstanceManagedByServiceError", "eks.amazonaws.com"),
    "sleeper": ({"hibernated": True, "power": "stopped"}, "InstanceHibernatedError", "in memory"),
}
GROUPED: dict[str, tuple[dict[str, Any], str, str]] = {
    "spare": ({"lifecycle_state": "Warmed:Running"}, "MemberInReserveError", "the warm pool of group pool"),
    "relic": ({"lifecycle_state": "Terminating:Retained"}, "MemberInReserveError", "then terminate it"),
}


@pytest.fixture(scope="module")
def scene() -> Iterator[GroupRunScenario]:
    with group_run_scenario() as opened:
        yield opened


def test_a_run_leaves_them_out_each_with_what_to_do(scene: GroupRunScenario) -> None:
    machines: dict[str, Machine] = {}
    for name, (spec, _, _) in ALONE.items():
        given = {key: value for key, value in spec.items() if key != "tags"}
        machines[name] = scene.member("others", name, tags=spec.get("tags"), **given)
    tag = {"Patch Group": "others"}
    out_of_service = [{"name": name, "tags": tag, **spec} for name, (spec, _, _) in GROUPED.items()]
    pool, _ = scene.group("pool", out_of_service, min=0)
    containers, _ = scene.group("containers", [{"tags": tag}, {"tags": tag}], tags={"AmazonECSManaged": "true"})
    for member in containers.members.values():
        # As where the tag came to the group after they had been launched.
        scene.fleet.tags(member.machine.instance_id).pop("AmazonECSManaged")
    for group in (pool, containers):
        machines |= {member.machine.name: member.machine for member in group.members.values()}
    ours = scene.member("others", "ours")

    run = scene.run("others", QUICKLY)

    expected = {name: error for name, (_, error, _) in {**ALONE, **GROUPED}.items()}
    assert run.left_out == {**expected, "containers-1": "ClusterNodeError", "containers-2": "ClusterNodeError"}
    reasons = {left["name"]: left["reason"] for left in run.report["leftOut"]}
    for name, (_, _, words) in {**ALONE, **GROUPED}.items():
        assert words in reasons[name]
    assert "by its tag AmazonECSManaged" in reasons["containers-1"], "the group has it, its instances do not"
    assert run.outcomes == {"ours": "succeeded"}
    assert not ours.missing
    assert "4 nodes of clusters, which have to be drained first" in run.summary.said
    for machine in machines.values():
        assert_untouched(scene, machine)


@pytest.mark.parametrize("name", ALONE)
def test_alone_they_are_refused_by_the_same_errors(scene: GroupRunScenario, name: str) -> None:
    spec, error, words = ALONE[name]
    machine = scene.machine(f"{name}-alone", **spec)

    execution = scene.patch(machine)

    assert (execution.status, execution.error) == ("FAILED", error)
    assert words in str(execution.cause)
    (message,) = scene.told(machine)
    assert "Nothing was touched." in message.said
    assert_untouched(scene, machine)


def test_a_group_of_nodes_is_refused_by_name_when_somebody_rolls_through_it(scene: GroupRunScenario) -> None:
    group, _ = scene.group("workers", [{"tags": NODE}, {"tags": NODE}])

    arn = scene.start_roll(group, QUICKLY)
    scene.settle()
    roll = RollScenario.view(scene, arn)

    assert (roll.status, roll.error) == ("FAILED", "ClusterNodeError")
    assert "workers: i-" in str(roll.execution.cause) and "Kubernetes cluster (shop)" in str(roll.execution.cause)
    assert [change for change in group.log if change.what in ("size", "EnteringStandby")] == []
    for member in group.members.values():
        assert_untouched(scene, member.machine)


def test_nodes_are_scanned_where_they_serve(scene: GroupRunScenario) -> None:
    machine = scene.member("looked-at", "watched", tags=NODE)

    run = scene.run("looked-at", {"operation": "Scan"})

    assert run.outcomes == {"watched": "succeeded"}
    assert len(machine.missing) == 2
