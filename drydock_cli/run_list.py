"""`drydock list`: the runs of the last year, the newest first."""

from __future__ import annotations

from collections.abc import Sequence

from drydock.aws.table import Item
from drydock.errors import UnreadableItemError
from drydock.records.runs import RUNS, read_run
from drydock_cli.documents import ListDocument, RunFacts
from drydock_cli.facts import run_facts
from drydock_cli.options import Account
from drydock_cli.showing import STYLES, counts_text, words
from drydock_cli.stack import Stack
from drydock_cli.terminal import Style, Terminal, columns, count, pad, read_time, wrap

_GAP, _FEWEST, _BEGUN = 2, 20, 16
_WIDE, _WINDOW = 110, 24


def list_runs(account: Account, stack: Stack, terminal: Terminal, most: int, older_than: str | None) -> int:
    """Show a page of runs, and how the next one is asked for."""
    if older_than:
        older_than = stack.find_run_id(older_than)
    items = stack.list_runs(most + 1, older_than)
    has_more = len(items) > most
    runs, unreadable = read_runs(stack, items[:most])
    last = str(items[most - 1]["pk"]).removeprefix(RUNS) if has_more else ""
    document: ListDocument = {"runs": runs, "unreadable": unreadable, "olderThan": last}
    terminal.document(document)
    if not runs and not unreadable:
        terminal.say(f"The stack {stack.name} has had no run{' before that' if older_than else ' for a year'}.")
        return 0
    if runs:
        _show(terminal, runs)
    for reason in unreadable:
        terminal.say_wrapped(reason, style="bad", later="  ")
    for run in runs:
        if run["waitsForMe"]:
            terminal.say()
            terminal.say_wrapped(f"Run {run['runId']} waits for you until {terminal.at_text(run['until'])}:")
            terminal.say(f"  {account.again('approve', run['runId'])}")
    if has_more:
        terminal.say()
        terminal.say("Older ones:")
        terminal.say(f"  {account.again('list', '--older-than', last)}")
    return 0


def read_runs(stack: Stack, items: Sequence[Item]) -> tuple[list[RunFacts], list[str]]:
    """What the items of runs say, and why some cannot be read. Who is asked is only looked up while a run waits."""
    now, read, unreadable = stack.now(), [], []
    for item in items:
        try:
            read.append((read_run(item), int(item.get("admitted", 0))))
        except UnreadableItemError as error:
            unreadable.append(str(error))
    facts = [run_facts(run, "", (), now, begun) for run, begun in read]
    if any(one["isWaiting"] for one in facts):
        caller, approvers = stack.caller(), stack.approvers()
        facts = [run_facts(run, caller, approvers, now, begun) for run, begun in read]
    return facts, unreadable


def _show(terminal: Terminal, runs: Sequence[RunFacts]) -> None:
    names = max(len(run["runId"]) for run in runs)
    window = _WINDOW if terminal.width >= _WIDE else 0
    room = terminal.width - names - _BEGUN - 2 * _GAP - (window + _GAP if window else 0)
    if room < _FEWEST:
        # A name that takes the whole line: what is known of it stands below.
        for run in runs:
            terminal.say(run["runId"], "strong")
            terminal.say_wrapped(f"{_begun(terminal, run)}  {state_text(terminal, run)}", "  ", style_of(run))
        return
    gap = " " * _GAP
    between = f"{gap}{pad('Window', window)}{gap}" if window else gap
    terminal.say(f"{pad('Run', names)}{gap}{pad('Begun', _BEGUN)}{between}How it is", "strong")
    for run in runs:
        of_window = str(run["window"].get("name") or run["window"].get("windowId") or "-")
        between = f"{gap}{pad(of_window, window)}{gap}" if window else gap
        first = f"{pad(run['runId'], names)}{gap}{_begun(terminal, run)}{between}"
        for number, line in enumerate(wrap(state_text(terminal, run), room)):
            terminal.say((first if number == 0 else " " * columns(first)) + line, style_of(run))


def _begun(terminal: Terminal, run: RunFacts) -> str:
    return terminal.at_text(run["startedAt"])[:_BEGUN]


def style_of(run: RunFacts) -> Style:
    if run["waitsForMe"]:
        return "strong"
    return STYLES.get(run["state"], "")


def state_text(terminal: Terminal, run: RunFacts) -> str:
    """`in work: 3 of 12 machines begun`, `waits for you until 17:20`, `failed: 11 succeeded, 1 failed`"""
    if run["isWaiting"]:
        until = read_time(run["until"])
        whom = "you" if run["waitsForMe"] else "approval"
        clock = f" until {terminal.clock(until)}" if until else ""
        text = f"waits for {whom}{clock}: {count(run['planned'], 'machine')}"
        return f"planned, {text}" if run["isPlanOnly"] else text
    if run["state"] in ("in_work", "stopping"):
        failed = f", {run['failed']:,} failed" if run["failed"] else ""
        return f"{words(run['state'])}: {run['begun']:,} of {count(run['planned'], 'machine')} begun{failed}"
    if run["carriedOutBy"]:
        return f"planned, carried out by {run['carriedOutBy']}"
    if run["state"] == "planned":
        return f"planned: {count(run['planned'], 'machine')}"
    counts = {name: number for name, number in run["counts"].items() if number}
    if set(counts) == {"succeeded"} and run["state"] == "succeeded":
        return f"succeeded: {count(counts['succeeded'], 'machine')}"
    return words(run["state"]) + (f": {counts_text(counts)}" if counts else "")
