"""What people and programs see of a rehearsal: progress, the table at the end, the messages, totals, and JSON."""

from __future__ import annotations

import json
import textwrap
import time
from collections import Counter
from datetime import datetime, timedelta, tzinfo
from types import TracebackType

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rehearsal.play.fleet_file import FleetFile
from rehearsal.play.outcomes.machine import MachineOutcome
from rehearsal.play.reports.documents import RehearsalDocument, RehearsedMachine
from rehearsal.play.reports.group import group_value, print_groups
from rehearsal.play.reports.run import print_run, run_value
from rehearsal.play.run import Change, MessageOutcome, RehearsalOutcome

MOST_ROWS = 20
"""With more machines than this, progress shows how many are in which step, not each of them."""
MOST_BODIES = 12
"""With more messages than this, only their subjects are shown; `--json` has all of them."""
WIDE = 100
"""From so many columns on, each machine has one line."""
_FRAME_SECONDS = 0.1
_SUMMARY_EVERY = timedelta(minutes=10)

_GOOD = {"compliant", "scanned"}
_WARN = {"pending_reboot", "patched_reported_failed"}


class Progress:
    """Shows which machine is in which step, while a rehearsal runs: call it with every change.

    On a terminal it is one picture that changes in place, elsewhere a line for each change (or, with many machines,
    a line for every ten minutes of virtual time).
    """

    def __init__(self, console: Console, fleet: FleetFile) -> None:
        self._console = console
        self._zone = fleet.zone
        self._began: datetime | None = None
        self._steps: dict[str, Change | None] = {machine.spec.name: None for machine in fleet.machines}
        self._runs: dict[str, Change] = {}
        labels = ["window run"] if fleet.runs.window else []
        labels += [f"window {window.name} run" for window in fleet.runs.windows]
        labels += [f"run {run.name}" for run in fleet.runs.by_hand]
        labels += [f"group {group.name}" for group in fleet.groups]
        self._width = max(len(name) for name in [*self._steps, *labels])
        self._now = fleet.begins
        self._news: list[str] = []
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._next_frame = 0.0
        self._next_summary = fleet.begins

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
            self._live.update(Text("Deploying Drydock to an embedded AWS account ..."), refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, change: Change) -> None:
        """Show a change."""
        self._now = change.at
        self._began = self._began or change.at
        if change.is_fault or change.is_news:
            self._news.append(f"{self._clock(change.at)}  {'!' if change.is_fault else '*'} {change.step}")
            if self._live is None:
                self._line(self._news[-1])
            return
        is_machine = change.machine in self._steps
        before = (self._steps if is_machine else self._runs).get(change.machine)
        if is_machine:
            self._steps[change.machine] = change
        else:
            self._runs[change.machine] = change
        if self._live is not None:
            # Real time: the clock that `datetime` shows is virtual.
            if time.perf_counter() >= self._next_frame:
                self._live.update(self._picture(), refresh=True)
                self._next_frame = time.perf_counter() + _FRAME_SECONDS
        elif is_machine and len(self._steps) > MOST_ROWS:
            if change.at >= self._next_summary:
                self._line(f"{self._clock(change.at)}  {self._summary()}")
                self._next_summary = change.at + _SUMMARY_EVERY
        elif before is None or before.step != change.step:
            step = f"execution {change.step}" if change.is_over else change.step
            self._line(f"{self._clock(change.at)}  {change.machine:{self._width}}  {step}")

    def announce(self, text: str) -> None:
        """Say something that stays on the screen."""
        self._line(text)

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _clock(self, at: datetime) -> str:
        return f"{at.astimezone(self._zone):%H:%M:%S}"

    def _picture(self) -> Group:
        elapsed = duration(self._now - (self._began or self._now))
        title = Text(
            f"Virtual time {self._now.astimezone(self._zone):%Y-%m-%d %H:%M:%S}, {elapsed} since the beginning"
        )
        news = Text("\n".join(self._news[-5:]), style="yellow")
        rows = Table.grid(padding=(0, 2))
        many = len(self._steps) > MOST_ROWS
        for name, change in [*self._runs.items(), *([] if many else self._steps.items())]:
            if change is None:
                rows.add_row(f"  {name}", Text("not started", style="dim"), "")
            elif change.is_over:
                style = "green" if change.step == "succeeded" else "red"
                rows.add_row(f"  {name}", Text(change.step, style=style), "")
            else:
                waited = duration(self._now - change.at)
                rows.add_row(f"  {name}", Text(change.step, style="cyan"), Text(f"for {waited}", style="dim"))
        return Group(title, rows, *([Text(self._summary())] if many else []), news)

    def _summary(self) -> str:
        changes = [change for change in self._steps.values() if change is not None]
        over = Counter(change.step for change in changes if change.is_over)
        steps = Counter(change.step for change in changes if not change.is_over)
        parts = [f"{len(self._steps) - len(changes)} not started"] if len(changes) < len(self._steps) else []
        parts += [f"{count} {step}" for step, count in sorted(over.items())]
        parts += [f"{count} in {step}" for step, count in steps.most_common(4)]
        rest = sum(steps.values()) - sum(count for _, count in steps.most_common(4))
        return "; ".join(parts + ([f"{rest} elsewhere"] if rest else []))


def print_report(console: Console, outcome: RehearsalOutcome) -> None:
    """Print the messages, the story of each run, the table of machines, the totals, and what is not as expected.

    What is last is what is on the screen when all is over.
    """
    _print_messages(console, outcome)
    for run in outcome.runs:
        print_run(console, run, outcome.fleet.zone)
    console.print(_machine_table(outcome, is_wide=console.width >= WIDE))
    if outcome.groups:
        print_groups(console, outcome.groups)
    _print_faults(console, outcome)
    console.print(_totals(outcome))
    _print_verdict(console, outcome)


def _print_messages(console: Console, outcome: RehearsalOutcome) -> None:
    """Print every subject, and the texts of those that are read: of the runs' summaries, where there are runs."""
    if not outcome.messages:
        return
    count = sum(message.reaches_somebody for message in outcome.messages)
    console.print(Text(f"Messages that people would have got: {count}", style="bold"))
    told = {id(message) for message in outcome.messages if message.attributes.get("kind") == "run"}
    if not outcome.runs and len(outcome.messages) <= MOST_BODIES:
        told = {id(message) for message in outcome.messages}
    for message in outcome.messages:
        _print_message(console, message, outcome.fleet.zone, whole=id(message) in told)
    if len(told) < len(outcome.messages):
        console.print(Text("(with all their texts in what --json writes)\n", style="dim"))


def _machine_table(outcome: RehearsalOutcome, *, is_wide: bool) -> Table:
    """Return the table of machines: a line for each, or two where that would be too wide."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1) if is_wide else 0)
    between = "  " if is_wide else "\n"
    table.add_column("Machine", no_wrap=True, max_width=48 if is_wide else 30)
    table.add_column("Power", no_wrap=True)
    table.add_column("Missing\npatches", justify="right", no_wrap=True)
    table.add_column("Verdict", overflow="fold")
    table.add_column("Minutes\nout of\nservice", justify="right", no_wrap=True)
    table.add_column("Images", justify="right", no_wrap=True)
    table.add_column("OK", no_wrap=True)
    for machine in outcome.machines:
        usable = sum(image.state == "available" for image in machine.images)
        table.add_row(
            Text.assemble(machine.name, between, (machine.platform, "dim")),
            _power(machine, " " if is_wide else "\n"),
            f"{machine.missing_before} → {machine.missing_after}",
            _verdict(machine, between),
            "-" if machine.minutes_out_of_service is None else f"{machine.minutes_out_of_service:.1f}",
            str(usable),
            Text("no", style="bold red") if machine.differences else Text("yes", style="green"),
        )
    return table


def _power(machine: MachineOutcome, between: str) -> Text:
    style = "" if machine.first_power == machine.last_power else "yellow"
    return Text(f"{machine.first_power} →{between}{machine.last_power}", style=style)


def _verdict(machine: MachineOutcome, between: str) -> Text:
    """Return the verdict, and after it the error of what failed."""
    verdict = machine.verdict.replace("_", " ")
    style = "green" if machine.verdict in _GOOD else "yellow" if machine.verdict in _WARN else "red"
    if machine.verdict == "none":
        verdict = "refused" if machine.outcome == "refused" else "no result" if machine.executions else "not started"
        style = "" if not machine.executions else style
    if not machine.executions and machine.run in ("left_out", "not_attempted"):
        verdict, style = machine.run.replace("_", " "), "yellow" if machine.run == "not_attempted" else ""
    return Text.assemble((verdict, style), *([(between + machine.error, "dim")] if machine.error else []))


def _print_message(console: Console, message: MessageOutcome, zone: tzinfo | None, *, whole: bool) -> None:
    at = f"{message.at.astimezone(zone):%H:%M:%S}"
    nobody = "" if message.reaches_somebody else f"  (reaches nobody: no subscription to {message.topic} is confirmed)"
    console.print(
        Text.assemble((f"{at}  ", "dim"), (message.subject or "(no subject)", "bold"), (nobody, "red")),
        soft_wrap=True,
    )
    if whole:
        for line in message.body.rstrip().splitlines():
            indent = " " * (len(line) - len(line.lstrip()))
            # An address stays in one piece, however long.
            wrapped = textwrap.wrap(
                line.strip(),
                max(console.width - 4, 40),
                initial_indent=indent,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
            for part in wrapped or [""]:
                console.print(Text(f"    {part}".rstrip()), soft_wrap=True)
        console.print()


def _print_faults(console: Console, outcome: RehearsalOutcome) -> None:
    """Print what went wrong as the file wants it: how often it struck, and when first."""
    if not outcome.faults:
        return
    console.print(Text("What the file lets go wrong", style="bold"))
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for fault in outcome.faults:
        if fault.first is None:
            struck = Text("never struck", style="bold red")
        else:
            first = f"{fault.first.astimezone(outcome.fleet.zone):%H:%M:%S}"
            struck = Text(f"at {first}" if fault.count == 1 else f"{fault.count} times from {first}")
        table.add_row(struck, fault.what)
    console.print(table)
    console.print()


def _totals(outcome: RehearsalOutcome) -> Table:
    machines = len(outcome.machines)
    began, ended = (at.astimezone(outcome.fleet.zone) for at in (outcome.began, outcome.ended))
    totals = Table.grid(padding=(0, 2))
    totals.add_row("Virtual time", f"{duration(ended - began)} (from {began:%Y-%m-%d %H:%M} to {ended:%Y-%m-%d %H:%M})")
    totals.add_row("Real time", f"{outcome.real_seconds:.1f} s")
    totals.add_row("State transitions", f"{outcome.transitions:,} ({outcome.transitions / machines:.0f} a machine)")
    totals.add_row("AWS calls", f"{outcome.aws_calls:,} ({outcome.aws_calls / machines:.0f} a machine)")
    totals.add_row("Seed", str(outcome.seed))
    return totals


def _print_verdict(console: Console, outcome: RehearsalOutcome) -> None:
    console.print()
    if outcome.is_as_expected:
        others = [(len(outcome.groups), "group"), (len(outcome.runs), "run")]
        parts = [f"{len(outcome.machines)} machines", *(_many(number, noun) for number, noun in others if number)]
        said = ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
        console.print(Text(f"All {said} ended as expected.", style="bold green"))
        return
    console.print(Text("Not as expected:", style="bold red"))
    lines = {entry.spec.name: entry.line for entry in outcome.fleet.machines}
    for machine in outcome.machines:
        if machine.differences:
            console.print(Text(f"  {machine.name} ({outcome.fleet.path}:{lines[machine.name]})"), soft_wrap=True)
        for difference in machine.differences:
            console.print(Text(f"    {difference}"), soft_wrap=True)
    for group in outcome.fleet.groups:
        for difference in next(one for one in outcome.groups if one.name == group.name).differences:
            console.print(
                Text(f"  group {group.name} ({outcome.fleet.path}:{group.line}): {difference}"), soft_wrap=True
            )
    for difference in outcome.differences:
        console.print(Text(f"  {difference}"), soft_wrap=True)


def _many(number: int, noun: str) -> str:
    return f"the {noun}" if number == 1 else f"{number} {noun}s"


def duration(length: timedelta) -> str:
    """Return a length of time as people say it: '45 s', '12 min', '3 h 05 min'."""
    seconds = int(length.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def to_json(outcome: RehearsalOutcome) -> str:
    """Return everything about a rehearsal as JSON: the same bytes for the same file and seed, but `realSeconds`."""
    machines = len(outcome.machines)
    value: RehearsalDocument = {
        "fleet": str(outcome.fleet.path),
        "description": outcome.fleet.description,
        "seed": outcome.seed,
        "asExpected": outcome.is_as_expected,
        "differences": list(outcome.differences),
        "runs": [run_value(run) for run in outcome.runs],
        "machines": [_machine_value(machine) for machine in outcome.machines],
        "groups": [group_value(group) for group in outcome.groups],
        "faults": [
            {"what": fault.what, "struck": fault.count, "first": _instant(fault.first) if fault.first else None}
            for fault in outcome.faults
        ],
        "messages": [
            {
                "at": _instant(message.at),
                "topic": message.topic,
                "subject": message.subject,
                "body": message.body,
                "attributes": dict(sorted(message.attributes.items())),
                "reachesSomebody": message.reaches_somebody,
            }
            for message in outcome.messages
        ],
        "totals": {
            "began": _instant(outcome.began),
            "ended": _instant(outcome.ended),
            "virtualSeconds": round((outcome.ended - outcome.began).total_seconds(), 3),
            "stateTransitions": outcome.transitions,
            "stateTransitionsPerMachine": round(outcome.transitions / machines, 1),
            "functionInvocations": outcome.function_invocations,
            "awsCalls": outcome.aws_calls,
            "awsCallsPerMachine": round(outcome.aws_calls / machines, 1),
            "awsCallsByOperation": dict(outcome.calls),
        },
        "realSeconds": round(outcome.real_seconds, 3),
    }
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"


def _machine_value(machine: MachineOutcome) -> RehearsedMachine:
    return {
        "name": machine.name,
        "instanceId": machine.instance_id,
        "platform": machine.platform,
        "power": {"first": machine.first_power, "last": machine.last_power},
        "missingPatches": {"before": machine.missing_before, "after": machine.missing_after},
        "run": machine.run,
        "outcome": machine.outcome,
        "verdict": machine.verdict,
        "error": machine.error,
        "cause": machine.cause,
        "minutesOutOfService": machine.minutes_out_of_service,
        "images": [{"imageId": image.image_id, "name": image.name, "state": image.state} for image in machine.images],
        "interruptedInstalls": machine.interrupted_installs,
        "lostMemory": machine.lost_memory,
        "givenBack": machine.is_given_back,
        "messages": machine.messages,
        "awsCalls": machine.aws_calls,
        "stateTransitions": machine.transitions,
        "asExpected": not machine.differences,
        "differences": list(machine.differences),
        "executions": [
            {
                "name": execution.name,
                "status": execution.status,
                "started": _instant(execution.started),
                "stopped": _instant(execution.stopped) if execution.stopped else None,
                "error": execution.error,
                "cause": execution.cause,
                "stateTransitions": execution.transitions,
                "states": [{"at": _instant(at), "state": state} for at, state in execution.states],
            }
            for execution in machine.executions
        ],
        "result": machine.result,
    }


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")
