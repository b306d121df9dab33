"""Whole runs in the rehearsal: windows, people, calendars, alarms, and a page that one can click."""

from __future__ import annotations

import http.client
import io
import json
import re
import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from rich.console import Console
from typer.testing import CliRunner

from drydock_cli.main import app
from rehearsal.play.fleet_file import read_fleet
from rehearsal.play.outcomes.run import RunOutcome
from rehearsal.play.reports.console import print_report, to_json
from rehearsal.play.run import RehearsalOutcome, Serving, rehearse

WINDOW = """
parameters: {{WindowTargetTagKey: Patch Group, WindowTargetTagValue: web{parameters}}}
policy: {{backup: {{before: {{take: false}}, after: {{take: false}}}}{policy}}}
instances:
  - {{name: web, count: 2, missing: 1, tags: {{Patch Group: web}}, {expect}}}
window: {{{window}}}
{more}
"""


def a_window(
    *, parameters: str = "", policy: str = "", expect: str = "", window: str = "", more: str = ""
) -> RehearsalOutcome:
    """Two machines in one night, and what the file says beyond that."""
    expected = f"expect: {{{expect}}}" if expect else ""
    text = WINDOW.format(parameters=parameters, policy=policy, expect=expected, window=window, more=more)
    return rehearse(read_fleet(text, Path("window.yaml")))


def the_run(outcome: RehearsalOutcome) -> RunOutcome:
    [run] = outcome.runs
    return run


def shown(outcome: RehearsalOutcome, width: int = 100) -> str:
    out = io.StringIO()
    print_report(Console(file=out, width=width), outcome)
    return out.getvalue()


def problems(outcome: RehearsalOutcome) -> list[str]:
    return [*outcome.differences, *(difference for machine in outcome.machines for difference in machine.differences)]


@pytest.mark.parametrize(
    ("parameters", "person", "via"),
    [
        ("", "by: url", "url"),
        ("", "by: parameter", "parameter"),
        (", ApprovalAuth: LINK", "by: link", "link"),
    ],
    ids=["signed request", "parameter", "page"],
)
def test_a_person_approves_in_the_way_of_the_file(parameters: str, person: str, via: str) -> None:
    outcome = a_window(
        parameters=parameters,
        policy=", approval: {required: true}",
        more=f"people: [{{name: Yuki Tanaka, does: approve, after: 7m, reason: all good, {person}}}]",
    )
    assert problems(outcome) == []
    [decision] = the_run(outcome).report["approval"]["decisions"]
    assert (decision["decision"], decision["via"], decision["reason"]) == ("approved", via, "all good")
    asked, began = the_run(outcome).started, the_run(outcome).waves[0].began
    assert began is not None
    assert timedelta(minutes=7) < began - asked < timedelta(minutes=8)


def test_a_rejected_run_touches_nothing_and_the_story_says_why() -> None:
    outcome = a_window(
        policy=", approval: {required: true}",
        expect="run: not_attempted, missing: 1, outcome: none",
        window="executions: [{expect: {outcome: rejected, error: ApprovalRejectedError, counts: {notAttempted: 2}}}]",
        more="people: [{name: Yuki Tanaka, does: reject, reason: not on pay day}]",
    )
    assert problems(outcome) == []
    assert "rejected by yuki.tanaka at 02:05 by a signed request (not on pay day)" in " ".join(shown(outcome).split())


def test_who_is_no_approver_is_refused_and_a_run_that_nobody_answers_ends_untouched() -> None:
    outcome = a_window(
        policy=", approval: {required: true}",
        expect="run: not_attempted, missing: 1",
        window="executions: [{expect: {outcome: not_answered}}]",
        more="people: [{name: Mallory, does: approve, isApprover: false}, {name: Ben Ortiz, does: sleep, after: 9m}]",
    )
    assert problems(outcome) == []
    [mallory, _] = the_run(outcome).answers
    assert mallory.status == 403
    words = " ".join(shown(outcome).split())
    assert "nobody answered until 02:20; Mallory was refused: " in words


def test_nobody_is_asked_or_told_while_no_subscription_is_confirmed() -> None:
    outcome = a_window(
        policy=", approval: {required: true}",
        expect="run: not_attempted, missing: 1",
        window="executions: [{expect: {outcome: not_answered}}]",
        more="people: [{name: Yuki Tanaka, does: approve}]\n"
        "subscriptions: [{topic: approvals, email: cab@example.com, confirmed: false},"
        " {topic: results, email: ops@example.com, confirmed: false},"
        " {topic: results, email: boss@example.com}]",
    )
    assert problems(outcome) == []
    assert the_run(outcome).answers == ()
    reached = {message.topic: message.reaches_somebody for message in outcome.messages}
    assert reached == {"drydock-Approvals": False, "drydock-Results": True}
    assert "(reaches nobody: no subscription to drydock-Approvals is confirmed)" in shown(outcome, 200)


def test_a_calendar_that_closes_leaves_machines_for_the_next_window_which_takes_them_first() -> None:
    outcome = a_window(
        policy=", gates: {calendars: [Quiet-Time]}",
        window="executions: [{expect: {outcome: incomplete, counts: {succeeded: 1, notAttempted: 1}}}, "
        "{expect: {outcome: succeeded, counts: {succeeded: 1, alreadyCompliant: 1}}}]",
        more="calendars: [{name: Quiet-Time, changes: [{at: 5m, state: closed}, {at: 5h, state: open}]}]",
    )
    assert outcome.differences == ()
    first, second = outcome.runs
    # What was patched the week before is looked at, and left as it is.
    assert {one["name"]: one["outcome"] for one in second.report["machines"]} == {
        "web-1": "already_compliant",
        "web-2": "succeeded",
    }
    assert [machine["name"] for machine in first.plan["machines"]] == ["web-1", "web-2"]
    assert [machine["name"] for machine in second.plan["machines"]] == ["web-2", "web-1"]
    assert second.started - first.started == timedelta(weeks=1)


TWO_WINDOWS = """
parameters: {WindowSchedule: "cron(0 2 ? * SUN *)", WindowTargetTagKey: Patch Group, WindowTargetTagValue: web,
  WindowDurationHours: 4, TimeZone: UTC}
policy: {backup: {before: {take: false}, after: {take: false}}}
instances:
  - {name: web, missing: 1, tags: {Patch Group: web}, durations: {install: 50m, scan: 10m}}
  - {name: db, missing: 1, expect: {run: succeeded}}
window: {executions: [{expect: {counts: {succeeded: 1}}}]}
windows:
  - name: late
    schedule: cron(0 3 ? * SUN *)
    durationHours: 4
    targets: [[{key: InstanceIds, values: [web, db]}]]
    input: {policy: {maxErrors: 1}}
    executions: [{expect: {outcome: OUTCOME, counts: {succeeded: 1}, leftOut: 1}}]
faults:
  - stopRun: {run: late, at: 15h}
"""


def test_a_second_window_opens_by_its_own_schedule_in_the_middle_of_the_first() -> None:
    outcome = rehearse(read_fleet(TWO_WINDOWS.replace("OUTCOME", "succeeded"), Path("windows.yaml")))

    assert outcome.differences == ("a fault never struck: late: run stopped by somebody after 54000 s",)
    assert [run.label for run in outcome.runs] == ["window run", "window late run"]
    first, late = outcome.runs
    assert late.started - first.started == timedelta(hours=1)
    assert first.stopped is not None
    assert late.started < first.stopped
    assert late.plan["policy"]["maxErrors"] == 1


def test_the_first_run_of_another_window_can_be_stopped_by_that_windows_name() -> None:
    text = TWO_WINDOWS.replace("outcome: OUTCOME, counts: {succeeded: 1}, leftOut: 1", "outcome: failed")
    text = text.replace("{run: late, at: 15h}", "{run: late, state: Carry Out Wave, after: 2m}")
    outcome = rehearse(read_fleet(text, Path("windows.yaml")))
    assert [run.status for run in outcome.runs] == ["SUCCEEDED", "ABORTED"]


BY_HAND = """
policy: {backup: {before: {take: false}, after: {take: false}}, deadlineMinutes: 600, gates: {alarms: [Errors]}}
resourceGroups: [{name: shop, instances: [web, db]}]
alarms: [{name: Errors, changes: [{at: 1h5m, state: ALARM}, {at: 2h, state: OK}]}]
instances:
  - {name: web, missing: 1, history: [20m, 12m]}
  - {name: db, missing: 1}
  - {name: mail, missing: 1, expect: {run: none, missing: 1}}
runs:
  - name: only-plan
    input: {targets: [{key: "resource-groups:Name", values: [shop]}], planOnly: true}
    expect: {outcome: planned, counts: {notAttempted: 2}}
  - name: carry-out
    at: 1h
    input: {plan: only-plan}
    expect: {outcome: incomplete, counts: {succeeded: 1, notAttempted: 1}}
  - name: the-rest
    at: 3h
    input: {resume: carry-out}
    expect: {outcome: succeeded, counts: {succeeded: 1}}
  - name: nonsense
    at: 4h
    input: {targets: [], planOnly: maybe}
    expect: {outcome: refused, error: InvalidInputError}
"""


@pytest.fixture(scope="module")
def by_hand() -> RehearsalOutcome:
    return rehearse(read_fleet(BY_HAND, Path("by-hand.yaml")))


def test_runs_by_hand_plan_carry_out_and_take_up_what_an_alarm_left(by_hand: RehearsalOutcome) -> None:
    assert by_hand.is_as_expected
    assert [run.label for run in by_hand.runs] == [
        "run only-plan",
        "run carry-out",
        "run the-rest",
        "run nonsense",
    ]
    assert {machine.name: machine.run for machine in by_hand.machines} == {
        "web": "succeeded",
        "db": "succeeded",
        "mail": "none",
    }


def test_durations_of_earlier_runs_are_those_of_the_file(by_hand: RehearsalOutcome) -> None:
    machines = {machine["name"]: machine for machine in by_hand.runs[0].plan["machines"]}
    assert (machines["web"]["seconds"], machines["web"]["basis"]) == (1200, "own history")


def test_every_run_has_its_story_with_the_reason_of_a_refusal(by_hand: RehearsalOutcome) -> None:
    text = shown(by_hand)
    assert text.index("Run only-plan") < text.index("Run carry-out") < text.index("Run the-rest")
    assert "  Time     from Tue 2026-01-13 02:00 to 12:00" in text
    assert "refused  InvalidInputError: " in text
    assert "no machine began any more: " in text
    assert "All 3 machines and 4 runs ended as expected." in text


def test_a_run_that_somebody_kills_is_told_of_and_the_file_may_call_it_the_windows() -> None:
    outcome = a_window(
        policy=", maxConcurrency: 1",
        window="executions: [{expect: {counts: {failed: 1, notAttempted: 1}}}]",
        expect="power: running, run: not_attempted",
        more="faults: [{stopRun: {run: window, state: Carry Out Wave, after: 6m}}, {loseCancellations: {}}]",
    )
    assert outcome.differences == ()
    assert the_run(outcome).status == "ABORTED"
    assert [machine.is_given_back for machine in outcome.machines] == [True, True]


def test_a_run_that_ends_otherwise_than_expected_is_told() -> None:
    outcome = a_window(window="executions: [{expect: {outcome: incomplete, counts: {failed: 2}, leftOut: 1}}]")
    name = the_run(outcome).run_id
    assert not outcome.is_as_expected
    assert list(outcome.differences) == [
        f"window run ({name}): outcome: expected incomplete, got succeeded",
        f"window run ({name}): machines succeeded: expected 0, got 2",
        f"window run ({name}): machines failed: expected 2, got 0",
        f"window run ({name}): left out: expected 1, got 0",
    ]
    assert f"  window run ({name}): outcome: expected incomplete, got succeeded" in shown(outcome, 200)


@pytest.mark.parametrize(
    ("expect", "differences"), [("", ["no run began"]), ("expect: {outcome: none}", [])], ids=["by mistake", "meant"]
)
def test_a_window_that_starts_nothing_is_told_unless_that_is_what_the_file_wants(
    expect: str, differences: list[str]
) -> None:
    outcome = a_window(
        parameters=", ScheduleEnabled: false",
        expect="run: none, missing: 1",
        window=f"executions: [{{{expect}}}]",
    )
    assert [difference.rpartition(": ")[2] for difference in problems(outcome)] == differences


def test_a_window_that_never_opens_again_is_told() -> None:
    outcome = a_window(parameters=', WindowSchedule: "at(2020-01-01T00:00:00)"', expect="run: none, missing: 1")
    assert [difference.partition(" mw-")[0] for difference in outcome.differences] == ["window: the window"]
    assert outcome.runs == ()


def test_the_same_file_and_seed_give_the_same_bytes_with_links_and_people_too() -> None:
    def once() -> dict[str, Any]:
        outcome = a_window(
            parameters=", ApprovalAuth: LINK",
            policy=", approval: {required: true}",
            more="people: [{name: Yuki Tanaka, does: approve}]",
        )
        value: dict[str, Any] = json.loads(to_json(outcome))
        del value["realSeconds"]
        return value

    assert once() == once()


# Real people.


class Visitor:
    """Opens the page as soon as its address is announced, and answers its form."""

    def __init__(self, decision: str) -> None:
        self.said: list[str] = []
        self.statuses: list[int] = []
        self.page = ""
        self._decision = decision

    def announce(self, text: str) -> None:
        self.said.append(text)
        address = re.search(r"http://\S+", text)
        if address and self._decision:
            threading.Thread(target=self._visit, args=[address[0]]).start()

    def _visit(self, address: str) -> None:
        parts = urlsplit(address)
        self.page = self._ask(parts.netloc, "GET", f"/?{parts.query}")
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.page))
        form = urlencode({**hidden, "name": "Yuki Tanaka", "reason": "seen", "decision": self._decision})
        self._ask(parts.netloc, "POST", "/", form)

    def _ask(self, host: str, method: str, target: str, body: str | None = None) -> str:
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request(method, target, body, {"Content-Type": "application/x-www-form-urlencoded"})
        response = connection.getresponse()
        self.statuses.append(response.status)
        return response.read().decode()


@pytest.mark.parametrize(
    ("decision", "outcome"), [("approve", "succeeded"), ("reject", "rejected"), ("", "not_answered")]
)
def test_a_served_page_decides_the_run_and_the_rehearsal_goes_on(decision: str, outcome: str) -> None:
    visitor = Visitor(decision)
    fleet = read_fleet(WINDOW.format(parameters="", policy="", expect="", window="", more=""), Path("served.yaml"))
    rehearsed = rehearse(fleet, serving=Serving(visitor.announce, patience=timedelta(seconds=30 if decision else 0)))
    assert the_run(rehearsed).outcome == outcome
    if decision:
        assert visitor.statuses == [200, 200]
        assert "web-1" in visitor.page
        assert visitor.said[-1] == "Decided: the rehearsal goes on."
    else:
        assert visitor.said[-1] == "Nobody came: the rehearsal goes on without an answer."


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("instances: [{name: web}]", [], "the fleet file has no window and no runs"),
        ("{instances: [{name: web}], window: {}}", ["--port", "{taken}"], "Address already in use"),
    ],
    ids=["nobody is asked", "port taken"],
)
def test_a_page_that_cannot_be_served_is_refused_at_once(
    tmp_path: Path, text: str, arguments: list[str], said: str
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(text)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = [argument.format(taken=taken.getsockname()[1]) for argument in arguments]
        result = CliRunner().invoke(app, ["rehearse", "--serve-approval", *given, str(path)], env={"COLUMNS": "200"})
    assert said in result.stderr
    assert result.exit_code == 2


def test_the_command_ends_cleanly_when_somebody_interrupts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rehearsal.play.serve.Server.pump", interrupt)
    path = tmp_path / "fleet.yaml"
    path.write_text(WINDOW.format(parameters="", policy="", expect="", window="", more=""))
    result = CliRunner().invoke(app, ["rehearse", "--serve-approval", str(path)], env={"TERM": "dumb"})
    assert re.search(r"^http://127\.0\.0\.1:\d+/\?run=\S+&key=\S+$", result.output, re.MULTILINE)
    assert "Ended before its time" in result.output
    assert result.exit_code == 130


def test_a_window_whose_only_target_was_replaced_is_refused_with_what_to_do_and_is_no_success() -> None:
    text = """
parameters: {TimeZone: UTC}
instances: [{name: successor, missing: 3, expect: {outcome: none}}]
window:
  targets: [[{key: InstanceIds, values: [i-0123456789abcdef0]}]]
  executions: [{expect: {outcome: refused, error: PlanRefusedError}}]
"""
    outcome = rehearse(read_fleet(text, Path("replaced.yaml")))

    assert problems(outcome) == []
    [message] = outcome.messages
    assert "nothing is left of the targets: i-0123456789abcdef0" in message.said
    assert "Look tomorrow: " in message.said


def test_a_window_that_opens_again_before_it_closes_is_said_in_the_plan() -> None:
    text = """
parameters: {WindowSchedule: rate(30 minutes), WindowDurationHours: 2, WindowTargetTagKey: Fleet,
  WindowTargetTagValue: web}
policy: {backup: {before: {take: false}, after: {take: false}}}
instances:
  - {name: web, missing: 1, tags: {Fleet: web}, expect: {outcome: succeeded}}
window: {executions: [{expect: {outcome: succeeded}}]}
"""
    outcome = rehearse(read_fleet(text, Path("often.yaml")))

    assert problems(outcome) == []
    (schedule,) = the_run(outcome).plan["needs"]
    assert "before it closes" in schedule
    assert "its schedule is shorter than it lasts" in schedule
