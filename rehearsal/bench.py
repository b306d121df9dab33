"""How fast the embedded account is: `python -m rehearsal.bench [N...]` patches fleets of N machines."""

from __future__ import annotations

import sys
from pathlib import Path

from rehearsal.fleet_file import read_fleet
from rehearsal.run import RehearsalOutcome, rehearse

SIZES = (10, 100, 1000)

LINUX = "{{name: linux, count: {}, missing: 5}}"
WINDOWS = "{{name: windows, count: {}, platform: Windows, power: stopped, missing: 5}}"


def measure(machines: int) -> RehearsalOutcome:
    """Patch so many machines, half of them running Linux, half of them stopped Windows."""
    counts = {LINUX: machines - machines // 2, WINDOWS: machines // 2}
    entries = ", ".join(entry.format(count) for entry, count in counts.items() if count)
    text = f"{{instances: [{entries}], start: [{{instances: all, every: 1s}}]}}"
    return rehearse(read_fleet(text, Path(f"{machines} machines")))


def main(arguments: list[str]) -> int:
    """Print a line for each size; the exit code is 1 when a machine did not end as it should."""
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
