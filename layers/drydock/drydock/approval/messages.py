"""The mail that asks for approval: what is planned, until when, how to answer, and what happens without an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from drydock.catalogue.saying import first_of, one_line, say
from drydock.plan.estimates import basis_text, breakdown_text, whole_minutes
from drydock.plan.plans import Plan, PlannedMachine, count_outside, count_planned, members_of
from drydock.plan.showing import missing_text, what_is_different, what_is_planned
from drydock.plan.targets import LeftOut
from drydock.records.runs import Run
from drydock.telling.commands import aws, drydock
from drydock.telling.message import Command, Link, Message, Row, Section, place, steps, where
from drydock.telling.text import Location, machine_text, subject_line
from drydock.times import find_zone, from_text, in_zone

_MOST_LEFT_OUT, _MOST_WAVES, _MOST_MACHINES, _MOST_MEMBERS = 20, 10, 20, 20

_BY_DAY = timedelta(hours=3)
"""A plan that may be answered for so long wakes nobody."""


@dataclass(frozen=True, kw_only=True)
class Question(Message):
    """What approvers are asked: by when an answer counts comes first, since a phone shows no more than that."""

    until: datetime

    @property
    def subject(self) -> str:
        """By when, what, and which window or run."""
        until = in_zone(self.until, self.zone)
        return subject_line(say("question.subject", until=until, what=self.what, about=self.about))

    @property
    def first(self) -> str:
        """Whether to get up for it, by when, and what it is about."""
        return say(f"question.first.{self.urgency}", until=in_zone(self.until, self.zone), what=self.what)


def who_asks(plan: Plan, started_by: str) -> str:
    """Who started the run: a person, or the maintenance window; empty when nobody is known."""
    window = plan["window"]
    if started_by:
        return one_line(started_by)
    return say("asked.window", name=window["name"], id=window["windowId"]) if window else ""


def wave_text(plan: Plan, number: int) -> str:
    """`Wave 1 of 2, the canary: 1 machine`"""
    wave = plan["waves"][number]
    wanted, of, count = number + 1, len(plan["waves"]), wave["count"]
    if wave["isCanary"]:
        return say("plan.wave.canary", number=wanted, of=of, count=count)
    return say("plan.wave", number=wanted, of=of, count=count)


def left_out_text(left_out: LeftOut) -> str:
    """A machine that the plan leaves out, and why, on one line: `web-1 (i-…): REASON`."""
    reason = left_out["reason"].removeprefix(f"{left_out['instanceId']}: ")
    return say("row.reason", what=machine_text(left_out["instanceId"], left_out["name"]), reason=reason)


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
    link: str,
    location: Location,
) -> Question:
    """With a link, whoever has it may answer; without, the approvers of the setting may."""
    zone, window, recorded = find_zone(location.time_zone), plan["window"], run.require_plan()
    may_wait = run.is_ahead and until - run.started > _BY_DAY
    return Question(
        urgency="tomorrow" if may_wait else "now",
        what=say(f"question.what.{plan['operation']}", count=count_planned(plan)),
        about=window["name"] if window else run.run_id,
        until=until,
        intro=_asked_ahead(plan, run, until, location) if run.is_ahead else [say("question.without")],
        zone=location.time_zone,
        facts=[
            _run(plan, run),
            place(location),
            *[say("plan.line", heading=heading, said=said) for heading, said in what_is_planned(plan)],
            *[say("plan.line", heading=heading, said=said) for heading, said in what_is_different(plan, zone)],
            *[say("plan.never_begun", sentence=sentence) for sentence in plan["tooLong"]],
            *_end(plan, location, is_waiting=not run.is_ahead),
            *plan.get("advice", []),
            say("plan.hash", hash=hash),
            *[say("machine.note", note=warning) for warning in plan["warnings"]],
        ],
        sections=[
            steps(_answers(run.run_id, hash, needed, approvers, setting, parameter, link, location)),
            *_machines(plan, f"s3://{recorded.bucket}/{recorded.key}", location.time_zone),
            _left_out(plan),
            Section(say("heading.guesses"), [breakdown_text(guess) for guess in plan["guesses"]]),
            where([], run.holder.execution, location),
        ],
    )


def _asked_ahead(plan: Plan, run: Run, until: datetime, location: Location) -> list[str]:
    """What is asked of a plan for a window that opens later, until when, and when it expires."""
    zone, window = find_zone(location.time_zone), plan["window"]
    return [
        say(
            f"ahead.first.{plan['operation']}",
            count=count_planned(plan),
            window=window["name"] if window else "",
            opens=from_text(window["start"]).astimezone(zone) if window else until.astimezone(zone),
        ),
        say("ahead.until", until=until.astimezone(zone)),
        say("ahead.expires", expires=run.expires.astimezone(zone)),
    ]


def _run(plan: Plan, run: Run) -> str:
    asker = who_asks(plan, run.started_by)
    return say("asked.by", run=run.run_id, who=asker) if asker else say("run.asked.run", run=run.run_id)


def planned_text(machine: PlannedMachine) -> str:
    """`web-1 (i-…)`, or `group web, 4 members in one roll`"""
    if machine.get("kind") != "group":
        return one_line(machine_text(machine["instanceId"], machine["name"]))
    return say("plan.roll", group=machine["groupName"], count=len(members_of(machine)))


def members_text(machine: PlannedMachine) -> str:
    """The members of a group that are patched, the first twenty by name."""
    names = []
    for member in members_of(machine):
        name = machine_text(member["instanceId"], member["name"])
        is_known = "missing" in member
        names.append(say("plan.member.missing", machine=name, count=member["missing"]) if is_known else name)
    return first_of(names, _MOST_MEMBERS)


def estimate_text(machine: PlannedMachine) -> str:
    """`30 min, a guess`, `25 min, from 4 runs of it`"""
    basis = basis_text(machine["basis"], machine["samples"])
    return say("plan.estimate", minutes=whole_minutes(machine["seconds"]), basis=basis)


def predicted_text(plan: Plan, end: str) -> str:
    """The end that is predicted, and of how many machines that is a guess: `02:40: a guess for 2 machines …`"""
    guessed = sum(len(members_of(machine)) for machine in plan["machines"] if machine["basis"] == "guess")
    return say("plan.guessed", end=end, count=guessed) if guessed else end


def fit_text(machine: PlannedMachine) -> str:
    """What is to be said where not all of it is expected to fit: `not expected to fit`; else empty."""
    late = count_outside(machine)
    if not late:
        return ""
    return say("plan.fits_not") if late == len(members_of(machine)) else say("plan.fits_not.some", count=late)


def refused_decision_message(
    *, run_id: str, by: str, at: datetime, reason: str, carried_out_by: str, is_open: bool, location: Location
) -> Message:
    """For a decision in a parameter that does not count.

    `carried_out_by` is the run that carries the plan out, empty for none; `is_open` says that an answer still counts.
    """
    look: list[Row] = [say("refused.see"), drydock(location, "watch", run_id)]
    stop: list[Row] = [say("refused.stop"), drydock(location, "stop", carried_out_by)] if carried_out_by else []
    return Message(
        urgency="now" if is_open or carried_out_by else "tomorrow",
        what=say("refused.decision", by=by, run=run_id),
        zone=location.time_zone,
        facts=[
            say("machine.reason", reason=reason),
            say("refused.written", moment=in_zone(at, location.time_zone)),
            place(location),
        ],
        sections=[steps([*look, *stop])],
    )


def _machines(plan: Plan, stored: str, zone: str) -> list[Section]:
    """The machines and groups by wave, the first twenty by name."""
    waves: list[tuple[str, list[Row]]] = []
    named, told = 0, 0
    for number in range(len(plan["waves"])):
        machines = [machine for machine in plan["machines"] if machine["wave"] == number]
        if number >= _MOST_WAVES or named >= _MOST_MACHINES:
            break
        rows: list[Row] = []
        for machine in machines[: _MOST_MACHINES - named]:
            row = say("row.reason", what=planned_text(machine), reason=_about(machine, zone))
            rows.append(Section(row, [members_text(machine)]) if machine.get("kind") == "group" else row)
            named += 1
            told += len(members_of(machine))
        waves.append((wave_text(plan, number), rows))
    more = count_planned(plan) - told
    if waves and more:
        waves[-1][1].append(say("rows.more_planned", count=more, where=stored))
    return [Section(heading, rows) for heading, rows in waves]


def _about(machine: PlannedMachine, zone: str) -> str:
    about = [machine["platform"], machine["power"], estimate_text(machine), fit_text(machine)]
    return say("names", names=[text for text in (*about, missing_text(machine, find_zone(zone))) if text])


def _end(plan: Plan, location: Location, *, is_waiting: bool) -> list[str]:
    """When all would be done. A run that waits for the answer begins the later for it."""
    lines = []
    if plan["predictedEnd"]:
        done = say("moment", moment=in_zone(from_text(plan["predictedEnd"]), location.time_zone))
        predicted = predicted_text(plan, done)
        lines.append(say("plan.done_by.waiting", end=predicted) if is_waiting else say("plan.done_by", end=predicted))
    if plan["end"]:
        lines.append(say("plan.has_to_end", end=in_zone(from_text(plan["end"]), location.time_zone)))
    late = sum(map(count_outside, plan["machines"]))
    if late:
        lines.append(say("plan.late", count=late))
    return lines


def _left_out(plan: Plan) -> Section:
    left_out = plan["leftOut"]
    more = len(left_out) - _MOST_LEFT_OUT
    return Section(
        say("heading.left_out", count=len(left_out)),
        [
            *map(left_out_text, left_out[:_MOST_LEFT_OUT]),
            *([say("rows.more_in_plan", count=more)] if more > 0 else []),
        ],
    )


def _answers(
    run_id: str,
    hash: str,
    needed: int,
    approvers: Sequence[str],
    setting: str,
    parameter: str,
    link: str,
    location: Location,
) -> list[Row]:
    many: list[Row] = [say("answer.many", needed=needed)] if needed > 1 else []
    if not link and not approvers:
        return [say("answer.nobody", setting=setting), drydock(location, "approve", run_id), *many]
    rows: list[Row] = [Link(say("answer.link"), link)] if link else []
    if approvers and not link:
        rows += [
            say("answer.approve"),
            drydock(location, "approve", run_id),
            say("answer.reject"),
            drydock(location, "reject", run_id),
        ]
    if approvers:
        rows += [
            say("answer.approve.aws"),
            _write(parameter, f"approve {hash}", location),
            say("answer.reject.aws"),
            _write(parameter, f"reject {hash} REASON", location),
        ]
    return [*rows, *many]


def _write(parameter: str, value: str, location: Location) -> Command:
    named = ("--overwrite", "--type", "String", "--name", parameter)
    return aws(location, "ssm", "put-parameter", *named, "--value", value)
