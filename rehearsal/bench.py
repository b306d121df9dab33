"""How fast the embedded account is: `python -m rehearsal.bench [N...]` patches fleets of N machines.

`python -m rehearsal.bench --at-once [N]` starts N machines at the same moment, within AWS's limits on calls.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rehearsal.account import EmbeddedAccount
from rehearsal.fleet import Fleet, MachineSpec
from rehearsal.fleet_file import read_fleet
from rehearsal.run import RehearsalOutcome, rehearse

SIZES = (10, 100, 1000)
CROWD = 500

LINUX = "{{name: linux, count: {}, missing: 5}}"
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
    with EmbeddedAccount(limits=True) as account, Fleet(account) as fleet:
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


def main(arguments: list[str]) -> int:
    """Print a line for each size; the exit code is 1 when a machine did not end as it should."""
    if arguments[:1] == ["--at-once"]:
        return int(not show_crowd(int(arguments[1]) if arguments[1:] else CROWD))
    sizes = [int(argument) for argument in arguments] or list(SIZES)
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
