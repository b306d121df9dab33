"""Rolls through groups as large as AWS allows: histories, items and what states hand on stay far from the limits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from rehearsal.proof.promises import MOST_EVENTS
from rehearsal.world.group_specs import Pace
from tests.scenarios.group.scenario import QUICKLY, RollScenario, assert_group_given_back, roll_scenario

MOST_MEMBERS = 500
MOST_ITEM = 400 * 1024
"""Bytes of an item of DynamoDB."""
MOST_DATA = 256 * 1024
"""Bytes that a state may hand on."""


@pytest.fixture(scope="module")
def scene() -> Iterator[RollScenario]:
    with roll_scenario() as opened:
        yield opened


@pytest.mark.prove
def test_every_member_of_a_group_of_five_hundred_has_an_outcome(scene: RollScenario) -> None:
    # An excluded member has its turn like any other, and does not leave service.
    members = [{"tags": {"DrydockExclude": "calibrating"}} if number % 100 else {} for number in range(MOST_MEMBERS)]
    group, monitor = scene.group("herd", members, batch=20, target_group=(), pace=Pace(health_check=3600))

    roll = scene.roll(group, {**QUICKLY, "batch": 20})

    assert Counter(roll.outcomes.values()) == {"skipped": 495, "succeeded": 5}
    assert len(monitor.outages) == 5
    assert max(len(one.events) for one in scene.account.executions()) < MOST_EVENTS
    assert max(len(json.dumps(event)) for event in roll.execution.events) < MOST_DATA / 2
    assert len(json.dumps(roll.result, default=str)) < MOST_ITEM
    assert "5 patched, 495 skipped" in roll.summary.body
    assert "… and 480 more" in roll.summary.body
    monitor.check()


def test_a_roll_grows_so_slowly_with_its_members_that_five_hundred_fit(scene: RollScenario) -> None:
    many = 20
    group, monitor = scene.group("flock", many, batch=10, min=many, target_group=())

    arn = scene.start_roll(group, {**QUICKLY, "operation": "UpdateAgents", "batch": 10})
    largest = 0
    while scene.account.execution(arn).status == "RUNNING":
        scene.run_for(1)
        largest = max(largest, len(json.dumps(scene.group_lease(group), default=str)))
    scene.settle()

    roll = scene.view(arn)
    assert roll.status == "SUCCEEDED"
    assert Counter(roll.outcomes.values()) == {"succeeded": many}
    assert monitor.most_out == 10
    monitor.check()
    assert_group_given_back(scene, group, sizes=(many, many, many + 2))
    assert len(roll.execution.events) < 100
    assert max(len(one.events) for one in scene.account.executions()) < MOST_EVENTS
    assert largest / many * MOST_MEMBERS < MOST_ITEM
