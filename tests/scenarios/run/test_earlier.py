"""Runs that go on from an earlier one: carry its plan out, take up what it left, or follow its success."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from rehearsal.world.gates import Calendar
from tests.scenarios.machine.scenario import assert_untouched
from tests.scenarios.run.scenario import (
    FAILING,
    QUICKLY,
    RunScenario,
    RunView,
    assert_patched,
    let_a_month_pass,
    run_scenario,
)

GUID = "0f1e2d3c-4b5a-4697-8877-66554433aabb"


@pytest.fixture(scope="module")
def scene() -> Iterator[RunScenario]:
    with run_scenario() as opened:
        opened.approvers("anna", "ben")
        yield opened


def let_days_pass(scene: RunScenario, days: float) -> None:
    """Jump over some days in which nothing happens."""
    end = scene.account.clock.now() + timedelta(days=days)
    # Days of sweeps that find nothing would take long.
    for timer in scene.account.bus._schedules.values():
        timer.cancel()
    scene.account.clock.call_at(end, lambda: None)
    scene.account.clock.run(until=lambda: scene.account.clock.now() >= end, limit=timedelta(days=days + 1))
    scene.account.bus.start_schedules()


def assert_refused(run: RunView, error: str, words: str) -> None:
    assert (run.status, run.execution.error, run.outcome) == ("FAILED", error, "refused")
    assert words in run.report["failure"]["cause"]
    assert words in run.summary.said
    assert run.children == []


# A plan, and carrying it out.


def test_a_run_that_only_plans_touches_nothing_and_shows_its_plan(scene: RunScenario) -> None:
    machines = scene.machines("only", 2)

    run = scene.run("only", {"approval": {"required": True}}, planOnly=True)

    assert (run.status, run.outcome) == ("SUCCEEDED", "planned")
    assert run.planned == ["only-1", "only-2"]
    assert "a plan for 2 machines was made and nothing was touched" in run.summary.said
    assert f"drydock run --plan {run.run_id}" in run.summary.said
    assert run.children == []
    assert run.outcomes == {"only-1": "not_attempted", "only-2": "not_attempted"}
    for machine in machines:
        assert_untouched(scene, machine)


def test_a_plan_that_was_only_made_puts_nobody_first_the_next_time(scene: RunScenario) -> None:
    scene.machines("polite", 2)
    scene.member("polite", "polite-0", tags={"DrydockExclude": "at first"})
    scene.run("polite", planOnly=True)
    scene.fleet.tags(scene.fleet.machines[-1].instance_id).pop("DrydockExclude")

    assert scene.run("polite", planOnly=True).planned == ["polite-0", "polite-1", "polite-2"]


def test_a_plan_is_carried_out_as_it_was_made_at_other_times(scene: RunScenario) -> None:
    machines = scene.machines("carry", 3)
    made = scene.run("carry", {**QUICKLY, "canary": {"count": 1}, "maxConcurrency": 2}, planOnly=True)
    late = scene.member("carry", "carry-4")
    let_days_pass(scene, 1)

    run = scene.run(None, plan=made.run_id)

    assert run.outcome == "succeeded"
    assert run.waves == made.waves == [["carry-1"], ["carry-2", "carry-3"]]
    assert run.plan["snapshotId"] == made.plan["snapshotId"]
    assert run.item["planHash"] == made.item["planHash"]
    assert run.plan["createdAt"] > made.plan["createdAt"]
    assert min(machine["startsAt"] for machine in run.plan["machines"]) >= run.plan["createdAt"]
    assert all(machine["fits"] for machine in run.plan["machines"])
    assert_patched(scene, *machines)
    assert_untouched(scene, late)


def test_a_plan_that_somebody_has_changed_is_not_carried_out(scene: RunScenario) -> None:
    machines = scene.machines("forged", 2)
    made = scene.run("forged", QUICKLY, planOnly=True)
    scene.change_object(made.item["planKey"], {"machines": made.plan["machines"][:1]})

    run = scene.run(None, plan=made.run_id)

    assert_refused(run, "PlanChangedError", "the stored plan is not the one that was made: its hash differs")
    for machine in machines:
        assert_untouched(scene, machine)


def test_a_plan_that_has_expired_is_not_carried_out(scene: RunScenario) -> None:
    (machine,) = scene.machines("stale", 1)
    made = scene.run("stale", QUICKLY, planOnly=True)
    let_days_pass(scene, 3.1)

    run = scene.run(None, plan=made.run_id)

    assert_refused(run, "PlanExpiredError", "its plan could be carried out until")
    assert_untouched(scene, machine)


def test_a_plan_whose_followed_snapshot_ends_before_the_run_does_is_not_carried_out(scene: RunScenario) -> None:
    scene.machines("proved", 1)
    (machine,) = scene.machines("outlived", 1)
    proved = scene.run("proved", QUICKLY)
    let_days_pass(scene, 2.9)
    made = scene.run("outlived", QUICKLY, planOnly=True, follows=proved.run_id)

    run = scene.run(None, plan=made.run_id)

    assert_refused(run, "PlanExpiredError", "would be older than three days before the last machine is done")
    assert_untouched(scene, machine)


def test_a_plan_that_was_carried_out_is_not_carried_out_again(scene: RunScenario) -> None:
    scene.machines("once", 1)
    done = scene.run("once", QUICKLY)

    run = scene.run(None, plan=done.run_id)

    assert_refused(run, "InvalidInputError", "was not only planned; use resume for what it left")


def test_a_plan_that_was_only_made_is_carried_out_once(scene: RunScenario) -> None:
    (machine,) = scene.machines("single", 1)
    made = scene.run("single", QUICKLY, planOnly=True)
    first = scene.run(None, plan=made.run_id)
    let_a_month_pass(machine)
    before = scene.commands(machine)

    second = scene.run(None, plan=made.run_id)

    assert first.outcome == "succeeded"
    assert_refused(second, "PlanCarriedOutError", f"run {first.run_id} has carried out its plan already")
    assert scene.commands(machine) == before


def test_of_two_runs_that_carry_out_one_plan_at_the_same_moment_one_does(scene: RunScenario) -> None:
    (machine,) = scene.machines("at-once", 1)
    made = scene.run("at-once", QUICKLY, planOnly=True)

    runs = [scene.start_run(None, plan=made.run_id) for _ in range(2)]
    scene.settle()

    first, second = sorted((scene.view(arn) for arn in runs), key=lambda run: run.outcome, reverse=True)
    assert (first.outcome, second.outcome) == ("succeeded", "refused")
    assert second.execution.error == "PlanCarriedOutError"
    assert_patched(scene, machine)


def test_a_plan_that_was_refused_can_be_carried_out_once_that_is_mended(scene: RunScenario) -> None:
    (machine,) = scene.machines("mended", 1)
    scene.account.calendars["lost"] = Calendar("DEFAULT_OPEN")
    made = scene.run("mended", {**QUICKLY, "gates": {"calendars": ["lost"]}}, planOnly=True)
    calendar = scene.account.calendars.pop("lost")
    refused = scene.run(None, plan=made.run_id)
    scene.account.calendars["lost"] = calendar

    run = scene.run(None, plan=made.run_id)

    assert refused.execution.error == "PlanRefusedError"
    assert run.outcome == "succeeded"
    assert_patched(scene, machine)


def test_a_plan_is_not_made_of_a_plan(scene: RunScenario) -> None:
    scene.machines("again", 1)
    made = scene.run("again", QUICKLY, planOnly=True)

    assert_refused(scene.run(None, plan=made.run_id, planOnly=True), "InvalidInputError", "input.planOnly")


def test_the_plan_of_a_run_that_still_works_is_nobodys_else(scene: RunScenario) -> None:
    machines = scene.machines("working", 2)
    arn = scene.start_run("working", QUICKLY)
    scene.run_until(arn, "Carry Out Wave", seconds=60)

    other = scene.run(None, resume=scene.view(arn).run_id)

    assert_refused(other, "InvalidInputError", "has not ended yet")
    assert scene.view(arn).outcome == "succeeded"
    assert_patched(scene, *machines)


def test_a_plan_that_is_changed_while_people_look_at_it_is_not_carried_out(scene: RunScenario) -> None:
    (machine,) = scene.machines("swapped", 1)
    arn = scene.start_run("swapped", {**QUICKLY, "approval": {"required": True}})
    scene.run_until(arn, "Ask For Approval", seconds=120)
    before = scene.view(arn)
    scene.change_object(before.item["planKey"], {"snapshotId": GUID})

    scene.decide(before.run_id)
    run = scene.view(arn, settle=True)

    assert_refused(run, "PlanChangedError", "plan")
    assert len(run.summaries) == 1
    assert_untouched(scene, machine)


def test_a_machine_that_somebody_adds_to_a_wave_behind_the_plan_is_not_patched(scene: RunScenario) -> None:
    (planned,) = scene.machines("wave-file", 1)
    stranger = scene.machine("stranger")
    arn = scene.start_run("wave-file", {**QUICKLY, "approval": {"required": True}})
    scene.run_until(arn, "Ask For Approval", seconds=120)
    before = scene.view(arn)
    item = {"instanceId": stranger.instance_id, "name": "stranger", "seconds": 600}
    scene.put_object(before.plan["waves"][0]["key"], [item])

    scene.decide(before.run_id)
    run = scene.view(arn, settle=True)

    assert_refused(run, "PlanChangedError", "the machines of wave 0 are not those of the plan")
    assert_untouched(scene, stranger)
    assert_untouched(scene, planned)


# Approval, as far as it depends on the plan.


@pytest.mark.parametrize(("machines", "asked"), [(2, False), (3, True)])
def test_only_a_plan_of_more_machines_than_the_threshold_needs_approval(
    scene: RunScenario, machines: int, asked: bool
) -> None:
    group = f"above-{machines}"
    scene.machines(group, machines)

    arn = scene.start_run(group, {**QUICKLY, "approval": {"above": 2, "seconds": 600}})
    run = scene.view(arn, settle=True)

    assert ("Ask For Approval" in scene.states(arn)) is asked
    assert run.outcome == ("not_answered" if asked else "succeeded")
    assert len(run.summaries) == 1


def test_a_plan_with_approval_is_asked_for_when_it_is_carried_out(scene: RunScenario) -> None:
    (machine,) = scene.machines("ask-late", 1)
    made = scene.run("ask-late", {**QUICKLY, "approval": {"required": True}}, planOnly=True)
    arn = scene.start_run(None, plan=made.run_id)
    scene.run_until(arn, "Ask For Approval", seconds=120)
    assert_untouched(scene, machine)

    status, _ = scene.decide(scene.view(arn).run_id)
    run = scene.view(arn, settle=True)

    assert status == 200
    assert run.outcome == "succeeded"
    assert run.report["approval"]["decisions"][0]["by"].endswith("user/anna")
    assert_patched(scene, machine)


def test_a_plan_that_was_approved_beforehand_is_carried_out_without_asking_again(scene: RunScenario) -> None:
    (machine,) = scene.machines("approved", 1)
    made = scene.run("approved", {**QUICKLY, "approval": {"required": True}}, planOnly=True)

    status, answer = scene.decide(made.run_id)
    run = scene.run(None, plan=made.run_id)

    assert status == 200, answer
    assert run.outcome == "succeeded"
    assert "Ask For Approval" not in scene.states(run.arn)
    assert_patched(scene, machine)


@pytest.fixture
def stricter(scene: RunScenario) -> Iterator[RunScenario]:
    """The account's settings are made stricter in the test, and taken back after it."""
    yield scene
    scene.settings(None)
    scene.approvers("anna", "ben")


@pytest.mark.parametrize(
    "settings", [{"approval": {"required": True}}, {"approval": {"above": 1}}], ids=["required", "above"]
)
def test_a_plan_needs_the_approval_that_the_settings_ask_for_since(
    stricter: RunScenario, settings: dict[str, object]
) -> None:
    group = f"since-{next(iter(settings['approval']))}"  # type: ignore[call-overload]
    machines = stricter.machines(group, 2)
    made = stricter.run(group, QUICKLY, planOnly=True)
    stricter.settings(settings)

    run = stricter.run(None, plan=made.run_id)

    assert run.outcome == "not_answered"
    for machine in machines:
        assert_untouched(stricter, machine)


def test_a_plan_minds_the_gates_that_the_settings_have_since(stricter: RunScenario) -> None:
    (machine,) = stricter.machines("gated", 1)
    made = stricter.run("gated", QUICKLY, planOnly=True)
    stricter.account.calendars["freeze"] = Calendar("DEFAULT_CLOSED")
    stricter.settings({"gates": {"calendars": ["freeze"]}})

    run = stricter.run(None, plan=made.run_id)

    assert run.plan["policy"]["gates"]["calendars"] == ["freeze"]
    assert run.report["closed"]["error"] == "CalendarClosedError"
    assert_untouched(stricter, machine)


def test_an_approval_counts_by_the_approvers_and_the_settings_of_now(stricter: RunScenario) -> None:
    asked = {**QUICKLY, "approval": {"required": True}}
    for group in ("fewer", "left"):
        stricter.machines(group, 1)
    plans = {group: stricter.run(group, asked, planOnly=True) for group in ("fewer", "left")}
    for made in plans.values():
        assert stricter.decide(made.run_id)[0] == 200

    stricter.settings({"approval": {"minApprovals": 2}})
    too_few = stricter.run(None, plan=plans["fewer"].run_id)
    stricter.settings("{}")
    stricter.approvers("ben")
    not_any_more = stricter.run(None, plan=plans["left"].run_id)

    assert (too_few.outcome, not_any_more.outcome) == ("not_answered", "not_answered")


def test_what_a_run_left_is_held_against_the_settings_of_now(stricter: RunScenario) -> None:
    first = leave_some(stricter, "strict-rest")
    stricter.settings({"approval": {"required": True}, "gates": {"alarms": []}})

    run = stricter.run(None, resume=first.run_id)

    assert run.plan["policy"]["approval"]["required"]
    assert run.outcome == "not_answered"


# Taking up what is left.


def leave_some(scene: RunScenario, group: str) -> RunView:
    """A run of four whose first fails, so that three are left."""
    scene.member(group, f"{group}-1", **FAILING)
    for number in (2, 3, 4):
        scene.member(group, f"{group}-{number}")
    return scene.run(group, {**QUICKLY, "canary": {"count": 1}})


def test_what_a_run_left_is_taken_up_with_its_snapshot_and_without_another_canary(scene: RunScenario) -> None:
    scene.member("rest", "rest-1")
    scene.member("rest", "rest-2", **FAILING)
    for number in (3, 4):
        scene.member("rest", f"rest-{number}")
    first = scene.run("rest", {**QUICKLY, "canary": {"count": 1}})
    new = scene.member("rest", "rest-5")
    let_days_pass(scene, 2)

    run = scene.run(None, resume=first.run_id)

    assert run.outcomes == {"rest-3": "succeeded", "rest-4": "succeeded"}
    assert run.plan["snapshotId"] == first.plan["snapshotId"]
    assert [wave["isCanary"] for wave in run.plan["waves"]] == [False]
    assert run.plan["resumes"] == first.run_id
    assert f"Takes up what run {first.run_id} left" in run.summary.said
    assert run.plan["warnings"] == []
    assert_untouched(scene, new)


def test_what_a_run_left_whose_canary_failed_is_taken_up_with_a_new_canary(scene: RunScenario) -> None:
    first = leave_some(scene, "unproved")

    run = scene.run(None, resume=first.run_id)

    assert run.plan["snapshotId"] == first.plan["snapshotId"]
    assert run.waves == [["unproved-2"], ["unproved-3", "unproved-4"]]
    assert [wave["isCanary"] for wave in run.plan["waves"]] == [True, False]


def test_a_rest_that_is_older_than_the_snapshot_begins_anew_with_a_canary_and_says_so(scene: RunScenario) -> None:
    first = leave_some(scene, "old")
    let_days_pass(scene, 3.1)

    run = scene.run(None, resume=first.run_id)

    assert run.outcome == "succeeded"
    assert run.plan["snapshotId"] != first.plan["snapshotId"]
    assert run.waves == [["old-2"], ["old-3", "old-4"]]
    assert [wave["isCanary"] for wave in run.plan["waves"]] == [True, False]
    (warning,) = run.plan["warnings"]
    assert "is older than three days: this run begins anew" in warning
    assert "with a new canary" in run.summary.said


def test_the_age_of_a_snapshot_counts_from_the_first_run_that_had_it(scene: RunScenario) -> None:
    first = leave_some(scene, "chain")
    let_days_pass(scene, 2)
    scene.account.calendars["shut"] = Calendar("DEFAULT_CLOSED")
    second = scene.run(None, {"gates": {"calendars": ["shut"]}}, resume=first.run_id)
    let_days_pass(scene, 1.5)

    third = scene.run(None, {"gates": {"calendars": []}}, resume=second.run_id)

    assert second.plan["snapshotId"] == first.plan["snapshotId"]
    assert third.plan["snapshotId"] != first.plan["snapshotId"]
    assert third.outcome == "succeeded"


def test_a_rest_is_taken_up_by_another_policy_when_the_input_says_so(scene: RunScenario) -> None:
    first = leave_some(scene, "faster")

    run = scene.run(None, {"maxConcurrency": 3, "canary": {"count": 0}}, resume=first.run_id)

    assert run.plan["policy"]["maxConcurrency"] == 3
    assert run.plan["policy"]["backup"] == first.plan["policy"]["backup"]
    assert run.most_in_work == 3


def test_a_run_that_left_nothing_has_nothing_to_take_up(scene: RunScenario) -> None:
    scene.machines("all", 1)
    done = scene.run("all", QUICKLY)

    run = scene.run(None, resume=done.run_id)

    assert_refused(run, "InvalidInputError", "left no machine over")


def test_what_has_been_done_in_the_meantime_is_not_done_again(scene: RunScenario) -> None:
    first = leave_some(scene, "meantime")
    machines = {machine.name: machine for machine in scene.fleet.machines}
    scene.patch(machines["meantime-3"], QUICKLY)
    before = scene.commands(machines["meantime-3"])

    run = scene.run(None, resume=first.run_id)

    assert run.outcomes == {"meantime-2": "succeeded", "meantime-4": "succeeded"}
    assert run.left_out == {"meantime-3": "InstanceDoneError"}
    assert scene.commands(machines["meantime-3"]) == before


# Following another run, and one snapshot for all.


def test_all_machines_of_a_run_get_the_patches_of_one_snapshot(scene: RunScenario) -> None:
    machines = scene.machines("one", 3)

    run = scene.run("one", QUICKLY)

    assert [scene.snapshots(machine) for machine in machines] == [{run.plan["snapshotId"]}] * 3


def test_a_snapshot_that_is_given_reaches_every_command(scene: RunScenario) -> None:
    machines = scene.machines("given", 2)

    run = scene.run("given", QUICKLY, snapshotId=GUID.upper())

    assert run.plan["snapshotId"] == GUID
    assert [scene.snapshots(machine) for machine in machines] == [{GUID}, {GUID}]


def test_a_run_that_follows_another_installs_what_that_one_has_proved(scene: RunScenario) -> None:
    scene.machines("staging", 1)
    (live,) = scene.machines("live", 1)
    proved = scene.run("staging", QUICKLY)
    let_days_pass(scene, 1)

    run = scene.run("live", QUICKLY, follows=proved.run_id)

    assert run.outcome == "succeeded"
    assert scene.snapshots(live) == {proved.plan["snapshotId"]}
    assert run.plan["follows"] == proved.run_id
    assert f"Follows run {proved.run_id}" in run.summary.said


def test_a_run_does_not_follow_one_that_failed(scene: RunScenario) -> None:
    scene.member("bad-staging", "bad-staging-1", **FAILING)
    (live,) = scene.machines("spared", 1)
    failed = scene.run("bad-staging", QUICKLY)

    run = scene.run("spared", QUICKLY, follows=failed.run_id)

    assert_refused(run, "InvalidInputError", f"run {failed.run_id} did not succeed: it is failed")
    assert_untouched(scene, live)


def test_a_run_that_follows_an_old_one_says_that_the_patches_are_others(scene: RunScenario) -> None:
    scene.machines("old-staging", 1)
    (live,) = scene.machines("much-later", 1)
    proved = scene.run("old-staging", QUICKLY)
    let_days_pass(scene, 3.1)

    run = scene.run("much-later", QUICKLY, follows=proved.run_id)

    assert run.outcome == "succeeded"
    assert scene.snapshots(live) == {run.plan["snapshotId"]} != {proved.plan["snapshotId"]}
    (warning,) = run.plan["warnings"]
    assert "is older than three days: this run begins anew" in warning
    assert "canary" not in warning


@pytest.mark.parametrize(("started_by", "told"), [("arn:aws:iam::123456789012:user/taro", 0), ("", 1)])
def test_a_plan_of_the_command_line_is_answered_there_and_mailed_to_nobody(
    scene: RunScenario, started_by: str, told: int
) -> None:
    tag = f"answered-{told}"
    scene.machines(tag, 1)
    given: dict[str, Any] = {"startedBy": started_by} if started_by else {}

    run = scene.run(tag, planOnly=True, **given)

    assert run.outcome == "planned"
    assert len([one for one in scene.messages if one.attributes.get("run") == run.run_id]) == told
