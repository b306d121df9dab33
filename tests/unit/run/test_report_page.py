"""The page of a report: what a person reads of a run, and that nothing that came from a machine is more than text."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drydock.records.results import StepTime
from drydock.records.runs import Place
from drydock.run.report_page import MOST_MACHINES, by_trouble, report_page
from drydock.telling.details import Details
from drydock.times import to_text
from tests.unit.fakes import START
from tests.unit.records.recorded import RUN_ID, a_run
from tests.unit.run.test_reports import (
    ALL_WELL,
    CLOSED_BY_BUDGET,
    after,
    approval,
    failed_place,
    ident,
    make_plan,
    place,
    planned_machine,
    report_of,
)

_VOID = {"meta", "br", "rect", "line", "path"}


class _Page(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, its texts, and whether all is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def page_of(places: Sequence[Place] = (), **more: Any) -> str:
    report: Any = report_of(places, **more)
    return report_page(report, "drydock-logs")


def read(places: Sequence[Place] = (), **more: Any) -> _Page:
    return _Page(page_of(places, **more))


def test_the_page_says_what_became_of_the_run_and_of_each_machine() -> None:
    page = read([place(1), failed_place(2), place(3, "busy", cause="held by another")])

    assert page.open == []
    assert "1 of 3 machines failed (window nightly)" in page.text
    for words in ("web-1", "web-2", "web-3", "no image could be made", "image ami-1 is failed", "held by another"):
        assert words in page.text


def test_the_policy_lets_in_the_one_style_sheet_and_nothing_else() -> None:
    page = page_of(ALL_WELL)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [
        attributes["content"]
        for tag, attributes in _Page(page).elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]

    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "form-action 'none'",
        "base-uri 'none'",
    ]


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs() -> None:
    page = read([place(1), failed_place(2)], plan=make_plan(leftOut=[LEFT_OUT]))

    assert not {tag for tag, _ in page.elements} & {"script", "link", "img", "iframe", "object", "base", "form"}
    for _, attributes in page.elements:
        assert not {name for name in attributes if name.startswith("on") or name in ("src", "style", "srcset")}
        assert "href" not in attributes or attributes["href"].startswith("https://")


LEFT_OUT = {"instanceId": ident(9), "name": "old", "error": "InstanceUnmanagedError", "reason": "no agent answers"}
EVIL = (
    "</script><svg onload=alert(1)>",
    "</style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "\u202egnp.exe\u202c",
    "\ud800 alone",
    "]]><!--",
    "{count:number} {0} %s",
)
texts = st.sampled_from(EVIL) | st.text(st.characters(), max_size=40)


@given(texts, texts, texts, texts, texts)
def test_texts_of_others_are_never_more_than_text(name: str, cause: str, reason: str, value: str, by: str) -> None:
    plan = make_plan(
        machines=[planned_machine(1, name=name), planned_machine(2), planned_machine(3, name=name)],
        leftOut=[{**LEFT_OUT, "name": name, "reason": reason}],
        warnings=[reason],
        targets=[{"key": value, "values": [value]}],
        window={"windowId": "mw-0", "executionId": "e", "name": name, "start": to_text(START), "end": to_text(START)},
    )
    run = a_run(approval=approval("approved", name=by, reason=reason))
    approved = a_run(approval=approval("approved"))
    harmless = read([place(1), failed_place(2)], plan=make_plan(leftOut=[LEFT_OUT], warnings=["w"]), run=approved)

    page_text = page_of([place(1, cause=cause), place(2, "failed", error=reason, cause=cause)], plan=plan, run=run)
    page = _Page(page_text)

    page_text.encode()
    assert page.open == []
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in harmless.elements} | {"details", "summary", "div"}
    assert {key for _, attributes in page.elements for key in attributes} <= {
        key for _, attributes in harmless.elements for key in attributes
    }
    assert not set(page_text) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


def test_machines_with_trouble_come_first() -> None:
    places = [
        place(1),
        failed_place(2),
        place(3, verdict="non_compliant"),
        place(4, "busy"),
        place(5, "already_compliant"),
    ]
    report = report_of(places, plan=make_plan(6))

    ordered = [machine["instanceId"] for machine in by_trouble(report["machines"])]

    assert ordered == [ident(number) for number in (2, 3, 6, 4, 1, 5)]


def test_of_many_machines_those_with_trouble_are_shown_and_the_others_counted() -> None:
    count = MOST_MACHINES + 234
    places = [place(number) for number in range(1, count)]

    page = read([*places, failed_place(count)], plan=make_plan(count))

    rows = [attributes for tag, attributes in page.elements if tag == "th" and attributes.get("scope") == "row"]
    assert len(rows) == MOST_MACHINES + 1  # the wave
    assert f"web-{count}" in page.text
    assert "And 234 more machines: 234 succeeded." in page.text


def test_what_was_not_attempted_or_left_out_is_told_reason_by_reason() -> None:
    page = read([place(1)], plan=make_plan(leftOut=[LEFT_OUT]), run=a_run(closed=CLOSED_BY_BUDGET))

    assert "2 machines BudgetSpentError: 2 failed, and the policy allows 1 web-2, web-3" in page.text
    assert "1 machine InstanceUnmanagedError: no agent answers old" in page.text


def test_durations_stand_beside_what_was_expected() -> None:
    page = read(ALL_WELL)

    assert "10 of 10" in page.text
    assert "Wave 1 3 09:00 to 09:10 09:01 to 09:11" in re.sub(r"\b\d\d:(\d\d)", r"09:\1", page.text)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"run": a_run(plan=None), "failure": {"error": "InvalidInputError", "cause": "no targets"}},
        {"run": a_run(approval=approval())},
        {"plan": make_plan(0, waves=[], machines=[])},
        {"plan": make_plan(window=None, predictedEnd="", tooLong=["web-1 needs 9 hours"])},
        {"ended": 200},
    ],
)
def test_every_run_has_a_page(more: dict[str, Any]) -> None:
    page = read([], **more)

    assert page.open == []
    assert RUN_ID in page.text


def test_the_timeline_shows_each_machine_that_was_worked_on_and_the_moments_of_the_run() -> None:
    soaked = a_run(
        soak_until=after(25), approval=approval("approved"), closed={**CLOSED_BY_BUDGET, "at": to_text(after(40))}
    )
    waves = [{"key": "0", "count": 1, "isCanary": True}, {"key": "1", "count": 2, "isCanary": False}]
    machines = [planned_machine(1), planned_machine(2, wave=1), planned_machine(3, wave=1)]
    places = [place(1, admitted=after(6), ended=after(15)), failed_place(2, admitted=after(26), ended=after(39))]

    page = read(places, plan=make_plan(machines=machines, waves=waves), run=soaked)

    assert "Machines over time 2 machines were worked on" in page.text
    for words in ("Canary", "Wave 2", "soak from", "gates again", "closed", "last admission", "end of the window", "✕"):
        assert words in page.text
    assert len([1 for tag, attributes in page.elements if attributes.get("class") == "bar edge"]) == 2


def test_a_line_stands_wherever_the_gates_were_looked_at_again() -> None:
    waves = [{"key": str(number), "count": 1, "isCanary": False} for number in range(4)]
    machines = [planned_machine(number + 1, wave=number) for number in range(4)]
    places = [place(number + 1, admitted=after(10 * number), ended=after(10 * number + 9)) for number in range(4)]

    page = read(places, plan=make_plan(machines=machines, waves=waves))

    lines = [
        attributes["x1"] for tag, attributes in page.elements if (tag, attributes.get("class")) == ("line", "gate")
    ]
    assert len(set(lines)) == 3
    assert page.text.count("gates again") == 1


def test_the_page_lists_the_messages_that_people_got_before_it_as_text() -> None:
    told = [{"at": to_text(after(30)), "subject": "Drydock, look tomorrow: <b>web-2</b>: patches failed to install"}]

    page = read(ALL_WELL, messages=told)

    assert "Messages What people were told before this report" in page.text
    assert ": Drydock, look tomorrow: <b>web-2</b>: patches failed to install" in page.text
    assert "Messages" not in read(ALL_WELL).texts


def known(**more: Any) -> Details:
    """What is known of a machine whose installation failed."""
    details: Any = {
        "operation": "Install",
        "powerBefore": "running",
        "powerAfter": "running",
        "rebooted": True,
        "missingBefore": 3,
        "missingAfter": 1,
        "missing": ["KB5034441"],
        "missingBySeverity": {},
        "failed": ["KB5034441"],
        "installed": ["KB5033371", "KB5034439"],
        "images": {
            "before": {
                "imageId": "ami-0123456789abcdef0",
                "state": "available",
                "crashConsistent": False,
                "reason": "",
                "problems": [],
            }
        },
        "hooks": {"preInstall": "ran"},
        "agents": [],
        "steps": [
            step("imageBefore", 1, 4),
            step("start", 4, 5),
            step("probeBefore", 5, 6),
            step("install", 6, 8),
            {**step("scanAfter", 10, 11), "endedAt": ""},
        ],
        "failedCommands": [
            {
                "step": "install",
                "document": "AWS-RunPatchBaseline",
                "status": "Failed",
                "exitCode": 156,
                "endedAt": to_text(after(10)),
                "logKey": "drydock/commands/c-1",
                "errorOutput": ["<b>0x80070643</b>"],
            }
        ],
        "logKey": "drydock/commands/c-1",
        "toWorkAgain": "",
        "restored": None,
        "rebootNeed": "not_needed",
        "noLongerMissing": [],
        "notes": [],
        **more,
    }
    return details  # type: ignore[no-any-return]


def step(name: str, begin: float, end: float) -> StepTime:
    return {"name": name, "beganAt": to_text(after(begin)), "endedAt": to_text(after(end))}


def with_details(details: Details, **more: Any) -> _Page:
    report: Any = report_of([failed_place(1), place(2)])
    report["machines"][0] |= {"details": details, **more}
    return _Page(report_page(report, "drydock-logs"))


def test_what_is_known_of_a_machine_opens_below_its_name() -> None:
    page = with_details(known())

    for words in (
        "Missing patches: 3 before, 1 now",
        "Failed to install: KB5034441",
        "Installed: KB5033371, KB5034439",
        "ami-0123456789abcdef0",
        "Rebooted: yes",
        "Hook preInstall: ran",
        "Failed, exit code 156",
        "<b>0x80070643</b>",
        "Steps",
    ):
        assert words in page.text
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert any("/s3/buckets/drydock-logs?prefix=drydock/commands/c-1/" in link for link in links)


def bars(page: _Page) -> list[str]:
    """The kinds of the pieces of all bars, in order."""
    return [
        attributes["fill"].removeprefix("url(#").removesuffix(")")
        for tag, attributes in page.elements
        if tag == "rect" and attributes.get("class") == "bar" and "fill" in attributes
    ]


def test_a_bar_shows_the_kinds_of_steps_without_gaps_each_with_a_pattern() -> None:
    page = with_details(known())

    assert bars(page) == ["image", "ready", "install", "work", "prove", "work"]
    patterns = {attributes["id"] for tag, attributes in page.elements if tag == "pattern"}
    assert set(bars(page)) <= patterns


def test_a_member_is_out_of_service_before_and_after_its_own_steps() -> None:
    page = with_details(known(steps=[step("install", 4, 8)]), groupName="shop")

    assert bars(page) == ["service", "install", "service", "work"]


def test_what_is_known_of_very_many_machines_does_not_make_the_page_too_large() -> None:
    report: Any = report_of([failed_place(number) for number in range(1, 1001)], plan=make_plan(1000))
    for machine in report["machines"]:
        machine["details"] = known(notes=["long " * 2_000] * 3)

    page = report_page(report, "drydock-logs")

    assert len(page.encode()) < 3_000_000
    assert _Page(page).open == []
