"""resume_waiting: an event is a hint to look again, and may be late, doubled, foreign or wrong."""

from __future__ import annotations

from typing import Any

import pytest

from drydock.errors import ServiceUnavailableError
from drydock.records.leases import begin_restoring
from tests.unit.fakes import FunctionDiedError
from tests.unit.world import INSTANCE, World

EVENTS: dict[str, dict[str, Any]] = {
    "command": {"instance-id": INSTANCE, "command-id": "any", "status": "Success"},
    "machine": {"instance-id": INSTANCE, "state": "running"},
}


@pytest.fixture
def installing(world: World) -> World:
    world.hold()
    world.run("install_patches", world.event("Install Patches", {"reboot": True}, token="T"))
    return world


def tokens(world: World) -> list[str]:
    return [token for token, _ in world.executions.answers]


@pytest.mark.parametrize("detail", EVENTS.values(), ids=EVENTS)
def test_an_event_is_not_believed(installing: World, detail: dict[str, Any]) -> None:
    installing.resume(**detail)
    assert (tokens(installing), installing.refusals) == ([], [])

    installing.ssm.end(installing.command)
    installing.resume(**detail)
    assert tokens(installing) == ["T"]


@pytest.mark.parametrize("detail", [{"instance-id": "i-0aaaaaaaaaaaaaaaa"}, {"ImageId": "ami-foreign"}])
def test_an_event_of_something_else_wakes_nobody(installing: World, detail: dict[str, Any]) -> None:
    installing.ssm.end(installing.command)

    assert installing.resume(**detail) == {"woken": []}
    assert tokens(installing) == []


def test_an_event_for_a_machine_that_waits_for_nothing_is_harmless(world: World) -> None:
    world.hold()

    assert world.resume() == {"woken": []}


def test_a_late_event_of_the_step_before_wakes_nobody(installing: World) -> None:
    installing.ssm.end(installing.command)
    installing.resume()
    installing.run("run_hook", hook_event(installing))
    hook = installing.ssm.sent[-1]

    installing.resume(**{"instance-id": INSTANCE, "command-id": installing.ssm.sent[0].command_id})

    assert tokens(installing) == ["T"]
    installing.ssm.end(hook)
    installing.resume()
    assert tokens(installing) == ["T", "H"]


def hook_event(world: World) -> dict[str, Any]:
    world.set_policy(hooks={"postInstall": "CheckConfiguration"})
    return world.event("Run Hook After Install", {"hook": "postInstall"}, token="H")


def test_an_event_between_two_steps_wakes_nobody(installing: World) -> None:
    installing.ssm.faults.after["send_command"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        installing.run("run_hook", hook_event(installing))
    installing.ssm.end(installing.ssm.sent[0])

    installing.resume()

    assert tokens(installing) == [], "the wait of the step before is forgotten when the next one begins"


@pytest.mark.parametrize("operation", ["answer", "find_invocation"])
def test_a_throttled_look_is_tried_again_by_lambda(installing: World, operation: str) -> None:
    installing.ssm.end(installing.command)
    faults = installing.executions.faults if operation == "answer" else installing.ssm.faults
    faults.before[operation] = ServiceUnavailableError("throttled")
    with pytest.raises(ServiceUnavailableError):
        installing.resume()
    assert (tokens(installing), installing.refusals) == ([], [])

    installing.resume()

    assert tokens(installing) == ["T"]


def test_a_machine_that_is_being_given_back_gets_another_pass_instead(installing: World) -> None:
    assert installing.lease is not None
    begin_restoring(installing.table, installing.lease, installing.clock())
    installing.ssm.end(installing.command)

    installing.resume()

    assert tokens(installing) == []
    assert installing.clients.invoked == [("drydock-give_back", {"subject": INSTANCE})]


@pytest.mark.parametrize(
    ("state", "error"), [("stopped", "InstanceStoppedError"), ("terminated", "InstanceTerminatedError")]
)
def test_a_machine_that_somebody_takes_away_ends_the_wait_at_its_event(
    installing: World, state: str, error: str
) -> None:
    installing.ec2.set_state(INSTANCE, state)

    installing.resume(**{"instance-id": INSTANCE, "state": state})

    assert installing.refusals == [error]
