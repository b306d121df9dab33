"""Groups in a run: the members that the targets mean are patched in one roll, and each has an outcome of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from rehearsal.play.faults import Moment
from rehearsal.play.group_faults import TerminateMember
from tests.scenarios.group.scenario import FAILING, QUICKLY, assert_group_given_back, assert_members_patched
from tests.scenarios.machine.scenario import assert_untouched
from tests.scenarios.run.group_runs import GroupRunScenario, group_run_scenario
from tests.scenarios.run.scenario import assert_patched


@pytest.fixture(scope="module")
def scene() -> Iterator[GroupRunScenario]:
    with group_run_scenario() as opened:
        yield opened


def test_the_members_of_a_group_are_patched_in_one_roll_beside_the_other_machines(scene: GroupRunScenario) -> None:
    group, monitor = scene.tagged_group("web", 4)
    alone = scene.member("web", "alone")

    run = scene.run("web", QUICKLY)

    monitor.check()
    assert (run.status, run.outcome) == ("SUCCEEDED", "succeeded")
    assert run.outcomes == dict.fromkeys(["alone", "web-1", "web-2", "web-3", "web-4"], "succeeded")
    assert [machine["groupName"] for machine in run.report["machines"]] == ["web", "web", "web", "web", ""]
    (roll,) = scene.rolls(run)
    assert roll.name.startswith(f"{run.run_id}-web-")
    assert len(roll.input["only"]) == 4
    assert len(run.children) == 5
    assert {machine.input["snapshotId"] for machine in run.children} == {run.plan["snapshotId"]}
    assert run.summary.subject == f"Drydock: all 5 machines patched (run {run.run_id})"
    assert run.messages == [run.summary]
    assert (run.item["planned"], run.item["admitted"]) == (5, 2)
    assert_members_patched(group)
    assert_group_given_back(scene, group, sizes=(3, 4, 6))
    assert_patched(scene, alone)


def test_members_get_the_hooks_that_the_plan_has_pinned(scene: GroupRunScenario) -> None:
    scene.fleet.add_document("Drain")
    group, _ = scene.tagged_group("pinned", 2)

    run = scene.run("pinned", {**QUICKLY, "hooks": {"preInstall": "Drain"}})

    pinned = run.plan["documents"]["Drain"]
    for member in group.members:
        sent = [one.request for one in scene.fleet.run_command.list_visible(None, member)]
        (hook,) = [one for one in sent if one["DocumentName"] == "Drain"]
        assert (hook["DocumentVersion"], hook["DocumentHash"]) == (pinned["version"], pinned["hash"])


def test_the_plan_names_the_group_with_its_members_and_takes_their_order(scene: GroupRunScenario) -> None:
    orders: Sequence[Mapping[str, Any]] = [{"DrydockOrder": "7"}, {"DrydockOrder": "2"}, {}]
    scene.tagged_group("order", [{"tags": {"Patch Group": "order", **tags}} for tags in orders])
    scene.member("order", "first", tags={"DrydockOrder": "1"})
    scene.member("order", "last", tags={"DrydockOrder": "3"})

    run = scene.run("order", QUICKLY, planOnly=True)

    assert run.outcome == "planned"
    first, group, last = run.plan["machines"]
    assert [machine["kind"] for machine in (first, group, last)] == ["instance", "group", "instance"]
    assert (group["instanceId"], group["groupName"], group["order"]) == ("group/order", "order", 2)
    assert [member["name"] for member in group["members"]] == ["order-1", "order-2", "order-3"]
    assert group["seconds"] == 30 + 3 * (195 + 960 + 450) + 30
    assert [wave["count"] for wave in run.plan["waves"]] == [1, 3, 1]
    assert run.report["planned"] == 5
    assert scene.rolls(run) == []


def test_a_group_can_be_the_canary_by_a_tag_of_a_member(scene: GroupRunScenario) -> None:
    scene.tagged_group("brave", [{"tags": {"Patch Group": "brave", "Canary": "yes"}}, {}])
    scene.member("brave", "timid")

    run = scene.run("brave", {**QUICKLY, "canary": {"tag": "Canary=yes"}})

    assert run.outcome == "succeeded"
    assert [wave["isCanary"] for wave in run.plan["waves"]] == [True, False]
    assert [machine["name"] for machine in run.plan["machines"]] == ["brave", "timid"]


@pytest.mark.parametrize("named", [1, 2])
def test_only_the_members_that_the_targets_mean_are_patched(scene: GroupRunScenario, named: int) -> None:
    group, monitor = scene.group(f"some-{named}", 3)
    machines = [member.machine for member in group.members.values()]

    run = scene.run(machines[:named], QUICKLY)

    monitor.check()
    assert run.outcomes == {machine.name: "succeeded" for machine in machines[:named]}
    assert_patched(scene, *machines[:named])
    for machine in machines[named:]:
        assert_untouched(scene, machine)
    assert_group_given_back(scene, group, sizes=(2, 3, 5))


def test_members_that_something_speaks_against_are_left_out_of_their_roll(scene: GroupRunScenario) -> None:
    group, _ = scene.tagged_group("picky", [{}, {"tags": {"Patch Group": "picky", "DrydockExclude": "release"}}, {}])

    run = scene.run("picky", QUICKLY)

    assert run.left_out == {"picky-2": "InstanceExcludedError"}
    assert run.outcomes == {"picky-1": "succeeded", "picky-3": "succeeded"}
    assert_members_patched(group, "picky-1", "picky-3")


def test_a_group_that_somebody_rolls_through_is_left_out(scene: GroupRunScenario) -> None:
    group, monitor = scene.tagged_group("taken")
    roll = scene.start_roll(group, QUICKLY)
    scene.run_until_out(group)

    run = scene.run("taken", QUICKLY)

    monitor.check()
    assert run.outcome == "nothing_to_do"
    assert run.left_out == {"taken-1": "InstanceBusyError", "taken-2": "InstanceBusyError"}
    assert scene.account.execution(roll).status == "SUCCEEDED"


def test_a_member_that_fails_stops_its_roll_and_counts_against_the_budget_of_the_run(scene: GroupRunScenario) -> None:
    early = {"tags": {"Patch Group": "weak", "DrydockOrder": "1"}}
    group, monitor = scene.tagged_group("weak", [early, FAILING, {}, {}])
    late = scene.member("weak", "late", tags={"DrydockOrder": "2"})

    run = scene.run("weak", QUICKLY)

    monitor.check()
    assert (run.status, run.outcome) == ("FAILED", "failed")
    assert run.outcomes == {
        "weak-1": "succeeded",
        "weak-2": "failed",
        "weak-3": "not_attempted",
        "weak-4": "not_attempted",
        "late": "not_attempted",
    }
    assert (run.item["failed"], run.item["closed"]["error"]) == (1, "BudgetSpentError")
    assert run.errors["weak-3"] == "RollStoppedError"
    assert run.errors["late"] == "BudgetSpentError"
    assert "weak-2" in run.summary.said
    assert "of group weak" in run.summary.said
    assert_group_given_back(scene, group, sizes=(3, 4, 6))
    assert_untouched(scene, late)

    resumed = scene.run(resume=run.run_id)

    assert resumed.outcomes == {"weak-3": "succeeded", "weak-4": "succeeded", "late": "succeeded"}


def test_a_group_that_cannot_spare_a_member_fails_the_run_and_is_not_touched(scene: GroupRunScenario) -> None:
    group, _ = scene.tagged_group("tight", 1, min=1, max=1)

    run = scene.run("tight", QUICKLY)

    assert (run.status, run.outcome) == ("FAILED", "failed")
    assert run.outcomes == {"tight-1": "not_attempted"}
    assert run.errors == {"tight-1": "MemberNotSparedError"}
    assert [(one["groupName"], one["error"]) for one in run.report["groups"]] == [("tight", "MemberNotSparedError")]
    assert "Auto Scaling groups to look at (1)" in run.summary.said
    assert "1 group not rolled through well" in (run.summary.subject or "")
    assert "group tight was not rolled through well" in str(run.execution.cause)
    for member in group.members.values():
        assert_untouched(scene, member.machine)


def test_a_member_that_has_left_before_its_roll_began_is_gone(scene: GroupRunScenario) -> None:
    group, _ = scene.tagged_group("shrinking", 3)
    leaver = "shrinking-3"
    admitted = Moment(state="Admit Machine")
    scene.given(TerminateMember(group="shrinking", instance=leaver, decrement=True, moment=admitted))

    run = scene.run("shrinking", QUICKLY)

    assert run.outcome == "succeeded"
    assert run.outcomes[leaver] == "gone"
    assert run.outcomes["shrinking-1"] == run.outcomes["shrinking-2"] == "succeeded"
    assert group.desired == 2


def test_a_group_of_which_not_one_member_would_be_back_in_time_is_not_begun(scene: GroupRunScenario) -> None:
    group, _ = scene.tagged_group("slow-roll", 3)

    run = scene.run("slow-roll", {**QUICKLY, "deadlineMinutes": 20})

    assert (run.status, run.outcome) == ("FAILED", "incomplete")
    assert run.outcomes == dict.fromkeys(["slow-roll-1", "slow-roll-2", "slow-roll-3"], "not_attempted")
    assert set(run.errors.values()) == {"DeadlineReachedError"}
    assert [machine["fits"] for machine in run.plan["machines"]] == [False]
    assert scene.rolls(run) == []
    for member in group.members.values():
        assert_untouched(scene, member.machine)


def test_names_of_groups_and_runs_may_be_long_and_strange(scene: GroupRunScenario) -> None:
    name = "Größe/" + "x" * 100 + " 1"
    group, _ = scene.group(name, 2)
    machines = [member.machine for member in group.members.values()]

    run = scene.run(machines, QUICKLY, name="r" * 80)

    assert run.outcome == "succeeded"
    (roll,) = scene.rolls(run)
    assert len(roll.name) <= 80
    assert {machine["groupName"] for machine in run.report["machines"]} == {name}


def test_people_are_asked_with_the_number_and_the_names_of_the_members(scene: GroupRunScenario) -> None:
    group, _ = scene.tagged_group("asked", 3)
    scene.approvers("anna")
    arn = scene.start_run("asked", {**QUICKLY, "approval": {"above": 2}})
    scene.run_until(arn, "Ask For Approval")
    scene.account.clock.run(until=lambda: any("patch 3 machines" in (one.subject or "") for one in scene.messages))
    question = next(one for one in scene.messages if "patch 3 machines" in (one.subject or ""))

    scene.decide(scene.view(arn).run_id)
    run = scene.view(arn, settle=True)

    assert "group asked, 3 members in one roll" in question.said
    assert f"asked-1 ({next(iter(group.members))})" in question.said
    assert run.outcomes == dict.fromkeys(["asked-1", "asked-2", "asked-3"], "succeeded")


def test_a_run_that_is_stopped_gently_finishes_the_member_in_work(scene: GroupRunScenario) -> None:
    group, monitor = scene.tagged_group("gentle", 3)
    arn = scene.start_run("gentle", QUICKLY)
    scene.run_until_out(group)
    scene.run_for(1)

    scene.stop_run(scene.view(arn).run_id, "enough for today")
    run = scene.view(arn, settle=True)

    monitor.check()
    assert (run.status, run.outcome) == ("FAILED", "stopped")
    assert run.outcomes == {"gentle-1": "succeeded", "gentle-2": "not_attempted", "gentle-3": "not_attempted"}
    assert run.errors["gentle-2"] == "RunStoppedError"
    assert_group_given_back(scene, group, sizes=(2, 3, 5))


def test_runs_that_overlap_do_not_patch_the_members_of_a_group_twice(scene: GroupRunScenario) -> None:
    late = {"tags": {"Patch Group": "twice", "DrydockOrder": "2"}}
    group, monitor = scene.tagged_group("twice", [late, late])
    scene.member("twice", "slow", tags={"DrydockOrder": "1"})
    first, second = scene.start_run("twice", QUICKLY), scene.start_run("twice", QUICKLY)

    runs = [scene.view(arn, settle=True) for arn in (first, second)]

    monitor.check()
    outcomes = sorted(run.outcomes["twice-1"] for run in runs if "twice-1" in run.outcomes)
    assert outcomes.count("succeeded") == 1
    assert set(outcomes) <= {"succeeded", "busy", "skipped"}
    assert len(monitor.outages_of(next(iter(group.members)))) == 1
    assert_members_patched(group)


def test_members_that_are_launched_meanwhile_are_patched_in_a_run_where_its_policy_says_so(
    scene: GroupRunScenario,
) -> None:
    group, monitor = scene.tagged_group("joining", zones=1)
    scene.once(group, "Standby", lambda _: group.follow_policy(1), seconds=60)

    run = scene.run("joining", {**QUICKLY, "launchedMembers": "patch"})

    assert run.outcome == "succeeded"
    assert list(run.outcomes.values()) == ["succeeded"] * 3
    assert_patched(scene, *(member.machine for member in group.members.values()))
    monitor.check()
