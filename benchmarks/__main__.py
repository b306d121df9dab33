"""Compares Drydock with the flows that it replaces, and measures how its functions begin."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cold_starts import (
    CALL_GOAL,
    IMPORT_GOAL,
    MEMORIES,
    ColdStart,
    describe_machine,
    measure_cold_starts,
    measure_layer,
)
from benchmarks.flows import RUNS, Cost, measure
from benchmarks.prices import FORMULA, price
from benchmarks.rolls import MEMBERS, ROLLS, RollCost, measure_roll
from benchmarks.tables import Row, Table, write_into
from rehearsal.engine.project import PROJECT

PAGE = PROJECT / "docs" / "benchmarks.md"


def compare_machines(costs: Sequence[Cost]) -> Table:
    """Return what one machine takes with each flow, on average over five of different speeds."""

    def mean(measure: str, divisor: float = 1) -> tuple[float, ...]:
        return tuple(cost.average(measure) / divisor for cost in costs)

    return Table(
        "machines",
        tuple(f"{cost.kind}: {cost.flow}" for cost in costs),
        (
            Row("minutes of its place", mean("duration", 60), 1),
            Row("in which a running machine did not serve", mean("out", 60), 1),
            Row("in which something was done", mean("work", 60), 1),
            Row("AWS-RunPatchBaseline's pause", mean("pause", 60), 1),
            Row("seconds of neither", mean("idle")),
            Row("the machine ends", tuple(", ".join(sorted({run.power for run in cost.runs})) for cost in costs)),
            Row("state transitions", mean("transitions")),
            Row("AWS calls of functions", mean("service_calls")),
            Row("those to Drydock's table", mean("table_calls")),
            Row("AWS calls of the state machine", mean("machine_calls")),
            Row("invocations of functions", mean("invocations")),
            Row("US dollars for 1,000 machines", tuple(price(cost) for cost in costs), 2),
        ),
    )


def compare_rolls(rolls: Sequence[RollCost]) -> Table:
    """Return what a roll through a group takes with each flow; what is of members is a mean."""

    def minutes(*whats: str) -> tuple[float, ...]:
        return tuple(sum(roll.average(what) for what in whats) / 60 for roll in rolls)

    return Table(
        "rolls",
        tuple(roll.title for roll in rolls),
        (
            Row("minutes for the group", tuple(roll.seconds / 60 for roll in rolls), 1),
            Row("minutes that a member is out of service", minutes("length"), 1),
            Row("of which drained", minutes("draining"), 1),
            Row("in which something was done", minutes("command", "image", "power"), 1),
            Row("AWS-RunPatchBaseline's pause", minutes("pause"), 1),
            Row("until it is healthy", minutes("health"), 1),
            Row("seconds of none of these", tuple(roll.average("idle") for roll in rolls)),
            Row(f"seconds in which fewer than {MEMBERS - 1} serve", tuple(roll.few_seconds for roll in rolls)),
            Row("members out at the same time, at most", tuple(roll.most_out for roll in rolls)),
            Row("state transitions, all executions", tuple(roll.transitions for roll in rolls)),
        ),
    )


def list_cold_starts(begun: Sequence[ColdStart]) -> Table:
    """Return how each function begins: milliseconds of processor time, and seconds with a share of a processor."""
    return Table(
        "cold_starts",
        ("import with clients", "first call", *(f"s at {memory} MB" for memory in MEMORIES)),
        tuple(
            Row(
                f"`{one.function}`",
                (
                    f"{one.import_processor:.0f}",
                    f"{one.call_processor:.0f}",
                    *(f"{one.seconds_at(memory):.1f}" for memory in MEMORIES),
                ),
            )
            for one in begun
        ),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; the exit code is 1 when a machine was not patched."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, for programs")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {PAGE.relative_to(PROJECT)}")
    given = parser.parse_args(arguments)
    costs = [measure(kind, flow) for kind, flow in RUNS]
    rolls = [measure_roll(roll) for roll in ROLLS]
    tables = [compare_machines(costs), compare_rolls(rolls), list_cold_starts(measure_cold_starts())]
    for table in tables:
        print(f"{table.to_text()}\n")
    print(FORMULA)
    print(f"Cold starts: milliseconds, {describe_machine()}. Goals: {IMPORT_GOAL} and {CALL_GOAL} ms.")
    size = measure_layer()
    print("Layer: not built; make build." if size is None else f"Layer: {size / 2**20:.1f} MiB.")
    if given.json:
        given.json.write_text(json.dumps({table.name: table.to_json() for table in tables}, indent=2) + "\n")
    if given.write:
        PAGE.write_text(write_into(PAGE.read_text(), tables))
    return int(not all([*(cost.is_success for cost in costs), *(roll.is_success for roll in rolls)]))


if __name__ == "__main__":
    sys.exit(main())
