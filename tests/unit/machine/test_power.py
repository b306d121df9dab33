"""Starting and stopping: what a look at the machine concludes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from drydock.errors import InstanceStartFailedError, InstanceTerminatedError, StartTimedOutError, StopTimedOutError
from drydock.machine.power import look_at_start, look_at_stop, was_started_here
from drydock.records.leases import claim_intent
from drydock.records.waits import Wait
from tests.unit.fakes import START
from tests.unit.world import HOLDER, INSTANCE, SUBJECT, World

DEADLINE = START + timedelta(hours=1)


def a_wait(kind: str) -> Wait:
    return Wait(INSTANCE, "token", "1", kind, "", DEADLINE, {"calledAt": START.isoformat(), "isOurs": True})


def test_a_running_machine_has_started_at_its_launch_time(world: World) -> None:
    world.ec2.set_state(INSTANCE, "running", LaunchTime=START + timedelta(seconds=3))

    assert look_at_start(world.services, a_wait("start")) == {"startedAt": "2026-01-13T01:00:03.000Z"}


def test_a_pending_machine_is_waited_for_until_the_deadline(world: World) -> None:
    world.ec2.set_state(INSTANCE, "pending")
    assert look_at_start(world.services, a_wait("start")) is None

    world.clock.at = DEADLINE
    with pytest.raises(StartTimedOutError, match="still pending"):
        look_at_start(world.services, a_wait("start"))


BEFORE = START - timedelta(days=1)


def test_ec2_may_show_the_state_of_before_for_half_a_minute(world: World) -> None:
    world.ec2.set_state(INSTANCE, "stopped", LaunchTime=BEFORE)
    world.clock.move(seconds=30)
    assert look_at_start(world.services, a_wait("start")) is None

    world.clock.move(seconds=1)
    with pytest.raises(InstanceStartFailedError, match="fell back to stopped"):
        look_at_start(world.services, a_wait("start"))


def test_a_machine_that_launched_and_fell_back_is_noticed_at_once(world: World) -> None:
    world.ec2.set_state(INSTANCE, "stopped", LaunchTime=START)

    with pytest.raises(InstanceStartFailedError, match="fell back to stopped"):
        look_at_start(world.services, a_wait("start"))


def test_a_machine_that_still_stops_is_not_taken_for_one_that_fell_back(world: World) -> None:
    world.ec2.set_state(INSTANCE, "stopping", LaunchTime=BEFORE)
    world.clock.move(minutes=1)

    assert look_at_start(world.services, a_wait("start")) is None


@pytest.mark.parametrize(
    ("code", "names_keys"), [("Client.InternalError", True), ("Server.InsufficientInstanceCapacity", False)]
)
def test_a_start_that_falls_back_says_why_and_names_kms_keys_where_they_may_be_it(
    world: World, code: str, names_keys: bool
) -> None:
    world.ec2.set_state(INSTANCE, "stopped", StateReason={"Code": code, "Message": f"{code}: on launch"})
    world.clock.move(minutes=1)

    with pytest.raises(InstanceStartFailedError) as failed:
        look_at_start(world.services, a_wait("start"))

    assert code in str(failed.value)
    assert ("KMS keys" in str(failed.value)) is names_keys


def test_a_start_that_falls_back_without_a_reason_says_so(world: World) -> None:
    world.ec2.set_state(INSTANCE, "stopped")
    world.clock.move(minutes=1)

    with pytest.raises(InstanceStartFailedError, match="no reason given"):
        look_at_start(world.services, a_wait("start"))


@pytest.mark.parametrize("state", ["shutting-down", "terminated"])
def test_a_machine_that_is_terminated_is_not_waited_for(world: World, state: str) -> None:
    world.ec2.set_state(INSTANCE, state)

    with pytest.raises(InstanceTerminatedError):
        look_at_start(world.services, a_wait("start"))
    assert look_at_stop(world.services, a_wait("stop")) == {"power": state}


def test_a_stop_is_over_when_the_machine_is_stopped(world: World) -> None:
    world.ec2.set_state(INSTANCE, "stopping")
    assert look_at_stop(world.services, a_wait("stop")) is None

    world.ec2.set_state(INSTANCE, "stopped")
    assert look_at_stop(world.services, a_wait("stop")) == {"power": "stopped"}


@pytest.mark.parametrize("state", ["running", "stopping", "stopped", "terminated"])
def test_a_machine_that_drydock_has_not_started_is_not_waited_for(world: World, state: str) -> None:
    world.ec2.set_state(INSTANCE, state)
    wait = replace(a_wait("stop"), facts={"isOurs": False})

    assert look_at_stop(world.services, wait) == {"power": state}


@pytest.mark.parametrize(
    ("facts", "ours"),
    [
        (None, False),
        ({}, True),
        ({"before": "stopped"}, True),
        ({"before": "stopping"}, True),
        ({"before": "pending"}, False),
        ({"before": "running"}, False),
    ],
    ids=["no start", "a start whose answer was lost", "stopped", "stopping", "pending", "running"],
)
def test_a_machine_was_started_here_only_if_it_did_not_run_before(
    world: World, facts: dict[str, str] | None, ours: bool
) -> None:
    world.hold("stopped")
    if facts is not None:
        claim_intent(world.table, HOLDER, SUBJECT, "start", world.clock(), **facts)

    assert world.lease is not None
    assert was_started_here(world.lease) is ours


@pytest.mark.parametrize("state", ["stopping", "running"])
def test_a_machine_that_does_not_stop_is_told_at_the_deadline(world: World, state: str) -> None:
    world.ec2.set_state(INSTANCE, state)
    world.clock.at = DEADLINE

    with pytest.raises(StopTimedOutError, match=f"still {state}"):
        look_at_stop(world.services, a_wait("stop"))
