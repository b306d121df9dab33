"""Messages about runs: what somebody who is woken at three must be able to see, without opening anything."""

from __future__ import annotations

from typing import Any

import pytest

from drydock.errors import Failure
from drydock.records.runs import Place
from drydock.run.messages import summary_message, window_skipped_message, window_task_failed_message
from drydock.telling.text import NEXT_STEPS, Location, console_link
from drydock.times import to_text
from tests.unit.fakes import START
from tests.unit.records.recorded import RUN_EXECUTION, RUN_ID, a_run, recorded_plan
from tests.unit.run.test_reports import (
    ABORTED,
    ALL_WELL,
    CLOSED_BY_BUDGET,
    CLOSED_BY_HAND,
    PLAN_ONLY,
    REJECTED,
    UNANSWERED,
    after,
    approval,
    failed_place,
    ident,
    make_plan,
    place,
    planned_machine,
    report_of,
)

LOCATION = Location("aws", "123456789012", "ap-northeast-1", "Asia/Tokyo")
BUCKET, KEY = "drydock-logs", f"runs/{RUN_ID}/report.json"
WINDOW = "mw-0123456789abcdef0"
UNMANAGED = {"instanceId": ident(9), "name": "old", "error": "InstanceUnmanagedError", "reason": "no agent answers"}
EXCLUDED = {"instanceId": ident(8), "name": "db-1", "error": "InstanceExcludedError", "reason": "tag says: frozen"}


def summary(report: Any, location: Location = LOCATION, key: str = KEY) -> tuple[str, str]:
    return summary_message(report, location, BUCKET, key)


def section(text: str, heading: str) -> list[str]:
    """The lines under the heading that begins so."""
    lines = text.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith(heading))
    end = next((number for number in range(begin, len(lines)) if not lines[number]), len(lines))
    return [line.strip() for line in lines[begin + 1 : end]]


URGENCY = [
    ([place(1), failed_place(2), place(3)], {}, None, "Look at this now: 1 of 3 machines failed."),
    (
        [failed_place(1)],
        {"closed": CLOSED_BY_BUDGET},
        None,
        "Look at this now: 1 of 3 machines failed, 2 not attempted.",
    ),
    (ALL_WELL, {}, {"error": "AwsCallFailedError", "cause": "denied"}, "Look at this now: the run failed"),
    (
        [place(1), failed_place(2)],
        {"closed": CLOSED_BY_HAND},
        None,
        "Look at this now: 1 of 3 machines failed, the run was",
    ),
    (ALL_WELL, {}, None, "Nothing has to be done now: all 3 machines patched."),
    (
        [place(1), place(2), place(3, "busy")],
        {},
        None,
        "Nothing has to be done now: 2 of 3 machines patched, none failed.",
    ),
    (
        [],
        {"plan": PLAN_ONLY},
        None,
        "Nothing has to be done now: a plan for 3 machines was made and nothing was touched.",
    ),
    ([], {}, REJECTED, "Nothing has to be done now: the run was rejected and nothing was touched."),
    ([place(1)], {}, None, "Not urgent, but something is left to do: 2 of 3 machines not attempted, none failed."),
    (
        [place(1)],
        {"closed": CLOSED_BY_HAND},
        None,
        "Not urgent, but something is left to do: the run was stopped, 2 not",
    ),
    ([], {}, UNANSWERED, "Not urgent, but something is left to do: the run was not approved in time and nothing was"),
    (
        [],
        {},
        {"error": "PlanChangedError", "cause": ""},
        "Not urgent, but something is left to do: the run was refused",
    ),
    (
        [place(1, "skipped"), place(2, "gone"), place(3, "skipped")],
        {},
        None,
        "Not urgent, but something is left to do: none of 3 machines patched, none failed.",
    ),
]


@pytest.mark.parametrize(("places", "run", "failure", "first_line"), URGENCY)
def test_the_first_line_says_whether_anything_has_to_be_done_now(
    places: list[Place], run: dict[str, Any], failure: Failure | None, first_line: str
) -> None:
    _, text = summary(report_of(places, run=a_run(**run), failure=failure))

    assert text.splitlines()[0].startswith(first_line)


@pytest.mark.parametrize(("places", "run", "failure", "first_line"), URGENCY)
def test_every_variant_names_run_window_place_and_time_and_is_no_json(
    places: list[Place], run: dict[str, Any], failure: Failure | None, first_line: str
) -> None:
    subject, text = summary(report_of(places, run=a_run(**run), failure=failure))

    assert subject.endswith("(window nightly)") and len(subject) < 100
    for part in (
        f"Run {RUN_ID}, Install",
        f"Started by maintenance window nightly ({WINDOW})",
        "Targets: tag:Patch Group = web",
        "Account 123456789012, Region ap-northeast-1",
        "From 2026-01-13 10:00 +09:00 (Asia/Tokyo)",
        "to 2026-01-13 11:00 +09:00 (Asia/Tokyo): 1 h 0 min",
        f"Report: s3://{BUCKET}/{KEY}",
        f"https://ap-northeast-1.console.aws.amazon.com/s3/object/{BUCKET}?prefix={KEY}",
        console_link(RUN_EXECUTION, LOCATION),
    ):
        assert part in text, part
    assert "{" not in text and "None" not in text
    if not first_line.startswith("Nothing"):
        assert section(text, NEXT_STEPS)


def test_failed_machines_are_named_with_reason_and_next_step() -> None:
    _, text = summary(report_of([place(1), failed_place(2), place(3)]))

    assert section(text, "Done") == ["3 machines: 2 patched, 1 failed"]
    assert section(text, "Failed (1)") == [f"web-2 ({ident(2)}): ImageFailedError: image ami-1 is failed"]
    assert section(text, NEXT_STEPS)[0].startswith("1 machine failed with ImageFailedError: No patch without")


def test_groups_that_are_not_as_they_should_be_are_named_with_their_members() -> None:
    group: dict[str, Any] = {"groupName": "web", "outcome": "failed", "error": "GroupNotRestoredError"}
    group |= {"cause": "i-1 is in standby", "problems": ["min is 2, not 3"], "execution": "", "endedAt": ""}
    report = report_of([failed_place(1), place(2), place(3)], groups=[group])
    report["machines"][0]["groupName"] = "web"

    subject, text = summary(report)

    assert "1 of 3 machines failed, 1 group not rolled through well" in subject
    assert section(text, "Auto Scaling groups to look at (2)") == [
        "web: GroupNotRestoredError: i-1 is in standby",
        "web: min is 2, not 3",
    ]
    assert section(text, "Failed (1)")[0].startswith(f"web-1 ({ident(1)}) of group web: ImageFailedError")


def test_a_reason_that_all_share_is_told_once() -> None:
    _, text = summary(report_of([failed_place(1)], run=a_run(closed=CLOSED_BY_BUDGET)))

    heading = "Not attempted (2): 2 failed, and the policy allows 1"
    assert section(text, heading) == [f"web-2 ({ident(2)})", f"web-3 ({ident(3)})"]


def test_twenty_machines_are_named_and_the_report_has_the_others() -> None:
    places = [failed_place(number) for number in range(1, 26)]

    _, text = summary(report_of(places, plan=make_plan(1_000), run=a_run(closed=CLOSED_BY_BUDGET)))

    failed, left = section(text, "Failed (25)"), section(text, "Not attempted (975)")
    assert (len(failed), failed[-1]) == (21, "and 5 more in the report")
    assert (len(left), left[-1]) == (21, "and 955 more in the report")
    assert len(text) < 8_000, "a chat message shows so much"


@pytest.mark.parametrize(
    ("ended", "says"),
    [
        (90, "Inside the window: yes, with 30 min to spare (until 2026-01-13 12:00 +09:00 (Asia/Tokyo))"),
        (120, "Inside the window: yes (until 2026-01-13 12:00 +09:00 (Asia/Tokyo))"),
        (215, "Inside the window: no, 1 h 35 min late (until 2026-01-13 12:00 +09:00 (Asia/Tokyo))"),
    ],
)
def test_people_see_whether_the_run_kept_to_its_window(ended: float, says: str) -> None:
    places = [place(1), place(2), place(3, ended=after(ended))]

    _, text = summary(report_of(places, ended=ended))

    assert says in text


def test_a_run_by_hand_is_known_by_its_id_and_by_who_started_it() -> None:
    plan = make_plan(window=None)

    subject, text = summary(
        report_of(ALL_WELL, plan=plan, run=a_run(plan=recorded_plan(started_by="arn:aws:iam::1:user/taro")))
    )

    assert subject == f"Drydock: all 3 machines patched (run {RUN_ID})"
    assert "Started by arn:aws:iam::1:user/taro" in text
    assert "Inside the time it was given: yes" in text


def test_times_are_in_the_zone_of_the_window() -> None:
    _, text = summary(report_of(ALL_WELL, run=a_run(plan=recorded_plan(time_zone="Europe/Berlin"))))

    assert "From 2026-01-13 02:00 +01:00 (Europe/Berlin)" in text
    assert "Tokyo" not in text


def test_machines_that_are_well_with_a_reservation_are_mentioned() -> None:
    places = [place(1, verdict="compliant"), place(2, verdict="pending_reboot"), place(3, verdict="compliant")]

    _, text = summary(report_of(places))

    assert "1 of them: installed; a reboot is still pending" in section(text, "Done")


def test_a_scan_is_not_called_patched() -> None:
    subject, text = summary(report_of(ALL_WELL, plan=make_plan(operation="Scan")))

    assert subject == "Drydock: all 3 machines scanned (window nightly)"
    assert "patched" not in text


def test_what_was_left_out_of_a_run_is_counted_kind_by_kind() -> None:
    _, text = summary(report_of(ALL_WELL, plan=make_plan(leftOut=[UNMANAGED, EXCLUDED])))

    assert section(text, "Left out of the plan (2)") == [
        "1 not managed by Systems Manager",
        "1 excluded by the tag DrydockExclude",
    ]


@pytest.mark.parametrize(("left_out", "begins"), [([EXCLUDED], "Nothing has"), ([EXCLUDED, UNMANAGED], "Not urgent")])
def test_a_run_that_found_nothing_to_do_names_what_it_left_out(left_out: list[dict[str, str]], begins: str) -> None:
    plan = make_plan(machines=[], leftOut=left_out)

    subject, text = summary(report_of(plan=plan, run=a_run(plan=None)))

    assert subject == "Drydock: no machine was there to be patched (window nightly)"
    assert text.startswith(begins)
    assert section(text, "Left out of the plan")[0] == f"db-1 ({ident(8)}): tag says: frozen"
    assert "Done" not in text.splitlines()


def test_targets_that_mean_no_machine_at_all_are_worth_a_look() -> None:
    _, text = summary(report_of(plan=make_plan(machines=[]), run=a_run(plan=None)))

    assert section(text, NEXT_STEPS) == [
        "Check the targets, if you expected any machine: nothing carries these tags or ids."
    ]


def test_a_plan_says_how_it_is_carried_out() -> None:
    _, text = summary(report_of(run=a_run(plan=PLAN_ONLY)))

    assert f"`drydock run --plan {RUN_ID}`" in section(text, NEXT_STEPS)[0]
    assert section(text, "Plan") == [
        "Machines: 3",
        "Carried out now it would end 2026-01-13 11:00 +09:00 (Asia/Tokyo)",
    ]
    assert "not attempted" not in text


@pytest.mark.parametrize(
    ("asked", "failure", "says"),
    [
        (
            approval("approved", reason="looks good"),
            None,
            "Approved by Hanako, 2026-01-13 10:05 +09:00 (Asia/Tokyo): looks good",
        ),
        (
            approval("rejected", name="", reason="not tonight"),
            REJECTED,
            "Rejected by arn:aws:iam::123456789012:user/hanako, 2026-01-13 10:05 +09:00 (Asia/Tokyo): not tonight",
        ),
        (
            approval(),
            UNANSWERED,
            "Nobody answered until 2026-01-13 10:20 +09:00 (Asia/Tokyo)",
        ),
    ],
    ids=["approved", "rejected", "not answered"],
)
def test_who_decided_what_and_when_is_told(asked: dict[str, Any], failure: Failure | None, says: str) -> None:
    _, text = summary(report_of([] if failure else ALL_WELL, run=a_run(approval=asked), failure=failure))

    assert section(text, "Approval") == [says]


def test_a_refused_run_tells_every_mistake() -> None:
    mistakes = [f"input.targets[{number}].values: is no list of 1 to 50 texts" for number in range(50)]
    failure: Failure = {"error": "InvalidInputError", "cause": "; ".join(mistakes)}
    plan = make_plan(machines=[], window=None, targets=[])

    _, text = summary(report_of(plan=plan, run=a_run(plan=None), failure=failure))

    (reason,) = section(text, "Reason")
    assert [mistake for mistake in mistakes if mistake not in reason] == []
    assert section(text, NEXT_STEPS) == ["Correct the input; nothing was touched."]


def test_a_run_that_somebody_killed_says_so_and_how_to_go_on() -> None:
    places = [place(1), failed_place(2, "ABORTED")]

    subject, text = summary(report_of(places, failure=ABORTED))

    assert subject == "Drydock: 1 of 3 machines failed, the run was stopped, 1 not attempted (window nightly)"
    assert any(f"drydock run --resume {RUN_ID}" in step for step in section(text, NEXT_STEPS))


def test_a_report_that_could_not_be_stored_is_not_promised() -> None:
    _, text = summary(report_of(ALL_WELL), key="")

    assert "s3://" not in text
    assert "There is no report" in text


@pytest.mark.parametrize("hostile", ["a\nLook at this now: x", "x" * 256, "夜間バッチ" * 30, "<!channel>", ""])
def test_names_of_machines_and_windows_cannot_break_a_line_or_the_subject(hostile: str) -> None:
    window = {"windowId": WINDOW, "executionId": "e", "name": hostile, "start": "", "end": ""}
    plan = make_plan(machines=[planned_machine(1, name=hostile)], window=window)

    subject, text = summary(report_of([failed_place(1)], plan=plan))

    assert 0 < len(subject) < 100 and subject.isprintable()
    assert sum(line.startswith("Look at this now") for line in text.splitlines()) == 1
    assert len(section(text, "Failed (1)")) == 1


def test_a_window_whose_task_failed_is_told_with_what_to_check() -> None:
    subject, text = window_task_failed_message(
        window_id=WINDOW,
        window_name="nightly",
        window_execution="11111111-aaaa-bbbb-cccc-222222222222",
        status="FAILED",
        at=to_text(START),
        location=LOCATION,
        reason="not authorized to perform states:StartExecution",
    )

    assert subject == "Drydock: window nightly could not start a run: FAILED"
    assert text.startswith("Not urgent, but something is left to do: maintenance window nightly")
    assert "No run began" in text and "not authorized to perform states:StartExecution" in text
    assert "At 2026-01-13 10:00 +09:00 (Asia/Tokyo)" in text
    assert "service role" in section(text, NEXT_STEPS)[0]
    assert "--window-execution-id 11111111-aaaa-bbbb-cccc-222222222222" in text


def test_a_window_that_was_skipped_names_the_run_that_still_works() -> None:
    subject, text = window_skipped_message(
        window_id=WINDOW,
        window_name="nightly",
        run_id=RUN_ID,
        execution=RUN_EXECUTION,
        since=to_text(START),
        at=to_text(after(1_440)),
        location=LOCATION,
    )

    assert subject == f"Drydock: window nightly skipped: its run {RUN_ID} still works"
    assert f"Run {RUN_ID} began 2026-01-13 10:00 +09:00 (Asia/Tokyo)" in text
    assert "The window opened 2026-01-14 10:00 +09:00 (Asia/Tokyo)" in text
    assert any(f"`drydock stop {RUN_ID}`" in step for step in section(text, NEXT_STEPS))
    assert console_link(RUN_EXECUTION, LOCATION) in text


def test_a_window_that_was_skipped_for_reasons_of_its_own_is_told_too() -> None:
    subject, text = window_skipped_message(
        window_id=WINDOW, window_name="", run_id="", execution="", since="", at=to_text(START), location=LOCATION
    )

    assert WINDOW in subject
    assert "which tasks of the window still work" in section(text, NEXT_STEPS)[0]
    assert "https://ap-northeast-1.console.aws.amazon.com/systems-manager/maintenance-windows" in text
