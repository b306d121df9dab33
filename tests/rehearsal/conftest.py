"""Accounts for the tests of the rehearsal's engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.engine.deployment import Stack
from tests.scenarios.machine.scenario import scene

__all__ = ["scene"]

ENGINE_PROJECT = Path(__file__).parent / "data" / "engine"


DYNAMODBS: list[Literal["own", "moto"]] = ["own", "moto"]
on_each_dynamodb = pytest.mark.parametrize("engine", DYNAMODBS, indirect=True)
"""The account's own, and moto's with its repairs."""


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[EmbeddedAccount]:
    """An account for the small application of the engine's own tests, not yet deployed."""
    with EmbeddedAccount(project=ENGINE_PROJECT, dynamodb=getattr(request, "param", None)) as account:
        yield account


@pytest.fixture
def engine_stack(engine: EmbeddedAccount) -> Stack:
    """That application, deployed."""
    return engine.deploy()


@pytest.fixture
def run_machine(engine: EmbeddedAccount, engine_stack: Stack) -> Callable[..., ExecutionView]:
    """Run the application's state machine with the given input until nothing happens any more."""

    def run(**given: Any) -> ExecutionView:
        arn = engine.start_execution("Machine", given)
        engine.run_until_quiet()
        return engine.execution(arn)

    return run
