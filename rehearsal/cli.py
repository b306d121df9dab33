"""The command `drydock`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rehearsal.fleet_file import DEFAULT_FLEET, FleetFileError, load_fleet_file
from rehearsal.report import Progress, print_report, to_json
from rehearsal.run import rehearse as run_rehearsal

UNEXPECTED = 1
BAD_FLEET_FILE = 2

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_show_locals=False)


@app.callback()
def drydock() -> None:
    """Patch fleets of EC2 instances, and rehearse it first."""


@app.command()
def rehearse(
    fleet: Annotated[
        Path, typer.Argument(help="The fleet file (YAML).", show_default="the fleet that comes with Drydock")
    ] = DEFAULT_FLEET,
    json_out: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="OUT",
            dir_okay=False,
            writable=True,
            allow_dash=True,
            help="Write everything as JSON to this file (- for standard output).",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Chance, such as jitter, for this rehearsal; the file's own by default.")
    ] = None,
) -> None:
    """Patch a simulated fleet with the real template, state machine and functions, in virtual time.

    The exit code is 0 when every machine ended as the fleet file expects, 1 when not, 2 when the file is wrong.
    """
    to_standard_output = json_out is not None and str(json_out) == "-"
    if json_out is not None and not json_out.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {json_out.parent}", param_hint="--json")
    console = Console(stderr=to_standard_output, highlight=False)
    if fleet.is_relative_to(Path.cwd()):
        fleet = fleet.relative_to(Path.cwd())
    try:
        fleet_file = load_fleet_file(fleet)
    except FleetFileError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"This fleet cannot be rehearsed:\n{error}", markup=False
        )
        raise typer.Exit(BAD_FLEET_FILE) from error
    machines = "1 machine" if len(fleet_file.machines) == 1 else f"{len(fleet_file.machines)} machines"
    console.print(f"Rehearsing {fleet}: {machines}", soft_wrap=True, markup=False)
    with Progress(console, fleet_file) as progress:
        outcome = run_rehearsal(fleet_file, seed, progress)
    print_report(console, outcome)
    if to_standard_output:
        typer.echo(to_json(outcome), nl=False)
    elif json_out is not None:
        json_out.write_text(to_json(outcome), encoding="utf-8")
    if not outcome.is_as_expected:
        raise typer.Exit(UNEXPECTED)


def main() -> None:
    """Run the command line."""
    app(prog_name="drydock")
