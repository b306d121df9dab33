"""The page: readable for everybody, and harmless whatever names and reasons say."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from drydock.approval.approval_page import HEADERS, Form, Notice, PlanView, message_page, plan_page
from tests.unit.approval.approving import RUN, a_machine, a_plan
from tests.unit.fakes import START

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"


def a_view(**more: Any) -> PlanView:
    view = PlanView(
        run_id=RUN,
        plan=a_plan(),
        hash="a" * 64,
        started_by="arn:aws:iam::123456789012:user/carla",
        until=START + timedelta(minutes=20),
        needed=1,
        account="123456789012",
        region="ap-northeast-1",
        zone="Asia/Tokyo",
        form=Form(RUN, "the-key", "a" * 64),
    )
    return replace(view, **more)


class Reader(HTMLParser):
    """Reads a page as a browser does, and holds it to being well formed."""

    VOID = frozenset({"meta", "input", "br", "img"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(text for text in self.texts if text)


def test_the_page_shows_what_is_planned_who_asks_until_when_and_what_is_left_out() -> None:
    shown = Reader(plan_page(a_view())).text

    for said in (
        "Patch 3 machines?",
        "arn:aws:iam::123456789012:user/carla",
        "2026-01-13 10:20 +09:00 (Asia/Tokyo)",
        "Predicted end 2026-01-13 12:00 +09:00 (Asia/Tokyo)",
        "a" * 64,
        "Wave 1 of 2, the canary: 1 machine",
        "Wave 2 of 2: 2 machines",
        "web-1 i-00000000000000001 · Linux · web · from 4 runs of it Tue 10:30 30",
        "Left out: 2 machines",
        "db-1 (i-0f): carries DrydockExclude",
        "i-0e: its agent is offline",
    ):
        assert said in shown


def test_a_group_is_shown_with_its_members_and_they_are_counted() -> None:
    members = [{"instanceId": f"i-{number}", "name": f"<app-{number}>"} for number in range(30)]
    group = a_machine(2, kind="group", instanceId="group/app", name="app", groupName="app", members=members)
    page = plan_page(a_view(plan=a_plan(machines=[a_machine(1), group])))

    shown = Reader(page).text

    assert "Patch 31 machines?" in shown
    assert "group app, 30 members in one roll" in shown
    assert "<app-0> (i-0), <app-1> (i-1)" in shown
    assert "and 10 more · Linux" in shown
    assert "<app-" not in page


def test_the_form_posts_the_key_in_its_body_and_not_in_its_address() -> None:
    page = Reader(plan_page(a_view()))

    (form,) = page.all("form")
    assert (form["method"], form["action"]) == ("post", "/")
    fields = {field["name"]: field.get("value") for field in page.all("input")}
    assert fields == {"run": RUN, "key": "the-key", "hash": "a" * 64, "name": ""}
    assert [(one.get("name"), one.get("value")) for one in page.all("button")] == [
        (None, None),
        ("decision", "approve"),
        ("decision", "reject"),
    ]


def test_enter_in_a_field_presses_no_button() -> None:
    first = Reader(plan_page(a_view())).all("button")[0]

    assert "disabled" in first and first["type"] == "submit"


def test_without_a_form_nothing_can_be_sent() -> None:
    page = Reader(plan_page(a_view(form=None)))

    assert page.all("form") == page.all("button") == page.all("input") == []


def test_every_field_has_a_label_and_every_table_a_caption_and_headings() -> None:
    page = Reader(plan_page(a_view()))

    labels = {label["for"] for label in page.all("label")}
    visible = [field for field in page.all("input") + page.all("textarea") if field.get("type") != "hidden"]
    assert {field["id"] for field in visible} == labels
    assert len(page.all("caption")) == len(page.all("table")) == 2
    assert {cell["scope"] for cell in page.all("th")} == {"col", "row"}
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))


@pytest.mark.parametrize(
    "view",
    [
        a_view(plan=a_plan(machines=[a_machine(1, name=HOSTILE, platform=HOSTILE, patchGroup=HOSTILE)])),
        a_view(plan=a_plan(leftOut=[{"instanceId": HOSTILE, "name": HOSTILE, "error": "E", "reason": HOSTILE}])),
        a_view(plan=a_plan(warnings=[HOSTILE])),
        a_view(plan=a_plan(window={"windowId": HOSTILE, "executionId": "", "name": HOSTILE}), started_by=""),
        a_view(started_by=HOSTILE, run_id=HOSTILE, hash=HOSTILE, decisions=[HOSTILE], notices=[Notice(HOSTILE)]),
        a_view(form=Form(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)),
    ],
    ids=["machine", "left out", "warning", "window", "facts", "form"],
)
def test_whatever_names_and_reasons_say_is_only_text(view: PlanView) -> None:
    harmless, page = Reader(plan_page(a_view(notices=[Notice("")]))), Reader(plan_page(view))

    assert "<script" not in plan_page(view)
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in harmless.elements}
    assert not any(name.startswith("on") or name in ("style", "src") for _, found in page.elements for name in found)


def test_messages_are_escaped_too() -> None:
    assert "<script" not in message_page(HOSTILE, HOSTILE)


def test_the_page_needs_nothing_from_anywhere_and_its_style_is_named_by_its_hash() -> None:
    page = plan_page(a_view())
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert f"style-src 'sha256-{digest}'" in HEADERS["Content-Security-Policy"]
    assert "http" not in page and "url(" not in page and "@import" not in page
    assert {tag for tag, _ in Reader(page).elements}.isdisjoint({"script", "link", "img", "iframe", "a", "object"})


def test_a_plan_of_ten_thousand_machines_makes_a_page_that_a_phone_can_show() -> None:
    left_out = [{"instanceId": f"i-{number}", "name": "", "error": "E", "reason": "is gone"} for number in range(3000)]
    page = plan_page(a_view(plan=a_plan(10_000, leftOut=left_out)))

    shown = Reader(page).text
    assert "Patch 10,000 machines?" in shown
    assert shown.count("· Linux · web") == 200
    assert "And 9,800 more machines" in shown
    assert "And 2,950 more" in shown
    assert len(page) < 200_000


def test_what_will_not_fit_is_said_at_the_machine_and_in_the_summary() -> None:
    machines = [a_machine(1), a_machine(2, fits=False, startsAt="", power="stopped", name="")]

    shown = Reader(plan_page(a_view(plan=a_plan(machines=machines)))).text

    assert "1 machine: not touched unless others are quicker" in shown
    assert "i-00000000000000002 Linux · web · stopped · from 4 runs of it not expected to fit unknown 30" in shown


@pytest.mark.parametrize(("operation", "title"), [("Install", "Patch 3 machines?"), ("Scan", "Scan 3 machines?")])
def test_the_title_says_what_is_going_to_happen(operation: str, title: str) -> None:
    assert title in Reader(plan_page(a_view(plan=a_plan(operation=operation)))).text


def test_several_approvals_and_what_was_said_so_far_are_shown() -> None:
    shown = Reader(plan_page(a_view(needed=2, decisions=["approved by Anna: fine"]))).text

    assert "2 by different people" in shown
    assert "approved by Anna: fine" in shown


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_texts_and_buttons_can_be_read_by_day_and_by_night(theme: int) -> None:
    themes = re.findall(r":root\{(.*?)\}", plan_page(a_view()), re.DOTALL)
    colours = dict(re.findall(r"--(\w+):(#[0-9a-f]+)", themes[theme]))

    for ink, paper in (("ink", "paper"), ("ink", "card"), ("soft", "paper"), ("soft", "card"), ("warn", "paper")):
        assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
    for button in ("yes", "no"):
        assert contrast("#ffffff", colours[button]) >= 4.5, button
    assert contrast(colours["focus"], colours["paper"]) >= 3
