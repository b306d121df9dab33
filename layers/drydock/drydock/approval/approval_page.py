"""The page behind an approval's link: plain HTML that works without scripts, on a phone, and for a screen reader.

Nothing in it is trusted: names and reasons come from tags and people, and everything is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Literal

from drydock.approval.messages import (
    fit_text,
    left_out_text,
    members_text,
    planned_text,
    predicted_text,
    wave_text,
    who_asks,
)
from drydock.catalogue.saying import one_line, say
from drydock.plan.estimates import basis_text, breakdown_text, whole_minutes
from drydock.plan.plans import Plan, PlannedMachine, count_outside, count_planned, members_of
from drydock.plan.showing import missing_text, what_is_different, what_is_planned
from drydock.telling.page import BASE_STYLE, document, policy_of
from drydock.times import find_zone, for_people, from_text, in_zone

MOST_MACHINES = 200
_MOST_LEFT_OUT = 50

_STYLE = (
    BASE_STYLE
    + """
.note.approved{border-color:var(--yes)}.note.rejected,.note.wrong{border-color:var(--no)}
form{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:1rem}
label{display:block;font-weight:600;margin:0 0 .25rem}
input,textarea{width:100%;font:inherit;color:inherit;background:var(--paper);border:1px solid var(--soft);
border-radius:.25rem;padding:.6rem;margin:0 0 1rem}
button{font:inherit;font-weight:600;color:#fff;border:2px solid transparent;border-radius:.25rem;min-height:3rem;
padding:.6rem 1.5rem;margin:0 .75rem .5rem 0;cursor:pointer}
.yes{background:var(--yes)}.no{background:var(--no)}
dd{grid-column:2}
@media(max-width:36rem){button{width:100%;margin-right:0}dd{grid-column:1;margin-bottom:.1rem}dt{margin-top:.5rem}
.place{display:none}}
"""
)

HEADERS: Mapping[str, str] = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": policy_of(_STYLE, "form-action 'self'", "frame-ancestors 'none'"),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
}

Tone = Literal["plain", "approved", "rejected", "wrong"]


@dataclass(frozen=True)
class Form:
    """What the form carries, and what was typed in already."""

    run_id: str
    key: str
    hash: str
    name: str = ""
    reason: str = ""
    only_rejects: bool = False
    """For a plan that is approved, and not carried out yet: the approval can be withdrawn."""


@dataclass(frozen=True)
class Notice:
    """What the reader has to know first."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class PlanView:
    """All that the page shows of a run."""

    run_id: str
    plan: Plan
    hash: str
    started_by: str
    until: datetime
    needed: int
    account: str
    region: str
    zone: str
    expires: datetime | None = None
    """When a plan for a window that opens later can be carried out no more; None for any other."""
    notices: Sequence[Notice] = ()
    decisions: Sequence[str] = ()
    form: Form | None = field(default=None)
    """None when nothing can be decided any more."""


def plan_page(view: PlanView) -> str:
    """The plan, and the form to approve or reject it."""
    plan = view.plan
    title = (
        say(f"page.question.{plan['operation']}", count=count_planned(plan))
        if view.form and not view.form.only_rejects
        else say("run.asked.run", run=view.run_id)
    )
    parts = [
        f"<h1>{escape(title)}</h1>",
        *[_notice(notice) for notice in view.notices],
        _summary(view),
        _form(view, view.form) if view.form else "",
        f'<h2 id="machines">{escape(say("page.planned"))}</h2>',
        _machines(view),
        _left_out(plan),
        _about(view),
    ]
    return document(title, _STYLE, "\n".join(part for part in parts if part))


def message_page(title: str, text: str, tone: Tone = "plain") -> str:
    """A page that says one thing."""
    return document(title, _STYLE, f"<h1>{escape(title)}</h1>\n{_notice(Notice(text, tone))}")


def _notice(notice: Notice) -> str:
    role = "alert" if notice.tone == "wrong" else "status"
    return f'<div class="note {notice.tone}" role="{role}"><p>{escape(notice.text)}</p></div>'


def _summary(view: PlanView) -> str:
    """What has to be known to decide: until when, what is done, what is different, and what speaks against it."""
    plan = view.plan
    late = sum(map(count_outside, plan["machines"]))
    opens = _opening(view)
    facts = [
        (say("page.label.until"), for_people(view.until, view.zone)),
        (say("page.label.without"), say("page.asked_again") if opens else say("page.untouched.without")),
        (say("page.label.needed"), say("page.needed", count=view.needed) if view.needed > 1 else "1"),
        *[(say("page.label.decided"), text) for text in view.decisions],
        (say("page.label.asked"), who_asks(plan, view.started_by) or say("page.asked.unknown")),
        *opens,
        *what_is_planned(plan),
        *what_is_different(plan, find_zone(view.zone)),
    ]
    if plan["predictedEnd"]:
        facts.append(
            (
                say("page.label.predicted"),
                predicted_text(plan, for_people(from_text(plan["predictedEnd"]), view.zone)),
            )
        )
    if plan["end"]:
        facts.append((say("page.label.end"), for_people(from_text(plan["end"]), view.zone)))
    if late:
        facts.append((say("page.label.fits_not"), say("page.fits_not", count=late)))
    facts += [(say("page.label.never"), sentence) for sentence in plan["tooLong"]]
    facts += [(say("page.label.note"), warning) for warning in plan["warnings"]]
    return _list(facts)


def _opening(view: PlanView) -> list[tuple[str, str]]:
    """Of a plan for a window that opens later: when that is, and when the plan expires."""
    window = view.plan["window"]
    if window is None or view.expires is None:
        return []
    opens = for_people(from_text(window["start"]), view.zone)
    return [
        (say("page.label.window"), say("page.window", name=window["name"], opens=opens)),
        (say("page.label.expires"), for_people(view.expires, view.zone)),
    ]


def _about(view: PlanView) -> str:
    """What nobody needs to decide, and somebody may look for."""
    facts = [(say("page.label.guess"), breakdown_text(guess)) for guess in view.plan["guesses"]]
    facts += [
        (say("page.fact.run"), view.run_id),
        (say("page.fact.account"), say("page.fact.account.is", account=view.account, region=view.region)),
    ]
    plan_hash = f"<dt>{escape(say('page.fact.plan'))}</dt><dd><code>{escape(view.hash)}</code></dd>"
    return f"<h2>{escape(say('page.about'))}</h2>\n{_list(facts, plan_hash)}"


def _list(facts: Sequence[tuple[str, str]], *more: str) -> str:
    """Facts that follow each other under the same heading share it."""
    rows: list[str] = []
    for number, (name, text) in enumerate(facts):
        if not number or facts[number - 1][0] != name:
            rows.append(f"<dt>{escape(name)}</dt>")
        rows.append(f"<dd>{escape(one_line(text))}</dd>")
    return "<dl>\n" + "\n".join([*rows, *more]) + "\n</dl>"


def _form(view: PlanView, form: Form) -> str:
    hidden = {"run": form.run_id, "key": form.key, "hash": form.hash}
    fields = "\n".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in hidden.items())
    heading = say("page.form.withdraw") if form.only_rejects else say("page.form")
    buttons = [] if form.only_rejects else [_button("yes", "approve", say("page.form.approve"))]
    buttons.append(_button("no", "reject", say("page.form.reject")))
    # The first button is the one that Enter presses: it is disabled, so that only a click approves or rejects.
    return f"""<h2 id="decide">{escape(heading)}</h2>
<form method="post" action="/" aria-labelledby="decide" autocomplete="off">
<button type="submit" disabled hidden></button>
{fields}
<label for="name">{escape(say("page.form.name"))}</label>
<input id="name" name="name" required maxlength="100" autocomplete="name" value="{escape(form.name)}">
<label for="reason">{escape(say("page.form.reason"))}</label>
<textarea id="reason" name="reason" rows="2" maxlength="500">{escape(form.reason)}</textarea>
{"".join(buttons)}</form>"""


def _button(style: str, decision: str, label: str) -> str:
    return f'<button class="{style}" type="submit" name="decision" value="{decision}">{escape(label)}</button>\n'


def _machines(view: PlanView) -> str:
    machines = view.plan["machines"]
    shown = machines[:MOST_MACHINES]
    tables = []
    for number in range(len(view.plan["waves"])):
        rows = [_row(place, one, view.zone) for place, one in enumerate(shown, 1) if one["wave"] == number]
        if rows:
            tables.append(_table(wave_text(view.plan, number), rows))
    more = sum(len(members_of(machine)) for machine in machines[MOST_MACHINES:])
    if more > 0:
        tables.append(f"<p>{escape(say('page.more_planned', count=more))}</p>")
    times = say("page.zone.minutes", zone=str(find_zone(view.zone)))
    return f'<p class="soft">{escape(times)}</p>\n' + "\n".join(tables)


def _table(caption: str, rows: Sequence[str]) -> str:
    heads = (
        '<th scope="col" class="number place">#</th>'
        f'<th scope="col">{escape(say("page.machines.name"))}</th>'
        f'<th scope="col" class="time">{escape(say("page.machines.from"))}</th>'
        f'<th scope="col" class="number">{escape(say("page.machines.minutes"))}</th>'
    )
    return (
        f"<table>\n<caption>{escape(caption)}</caption>\n"
        f"<thead><tr>{heads}</tr></thead>\n"
        "<tbody>\n" + "\n".join(rows) + "\n</tbody>\n</table>"
    )


def _row(place: int, machine: PlannedMachine, zone: str) -> str:
    is_group = machine.get("kind") == "group"
    name = planned_text(machine) if is_group else one_line(machine["name"])
    about = [machine["platform"], machine["patchGroup"], "" if machine["power"] == "running" else machine["power"]]
    which = members_text(machine) if is_group else machine["instanceId"] if name else ""
    about += [missing_text(machine, find_zone(zone)), basis_text(machine["basis"], machine["samples"])]
    details = " · ".join(one_line(text) for text in [which, *about] if text)
    fit = fit_text(machine)
    late = f'<br><span class="late">{escape(fit)}</span>' if fit else ""
    minutes = whole_minutes(machine["seconds"])
    return (
        f'<tr><td class="number place">{place}</td><th scope="row">{escape(name or machine["instanceId"])}'
        f'<br><span class="soft">{escape(details)}</span>{late}</th>'
        f'<td class="time">{escape(_short(machine["startsAt"], zone))}</td><td class="number">{minutes}</td></tr>'
    )


def _short(moment: str, zone: str) -> str:
    """`Tue 01:40`: a run lasts less than a week."""
    return say("page.short", moment=in_zone(from_text(moment), zone)) if moment else say("page.short.unknown")


def _left_out(plan: Plan) -> str:
    left_out = plan["leftOut"]
    if not left_out:
        return ""
    items = "\n".join(f"<li>{escape(left_out_text(one))}</li>" for one in left_out[:_MOST_LEFT_OUT])
    more = len(left_out) - _MOST_LEFT_OUT
    rest = f"<p>{escape(say('page.more_left_out', count=more))}</p>" if more > 0 else ""
    heading = say("page.left_out.count", count=len(left_out))
    return f"<h2>{escape(heading)}</h2>\n<ul>\n{items}\n</ul>{rest}"
