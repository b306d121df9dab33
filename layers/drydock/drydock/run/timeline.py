"""The timeline of a run: a picture of its machines over time. Pure.

One SVG as wide as the page: places in time are shares of the width, so that text keeps its size on a phone. Each kind
of step has a colour of its own and, for whoever cannot tell colours, a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from drydock.catalogue.saying import say
from drydock.run.outcomes import MachineOutcome
from drydock.run.reports import Report
from drydock.telling.page import Html, element, join
from drydock.times import find_zone, from_text

STYLE = """
.timeline{display:grid;max-height:85vh;overflow:auto;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.timeline svg{display:block;grid-area:1/1}.names{pointer-events:none}.heading{font-weight:600}
.timeline text{font:12px system-ui,sans-serif;fill:var(--ink)}
.timeline .mark{font-size:11px}.timeline .soft{fill:var(--soft);font-size:11px}
.timeline .bad{fill:var(--bad);font-weight:700}
.tick{stroke:var(--line)}.gate{stroke:var(--soft);stroke-dasharray:1 3;stroke-width:2}
.last{stroke:var(--ink);stroke-dasharray:6 4}.end{stroke:var(--bad);stroke-width:2}
.closed{stroke:var(--warn);stroke-dasharray:2 2;stroke-width:2}
.wait{fill:url(#wait)}.wave{fill:var(--card)}.bar{y:15px;height:13px}.thin{y:1px;height:6px}.failed{fill:var(--bad)}
.edge{fill:none;stroke:var(--soft);stroke-width:.5}
.ink{stroke:#000;stroke-opacity:.55;stroke-width:1.4;fill:none}.dot{fill:#000;fill-opacity:.55}
.image{fill:#56b4e9}.ready{fill:#c9ced4}.hook{fill:#cc79a7}.install{fill:#e69f00}.prove{fill:#2bb489}.restore{fill:#7fa8dc}
.service{fill:#f0e442}.work{fill:#9aa4af}.hatch{stroke:var(--soft);stroke-opacity:.6}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1rem;list-style:none;margin:.5rem 0;padding:0;font-size:.9rem}
.legend svg{vertical-align:-2px;margin-right:.35rem;print-color-adjust:exact;-webkit-print-color-adjust:exact}
@media(min-width:48rem){.timeline{grid-template-columns:11rem 1fr}.timeline .plot{grid-area:1/2}
.name{transform:translateY(14px)}}
@media print{.timeline{max-height:none;overflow:visible}}
"""

_KINDS: Mapping[str, str] = {
    "image": "image",
    "ready": "start|probe",
    "hook": ".*Hook",
    "install": "install|update",
    "prove": "scan|healthProbe",
    "restore": "stop|settle",
}
"""How the names of the steps of one kind begin: they are the intents of records/intents.py."""

_IN_WORK, _SERVICE = "work", "service"
_SHOWN = (*_KINDS, _SERVICE, _IN_WORK)
_PAUSE = timedelta(seconds=30)
"""What is longer between two steps is shown."""

_MOST_NAMED = 60
"""With more machines than these a row is thin, and its name is told where the pointer rests."""
_NAMED, _THIN = 31, 8
_HEADING = 20
_LANE = 15
_MOST_TICKS = 6
_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 720, 1440)
_LAST_TICK = 94
"""Further to the right there is no room for a time of day."""
_MOST_SPARE = 0.8
"""What is left of a window after the run takes no more than this share of what the run took."""


@dataclass(frozen=True)
class _Scale:
    """From time to a share of the width."""

    begin: datetime
    end: datetime

    def share(self, moment: datetime) -> float:
        whole = (self.end - self.begin).total_seconds()
        return min(max((moment - self.begin).total_seconds() / whole * 100, 0.0), 100.0)

    def at(self, moment: datetime) -> str:
        return f"{self.share(moment):.2f}%"

    def between(self, begin: datetime, end: datetime) -> dict[str, str]:
        """The place of what takes so long; never too narrow to be seen."""
        return {"x": self.at(begin), "width": f"{max(self.share(end) - self.share(begin), 0.2):.2f}%"}


@dataclass(frozen=True)
class _Mark:
    """A moment of the whole run: a line through all rows, with its name in a lane of its own."""

    moment: datetime
    name: str
    kind: str
    again: Sequence[datetime] = ()
    """When the same was once more, without a name."""


@dataclass(frozen=True)
class _Row:
    """What stands in one row: the machine's bars, or the name of a wave."""

    y: int
    machine: MachineOutcome | None
    heading: str = ""


def draw_timeline(report: Report, machines: Sequence[MachineOutcome]) -> Html:
    """The picture and its legend; nothing where no machine was worked on."""
    worked = sorted(
        (machine for machine in machines if machine["startedAt"]),
        key=lambda one: (one["wave"] if one["wave"] >= 0 else len(report["waves"]), one["startedAt"]),
    )
    if not worked:
        return Html()
    scale, zone = _scale(report, worked), find_zone(report["timeZone"])
    is_thin = len(worked) > _MOST_NAMED
    marks = _marks(report)
    top = _LANE * (len(marks) + 1) + 6
    rows = list(_rows(report, worked, top, _THIN if is_thin else _NAMED))
    height = rows[-1].y + (_THIN if is_thin else _NAMED) + 6
    bars = [_bars(report, row.machine, row.y, scale, is_thin=is_thin) for row in rows if row.machine]
    names = [] if is_thin else [_name(row) for row in rows if row.machine]
    about = say(
        "page.timeline.about",
        count=len(worked),
        begun=from_text(report["startedAt"]).astimezone(zone),
        ended=from_text(report["endedAt"]).astimezone(zone),
    )
    headings = [element("text", row.heading, x=4, y=row.y + 14, class_="heading") for row in rows if not row.machine]
    labels = element("svg", *headings, *names, class_="names", aria_hidden="true", width="100%", height=height)
    plot = element(
        "svg",
        element("title", say("page.timeline.title"), id="timeline-title"),
        element("desc", about, id="timeline-about"),
        _patterns(),
        *_bands(report, rows, scale, top, height),
        *_axis(scale, report, top, height),
        *bars,
        *[part for lane, mark in enumerate(marks) for part in _draw_mark(mark, lane, scale, report, height)],
        class_="plot",
        role="img",
        aria_labelledby="timeline-title timeline-about",
        width="100%",
        height=height,
    )
    used = {kind for machine in worked for kind, _, _ in _pieces(machine, report)}
    return join(
        element("h2", say("page.timeline"), id="timeline"),
        element("p", about, class_="soft"),
        element("div", plot, labels, class_="timeline", tabindex=0, role="group", aria_labelledby="timeline"),
        _legend([kind for kind in _SHOWN if kind in used]),
        by="\n",
    )


def _scale(report: Report, worked: Sequence[MachineOutcome]) -> _Scale:
    begin = from_text(report["startedAt"])
    end = max([from_text(report["endedAt"]), *(from_text(one["endedAt"]) for one in worked if one["endedAt"])])
    end = max(end, begin + timedelta(minutes=1))
    if report["end"]:
        end = max(end, min(from_text(report["end"]), end + _MOST_SPARE * (end - begin)))
    return _Scale(begin, end + 0.01 * (end - begin))


def _rows(report: Report, worked: Sequence[MachineOutcome], top: int, height: int) -> Iterator[_Row]:
    y, last = top, None
    for machine in worked:
        if machine["wave"] != last:
            last = machine["wave"]
            yield _Row(y, None, wave_name(report, last))
            y += _HEADING
        yield _Row(y, machine)
        y += height


def wave_name(report: Report, number: int) -> str:
    """`Canary`, `Wave 2`; what is outside the plan has no wave."""
    if not 0 <= number < len(report["waves"]):
        return say("page.machines.not_planned")
    if report["waves"][number]["isCanary"]:
        return say("page.waves.canary")
    return say("page.waves.number", number=number + 1)


def _marks(report: Report) -> list[_Mark]:
    approval, soak, closed = report["approval"], _soak(report), report["closed"]
    marks = []
    if approval and approval["decidedAt"]:
        marks.append(_Mark(from_text(approval["decidedAt"]), say("page.timeline.approval"), "gate"))
    if soak:
        marks.append(_Mark(soak[0], say("page.timeline.soak"), "gate"))
    # The gates before the first wave are where the picture begins.
    gates = sorted({from_text(wave["startedAt"]) for wave in report["waves"] if wave["startedAt"]})[1:]
    if gates:
        marks.append(_Mark(gates[0], say("page.timeline.gates"), "gate", gates[1:]))
    if closed:
        marks.append(_Mark(from_text(closed["at"]), say("page.timeline.closed"), "closed"))
    if report["lastAdmission"]:
        marks.append(_Mark(from_text(report["lastAdmission"]), say("page.timeline.last_admission"), "last"))
    if report["end"]:
        name = say("page.timeline.window_end") if report["asked"]["window"] else say("page.timeline.deadline")
        marks.append(_Mark(from_text(report["end"]), name, "end"))
    return marks


def _draw_mark(mark: _Mark, lane: int, scale: _Scale, report: Report, height: int) -> list[Html]:
    clock = f"{mark.moment.astimezone(find_zone(report['timeZone'])):%H:%M}"
    is_beyond = mark.moment > scale.end
    text = say("page.timeline.at", what=mark.name, clock=f"{clock} →" if is_beyond else clock)
    is_left = scale.share(mark.moment) > 50
    y = _LANE * (lane + 1) - 3
    label = element(
        "text",
        text,
        x=scale.at(mark.moment),
        y=y,
        dx=-4 if is_left else 4,
        text_anchor="end" if is_left else "start",
        class_="mark",
    )
    where = scale.at(mark.moment)
    line = element("line", x1=where, x2=where, y1=y - 9, y2=height, class_=mark.kind)
    # Below the name, through which they would go.
    more = [
        element("line", x1=scale.at(one), x2=scale.at(one), y1=y + 3, y2=height, class_=mark.kind) for one in mark.again
    ]
    return [label] if is_beyond else [line, *more, label]


def _axis(scale: _Scale, report: Report, top: int, height: int) -> Iterator[Html]:
    """Lines at full times of the reader's clock."""
    zone = find_zone(report["timeZone"])
    minutes = (scale.end - scale.begin).total_seconds() / 60
    step = next((one for one in _TICKS if minutes / one <= _MOST_TICKS), _TICKS[-1] * (1 + int(minutes / 1440 / 6)))
    begin = scale.begin.astimezone(zone)
    day = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    moment = day + timedelta(minutes=step * -(-int((begin - day).total_seconds() // 60) // step))
    while moment < scale.end:
        if moment >= scale.begin and scale.share(moment) < _LAST_TICK:
            where = scale.at(moment)
            yield element("line", x1=where, x2=where, y1=top - 6, y2=height, class_="tick")
            yield element("text", f"{moment:%H:%M}", x=where, y=top - 8, dx=2, class_="soft")
        moment += timedelta(minutes=step)


def _bands(report: Report, rows: Sequence[_Row], scale: _Scale, top: int, height: int) -> Iterator[Html]:
    """Behind everything: the rows with the names of waves, and the times in which nothing may begin."""
    for row in rows:
        if row.machine is None:
            yield element("rect", x=0, width="100%", y=row.y, height=_HEADING - 2, class_="wave")
    for begin, end in _waits(report):
        yield element("rect", **scale.between(begin, end), y=top, height=height - top, class_="wait")


def _waits(report: Report) -> Iterator[tuple[datetime, datetime]]:
    """The times in which nothing may begin: until somebody has approved, and after the canary."""
    approval = report["approval"]
    if approval and approval["decidedAt"]:
        yield from_text(approval["askedAt"]), from_text(approval["decidedAt"])
    soak = _soak(report)
    if soak:
        yield soak


def _soak(report: Report) -> tuple[datetime, datetime] | None:
    canary = next((wave for wave in report["waves"] if wave["isCanary"] and wave["endedAt"]), None)
    return (from_text(canary["endedAt"]), from_text(report["soakUntil"])) if canary and report["soakUntil"] else None


def _pieces(machine: MachineOutcome, report: Report) -> Iterator[tuple[str, datetime, datetime]]:
    """What was done to a machine, kind by kind and without gaps; of unknown steps, only that it was in work."""
    begin = from_text(machine["startedAt"])
    end = max(from_text(machine["endedAt"] or report["endedAt"]), begin)
    steps = machine["details"]["steps"] if machine["details"] else []
    # A member leaves service before its own steps, and comes back after them.
    outside = _SERVICE if machine["groupName"] and steps else _IN_WORK
    begins, over = [(outside, begin)], begin
    for step in sorted(steps, key=lambda step: step["beganAt"]):
        began = from_text(step["beganAt"])
        if over + _PAUSE < began and len(begins) > 1:
            begins.append((_IN_WORK, over))
        over = from_text(step["endedAt"]) if step["endedAt"] else end
        begins.append((_kind_of(step["name"]), began))
    if over + _PAUSE < end and steps:
        begins.append((outside, over))
    # Steps of a kind that follow each other are one piece.
    pieces = [(kind, next(places)[1]) for kind, places in groupby(begins, key=lambda one: one[0])]
    untils = [*(since for _, since in pieces[1:]), end]
    for (kind, since), until in zip(pieces, untils, strict=True):
        if min(until, end) > max(since, begin):
            yield kind, max(since, begin), min(until, end)


def _kind_of(step: str) -> str:
    """The kind of a step, by its name."""
    return next((kind for kind, begins in _KINDS.items() if re.match(begins, step)), _IN_WORK)


def _bars(report: Report, machine: MachineOutcome, y: int, scale: _Scale, *, is_thin: bool) -> Html:
    zone = find_zone(report["timeZone"])
    begin, end = from_text(machine["startedAt"]), from_text(machine["endedAt"] or report["endedAt"])
    told = say(
        "page.timeline.machine",
        machine=machine["name"] or machine["instanceId"],
        outcome=say(f"page.machine.{machine['outcome']}"),
        begun=f"{begin.astimezone(zone):%H:%M}",
        ended=f"{end.astimezone(zone):%H:%M}",
    )
    shape = "thin" if is_thin else "bar"
    size = {"y": 1, "height": 6} if is_thin else {"y": 15, "height": 13}
    parts = [
        element("rect", **scale.between(*piece), **size, class_=shape, fill=f"url(#{kind})")
        for kind, *piece in _pieces(machine, report)
    ]
    if not is_thin:
        parts.append(element("rect", **scale.between(begin, end), **size, class_=f"{shape} edge"))
    if machine["outcome"] == "failed":
        where, is_late = scale.at(end), scale.share(end) > 97
        parts.append(
            element("rect", x=where, width=4, **size, class_=f"{shape} failed")
            if is_thin
            else element("text", "✕", x=where, y=26, dx=-14 if is_late else 3, class_="bad")
        )
    return element("g", element("title", told), *parts, transform=f"translate(0,{y})")


def _name(row: _Row) -> Html:
    machine = row.machine
    name = (machine["name"] or machine["instanceId"]) if machine else row.heading
    return element("text", name, x=4, y=row.y + 12, class_="name")


def _patterns() -> Html:
    """A tile for each kind of step: its colour, and lines or dots over it."""
    drawn = {
        "image": [element("path", d="M1 1h2v2h-2zM5 5h2v2h-2z", class_="dot")],
        "ready": [element("path", d="M2 0V8M6 0V8", class_="ink")],
        "hook": [element("path", d="M0 4H3M4 4V8M5 4H8M4 0V3", class_="ink")],
        "install": [element("path", d="M-2 2L2 -2M0 8L8 0M6 10L10 6", class_="ink")],
        "prove": [element("path", d="M0 2H8M0 6H8", class_="ink")],
        "restore": [element("path", d="M0 0L8 8M8 0L0 8", class_="ink")],
        "service": [element("path", d="M-2 6L2 10M0 0L8 8M6 -2L10 2", class_="ink")],
        "work": [],
    }
    tiles = [_tile(kind, element("rect", width=8, height=8, class_=kind), *lines) for kind, lines in drawn.items()]
    return element("defs", *tiles, _tile("wait", element("path", d="M-2 2L2 -2M0 8L8 0M6 10L10 6", class_="hatch")))


def _tile(name: str, *content: Html) -> Html:
    return element("pattern", *content, id=name, width=8, height=8, patternUnits="userSpaceOnUse")


def _legend(kinds: Sequence[str]) -> Html:
    items = [
        element(
            "li",
            element(
                "svg",
                element("rect", width=28, height=14, fill=f"url(#{kind})"),
                width=28,
                height=14,
                aria_hidden="true",
            ),
            say(f"page.step.{kind}"),
        )
        for kind in kinds
    ]
    return element("ul", *items, class_="legend", aria_label=say("page.timeline.legend"))
