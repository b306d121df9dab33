"""Patches machines with Drydock, or with a flow that it replaces, and measures what that takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.bills import SWEEP, Bill, Meter
from benchmarks.cold import chill
from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.engine.project import PROJECT
from rehearsal.engine.repairs.patches import Patches
from rehearsal.play.outcomes.machine import minutes_out_of_service
from rehearsal.play.waiting import covered, spans_of_pause, spans_of_work
from rehearsal.world.fleet import Durations, Fleet, Machine, MachineSpec

SPEEDS = (0.81, 0.93, 1.0, 1.07, 1.19)
"""A machine for each: all that it does takes its usual time by this factor, so that no flow's rhythm fits."""


def make_machines(kind: MachineSpec, image_seconds: float | None = None) -> tuple[MachineSpec, ...]:
    """Return a machine of each speed; where it is said, images take so long at the usual one."""
    usual = kind.durations if image_seconds is None else replace(kind.durations, image=image_seconds)
    return tuple(
        replace(
            kind,
            name=f"{kind.name} {number}",
            durations=Durations(**{name: seconds * speed for name, seconds in asdict(usual).items()}),
        )
        for number, speed in enumerate(SPEEDS, 1)
    )


LINUX = MachineSpec("running Linux", missing=("openssl-3.0.8", "kernel-6.1.90"))
LONG_IMAGES = replace(LINUX, name="30-minute images", durations=replace(LINUX.durations, image=1800))
"""As LINUX, but an image takes half an hour."""
WINDOWS = MachineSpec("stopped Windows", platform="Windows", power="stopped", missing=("KB5034439", "KB5035857"))

_LIMIT = timedelta(days=1)


@dataclass(frozen=True)
class Flow:
    """A way to patch a machine: a state machine of the stack in `project`, and the input it gets besides the id."""

    title: str
    machine: str
    project: Path = PROJECT
    stack: str = "drydock"
    input: Mapping[str, Any] = field(default_factory=dict)
    is_cold: bool = False
    """Whether all functions are."""


DRYDOCK = Flow("Drydock", "PatchInstance")
COLD = replace(DRYDOCK, title="all functions cold", is_cold=True)


def _with_images(title: str, **backup: Mapping[str, Any]) -> Flow:
    return replace(DRYDOCK, title=title, input={"policy": {"backup": backup}})


IMAGES = (
    _with_images("none", before={"take": False}, after={"take": False}),
    _with_images("before", after={"take": False}),
    _with_images("after", before={"take": False}),
    _with_images("both"),
    _with_images("both, begun", before={"wait": "begun"}),
    _with_images("both, with reboots", after={"reboot": True}),
)
"""Which images are made, and what patching waits for: `begun` waits for the snapshots of the first only."""
POLLING_CHAIN = Flow("polling chain", "PollingChain", Path(__file__).parent, "replaced")
FIXED_SLEEPS = replace(POLLING_CHAIN, title="fixed sleeps", machine="FixedSleeps")

_BASELINE = {"document": "AWS-RunPatchBaseline", "parameters": {"Operation": ["Install"]}}
_WINDOWS_UPDATE = {
    "document": "AWS-InstallWindowsUpdates",
    "parameters": {
        "Action": ["Install"],
        "AllowReboot": ["True"],
        "SeverityLevels": ["Critical,Important,Moderate,Low"],
    },
}

RUNS = (
    (LINUX, DRYDOCK),
    (LINUX, COLD),
    (LINUX, replace(POLLING_CHAIN, input=_BASELINE)),
    (LINUX, FIXED_SLEEPS),
    (WINDOWS, DRYDOCK),
    (WINDOWS, replace(POLLING_CHAIN, input=_WINDOWS_UPDATE)),
)
"""What is compared. The runbook with fixed sleeps starts no machine, so it gets none that is stopped."""


@dataclass(frozen=True)
class Run:
    """One machine's run: virtual seconds, and what is true of the machine at the end.

    `work` is the time in which something was done to or by the machine: power changes, boots, images, commands.
    `pause` is what AWS-RunPatchBaseline demands between two of its runs, as far as there was no work.
    """

    succeeded: bool
    missing: int
    power: str
    transitions: int
    duration: float
    work: float
    pause: float
    out: float
    """How long a machine that ran at the beginning and runs at the end did not serve; 0 for any other."""

    @property
    def idle(self) -> float:
        """How long the run held the machine for no reason but its own."""
        return self.duration - self.work - self.pause


@dataclass(frozen=True)
class Cost:
    """What a flow took for all machines of a kind. Calls and invocations of Drydock's schedule are left out.

    The functions' calls are `table_calls` to Drydock's own table and `service_calls` to all else.
    """

    kind: str
    flow: str
    runs: tuple[Run, ...]
    service_calls: int
    table_calls: int
    machine_calls: int
    bill: Bill

    @property
    def is_success(self) -> bool:
        """Say whether every machine was patched."""
        return all(run.succeeded and not run.missing for run in self.runs)

    def average(self, measure: str) -> float:
        """Return the mean of a property of the runs, or an even share of a sum."""
        for counted in (self, self.bill):
            if hasattr(counted, measure):
                return float(getattr(counted, measure)) / len(self.runs)
        return sum(float(getattr(run, measure)) for run in self.runs) / len(self.runs)


def measure(kind: MachineSpec, flow: Flow) -> Cost:
    """Patch machines of a kind, all at once, in an account of their own."""
    with EmbeddedAccount(project=flow.project, dynamodb="own") as account, account.open_fleet() as fleet:
        stack = account.deploy(stack=flow.stack)
        machines = [fleet.machine(fleet.add(spec)) for spec in make_machines(kind)]
        with Meter(account, sweeps=False) as meter, Patches() as patches:
            if flow.is_cold:
                chill(account, patches)
            started = [
                account.start_execution(flow.machine, {"instanceId": machine.instance_id, **flow.input})
                for machine in machines
            ]
            account.run_until_quiet(_LIMIT)
            bill = meter.bill(stack)
        calls = [call for call in account.calls.calls if call.caller.name != SWEEP]
        by_functions = [call for call in calls if call.caller.kind == "function"]
        to_table = [call for call in by_functions if call.service == "dynamodb"]
        return Cost(
            kind=kind.name,
            flow=flow.title,
            runs=tuple(
                _describe_run(fleet, machine, account.execution(arn))
                for machine, arn in zip(machines, started, strict=True)
            ),
            service_calls=len(by_functions) - len(to_table),
            table_calls=len(to_table),
            machine_calls=len(calls) - len(by_functions),
            bill=bill,
        )


def _describe_run(fleet: Fleet, machine: Machine, execution: ExecutionView) -> Run:
    assert execution.stopped is not None, "the run did not end"
    whole = (execution.started, execution.stopped)
    work = [span for _, span in spans_of_work(fleet, machine, execution.stopped)]
    worked = covered(work, whole).total_seconds()
    return Run(
        succeeded=execution.status == "SUCCEEDED",
        missing=len(machine.missing),
        power=machine.power,
        transitions=execution.transitions,
        duration=(execution.stopped - execution.started).total_seconds(),
        work=worked,
        out=60 * (minutes_out_of_service(machine) or 0),
        pause=covered([*work, *spans_of_pause(fleet, machine)], whole).total_seconds() - worked,
    )
