"""Fixtures of the property tests: those of the unit tests, and silence."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.unit.world import emulator, table, world

__all__ = ["emulator", "quiet", "table", "world"]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of requests would each leave their log lines behind."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)
