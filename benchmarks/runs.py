"""Carries out runs of many machines, and counts all that they take: the run's own states and the sweeps, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from benchmarks.bills import Bill, Meter
from benchmarks.flows import LINUX, SPEEDS, make_machines
from rehearsal.account import EmbeddedAccount

MACHINES = 100
_TAGS = {"Patch Group": "everyone"}
_LIMIT = timedelta(days=1)


@dataclass(frozen=True)
class Run:
    """A run of so many running Linux machines, and its policy besides."""

    title: str
    policy: Mapping[str, Any] = field(default_factory=dict)


RUNS = (
    Run("as it is by default"),
    Run("no images", {"backup": {"before": {"take": False}, "after": {"take": False}}}),
    Run("reboots on evidence", {"reboot": "WhenNeeded"}),
)


@dataclass(frozen=True)
class RunCost:
    """What a run took. `of_machine` are the transitions of a machine's own executions, `bill` a machine's share."""

    title: str
    status: str
    missing: int
    minutes: float
    of_machine: float
    bill: Bill

    @property
    def is_success(self) -> bool:
        """Say whether every machine was patched."""
        return self.status == "SUCCEEDED" and not self.missing


def measure_run(run: Run, machines: int = MACHINES) -> RunCost:
    """Carry out a run in an account of its own: a plan without approval, one wave, all machines at once."""
    with EmbeddedAccount(dynamodb="own") as account, account.open_fleet() as fleet:
        stack = account.deploy()
        kinds = make_machines(replace(LINUX, tags=_TAGS))
        for number in range(machines):
            kind = kinds[number % len(SPEEDS)]
            fleet.add(replace(kind, name=f"{kind.name} {number}"))
        policy = {"deadlineMinutes": 600, "maxConcurrency": machines, **run.policy}
        targets = [{"key": f"tag:{key}", "values": [value]} for key, value in _TAGS.items()]
        with Meter(account, sweeps=True) as meter:
            arn = account.start_execution("MaintenanceRun", {"targets": targets, "policy": policy}, "night")
            account.run_until_quiet(_LIMIT)
            bill = meter.bill(stack)
        view = account.execution(arn)
        assert view.stopped is not None, "the run did not end"
        return RunCost(
            title=run.title,
            status=view.status,
            missing=sum(len(machine.missing) for machine in fleet.machines),
            minutes=(view.stopped - view.started).total_seconds() / 60,
            of_machine=(bill.transitions - view.transitions) / machines,
            bill=bill.share(machines),
        )
