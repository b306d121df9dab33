"""Another language has to bring sentences and nothing else: none is put together of words that stand elsewhere."""

from __future__ import annotations

import re
import string
from dataclasses import replace
from typing import Any

import pytest

from drydock.catalogue import saying
from drydock.catalogue.english.language import ENGLISH
from drydock.run.messages import summary_message
from drydock.run.report_page import report_page
from drydock.telling.text import Location
from tests.unit.records.recorded import a_run
from tests.unit.run.test_reports import ALL_WELL, CLOSED_BY_HAND, place, report_of

_TWO_ENGLISH_WORDS = re.compile(r"\b[a-z]{2,} [a-z]{2,}\b")
_COMMAND = re.compile(r" *(aws|drydock) | +--")


def _shout(sentence: str) -> str:
    """A sentence of another language: English in capitals, with the same place holders."""
    parts = []
    for text, name, spec, _ in string.Formatter().parse(sentence):
        parts.append(text.upper().replace("{", "{{").replace("}", "}}"))
        if name is not None:
            written = spec.upper() if spec and "|" in spec else spec
            parts.append(f"{{{name}:{written}}}" if written else f"{{{name}}}")
    return "".join(parts)


@pytest.fixture(autouse=True)
def shouting(monkeypatch: pytest.MonkeyPatch) -> None:
    shouted = {key: _shout(sentence) for key, sentence in ENGLISH.sentences.items()}
    language = replace(
        ENGLISH,
        sentences=shouted,
        span=lambda minutes: ENGLISH.span(minutes).upper(),
        listing=lambda names, more: f"{' + '.join(names)} + {more}" if more else " + ".join(names),
    )
    monkeypatch.setattr(saying, "ENGLISH", language)


@pytest.mark.parametrize("is_stopped", [False, True], ids=["well", "stopped"])
def test_the_message_and_the_page_of_a_run_are_in_that_language_alone(*, is_stopped: bool) -> None:
    places = [place(1), place(2, "already_compliant")] if is_stopped else ALL_WELL
    report: Any = report_of(places, run=a_run(closed={**CLOSED_BY_HAND, "reason": "FREEZE"}) if is_stopped else a_run())
    location = Location("aws", "123456789012", "ap-northeast-1", "Asia/Tokyo")

    message = summary_message(report, location, "drydock-logs", "runs/night/report.json")
    page = re.sub(r"<style>.*?</style>|<[^>]*>", "\n", report_page(report, "drydock-logs"), flags=re.DOTALL)

    told = [*message.text.splitlines(), *page.splitlines()]
    assert [line for line in told if _TWO_ENGLISH_WORDS.search(line) and not _COMMAND.match(line)] == []
