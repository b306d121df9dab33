"""Accounts for the tests of the rehearsal's engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.engine.deployment import Stack
from tests.scenarios.machine.scenario import scene

__all__ = ["scene"]

ENGINE_PROJECT = Path(__file__).parent / "data" / "engine"


@pytest.fixture
def engine() -> Iterator[EmbeddedAccount]:
    """An account for the small application of the engine's own tests, not yet deployed."""
    with EmbeddedAccount(project=ENGINE_PROJECT) as account:
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
