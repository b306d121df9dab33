from __future__ import annotations

import pytest

from rehearsal.play.faults import LoseCancellations, LoseEvents, Moment, StopExecution, StopRun
from tests.faults.rolls import CLEAN, ROLL, group_of_three
from tests.proved import proved


@pytest.mark.parametrize("events", [proved("delivered"), "lost"])
@pytest.mark.parametrize("policy", ["return", proved("hold"), "replace"])
def test_a_member_whose_execution_somebody_stops_is_a_failure_like_any_other(policy: str, events: str) -> None:
    with group_of_three() as three:
        three.scene.given(*([LoseEvents()] if events == "lost" else []))
        strikes = three.scene.given(
            *(StopExecution(machine.name, Moment(60, "Install Patches")) for machine in three.before.machines)
        )

        roll = three.roll({"onMemberFailure": policy})

        assert sum(strike.count for strike in strikes) == 1
        assert roll.status == "FAILED"
        assert sorted(roll.outcomes.values()) == ["failed", "not_attempted", "not_attempted"]
        assert "Rehearsal.Stopped" in roll.summary.said or "ABORTED" in roll.summary.said
        three.assert_keeps_promises(roll)


@pytest.mark.parametrize("after", [0.2, 900, proved(0.05), proved(30)])
def test_a_second_roll_of_a_group_is_refused_and_disturbs_nothing(after: float) -> None:
    with group_of_three() as three:
        arn = three.start()
        three.scene.run_for(after / 60)
        second = three.scene.start_roll(three.group, name="second")

        three.scene.settle()

        assert three.scene.account.execution(second).error == "GroupBusyError"
        roll = three.scene.view(arn)
        assert (roll.status, roll.outcomes) == ("SUCCEEDED", CLEAN)
        three.assert_keeps_promises(roll)


def test_of_two_rolls_that_begin_at_one_moment_one_is_refused() -> None:
    with group_of_three() as three:
        arns = [three.start(), three.scene.start_roll(three.group, name="second")]

        three.scene.settle()

        views = [three.scene.account.execution(arn) for arn in arns]
        assert sorted(view.status for view in views) == ["FAILED", "SUCCEEDED"]
        (winner,) = [view for view in views if view.status == "SUCCEEDED"]
        three.assert_keeps_promises(three.scene.view(winner.arn))


def test_a_group_can_be_rolled_through_again_after_a_roll_that_was_stopped() -> None:
    with group_of_three() as three:
        three.scene.given(StopRun(ROLL, Moment(300, "Patch Member")))
        stopped = three.roll()

        roll = three.scene.roll(
            three.group, {"backup": {"before": {"take": False}, "after": {"take": False}}}, name="again"
        )

        assert stopped.status == "ABORTED"
        assert (roll.status, set(roll.outcomes.values())) == ("SUCCEEDED", {"succeeded"})
        three.monitor.check()


def test_a_roll_that_lasts_longer_than_it_may_is_given_back_like_one_that_was_stopped() -> None:
    with group_of_three() as three:
        three.limit_rolls(seconds=15 * 60)

        roll = three.roll()

        assert roll.status == "TIMED_OUT"
        three.assert_keeps_promises(roll)
        assert list(roll.outcomes.values()).count("not_attempted") == 2


def test_a_roll_killed_before_its_first_state_is_told_of_all_the_same() -> None:
    with group_of_three() as three:
        arn = three.start()
        three.scene.account.stop_execution(arn, "Rehearsal.Stopped", "at once")

        three.scene.settle()
        roll = three.scene.view(arn)

        assert three.scene.states(arn) == []
        assert (roll.status, roll.children, roll.result) == ("ABORTED", [], {})
        assert "at once" in roll.summary.said
        assert "Nothing was touched." in roll.summary.said


@pytest.mark.parametrize("events", ["arrive", "lost"])
def test_the_tags_of_members_are_true_after_a_roll_that_was_stopped(events: str) -> None:
    with group_of_three() as three:
        three.scene.given(*([LoseEvents()] if events == "lost" else []), LoseCancellations())
        arn = three.start()
        three.scene.run_until_out(three.before.group)
        three.scene.run_for(2)
        three.scene.account.stop_execution(arn)

        three.scene.settle()

        tags = three.scene.member_tags(three.before.group)
        patched = {one.name for one in three.before.machines if not one.missing}
        assert set(tags) <= patched
        assert set(tags.values()) <= {"Completed"}
        three.assert_keeps_promises(three.scene.view(arn))
