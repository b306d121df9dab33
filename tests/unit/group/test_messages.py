"""Messages about rolls: what happened to the group, which members are where, and what to do next."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drydock.errors import Failure
from drydock.group.messages import group_message
from drydock.telling.message import Message
from drydock.telling.text import Location, advice_for
from tests.unit.fakes import START
from tests.unit.records.recorded import a_group_result, a_member, a_roll
from tests.unit.telling.reading import flat

LOCATION = Location("aws", "123456789012", "ap-northeast-1", "Asia/Tokyo")
EXECUTION = "arn:aws:states:ap-northeast-1:123456789012:execution:drydock-RollGroup:roll-1"
FAILED: Failure = {"error": "MachinesFailedError", "cause": "web: i-2 failed"}


def message(failure: Failure | None = None, **roll: Any) -> Message:
    facts = {"members": {"i-1": a_member(move="exit")}, **roll}
    result = a_group_result("failed" if failure else "succeeded", a_roll(**facts))
    return group_message("web", EXECUTION, failure, result, LOCATION)


@pytest.mark.parametrize(
    ("operation", "said", "counted"),
    [("Install", "was patched", "1 patched"), ("Scan", "was scanned", "1 scanned")],
)
def test_a_roll_that_went_well_says_what_was_done(operation: str, said: str, counted: str) -> None:
    told = message(operation=operation)

    assert told.subject == f"Drydock: Auto Scaling group web {said}"
    assert told.text.startswith(f"Nothing to do: Auto Scaling group web {said}.\nThe group was given back.\n")
    assert f"  Members: {counted}" in told.text
    assert "What to do next" not in told.text


def test_a_roll_that_failed_says_why_what_became_of_each_member_and_what_to_do() -> None:
    members = {
        "i-1": a_member(name="web-1", move="exit", began=START, ended=START + timedelta(minutes=14)),
        "i-2": a_member("failed", move="exit", error="PatchingFailedError", cause="patches are missing", began=None),
        "i-3": a_member("gone", error="MemberGoneError", cause="the group has given it away"),
        "i-4": a_member("not_attempted", error="RollStoppedError", cause="1 of its members failed"),
    }

    told = message(FAILED, members=members)

    assert told.subject == "Drydock, look tomorrow: Auto Scaling group web was not rolled through well"
    text = flat(told.text)
    assert "Members: 1 patched, 1 failed, 1 gone meanwhile, 1 not attempted" in text
    assert "i-2: failed, back in service: patches are missing" in text
    assert "i-3: gone meanwhile: the group has given it away" in text
    assert "i-4: not attempted: 1 of its members failed" in text
    assert "web-1 (i-1): patched, back in service after 14 min" in text
    assert advice_for("MachinesFailedError") in text


@pytest.mark.parametrize(
    ("move", "said"), [("hold", "held in standby"), ("replace", "replaced"), ("exit", "back in service")]
)
def test_a_member_that_failed_is_said_to_be_where_it_is(move: str, said: str) -> None:
    member = a_member("failed", move=move, cause="patches are missing", ended=None)
    text = flat(message(FAILED, members={"i-2": member}).text)

    assert f"i-2: failed, {said}: patches are missing" in text
    assert ("Held in standby, as the policy says: i-2." in text) is (move == "hold")
    assert ("The group was given back." in text) is (move != "hold")


def test_a_refused_roll_touched_nothing() -> None:
    failure: Failure = {"error": "GroupBusyError", "cause": "web: roll-0 has held it since yesterday"}

    told = group_message("web", EXECUTION, failure, a_group_result("refused"), LOCATION)

    assert told.subject == "Drydock, look tomorrow: Auto Scaling group web was refused, and nothing was touched"
    text = flat(told.text)
    assert "Reason: web: roll-0 has held it since yesterday" in text
    assert "Nothing was touched." in text
    assert "Members" not in text


def test_a_roll_that_is_not_given_back_yet_says_so() -> None:
    text = flat(group_message("web", EXECUTION, {"error": "ABORTED", "cause": ""}, None, LOCATION, is_held=True).text)

    assert text.startswith("Look tomorrow: Auto Scaling group web was not rolled through well.")
    assert "Drydock gives its members and the group back as soon as that is safe." in text


def test_a_roll_that_ended_before_it_held_the_group_touched_nothing() -> None:
    text = flat(group_message("web", EXECUTION, {"error": "ABORTED", "cause": ""}, None, LOCATION).text)

    assert "Nothing was touched." in text
    assert "Drydock gives" not in text


def test_what_could_not_be_undone_is_noted() -> None:
    text = flat(message(problems=["min is 1: somebody else has set it, and Drydock left it"]).text)

    assert "Note: min is 1: somebody else has set it, and Drydock left it" in text
    assert text.startswith("Act now: "), "the group is not as it was found"


def test_a_great_many_members_do_not_fill_the_message() -> None:
    members = {f"i-{number}": a_member("not_attempted", cause="stopped") for number in range(500)}

    text = flat(message(FAILED, members=members).text)

    assert "500 not attempted" in text
    assert text.count(": not attempted: stopped") == 20
    assert "and 480 more" in text


def test_text_of_others_stays_on_its_line() -> None:
    member = a_member("failed", move="exit", cause="line\nanother", ended=None)
    text = flat(message(FAILED, members={"i-2": member}).text)

    assert "i-2: failed, back in service: line another" in text


def test_a_long_group_name_fits_a_subject() -> None:
    assert len(group_message("w" * 255, EXECUTION, FAILED, a_group_result("failed"), LOCATION).subject) < 100


@pytest.mark.parametrize(
    ("error", "urgency"),
    [("InServiceTimedOutError", "now"), ("HealthCheckFailedError", "now"), ("HookFailedError", "tomorrow")],
)
def test_somebody_is_woken_for_a_member_that_may_not_serve(error: str, urgency: str) -> None:
    assert message(FAILED, members={"i-2": a_member("failed", error=error)}).urgency == urgency
