"""The stack's own window, with the template's parameters: when it starts runs, and when it starts none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.scenarios.machine.scenario import assert_untouched
from tests.scenarios.run.scenario import QUICKLY, RunScenario, assert_patched, run_scenario

TOKYO = ZoneInfo("Asia/Tokyo")
NEW_YORK = ZoneInfo("America/New_York")
ON = {"ScheduleEnabled": "true"}


@contextmanager
def scheduled(parameters: Mapping[str, str] | None = None, **options: Any) -> Iterator[RunScenario]:
    """An account whose stack has a window, switched on."""
    with run_scenario(parameters={**ON, **(parameters or {})}, **options) as scene:
        scene.settings(QUICKLY)
        yield scene


def test_by_default_the_window_opens_on_sundays_at_two_for_two_hours_and_patches_what_wants_it() -> None:
    with scheduled() as scene:
        wanted = scene.machine("wanted", tags={"WinUpdate": "ON"})
        other = scene.machine("other", tags={"WinUpdate": "OFF"})

        run = scene.window()

        started = run.execution.started.astimezone(TOKYO)
        assert f"{started:%A %Y-%m-%d %H:%M}" == "Sunday 2026-01-18 02:00"
        assert run.plan["window"]["name"] == "drydock-MaintenanceWindow"
        assert run.outcomes == {"wanted": "succeeded"}
        assert "(until 2026-01-18 04:00)" in run.summary.said
        assert_patched(scene, wanted)
        assert_untouched(scene, other)


def test_until_the_schedule_is_enabled_the_window_starts_nothing() -> None:
    with run_scenario() as scene:
        machine = scene.machine("asleep", tags={"WinUpdate": "ON"})

        execution_id = scene.account.windows.run_next(scene.stack.outputs["MaintenanceWindowId"])
        scene.settle()

        assert scene.account.windows.find_execution(execution_id).tasks == []
        assert [one for one in scene.account.executions() if "MaintenanceRun" in one.machine] == []
        assert scene.messages == []
        assert_untouched(scene, machine)


def test_patch_tuesday_in_japan_is_the_day_after_the_second_tuesday() -> None:
    # April 2026 begins on a Wednesday: the second Wednesday is the 8th, a week too early.
    start = datetime(2026, 4, 1, tzinfo=TOKYO)
    parameters = {"WindowSchedule": "cron(0 22 ? * TUE#2 *)", "WindowScheduleOffsetDays": "1"}
    with scheduled(parameters, start=start) as scene:
        scene.machine("japan", tags={"WinUpdate": "ON"})

        run = scene.window()

        assert f"{run.execution.started.astimezone(TOKYO):%A %Y-%m-%d %H:%M}" == "Wednesday 2026-04-15 22:00"
        assert run.outcome == "succeeded"


@pytest.mark.parametrize(
    ("start", "begins", "ends"),
    [
        pytest.param(datetime(2026, 3, 5, tzinfo=NEW_YORK), "2026-03-08 01:00", "2026-03-08 06:00", id="spring"),
        # One o'clock comes twice in that night.
        pytest.param(
            datetime(2026, 10, 29, tzinfo=NEW_YORK), "2026-11-01 01:00 -04:00", "2026-11-01 04:00", id="autumn"
        ),
    ],
)
def test_a_window_over_the_change_of_the_clocks_is_open_for_its_full_duration(
    start: datetime, begins: str, ends: str
) -> None:
    parameters = {
        "TimeZone": "America/New_York",
        "WindowSchedule": "cron(0 1 ? * SUN *)",
        "WindowDurationHours": "4",
    }
    with scheduled(parameters, start=start) as scene:
        machine = scene.machine("clock", tags={"WinUpdate": "ON"})

        run = scene.window()

        opened = datetime.fromisoformat(run.plan["window"]["start"])
        assert datetime.fromisoformat(run.plan["end"]) - opened == timedelta(hours=4)
        assert f"From {begins} to" in run.summary.said
        assert f"until {ends})" in run.summary.said
        assert run.report["insideWindow"] is True
        assert_patched(scene, machine)


def test_a_window_by_local_time_opens_at_the_same_hour_in_winter_and_in_summer() -> None:
    start = datetime(2026, 3, 2, tzinfo=NEW_YORK)
    parameters = {"TimeZone": "America/New_York", "WindowSchedule": "cron(0 4 ? * SUN *)"}
    with scheduled(parameters, start=start) as scene:
        scene.machine("local", tags={"WinUpdate": "ON"})

        runs = [scene.window(), scene.window()]

        opened = [run.execution.started for run in runs]
        assert [f"{one.astimezone(NEW_YORK):%m-%d %H:%M}" for one in opened] == ["03-08 04:00", "03-15 04:00"]
        assert [one.utcoffset() for one in opened] == [timedelta(0)] * 2


def test_the_windows_parameters_say_when_how_long_and_which_machines() -> None:
    parameters = {
        "WindowName": "shop-nights",
        "WindowSchedule": "rate(2 days)",
        "WindowStartDate": "2026-02-03T22:30:00+09:00",
        "WindowDurationHours": "3",
        "WindowCutoffHours": "1",
        "WindowTargetTagKey": "Patch Group",
        "WindowTargetTagValue": "shop",
    }
    with scheduled(parameters) as scene:
        (machine,) = scene.machines("shop", 1)

        run = scene.window()

        opened = datetime.fromisoformat(run.plan["window"]["start"])
        assert opened >= datetime.fromisoformat("2026-02-03T22:30:00+09:00")
        assert run.plan["window"]["name"] == "shop-nights"
        assert datetime.fromisoformat(run.plan["end"]) - opened == timedelta(hours=3)
        assert datetime.fromisoformat(run.plan["lastAdmission"]) - opened == timedelta(hours=2)
        assert_patched(scene, machine)


def test_a_window_that_does_not_wait_starts_a_run_that_gives_way_to_the_last_one() -> None:
    parameters = {
        "WindowSchedule": "rate(1 hour)",
        "WindowDurationHours": "1",
        "WindowEndDate": "2026-01-13T02:30:00+09:00",
        "WindowStartDate": "2026-01-13T01:10:00+09:00",
    }
    with scheduled(parameters, window_waits=False) as scene:
        machine = scene.machine("busy", tags={"WinUpdate": "ON"})
        scene.approvers("anna")
        scene.settings({**QUICKLY, "approval": {"required": True, "seconds": 7200}})

        first_arn = scene.start_window()
        scene.settle()

        executions = scene.account.windows.executions
        assert [one.status for one in executions] == ["SUCCESS", "SUCCESS"]
        first = scene.view(first_arn)
        second_arn = executions[1].tasks[0].invocations[0].execution
        assert second_arn is not None
        second = scene.view(second_arn)
        assert (second.status, second.execution.error, second.outcome) == ("FAILED", "RunStillWorkingError", "refused")
        assert first.run_id in second.summary.said
        assert second.messages == [second.summary]
        assert first.outcome == "not_answered"
        assert_untouched(scene, machine)


def test_a_stack_with_a_guard_tag_leaves_out_what_does_not_bear_it() -> None:
    with run_scenario(parameters={"GuardTagKey": "Patchable"}) as guarded:
        with_tag = guarded.member("guarded", "with", tags={"Patchable": "true"})
        without = guarded.member("guarded", "without")

        run = guarded.run("guarded", QUICKLY)

        assert run.left_out == {"without": "InstanceNotPatchableError"}
        assert "Patchable = true" in run.report["leftOut"][0]["reason"]
        assert_patched(guarded, with_tag)
        assert_untouched(guarded, without)
