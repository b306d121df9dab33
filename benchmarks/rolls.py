"""Rolls through an Auto Scaling group with Drydock, or with the stock flow that it replaces, and measures both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.cold import chill
from benchmarks.flows import LINUX, make_machines
from rehearsal.account import EmbeddedAccount
from rehearsal.engine.project import PROJECT
from rehearsal.engine.repairs.patches import Patches
from rehearsal.play.group_monitor import GroupMonitor
from rehearsal.play.outcomes.group import MemberOutage, describe_outage
from rehearsal.world.group_members import Change
from rehearsal.world.group_specs import Unconfirmed

MEMBERS = 4
_LIMIT = timedelta(days=1)


@dataclass(frozen=True)
class Roll:
    """A way to roll through a group: a state machine of the stack in `project`, and the input it gets besides."""

    title: str
    machine: str
    project: Path = PROJECT
    stack: str = "drydock"
    input: Mapping[str, Any] = field(default_factory=dict)
    image_seconds: float = 300.0
    unconfirmed: Unconfirmed = field(default_factory=Unconfirmed)
    is_cold: bool = False
    """Whether all functions are."""


DRYDOCK = Roll("Drydock", "RollGroup")
_BOTH_IMAGES = {"members": True, "before": {"wait": "begun"}}
WITH_IMAGES = replace(DRYDOCK, title="both, begun", input={"policy": {"backup": _BOTH_IMAGES}})
LONG_IMAGES = replace(WITH_IMAGES, title="both, 30 min", image_seconds=1800)
"""With both images, of which the first has only begun at the installation; and with images that take half an hour."""
ON_EVIDENCE = replace(DRYDOCK, title="reboots on evidence", input={"policy": {"reboot": "WhenNeeded"}})
IDLE = replace(DRYDOCK, title="no connections", unconfirmed=Unconfirmed(standby_when_idle=True))
"""If Auto Scaling waits for connections, and not for the status of the target, which AWS does not say."""
COLD = replace(DRYDOCK, title="all functions cold", is_cold=True)
STOCK = Roll("stock flow", "StockRoll", Path(__file__).parent, "replaced")
ROLLS = (DRYDOCK, WITH_IMAGES, LONG_IMAGES, ON_EVIDENCE, IDLE, COLD, STOCK)


@dataclass(frozen=True)
class RollCost:
    """What a roll took: virtual seconds, counts of all its executions, and what is true of the group at the end.

    `few_seconds` is how long fewer than all but one were healthy in service: one out, another not healthy again yet.
    """

    title: str
    succeeded: bool
    missing: int
    seconds: float
    transitions: int
    of_member: float
    """The transitions of the execution that patches a member, on average; 0 where a flow has none."""
    outages: tuple[MemberOutage, ...]
    most_out: int
    few_seconds: float

    @property
    def is_success(self) -> bool:
        """Say whether every member was patched."""
        return self.succeeded and not self.missing

    def average(self, what: str) -> float:
        """Return the mean seconds that a member waited for something; `length` and `idle` are those in all."""
        spans = [getattr(one, what) if what in ("length", "idle") else one.waited[what] for one in self.outages]
        return sum(span.total_seconds() for span in spans) / len(spans)


def measure_roll(roll: Roll) -> RollCost:
    """Roll through a group of four over two zones behind a load balancer, in an account of its own."""
    with (
        EmbeddedAccount(project=roll.project, dynamodb="own") as account,
        account.open_fleet() as fleet,
        Patches() as patches,
    ):
        if roll.is_cold:
            chill(account, patches)
        account.deploy(stack=roll.stack)
        group = fleet.add_group(
            "web",
            make_machines(LINUX, image_seconds=roll.image_seconds)[:MEMBERS],
            target_group="web",
            min=MEMBERS - 1,
            max=6,
            unconfirmed=roll.unconfirmed,
        )
        monitor = GroupMonitor(account, group)
        few: list[tuple[datetime, bool]] = []

        def notice(change: Change) -> None:
            few.append((change.at, group.count_healthy() < MEMBERS - 1))

        group.listeners.append(notice)
        given = {"groupName": "web", **roll.input}
        if roll.machine == STOCK.machine:
            given["instanceIds"] = list(group.members)
        arn = account.start_execution(roll.machine, given)
        account.run_until_quiet(_LIMIT)
        execution = account.execution(arn)
        assert execution.stopped is not None, "the roll did not end"
        machines = {machine.instance_id: machine for machine in fleet.machines}
        return RollCost(
            title=roll.title,
            succeeded=execution.status == "SUCCEEDED",
            missing=sum(len(machine.missing) for machine in fleet.machines),
            seconds=(execution.stopped - execution.started).total_seconds(),
            transitions=sum(view.transitions for view in account.executions()),
            of_member=sum(view.transitions for view in account.executions() if view.machine.endswith("PatchInstance"))
            / MEMBERS,
            outages=tuple(describe_outage(fleet, machines[one.instance_id], one) for one in monitor.outages),
            most_out=monitor.most_out,
            few_seconds=_seconds_of(few, execution.stopped),
        )


def _seconds_of(changes: list[tuple[datetime, bool]], end: datetime) -> float:
    """For how many seconds it was so."""
    ends = [at for at, _ in changes[1:]] + [end]
    spans = zip(changes, ends, strict=True)
    return sum((until - since).total_seconds() for (since, is_so), until in spans if is_so)
