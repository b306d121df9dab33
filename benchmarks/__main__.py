"""Compares Drydock with the flows that it replaces, and measures how its functions begin."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bills import PRICES, Bill, describe_prices
from benchmarks.cold_starts import (
    CALL_GOAL,
    IMPORT_GOAL,
    MEMORIES,
    ColdStart,
    describe_machine,
    measure_cold_starts,
    measure_layer,
)
from benchmarks.flows import IMAGES, LINUX, LONG_IMAGES, RUNS, Cost, measure
from benchmarks.rolls import MEMBERS, ROLLS, RollCost, measure_roll
from benchmarks.runs import RUNS as WHOLE_RUNS
from benchmarks.runs import RunCost, measure_run
from benchmarks.tables import PAGE, Row, Table, write_into
from rehearsal.engine.project import PROJECT


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
            *_bill_rows([cost.bill.share(len(cost.runs)) for cost in costs]),
        ),
    )


def _bill_rows(bills: Sequence[Bill]) -> tuple[Row, ...]:
    """Return what is billed of a machine besides its transitions."""
    rows = [("invocations of functions", "invocations", 0), ("write units of the table", "write_units", 0)]
    rows += [("read units of the table", "read_units", 1), ("writes to S3", "puts", 1), ("reads from S3", "gets", 1)]
    rows += [("bytes of logs", "log_bytes", 0), ("US dollars for 1,000 machines", "dollars", 2)]
    factors = {"dollars": 1000}
    return tuple(
        Row(title, tuple(getattr(bill, name) * factors.get(name, 1) for bill in bills), decimals)
        for title, name, decimals in rows
    )


def compare_images(flows: Sequence[tuple[Cost, Cost]]) -> Table:
    """Return what images cost a running machine: each way with images of five minutes, and of half an hour."""
    usual, long = ([pair[place] for pair in flows] for place in (0, 1))

    def mean(costs: Sequence[Cost], measure: str) -> tuple[float, ...]:
        return tuple(cost.average(measure) for cost in costs)

    def minutes(costs: Sequence[Cost], measure: str) -> tuple[float, ...]:
        return tuple(seconds / 60 for seconds in mean(costs, measure))

    return Table(
        "images",
        tuple(cost.flow for cost in usual),
        (
            Row("minutes of its place", minutes(usual, "duration"), 1),
            Row("with images of 30 minutes", minutes(long, "duration"), 1),
            Row("in which it did not serve", minutes(usual, "out"), 1),
            Row("with images of 30 minutes", minutes(long, "out"), 1),
            Row("seconds for no reason", mean(usual, "idle")),
            Row("state transitions", mean(usual, "transitions")),
            Row("US dollars for 1,000 machines", tuple(1000 * cost.average("dollars") for cost in usual), 2),
        ),
    )


def compare_runs(runs: Sequence[RunCost]) -> Table:
    """Return what a machine takes in a run: an even share of all that the run takes."""
    bills = [run.bill for run in runs]
    return Table(
        "runs",
        tuple(run.title for run in runs),
        (
            Row("minutes for the run", tuple(run.minutes for run in runs), 1),
            Row("state transitions", tuple(bill.transitions for bill in bills), 1),
            Row("those of its own executions", tuple(run.of_machine for run in runs), 1),
            *_bill_rows(bills),
        ),
    )


def list_prices() -> Table:
    """Return the prices that are taken, and where they stand."""
    rows = (Row(one.of, (f"{one.dollars:g}", f"{one.per:,}", one.source, one.compared)) for one in PRICES.values())
    return Table("prices", ("US dollars", "for", "AWS's page", "compared"), tuple(rows))


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
            Row("those of a member's own execution", tuple(roll.of_member for roll in rolls), 1),
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
    images = [(measure(LINUX, flow), measure(LONG_IMAGES, flow)) for flow in IMAGES]
    runs = [measure_run(run) for run in WHOLE_RUNS]
    tables = [
        compare_machines(costs),
        compare_images(images),
        compare_runs(runs),
        compare_rolls(rolls),
        list_prices(),
        list_cold_starts(measure_cold_starts()),
    ]
    for table in tables:
        print(f"{table.to_text()}\n")
    print(describe_prices())
    print(f"Cold starts: milliseconds, {describe_machine()}. Goals: {IMPORT_GOAL} and {CALL_GOAL} ms.")
    size = measure_layer()
    print("Layer: not built; make build." if size is None else f"Layer: {size / 2**20:.1f} MiB.")
    if given.json:
        given.json.write_text(json.dumps({table.name: table.to_json() for table in tables}, indent=2) + "\n")
    if given.write:
        PAGE.write_text(write_into(PAGE.read_text(), tables))
    ends = [
        *(cost.is_success for cost in costs),
        *(cost.is_success for pair in images for cost in pair),
        *(run.is_success for run in runs),
        *(roll.is_success for roll in rolls),
    ]
    return int(not all(ends))


if __name__ == "__main__":
    sys.exit(main())
