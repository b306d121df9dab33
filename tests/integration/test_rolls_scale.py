"""Rolls through groups as large as AWS allows: histories, items and what states hand on stay far from the limits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from rehearsal.group_specs import Pace
from rehearsal.promises import MOST_EVENTS
from tests.integration.rolls import QUICKLY, RollScenario, assert_group_given_back, roll_scenario

MOST_MEMBERS = 500
MOST_ITEM = 400 * 1024
"""Bytes of an item of DynamoDB."""
MOST_DATA = 256 * 1024
"""Bytes that a state may hand on."""


@pytest.fixture(scope="module")
def scene() -> Iterator[RollScenario]:
    with roll_scenario() as opened:
        yield opened


def test_every_member_of_a_group_of_five_hundred_has_an_outcome(scene: RollScenario) -> None:
    group, monitor = scene.group("herd", MOST_MEMBERS, target_group=(), pace=Pace(health_check=3600))

    roll = scene.roll(group, {"gates": {"alarms": ["unheard-of"], "calendars": []}, "batch": 20})

    assert Counter(roll.outcomes.values()) == {"not_attempted": MOST_MEMBERS}
    assert monitor.outages == []
    assert len(roll.execution.events) < 100
    assert max(len(json.dumps(event)) for event in roll.execution.events) < MOST_DATA / 2
    assert len(json.dumps(roll.result, default=str)) < MOST_ITEM / 2
    assert "500 not attempted" in roll.summary.body
    assert "… and 480 more" in roll.summary.body


def test_a_roll_grows_so_slowly_with_its_members_that_five_hundred_fit(scene: RollScenario) -> None:
    many = 40
    # An excluded member has its turn like any other; only its patching is short.
    members = [{"tags": {"DrydockExclude": "calibrating"}} if number % 10 else {} for number in range(many)]
    group, monitor = scene.group("flock", members, batch=20, min=many, target_group=())

    arn = scene.start_roll(group, {**QUICKLY, "operation": "UpdateAgents", "batch": 20})
    largest = 0
    while scene.account.execution(arn).status == "RUNNING":
        scene.run_for(1)
        largest = max(largest, len(json.dumps(scene.group_lease(group), default=str)))
    scene.settle()

    roll = scene.view(arn)
    assert roll.status == "SUCCEEDED"
    assert Counter(roll.outcomes.values()) == {"succeeded": 4, "skipped": 36}
    assert monitor.most_out == 20
    monitor.check()
    assert_group_given_back(scene, group, sizes=(many, many, many + 2))
    assert len(roll.execution.events) < 100
    assert max(len(one.events) for one in scene.account.executions()) < MOST_EVENTS
    assert largest / many * MOST_MEMBERS < MOST_ITEM
