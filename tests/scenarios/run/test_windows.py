"""Runs that a maintenance window starts: its targets, its end, and what happens when windows and runs collide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from rehearsal.world.fleet import MachineSpec
from tests.scenarios.machine.scenario import assert_untouched
from tests.scenarios.run.scenario import QUICKLY, RunScenario, assert_patched, let_a_month_pass, run_scenario
from tests.scenarios.run.windows import INPUT, Window, a_window


@pytest.fixture(scope="module")
def scene() -> Iterator[RunScenario]:
    """An account whose windows are those that the tests make."""
    with run_scenario() as opened:
        opened.settings(QUICKLY)
        yield opened


def test_a_window_starts_one_run_for_all_of_its_machines(scene: RunScenario) -> None:
    machines = scene.machines("nightly", 3)
    window = a_window(scene, "nightly")

    run = scene.window(window.window_id)

    (execution,) = window.executions
    assert run.run_id == execution.execution_id
    assert (run.status, run.outcome) == ("SUCCEEDED", "succeeded")
    assert execution.status == "SUCCESS"
    assert run.plan["window"]["name"] == "nightly"
    assert run.summary.subject == "Drydock: all 3 machines patched (window nightly)"
    assert f"Started by maintenance window nightly ({window.window_id})" in run.summary.said
    assert "Inside the window: yes" in run.summary.said
    assert_patched(scene, *machines)


def test_the_window_ends_its_duration_after_its_start_and_begins_nothing_after_its_cutoff(scene: RunScenario) -> None:
    machines = scene.machines("cutoff", 7)
    window = a_window(scene, "cutoff", Duration=2, Cutoff=1)

    run = scene.window(window.window_id)

    started = window.executions[0].started
    ends = started + timedelta(hours=2)
    assert run.plan["window"]["start"] == f"{started:%Y-%m-%dT%H:%M:%S.}{started.microsecond // 1000:03}Z"
    assert run.plan["window"]["end"] == run.plan["end"] == f"{ends:%Y-%m-%dT%H:%M:%S.}{ends.microsecond // 1000:03}Z"
    done = [name for name, outcome in run.outcomes.items() if outcome == "succeeded"]
    assert done == ["cutoff-1", "cutoff-2", "cutoff-3", "cutoff-4"]
    assert max(run.began.values()) < started + timedelta(hours=1) < max(run.ended.values())
    assert (run.outcome, run.status) == ("incomplete", "FAILED")
    assert set(run.errors.values()) == {"DeadlineReachedError"}
    assert_patched(scene, *machines[:4])
    for machine in machines[4:]:
        assert_untouched(scene, machine)


def test_no_machine_begins_that_would_not_be_given_back_before_the_window_ends(scene: RunScenario) -> None:
    machines = scene.machines("end", 5)
    known = scene.run("end", QUICKLY)
    let_a_month_pass(*machines)
    window = a_window(scene, "end", Duration=1, Cutoff=0)

    run = scene.window(window.window_id)

    assert {machine["basis"] for machine in run.plan["machines"]} == {"own history"}
    assert {machine["basis"] for machine in known.plan["machines"]} == {"guess"}
    assert list(run.outcomes.values()) == ["succeeded"] * 3 + ["not_attempted"] * 2
    assert "the run has to end at" in run.causes["end-4"]
    assert run.report["insideWindow"] is True
    assert max(run.ended.values()) <= window.executions[0].started + timedelta(hours=1)


def test_the_deadline_of_the_policy_may_be_earlier_than_the_end_of_the_window(scene: RunScenario) -> None:
    scene.machines("hurry", 3)
    window = a_window(scene, "hurry", Duration=4)
    scene.settings({**QUICKLY, "deadlineMinutes": 25})

    run = scene.window(window.window_id)

    scene.settings(QUICKLY)
    assert list(run.outcomes.values()) == ["succeeded", "not_attempted", "not_attempted"]


# Targets.


def test_a_run_of_a_window_is_about_all_targets_that_are_registered_with_it(scene: RunScenario) -> None:
    by_id = scene.machine("by-id")
    scene.machine("by-tags", tags={"Tier": "web", "Stage": "live"})
    scene.machine("not-by-one-tag", tags={"Tier": "web", "Stage": "test"})
    scene.machine("by-key", tags={"Nightly": ""})
    scene.machine("by-group", tags={"Service": "shop"})
    scene.machine("twice", tags={"Service": "shop", "Nightly": ""})
    scene.fleet.add_group("shop-asg", [MachineSpec(name="of-asg-1"), MachineSpec(name="of-asg-2")], min=1)
    scene.fleet.add_resource_group("shop", tags={"Service": "shop"})
    window = Window(scene, "united")
    window.target(("InstanceIds", [by_id.instance_id]))
    window.target(("tag:Tier", ["web"]), ("tag:Stage", ["live"]))
    window.target(("tag-key", ["Nightly"]))
    window.target(("resource-groups:Name", ["shop"]), kind="RESOURCE_GROUP")
    window.target(("tag:aws:autoscaling:groupName", ["shop-asg"]))
    window.attach()

    run = scene.window(window.window_id)

    assert sorted(run.outcomes) == ["by-group", "by-id", "by-key", "by-tags", "of-asg-1", "of-asg-2", "twice"]
    # Nothing is missing on the members of the group.
    assert {name for name, outcome in run.outcomes.items() if outcome == "already_compliant"} == {
        "of-asg-1",
        "of-asg-2",
    }
    assert set(run.outcomes.values()) == {"succeeded", "already_compliant"}
    assert run.left_out == {}
    assert run.plan["warnings"] == []


def test_a_window_without_targets_patches_nothing_and_says_so(scene: RunScenario) -> None:
    (machine,) = scene.machines("aimless", 1)
    window = Window(scene, "aimless")
    window.attach()

    run = scene.window(window.window_id)

    assert (run.status, run.outcome) == ("SUCCEEDED", "nothing_to_do")
    assert "no targets are registered with the window" in run.summary.said
    assert_untouched(scene, machine)


def test_a_target_that_drydock_does_not_understand_is_left_aside_with_a_warning(scene: RunScenario) -> None:
    scene.machines("partly", 1)
    window = a_window(scene, "partly")
    window.target(("InstanceIds", ["db-main"]), name="databases")

    run = scene.window(window.window_id)

    assert run.outcomes == {"partly-1": "succeeded"}
    (warning,) = run.plan["warnings"]
    assert warning.startswith("target databases of the window is left aside: ")
    assert "databases" in run.summary.said


# What else is in the window.


def test_a_window_that_still_patches_by_itself_is_warned_about(scene: RunScenario) -> None:
    scene.machines("double", 1)
    window = Window(scene, "double")
    target = window.target(("tag:Patch Group", ["double"]))
    window.attach()
    window.ssm.register_task_with_maintenance_window(
        WindowId=window.window_id,
        Name="PatchAsBefore",
        TaskType="RUN_COMMAND",
        TaskArn="AWS-RunPatchBaseline",
        Targets=[{"Key": "WindowTargetIds", "Values": [target]}],
        MaxConcurrency="1",
        MaxErrors="1",
        Priority=10,
    )

    run = scene.window(window.window_id)

    (warning,) = run.plan["warnings"]
    assert warning.startswith("task PatchAsBefore of the window runs AWS-RunPatchBaseline itself")
    assert "PatchAsBefore" in run.summary.said


def test_a_task_with_targets_starts_drydock_for_each_of_them_and_only_the_first_run_works(scene: RunScenario) -> None:
    machines = scene.machines("aimed", 3)
    window = Window(scene, "aimed")
    target = window.target(("tag:Patch Group", ["aimed"]))
    window.attach(
        TaskInvocationParameters={"StepFunctions": {"Input": INPUT}},
        Targets=[{"Key": "WindowTargetIds", "Values": [target]}],
        MaxConcurrency="3",
        MaxErrors="3",
    )

    first = scene.window(window.window_id)

    arns = [one.execution for task in window.executions[0].tasks for one in task.invocations]
    runs = [scene.view(arn) for arn in arns if arn is not None]
    assert len(runs) == 3
    assert sorted(len(run.children) for run in runs)[-1] >= 1
    assert sum(run.report["counts"]["succeeded"] for run in runs if run.report) == 3
    assert any("has targets" in warning for run in runs for warning in run.plan.get("warnings", [])), first.plan
    assert_patched(scene, *machines)


# Windows that do not start anything.


def test_an_input_that_grows_too_long_starts_no_run_and_people_are_told(scene: RunScenario) -> None:
    (machine,) = scene.machines("long", 1)
    window = Window(scene, "long")
    window.target(("tag:Patch Group", ["long"]))
    # AWS takes 4,096 characters; the ids that it puts in make them more.
    window.attach(INPUT.replace("Install", "Install" + "l" * (4090 - len(INPUT))))
    before = len(scene.messages)

    scene.account.windows.run_next(window.window_id)
    scene.settle()

    assert window.executions[0].status == "FAILED"
    (message,) = scene.messages[before:]
    assert message.attributes["kind"] == "window"
    assert "maintenance window long" in message.said
    assert "could not start a run" in message.said
    assert "longer than 4096" in message.said
    assert_untouched(scene, machine)


def test_an_input_of_a_window_that_is_wrong_is_refused_and_told_once(scene: RunScenario) -> None:
    (machine,) = scene.machines("wrong", 1)
    window = Window(scene, "wrong")
    window.target(("tag:Patch Group", ["wrong"]))
    window.attach(INPUT.replace("Install", "Instal"))

    run = scene.window(window.window_id)

    assert (run.status, run.outcome) == ("FAILED", "refused")
    assert "input.operations[0]: 'Instal'" in run.summary.said
    assert run.messages == [run.summary]
    assert_untouched(scene, machine)


def test_a_role_that_may_not_start_drydock_is_told(scene: RunScenario) -> None:
    window = Window(scene, "no-role")
    window.target(("tag:Patch Group", ["no-role"]))
    window.attach(ServiceRoleArn="arn:aws:iam::123456789012:role/nobody")
    before = len(scene.messages)

    scene.account.windows.run_next(window.window_id)
    scene.settle()

    (message,) = scene.messages[before:]
    assert "could not start a run" in message.said


def test_a_window_that_starts_something_else_is_nobodys_business(scene: RunScenario) -> None:
    window = Window(scene, "others")
    window.attach(TaskArn="arn:aws:states:ap-northeast-1:123456789012:stateMachine:theirs")
    before = len(scene.messages)

    scene.account.windows.run_next(window.window_id)
    scene.settle()

    assert window.executions[0].status == "FAILED"
    assert scene.messages[before:] == []


# One window after another.


def test_a_window_that_opens_again_takes_first_what_it_did_not_come_to_last_time(scene: RunScenario) -> None:
    machines = scene.machines("weekly", 5)
    opens = scene.account.clock.now() + timedelta(hours=1)
    window = a_window(
        scene,
        "weekly",
        Schedule="rate(7 days)",
        StartDate=opens.isoformat(timespec="seconds"),
        EndDate=(opens + timedelta(days=10)).isoformat(timespec="seconds"),
        Duration=1,
    )
    first = scene.window(window.window_id)
    assert list(first.outcomes.values()) == ["succeeded"] * 3 + ["not_attempted"] * 2

    second = scene.window(window.window_id)

    assert second.planned[:2] == ["weekly-4", "weekly-5"]
    assert [machine["basis"] for machine in second.plan["machines"]] == [*["patch group"] * 2, *["own history"] * 3]
    assert second.outcomes["weekly-4"] == second.outcomes["weekly-5"] == "succeeded"
    assert second.plan["snapshotId"] != first.plan["snapshotId"]
    assert second.execution.started - first.execution.started >= timedelta(days=6)
    assert_patched(scene, *machines)


def test_two_windows_that_open_together_over_one_fleet_do_every_machine_once(scene: RunScenario) -> None:
    machines = scene.machines("shared", 4)
    windows = [Window(scene, name) for name in ("left", "right")]
    for window in windows:
        window.target(("tag:Patch Group", ["shared"]))
        window.attach()

    scene.start_window(windows[0].window_id)
    scene.settle()

    arns = [one.execution for window in windows for one in window.executions[0].tasks[0].invocations]
    runs = [scene.view(arn) for arn in arns if arn is not None]
    assert [run.status for run in runs] == ["SUCCEEDED", "SUCCEEDED"]
    assert sum(run.report["counts"]["succeeded"] for run in runs) == 4
    installs = [
        sum(
            command.parameters.get("Operation") == "Install"
            for command in scene.fleet.run_command.list_visible(None, machine.instance_id)
        )
        for machine in machines
    ]
    assert installs == [1, 1, 1, 1]
    assert_patched(scene, *machines)


ASKING: Mapping[str, Any] = {**QUICKLY, "approval": {"required": True, "seconds": 7200}}


def open_twice(scene: RunScenario) -> Window:
    """A window that opens every hour, twice, and whose first run waits for approval when it opens again."""
    scene.approvers("anna")
    scene.settings(ASKING)
    opens = scene.account.clock.now() + timedelta(minutes=30)
    window = a_window(
        scene,
        "hourly",
        Schedule="rate(1 hour)",
        StartDate=opens.isoformat(timespec="seconds"),
        EndDate=(opens + timedelta(minutes=90)).isoformat(timespec="seconds"),
        Duration=1,
    )
    scene.start_window(window.window_id)
    scene.settle()
    scene.settings(QUICKLY)
    return window


def test_a_window_that_waits_for_its_last_run_is_skipped_and_people_are_told(scene: RunScenario) -> None:
    scene.machines("hourly", 1)
    before = len(scene.messages)

    window = open_twice(scene)

    assert [one.status for one in window.executions] == ["FAILED", "SKIPPED_OVERLAPPING"]
    run_id = window.executions[0].execution_id
    told = [message for message in scene.messages[before:] if message.attributes.get("kind") == "window"]
    assert len(told) == 1
    assert "hourly" in told[0].said
    assert run_id in told[0].said
    assert told[0].attributes["run"] == run_id, "once for the run, however often the window opens meanwhile"
    arn = window.executions[0].tasks[0].invocations[0].execution
    assert arn is not None
    assert scene.view(arn).outcome == "not_answered"
