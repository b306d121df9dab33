"""Tables of figures: printed, written into a page between its markers, and given to programs as numbers."""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
Figure = float | str
Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Row:
    """One measure of everything that is compared; numbers are shown with so many decimals."""

    what: str
    figures: tuple[Figure, ...]
    decimals: int = 0

    def show(self) -> tuple[str, ...]:
        """Return the figures as people read them."""
        return tuple(one if isinstance(one, str) else f"{one:,.{self.decimals}f}" for one in self.figures)


@dataclass(frozen=True)
class Table:
    """What is compared, in columns, by what is measured. `name` is that of the markers in a page."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def to_text(self) -> str:
        """Return the table for a terminal."""
        lines = [("", *self.columns), *((row.what, *row.show()) for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        sides = ("<", *">" * len(self.columns))
        return "\n".join(
            "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True)).rstrip()
            for line in lines
        )

    def to_markdown(self) -> str:
        """Return the table for a page."""
        lines = [("", *self.columns), ("---", *["---:"] * len(self.columns))]
        lines += [(row.what, *row.show()) for row in self.rows]
        return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)

    def to_json(self) -> Mapping[str, Mapping[str, Figure]]:
        """Return the figures by column and measure."""
        return {
            column: {row.what: row.figures[number] for row in self.rows} for number, column in enumerate(self.columns)
        }


def write_into(page: str, tables: Sequence[Table]) -> str:
    """Return a page with these tables between their markers; raises LookupError when it has none for one."""
    for table in tables:
        markers = re.compile(rf"(<!-- {table.name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, found = markers.subn(lambda match, table=table: match[1] + table.to_markdown() + match[2], page)  # type: ignore[misc]
        if found != 1:
            raise LookupError(f"the page has {found} places for the table {table.name}")
    return page


def measure_apart(measure: Callable[[int], Measured], sizes: Sequence[int]) -> list[Measured]:
    """Measure each size in a process of its own, so that its memory is its own; one after the other."""
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawned, max_tasks_per_child=1) as pool:
        return list(pool.map(measure, sizes))


def read_sizes(
    name: str, description: str | None, sizes: Sequence[int], arguments: Sequence[str]
) -> argparse.Namespace:
    """Return the `sizes` that a command is to measure, and whether it is to `write` them into the page."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("sizes", nargs="*", type=int, default=list(sizes), help=f"so many machines ({sizes})")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name}")
    return parser.parse_args(arguments)


def show(table: Table, *, write: bool) -> None:
    """Print a table, and write it into the page where that is asked for."""
    sys.stdout.write(f"{table.to_text()}\n")
    if write:
        PAGE.write_text(write_into(PAGE.read_text(), [table]))
