"""Messages about runs: what somebody who is woken at three must be able to see, without opening anything."""

from __future__ import annotations

import re
from typing import Any

import pytest

from drydock.errors import Failure
from drydock.records.runs import Place
from drydock.run.messages import summary_message, window_skipped_message, window_task_failed_message
from drydock.telling.message import Message
from drydock.telling.text import Location, console_link
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
from tests.unit.telling.reading import STEPS, flat, headings_of, rows_of

LOCATION = Location("aws", "123456789012", "ap-northeast-1", "Asia/Tokyo")
BUCKET, KEY = "drydock-logs", f"runs/{RUN_ID}/report.json"
WINDOW = "mw-0123456789abcdef0"
UNMANAGED = {"instanceId": ident(9), "name": "old", "error": "InstanceUnmanagedError", "reason": "no agent answers"}
EXCLUDED = {"instanceId": ident(8), "name": "db-1", "error": "InstanceExcludedError", "reason": "tag says: frozen"}


def summary(report: Any, location: Location = LOCATION, key: str = KEY) -> Message:
    return summary_message(report, location, BUCKET, key)


URGENCY = [
    ([place(1), failed_place(2), place(3)], {}, None, "Look tomorrow: 1 of 3 machines failed."),
    (
        [failed_place(1)],
        {"closed": CLOSED_BY_BUDGET},
        None,
        "Look tomorrow: 1 of 3 machines failed, 2 not attempted.",
    ),
    (ALL_WELL, {}, {"error": "AwsCallFailedError", "cause": "denied"}, "Look tomorrow: the run failed"),
    (
        [place(1), failed_place(2)],
        {"closed": CLOSED_BY_HAND},
        None,
        "Look tomorrow: 1 of 3 machines failed, the run was",
    ),
    (ALL_WELL, {}, None, "Nothing to do: all 3 machines patched."),
    (
        [place(1), place(2), place(3, "busy")],
        {},
        None,
        "Nothing to do: 2 of 3 machines patched, none failed.",
    ),
    (
        [],
        {"plan": PLAN_ONLY},
        None,
        "Nothing to do: a plan for 3 machines was made and nothing was touched.",
    ),
    ([], {}, REJECTED, "Nothing to do: the run was rejected and nothing was touched."),
    ([place(1)], {}, None, "Look tomorrow: 2 of 3 machines not attempted, none failed."),
    (
        [place(1)],
        {"closed": CLOSED_BY_HAND},
        None,
        "Look tomorrow: the run was stopped, 2 not",
    ),
    ([], {}, UNANSWERED, "Look tomorrow: the run was not approved in time and nothing was"),
    (
        [],
        {},
        {"error": "PlanChangedError", "cause": ""},
        "Look tomorrow: the run was refused",
    ),
    (
        [place(1, "skipped"), place(2, "gone"), place(3, "skipped")],
        {},
        None,
        "Look tomorrow: none of 3 machines was patched, none failed.",
    ),
]


@pytest.mark.parametrize(("places", "run", "failure", "first_line"), URGENCY)
def test_the_first_line_says_whether_anything_has_to_be_done_now(
    places: list[Place], run: dict[str, Any], failure: Failure | None, first_line: str
) -> None:
    message = summary(report_of(places, run=a_run(**run), failure=failure))

    assert flat(message.text).startswith(first_line)


@pytest.mark.parametrize(("places", "run", "failure", "first_line"), URGENCY)
def test_every_variant_names_run_window_place_and_time_and_is_no_json(
    places: list[Place], run: dict[str, Any], failure: Failure | None, first_line: str
) -> None:
    message = summary(report_of(places, run=a_run(**run), failure=failure))

    assert len(message.subject) < 100
    assert message.subject.endswith("(window nightly)") or message.subject.endswith("…")
    assert not re.search(r"[a-z]Error", message.subject), "no names of classes"
    for part in (
        f"Run {RUN_ID}, Install",
        f"Started by maintenance window nightly ({WINDOW})",
        "Targets: tag:Patch Group = web",
        "Account 123456789012, Region ap-northeast-1; times in Asia/Tokyo",
        "From 2026-01-13 10:00 to 2026-01-13 11:00 (1 h)",
        f"https://ap-northeast-1.console.aws.amazon.com/s3/object/{BUCKET}?prefix={KEY}",
        console_link(RUN_EXECUTION, LOCATION),
    ):
        assert part in flat(message.text), part
    assert message.text.count("Asia/Tokyo") == 1 and "+09:00" not in message.text
    assert "{" not in message.text and "None" not in message.text
    if not first_line.startswith("Nothing"):
        assert rows_of(message, STEPS)


@pytest.mark.parametrize(
    ("places", "run", "says"),
    [
        (
            [place(1), failed_place(2), place(3)],
            {"failed": 1},
            "The run is over. 1 machine failed; the error budget was 1.",
        ),
        (
            [failed_place(1), failed_place(2)],
            {"closed": CLOSED_BY_BUDGET},
            "The run is over: 2 machines have failed, more than the error budget of 1.",
        ),
        ([], {"closed": CLOSED_BY_HAND}, "The run is over, and no machine was begun."),
    ],
)
def test_the_second_sentence_says_how_the_run_stands_and_what_was_left_of_its_error_budget(
    places: list[Place], run: dict[str, Any], says: str
) -> None:
    assert summary(report_of(places, run=a_run(plan=recorded_plan(max_errors=1), **run))).intro == [says]


def test_a_machine_that_is_patched_and_unwell_comes_before_all_others() -> None:
    places = [failed_place(1), failed_place(2, "HealthCheckFailedError", verdict="compliant"), place(3)]

    message = summary(report_of(places))

    assert (
        message.subject == "Drydock, act now: 1 machine is patched and unwell, 1 of 3 machines failed (window nightly)"
    )
    assert message.text.startswith("Act now: 1 machine is patched and unwell")
    assert headings_of(message)[:3] == ["Done", "Patched and unwell (1)", "Failed (1)"]
    assert "health probe fails" in rows_of(message, STEPS)[0]


def test_failed_machines_are_named_with_reason_and_next_step() -> None:
    message = summary(report_of([place(1), failed_place(2), place(3)]))

    assert rows_of(message, "Done") == ["3 machines: 2 patched, 1 failed"]
    assert rows_of(message, "Failed (1)") == [f"web-2 ({ident(2)}): no image could be made", "image ami-1 is failed"]
    assert rows_of(message, STEPS)[0].startswith("1 machine: no image could be made. No patch without")


def test_groups_that_are_not_as_they_should_be_are_named_with_their_members() -> None:
    group: dict[str, Any] = {"groupName": "web", "outcome": "failed", "error": "GroupNotRestoredError"}
    group |= {"cause": "i-1 is in standby", "problems": ["min is 2, not 3"], "execution": "", "endedAt": ""}
    report = report_of([failed_place(1), place(2), place(3)], groups=[group])
    report["machines"][0]["groupName"] = "web"

    message = summary(report)

    assert "1 of 3 machines failed, 1 group not rolled through well" in flat(message.text)
    assert message.urgency == "now", "a group is not as it was found"
    assert rows_of(message, "Auto Scaling groups to look at (2)") == ["web: i-1 is in standby", "web: min is 2, not 3"]
    assert rows_of(message, "Failed (1)")[0].startswith(f"web-1 ({ident(1)}) of group web: no image could be made")


def test_a_reason_that_all_share_is_told_once() -> None:
    message = summary(report_of([failed_place(1)], run=a_run(closed=CLOSED_BY_BUDGET)))

    heading = "Not attempted (2): 2 failed, and the policy allows 1"
    assert rows_of(message, heading) == [f"web-2 ({ident(2)})", f"web-3 ({ident(3)})"]


def test_twenty_machines_are_named_and_the_report_has_the_others() -> None:
    places = [failed_place(number) for number in range(1, 26)]

    message = summary(report_of(places, plan=make_plan(1_000), run=a_run(closed=CLOSED_BY_BUDGET)))

    failed, left = rows_of(message, "Failed (25)"), rows_of(message, "Not attempted (975)")
    assert (len(failed), failed[-1]) == (41, "and 5 more in the report")
    assert (len(left), left[-1]) == (21, "and 955 more in the report")
    assert len(message.text) < 8_000, "a chat message shows so much"


@pytest.mark.parametrize(
    ("ended", "says"),
    [
        (90, "Inside the window: yes, all was back by 11:30, with 30 min to spare (until 2026-01-13 12:00)"),
        (120, "Inside the window: yes (until 2026-01-13 12:00)"),
        (215, "Inside the window: no, 1 h 35 min late (until 2026-01-13 12:00)"),
    ],
)
def test_people_see_whether_the_run_kept_to_its_window(ended: float, says: str) -> None:
    places = [place(1), place(2), place(3, ended=after(ended))]

    assert says in summary(report_of(places, ended=ended)).facts


def test_a_run_by_hand_is_known_by_its_id_and_by_who_started_it() -> None:
    plan = make_plan(window=None)

    message = summary(
        report_of(ALL_WELL, plan=plan, run=a_run(plan=recorded_plan(started_by="arn:aws:iam::123456789012:user/taro")))
    )

    assert message.subject == f"Drydock: all 3 machines patched (run {RUN_ID})"
    assert "Started by arn:aws:iam::123456789012:user/taro" in message.facts
    assert "Inside the time it was given: yes" in message.text


def test_times_are_in_the_zone_of_the_window() -> None:
    text = summary(report_of(ALL_WELL, run=a_run(plan=recorded_plan(time_zone="Europe/Berlin")))).text

    assert "From 2026-01-13 02:00 to" in text and "times in Europe/Berlin" in text
    assert "Tokyo" not in text


def test_machines_that_are_well_with_a_reservation_are_mentioned() -> None:
    places = [place(1, verdict="compliant"), place(2, verdict="pending_reboot"), place(3, verdict="compliant")]

    message = summary(report_of(places))

    assert "1 of them: installed; a reboot is still pending" in rows_of(message, "Done")
    assert message.urgency == "tomorrow"


def test_a_machine_that_was_left_and_runs_old_code_is_named_with_why_nobody_reboots_it() -> None:
    left = {"verdict": "pending_reboot", "cause": "a reboot has not helped, and is not made again: registry"}
    places = [place(1), place(2, "already_compliant", **left), place(3)]

    message = summary(report_of(places))

    assert message.urgency == "tomorrow" and "1 of them waits for a reboot" in message.subject
    assert rows_of(message, "Left as they are, and in need of a reboot that nobody makes (1)") == [
        f"web-2 ({ident(2)}): {left['cause']}"
    ]


def test_a_machine_that_is_patched_and_lacks_its_image_after_is_patched() -> None:
    places = [place(1), place(2), place(3, cause="there is no image after")]

    message = summary(report_of(places))

    assert message.subject.startswith(
        "Drydock, look tomorrow: all 3 machines patched, 1 of them with something to look at"
    )
    assert rows_of(message, "Patched, with something to look at (1)") == [
        f"web-3 ({ident(3)}): there is no image after"
    ]


def test_a_scan_says_what_is_missing_where_worst_first() -> None:
    report = report_of(ALL_WELL, plan=make_plan(operation="Scan"))
    few, critical = {"Low": 3}, {"Critical": 1}
    for machine, missing, severities in zip(
        report["machines"], ([], ["KB1", "KB2", "KB3"], ["KB4"]), ({}, few, critical), strict=True
    ):
        details: Any = {"missing": missing, "missingAfter": len(missing), "missingBySeverity": severities}
        machine["details"] = details

    message = summary(report)

    assert message.subject == "Drydock, look tomorrow: 2 of 3 machines lack patches (window nightly)"
    assert rows_of(message, "Missing patches, worst first (2)") == [
        f"web-3 ({ident(3)}): KB4",
        f"web-2 ({ident(2)}): KB1, KB2, KB3",
    ]


def test_a_scan_is_not_called_patched() -> None:
    message = summary(report_of(ALL_WELL, plan=make_plan(operation="Scan")))

    assert message.subject == "Drydock: all 3 machines scanned (window nightly)"
    assert "patched" not in message.text


def test_what_was_left_out_of_a_run_is_counted_kind_by_kind() -> None:
    message = summary(report_of(ALL_WELL, plan=make_plan(leftOut=[UNMANAGED, EXCLUDED])))

    assert rows_of(message, "Left out of the plan (2)") == [
        "1 not managed by Systems Manager",
        "1 excluded by the tag DrydockExclude",
    ]


@pytest.mark.parametrize(
    ("left_out", "begins"), [([EXCLUDED], "Nothing to do"), ([EXCLUDED, UNMANAGED], "Look tomorrow")]
)
def test_a_run_that_found_nothing_to_do_names_what_it_left_out(left_out: list[dict[str, str]], begins: str) -> None:
    plan = make_plan(machines=[], leftOut=left_out)

    message = summary(report_of(plan=plan, run=a_run(plan=None)))

    assert "left out, and none was patched (window nightly)" in message.subject
    assert message.text.startswith(begins)
    assert rows_of(message, "Left out of the plan")[0] == f"db-1 ({ident(8)}): tag says: frozen"
    assert "Done" not in headings_of(message)


def test_targets_that_mean_no_machine_at_all_are_worth_a_look() -> None:
    message = summary(report_of(plan=make_plan(machines=[]), run=a_run(plan=None)))

    assert rows_of(message, STEPS) == [
        "Check the targets, if you expected any machine: nothing carries these tags or ids."
    ]


def test_a_plan_says_how_it_is_carried_out() -> None:
    message = summary(report_of(run=a_run(plan=PLAN_ONLY)))

    assert rows_of(message, STEPS)[1].startswith(f"drydock run --plan {RUN_ID} --minutes ")
    assert rows_of(message, STEPS)[1].endswith(" --stack drydock --region ap-northeast-1")
    assert rows_of(message, "Plan") == ["Machines: 3", "Carried out now it would end 2026-01-13 11:00"]
    assert "not attempted" not in message.text


@pytest.mark.parametrize(
    ("asked", "failure", "says"),
    [
        (
            approval("approved", reason="looks good"),
            None,
            "Approved by Hanako, 2026-01-13 10:05: looks good",
        ),
        (
            approval("rejected", name="", reason="not tonight"),
            REJECTED,
            "Rejected by arn:aws:iam::123456789012:user/hanako, 2026-01-13 10:05: not tonight",
        ),
        (
            approval(),
            UNANSWERED,
            "Nobody answered until 2026-01-13 10:20",
        ),
    ],
    ids=["approved", "rejected", "not answered"],
)
def test_who_decided_what_and_when_is_told(asked: dict[str, Any], failure: Failure | None, says: str) -> None:
    message = summary(report_of([] if failure else ALL_WELL, run=a_run(approval=asked), failure=failure))

    assert rows_of(message, "Approval") == [says]


def test_a_refused_run_tells_every_mistake() -> None:
    mistakes = [f"input.targets[{number}].values: is no list of 1 to 50 texts" for number in range(50)]
    failure: Failure = {"error": "InvalidInputError", "cause": "; ".join(mistakes)}
    plan = make_plan(machines=[], window=None, targets=[])

    message = summary(report_of(plan=plan, run=a_run(plan=None), failure=failure))

    (reason,) = rows_of(message, "Reason")
    assert [mistake for mistake in mistakes if mistake not in reason] == []
    assert rows_of(message, STEPS) == ["Correct the input; nothing was touched."]


def test_a_run_that_somebody_killed_says_so_and_how_to_go_on() -> None:
    places = [place(1), failed_place(2, "ABORTED")]

    message = summary(report_of(places, failure=ABORTED))

    assert message.what == "1 of 3 machines failed, the run was stopped, 1 not attempted"
    assert any(step.startswith(f"drydock run --resume {RUN_ID} --minutes ") for step in rows_of(message, STEPS))


def test_a_report_that_could_not_be_stored_is_not_promised() -> None:
    text = summary(report_of(ALL_WELL), key="").text

    assert BUCKET not in text
    assert "There is no report" in text


@pytest.mark.parametrize("hostile", ["a\nAct now: x", "x" * 256, "夜間バッチ" * 30, "<!channel>", ""])
def test_names_of_machines_and_windows_cannot_break_a_line_or_the_subject(hostile: str) -> None:
    window = {"windowId": WINDOW, "executionId": "e", "name": hostile, "start": "", "end": ""}
    plan = make_plan(machines=[planned_machine(1, name=hostile)], window=window)

    message = summary(report_of([failed_place(1)], plan=plan))

    assert 0 < len(message.subject) < 100 and message.subject.isprintable()
    assert not any(line.startswith("Act now") for line in message.text.splitlines())
    assert len(rows_of(message, "Failed (1)")) == 2


def test_a_window_whose_task_failed_is_told_with_what_to_check() -> None:
    message = window_task_failed_message(
        window_id=WINDOW,
        window_name="nightly",
        window_execution="11111111-aaaa-bbbb-cccc-222222222222",
        status="FAILED",
        at=to_text(START),
        location=LOCATION,
        reason="not authorized to perform states:StartExecution",
    )

    assert message.subject == f"Drydock, look tomorrow: maintenance window nightly ({WINDOW}) could not start a run"
    text = flat(message.text)
    assert "No run began" in text and "not authorized to perform states:StartExecution" in text
    assert "At 2026-01-13 10:00 " in text
    assert "service role" in rows_of(message, STEPS)[0]
    assert rows_of(message, "Where to look")[-1] == (
        "aws ssm describe-maintenance-window-execution-tasks --window-execution-id"
        " 11111111-aaaa-bbbb-cccc-222222222222 --region ap-northeast-1"
    )


def test_a_window_that_was_skipped_names_the_run_that_still_works() -> None:
    message = window_skipped_message(
        window_id=WINDOW,
        window_name="nightly",
        run_id=RUN_ID,
        execution=RUN_EXECUTION,
        since=to_text(START),
        at=to_text(after(1_440)),
        location=LOCATION,
    )

    assert message.subject.startswith("Drydock, look tomorrow: maintenance window nightly")
    assert f"its run {RUN_ID} still works" in message.what
    assert f"Run {RUN_ID} began 2026-01-13 10:00" in message.facts
    assert "The window opened 2026-01-14 10:00" in message.facts
    assert f"drydock stop {RUN_ID} --stack drydock --region ap-northeast-1" in rows_of(message, STEPS)
    assert console_link(RUN_EXECUTION, LOCATION) in message.text


def test_a_window_that_was_skipped_for_reasons_of_its_own_is_told_too() -> None:
    message = window_skipped_message(
        window_id=WINDOW, window_name="", run_id="", execution="", since="", at=to_text(START), location=LOCATION
    )

    assert WINDOW in message.subject
    assert "which tasks of the window still work" in rows_of(message, STEPS)[0]
    assert "https://ap-northeast-1.console.aws.amazon.com/systems-manager/maintenance-windows" in message.text


def test_the_message_says_how_the_report_is_opened() -> None:
    report: Any = report_of(ALL_WELL)
    link = "https://abc.lambda-url.ap-northeast-1.on.aws/report?run=night-7&key=k"

    signed = summary_message(report, LOCATION, BUCKET, KEY)
    linked = summary_message(report, LOCATION, BUCKET, KEY, link)
    lost = summary_message(report, LOCATION, BUCKET, "", link)

    assert f"drydock report {RUN_ID} --open --stack drydock --region ap-northeast-1" in " ".join(
        signed.text.replace("\\\n", " ").split()
    )
    assert link in [line.strip() for line in linked.text.splitlines()]
    assert "drydock report" not in linked.text
    assert link not in lost.text
