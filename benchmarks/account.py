"""How fast the embedded account is: `python -m benchmarks.account [N...]` patches fleets of N machines.

`python -m benchmarks.account --at-once [N]` starts N machines at the same moment, within AWS's limits on calls.
`python -m benchmarks.account --run [N]` carries out one run of N machines of which 5 % fail, `--plan [N]` only
plans one.
`python -m benchmarks.account --scale [N...]` carries out a run of each size and prints how what it takes grows;
`--write` writes that into docs/benchmarks.md.
`python -m benchmarks.account --group [N]` rolls through an Auto Scaling group of N, twenty members at a time.
"""

from __future__ import annotations

import argparse
import heapq
import json
import multiprocessing
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.tables import Row, Table, write_into
from rehearsal.account import EmbeddedAccount
from rehearsal.engine.dynamodb.items import Items, Key, Version
from rehearsal.engine.project import PROJECT
from rehearsal.engine.repairs.patches import Patches
from rehearsal.play.fleet_file import read_fleet
from rehearsal.play.group_monitor import GroupMonitor
from rehearsal.play.run import RehearsalOutcome, rehearse
from rehearsal.proof.ends import JudgedEnds
from rehearsal.proof.promises import broken_promises
from rehearsal.proof.roll_promises import GroupBefore, broken_roll_promises
from rehearsal.world.fleet import MachineSpec
from rehearsal.world.group_specs import Pace

SIZES = (10, 100, 1000)
CROWD = 500
RUN = 1_000
SCALE = (100, 1_000, 3_000, 10_000)
PAGE = PROJECT / "docs" / "benchmarks.md"
PLAN = 10_000
CONCURRENCY = 50
GROUP, BATCH = 500, 20
FAILING = 20
"""Every so many-th machine of a run fails."""

LINUX = "{{name: linux, count: {}, missing: 5}}"
_TAGS = {"Patch Group": "everything"}
WINDOWS = "{{name: windows, count: {}, platform: Windows, power: stopped, missing: 5}}"


def measure(machines: int) -> RehearsalOutcome:
    """Patch so many machines, half of them running Linux, half of them stopped Windows."""
    counts = {LINUX: machines - machines // 2, WINDOWS: machines // 2}
    entries = ", ".join(entry.format(count) for entry, count in counts.items() if count)
    text = f"{{instances: [{entries}], start: [{{instances: all, every: 1s}}]}}"
    return rehearse(read_fleet(text, Path(f"{machines} machines")))


@dataclass(frozen=True)
class Crowd:
    """What became of machines that were started at once. `refused` counts what AWS throttled, by API."""

    minutes: float
    failed: tuple[tuple[str, str], ...]
    given_back: bool
    refused: Mapping[str, int]


def start_at_once(machines: int) -> Crowd:
    """Patch so many machines from the same moment on, half of them running Linux, half of them stopped Windows."""
    with EmbeddedAccount(limits=True) as account, account.open_fleet() as fleet:
        stack = account.deploy()
        began = account.clock.time()
        for number in range(machines):
            spec = MachineSpec(f"linux-{number}", missing=("openssl-3.0.8",))
            if number % 2:
                spec = MachineSpec(f"windows-{number}", "Windows", "stopped", missing=("KB5035857",))
            account.start_execution("PatchInstance", {"instanceId": fleet.add(spec)})
        account.run_until_quiet()
        ended = account.executions()
        last = max(execution.stopped or execution.started for execution in ended)
        items = account.client("dynamodb").get_paginator("scan").paginate(TableName=stack.resource("StateTable"))
        limits = account.calls.limits
        assert limits is not None
        return Crowd(
            minutes=(last.timestamp() - began) / 60,
            failed=tuple(
                (execution.error or execution.status, execution.cause or "")
                for execution in ended
                if execution.status != "SUCCEEDED"
            ),
            given_back=all(machine.power == machine.spec.power for machine in fleet.machines)
            and not any(item["sk"]["S"] == "LEASE" for page in items for item in page["Items"]),
            refused={f"{service}:{operation}": count for (service, operation), count in limits.refused.items()},
        )


def show_crowd(machines: int) -> bool:
    """Print how a crowd fared; false when a machine failed or was not given back."""
    crowd = start_at_once(machines)
    print(f"{machines:,} machines started at once: the last one ended after {crowd.minutes:.0f} minutes")
    for name, count in sorted(crowd.refused.items()):
        print(f"  {name}: {count:,} attempts throttled")
    for (error, cause), count in Counter(crowd.failed).most_common(10):
        print(f"  {count:,} failed: {error}: {cause[:200]}")
    return not crowd.failed and crowd.given_back


@dataclass(frozen=True)
class LargeRun:
    """What became of a run of many machines. `told` counts messages by kind, `calls` those of the plan function."""

    real_seconds: float
    minutes: float
    status: str
    report: Mapping[str, Any]
    most_events: int
    judged: int
    """Executions, each when it ended."""
    wave_minutes: float
    """From the start of the first machine to the end of the last: one wave."""
    schedule_minutes: float
    """What the machines' actual durations would take, whoever takes longest first, without anything between them."""
    told: Mapping[str, int]
    plan_calls: int
    plan_seconds: float
    """Virtual, of the plan function."""
    largest_object: int
    """Bytes of the largest file that the plan consists of."""
    largest_item: int
    """Bytes of the largest that an item of the table ever was."""
    processor_seconds: float
    broken: tuple[str, ...]


class _Sizes:
    """The largest that an item ever was, in bytes."""

    def __init__(self, patches: Patches) -> None:
        self.largest = 0

        def write(original: Callable[..., None], self_: Items, key: Key, version: Version | None) -> None:
            # To measure an item takes longer than to write it.
            if version is not None and version.at_most > self.largest:
                self.largest = max(self.largest, version.size)
            original(self_, key, version)

        patches.wrap(Items, "write", write)


def carry_out(machines: int, *, plan_only: bool = False) -> LargeRun:
    """One run of so many machines, half of them running Linux, half of them stopped Windows."""
    began, processor = time.perf_counter(), time.process_time()
    with EmbeddedAccount(dynamodb="own") as account, account.open_fleet() as fleet, Patches() as patches:
        sizes = _Sizes(patches)
        stack = account.deploy()
        ends = JudgedEnds(account, fleet)
        for number in range(machines):
            # One after the other in turn, so that both kinds fail.
            wrong = ("install_error",) if number % FAILING == number // FAILING % FAILING else ()
            spec = MachineSpec(f"linux-{number}", missing=("openssl-3.0.8",), wrong=wrong, tags=_TAGS)
            if number % 2:
                spec = MachineSpec(f"windows-{number}", "Windows", "stopped", _TAGS, ("KB5035857",), wrong=wrong)
            fleet.add(spec)
        given = {
            "targets": [{"key": f"tag:{key}", "values": [value]} for key, value in _TAGS.items()],
            "policy": {"deadlineMinutes": 4_320, "maxConcurrency": CONCURRENCY, "maxErrors": "10%"},
            "planOnly": plan_only,
        }
        arn = account.start_execution("MaintenanceRun", given, f"run-of-{machines}")
        account.run_until_quiet(timedelta(days=4))
        view = account.execution(arn)
        bucket = stack.resource("LogBucket")
        objects = account.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"runs/{view.name}/")["Contents"]
        report = account.client("s3").get_object(Bucket=bucket, Key=f"runs/{view.name}/report.json")["Body"].read()
        return LargeRun(
            real_seconds=time.perf_counter() - began,
            minutes=_minutes((view.stopped or view.started) - view.started),
            status=view.status,
            report=json.loads(report),
            most_events=ends.most_events,
            judged=ends.judged,
            wave_minutes=_minutes(max(ended for _, ended in ends.worked) - min(began for began, _ in ends.worked))
            if ends.worked
            else 0,
            schedule_minutes=find_longest_first([_minutes(end - start) for start, end in ends.worked], CONCURRENCY),
            told=Counter(message.attributes["kind"] for message in account.messages),
            plan_calls=len(ends.planning),
            plan_seconds=(ends.planning[-1].at - ends.planning[0].at).total_seconds(),
            largest_object=max(item["Size"] for item in objects),
            largest_item=sizes.largest,
            processor_seconds=time.process_time() - processor,
            broken=(*ends.broken, *broken_promises(account, fleet, stack, view.name)),
        )


def _minutes(time: timedelta) -> float:
    return time.total_seconds() / 60


def find_longest_first(minutes: Iterable[float], places: int) -> float:
    """Return how long it takes when whoever takes longest begins first, each as soon as one of the places is free."""
    free = [0.0] * places
    for one in sorted(minutes, reverse=True):
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def show_run(machines: int, *, plan_only: bool = False) -> bool:
    """Print how a large run went; false when it did not go as it should."""
    run = carry_out(machines, plan_only=plan_only)
    counts = {outcome: count for outcome, count in run.report["counts"].items() if count}
    print(f"a run of {machines:,} machines, {CONCURRENCY} at a time: {counts}, {run.real_seconds:.0f} s here")
    print(f"  {run.minutes:,.0f} minutes, {run.wave_minutes:,.1f} of one wave")
    print(f"  {run.schedule_minutes:,.1f} minutes if its machines followed each other at once, the longest first")
    print(f"  {run.plan_calls:,} calls in {run.plan_seconds:.0f} s for the plan")
    print(f"  {run.most_events:,} events in the longest history, {run.largest_object:,} bytes in the largest file")
    print(f"  messages: {dict(run.told)}")
    for broken in run.broken[:10]:
        print(f"  broken: {broken}")
    return not run.broken


def carry_out_alone(machines: int) -> tuple[LargeRun, float]:
    """One run in a process of its own, which is this; the gigabytes of memory that it took at most."""
    return carry_out(machines), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def show_scale(sizes: Sequence[int], *, write: bool) -> bool:
    """Print how runs of several sizes went, one after the other; false when one did not go as it should."""
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawned, max_tasks_per_child=1) as pool:
        runs = list(pool.map(carry_out_alone, sizes))
    table = Table(
        "scale",
        tuple(f"{size:,} machines" for size in sizes),
        (
            Row("minutes of the run", tuple(run.minutes for run, _ in runs)),
            Row("minutes of its one wave", tuple(run.wave_minutes for run, _ in runs), 1),
            Row("minutes of its machines, the longest first", tuple(run.schedule_minutes for run, _ in runs), 1),
            Row("the one by the other", tuple(run.wave_minutes / run.schedule_minutes for run, _ in runs), 3),
            Row("executions judged as they ended", tuple(run.judged for run, _ in runs)),
            Row("seconds of processor time here", tuple(run.processor_seconds for run, _ in runs)),
            Row(
                "milliseconds of it for a machine",
                tuple(1000 * one.processor_seconds / n for n, (one, _) in zip(sizes, runs, strict=True)),
            ),
            Row("gigabytes of memory, at most", tuple(memory for _, memory in runs), 1),
            Row("events of the longest history", tuple(run.most_events for run, _ in runs)),
            Row("bytes of the largest item", tuple(run.largest_item for run, _ in runs)),
            Row("bytes of the largest file", tuple(run.largest_object for run, _ in runs)),
            Row("broken promises", tuple(len(run.broken) for run, _ in runs)),
        ),
    )
    print(table.to_text())
    for broken in [broken for run, _ in runs for broken in run.broken][:10]:
        print(f"  broken: {broken}")
    if write:
        PAGE.write_text(write_into(PAGE.read_text(), [table]))
    return not any(run.broken for run, _ in runs)


@dataclass(frozen=True)
class LargeRoll:
    """What became of a roll through a group of many. `lease_bytes` is the largest that its lease ever was, as JSON."""

    real_seconds: float
    hours: float
    status: str
    outcomes: Mapping[str, int]
    most_events: int
    lease_bytes: int
    broken: tuple[str, ...]


def roll_through(members: int) -> LargeRoll:
    """One roll through a group of so many members behind a load balancer, without images."""
    began = time.perf_counter()
    with EmbeddedAccount() as account, account.open_fleet() as fleet:
        stack = account.deploy()
        machines = [MachineSpec(f"herd-{number}", missing=("openssl-3.0.8",)) for number in range(1, members + 1)]
        batch = min(BATCH, members)
        settings: dict[str, Any] = {"min": members - batch, "max": members, "pace": Pace(health_check=3600)}
        group = fleet.add_group("herd", machines, target_group="herd", **settings)
        monitor, before = GroupMonitor(account, group, batch=batch), GroupBefore.of(group)
        policy = {
            "batch": batch,
            "backup": {"before": {"take": False}, "after": {"take": False}},
            "minHealthy": members - batch,
        }
        arn = account.start_execution("RollGroup", {"groupName": group.name, "policy": policy}, "herd")
        largest = 0

        def look(item: Mapping[str, Any]) -> None:
            nonlocal largest
            largest = max(largest, len(json.dumps(item)))

        client, key = account.client("dynamodb"), {"pk": {"S": f"GROUP#{group.name}"}, "sk": {"S": "LEASE"}}
        while account.execution(arn).status == "RUNNING":
            end = account.clock.now() + timedelta(minutes=30)
            account.clock.call_at(end, lambda: None)
            account.clock.run(until=lambda end=end: account.clock.now() >= end)  # type: ignore[misc]
            look(client.get_item(TableName=stack.resource("StateTable"), Key=key).get("Item", {}))
        account.run_until_quiet(timedelta(days=1))
        view = account.execution(arn)
        output = json.loads(view.output) if isinstance(view.output, str) else view.output or {}
        return LargeRoll(
            real_seconds=time.perf_counter() - began,
            hours=((view.stopped or view.started) - view.started).total_seconds() / 3600,
            status=view.status,
            outcomes=Counter((output.get("members") or {}).values()),
            most_events=max(len(one.events) for one in account.executions()),
            lease_bytes=largest,
            broken=(*monitor.violations, *broken_roll_promises(account, fleet, stack, before, arn)),
        )


def show_roll(members: int) -> bool:
    """Print how a roll through a large group went; false when it did not go as it should."""
    roll = roll_through(members)
    print(f"a group of {members:,}, {BATCH} at a time: {dict(roll.outcomes)}, {roll.real_seconds:.0f} s here")
    print(f"  {roll.hours:.1f} hours, {roll.most_events:,} events in the longest history")
    print(f"  {roll.lease_bytes:,} bytes in the largest lease")
    for broken in roll.broken[:10]:
        print(f"  broken: {broken}")
    return roll.status == "SUCCEEDED" and not roll.broken


def main(arguments: list[str]) -> int:
    """Print a line for each size; the exit code is 1 when a machine did not end as it should."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.account", description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=list(SIZES), help=f"machines, one by one ({SIZES})")
    parser.add_argument("--at-once", nargs="?", type=int, const=CROWD, help=f"so many machines at once ({CROWD})")
    parser.add_argument("--run", nargs="?", type=int, const=RUN, help=f"a run of so many machines ({RUN})")
    parser.add_argument("--plan", nargs="?", type=int, const=PLAN, help=f"a plan of so many machines ({PLAN})")
    parser.add_argument("--group", nargs="?", type=int, const=GROUP, help=f"a roll through so many members ({GROUP})")
    parser.add_argument("--scale", nargs="*", type=int, metavar="N", help=f"runs of so many machines each ({SCALE})")
    parser.add_argument("--write", action="store_true", help=f"write the scale into {PAGE.relative_to(PROJECT)}")
    given = parser.parse_args(arguments)
    if given.scale is not None:
        return int(not show_scale(given.scale or SCALE, write=given.write))
    if given.at_once is not None:
        return int(not show_crowd(given.at_once))
    if given.run is not None:
        return int(not show_run(given.run, plan_only=False))
    if given.plan is not None:
        return int(not show_run(given.plan, plan_only=True))
    if given.group is not None:
        return int(not show_roll(given.group))
    sizes: list[int] = given.sizes
    print(f"{'machines':>8}  {'real s':>7}  {'states/s':>8}  {'calls/s':>8}  {'states':>7}  {'calls':>8}")
    failed = False
    for size in sizes:
        outcome = measure(size)
        seconds = outcome.real_seconds
        print(
            f"{size:>8,}  {seconds:>7.1f}  {outcome.transitions / seconds:>8.0f}  {outcome.aws_calls / seconds:>8.0f}"
            f"  {outcome.transitions:>7,}  {outcome.aws_calls:>8,}",
            flush=True,
        )
        failed = failed or not outcome.is_as_expected
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
