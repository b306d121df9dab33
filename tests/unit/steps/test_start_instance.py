"""Start Instance: started once, and waited for until it runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drydock.errors import InstanceStartFailedError, LeaseLostError
from drydock.machine.power import was_started_here
from drydock.records.leases import find_lease
from drydock.times import to_text
from tests.unit.fakes import START, FunctionDiedError
from tests.unit.world import INSTANCE, SUBJECT, World


def start(world: World, **more: Any) -> None:
    world.run("start_instance", world.event("Start Instance", **more))


def test_a_stopped_machine_is_started_and_its_event_wakes_the_execution(world: World) -> None:
    world.hold("stopped")
    start(world, token="T")
    assert world.ec2.state(INSTANCE) == "pending"
    assert world.executions.answers == []
    world.ec2.set_state(INSTANCE, "running")

    world.resume()

    launched = to_text(world.ec2.instances[INSTANCE]["LaunchTime"])
    assert world.executions.answers == [("T", {"startedAt": launched})]


def test_starting_twice_is_starting_once(world: World) -> None:
    world.hold("stopped")
    start(world)
    start(world)

    assert world.ec2.faults.made.count("start") == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_function_that_dies_around_the_call_is_carried_on(world: World, moment: str) -> None:
    world.hold("stopped")
    getattr(world.ec2.faults, moment)["start"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        start(world)
    assert "start" in world.intents, "give_back must know of a start that may have happened"

    start(world)

    assert world.ec2.state(INSTANCE) == "pending"


@pytest.mark.parametrize("before", ["stopped", "running"])
def test_what_the_machine_was_before_the_start_is_kept(world: World, before: str) -> None:
    world.hold("stopped")
    world.ec2.set_state(INSTANCE, before)

    start(world)

    assert world.lease is not None
    assert world.lease.intents["start"].facts["before"] == before


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_start_that_is_carried_on_counts_as_drydocks_own_whatever_the_machine_is_by_then(
    world: World, moment: str
) -> None:
    world.hold("stopped")
    getattr(world.ec2.faults, moment)["start"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        start(world)
    world.ec2.set_state(INSTANCE, "running")

    start(world)

    assert world.lease is not None
    assert was_started_here(world.lease)


def test_who_carries_on_a_start_is_seen_to_be_alive_before_it_calls(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.hold("stopped")
    world.ec2.faults.before["start"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        start(world)
    world.clock.move(minutes=3)
    call, announced = world.ec2.start, []

    def look_first(instance_id: str) -> None:
        lease = find_lease(world.table, SUBJECT)
        assert lease is not None
        announced.append(lease.newest_intent_at())
        call(instance_id)

    monkeypatch.setattr(world.ec2, "start", look_first)
    start(world)

    assert announced == [START + timedelta(minutes=3)]


def test_a_machine_that_is_not_started_again_after_it_fell_back(world: World) -> None:
    world.hold("stopped")
    start(world)
    world.ec2.set_state(INSTANCE, "stopped", StateReason={"Code": "Client.InternalError", "Message": "on launch"})
    world.clock.move(minutes=1)

    start(world)

    assert world.ec2.faults.made.count("start") == 1
    assert world.refusals == ["InstanceStartFailedError"]
    assert "KMS" in str(world.executions.refusals[0][1])


def test_a_start_that_ec2_refuses_fails_the_step(world: World) -> None:
    world.hold("stopped")
    world.ec2.faults.before["start"] = InstanceStartFailedError("no capacity")

    with pytest.raises(InstanceStartFailedError):
        start(world)


def test_a_start_that_never_ends_fails_at_the_deadline(world: World) -> None:
    world.hold("stopped")
    start(world)
    world.clock.move(hours=1)

    start(world)

    assert world.refusals == ["StartTimedOutError"]


def test_without_the_lease_nothing_is_started(world: World) -> None:
    world.ec2.set_state(INSTANCE, "stopped")

    with pytest.raises(LeaseLostError):
        start(world)
    assert world.ec2.state(INSTANCE) == "stopped"
