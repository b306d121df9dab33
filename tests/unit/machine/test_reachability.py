"""Reachable: running, status checks passed, an agent that called in since; and what people read when it is not."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from drydock.aws.ssm import Agent
from drydock.errors import (
    AgentNotReadyError,
    AgentUnreachableError,
    InstanceNotFoundError,
    InstanceStoppedError,
    InstanceTerminatedError,
)
from drydock.machine.reachability import require_reachable, what_is_missing
from tests.unit.fakes import START, agent
from tests.unit.world import INSTANCE, World

LATER = START + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("state", "passes_checks", "found", "ping_after", "missing"),
    [
        ("running", True, agent(START), None, None),
        ("running", True, agent(LATER), START, None),
        ("pending", True, agent(START), None, "it is pending"),
        ("running", False, agent(START), None, "its status checks have not passed"),
        ("running", True, None, None, "Systems Manager does not know it"),
        ("running", True, agent(START, online=False), None, "its SSM Agent is not online"),
        ("running", True, agent(START), START, "its SSM Agent has not called in since"),
        ("running", True, agent(START), LATER, "its SSM Agent has not called in since"),
    ],
    ids=[
        "all well",
        "ping after the start",
        "pending",
        "checks",
        "unmanaged",
        "offline",
        "ping of the same time",
        "old ping",
    ],
)
def test_what_a_machine_lacks_to_be_reachable(
    state: str, passes_checks: bool, found: Agent | None, ping_after: datetime | None, missing: str | None
) -> None:
    said = what_is_missing(state, passes_checks, found, ping_after)

    assert said is None if missing is None else (said or "").startswith(missing)


def test_a_machine_is_reachable_once_its_agent_called_in_after_the_start(world: World) -> None:
    step = world.step(data={"pingAfter": START.isoformat()})
    with pytest.raises(AgentNotReadyError, match="has not called in since"):
        require_reachable(world.services, step)

    world.ssm.agents[INSTANCE] = agent(LATER)
    require_reachable(world.services, step)


def test_without_a_start_before_any_ping_will_do(world: World) -> None:
    world.ssm.agents[INSTANCE] = agent(START - timedelta(minutes=4))

    require_reachable(world.services, world.step(data={"pingAfter": None}))


def test_a_machine_that_is_not_reachable_at_the_deadline_fails_with_the_reason(world: World) -> None:
    world.ssm.agents.clear()
    step = world.step()
    world.clock.move(seconds=3599)
    with pytest.raises(AgentNotReadyError):
        require_reachable(world.services, step)

    world.clock.move(seconds=1)
    with pytest.raises(AgentUnreachableError, match="AmazonSSMManagedInstanceCore"):
        require_reachable(world.services, step)


def test_a_machine_that_is_reachable_after_the_deadline_is_reachable(world: World) -> None:
    step = world.step()
    world.clock.move(hours=5)

    require_reachable(world.services, step)


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("stopping", InstanceStoppedError),
        ("stopped", InstanceStoppedError),
        ("shutting-down", InstanceTerminatedError),
        ("terminated", InstanceTerminatedError),
    ],
)
def test_a_machine_that_somebody_took_away_is_not_waited_for(world: World, state: str, error: type[Exception]) -> None:
    world.ec2.set_state(INSTANCE, state)

    with pytest.raises(error):
        require_reachable(world.services, world.step())


def test_a_machine_that_ec2_has_forgotten_is_not_waited_for(world: World) -> None:
    world.ec2.instances.clear()

    with pytest.raises(InstanceNotFoundError):
        require_reachable(world.services, world.step())
