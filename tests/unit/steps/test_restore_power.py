"""Restore Power: a machine that came stopped is stopped again, once."""

from __future__ import annotations

from typing import Any

import pytest

from drydock.errors import LeaseLostError, PowerNotRestoredError
from tests.unit.fakes import FunctionDiedError
from tests.unit.world import INSTANCE, World, hold_as


def restore(world: World, **more: Any) -> None:
    world.run("restore_power", world.event("Restore Power", **more))


@pytest.fixture
def running(world: World) -> World:
    """A machine that came stopped and runs since Drydock started it."""
    world.hold("stopped")
    world.run("start_instance", world.event("Start Instance"))
    world.ec2.set_state(INSTANCE, "running")
    return world


def test_a_running_machine_is_stopped_and_its_event_wakes_the_execution(running: World) -> None:
    restore(running, token="T")
    assert running.ec2.state(INSTANCE) == "stopping"
    running.ec2.set_state(INSTANCE, "stopped")

    running.resume()

    assert running.executions.answers == [("T", {"power": "stopped"})]


def test_stopping_twice_is_stopping_once(running: World) -> None:
    restore(running)
    restore(running)

    assert running.ec2.faults.made.count("stop") == 1


def test_a_machine_that_is_still_pending_is_stopped_at_the_next_entry(running: World) -> None:
    running.ec2.set_state(INSTANCE, "pending")
    restore(running)
    assert running.ec2.faults.made.count("stop") == 0
    running.ec2.set_state(INSTANCE, "running")

    restore(running)

    assert running.ec2.state(INSTANCE) == "stopping"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_function_that_dies_around_the_call_is_carried_on(running: World, moment: str) -> None:
    getattr(running.ec2.faults, moment)["stop"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        restore(running)

    restore(running)

    assert running.ec2.state(INSTANCE) == "stopping"


def test_who_carries_on_a_stop_is_seen_to_be_alive_and_a_machine_given_back_meanwhile_is_not_stopped(
    running: World,
) -> None:
    running.ec2.faults.before["stop"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        restore(running)
    running.clock.move(minutes=5)
    running.ec2.faults.before["stop"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        restore(running)
    lease = running.lease
    assert lease is not None and lease.newest_intent_at() == running.clock()

    hold_as(running.table, lease.holder, lease.subject, running.clock()).begin_restoring(lease)
    with pytest.raises(LeaseLostError):
        restore(running)

    assert running.ec2.state(INSTANCE) == "running"


@pytest.mark.parametrize("state", ["stopped", "terminated"])
def test_a_machine_that_is_stopped_or_gone_already_is_left_alone(running: World, state: str) -> None:
    running.ec2.set_state(INSTANCE, state)

    restore(running, token="T")

    assert "stop" not in running.ec2.faults.made
    assert running.executions.answers == [("T", {"power": state})]


def test_a_machine_that_must_not_be_stopped_is_told(running: World) -> None:
    running.ec2.stop_protected.add(INSTANCE)

    with pytest.raises(PowerNotRestoredError):
        restore(running)


def test_a_stop_that_never_ends_fails_at_the_deadline(running: World) -> None:
    restore(running)
    running.clock.move(hours=1)

    restore(running)

    assert running.refusals == ["StopTimedOutError"]


def test_a_machine_that_drydock_did_not_start_is_left_running(world: World) -> None:
    world.hold("stopped")
    world.ec2.set_state(INSTANCE, "running")

    restore(world, token="T")

    assert world.ec2.state(INSTANCE) == "running"
    assert world.executions.answers == [("T", {"power": "running"})]


def test_a_machine_that_somebody_started_just_before_drydock_did_is_left_running(world: World) -> None:
    world.hold("stopped")
    world.ec2.set_state(INSTANCE, "running")
    world.run("start_instance", world.event("Start Instance"))

    restore(world, token="T")

    assert world.ec2.state(INSTANCE) == "running"
    assert world.executions.answers[-1] == ("T", {"power": "running"})


def test_a_machine_whose_start_nobody_knows_the_answer_of_is_stopped(world: World) -> None:
    world.hold("stopped")
    world.ec2.faults.after["start"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        world.run("start_instance", world.event("Start Instance"))
    world.ec2.set_state(INSTANCE, "running")

    restore(world)

    assert world.ec2.state(INSTANCE) == "stopping"


def test_a_machine_that_is_still_pending_is_not_told_to_stop_yet(running: World) -> None:
    running.ec2.set_state(INSTANCE, "pending")

    restore(running)

    assert "stop" not in running.ec2.faults.made
    assert running.executions.answers == [], "it is not stopped, so nobody says so"


def test_without_the_lease_nothing_is_stopped(world: World) -> None:
    with pytest.raises(LeaseLostError):
        restore(world)
    assert world.ec2.state(INSTANCE) == "running"
