"""Rolls through groups as large as AWS allows: histories, items and what states hand on stay far from the limits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.engine.calls import Call, Interception
from rehearsal.proof.promises import MOST_EVENTS
from rehearsal.world.group_specs import Pace
from tests.scenarios.group.scenario import QUICKLY, RollScenario, assert_group_given_back, roll_scenario

MOST_MEMBERS = 500
MOST_OF_GROUP = 300_000
"""Bytes of a group's lease or result, of the 400 KB of an item: the rest is for what no test has thought of."""
MOST_DATA = 256 * 1024
"""Bytes that a state may hand on."""


def refuse_tags(call: Call) -> Interception | None:
    if call.operation not in ("CreateTags", "DeleteTags") or call.caller.name not in ("enter_standby", "record_member"):
        return None
    (instance_id,) = call.parameters["Resources"]
    said = (
        "You are not authorized to perform this operation. User: arn:aws:sts::123456789012:assumed-role/"
        f"drydock-RecordMember/drydock-record_member is not authorized to perform: ec2:{call.operation} on resource: "
        f"arn:aws:ec2:ap-northeast-1:123456789012:instance/{instance_id} with an explicit deny in a service control "
        f"policy. Encoded authorization failure message: {instance_id * 60}"
    )
    error: Any = {"Error": {"Code": "UnauthorizedOperation", "Message": said}}
    return Interception(before=ClientError(error, call.operation))


def _bytes_of(item: object) -> int:
    """As JSON, of which DynamoDB's own count is a little less."""
    return len(json.dumps(item, default=str, ensure_ascii=False).encode())


@pytest.fixture(scope="module")
def scene() -> Iterator[RollScenario]:
    with roll_scenario() as opened:
        yield opened


@pytest.mark.prove
def test_every_member_of_a_group_of_five_hundred_has_an_outcome(scene: RollScenario) -> None:
    # An excluded member has its turn like any other, and does not leave service.
    excluded = {"DrydockExclude": "点検中のため除外" * 30, "Name": "東京の基幹システム" * 28}
    members = [{"tags": excluded} if number % 100 else {} for number in range(MOST_MEMBERS)]
    group, monitor = scene.group("herd", members, batch=20, target_group=(), pace=Pace(health_check=3600))

    roll = scene.roll(group, {**QUICKLY, "batch": 20})

    assert Counter(roll.outcomes.values()) == {"skipped": 495, "succeeded": 5}
    assert len(monitor.outages) == 5
    assert max(len(one.events) for one in scene.account.executions()) < MOST_EVENTS
    assert max(len(json.dumps(event)) for event in roll.execution.events) < MOST_DATA / 2
    assert _bytes_of(roll.result) < MOST_OF_GROUP
    assert "5 patched, 495 skipped" in roll.summary.said
    assert "and 480 more" in roll.summary.said
    monitor.check()


@pytest.mark.prove
def test_a_group_whose_every_tag_is_refused_fits_into_its_items_and_is_given_back(scene: RollScenario) -> None:
    # How much room five hundred of them take is in tests/unit/group/test_rolling.py.
    many, batch = 20, 10
    # Names as long as tags take, and every tag of the roll is refused in EC2's own words.
    members = [{"tags": {"Name": f"東京の基幹システム{number:03}" * 21}} for number in range(many)]
    group, monitor = scene.group("flock", members, batch=batch, min=many, target_group=())
    scene.account.calls.interceptors.append(refuse_tags)

    arn = scene.start_roll(group, {**QUICKLY, "operation": "UpdateAgents", "batch": batch})
    largest = 0
    while scene.account.execution(arn).status == "RUNNING":
        scene.run_for(1)
        largest = max(largest, _bytes_of(scene.group_lease(group)))
    scene.settle()
    scene.account.calls.interceptors.remove(refuse_tags)

    roll = scene.view(arn)
    assert roll.status == "SUCCEEDED"
    assert Counter(roll.outcomes.values()) == {"succeeded": many}
    assert monitor.most_out == batch
    monitor.check()
    assert_group_given_back(scene, group, sizes=(many, many, many + 2))
    assert len(roll.execution.events) < 100
    assert max(len(one.events) for one in scene.account.executions()) < MOST_EVENTS
    assert 0 < largest < MOST_OF_GROUP
    assert _bytes_of(roll.result) < MOST_OF_GROUP
    assert "UnauthorizedOperation" in roll.summary.said
