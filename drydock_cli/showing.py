"""How plans, machines and reports look to people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from drydock.approval.messages import predicted_text
from drydock.plan.estimates import breakdown_text, whole_minutes
from drydock.plan.plans import Plan, PlannedMachine, PlannedWave, count_outside, count_planned, members_of
from drydock.plan.showing import what_is_different, what_is_planned
from drydock.run.outcomes import MACHINE_OUTCOMES
from drydock.subject import Group, read_subject
from drydock_cli.documents import LeaseFacts
from drydock_cli.options import Account
from drydock_cli.terminal import Style, Terminal, count, length_of_time, printable, read_time, row

MOST_CAUSE = 300

STYLES: Mapping[str, Style] = {
    "succeeded": "good",
    "already_compliant": "good",
    "planned": "good",
    "nothing_to_do": "good",
    "failed": "bad",
    "refused": "bad",
    "rejected": "warn",
    "not_answered": "warn",
    "stopped": "warn",
    "incomplete": "warn",
    "late": "warn",
    "not_attempted": "warn",
    "busy": "warn",
    "gone": "warn",
    "skipped": "warn",
}
_NUMBER, _ID, _WAVE, _MINUTES, _BASIS, _BEGINS, _FITS, _BETWEEN = 6, 19, 6, 4, 7, 5, 5, 14
_MOST_NAME, _FEWEST_NAME = 40, 8


def words(outcome: Any) -> str:
    """`not_attempted` as people say it."""
    return printable(outcome).replace("_", " ").lower()


def machine_text(instance_id: Any, name: Any) -> str:
    """`web-1 (i-…)`; for an Auto Scaling group, which stands in a plan under its subject's key, `group web`."""
    subject = read_subject(str(instance_id))
    if isinstance(subject, Group):
        return printable(f"group {subject.name}")
    return printable(f"{name} ({instance_id})" if name else instance_id)


def size_of(turn: Mapping[str, Any]) -> int:
    """How many machines have their turn together: one, or the members of a group."""
    return len(turn.get("only") or [turn])


def brief(text: Any) -> str:
    """A cause in one line that does not fill the screen."""
    line = " ".join(printable(text).split())
    return line if len(line) <= MOST_CAUSE else f"{line[: MOST_CAUSE - 1]}\N{HORIZONTAL ELLIPSIS}"


def error_line(error: Any, cause: Any) -> str:
    return ": ".join(part for part in (brief(error or ""), brief(cause or "")) if part)


def counts_text(outcomes: Mapping[str, int]) -> str:
    """`11 succeeded, 1 failed`"""
    known = [*MACHINE_OUTCOMES, *sorted(set(outcomes) - set(MACHINE_OUTCOMES))]
    return ", ".join(f"{outcomes[key]:,} {words(key)}" for key in known if outcomes.get(key)) or "none"


def targets_text(targets: Iterable[Mapping[str, Any]]) -> str:
    return " and ".join(f"{target['key']}={','.join(map(str, target['values']))}" for target in targets)


def show_plan(terminal: Terminal, plan: Plan, plan_hash: str, most: int | None = None) -> None:
    """Print a plan: when, which machines in which order, which not and why, and its hash."""
    machines, waves = plan["machines"], plan["waves"]
    has_canary = any(wave["isCanary"] for wave in waves)
    terminal.say_wrapped(f"Plan {plan['runId']}, made {terminal.at_text(plan['createdAt'])}", "", "strong", later="  ")
    about = f"{plan['operation']} on {count(count_planned(plan), 'machine')}"
    if machines:
        about += f" in {count(len(waves), 'wave')}" + (", a canary first" if has_canary else "")
    terminal.say_wrapped(f"{about}; targets: {targets_text(plan['targets']) or 'none'}", later="  ")
    window = plan.get("window")
    if window:
        terminal.say_wrapped(
            f"Window {window['name']} ({window['windowId']}), "
            f"{terminal.at_text(window['start'])} to {terminal.at_text(window['end'])}",
            later="  ",
        )
    if plan.get("follows"):
        terminal.say_wrapped(f"With the patches of run {plan['follows']}", later="  ")
    if plan.get("resumes"):
        terminal.say_wrapped(f"Takes up what run {plan['resumes']} left", later="  ")
    _show_times(terminal, plan)
    if machines:
        for heading, text in [*what_is_planned(plan), *what_is_different(plan, terminal.zone)]:
            terminal.say_wrapped(f"{heading}: {text}", later="  ")
        terminal.say()
        _show_machines(terminal, machines, waves, most)
    for sentence in plan["tooLong"]:
        terminal.say_wrapped(f"Never begun: {sentence}", "", "bad", later="  ")
    for guess in plan["guesses"]:
        terminal.say_wrapped(f"A guess: {breakdown_text(guess)}", later="  ")
    _show_left_out(terminal, plan["leftOut"], most)
    needs = plan.get("needs", [])
    warnings = [one for one in plan["warnings"] if one not in needs]
    for title, said in (("To be done first", needs), (count(len(warnings), "warning"), warnings)):
        if said:
            terminal.say()
            terminal.say(title, "warn")
        for one in said:
            terminal.say_wrapped(one, "  ", later="    ")
    terminal.say()
    terminal.say(f"Hash {plan_hash}")


def _show_times(terminal: Terminal, plan: Plan) -> None:
    if not plan["machines"]:
        return
    if plan.get("predictedEnd"):
        predicted = f"Predicted end {predicted_text(plan, terminal.at_text(plan['predictedEnd']))}"
        terminal.say_wrapped(predicted, later="  ")
    if plan.get("end"):
        last = plan.get("lastAdmission")
        until = f", no machine begins after {terminal.at_text(last)}" if last and last != plan["end"] else ""
        terminal.say_wrapped(f"Has to end by {terminal.at_text(plan['end'])}{until}", later="  ")
    outside = sum(map(count_outside, plan["machines"]))
    if outside:
        said = f"{count(outside, 'machine')} not expected to fit: not attempted unless others are quicker, and first"
        terminal.say_wrapped(f"{said} the next time", "", "warn", later="  ")
        for sentence in plan.get("advice", []):
            terminal.say_wrapped(sentence, "  ", later="    ")


def _show_machines(
    terminal: Terminal, machines: Sequence[PlannedMachine], waves: Sequence[PlannedWave], most: int | None
) -> None:
    shown = machines[:most]
    room = terminal.width - (_NUMBER + _ID + _WAVE + _MINUTES + _BASIS + _BEGINS + _FITS + _BETWEEN)
    name = max(min(room, _MOST_NAME), _FEWEST_NAME)
    heads = (("Order", -_NUMBER), ("Machine", name), ("", _ID), ("Wave", _WAVE))
    rest = (("Min", -_MINUTES), ("Known", _BASIS), ("From", _BEGINS), ("Fits", _FITS))
    terminal.say(row([*heads, *rest]), "strong")
    for number, machine in enumerate(shown, 1):
        begins = read_time(machine.get("startsAt"))
        wave = machine["wave"]
        is_canary = 0 <= wave < len(waves) and waves[wave]["isCanary"]
        cells = [
            (f"{number:,}", -_NUMBER),
            (printable(machine["name"] or "-"), name),
            (
                f"group of {len(members_of(machine)):,}" if "members" in machine else printable(machine["instanceId"]),
                _ID,
            ),
            ("canary" if is_canary else str(wave + 1), _WAVE),
            (str(whole_minutes(machine["seconds"])), -_MINUTES),
            (_basis(machine), _BASIS),
            (terminal.clock(begins) if begins else "", _BEGINS),
            (_fits(machine), _FITS),
        ]
        terminal.say(row(cells), "warn" if count_outside(machine) else "")
        if "members" in machine:
            names = ", ".join(machine_text(one["instanceId"], one["name"]) for one in machine["members"][:most])
            more = len(machine["members"][most:]) if most else 0
            names += f" … and {more:,} more" if more else ""
            terminal.say_wrapped(names, f"{'':{_NUMBER}}  ", later=f"{'':{_NUMBER}}  ")
    if len(shown) < len(machines):
        more = sum(len(members_of(machine)) for machine in machines[len(shown) :])
        terminal.say(f"{'':{_NUMBER}}  … and {more:,} more")


def _basis(machine: PlannedMachine) -> str:
    """`4 runs` of the machine itself, `12 like` it, or `a guess`."""
    samples = f"{machine['samples']:,}"
    return {
        "own history": f"{samples} run{'' if machine['samples'] == 1 else 's'}",
        "patch group": f"{samples} like",
        "last failure": "failed",
    }.get(machine["basis"], "a guess")


def _fits(machine: PlannedMachine) -> str:
    members, outside = len(members_of(machine)), count_outside(machine)
    return f"{members - outside}/{members}" if 0 < outside < members else "no" if outside else "yes"


def _show_left_out(terminal: Terminal, left_out: Sequence[Mapping[str, Any]], most: int | None) -> None:
    if not left_out:
        return
    shown = left_out[:most]
    terminal.say()
    terminal.say(f"Left out: {count(len(left_out), 'machine')}", "strong")
    for left in shown:
        reason = error_line(left["error"], left["reason"])
        terminal.say_wrapped(f"{machine_text(left['instanceId'], left['name'])}: {reason}", "  ", later="    ")
    if len(shown) < len(left_out):
        terminal.say(f"  … and {len(left_out) - len(shown):,} more")


def doing_text(terminal: Terminal, lease: LeaseFacts, now: datetime) -> str:
    """`the installation, begun 4 min ago, usually 10 min; waits for command 0123 until 02:05`"""
    text = lease["doing"] or "being admitted"
    since = read_time(lease["stepSince"])
    if since:
        text += f", begun {length_of_time(max((now - since).total_seconds(), 0))} ago"
    if lease["expectedSeconds"]:
        text += f", usually {length_of_time(lease['expectedSeconds'])}"
    if lease["wait"]:
        until = read_time(lease["wait"]["until"])
        text += f"; waits for {lease['wait']['kind']} {lease['wait']['resource']}".rstrip()
        text += f" until {terminal.clock(until)}" if until else ""
    return text


def show_machine_list(terminal: Terminal, title: str, machines: Sequence[Mapping[str, Any]], most: int) -> None:
    """Print machines with what became of them, each with its reason."""
    if not machines:
        return
    total = sum(map(size_of, machines))
    terminal.say(f"{title}: {count(total, 'machine')}", STYLES.get(machines[0].get("outcome", ""), ""))
    for machine in machines[:most]:
        why = error_line(machine.get("error"), machine.get("cause"))
        text = machine_text(machine["instanceId"], machine.get("name"))
        text += f" of group {printable(machine['groupName'])}" if machine.get("groupName") else ""
        terminal.say_wrapped(f"{text}: {why}" if why else text, "  ", later="    ")
    if len(machines) > most:
        terminal.say(f"  … and {sum(map(size_of, machines[most:])):,} more")


def show_report(account: Account, terminal: Terminal, report: Mapping[str, Any], place: str) -> None:
    """Print the summary of a report."""
    outcome = report["outcome"]
    seconds = 60 * report.get("minutes", 0)
    terminal.say()
    terminal.say(f"Run {report['runId']}: {words(outcome)}", STYLES.get(outcome, "strong"))
    if report.get("planned"):
        terminal.say_wrapped(f"{count(report['planned'], 'machine')}: {counts_text(report['counts'])}", "  ")
    terminal.say_wrapped(f"Took {length_of_time(seconds)}, {_inside(report)}", "  ")
    failure = report.get("failure")
    if failure:
        terminal.say_wrapped(f"Ended with {error_line(failure['error'], failure.get('cause'))}", "  ", later="    ")
    closed = report.get("closed")
    if closed:
        terminal.say_wrapped(f"Closed by {error_line(closed['error'], closed['reason'])}", "  ", later="    ")
    machines = report["machines"]
    for kind in MACHINE_OUTCOMES:
        if kind == "succeeded":
            continue
        found = [machine for machine in machines if machine["outcome"] == kind]
        show_machine_list(terminal, words(kind).capitalize(), found, 20)
    for group in report.get("groups", []):
        for problem in group["problems"]:
            terminal.say_wrapped(f"Group {group['groupName']}: {problem}", "  ", "warn", later="    ")
        if group["outcome"] == "failed":
            why = error_line(group["error"], group["cause"])
            terminal.say_wrapped(f"Group {group['groupName']}: {why}", "  ", "bad", later="    ")
    if report.get("leftOut"):
        terminal.say_wrapped(f"Left out of the plan: {count(len(report['leftOut']), 'machine')}", "  ")
    for warning in report.get("warnings", []):
        terminal.say_wrapped(f"Warning: {warning}", "  ", "warn", later="    ")
    if report.get("next"):
        terminal.say("What to do next", "strong")
        for step in report["next"]:
            terminal.say_wrapped(step["text"], "  ", later="    ")
            if step["command"]:
                terminal.say(f"    {account.again(*step['command'])}")
    terminal.say(f"Report: {place}")


def _inside(report: Mapping[str, Any]) -> str:
    inside = report.get("insideWindow")
    if inside is None:
        return f"until {printable(report.get('endedAt', '?'))}"
    limit = "window" if (report.get("asked") or {}).get("window") else "deadline"
    if inside:
        return f"in time for its {limit}"
    return f"{count(report.get('minutesAfterEnd', 0), 'minute')} late for its {limit}"
