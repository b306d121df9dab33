"""What the scenarios of faults around rolls share: a group, policies, and what must be true in the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rehearsal.play.faults import Strikes
from rehearsal.play.group_monitor import GroupMonitor
from rehearsal.proof.roll_promises import GroupBefore, RollAllowance, broken_roll_promises
from rehearsal.world.fleet import Group
from tests.scenarios.group.scenario import QUICKLY, RollScenario, RollView, roll_scenario

ROLL = "night"
"""The name of every roll here."""

CLEAN = {"web-1": "succeeded", "web-2": "succeeded", "web-3": "succeeded"}


@dataclass(frozen=True)
class FaultScene:
    """A group of three whose min has to be lowered, in an account in which something goes wrong."""

    scene: RollScenario
    group: Group
    monitor: GroupMonitor
    before: GroupBefore

    def roll(self, policy: Mapping[str, Any] | None = None, **more: Any) -> RollView:
        """Roll through the group, and let everything happen until all is quiet."""
        return self.scene.roll(self.group, {**QUICKLY, **(policy or {})}, name=ROLL, **more)

    def start(self, policy: Mapping[str, Any] | None = None, **more: Any) -> str:
        """Somebody starts a roll; returns the execution's ARN."""
        return self.scene.start_roll(self.group, {**QUICKLY, **(policy or {})}, name=ROLL, **more)

    def limit_rolls(self, seconds: int) -> None:
        """Somebody gives the state machine a shorter time-out."""
        client = self.scene.account.client("stepfunctions")
        machine = self.scene.stack.resource("RollGroup")
        definition = json.loads(client.describe_state_machine(stateMachineArn=machine)["definition"])
        definition["TimeoutSeconds"] = seconds
        client.update_state_machine(stateMachineArn=machine, definition=json.dumps(definition))

    def assert_keeps_promises(self, roll: RollView, allowance: RollAllowance | None = None) -> None:
        """The monitor saw nothing wrong, and everything was given back and told of."""
        scene = self.scene
        broken = broken_roll_promises(scene.account, scene.fleet, scene.stack, self.before, roll.arn, allowance)
        broken = [*self.monitor.violations, *broken]
        assert not broken, "\n".join([*broken, f"{roll.status} {roll.error} {roll.execution.cause} {roll.outcomes}"])


@contextmanager
def group_of_three(particulars: Mapping[str, Mapping[str, Any]] | None = None, **settings: Any) -> Iterator[FaultScene]:
    """Three members of which as many are wanted at least; `particulars` by name."""
    with roll_scenario() as scene:
        members = [(particulars or {}).get(f"web-{number}", {}) for number in (1, 2, 3)]
        group, monitor = scene.group("web", members, **{"min": 3, "max": 4, **settings})
        yield FaultScene(scene, group, monitor, GroupBefore.of(group))


def note_time(scene: RollScenario, strikes: Strikes) -> list[datetime]:
    """When a fault struck, filled in as it does."""
    moments: list[datetime] = []
    strikes.heard = lambda: moments.append(scene.account.clock.now())
    return moments
