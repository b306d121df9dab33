"""Settle Commands: what has not begun is cancelled, what runs is left to end."""

from __future__ import annotations

from typing import Any

import pytest

from drydock.errors import AwsCallFailedError, CommandNotDeliveredError, DocumentError, ServiceUnavailableError
from tests.unit.fakes import FunctionDiedError, agent
from tests.unit.world import INSTANCE, World


def settle(world: World, **more: Any) -> None:
    world.run("settle_commands", world.event("Settle Commands", **more))


@pytest.fixture
def installing(world: World) -> World:
    """A machine on which an installation is at work."""
    world.hold()
    world.run("install_patches", world.event("Install Patches", {"reboot": True}))
    return world


def test_where_nothing_was_sent_the_state_ends_at_once(world: World) -> None:
    world.hold()

    settle(world, token="T")

    assert world.executions.answers == [("T", {})]


def test_a_running_installation_is_left_to_end(installing: World) -> None:
    settle(installing, token="T")
    assert (installing.executions.answers, installing.ssm.cancelled) == ([], [])
    installing.ssm.end(installing.command, "Failed")

    installing.resume()

    assert installing.executions.answers == [("T", {})]


@pytest.mark.parametrize("status", ["Pending", "Delayed"])
def test_an_installation_that_has_not_begun_is_cancelled_and_still_waited_for(installing: World, status: str) -> None:
    installing.ssm.end(installing.command, status)

    settle(installing, token="T")

    assert installing.ssm.cancelled == [installing.command.command_id]
    assert installing.executions.answers == []
    installing.ssm.end(installing.command, "Cancelled")
    installing.resume()
    assert installing.executions.answers == [("T", {})]


def test_a_function_that_dies_while_cancelling_is_carried_on(installing: World) -> None:
    installing.ssm.end(installing.command, "Pending")
    installing.ssm.faults.before["cancel_command"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        settle(installing)

    settle(installing)

    assert installing.ssm.cancelled == [installing.command.command_id]


def test_a_machine_that_somebody_stops_is_settled(installing: World) -> None:
    settle(installing, token="T")
    installing.ec2.set_state(INSTANCE, "stopped")

    installing.resume()

    assert installing.executions.answers == [("T", {})]


def test_a_command_that_never_ends_is_over_when_it_has_expired_and_the_agent_calls_in(installing: World) -> None:
    settle(installing)
    installing.clock.at = installing.command.expires
    settle(installing)
    assert installing.executions.answers == []
    installing.clock.move(minutes=5)
    installing.ssm.agents[INSTANCE] = agent(installing.clock())

    settle(installing, token="T")

    assert installing.executions.answers == [("T", {})]


@pytest.mark.parametrize(
    "error",
    [
        CommandNotDeliveredError("InvalidInstanceId"),
        DocumentError("InvalidParameters"),
        AwsCallFailedError("AccessDenied"),
        ServiceUnavailableError("throttled", was_refused=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_command_that_aws_refused_is_not_waited_for(world: World, error: Exception) -> None:
    world.hold()
    world.ssm.faults.before["send_command"] = error
    with pytest.raises(type(error)):
        world.run("install_patches", world.event("Install Patches", {"reboot": True}))

    settle(world, token="T")

    assert world.executions.answers == [("T", {})]


def test_a_second_settling_has_all_its_time(installing: World) -> None:
    settle(installing)
    installing.clock.move(hours=3, minutes=59)

    settle(installing)
    installing.clock.move(minutes=10)
    installing.resume()

    assert installing.refusals == []


def test_after_four_hours_of_silence_the_machine_is_left_running(installing: World) -> None:
    entered = installing.clock()
    settle(installing, entered=entered)
    installing.clock.move(hours=4)

    settle(installing, entered=entered, retry_count=1)

    assert installing.refusals == ["CommandsNotSettledError"]
    assert installing.ec2.state(INSTANCE) == "running"
