"""Prints what Drydock costs beside the flows that it replaces, and how long its handlers take to import."""

from __future__ import annotations

import argparse
import sys

from benchmarks.flows import RUNS, Cost, measure
from benchmarks.imports import GOAL, describe_machine, measure_imports, measure_layer
from benchmarks.prices import FORMULA, price
from benchmarks.rolls import MEMBERS, ROLLS, RollCost, measure_roll

ROLL_HEADINGS = ("roll", "minutes", "out", "drain", "work", "pause", "health", "idle s", "few s", "most out", "states")
ROLL_WIDTHS = (16, 8, 8, 8, 8, 8, 8, 8, 8, 10, 8)

ROLL_EXPLANATION = f"""\
A group of {MEMBERS} over two zones behind a load balancer, one member at a time.
minutes:  from start to end of the execution
out:      minutes that a member was out of service, on average, of which
drain:    minutes until its connections were drained
work:     minutes in which something was done to or by it: commands, images, boots
pause:    minutes that AWS-RunPatchBaseline demands between two of its runs
health:   minutes until the group and its load balancer trusted it again
idle s:   seconds of none of these
few s:    seconds in which fewer than {MEMBERS - 1} were healthy in service
most out: members that were out at the same time, at most
states:   state transitions of all executions"""

HEADINGS = (
    "machine",
    "flow",
    "place",
    "out",
    "work",
    "pause",
    "idle s",
    "power",
    "states",
    "calls",
    "runs",
    "1,000 cost",
)
WIDTHS = (18, 14, 6, 6, 6, 6, 7, 8, 7, 14, 6, 12)

EXPLANATION = """\
One machine, on average over five of different speeds.
place:   minutes from its admission until it has its power again and its place in a run is free, of which
out:     minutes in which a machine that ran did not serve
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
    argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__).parse_args()
    costs = [measure(kind, flow) for kind, flow in RUNS]
    print(_format(HEADINGS, WIDTHS))
    for cost in costs:
        print(_format(_describe(cost), WIDTHS))
    print(f"\n{EXPLANATION}\n{FORMULA}\n")
    rolls = [measure_roll(roll) for roll in ROLLS]
    print(_format(ROLL_HEADINGS, ROLL_WIDTHS))
    for roll in rolls:
        print(_format(_describe_roll(roll), ROLL_WIDTHS))
    print(f"\n{ROLL_EXPLANATION}\n")
    imports = measure_imports()
    slowest = max(imports, key=imports.__getitem__)
    for name, milliseconds in imports.items():
        print(f"{name:<22}{milliseconds:>5.0f} ms")
    print(f"Import of a handler: processor time, {describe_machine()}. Slowest: {slowest}. Goal: {GOAL} ms.")
    size = measure_layer()
    print("Layer: not built; make build." if size is None else f"Layer: {size / 2**20:.1f} MiB.")
    succeeded = [*(cost.is_success for cost in costs), *(roll.is_success for roll in rolls)]
    return int(not all(succeeded))


def _describe_roll(cost: RollCost) -> tuple[str, ...]:
    work = sum(cost.average(kind) for kind in ("command", "image", "power"))
    minutes = (
        cost.seconds,
        cost.average("length"),
        cost.average("draining"),
        work,
        cost.average("pause"),
        cost.average("health"),
    )
    return (
        cost.title,
        *(f"{seconds / 60:.1f}" for seconds in minutes),
        f"{cost.average('idle'):.0f}",
        f"{cost.few_seconds:.0f}",
        str(cost.most_out),
        str(cost.transitions),
    )


def _describe(cost: Cost) -> tuple[str, ...]:
    (power,) = {run.power for run in cost.runs}
    return (
        cost.kind,
        cost.flow,
        f"{cost.average('duration') / 60:.1f}",
        f"{cost.average('out') / 60:.1f}",
        f"{cost.average('work') / 60:.1f}",
        f"{cost.average('pause') / 60:.1f}",
        f"{cost.average('idle'):.0f}",
        power,
        f"{cost.average('transitions'):.0f}",
        " + ".join(f"{cost.average(calls):.0f}" for calls in ("service_calls", "table_calls", "machine_calls")),
        f"{cost.average('invocations'):.0f}",
        f"${price(cost):.2f}",
    )


def _format(cells: tuple[str, ...], widths: tuple[int, ...]) -> str:
    """Texts to the left, numbers to the right."""
    texts = 2 if widths is WIDTHS else 1
    sides = (*"<" * texts, *">" * (len(widths) - texts))
    return "".join(f"{cell:{side}{width}}" for cell, side, width in zip(cells, sides, widths, strict=True))


if __name__ == "__main__":
    sys.exit(main())
