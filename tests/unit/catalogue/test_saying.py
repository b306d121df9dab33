"""A sentence of the catalogue is said with its values, as its language writes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from drydock.catalogue import saying
from drydock.catalogue.english.language import ENGLISH

SENTENCES = {
    "count": "{count:# machine|# machines} {count:is|are} late",
    "number": "{count:number} of them, or {count}",
    "time": "at {moment:time} on {moment:day}",
    "span": "after {minutes:span}",
    "names": "{names:list}",
    "some": "{names:some}",
    "text": "{name} is a name",
}


@pytest.fixture(autouse=True)
def sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saying, "ENGLISH", replace(ENGLISH, sentences=SENTENCES))


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 machines are"), (1, "1 machine is"), (2, "2 machines are"), (1200, "1,200 machines are")]
)
def test_the_form_of_a_word_goes_with_its_number(count: int, said: str) -> None:
    assert saying.say("count", count=count) == f"{said} late"


def test_numbers_times_and_durations_are_written_as_the_language_does() -> None:
    assert saying.say("number", count=12345) == "12,345 of them, or 12,345"
    assert [saying.say("span", minutes=minutes) for minutes in (7, 60, 75)] == [
        "after 7 min",
        "after 1 h",
        "after 1 h 15 min",
    ]


def test_a_time_is_written_in_its_own_zone() -> None:
    moment = datetime(2026, 1, 13, 16, 40, tzinfo=UTC)
    assert saying.say("time", moment=moment) == "at 2026-01-13 16:40 on 2026-01-13"
    assert saying.say("time", moment=moment.astimezone(ZoneInfo("Asia/Tokyo"))) == "at 2026-01-14 01:40 on 2026-01-14"


def test_a_time_that_the_clocks_show_twice_says_which_of_the_two_it_is() -> None:
    first = datetime(2026, 10, 25, 0, 47, tzinfo=UTC).astimezone(ZoneInfo("Europe/Zurich"))
    second = datetime(2026, 10, 25, 1, 47, tzinfo=UTC).astimezone(ZoneInfo("Europe/Zurich"))

    assert saying.say("time", moment=first) == "at 2026-10-25 02:47 +02:00 on 2026-10-25"
    assert saying.say("time", moment=second) == "at 2026-10-25 02:47 +01:00 on 2026-10-25"


def test_of_a_list_all_names_are_said_or_the_first_ten() -> None:
    names = [f"web-{number}" for number in range(1, 13)]
    assert saying.say("names", names=names).endswith("web-11, web-12")
    assert saying.say("some", names=names).endswith("web-9, web-10 and 2 more")
    assert saying.say("some", names=names[:2]) == "web-1, web-2"


def test_text_of_others_ends_no_line_and_fills_no_place_holder() -> None:
    assert saying.say("text", name="{count}\nGet up: x") == "{count} Get up: x is a name"
    assert saying.say("names", names=["a\nb"]) == "a b"


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(TypeError):
        saying.say("text", name=1.5)  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        saying.say("no such sentence")
