"""The mail that asks for approval: what is planned, until when, how to answer, and what happens without an answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from drydock.catalogue.saying import first_of, one_line, say
from drydock.plan.estimates import basis_text, breakdown_text, whole_minutes
from drydock.plan.plans import Plan, PlannedMachine, count_outside, count_planned, members_of
from drydock.plan.showing import missing_text, what_is_different, what_is_planned
from drydock.plan.targets import LeftOut
from drydock.records.runs import Run
from drydock.telling.text import Location, console_link, machine_text, subject_line
from drydock.times import find_zone, for_people, from_text

_MOST_LEFT_OUT, _MOST_WAVES, _MOST_MACHINES, _MOST_MEMBERS = 20, 10, 20, 20


def count_text(count: int, noun: str = "machine") -> str:
    """`1 machine`, `1,200 machines`"""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def who_asks(plan: Plan, started_by: str) -> str:
    """Who started the run: a person, or the maintenance window; empty when nobody is known."""
    window = plan["window"]
    if started_by:
        return one_line(started_by)
    return one_line(f"maintenance window {window['name']} ({window['windowId']})") if window else ""


def wave_text(plan: Plan, number: int) -> str:
    """`Wave 1 of 2, the canary: 1 machine`"""
    wave = plan["waves"][number]
    canary = ", the canary" if wave["isCanary"] else ""
    return f"Wave {number + 1} of {len(plan['waves'])}{canary}: {count_text(wave['count'])}"


def left_out_text(left_out: LeftOut) -> str:
    """A machine that the plan leaves out, and why, on one line: `web-1 (i-…): REASON`."""
    reason = left_out["reason"].removeprefix(f"{left_out['instanceId']}: ")
    return one_line(f"{machine_text(left_out['instanceId'], left_out['name'])}: {reason}")


def approval_message(
    *,
    plan: Plan,
    run: Run,
    hash: str,
    until: datetime,
    needed: int,
    approvers: Sequence[str],
    setting: str,
    parameter: str,
    stack: str,
    link: str,
    location: Location,
) -> tuple[str, str]:
    """Subject and text. With a link, whoever has it may answer; without, the approvers of the setting may."""
    machines = count_text(count_planned(plan))
    deadline = for_people(until, location.time_zone)
    late = sum(map(count_outside, plan["machines"]))
    verb = say(f"wanted.{plan['operation']}")
    recorded = run.require_plan()
    asked = [
        f"Drydock wants to {verb} {machines}, and waits for approval until {deadline}.",
        "Without an answer by then nothing is touched, and the run ends.",
    ]
    lines = [
        *(_asked_ahead(plan, run, until, location) if run.is_ahead else asked),
        "",
        _run(plan, run),
        f"  Account {location.account}, Region {location.region}",
        *[f"  {heading}: {one_line(said)}" for heading, said in what_is_planned(plan)],
        *[f"  {heading}: {one_line(said)}" for heading, said in what_is_different(plan, find_zone(location.time_zone))],
        *[f"  Never begun: {one_line(sentence)}" for sentence in plan["tooLong"]],
        *_end(plan, late, location),
        *[f"  {sentence}" for sentence in plan.get("advice", [])],
        *[f"  A guess: {breakdown_text(guess)}" for guess in plan["guesses"]],
        f"  Plan {hash}",
        *[f"  Note: {one_line(warning)}" for warning in plan["warnings"]],
        "",
        "What to do next",
        *[f"  {line}" for line in _answers(run.run_id, hash, needed, approvers, setting, parameter, stack, link)],
        *_machines(plan, f"s3://{recorded.bucket}/{recorded.key}", location.time_zone),
        *_left_out(plan),
        "",
        "Where to look",
        f"  Execution: {console_link(run.holder.execution, location)}",
    ]
    return subject_line(_subject(plan, run, verb, until, location)), "\n".join(lines)


def _asked_ahead(plan: Plan, run: Run, until: datetime, location: Location) -> list[str]:
    """What is asked of a plan for a window that opens later, until when, and when it expires."""
    zone, window = find_zone(location.time_zone), plan["window"]
    return [
        say(
            "ahead.first",
            wanted=say(f"wanted.{plan['operation']}"),
            machines=count_planned(plan),
            window=window["name"] if window else "",
            opens=from_text(window["start"]).astimezone(zone) if window else until.astimezone(zone),
        ),
        say("ahead.until", until=until.astimezone(zone)),
        say("ahead.expires", expires=run.expires.astimezone(zone)),
    ]


def _subject(plan: Plan, run: Run, verb: str, until: datetime, location: Location) -> str:
    """By when an answer counts first, since a phone shows no more than that; then which window."""
    at = until.astimezone(find_zone(location.time_zone))
    whose = plan["window"]["name"] if plan["window"] else run.run_id
    return say("approval.subject", until=at, wanted=verb, machines=count_planned(plan), whose=whose)


def _run(plan: Plan, run: Run) -> str:
    asker = who_asks(plan, run.started_by)
    return f"  Run {run.run_id}" + (f", asked for by {asker}" if asker else "")


def planned_text(machine: PlannedMachine) -> str:
    """`web-1 (i-…)`, or `group web, 4 members in one roll`"""
    if machine.get("kind") != "group":
        return one_line(machine_text(machine["instanceId"], machine["name"]))
    return one_line(f"group {machine['groupName']}, {count_text(len(members_of(machine)), 'member')} in one roll")


def members_text(machine: PlannedMachine) -> str:
    """The members of a group that are patched, the first twenty by name."""
    names = [
        machine_text(member["instanceId"], member["name"])
        + (say("plan.missing.of_member", count=member["missing"]) if "missing" in member else "")
        for member in members_of(machine)
    ]
    return one_line(first_of(names, _MOST_MEMBERS))


def estimate_text(machine: PlannedMachine) -> str:
    """`30 min, a guess`, `25 min, from 4 runs of it`"""
    return f"{whole_minutes(machine['seconds'])} min, {basis_text(machine['basis'], machine['samples'])}"


def guessed_text(plan: Plan) -> str:
    """What is to be said of a prediction that is a guess, in parts or as a whole; else empty."""
    guessed = sum(len(members_of(machine)) for machine in plan["machines"] if machine["basis"] == "guess")
    return f": a guess for {count_text(guessed)} without history" if guessed else ""


def fit_text(machine: PlannedMachine) -> str:
    """What is to be said where not all of it is expected to fit: `, not expected to fit`; else empty."""
    late = count_outside(machine)
    if not late:
        return ""
    those = "" if late == len(members_of(machine)) else f"{late:,} of them "
    return f", {those}not expected to fit"


def refused_decision_message(run_id: str, by: str, at: datetime, reason: str, location: Location) -> tuple[str, str]:
    """Subject and text for a decision in a parameter that does not count."""
    lines = [
        f"What {by} decided about run {run_id} does not count: {reason}",
        "",
        f"  Written at {for_people(at, location.time_zone)}",
        f"  Account {location.account}, Region {location.region}",
        "",
        "What to do next",
        f"  See how the run stands with `drydock watch {run_id}`.",
    ]
    return subject_line(f"Drydock: a decision about run {run_id} does not count"), "\n".join(lines)


def _machines(plan: Plan, where: str, zone: str) -> list[str]:
    """The machines and groups by wave, the first twenty by name."""
    lines, named, told = [""], 0, 0
    for number in range(len(plan["waves"])):
        machines = [machine for machine in plan["machines"] if machine["wave"] == number]
        if number >= _MOST_WAVES or named >= _MOST_MACHINES:
            break
        lines.append(wave_text(plan, number))
        for machine in machines[: _MOST_MACHINES - named]:
            missing = missing_text(machine, find_zone(zone))
            about = f"{machine['platform']}, {machine['power']}, {estimate_text(machine)}{fit_text(machine)}"
            about += f", {missing}" if missing else ""
            lines.append(f"  {planned_text(machine)}: {about}")
            if machine.get("kind") == "group":
                lines.append(f"    {members_text(machine)}")
            named += 1
            told += len(members_of(machine))
    more = count_planned(plan) - told
    return [*lines, f"  … and {more:,} more in the plan, {where}"] if more else lines


def _end(plan: Plan, late: int, location: Location) -> list[str]:
    lines = []
    if plan["predictedEnd"]:
        done = for_people(from_text(plan["predictedEnd"]), location.time_zone)
        lines.append(f"  Done by {done}, as predicted{guessed_text(plan)}")
    if plan["end"]:
        lines.append(f"  Has to end by {for_people(from_text(plan['end']), location.time_zone)}")
    if late:
        lines.append(f"  {count_text(late)} not expected to fit: not touched unless others are quicker")
    return lines


def _left_out(plan: Plan) -> list[str]:
    left_out = plan["leftOut"]
    if not left_out:
        return []
    more = len(left_out) - _MOST_LEFT_OUT
    return [
        "",
        f"Left out: {count_text(len(left_out))}",
        *[f"  {left_out_text(one)}" for one in left_out[:_MOST_LEFT_OUT]],
        *([f"  … and {more:,} more in the plan"] if more > 0 else []),
    ]


def _answers(
    run_id: str,
    hash: str,
    needed: int,
    approvers: Sequence[str],
    setting: str,
    parameter: str,
    stack: str,
    link: str,
) -> list[str]:
    many = [f"{needed} different people have to approve; one rejection is enough."] if needed > 1 else []
    if not link and not approvers:
        return [
            f"Nobody may approve now: write the approvers' ARNs into the setting {setting}, separated by commas."
            f" They can then answer with: drydock approve {run_id} --stack {stack}",
            *many,
        ]
    put = f"aws ssm put-parameter --overwrite --type String --name {parameter} --value"
    lines = [f"Look at the plan, and approve or reject it: {link}"] if link else []
    if approvers and not link:
        lines.append(f"Approve or reject: drydock approve {run_id} --stack {stack} (or: drydock reject …)")
    if approvers:
        lines += [
            f'Or with the AWS CLI alone: {put} "approve {hash}"',
            f'To reject: {put} "reject {hash} REASON"',
        ]
    return [*lines, *many]
