"""Settled: no command of Drydock can be at work on the machine any more."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drydock.errors import CommandNotDeliveredError, CommandsNotSettledError
from drydock.machine.commands import Command, begin_command
from drydock.machine.settling import SETTLE_LIMIT, CommandAtWork, Settlement, look_at_commands, look_at_settled_commands
from drydock.records.leases import claim_intent, file_wait
from drydock.records.waits import Wait
from tests.unit.fakes import START, FunctionDiedError, SentCommand, agent
from tests.unit.world import HOLDER, INSTANCE, SUBJECT, World


def send(world: World, intent: str = "install") -> SentCommand:
    step = world.step("Install Patches")
    work = begin_command(world.services, step, Command(intent, "install", "AWS-RunPatchBaseline", {}))
    wait = Wait(INSTANCE, step.token, step.sequence, "command", work.resource, START, work.facts)
    file_wait(world.table, HOLDER, wait, work)
    return world.ssm.sent[-1]


def look(world: World) -> Settlement:
    assert world.lease is not None
    return look_at_commands(world.services, world.lease)


def test_where_no_command_was_sent_all_is_settled(world: World) -> None:
    world.hold()
    claim_intent(world.table, HOLDER, SUBJECT, "stop", world.clock())

    assert look(world).is_settled


def test_a_command_at_work_is_not_settled_and_is_named(world: World) -> None:
    world.hold()
    command = send(world)

    settlement = look(world)

    assert settlement.at_work == (CommandAtWork("install", command.command_id, False),)
    assert not settlement.is_settled
    assert command.command_id in str(settlement)


@pytest.mark.parametrize("status", ["Success", "Failed", "TimedOut", "Cancelled"])
def test_a_command_that_is_over_is_settled(world: World, status: str) -> None:
    world.hold()
    world.ssm.end(send(world), status)

    assert look(world).is_settled


@pytest.mark.parametrize(
    ("status", "is_undelivered"), [("Pending", True), ("Delayed", True), ("InProgress", False), ("Cancelling", False)]
)
def test_only_a_command_that_has_not_begun_can_be_cancelled_safely(
    world: World, status: str, is_undelivered: bool
) -> None:
    world.hold()
    world.ssm.end(send(world), status)

    (work,) = look(world).at_work

    assert work.is_undelivered is is_undelivered


def test_a_command_that_is_over_does_not_hide_one_that_is_not(world: World) -> None:
    world.hold()
    world.ssm.end(send(world, "probeBefore"))
    send(world, "install")

    assert [work.intent for work in look(world).at_work] == ["install"]


@pytest.mark.parametrize("power", ["stopped", "stopping", "terminated"])
def test_on_a_machine_that_does_not_run_nothing_is_at_work(world: World, power: str) -> None:
    world.hold()
    send(world)
    world.ec2.set_state(INSTANCE, power)

    assert look(world).is_settled


def test_an_expired_command_is_settled_only_after_a_sign_of_life_since(world: World) -> None:
    world.hold()
    command = send(world)
    world.clock.at = command.expires
    assert look(world).silent_since == command.expires
    assert "silent" in str(look(world))

    world.ssm.agents[INSTANCE] = agent(command.expires)
    assert not look(world).is_settled
    world.ssm.agents[INSTANCE] = agent(command.expires + timedelta(seconds=1), online=False)
    assert not look(world).is_settled
    world.ssm.agents[INSTANCE] = agent(command.expires + timedelta(seconds=1))
    assert look(world).is_settled


def test_what_systems_manager_gave_up_at_its_expiry_is_settled_only_after_a_sign_of_life(world: World) -> None:
    world.hold()
    command = send(world)
    world.ssm.end(command, "TimedOut", status_details="DeliveryTimedOut")
    assert look(world).is_settled, "before its expiry this means that it never began"

    world.clock.at = command.expires
    assert look(world).silent_since == command.expires
    world.ssm.agents[INSTANCE] = agent(command.expires + timedelta(seconds=1))
    assert look(world).is_settled


@pytest.mark.parametrize("details", ["Undeliverable", "AccessDenied", "InvalidPlatform", "Terminated"])
def test_what_surely_never_began_is_settled_without_a_sign_of_life(world: World, details: str) -> None:
    world.hold()
    command = send(world)
    world.ssm.end(command, "Failed", status_details=details)
    world.clock.at = command.expires

    assert look(world).is_settled


def test_a_command_that_aws_refused_is_settled_at_once(world: World) -> None:
    world.hold()
    world.ssm.faults.before["send_command"] = CommandNotDeliveredError("InvalidInstanceId")
    with pytest.raises(CommandNotDeliveredError):
        send(world)

    assert look(world).is_settled


def test_a_command_of_which_only_the_intent_is_known_may_be_at_work_until_it_could_be_seen(world: World) -> None:
    world.hold()
    world.ssm.faults.before["send_command"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        send(world)
    assert not look(world).is_settled

    world.clock.move(minutes=2)
    assert look(world).is_settled


def test_a_command_that_was_sent_by_a_function_that_died_is_found(world: World) -> None:
    world.hold()
    world.ssm.faults.after["send_command"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        send(world)
    world.clock.move(minutes=5)

    assert [work.command_id for work in look(world).at_work] == [world.command.command_id]


def test_what_is_not_settled_at_the_deadline_leaves_the_machine_running(world: World) -> None:
    world.hold()
    command = send(world)
    wait = Wait(INSTANCE, "token", "1", "settled", "", START + SETTLE_LIMIT, {})
    assert look_at_settled_commands(world.services, wait) is None

    world.clock.at = START + SETTLE_LIMIT
    with pytest.raises(CommandsNotSettledError, match="left running"):
        look_at_settled_commands(world.services, wait)
    world.ssm.end(command, "TimedOut")
    assert look_at_settled_commands(world.services, wait) == {}


def test_the_limit_is_longer_than_any_command_lives() -> None:
    assert timedelta(seconds=600 + 3600 * 3) < SETTLE_LIMIT
