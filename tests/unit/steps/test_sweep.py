"""A sweep: what is stale is handed over, what cannot be told waits for its turn, what cannot be read is told daily."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drydock.errors import AwsCallFailedError
from drydock.records.holder import Holder
from drydock.records.leases import lease_key
from drydock.records.results import put_result
from drydock.subject import Instance
from tests.unit.fakes import START
from tests.unit.records.recorded import a_result
from tests.unit.world import ENVIRONMENT, EXECUTION, INSTANCE, OTHER_EXECUTION, SUBJECT, World, dynamodb, hold_as

OTHER = Holder(OTHER_EXECUTION, 0)
ELSEWHERE = Holder(EXECUTION.replace("drydock-PatchInstance", "drydock-PatchInstanceOfBefore"), 0)


def sweep(world: World) -> list[str]:
    """The functions that one sweep invokes, each with what it is about."""
    world.clients.invoked.clear()
    world.run("give_back", {})
    return [f"{name.rsplit('-', 1)[-1]} {event.get('subject', '')}".strip() for name, event in world.clients.invoked]


def spoil(instance: str = INSTANCE) -> None:
    """Somebody has written nonsense into a lease."""
    key = {name: {"S": value} for name, value in lease_key(Instance(instance)).items()}
    item = dynamodb().get_item(TableName=ENVIRONMENT.table, Key=key)["Item"]
    dynamodb().put_item(TableName=ENVIRONMENT.table, Item={**item, "owner": {"N": "7"}})


def test_a_lease_whose_owner_and_its_state_machine_are_gone_is_given_back(world: World) -> None:
    world.hold(holder=ELSEWHERE)
    world.executions.unknown.add(ELSEWHERE.execution)
    world.clock.move(minutes=20)

    assert sweep(world) == [f"give_back {INSTANCE}"]
    assert world.run("give_back", {"subject": INSTANCE}) == {"move": "release"}

    assert world.lease is None


def test_results_that_cannot_be_told_leave_later_ones_their_turn(world: World) -> None:
    for number in range(25):
        stuck = a_result("failed", subject=Instance(f"i-{number:017x}"), ended=START)
        put_result(world.table, stuck)
    world.clock.move(minutes=10)
    assert len(sweep(world)) == 20
    put_result(world.table, a_result("failed", ended=START + timedelta(minutes=9)))
    world.clock.move(minutes=2)

    handed_over = sweep(world)

    assert f"alert_failure {INSTANCE}" in handed_over
    assert len(handed_over) == 6, "the five that had no turn yet, and the new one"
    world.clock.move(minutes=2)
    assert sweep(world) == [], "those that were tried have their pause"


def test_a_result_that_cannot_be_told_is_tried_again_ever_more_seldom_but_daily(world: World) -> None:
    put_result(world.table, a_result("failed", ended=START))
    tries = []
    for hours in range(2, 100, 2):
        world.clock.move(hours=2)
        tries += [hours] if sweep(world) else []

    assert tries == [2, 4, 8, 16, 32, 56, 80]


def test_an_item_that_cannot_be_read_is_told_once_a_day_until_it_is_mended(world: World) -> None:
    world.hold()
    spoil()
    told = []
    for _ in range(3):
        for _ in range(4):
            sweep(world)
            for _, event in list(world.clients.invoked):
                world.run("alert_failure", event)
            world.clock.move(hours=6)
        told.append(len(world.clients.published))

    assert told == [1, 2, 3]
    message = world.clients.published[0]
    assert message["Subject"].startswith("Drydock, act now: an item of Drydock's table")
    assert "7 is no text" in message["Message"]
    assert "is not given back" in message["Message"]
    dynamodb().delete_item(
        TableName=ENVIRONMENT.table, Key={name: {"S": value} for name, value in lease_key(SUBJECT).items()}
    )
    assert sweep(world) == []


def test_many_items_that_cannot_be_read_take_turns(world: World) -> None:
    for number in range(30):
        instance = Instance(f"i-{number:017x}")
        assert hold_as(world.table, OTHER, instance).take(START) is None
        spoil(instance.id)
    handed_over: set[str] = set()
    for _ in range(4):
        assert len(sweep(world)) == 20
        handed_over |= {event["unreadable"]["pk"] for _, event in world.clients.invoked}
        world.clock.move(minutes=2)

    assert len(handed_over) == 30


@pytest.mark.parametrize("what", ["denied", "gone"])
def test_executions_that_cannot_be_listed_are_looked_at_one_by_one(world: World, what: str) -> None:
    world.hold()
    world.executions.running_beside = refuse if what == "denied" else lambda execution: set()  # type: ignore[method-assign]

    assert sweep(world) == [f"give_back {INSTANCE}"]
    assert world.run("give_back", {"subject": INSTANCE}) == {"move": "nothing"}, "its execution runs"


def refuse(execution: str) -> set[str]:
    raise AwsCallFailedError("list_executions: AccessDeniedException")
