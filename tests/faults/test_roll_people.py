from __future__ import annotations

import os
import random
import sys

import pytest

from rehearsal.play.faults import LoseCancellations, LoseEvents, Moment, StopExecution, StopRun
from rehearsal.proof.roll_promises import RollAllowance
from tests.faults.rolls import CLEAN, OF_CHILDREN, ROLL, FaultScene, group_of_three, note_time

SEED = int(os.environ.get("KILL_SEED") or random.randrange(1_000_000))
"""Another one each time, unless the environment names it."""


@pytest.mark.parametrize("events", ["delivered", "lost"])
@pytest.mark.parametrize("policy", ["return", "hold", "replace"])
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
        assert "Rehearsal.Stopped" in roll.summary.body or "ABORTED" in roll.summary.body
        three.assert_keeps_promises(roll)


@pytest.mark.parametrize("cancellations", ["arrive", "lost"])
@pytest.mark.parametrize("state", OF_CHILDREN)
def test_a_child_of_the_map_that_somebody_stops_ends_the_roll_and_its_member_is_given_back(
    state: str, cancellations: str
) -> None:
    sys.stdout.write(f"KILL_SEED={SEED}\n")
    for after in random.Random(f"{SEED} {state} {cancellations}").sample([0.0, 0.12, 0.31, 20.0], 2):
        with group_of_three() as three:
            three.scene.given(*([LoseCancellations()] if cancellations == "lost" else []))
            arn = three.start()
            child = _stop_child(three, state, after)

            three.scene.settle()
            roll = three.scene.view(arn)

            three.assert_keeps_promises(roll)
            execution = three.scene.account.execution(child)
            outcomes = dict(roll.outcomes)
            member = execution.input["member"]["instanceId"]
            said = outcomes.pop(roll.names[member])
            if roll.status == "SUCCEEDED":
                # It was stopped after the outcome was written down.
                assert {said, *outcomes.values()} == {"succeeded"}, after
            elif three.monitor.outages_of(member):
                assert set(outcomes.values()) == {"not_attempted"}, after


def _stop_child(three: FaultScene, state: str, after: float) -> str:
    """Somebody stops the first child of the Map that enters a state."""
    scene, account = three.scene, three.scene.account

    def find() -> str | None:
        children = [view.arn for view in account.executions() if "/" in view.machine]
        return next((arn for arn in children if state in scene.states(arn)), None)

    account.clock.run(until=lambda: find() is not None)
    child = str(find())
    scene.run_for(after / 60)
    account.stop_execution(child, "Rehearsal.Stopped", "somebody stopped a child")
    return child


@pytest.mark.parametrize("after", [0.05, 0.2, 30, 900])
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

        roll = three.scene.roll(three.group, {"backup": {"before": False, "after": False}}, name="again")

        assert stopped.status == "ABORTED"
        assert (roll.status, set(roll.outcomes.values())) == ("SUCCEEDED", {"succeeded"})
        three.monitor.check()


@pytest.mark.parametrize("when", ["at once", "later"])
@pytest.mark.parametrize("events", ["delivered", "lost"])
@pytest.mark.parametrize("state", ["Admit Group", "Make Room", "Patch Member", "Return Member", "Release Group"])
def test_a_stopped_roll_that_is_redriven_gives_everything_back_and_says_so(state: str, events: str, when: str) -> None:
    with group_of_three() as three:
        scene = three.scene
        scene.given(*([LoseEvents()] if events == "lost" else []))
        (strikes,) = scene.given(StopRun(ROLL, Moment(0.12, state)))
        moments = note_time(scene, strikes)
        arn = three.start()
        scene.account.clock.run(until=lambda: bool(moments))
        if when == "later":
            scene.settle()
        else:
            scene.run_for(5 / 60)

        scene.account.client("stepfunctions").redrive_execution(executionArn=arn)
        scene.settle()

        roll = scene.view(arn)
        assert roll.status in ("FAILED", "SUCCEEDED")
        three.assert_keeps_promises(roll, RollAllowance(redrives=1))


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
        assert "at once" in roll.summary.body
        assert "Nothing was touched." in roll.summary.body


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
