"""What keeps machines from beginning: deadlines, alarms, calendars, and people who stop a run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from rehearsal.world.fleet import Durations
from rehearsal.world.gates import Calendar
from tests.scenarios.machine.scenario import assert_untouched
from tests.scenarios.run.scenario import QUICKLY, RunScenario, assert_patched, let_a_month_pass, run_scenario


@pytest.fixture(scope="module")
def scene() -> Iterator[RunScenario]:
    with run_scenario() as opened:
        yield opened


# Deadlines.


def test_what_does_not_fit_before_the_deadline_is_not_begun_and_comes_first_the_next_time(scene: RunScenario) -> None:
    machines = scene.machines("late", 5)

    # Sixteen minutes each are expected, fifteen are taken.
    run = scene.run("late", {**QUICKLY, "whenCompliant": "proceed", "deadlineMinutes": 35})

    assert run.outcomes == {
        "late-1": "succeeded",
        "late-2": "succeeded",
        "late-3": "not_attempted",
        "late-4": "not_attempted",
        "late-5": "not_attempted",
    }
    assert (run.status, run.execution.error, run.outcome) == ("FAILED", "RunIncompleteError", "incomplete")
    assert set(run.errors.values()) == {"DeadlineReachedError"}
    assert (
        "it is expected to take 16 minutes (a guess), and the run has to end at 2026-01-13 01:35 +09:00"
        in run.causes["late-3"]
    )
    assert run.report["insideWindow"] is True
    assert "Look tomorrow: 3 of 5 machines not attempted" in run.summary.said
    assert "leave it to the next window, which takes these machines first" in run.summary.said
    for machine in machines[2:]:
        assert_untouched(scene, machine)

    let_a_month_pass(*machines[:2])
    again = scene.run("late", QUICKLY)

    assert again.planned[:3] == ["late-3", "late-4", "late-5"]
    assert_patched(scene, *machines)

    third = scene.run("late", planOnly=True)

    seconds = [machine["seconds"] for machine in third.plan["machines"]]
    assert seconds == sorted(seconds, reverse=True), "once done, nobody is first any more but those that take longest"


def test_the_plan_says_beforehand_what_will_not_fit(scene: RunScenario) -> None:
    scene.machines("fit", 4)

    run = scene.run("fit", {"deadlineMinutes": 70, "maxConcurrency": 1}, planOnly=True)

    assert [machine["fits"] for machine in run.plan["machines"]] == [True, True, False, False]


def test_a_short_machine_may_still_begin_when_a_long_one_does_not_fit_any_more(scene: RunScenario) -> None:
    scene.member("sizes", "sizes-1")
    long = scene.member("sizes", "sizes-2", durations=Durations(install=2400))
    scene.member("sizes", "sizes-3")
    scene.run("sizes", QUICKLY)

    run = scene.run("sizes", {**QUICKLY, "whenCompliant": "proceed", "deadlineMinutes": 40})

    assert run.outcomes == {"sizes-1": "succeeded", "sizes-2": "not_attempted", "sizes-3": "succeeded"}
    assert run.plan["machines"][0]["seconds"] > 2400
    assert run.report["closed"] is None
    assert scene.lease(long) is None


def test_the_time_of_a_machine_comes_from_nine_in_ten_of_its_own_past_runs(scene: RunScenario) -> None:
    machine = scene.member("past", "past-1")
    taken: list[int] = []
    for _ in range(4):
        let_a_month_pass(machine)
        run = scene.run("past", QUICKLY)
        (child,) = run.children
        assert child.stopped is not None
        taken.append(round((child.stopped - child.started).total_seconds()))

    plan = scene.run("past", planOnly=True).plan

    (planned,) = plan["machines"]
    assert planned["basis"] == "own history"
    assert abs(planned["seconds"] - max(taken)) <= 5, "of four, the 90th percentile is the longest"


def test_a_machine_without_a_past_takes_as_long_as_its_like(scene: RunScenario) -> None:
    scene.member("like", "like-1", durations=Durations(install=1800))
    first = scene.run("like", QUICKLY)
    scene.member("like", "like-2")

    plan = scene.run("like", planOnly=True).plan

    known, new = plan["machines"]
    assert (known["basis"], new["basis"]) == ("own history", "patch group")
    assert first.plan["machines"][0]["basis"] == "guess"
    assert new["seconds"] == known["seconds"] > 1800


def test_a_soak_that_outlasts_the_deadline_lets_nothing_begin_after_it(scene: RunScenario) -> None:
    scene.machines("long-soak", 2)

    run = scene.run("long-soak", {**QUICKLY, "canary": {"count": 1}, "soakMinutes": 60, "deadlineMinutes": 45})

    assert run.outcomes == {"long-soak-1": "succeeded", "long-soak-2": "not_attempted"}
    assert run.errors == {"long-soak-2": "DeadlineReachedError"}
    assert [machine["fits"] for machine in run.plan["machines"]] == [True, False]


def test_an_approval_that_comes_after_the_deadline_lets_nothing_begin(scene: RunScenario) -> None:
    scene.approvers("anna")
    (machine,) = scene.machines("too-late", 1)
    arn = scene.start_run("too-late", {**QUICKLY, "approval": {"required": True}, "deadlineMinutes": 15})
    scene.run_until(arn, "Ask For Approval", seconds=16 * 60)

    scene.decide(scene.view(arn).run_id)
    run = scene.view(arn, settle=True)

    assert run.status == "FAILED"
    assert run.outcomes == {"too-late-1": "not_attempted"}
    assert len(run.summaries) == 1
    assert_untouched(scene, machine)


# Alarms.


def put_alarm(scene: RunScenario, name: str) -> None:
    """An alarm in the account that is quiet."""
    scene.account.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="Shop",
        MetricName="Errors",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    scene.account.alarms.set_state(name, "OK")


def test_a_quiet_alarm_and_an_open_calendar_let_a_run_go_on(scene: RunScenario) -> None:
    put_alarm(scene, "quiet")
    scene.account.calendars["open"] = Calendar()
    machines = scene.machines("quiet", 2)

    run = scene.run("quiet", {**QUICKLY, "gates": {"alarms": ["quiet"], "calendars": ["open"]}})

    assert run.outcome == "succeeded"
    assert_patched(scene, *machines)


def test_an_alarm_between_two_machines_keeps_the_rest_from_beginning(scene: RunScenario) -> None:
    put_alarm(scene, "errors-5xx")
    machines = scene.machines("alarm", 3)
    arn = scene.start_run("alarm", {**QUICKLY, "gates": {"alarms": ["errors-5xx"]}})
    scene.run_until(arn, "Carry Out Wave", seconds=300)

    scene.account.alarms.set_state("errors-5xx", "ALARM")
    run = scene.view(arn, settle=True)

    assert run.outcomes == {"alarm-1": "succeeded", "alarm-2": "not_attempted", "alarm-3": "not_attempted"}
    assert run.outcome == "incomplete"
    assert set(run.errors.values()) == {"AlarmRingingError"}
    assert "alarm errors-5xx is in ALARM" in run.summary.said
    assert_patched(scene, machines[0])
    for machine in machines[1:]:
        assert_untouched(scene, machine)


def test_an_alarm_that_rang_in_between_keeps_a_closed_run_closed(scene: RunScenario) -> None:
    put_alarm(scene, "short")
    scene.machines("short", 3)
    arn = scene.start_run("short", {**QUICKLY, "gates": {"alarms": ["short"]}, "waveSize": 1})
    scene.run_until(arn, "Carry Out Wave", seconds=300)
    scene.account.alarms.set_state("short", "ALARM")
    scene.run_until(arn, "Summarise Run")
    scene.account.alarms.set_state("short", "OK")

    run = scene.view(arn, settle=True)

    assert list(run.outcomes.values()) == ["succeeded", "not_attempted", "not_attempted"]


def test_an_alarm_during_the_soak_keeps_the_next_wave_from_beginning(scene: RunScenario) -> None:
    put_alarm(scene, "canary-died")
    scene.machines("wave-alarm", 3)
    gates = {"alarms": ["canary-died"]}
    arn = scene.start_run("wave-alarm", {**QUICKLY, "gates": gates, "canary": {"count": 1}, "soakMinutes": 20})
    scene.run_until(arn, "Soak", seconds=300)

    scene.account.alarms.set_state("canary-died", "ALARM")
    run = scene.view(arn, settle=True)

    assert list(run.outcomes.values()) == ["succeeded", "not_attempted", "not_attempted"]
    assert set(run.errors.values()) == {"AlarmRingingError"}
    assert scene.states(arn).count("Carry Out Wave") == 1


def test_an_alarm_that_does_not_exist_protects_nobody_and_the_run_is_refused(scene: RunScenario) -> None:
    (machine,) = scene.machines("no-alarm", 1)

    run = scene.run("no-alarm", {**QUICKLY, "gates": {"alarms": ["misspelt"]}})

    assert (run.status, run.outcome) == ("FAILED", "refused")
    assert run.execution.error == "PlanRefusedError"
    assert "there is no alarm misspelt" in run.summary.said
    assert_untouched(scene, machine)


def test_an_alarm_that_is_deleted_after_the_plan_protects_nobody_and_keeps_machines_from_beginning(
    scene: RunScenario,
) -> None:
    put_alarm(scene, "deleted")
    machines = scene.machines("alarm-gone", 2)
    arn = scene.start_run("alarm-gone", {**QUICKLY, "gates": {"alarms": ["deleted"]}})
    scene.run_until(arn, "Carry Out Wave", seconds=300)

    scene.account.client("cloudwatch").delete_alarms(AlarmNames=["deleted"])
    run = scene.view(arn, settle=True)

    assert (run.status, run.outcome) == ("FAILED", "incomplete")
    assert run.outcomes == {"alarm-gone-1": "succeeded", "alarm-gone-2": "not_attempted"}
    assert run.errors == {"alarm-gone-2": "AlarmRingingError"}
    assert "there is no alarm deleted" in run.summary.said
    assert_patched(scene, machines[0])
    assert_untouched(scene, machines[1])


# Calendars.


def test_a_calendar_that_closes_in_the_middle_lets_what_is_in_work_finish_and_nothing_begin(
    scene: RunScenario,
) -> None:
    machines = scene.machines("freeze", 4)
    now = scene.account.clock.now()
    closes = now + timedelta(minutes=20)
    scene.account.calendars["year-end"] = Calendar(periods=[(closes, closes + timedelta(days=7))])

    run = scene.run("freeze", {**QUICKLY, "gates": {"calendars": ["year-end"]}})

    assert run.outcomes == {
        "freeze-1": "succeeded",
        "freeze-2": "succeeded",
        "freeze-3": "not_attempted",
        "freeze-4": "not_attempted",
    }
    assert set(run.errors.values()) == {"CalendarClosedError"}
    assert "Change Calendar year-end is closed until" in run.causes["freeze-3"]
    assert run.ended["freeze-2"] > closes
    assert_patched(scene, *machines[:2])


def test_a_calendar_that_is_closed_keeps_a_run_from_beginning(scene: RunScenario) -> None:
    (machine,) = scene.machines("closed", 1)
    scene.account.calendars["shut"] = Calendar("DEFAULT_CLOSED")

    run = scene.run("closed", {**QUICKLY, "gates": {"calendars": ["shut"]}})

    assert run.errors == {"closed-1": "CalendarClosedError"}
    assert_untouched(scene, machine)


UNREADABLE = [pytest.param(None, id="unknown"), pytest.param(Calendar(supported=False), id="unreadable")]


@pytest.mark.parametrize("calendar", UNREADABLE)
def test_a_run_whose_calendar_cannot_be_read_is_refused_and_told(
    scene: RunScenario, request: pytest.FixtureRequest, calendar: Calendar | None
) -> None:
    name = f"calendar-{request.node.callspec.id}"
    (machine,) = scene.machines(name, 1)
    if calendar is not None:
        scene.account.calendars[name] = calendar

    run = scene.run(name, {**QUICKLY, "gates": {"calendars": [name]}})

    assert (run.status, run.outcome) == ("FAILED", "refused")
    assert run.execution.error == "PlanRefusedError"
    assert name in run.summary.said
    assert_untouched(scene, machine)


@pytest.mark.parametrize("calendar", UNREADABLE)
def test_a_calendar_that_cannot_be_read_after_the_plan_keeps_machines_from_beginning_and_is_told(
    scene: RunScenario, request: pytest.FixtureRequest, calendar: Calendar | None
) -> None:
    name = f"calendar-later-{request.node.callspec.id}"
    machines = scene.machines(name, 2)
    scene.account.calendars[name] = Calendar()
    arn = scene.start_run(name, {**QUICKLY, "gates": {"calendars": [name]}})
    scene.run_until(arn, "Carry Out Wave", seconds=300)

    del scene.account.calendars[name]
    if calendar is not None:
        scene.account.calendars[name] = calendar
    run = scene.view(arn, settle=True)

    assert run.status == "FAILED"
    assert run.outcomes == {f"{name}-1": "succeeded", f"{name}-2": "not_attempted"}
    assert name in run.summary.said
    assert_patched(scene, machines[0])
    assert_untouched(scene, machines[1])


# People who stop a run.


def test_a_run_that_is_stopped_finishes_the_machine_in_work_and_begins_no_other(scene: RunScenario) -> None:
    machines = scene.machines("stop", 3, power="stopped")
    arn = scene.start_run("stop", QUICKLY)
    scene.run_until(arn, "Carry Out Wave", seconds=300)

    answer = scene.stop_run(scene.view(arn).run_id, "the shop opens early")
    run = scene.view(arn, settle=True)

    assert (answer["stopped"], answer["reason"]) == (True, "the shop opens early")
    assert (run.status, run.execution.error, run.outcome) == ("FAILED", "RunStoppedError", "stopped")
    assert run.outcomes == {"stop-1": "succeeded", "stop-2": "not_attempted", "stop-3": "not_attempted"}
    assert set(run.errors.values()) == {"RunStoppedError"}
    assert "the shop opens early" in run.summary.said
    assert run.messages == [run.summary]
    assert_patched(scene, machines[0], power="stopped")
    for machine in machines[1:]:
        assert_untouched(scene, machine)


def test_a_run_that_is_stopped_while_the_canary_soaks_begins_no_other_wave(scene: RunScenario) -> None:
    scene.machines("stop-soak", 2)
    arn = scene.start_run("stop-soak", {**QUICKLY, "canary": {"count": 1}, "soakMinutes": 30})
    scene.run_until(arn, "Soak", seconds=60)

    scene.stop_run(scene.view(arn).run_id)
    run = scene.view(arn, settle=True)

    assert run.outcome == "stopped"
    assert run.outcomes == {"stop-soak-1": "succeeded", "stop-soak-2": "not_attempted"}
    assert "somebody stopped it" in run.summary.said


def test_a_run_that_is_stopped_while_it_waits_for_approval_ends_at_once(scene: RunScenario) -> None:
    scene.approvers("anna")
    (machine,) = scene.machines("stop-ask", 1)
    arn = scene.start_run("stop-ask", {**QUICKLY, "approval": {"required": True}})
    scene.run_until(arn, "Ask For Approval", seconds=120)
    asked = scene.account.clock.now()

    scene.stop_run(scene.view(arn).run_id, "wrong week")
    run = scene.view(arn, settle=True)

    assert run.outcome == "stopped"
    assert run.outcomes == {"stop-ask-1": "not_attempted"}
    assert run.execution.stopped is not None
    assert run.execution.stopped - asked < timedelta(minutes=1)
    assert "wrong week" in run.summary.said
    assert len(run.summaries) == 1
    assert_untouched(scene, machine)


def test_a_run_that_has_ended_cannot_be_stopped(scene: RunScenario) -> None:
    scene.machines("over", 1)
    run = scene.run("over", QUICKLY)

    answer = scene.stop_run(run.run_id)

    assert answer == {"stopped": False, "reason": f"{run.run_id} has ended already: succeeded"}
    assert scene.view(run.arn).outcome == "succeeded"


def test_a_run_that_is_stopped_when_all_machines_are_in_work_has_done_all_and_succeeds(scene: RunScenario) -> None:
    machines = scene.machines("last", 2)
    arn = scene.start_run("last", {**QUICKLY, "maxConcurrency": 2})
    scene.run_until(arn, "Carry Out Wave", seconds=300)

    scene.stop_run(scene.view(arn).run_id)
    run = scene.view(arn, settle=True)

    assert (run.status, run.outcome) == ("SUCCEEDED", "succeeded")
    assert_patched(scene, *machines)


def test_two_people_who_stop_a_run_have_stopped_it_for_the_first_reason(scene: RunScenario) -> None:
    scene.machines("twice", 2)
    arn = scene.start_run("twice", QUICKLY)
    scene.run_until(arn, "Carry Out Wave", seconds=300)
    run_id = scene.view(arn).run_id

    answers: list[dict[str, Any]] = [scene.stop_run(run_id, "first"), scene.stop_run(run_id, "second")]

    assert [answer["reason"] for answer in answers] == ["first", "first"]
    assert scene.view(arn, settle=True).causes == {"twice-2": "first"}
