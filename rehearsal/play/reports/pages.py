"""The reports of a rehearsal's runs as people would open them: the very pages that Drydock stored, as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rehearsal.play.run import RehearsalOutcome

FOLDER = "drydock-reports"


def write_pages(outcome: RehearsalOutcome, within: Path) -> Iterator[tuple[str, Path]]:
    """Write `drydock-reports/report.html`, with a number where there are several runs; what each is of, and where."""
    runs = [run for run in outcome.runs if run.page]
    for number, run in enumerate(runs, 1):
        folder = within / FOLDER
        folder.mkdir(exist_ok=True)
        path = folder / ("report.html" if len(runs) == 1 else f"report-{number}.html")
        path.write_text(run.page, encoding="utf-8")
        yield run.label, path
