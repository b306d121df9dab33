"""Messages are for people: what, which machine, which state, what next, where; no JSON, a short subject."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from drydock import errors
from drydock.messages import (
    VERDICTS,
    Place,
    console_link,
    failure_message,
    machine_text,
    not_given_back_message,
    success_message,
)
from tests.unit.world import EXECUTION, INSTANCE

PLACE = Place("aws", "123456789012", "ap-northeast-1", "Asia/Tokyo")
RESULT: dict[str, Any] = {
    "instanceId": INSTANCE,
    "name": "web-1",
    "execution": EXECUTION,
    "outcome": "succeeded",
    "verdict": "compliant",
    "startedAt": "2026-01-13T01:00:00Z",
    "endedAt": "2026-01-13T02:00:00Z",
    "powerBefore": "stopped",
    "powerAfter": "stopped",
    "rebooted": True,
    "patches": {"before": {"missing": 2}, "after": {"missing": 0}, "installed": ["KB1", "KB2"]},
    "hooks": {"onExit": "ran"},
    "images": {"before": "ami-1", "after": ""},
    "problems": ["the tag could not be written"],
}


def failure(**more: Any) -> tuple[str, str]:
    given: dict[str, Any] = {
        "instance_id": INSTANCE,
        "name": "web-1",
        "execution": EXECUTION,
        "failure": {"error": "ImageFailedError", "cause": "image ami-1 is failed"},
        "ended": "2026-01-13T02:00:00Z",
        "power": "running",
        "state": "It was given back as it was found.",
        "result": {**RESULT, "outcome": "failed", "verdict": "not_patched"},
        "place": PLACE,
    }
    return failure_message(**{**given, **more})


def test_a_success_tells_all_that_people_ask() -> None:
    subject, text = success_message(RESULT, PLACE)

    assert subject == f"Drydock: web-1 ({INSTANCE}) was patched"
    for part in (
        "nothing is missing",
        "Account 123456789012, Region ap-northeast-1",
        "2026-01-13 10:00 +09:00 (Asia/Tokyo)",
        "Power: stopped before, stopped now",
        "Rebooted: yes",
        "Missing patches: 2 before, 0 after",
        "Installed: KB1, KB2",
        "Hook onExit: ran",
        "Image before: ami-1",
        "Note: the tag could not be written",
        console_link(EXECUTION, PLACE),
    ):
        assert part in text
    assert "Image after" not in text
    assert "{" not in text


@pytest.mark.parametrize(
    ("partition", "region", "console"),
    [
        ("aws", "ap-northeast-1", "https://ap-northeast-1.console.aws.amazon.com/"),
        ("aws-cn", "cn-north-1", "https://cn-north-1.console.amazonaws.cn/"),
        ("aws-us-gov", "us-gov-west-1", "https://us-gov-west-1.console.amazonaws-us-gov.com/"),
    ],
)
def test_people_are_led_to_the_console_of_their_partition(partition: str, region: str, console: str) -> None:
    link = console_link(EXECUTION, Place(partition, "123456789012", region, "UTC"))

    assert link.startswith(console) and link.endswith(EXECUTION)


def test_a_zone_that_is_not_known_keeps_no_message_back() -> None:
    _, text = success_message(RESULT, replace(PLACE, time_zone="Asia/Tokio"))

    assert "2026-01-13 01:00 +00:00 (UTC)" in text


def test_a_scan_is_not_called_patched() -> None:
    subject, _ = success_message({**RESULT, "verdict": "scanned"}, PLACE)

    assert subject.endswith("was scanned")


def test_counts_that_are_not_known_are_not_called_zero_or_minus_one() -> None:
    patches = {"before": {"missing": -1}, "after": {"missing": 3}}

    _, text = success_message({**RESULT, "patches": patches}, PLACE)

    assert "Missing patches: unknown before, 3 after" in text


def test_a_failure_tells_the_cause_the_state_and_what_to_do() -> None:
    subject, text = failure()

    assert subject == f"Drydock: web-1 ({INSTANCE}) was not patched well: ImageFailedError"
    for part in (
        "image ami-1 is failed",
        "Reason: ImageFailedError",
        "At 2026-01-13 11:00 +09:00 (Asia/Tokyo)",
        "The machine is running now. It was given back as it was found.",
        "Verdict: nothing was installed",
        "What to do next",
        "No patch without a good backup",
        console_link(EXECUTION, PLACE),
    ):
        assert part in text
    assert "{" not in text


def test_a_refusal_tells_no_verdict() -> None:
    subject, text = failure(result={"outcome": "refused"}, name="", power="")

    assert subject.startswith(f"Drydock: {INSTANCE} was refused")
    assert "Verdict" not in text
    assert "The machine is not known now." in text


def test_a_failure_without_a_result_or_a_cause_is_still_told() -> None:
    subject, text = failure(result=None, failure={"error": "States.Timeout", "cause": ""})

    assert "States.Timeout" in subject
    assert text.startswith(f"web-1 ({INSTANCE}) was not patched well: States.Timeout")
    assert "Read the reason above" in text


def test_a_machine_that_cannot_be_given_back_is_told_with_the_hindrance() -> None:
    subject, text = not_given_back_message(
        instance_id=INSTANCE,
        name="web-1",
        execution=EXECUTION,
        hindrance="stop-protected",
        power="running",
        place=PLACE,
    )

    assert subject == f"Drydock: web-1 ({INSTANCE}) could not be given back yet"
    assert "stop-protected" in text and "What to do next" in text


@pytest.mark.parametrize(
    "name", ["x" * 256, "a\nb\tc\x00d", "夜間バッチ" * 30, ""], ids=["long", "control characters", "kanji", "none"]
)
def test_a_subject_is_one_line_that_sns_accepts(name: str) -> None:
    subjects = [
        success_message({**RESULT, "name": name}, PLACE)[0],
        failure(name=name)[0],
        not_given_back_message(
            instance_id=INSTANCE, name=name, execution=EXECUTION, hindrance="", power="", place=PLACE
        )[0],
    ]

    for subject in subjects:
        assert 0 < len(subject) < 100
        assert subject.isprintable()


@pytest.mark.parametrize(("name", "text"), [("web-1", f"web-1 ({INSTANCE})"), ("", INSTANCE)])
def test_a_machine_has_its_name_where_it_has_one(name: str, text: str) -> None:
    assert machine_text(INSTANCE, name) == text


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_can_be_told(verdict: str) -> None:
    assert VERDICTS[verdict] in failure(result={**RESULT, "outcome": "failed", "verdict": verdict})[1]


FINAL = [
    name
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, errors.DrydockError) and "NotReady" not in name
]


@pytest.mark.parametrize("error", FINAL)
def test_every_error_is_told_with_something_to_do(error: str) -> None:
    _, text = failure(failure={"error": error, "cause": "the cause"})

    advice = text.split("What to do next\n")[1].splitlines()[0].strip()
    assert len(advice) > 20
