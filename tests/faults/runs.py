"""What the scenarios of faults around runs share: a fleet, policies, and what must be true in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rehearsal.play.faults import Strikes
from rehearsal.proof.promises import Allowance, broken_promises
from tests.scenarios.run.scenario import FAILING, QUICKLY, RunScenario, RunView, run_scenario

NIGHT = "night"
"""The name of every run here."""

LIMIT = 2
"""So many machines are in work at the same time."""

POLICY: Mapping[str, Any] = {
    **QUICKLY,
    "maxConcurrency": LIMIT,
    "maxErrors": 3,
    "canary": {"count": 1},
    "soakMinutes": 5,
}
AT_ONCE: Mapping[str, Any] = {**POLICY, "canary": {"count": 0}, "soakMinutes": 0}
"""All machines in one wave."""

CLEAN = {"web-1": "succeeded", "web-2": "succeeded", "web-3": "failed", "web-4": "succeeded"}
"""What becomes of the fleet when nothing goes wrong around it."""


@contextmanager
def fleet_of_four(**options: Any) -> Iterator[RunScenario]:
    """One that runs, one that is stopped, one that fails, and one that runs, in this order."""
    with run_scenario(**options) as scene:
        scene.member("web", "web-1", tags={"DrydockOrder": "1"})
        scene.member("web", "web-2", tags={"DrydockOrder": "2"}, platform="Windows", power="stopped")
        scene.member("web", "web-3", tags={"DrydockOrder": "3"}, **FAILING)
        scene.member("web", "web-4", tags={"DrydockOrder": "4"})
        yield scene


def note_time(scene: RunScenario, strikes: Strikes) -> list[datetime]:
    """When a fault struck, filled in as it does."""
    moments: list[datetime] = []
    strikes.heard = lambda: moments.append(scene.account.clock.now())
    return moments


def assert_keeps_promises(scene: RunScenario, run: RunView, allowance: Allowance | None = None) -> None:
    broken = broken_promises(scene.account, scene.fleet, scene.stack, run.run_id, allowance)
    assert not broken, "\n".join([*broken, f"{run.status} {run.outcome} {run.outcomes}"])
