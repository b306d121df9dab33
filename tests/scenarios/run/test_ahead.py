"""Approve by day, patch by night: a window carries out the newest plan that was made for it, if it was approved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from rehearsal.engine.messages import Message
from rehearsal.world.gates import Calendar
from tests.scenarios.machine.scenario import assert_untouched
from tests.scenarios.run.scenario import (
    QUICKLY,
    RunScenario,
    RunView,
    assert_commands_never_overlap,
    assert_patched,
    let_a_month_pass,
    run_scenario,
)
from tests.scenarios.run.test_approved import change_document, replace_document
from tests.scenarios.run.test_earlier import let_days_pass
from tests.scenarios.run.windows import TOKYO, Window, a_window

AHEAD = {**QUICKLY, "approval": {"required": True, "seconds": 600, "ahead": 2}}


@pytest.fixture(scope="module")
def opened() -> Iterator[RunScenario]:
    with run_scenario() as found:
        found.approvers("anna", "ben")
        yield found


@pytest.fixture
def scene(opened: RunScenario) -> RunScenario:
    """The account as every test finds it: plans are approved two days ahead at the most."""
    opened.settings(AHEAD)
    opened.approvers("anna", "ben")
    return opened


def a_night(scene: RunScenario, name: str, hours: float = 12) -> Window:
    """A window that opens in so many hours, for the machines with `Patch Group` = its name."""
    opens = scene.account.clock.now().astimezone(TOKYO) + timedelta(hours=hours)
    return a_window(scene, name, Schedule=f"at({opens:%Y-%m-%dT%H:%M:%S})")


def plan(scene: RunScenario, window: Window, **policy: Any) -> RunView:
    """Somebody plans the next opening of a window, as `drydock plan --window` does."""
    given = {"window": {"windowId": window.window_id}, "planOnly": True, "policy": policy}
    return scene.view(scene.account.start_execution("MaintenanceRun", given), settle=True)


def said_in(message: Message) -> str:
    """The text of a message, however its lines are broken."""
    return " ".join(message.body.split())


def question(run: RunView) -> Message:
    """The one mail to the approvers."""
    (mail,) = [one for one in run.messages if one.attributes.get("kind") == "approval"]
    return mail


def assert_asked_anew(run: RunView, why: str) -> None:
    """People were asked when the window opened, and told why; nobody answered."""
    assert run.outcome == "not_answered"
    said = next(one for one in run.plan["warnings"] if one.startswith("people are asked now: "))
    assert why in said
    assert why in said_in(question(run))
    assert run.children == []


def test_a_plan_that_was_approved_by_day_is_carried_out_at_night_without_asking(scene: RunScenario) -> None:
    machines = scene.machines("calm", 3)
    window = a_night(scene, "calm")
    made = plan(scene, window, canary={"count": 1})
    assert scene.decide(made.run_id)[0] == 200

    run = scene.window(window.window_id)

    assert (made.outcome, run.outcome) == ("planned", "succeeded")
    assert "Ask For Approval" not in scene.states(run.arn)
    assert run.plan["carriesOut"] == made.run_id
    assert run.waves == made.waves == [["calm-1"], ["calm-2", "calm-3"]]
    assert f"carries out the plan of run {made.run_id}, approved by anna" in said_in(run.summary)
    assert scene.run_item(made.run_id)["carriedOutBy"] == run.run_id
    assert_patched(scene, *machines)


def test_the_mail_of_such_a_plan_says_when_it_is_carried_out_until_when_an_answer_counts_and_when_it_expires(
    scene: RunScenario,
) -> None:
    scene.machines("asked", 2)
    window = a_night(scene, "asked")

    made = plan(scene, window)

    mail = question(made)
    opens = made.plan["window"]["start"][:16].replace("T", " ")
    assert str(mail.subject).startswith("Drydock: answer until ")
    assert str(mail.subject).endswith("patch 2 machines, asked")
    assert "Drydock wants to patch 2 machines when window asked opens, " in said_in(mail)
    assert "without one, people are asked again when the window opens" in said_in(mail)
    assert "The plan expires 2026-" in said_in(mail)
    assert made.plan["machines"][0]["startsAt"] >= made.plan["window"]["start"]
    until = scene.run_item(made.run_id)["approval"]["until"]
    assert until[:16].replace("T", " ") == opens, "then the window looks whether it was approved"
    scene.window(window.window_id)


def test_on_the_first_night_nobody_has_planned_and_people_are_asked(scene: RunScenario) -> None:
    (machine,) = scene.machines("first", 1)

    run = scene.window(a_night(scene, "first", 1).window_id)

    assert_asked_anew(run, "no plan was made for this window")
    assert_untouched(scene, machine)


@pytest.mark.parametrize(
    ("decisions", "why"),
    [
        ([], "was not approved before it opened"),
        ([("anna", "reject")], "was rejected by anna"),
        ([("anna", "approve"), ("ben", "reject")], "was rejected by ben"),
    ],
    ids=["open", "rejected", "rejected after approved"],
)
def test_what_was_not_approved_or_not_for_long_is_asked_anew(
    scene: RunScenario, decisions: list[tuple[str, str]], why: str
) -> None:
    name = f"no-{len(decisions)}-{decisions[0][1] if decisions else 'answer'}"
    (machine,) = scene.machines(name, 1)
    window = a_night(scene, name)
    made = plan(scene, window)
    for by, decision in decisions:
        assert scene.decide(made.run_id, decision, by=by)[0] == 200

    run = scene.window(window.window_id)

    assert_asked_anew(run, f"the newest plan for this window, of run {made.run_id}, {why}")
    assert_untouched(scene, machine)


def test_two_who_approve_the_same_plan_approve_it_once(scene: RunScenario) -> None:
    (machine,) = scene.machines("twice", 1)
    window = a_night(scene, "twice")
    made = plan(scene, window)

    answers = [scene.decide(made.run_id, by=by) for by in ("anna", "ben")]
    run = scene.window(window.window_id)

    assert [status for status, _ in answers] == [200, 409]
    assert run.outcome == "succeeded"
    assert_patched(scene, machine)


@pytest.mark.parametrize("newer", ["open", "reject"])
def test_a_newer_plan_that_was_not_approved_cancels_the_approval_of_an_older_one(
    scene: RunScenario, newer: str
) -> None:
    (machine,) = scene.machines(f"newer-{newer}", 1)
    window = a_night(scene, f"newer-{newer}")
    older = plan(scene, window)
    scene.decide(older.run_id)
    made = plan(scene, window)
    if newer == "reject":
        scene.decide(made.run_id, "reject")

    run = scene.window(window.window_id)

    assert_asked_anew(run, f"of run {made.run_id}")
    assert_untouched(scene, machine)


def test_of_two_approved_plans_the_newer_one_is_carried_out(scene: RunScenario) -> None:
    scene.machines("both", 1)
    window = a_night(scene, "both")
    older = plan(scene, window)
    newer = plan(scene, window)
    for made in (newer, older):
        scene.decide(made.run_id)

    run = scene.window(window.window_id)

    assert run.plan["carriesOut"] == newer.run_id
    assert "carriedOutBy" not in scene.run_item(older.run_id)


def test_machines_that_are_gone_or_excluded_are_dropped_by_name_and_new_ones_wait(scene: RunScenario) -> None:
    machines = {one.name: one for one in scene.machines("changed", 4)}
    window = a_night(scene, "changed")
    made = plan(scene, window)
    scene.decide(made.run_id)
    scene.fleet.tags(machines["changed-1"].instance_id)["DrydockExclude"] = "fragile"
    scene.account.client("ec2").terminate_instances(InstanceIds=[machines["changed-2"].instance_id])
    late = scene.member("changed", "changed-5")

    run = scene.window(window.window_id)

    assert run.outcomes == {"changed-3": "succeeded", "changed-4": "succeeded"}
    assert run.left_out == {"changed-1": "InstanceExcludedError", "changed-2": "InstanceNotFoundError"}
    dropped, waiting = run.plan["warnings"][1:3]
    assert dropped == "2 machines of the approved plan cannot be touched now: changed-1, changed-2"
    assert waiting.startswith("1 machine is not in the approved plan, and wait for the next: changed-5")
    assert dropped in said_in(run.summary) and waiting in said_in(run.summary)
    assert_untouched(scene, late)
    assert scene.commands(machines["changed-1"]) == []


def test_a_machine_that_another_execution_has_at_night_is_left_to_it_and_named(scene: RunScenario) -> None:
    first, second = scene.machines("busy", 2)
    window = a_night(scene, "busy")
    made = plan(scene, window)
    scene.decide(made.run_id)
    arn = scene.start_window(window.window_id)
    others = scene.start(first, QUICKLY)

    run = scene.view(arn, settle=True)

    assert run.plan["carriesOut"] == made.run_id
    assert run.outcomes == {"busy-1": "busy", "busy-2": "succeeded"}
    assert "Busy: another execution had them (1)" in said_in(run.summary)
    assert f"busy-1 ({first.instance_id})" in said_in(run.summary)
    assert scene.account.execution(others).status == "SUCCEEDED"
    assert_patched(scene, first, second)
    assert_commands_never_overlap(scene, first)


def test_without_its_canary_a_plan_is_not_carried_out(scene: RunScenario) -> None:
    first, second = scene.machines("canary", 2)
    window = a_night(scene, "canary")
    made = plan(scene, window, canary={"count": 1})
    scene.decide(made.run_id)
    scene.fleet.tags(first.instance_id)["DrydockExclude"] = "fragile"

    run = scene.window(window.window_id)

    assert_asked_anew(run, f"nothing is left of the canary in the plan of run {made.run_id}")
    assert_untouched(scene, second)


def test_a_plan_that_has_expired_is_asked_anew(scene: RunScenario) -> None:
    (machine,) = scene.machines("expired", 1)
    window = a_night(scene, "expired", hours=50)
    made = plan(scene, window)
    scene.decide(made.run_id)

    run = scene.window(window.window_id)

    assert any("window expired opens at" in one for one in made.plan["needs"])
    assert_asked_anew(run, f"the newest plan for this window, of run {made.run_id}, has expired")
    assert_untouched(scene, machine)


def test_an_approval_after_the_window_has_opened_is_too_late(scene: RunScenario) -> None:
    scene.machines("late", 1)
    window = a_night(scene, "late")
    made = plan(scene, window)
    scene.window(window.window_id)

    status, answer = scene.decide(made.run_id)

    assert (status, answer["message"][:9]) == (410, "Too late:")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({**AHEAD, "maxErrors": 3}, "the settings are others than when run {run} planned for this window: maxErrors"),
        ({**AHEAD, "reboot": "NoReboot", "notify": "each"}, "planned for this window: notify, reboot"),
        ({**AHEAD, "approval": {**AHEAD["approval"], "minApprovals": 2}}, "1 approval counts by the approvers of now"),
    ],
    ids=["budget", "reboot", "more approvals"],
)
def test_a_plan_that_the_settings_of_the_night_would_make_otherwise_is_asked_anew(
    scene: RunScenario, settings: dict[str, Any], why: str
) -> None:
    name = f"settings-{len(why)}"
    (machine,) = scene.machines(name, 1)
    window = a_night(scene, name)
    made = plan(scene, window)
    scene.decide(made.run_id)
    scene.settings(settings)

    run = scene.window(window.window_id)

    assert_asked_anew(run, why.format(run=made.run_id))
    assert_untouched(scene, machine)


def test_gates_that_were_added_since_count_and_ask_nobody(scene: RunScenario) -> None:
    (machine,) = scene.machines("gates", 1)
    window = a_night(scene, "gates")
    made = plan(scene, window)
    scene.decide(made.run_id)
    scene.account.calendars["frozen"] = Calendar("DEFAULT_CLOSED")
    scene.settings({**AHEAD, "gates": {"calendars": ["frozen"]}})

    run = scene.window(window.window_id)

    assert run.report["closed"]["error"] == "CalendarClosedError"
    assert question_count(run) == 0
    assert_untouched(scene, machine)


def question_count(run: RunView) -> int:
    return len([one for one in run.messages if one.attributes.get("kind") == "approval"])


def test_an_approver_who_may_not_approve_any_more_does_not_count(scene: RunScenario) -> None:
    (machine,) = scene.machines("dismissed", 1)
    window = a_night(scene, "dismissed")
    made = plan(scene, window)
    scene.decide(made.run_id)
    scene.approvers("ben")

    run = scene.window(window.window_id)

    assert_asked_anew(run, f"of the newest plan for this window, of run {made.run_id}, 0 approvals count")
    assert_untouched(scene, machine)


def test_a_document_that_was_changed_is_sent_as_approved_and_one_that_was_replaced_is_asked_anew(
    scene: RunScenario,
) -> None:
    runs = {}
    for name, change in (("Changed", change_document), ("Other", replace_document)):
        scene.fleet.add_document(name)
        scene.machines(name, 1)
        window = a_night(scene, name)
        made = plan(scene, window, healthProbe=name)
        scene.decide(made.run_id)
        change(scene, name)
        runs[name] = scene.window(window.window_id)

    assert runs["Changed"].outcome == "succeeded"
    assert runs["Changed"].plan["needs"] == [
        "document Changed: its default version is 2 now; this run sends 1, as planned"
    ]
    assert_asked_anew(runs["Other"], "document Other: version 1 has another content than the plan's")


def test_a_plan_is_carried_out_by_one_opening_and_the_second_of_the_day_asks(scene: RunScenario) -> None:
    (machine,) = scene.machines("daily", 1)
    window = a_window(scene, "daily", Schedule="rate(6 hours)", Duration=2)
    made = plan(scene, window)
    scene.decide(made.run_id)

    first = scene.window(window.window_id)
    let_a_month_pass(machine)
    before = scene.commands(machine)
    second = scene.window(window.window_id)

    assert first.outcome == "succeeded"
    assert_asked_anew(second, f"run {first.run_id} has carried out the newest plan for this window")
    assert scene.commands(machine) == before


def test_who_rejects_while_it_is_carried_out_is_told_how_to_stop_it(scene: RunScenario) -> None:
    scene.machines("begun", 1)
    window = a_night(scene, "begun")
    made = plan(scene, window)
    scene.decide(made.run_id)
    arn = scene.start_window(window.window_id)
    scene.run_until(arn, "Carry Out Wave", seconds=600)

    status, answer = scene.decide(made.run_id, "reject", by="ben")

    assert status == 409
    stop = f"drydock stop {scene.view(arn).run_id} --stack drydock --region ap-northeast-1"
    assert answer["message"].endswith(f"Stop it with: {stop}")
    scene.settle()


def test_a_plan_whose_item_or_file_was_lost_is_asked_anew(scene: RunScenario) -> None:
    (machine,) = scene.machines("lost", 1)
    window = a_night(scene, "lost")
    made = plan(scene, window)
    scene.decide(made.run_id)
    scene.change_object(made.item["planKey"], {"machines": []})

    run = scene.window(window.window_id)

    assert_asked_anew(run, f"of run {made.run_id}, is not in the bucket as it was made")
    assert_untouched(scene, machine)


def test_the_night_gets_a_patch_snapshot_of_its_own_and_a_followed_one_has_to_outlive_it(scene: RunScenario) -> None:
    (machine,) = scene.machines("fresh", 1)
    scene.settings({**AHEAD, "approval": {"required": True, "seconds": 600, "ahead": 7}})
    window = a_night(scene, "fresh", hours=24 * 5)
    made = plan(scene, window)
    scene.decide(made.run_id)
    let_days_pass(scene, 4)

    run = scene.window(window.window_id)

    assert run.outcome == "succeeded"
    assert scene.snapshots(machine) == {run.plan["snapshotId"]} != {made.plan["snapshotId"]}


def test_a_plan_by_day_does_not_keep_the_window_from_opening(scene: RunScenario) -> None:
    (machine,) = scene.machines("meanwhile", 1)
    window = a_night(scene, "meanwhile", 1)
    made = plan(scene, window)
    scene.decide(made.run_id)
    given = {"window": {"windowId": window.window_id}, "planOnly": True}
    arn = scene.start_window(window.window_id)
    scene.account.start_execution("MaintenanceRun", given, "by-day-again")

    run = scene.view(arn, settle=True)

    assert run.outcome == "succeeded"
    assert_patched(scene, machine)
