"""Prints what Drydock costs beside the flows that it replaces, and how long its handlers take to import."""

from __future__ import annotations

import sys

from benchmarks.flows import RUNS, Cost, measure
from benchmarks.imports import GOAL, describe_machine, measure_imports, measure_layer
from benchmarks.prices import FORMULA, price

HEADINGS = ("machine", "flow", "minutes", "work", "pause", "idle s", "power", "states", "calls", "runs", "1,000 cost")
WIDTHS = (16, 14, 8, 6, 6, 7, 8, 7, 14, 6, 12)

EXPLANATION = """\
One machine, on average over five of different speeds.
minutes: from start to end of the execution, of which
work:    minutes in which something was done to or by the machine: power changes, boots, images, commands
pause:   minutes that AWS-RunPatchBaseline demands between two of its runs
idle s:  seconds of neither
power:   the machine's at the end
states:  state transitions
calls:   AWS calls of functions + those to Drydock's own table + those of the state machine
runs:    invocations of functions
The polling chain and the fixed sleeps look every 15 s; neither checks what was installed."""


def main() -> int:
    """Print both tables; the exit code is 1 when a machine was not patched."""
    costs = [measure(kind, flow) for kind, flow in RUNS]
    print(_format(HEADINGS))
    for cost in costs:
        print(_format(_describe(cost)))
    print(f"\n{EXPLANATION}\n{FORMULA}\n")
    imports = measure_imports()
    slowest = max(imports, key=imports.__getitem__)
    for name, milliseconds in imports.items():
        print(f"{name:<22}{milliseconds:>5.0f} ms")
    print(f"Import of a handler: processor time, {describe_machine()}. Slowest: {slowest}. Goal: {GOAL} ms.")
    size = measure_layer()
    print("Layer: not built; make build." if size is None else f"Layer: {size / 2**20:.1f} MiB.")
    return int(not all(cost.is_success for cost in costs))


def _describe(cost: Cost) -> tuple[str, ...]:
    (power,) = {run.power for run in cost.runs}
    return (
        cost.kind,
        cost.flow,
        f"{cost.average('duration') / 60:.1f}",
        f"{cost.average('work') / 60:.1f}",
        f"{cost.average('pause') / 60:.1f}",
        f"{cost.average('idle'):.0f}",
        power,
        f"{cost.average('transitions'):.0f}",
        " + ".join(f"{cost.average(calls):.0f}" for calls in ("service_calls", "table_calls", "machine_calls")),
        f"{cost.average('invocations'):.0f}",
        f"${price(cost):.2f}",
    )


def _format(cells: tuple[str, ...]) -> str:
    sides = ("<", "<", *">" * (len(WIDTHS) - 2))
    return "".join(f"{cell:{side}{width}}" for cell, side, width in zip(cells, sides, WIDTHS, strict=True))


if __name__ == "__main__":
    sys.exit(main())
