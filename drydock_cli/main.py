"""The command `drydock`."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drydock_cli.exit_codes import FAILED, INTERRUPTED, LATE, TO_DO
from drydock_cli.verbs import VERBS, Setting

if TYPE_CHECKING:
    from rehearsal.play.fleet_file import FleetFile

app = typer.Typer(
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def drydock(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version, and end.")] = False,
) -> None:
    """Patch fleets of EC2 instances, and rehearse it first."""
    if version:
        typer.echo(f"drydock {metadata.version('drydock')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for _name, _verb in VERBS.items():
    app.command(_name)(_verb)


@app.command()
def rehearse(
    context: typer.Context,
    fleet: Annotated[
        Path | None, typer.Argument(help="The fleet file (YAML).", show_default="the fleet that comes with Drydock")
    ] = None,
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
    serve_approval: Annotated[
        bool,
        typer.Option(
            "--serve-approval",
            help="Let runs wait for your approval, on a page on 127.0.0.1 whose address is printed.",
        ),
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of that page.", show_default="any that is free")
    ] = 0,
    patience: Annotated[
        float, typer.Option(min=0, metavar="MINUTES", help="Real minutes without a click that the page is kept.")
    ] = 30,
) -> None:
    """Patch a simulated fleet with the real template, state machines and functions, in virtual time.

    The exit code is 0 when every machine and run ended as the fleet file expects, 1 when not, 2 when the file is wrong,
    3 when a run was late and the file does not expect that.
    """
    # The verbs need nothing of this.
    from rich.console import Console

    try:
        from rehearsal.play.fleet_file import DEFAULT_FLEET, load_fleet_file
        from rehearsal.play.fleet_shape import FleetFileError
        from rehearsal.play.reports.console import Progress, print_report, to_json
        from rehearsal.play.reports.pages import write_pages
        from rehearsal.play.run import Serving
        from rehearsal.play.run import rehearse as run_rehearsal
    except ModuleNotFoundError as error:
        package, _, _ = str(error.name).partition(".")
        if package.startswith(("drydock", "rehearsal")):
            raise
        context.obj.terminal.note(
            f"a rehearsal needs the extra `rehearse` (there is no {package} here): "
            "in Drydock's folder, pipx install --force '.[rehearse]'"
        )
        raise typer.Exit(TO_DO) from error

    fleet = fleet or DEFAULT_FLEET
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
        raise typer.Exit(TO_DO) from error
    if serve_approval:
        _check_serving(fleet_file, port)
    machines = "1 machine" if len(fleet_file.machines) == 1 else f"{len(fleet_file.machines)} machines"
    console.print(f"Rehearsing {fleet}: {machines}", soft_wrap=True, markup=False)
    try:
        with Progress(console, fleet_file) as progress:
            serving = Serving(progress.announce, port, timedelta(minutes=patience)) if serve_approval else None
            outcome = run_rehearsal(fleet_file, seed, progress, serving)
    except KeyboardInterrupt:
        console.print("Ended before its time. Nothing is left of the embedded account.")
        raise typer.Exit(INTERRUPTED) from None
    print_report(console, outcome)
    try:
        for label, page in write_pages(outcome, Path.cwd()):
            console.print(f"Report of {label}: {page}", soft_wrap=True, markup=False)
    except OSError as error:
        console.print(f"The reports could not be written: {error}", soft_wrap=True, markup=False)
    if to_standard_output:
        typer.echo(to_json(outcome), nl=False)
    elif json_out is not None:
        json_out.write_text(to_json(outcome), encoding="utf-8")
    if not outcome.is_as_expected:
        raise typer.Exit(FAILED)
    if any(run.is_late_unexpectedly for run in outcome.runs):
        raise typer.Exit(LATE)


def _check_serving(fleet_file: FleetFile, port: int) -> None:
    """Raises typer.BadParameter when nobody would be asked, or the port is taken."""
    if fleet_file.runs.is_empty:
        raise typer.BadParameter("the fleet file has no window and no runs", param_hint="--serve-approval")
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise typer.BadParameter(f"{port}: {error.strerror}", param_hint="--port") from error


def carry_out(arguments: Sequence[str], setting: Setting | None = None) -> int:
    """Carry out a command line; the exit code. Wrong usage is one line."""
    setting = setting or Setting()
    terminal = setting.terminal
    # What is wrong with the arguments is found before anybody has read them.
    terminal.is_json = "--json" in arguments and "rehearse" not in arguments[:1]
    try:
        return app(list(arguments), prog_name="drydock", standalone_mode=False, obj=setting) or 0
    except typer.TyperException as error:
        terminal.problem([_one_line(error)], error.exit_code)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED


def _one_line(error: typer.TyperException) -> str:
    text = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{text[:1].lower()}{text[1:]}" + (f" (see {context.command_path} --help)" if context else "")


def main() -> None:
    """Run the command line."""
    sys.exit(carry_out(sys.argv[1:]))
