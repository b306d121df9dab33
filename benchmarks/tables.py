"""Tables of figures: printed, written into a page between its markers, and given to programs as numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rehearsal.engine.project import PROJECT

PAGE = PROJECT / "docs" / "benchmarks.md"
Figure = float | str


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
