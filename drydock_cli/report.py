"""`drydock report`: fetch the report of a run, for a browser or for a program."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from drydock_cli.exit_codes import TO_DO
from drydock_cli.problems import CommandError
from drydock_cli.stack import Stack
from drydock_cli.terminal import Terminal


def report(stack: Stack, terminal: Terminal, name: str, path: Path | None, *, opens: bool) -> int:
    """Write the page of a run's report to a file, and open it if that is wished; or print the report as JSON."""
    run_id = stack.find_run_id(name)
    if terminal.is_json:
        value = stack.read_report(run_id)
        if value is None:
            raise _is_missing(run_id)
        terminal.document(value)
        return 0
    page = stack.read_report_page(run_id)
    if page is None:
        raise _is_missing(run_id)
    path = path or Path(f"drydock-report-{run_id}.html")
    try:
        path.write_bytes(page)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", TO_DO) from error
    terminal.say(f"Report of run {run_id}: {path}")
    if opens and not webbrowser.open(path.resolve().as_uri()):
        terminal.note("there is no browser here: open that file with one")
    return 0


def _is_missing(run_id: str) -> CommandError:
    return CommandError(f"run {run_id} has no report (any more): it is written when the run ends", TO_DO)
