"""Rolls whose events are lost, come twice or late, and rolls that AWS throttles."""

from __future__ import annotations

import pytest

from rehearsal.engine.limits import GROUP_RATE
from rehearsal.play.faults import (
    EventFault,
    LoseCancellations,
    Moment,
    StopRun,
)
from rehearsal.proof.roll_promises import GroupBefore, RollAllowance, broken_roll_promises
from tests.faults.mishaps import HOWEVER_EVENTS_ARRIVE
from tests.faults.rolls import CLEAN, ROLL, group_of_three, note_time
from tests.scenarios.group.scenario import QUICKLY, roll_scenario


@HOWEVER_EVENTS_ARRIVE
def test_a_roll_goes_as_ever_however_events_arrive(events: EventFault) -> None:
    with group_of_three() as three:
        (strikes,) = three.scene.given(events)

        roll = three.roll()

        assert strikes.count > 0
        assert (roll.status, roll.outcomes) == ("SUCCEEDED", CLEAN)
        three.assert_keeps_promises(roll)


@pytest.mark.parametrize("cancellations", ["arrive", "lost"])
@HOWEVER_EVENTS_ARRIVE
def test_a_stopped_roll_is_given_back_and_told_of_once_however_events_arrive(
    events: EventFault, cancellations: str
) -> None:
    with group_of_three() as three:
        three.scene.given(events, *([LoseCancellations()] if cancellations == "lost" else []))
        (strikes,) = three.scene.given(StopRun(ROLL, Moment(300, "Patch Member")))
        moments = note_time(three.scene, strikes)

        roll = three.roll()

        assert roll.status == "ABORTED"
        three.assert_keeps_promises(roll, RollAllowance(stopped=moments[0], in_flight=1))


@pytest.mark.prove
def test_many_rolls_at_once_end_well_within_the_limits_of_the_apis() -> None:
    with roll_scenario(limits=True) as scene:
        groups = [scene.group(f"crowd-{number}", 2) for number in range(15)]
        found = [GroupBefore.of(group) for group, _ in groups]
        ways = [{"capacity": "surge"} if number % 3 == 0 else {} for number in range(len(groups))]
        started = [scene.start_roll(group, {**QUICKLY, **way}) for (group, _), way in zip(groups, ways, strict=True)]

        scene.settle()

        limits = scene.account.calls.limits
        assert limits is not None
        assert GROUP_RATE.capacity < len(groups)
        assert any(service == "autoscaling" for service, _ in limits.refused)
        for arn, before, (group, monitor) in zip(started, found, groups, strict=True):
            assert scene.view(arn).status == "SUCCEEDED", group.name
            assert broken_roll_promises(scene.account, scene.fleet, scene.stack, before, arn) == []
            monitor.check()
