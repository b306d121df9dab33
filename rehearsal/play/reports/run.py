"""What people and programs see of the runs of a rehearsal: the story of each in a few lines, and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from drydock.plan.plans import count_outside
from rehearsal.play.outcomes.run import RunOutcome, WaveOutcome
from rehearsal.play.people import Answer
from rehearsal.play.reports.documents import RehearsedRun

_MOST_REASONS, _MOST_NAMES, _MOST_WAVES, _MOST_WARNINGS = 5, 3, 8, 3
_STYLES = {"succeeded": "green", "planned": "green", "nothing_to_do": "green", "incomplete": "yellow", "late": "yellow"}
_WORDS = {"url": "by a signed request", "link": "on the page", "parameter": "by a parameter"}

Row = tuple[str, Text]


def print_run(console: Console, run: RunOutcome, zone: tzinfo | None) -> None:
    """Print the story of a run: window, plan, approval, waves, outcome."""
    console.print(Text.assemble((_capital(run.label), "bold"), (f"  {run.run_id}", "dim")), soft_wrap=True)
    rows = Table.grid(padding=(0, 2))
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    for name, text in _story(run, zone):
        rows.add_row(Text(f"  {name}"), text)
    console.print(rows)
    console.print()


def _story(run: RunOutcome, zone: tzinfo | None) -> Iterator[Row]:
    plan = run.plan
    window = plan.get("window")
    if window:
        began, ends = _instant(window["start"], zone), _instant(window["end"], zone)
        zones = f"{began:%Z}" if began.utcoffset() == ends.utcoffset() else f"{began:%Z} to {ends:%Z}"
        yield "Window", Text(f"{window['name']}, {began:%a %Y-%m-%d %H:%M} to {_clock(ends, began)} ({zones})")
    elif plan:
        yield (
            "Time",
            Text(f"from {_day(run.started, zone)} to {_clock(_instant(plan['end'], zone), run.started, zone)}"),
        )
    if plan:
        yield "Plan", Text(_plan(run, zone))
    yield from _left_out(run.left_out)
    for warning in _first(plan.get("warnings", ()), _MOST_WARNINGS):
        yield "Note", Text(warning, style="yellow")
    approval = run.report.get("approval")
    if approval:
        yield "Approval", Text(_approval(approval, run.answers, run, zone))
    for number, wave in enumerate(run.waves[:_MOST_WAVES], 1):
        yield f"Wave {number}", Text(_wave(wave, zone))
    if len(run.waves) > _MOST_WAVES:
        yield "", Text(f"and {len(run.waves) - _MOST_WAVES} more waves", style="dim")
    closed = run.report.get("closed")
    if closed and not run.report.get("failure"):
        at = _clock(_instant(closed["at"], zone), run.started, zone)
        yield "Closed", Text(f"at {at}, no machine began any more: {closed['reason']}", style="yellow")
    yield "Outcome", _outcome(run)


def _plan(run: RunOutcome, zone: tzinfo | None) -> str:
    plan = run.plan
    machines, waves = sum(map(_size_of, plan["machines"])), len(plan["waves"])
    if not machines:
        return "no machine"
    late = sum(map(count_outside, plan["machines"]))
    guessed = sum(_size_of(machine) for machine in plan["machines"] if machine["basis"] == "guess")
    text = f"{_count(machines, 'machine')} in {_count(waves, 'wave')}"
    text += f", done by {_clock(_instant(plan['predictedEnd'], zone), run.started, zone)} as predicted"
    text += f" (a guess for {_count(guessed, 'machine')})" if guessed else ""
    return text + (f"; {late} not expected to fit unless others are quicker" if late else "")


def _size_of(machine: Mapping[str, Any]) -> int:
    """Return for how many machines an entry of a plan stands: a group is one for all its members."""
    return len(machine["members"]) if "members" in machine else 1


def _left_out(left_out: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """One line for each reason, with the machines that it holds for."""
    names: dict[str, list[str]] = {}
    for one in left_out:
        reason = str(one["reason"]).removeprefix(f"{one['instanceId']}: ")
        names.setdefault(reason, []).append(one["name"] or one["instanceId"])
    for number, (reason, machines) in enumerate(list(names.items())[:_MOST_REASONS]):
        more = len(machines) - _MOST_NAMES
        listed = ", ".join(machines[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")
        yield "" if number else "Left out", Text(f"{listed}: {reason}")
    if len(names) > _MOST_REASONS:
        yield "", Text(f"and machines for {len(names) - _MOST_REASONS} more reasons", style="dim")


def _approval(approval: Mapping[str, Any], answers: Sequence[Answer], run: RunOutcome, zone: tzinfo | None) -> str:
    """Who was asked when, and who decided; those who did not answer, too."""
    parts = [f"asked at {_clock(_instant(approval['askedAt'], zone), run.started, zone)}"]
    decided = {decision["name"] for decision in approval["decisions"]}
    for decision in approval["decisions"]:
        at = _clock(_instant(decision["at"], zone), run.started, zone)
        why = f" ({decision['reason']})" if decision["reason"] else ""
        how = _WORDS.get(decision["via"], "")
        parts.append(f"{decision['decision']} by {decision['name']} at {at} {how}{why}".replace("  ", " "))
    if not decided:
        parts.append(f"nobody answered until {_clock(_instant(approval['until'], zone), run.started, zone)}")
    parts += [f"{answer.person} was refused: {answer.said}" for answer in answers if answer.status >= 400]
    return "; ".join(parts)


def _wave(wave: WaveOutcome, zone: tzinfo | None) -> str:
    kind = "canary, " if wave.is_canary else ""
    text = f"{kind}{_count(wave.planned, 'machine')}"
    if wave.began is None or wave.ended is None:
        return f"{text}: {_counts(wave.counts) or 'did not begin'}"
    times = f"{_clock(wave.began, wave.began, zone)} to {_clock(wave.ended, wave.began, zone)}"
    return f"{times}  {text}: {_counts(wave.counts)}"


def _outcome(run: RunOutcome) -> Text:
    style = _STYLES.get(run.outcome, "red")
    text = Text(run.outcome.replace("_", " "), style=style)
    failure = run.report.get("failure")
    if failure:
        text.append(f"  {failure['error']}: {failure['cause']}", style="default")
    elif _counts(run.counts):
        text.append(f"  {_counts(run.counts)}", style="default")
    return text


def _counts(counts: Mapping[str, int]) -> str:
    """Return `3 succeeded, 1 failed`, without what there is none of."""
    order = ("succeeded", "already_compliant", "failed", "busy", "gone", "skipped", "not_attempted")
    return ", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in order if counts.get(name))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _first(values: Sequence[str], most: int) -> list[str]:
    more = len(values) - most
    return [*values[:most], *([f"and {more} more"] if more > 0 else [])]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _instant(text: str, zone: tzinfo | None) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(zone)


def _day(at: datetime, zone: tzinfo | None) -> str:
    return f"{at.astimezone(zone):%a %Y-%m-%d %H:%M}"


def _clock(at: datetime, since: datetime, zone: tzinfo | None = None) -> str:
    """Return the time of day, with the day where that is not the one on which it began."""
    local, began = (one.astimezone(zone or since.tzinfo) for one in (at, since))
    return f"{local:%H:%M}" if local.date() == began.date() else f"{local:%a %H:%M}"


def run_value(run: RunOutcome) -> RehearsedRun:
    """Return everything about a run, for JSON."""
    return {
        "runId": run.run_id,
        "startedBy": "window" if run.is_of_window else "hand",
        "status": run.status,
        "started": _text(run.started),
        "stopped": _text(run.stopped),
        "outcome": run.outcome,
        "error": run.error,
        "counts": dict(run.counts),
        "waves": [
            {
                "isCanary": wave.is_canary,
                "planned": wave.planned,
                "began": _text(wave.began),
                "ended": _text(wave.ended),
                "counts": dict(wave.counts),
            }
            for wave in run.waves
        ],
        "answers": [
            {
                "at": _text(answer.at),
                "person": answer.person,
                "does": answer.deed,
                "status": answer.status,
                "said": answer.said,
            }
            for answer in run.answers
        ],
        "messages": run.messages,
        "stateTransitions": run.transitions,
        "asExpected": not run.differences,
        "differences": list(run.differences),
        "plan": run.plan,
        "report": run.report,
    }


def _text(at: datetime | None) -> str | None:
    return at.isoformat(timespec="milliseconds") if at else None
