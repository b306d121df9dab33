"""Keeps every test away from real accounts: stand-in credentials and the Region of the rehearsal."""

from __future__ import annotations

import gc
import os
import random

import pytest

STANDINS = {
    "AWS_ACCESS_KEY_ID": "stand-in",
    "AWS_SECRET_ACCESS_KEY": "stand-in",
    "AWS_SESSION_TOKEN": "stand-in",
    "AWS_DEFAULT_REGION": "ap-northeast-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before any module of the project is imported."""
    if config.getoption("markexpr") != "e2e":
        os.environ.pop("AWS_PROFILE", None)
        os.environ.update(STANDINS)
    if "DRYDOCK_PAIRS" in os.environ:
        # Imported here: without it, unit tests do not wait for the rehearsal.
        from rehearsal.proof.pairs import record

        record()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep as many tests as DRYDOCK_DRAWN says, `30:SEED`, drawn by chance."""
    if "DRYDOCK_DRAWN" in os.environ:
        count, _, seed = os.environ["DRYDOCK_DRAWN"].partition(":")
        drawn = set(random.Random(seed).sample(range(len(items)), min(int(count), len(items))))
        config.hook.pytest_deselected(items=[item for number, item in enumerate(items) if number not in drawn])
        items[:] = [item for number, item in enumerate(items) if number in drawn]


def pytest_collection_finish() -> None:
    """Leave what is imported by now out of every later search for garbage: a search takes longer than many a test."""
    gc.collect()
    gc.freeze()
