"""Settle Commands: what has not begun is cancelled, what runs is left to end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drydock.errors import AwsCallFailedError, CommandNotDeliveredError, DocumentError, ServiceUnavailableError
from tests.unit.fakes import FunctionDiedError, agent
from tests.unit.world import INSTANCE, World


def settle(world: World, **more: Any) -> None:
    world.run("settle_commands", world.event("Settle Commands", **more))


def prove(world: World, **said: Any) -> None:
    """The machine answers the last probe, and AWS reports that it has."""
    answer = {
        "bootId": "1",
        "agentVersion": "3",
        "reboot": "not_needed",
        "rebootReasons": [],
        "installing": False,
        "installer": "",
        **said,
    }
    world.ssm.end(world.ssm.sent[-1], output=json.dumps(answer))
    world.resume()


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
    assert installing.executions.answers == []
    settle(installing, token="U")
    prove(installing)
    assert installing.executions.answers == [("U", {})]


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
    prove(installing)

    assert installing.executions.answers == [("T", {})]


@pytest.mark.parametrize(("status", "details"), [("Cancelled", "Cancelled"), ("TimedOut", "ExecutionTimedOut")])
def test_an_installation_that_was_cut_short_is_settled_by_the_machine_itself(
    installing: World, status: str, details: str
) -> None:
    installing.ssm.end(installing.command, status, status_details=details)

    settle(installing, token="T")

    installation, probe = installing.ssm.sent
    assert (probe.document, probe.version) == ("drydock-Probe", "$LATEST")
    assert probe.parameters == {"CommandIds": installation.command_id, "SecondsSince": "60"}
    assert installing.intents["proof1"] == probe.command_id
    assert installing.executions.answers == []
    prove(installing)
    assert installing.executions.answers == [("T", {})]


def test_as_long_as_something_installs_every_entry_asks_again(installing: World) -> None:
    installing.ssm.end(installing.command, "Cancelled")
    entered = installing.clock()
    for retry in range(4):
        settle(installing, entered=entered, retry_count=retry)
        prove(installing, installing=True, installer="dnf (812) holds a lock")
        installing.clock.move(minutes=5)

    assert {"proof1", "proof2", "proof3", "proof4"} < set(installing.intents)
    assert len({command.comment for command in installing.ssm.sent}) == 5
    assert installing.executions.answers == []

    installing.clock.move(hours=4)
    settle(installing, entered=entered, retry_count=4)
    assert installing.refusals == ["CommandsNotSettledError"]
    ((_, error),) = installing.executions.refusals
    assert "dnf (812) holds a lock" in str(error)


def test_two_entries_send_one_probe(installing: World) -> None:
    installing.ssm.end(installing.command, "Cancelled")

    settle(installing)
    settle(installing)

    assert len(installing.ssm.sent) == 2


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_function_that_dies_while_it_asks_is_carried_on(installing: World, moment: str) -> None:
    installing.ssm.end(installing.command, "Cancelled")
    getattr(installing.ssm.faults, moment)["send_command"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        settle(installing)
    installing.clock.move(minutes=5)

    settle(installing, token="T")

    assert len(installing.ssm.sent) == 2
    prove(installing)
    assert installing.executions.answers == [("T", {})]


@pytest.mark.parametrize(
    "error", [AwsCallFailedError("AccessDenied"), CommandNotDeliveredError("InvalidInstanceId"), DocumentError("gone")]
)
def test_a_machine_that_cannot_be_asked_is_asked_again_by_the_next_entry(installing: World, error: Exception) -> None:
    installing.ssm.end(installing.command, "Cancelled")
    installing.ssm.faults.before["send_command"] = error
    settle(installing)
    assert (installing.refusals, installing.executions.answers) == ([], [])

    installing.clock.move(minutes=5)
    settle(installing, token="T")
    prove(installing)

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
