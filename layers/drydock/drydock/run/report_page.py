"""The page of a report: one file that says all a person wants to know of a run, without scripts and without a server.

A pure function of the report. It can be handed on, printed, and read on a phone, in the dark, or aloud.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from drydock.catalogue.saying import knows, one_line, say
from drydock.run.messages import summary_message
from drydock.run.outcomes import MACHINE_OUTCOMES, MachineOutcome, failed_groups
from drydock.run.reports import NextStep, Report
from drydock.run.timeline import STYLE as TIMELINE_STYLE
from drydock.run.timeline import draw_timeline, wave_name
from drydock.telling.commands import drydock
from drydock.telling.details import detail_rows, step_rows
from drydock.telling.message import Command, Link, Row, Section, Urgency
from drydock.telling.page import BASE_STYLE, Html, document, element, join, policy_of
from drydock.telling.text import Location, console_link, cut
from drydock.times import find_zone, from_text

MOST_MACHINES = 1_000
"""So many machines are shown, those with trouble first; the others are counted."""
DOLLARS_PER_MACHINE = 0.00075
"""What docs/benchmarks.md counts, and tests/rehearsal/test_benchmarks.py holds it to."""
_MOST_REASONS = 50
_MOST_GROUPS = 200
_MOST_ROWS = 100
_MOST_CAUSE = 1_000
_MOST_VALUE = 400
_MOST_KNOWN = 1_000_000
"""Characters of what is known of machines."""

_STYLE = (
    BASE_STYLE
    + TIMELINE_STYLE
    + """
:root{--bad:#a4161a;--good:#0b6b33}
@media(prefers-color-scheme:dark){:root{--bad:#ff8b8b;--good:#6fd39a}}
main{max-width:80rem}
a{color:var(--focus)}
.note.bad{border-color:var(--bad)}.note.good{border-color:var(--good)}
.note code{font-size:.85rem}
.note ul{margin:0;padding-left:1.2rem}.note h2{margin:0 0 .25rem;font-size:1rem}
.counts{display:grid;grid-template-columns:repeat(auto-fill,minmax(8rem,1fr));gap:.5rem;margin:1rem 0;
padding:0;list-style:none}
.counts li{background:var(--card);border-radius:.35rem;padding:.5rem .75rem;color:var(--soft)}
.counts b{display:block;font-size:1.5rem;line-height:1.2;color:var(--ink)}
.bad b,.state.bad{color:var(--bad)}.good b,.state.good{color:var(--good)}.state.warn{color:var(--warn)}
.state{font-weight:600}
.machines{width:46%}
@media(max-width:36rem){.machines{width:auto}.machine .time{display:none}.machine .became{width:6.6rem}}
td details,th details{margin:.15rem 0}summary{cursor:pointer;color:var(--focus)}
details dl{margin:.35rem 0 .6rem}details ul{margin:.25rem 0;padding-left:1.2rem}details p{margin:.25rem 0}
.number .soft{display:block}
@media print{:root{color-scheme:light;--ink:#000;--soft:#333;--paper:#fff;--card:#f2f2f2;--line:#999;
--bad:#a4161a;--good:#0b6b33;--warn:#8a4b00;--focus:#000}
main{max-width:none;padding:0}h2,summary,caption{break-after:avoid}tr,.counts li,.note{break-inside:avoid}
details::details-content{content-visibility:visible;block-size:auto}summary{list-style:none}body{font-size:10pt}}
"""
)
_POLICY = policy_of(_STYLE, "form-action 'none'")

_TONES: Mapping[Urgency, str] = {"now": "bad", "tomorrow": "warn", "nothing": "good"}
_GOOD_VERDICTS = ("", "compliant", "scanned", "up_to_date", "updated")

Fact = tuple[str, str]


def report_page(report: Report, bucket: str) -> str:
    """The whole page, in HTML. `bucket` is where the full output of the machines' commands stands."""
    told = summary_message(report, _location(report), bucket, "")
    what = told.what[:1].upper() + told.what[1:]
    title = say("page.title", what=what, about=told.about)
    shown = by_trouble(report["machines"])
    parts = [
        element("h1", title),
        element("p", " ".join(told.intro)),
        _next(report, _TONES[told.urgency]),
        _counts(report),
        draw_timeline(report, shown[:MOST_MACHINES]),
        _warnings(report),
        _machines(report, shown, bucket),
        _groups(report),
        _untouched(report),
        _approval(report),
        _messages(report),
        _waves(report),
        _cost(report),
        _facts(report),
        _policy(report),
    ]
    return document(title, _STYLE, join(*[part for part in parts if part], by="\n"), policy=_POLICY)


def by_trouble(machines: Sequence[MachineOutcome]) -> list[MachineOutcome]:
    """Those somebody has to look at come first; else as they were planned."""
    return sorted(machines, key=_trouble)


def _trouble(machine: MachineOutcome) -> int:
    if machine["outcome"] == "succeeded":
        return 4 if machine["verdict"] in _GOOD_VERDICTS else 1
    return {"failed": 0, "not_attempted": 2, "already_compliant": 5}.get(machine["outcome"], 3)


def _local(report: Report, moment: str) -> datetime:
    return from_text(moment).astimezone(find_zone(report["timeZone"]))


def _time(report: Report, moment: str) -> str:
    return say("page.moment", moment=_local(report, moment)) if moment else ""


def _clock(report: Report, moment: str) -> str:
    return f"{_local(report, moment):%H:%M}" if moment else ""


def _section(name: str, heading: str, *content: Html) -> Html:
    return join(element("h2", heading, id=name), *content, by="\n")


def _list(items: Sequence[str | Html]) -> Html:
    return element("ul", *[element("li", item) for item in items])


def _described(facts: Iterable[Fact]) -> Html:
    """Names and what they stand for; what is empty is left out."""
    rows = [element("dt", name) + element("dd", text) for name, text in facts if text]
    return element("dl", *map(Html, rows)) if rows else Html()


def _next(report: Report, tone: str) -> Html:
    if not report["next"]:
        return Html()
    steps = [_step(report, step) for step in report["next"]]
    return element("div", element("h2", say("page.next")), _list(steps), class_=f"note {tone}")


def _step(report: Report, step: NextStep) -> Html:
    text = element("span", step["text"])
    if not step["command"]:
        return text
    return join(text, element("div", element("code", drydock(_location(report), *step["command"]).text)))


def _counts(report: Report) -> Html:
    counts = {**report["counts"], "left_out": len(report["leftOut"])}
    tones = {"failed": "bad", "succeeded": "good", "already_compliant": "good"}
    items = [
        element(
            "li",
            element("b", say("page.number", count=count)),
            say("page.left_out") if outcome == "left_out" else say(f"page.machine.{outcome}"),
            class_=tones.get(outcome, "plain"),
        )
        for outcome, count in counts.items()
        if count
    ]
    return element("ul", *items, class_="counts", aria_label=say("page.counts", total=len(report["machines"])))


def _facts(report: Report) -> Html:
    link = element("a", say("page.execution"), href=_console(report, report["execution"]), rel="noreferrer")
    facts: list[Fact] = [(say("page.fact.run"), report["runId"]), *_asked(report), *_course(report)]
    failure = report["failure"]
    if failure:
        cause = cut(failure["cause"], _MOST_CAUSE)
        facts.append((say("page.fact.failure"), say("page.fact.error", error=failure["error"], cause=cause)))
    location = _location(report)
    where = say("page.fact.account.is", account=location.account, region=location.region)
    facts += [
        (say("page.fact.account"), where),
        (say("page.fact.snapshot"), report["snapshotId"]),
        (say("page.fact.plan"), report["planHash"]),
    ]
    zone = element("p", say("page.zone", zone=str(find_zone(report["timeZone"]))), class_="soft")
    return _section("facts", say("page.facts"), _described(facts), element("p", link), zone)


def _asked(report: Report) -> Iterator[Fact]:
    asked = report["asked"]
    yield say("page.fact.window"), (asked["window"] or {}).get("name", "")
    yield say("page.fact.started_by"), asked["startedBy"]
    yield say("page.fact.operation"), asked["operation"]
    for target in asked["targets"][:_MOST_ROWS]:
        if isinstance(target, Mapping):
            given = target.get("values")
            values = [cut(str(value), _MOST_VALUE) for value in given] if isinstance(given, list) else []
            key = cut(str(target.get("key")), _MOST_VALUE)
            yield say("page.fact.targets"), say("page.fact.target", what=key, values=values)
    yield say("page.fact.resumes"), asked["resumes"]
    yield say("page.fact.follows"), asked["follows"]


def _course(report: Report) -> Iterator[Fact]:
    begun, ended = _local(report, report["startedAt"]), _local(report, report["endedAt"])
    yield say("page.fact.time"), say("page.fact.from_to", begun=begun, ended=ended, minutes=report["minutes"])
    yield say("page.fact.predicted"), _time(report, report["predictedEnd"])
    yield say("page.fact.last_admission"), _time(report, report["lastAdmission"])
    if report["end"]:
        kind = {True: "inside", False: "outside", None: "open"}[report["insideWindow"]]
        end, late = _local(report, report["end"]), abs(report["minutesAfterEnd"])
        text = {
            "inside": lambda: say("page.fact.end.inside", end=end, minutes=late),
            "outside": lambda: say("page.fact.end.outside", end=end, minutes=late),
            "open": lambda: say("page.fact.end.open", end=end),
        }[kind]()
        yield say("page.fact.end"), text
    closed = report["closed"]
    if closed:
        at, reason = _local(report, closed["at"]), cut(closed["reason"], _MOST_CAUSE)
        yield say("page.fact.closed"), say("page.fact.closed.at", at=at, reason=reason)


def _location(report: Report) -> Location:
    """Where it was, by the ARN of its execution."""
    parts = [*report["execution"].split(":"), "", "", "", "", "", "", ""]
    return Location(parts[1], parts[4], parts[3], report["timeZone"], parts[6].removesuffix("-MaintenanceRun"))


def _console(report: Report, execution: str) -> str:
    return console_link(execution, _location(report))


def _warnings(report: Report) -> Html:
    warnings = [*report["warnings"], *report["tooLong"]]
    if not warnings:
        return Html()
    rows = [cut(warning, _MOST_CAUSE) for warning in warnings[:_MOST_ROWS]]
    return element("div", element("h2", say("page.warnings")), _list(rows), class_="note")


def _machines(report: Report, machines: Sequence[MachineOutcome], bucket: str) -> Html:
    if not machines:
        return Html()
    shown, rest = machines[:MOST_MACHINES], machines[MOST_MACHINES:]
    more = []
    if rest:
        found = Counter(machine["outcome"] for machine in rest)
        outcomes = [
            say("page.counted", count=found[outcome], outcome=say(f"page.machine.{outcome}"))
            for outcome in MACHINE_OUTCOMES
            if found[outcome]
        ]
        more = [element("p", say("page.machines.more", count=len(rest), outcomes=outcomes))]
    table = _table(
        "machine",
        [
            (say("page.machines.name"), "machines"),
            (say("page.machines.became"), "became"),
            (say("page.machines.from"), "time"),
            (say("page.machines.minutes"), "number"),
        ],
        _machine_rows(report, shown, bucket),
    )
    return _section(
        "machines", say("page.machines"), element("p", say("page.machines.sorted"), class_="soft"), table, *more
    )


def _table(kind: str, columns: Sequence[tuple[str, str]], rows: Sequence[Html]) -> Html:
    """A table whose columns have a name and a class, which says how wide they are."""
    heads = [element("th", name, scope="col", class_=width) for name, width in columns]
    body = element("tbody", join(*rows, by="\n"))
    return element("table", element("thead", element("tr", *heads)), body, class_=kind)


def _machine_rows(report: Report, machines: Sequence[MachineOutcome], bucket: str) -> list[Html]:
    """A row for each. What is known of them is told as long as the page does not become too large for a phone."""
    rows, told = [], 0
    for machine in machines:
        known = _known(report, machine, bucket) if told <= _MOST_KNOWN else Html()
        told += len(known)
        rows.append(_machine_row(report, machine, known if told <= _MOST_KNOWN else Html()))
    return rows


def _machine_row(report: Report, machine: MachineOutcome, known: Html) -> Html:
    name, group = machine["name"] or machine["instanceId"], machine["groupName"]
    about = [machine["instanceId"] if machine["name"] else "", say("page.machines.group", group=group) if group else ""]
    if not machine["isPlanned"]:
        about.append(say("page.machines.not_planned"))
    details = element("details", element("summary", say("page.machines.told")), known) if known else Html()
    tone = {"failed": "bad", "succeeded": "good", "already_compliant": "good"}.get(machine["outcome"], "warn")
    if machine["outcome"] == "succeeded" and machine["verdict"] not in _GOOD_VERDICTS:
        tone = "warn"
    verdict = machine["verdict"]
    meaning = say(f"verdict.{verdict}") if knows(f"verdict.{verdict}") else verdict
    expected = machine["expectedSeconds"]
    minutes: list[Html | str] = [say("page.number", count=_minutes(machine["seconds"])) if machine["seconds"] else ""]
    if expected and machine["seconds"]:
        minutes.append(element("span", say("page.machines.expected", minutes=_minutes(expected)), class_="soft"))
    return element(
        "tr",
        element("th", name, *[element("div", text, class_="soft") for text in about if text], details, scope="row"),
        element(
            "td",
            element("span", say(f"page.machine.{machine['outcome']}"), class_=f"state {tone}"),
            element("div", meaning, class_="soft") if meaning else Html(),
        ),
        element("td", _clock(report, machine["startedAt"]), class_="time"),
        element("td", *minutes, class_="number"),
    )


def _minutes(seconds: int) -> int:
    return -(-seconds // 60)


def _known(report: Report, machine: MachineOutcome, bucket: str) -> Html:
    """What is known of a machine beyond its row: why, what was missing and is, images, hooks, commands, steps."""
    cause = machine["cause"].removeprefix(f"{machine['instanceId']}: ")
    facts = [
        (say("page.machines.error"), machine["error"]),
        (say("page.machines.reason"), cut(cause, _MOST_CAUSE)),
    ]
    if machine["startedAt"] and machine["endedAt"]:
        begun, ended = _clock(report, machine["startedAt"]), _clock(report, machine["endedAt"])
        facts.append((say("page.machines.times"), say("page.waves.span", begun=begun, ended=ended)))
    parts = [_described(facts)]
    details = machine["details"]
    if details:
        location = _location(report)
        rows = detail_rows(machine["instanceId"], details, location, bucket, with_output=True)
        parts.append(_rows(rows))
        if details["steps"]:
            steps = _rows(step_rows(details["steps"], location.time_zone))
            parts += [element("p", say("heading.steps")), steps]
    if machine["execution"]:
        parts.append(element("p", element("a", say("page.execution"), href=_console(report, machine["execution"]))))
    return join(*parts)


def _rows(rows: Sequence[Row]) -> Html:
    """The rows of a message, as a list."""
    return _list([_row(row) for row in rows])


def _row(row: Row) -> Html:
    match row:
        case Command():
            return element("code", row.text)
        case Link():
            return element("a", row.label, href=row.url)
        case Section():
            return join(row.heading, _rows(row.rows))
        case str():
            return element("span", cut(row, _MOST_CAUSE))


def _groups(report: Report) -> Html:
    troubled = failed_groups(report["groups"])
    groups = sorted(report["groups"], key=lambda group: (group not in troubled, not group["problems"]))
    if not groups:
        return Html()
    rows = []
    for group in groups[:_MOST_GROUPS]:
        outcome = group["outcome"]
        state = say(f"page.machine.{outcome}") if knows(f"page.machine.{outcome}") else outcome
        error, cause = group["error"], cut(group["cause"], _MOST_CAUSE)
        problems = [say("page.fact.error", error=error, cause=cause)] if error else []
        problems += [cut(problem, _MOST_CAUSE) for problem in group["problems"]]
        head = say("page.groups.state", group=group["groupName"], outcome=state)
        rows.append(join(head, _list(problems)) if problems else head)
    return _section("groups", say("page.groups"), _list(rows))


def _untouched(report: Report) -> Html:
    """What was not attempted or left out, reason by reason."""
    names: dict[str, list[str]] = {}
    for machine in report["machines"]:
        if machine["outcome"] not in ("succeeded", "already_compliant", "failed"):
            reason = _reason(machine["error"], machine["cause"], machine["instanceId"])
            names.setdefault(reason, []).append(machine["name"] or machine["instanceId"])
    for left in report["leftOut"]:
        reason = _reason(str(left["error"]), str(left["reason"]), str(left["instanceId"]))
        names.setdefault(reason, []).append(str(left["name"] or left["instanceId"]))
    if not names:
        return Html()
    ordered = sorted(names.items(), key=lambda entry: -len(entry[1]))
    rows = [
        join(
            element("b", say("page.untouched.count", count=len(machines))),
            element("div", reason),
            element("div", say("page.untouched.names", names=machines), class_="soft"),
        )
        for reason, machines in ordered[:_MOST_REASONS]
    ]
    more = sum(len(machines) for _, machines in ordered[_MOST_REASONS:])
    rest = [element("p", say("page.untouched.more", count=more))] if more else []
    return _section("untouched", say("page.untouched"), _list(rows), *rest)


def _reason(error: str, cause: str, instance_id: str) -> str:
    cause = cut(cause.removeprefix(f"{instance_id}: "), _MOST_CAUSE)
    return (
        say("page.fact.error", error=error, cause=cause)
        if error and cause
        else cause or error or say("page.untouched.unknown")
    )


def _approval(report: Report) -> Html:
    approval = report["approval"]
    if not approval:
        return Html()
    rows = [say("page.approval.asked", at=_local(report, approval["askedAt"]), until=_local(report, approval["until"]))]
    for decision in approval["decisions"]:
        kind = "approved" if decision["decision"] == "approved" else "rejected"
        who = decision["name"] or decision["by"]
        decided = say(f"given.{kind}", who=cut(who, _MOST_VALUE), moment=_local(report, decision["at"]))
        reason = cut(decision["reason"], _MOST_CAUSE)
        rows.append(say("approval.why", decided=decided, reason=reason) if reason else decided)
    if not approval["decisions"]:
        rows.append(say("page.approval.nobody"))
    return _section("approval", say("page.approval"), _list(rows))


def _messages(report: Report) -> Html:
    if not report["messages"]:
        return Html()
    rows = [
        say("page.message", at=_local(report, one["at"]), subject=cut(one["subject"], _MOST_VALUE))
        for one in report["messages"]
    ]
    return _section("messages", say("page.messages"), element("p", say("page.messages.about")), _list(rows))


def _waves(report: Report) -> Html:
    if not report["waves"]:
        return Html()
    rows = [
        element(
            "tr",
            element("th", wave_name(report, number), scope="row"),
            element("td", say("page.number", count=wave["count"])),
            element("td", _span(report, wave["predictedStart"], wave["predictedEnd"])),
            element("td", _span(report, wave["startedAt"], wave["endedAt"]) or say("page.waves.never")),
        )
        for number, wave in enumerate(report["waves"])
    ]
    columns = [
        (say("page.waves.wave"), "wave"),
        (say("page.waves.machines"), "count"),
        (say("page.waves.planned"), "span"),
        (say("page.waves.was"), "span"),
    ]
    return _section("waves", say("page.waves"), _table("waves", columns, rows))


def _span(report: Report, begun: str, ended: str) -> str:
    if not begun or not ended:
        return ""
    return say("page.waves.span", begun=_clock(report, begun), ended=_clock(report, ended))


def _cost(report: Report) -> Html:
    """What the run cost, as far as that is known: Drydock's own work, images, and the hours of machines."""
    worked = [machine for machine in report["machines"] if machine["startedAt"]]
    if not worked:
        return Html()
    dollars = f"{len(worked) * DOLLARS_PER_MACHINE:.2g}"
    rows = [say("page.cost.own", dollars=dollars, count=len(worked))]
    known = [machine for machine in worked if machine["details"]]
    images = sum(len(one["details"]["images"]) for one in known if one["details"])
    if images:
        rows.append(say("page.cost.images", count=images))
    started = [one for one in known if one["details"] and one["details"]["powerBefore"] == "stopped"]
    if started:
        minutes = sum(_minutes(machine["seconds"]) for machine in started)
        rows.append(say("page.cost.started", count=len(started), minutes=minutes))
    return _section("cost", say("page.cost"), _list(rows))


def _policy(report: Report) -> Html:
    policy = report["asked"]["policy"]
    if not isinstance(policy, Mapping) or not policy:
        return Html()
    facts = [
        (str(key), cut(one_line(json.dumps(value, ensure_ascii=False, default=str)), _MOST_VALUE))
        for key, value in policy.items()
    ]
    return element("details", element("summary", say("page.policy")), _described(facts[:_MOST_ROWS]))
