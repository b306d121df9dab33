"""What people and programs see of the Auto Scaling groups of a rehearsal: two tables, and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rehearsal.play.outcomes.group import IDLE_GOAL, KINDS, GroupOutcome
from rehearsal.play.reports.documents import RehearsedGroup

MOST_OUTAGES = 20
"""With more times out of service than this, the longest idle ones are shown."""

_WORDS = {
    "draining": "Drain",
    "command": "Com-\nmands",
    "image": "Image",
    "power": "Boot",
    "pause": "Pause",
    "health": "Health",
}


def print_groups(console: Console, groups: Sequence[GroupOutcome]) -> None:
    """Print a line for each group, and one for each time that a member was out of service."""
    console.print(_group_table(groups))
    outages = [outage for group in groups for outage in group.outages]
    if not outages:
        return
    shown = sorted(outages, key=lambda outage: -outage.idle)[:MOST_OUTAGES] if len(outages) > MOST_OUTAGES else outages
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("Member", no_wrap=True)
    table.add_column("Minutes\nout of\nservice", justify="right", no_wrap=True)
    for kind in KINDS:
        table.add_column(_WORDS[kind], justify="right", no_wrap=True)
    table.add_column(f"Idle\n(goal {IDLE_GOAL.total_seconds():.0f} s)", justify="right", no_wrap=True)
    for outage in shown:
        table.add_row(
            outage.name,
            f"{_minutes(outage.length):.1f}",
            *(f"{_minutes(outage.waited[kind]):.1f}" for kind in KINDS),
            Text(f"{outage.idle.total_seconds():.0f} s", style="green" if outage.idle <= IDLE_GOAL else "yellow"),
        )
    console.print(table)
    if len(shown) < len(outages):
        console.print(Text(f"… and {len(outages) - len(shown)} more that were idle for less", style="dim"))


def _group_table(groups: Sequence[GroupOutcome]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("Group", no_wrap=True)
    table.add_column("Min/desired/max", no_wrap=True)
    table.add_column("Members")
    table.add_column("Most\nout", justify="right", no_wrap=True)
    table.add_column("Fewest\nhealthy", justify="right", no_wrap=True)
    table.add_column("Outcome", overflow="fold")
    table.add_column("OK", no_wrap=True)
    for group in groups:
        counts = Counter(outcome.replace("_", " ") for outcome in group.members.values())
        table.add_row(
            group.name,
            _sizes(group.sizes_before) + ("" if group.is_restored else f" → {_sizes(group.sizes_after)}"),
            ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "-",
            str(group.most_out),
            "-" if group.fewest_healthy is None else str(group.fewest_healthy),
            " ".join(filter(None, [group.outcome, group.error])),
            Text("no", style="bold red") if group.differences else Text("yes", style="green"),
        )
    return table


def _sizes(sizes: tuple[int, int, int]) -> str:
    return "/".join(map(str, sizes))


def _minutes(length: timedelta) -> float:
    return length.total_seconds() / 60


def group_value(group: GroupOutcome) -> RehearsedGroup:
    """Return everything about a group as JSON has it."""
    return {
        "name": group.name,
        "sizes": {"before": list(group.sizes_before), "after": list(group.sizes_after)},
        "outcome": group.outcome,
        "error": group.error,
        "mostOut": group.most_out,
        "fewestHealthy": group.fewest_healthy,
        "members": dict(group.members),
        "outages": [
            {
                "name": outage.name,
                "left": outage.left.isoformat(timespec="milliseconds"),
                "seconds": round(outage.length.total_seconds(), 1),
                "waitedSeconds": {kind: round(outage.waited[kind].total_seconds(), 1) for kind in KINDS},
                "idleSeconds": round(outage.idle.total_seconds(), 1),
            }
            for outage in group.outages
        ],
        "problems": list(group.problems),
        "asExpected": not group.differences,
        "differences": list(group.differences),
    }
