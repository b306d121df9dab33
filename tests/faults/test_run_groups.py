"""A run that dies while it rolls through a group: members and group are given back, and the report is true."""

from __future__ import annotations

import pytest

from rehearsal.play.faults import LoseCancellations, LoseEvents
from tests.scenarios.group.scenario import QUICKLY, assert_group_given_back
from tests.scenarios.run.group_runs import group_run_scenario


@pytest.mark.parametrize("cancellations", ["arrive", "lost"])
def test_a_run_that_is_killed_gives_the_members_and_the_group_back(cancellations: str) -> None:
    with group_run_scenario() as scene:
        group, monitor = scene.tagged_group("web", 3)
        scene.given(*([LoseCancellations()] if cancellations == "lost" else []))
        arn = scene.start_run("web", QUICKLY)
        scene.run_until_out(group)

        scene.account.stop_execution(arn)
        run = scene.view(arn, settle=True)

        monitor.check()
        assert (run.status, run.outcome) == ("ABORTED", "stopped")
        # It had left service, by its own execution, but nothing was done to it yet.
        assert run.outcomes == {"web-1": "failed", "web-2": "not_attempted", "web-3": "not_attempted"}
        assert all(run.causes.values())
        assert [group["outcome"] for group in run.report["groups"]] == ["stopped"]
        assert_group_given_back(scene, group, sizes=(2, 3, 5))
        assert len(run.summaries) == 1


@pytest.mark.parametrize("cancellations", ["arrive", "lost"])
def test_a_run_that_is_killed_while_a_member_is_patched_says_what_became_of_it(cancellations: str) -> None:
    with group_run_scenario() as scene:
        group, monitor = scene.tagged_group("web", 3)
        scene.given(*([LoseCancellations()] if cancellations == "lost" else []))
        arn = scene.start_run("web", QUICKLY)
        scene.run_until_any(lambda arn, _: ":drydock-PatchInstance:" in arn)
        scene.run_for(minutes=2)

        scene.account.stop_execution(arn)
        run = scene.view(arn, settle=True)

        monitor.check()
        assert (run.status, run.outcome) == ("ABORTED", "stopped")
        assert run.outcomes == {"web-1": "failed", "web-2": "not_attempted", "web-3": "not_attempted"}
        assert all(run.causes.values())
        assert_group_given_back(scene, group, sizes=(2, 3, 5))
        assert len(run.summaries) == 1
        assert len(run.children) == 1


def test_a_roll_that_somebody_stops_fails_its_run_and_is_named() -> None:
    with group_run_scenario() as scene:
        group, monitor = scene.tagged_group("web", 3)
        arn = scene.start_run("web", QUICKLY)
        scene.run_until_out(group)
        (roll,) = scene.rolls(scene.view(arn))

        scene.account.stop_execution(roll.arn, "Mistake", "the wrong group")
        run = scene.view(arn, settle=True)

        monitor.check()
        assert (run.status, run.outcome) == ("FAILED", "failed")
        assert run.outcomes == {"web-1": "failed", "web-2": "not_attempted", "web-3": "not_attempted"}
        assert "web: Mistake: the wrong group" in run.summary.said
        assert_group_given_back(scene, group, sizes=(2, 3, 5))


def test_a_roll_that_has_nothing_but_the_sweep_to_give_it_back_is_reported_truly() -> None:
    with group_run_scenario() as scene:
        group, monitor = scene.tagged_group("web", 2)
        scene.given(LoseCancellations(), LoseEvents(detail_type="Step Functions*"))
        arn = scene.start_run("web", QUICKLY)
        scene.run_until_out(group)

        scene.account.stop_execution(arn)
        run = scene.view(arn, settle=True)

        monitor.check()
        assert run.outcome == "stopped"
        assert run.outcomes == {"web-1": "failed", "web-2": "not_attempted"}
        assert_group_given_back(scene, group, sizes=(1, 2, 4))
        assert len(run.summaries) == 1
