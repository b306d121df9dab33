from __future__ import annotations

import os
import random
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from rehearsal.play.faults import LoseCancellations, LoseEvents, Moment, StopRun
from rehearsal.proof.roll_promises import RollAllowance
from tests.faults.rolls import OF_CHILDREN, OWN, ROLL, group_of_three, note_time

INSTANTS = {"at once": 0.0, "in the function": 0.12, "later in the function": 0.31, "a while later": 90.0}
"""When a roll is stopped, in seconds after the state was entered; a function makes a call every 0.05 s."""

Policy = Mapping[str, Any]

SEED = int(os.environ.get("KILL_SEED") or random.randrange(1_000_000))
"""Another one each time, unless the environment names it."""


SURGE: Policy = {"capacity": "surge"}
GOLDEN: Policy = {"backup": {"before": False}, "refreshLaunchTemplate": {"enabled": True}}
LAUNCHED: Policy = {"launchedMembers": "patch"}
COMES_THROUGH = {
    "Launch Surge": SURGE,
    "Remove Surge": SURGE,
    "Plan Launched Members": LAUNCHED,
    "Refresh Launch Template": GOLDEN,
}
"""The policy by which a roll comes through a state that others do not come through."""


def _choose(state: str, cancellations: str, events: str) -> list[float]:
    """In the function when nothing is lost, and otherwise an instant by chance."""
    sys.stdout.write(f"KILL_SEED={SEED}\n")
    if (cancellations, events) == ("arrive", "delivered"):
        return [INSTANTS["in the function"]]
    drawn = random.Random(f"{SEED} {state} {cancellations} {events}").choice(list(INSTANTS))
    return [INSTANTS[drawn]]


@pytest.mark.parametrize("events", ["delivered", "lost"])
@pytest.mark.parametrize("cancellations", ["arrive", "lost"])
@pytest.mark.parametrize("state", [*OWN, *OF_CHILDREN])
def test_a_roll_stopped_in_a_state_gives_its_members_and_the_group_back_and_is_told_of_once(
    state: str, cancellations: str, events: str
) -> None:
    for after in _choose(state, cancellations, events):
        policy = COMES_THROUGH.get(state, {})
        grows = policy is LAUNCHED
        with group_of_three(max=5, template_version="$Latest") as three:
            if grows:
                three.scene.once(three.group, "Standby", lambda _: three.group.follow_policy(1), seconds=60)
            three.scene.given(*([LoseCancellations()] if cancellations == "lost" else []))
            three.scene.given(*([LoseEvents()] if events == "lost" else []))
            (strikes,) = three.scene.given(StopRun(ROLL, Moment(after, state)))
            moments = note_time(three.scene, strikes)

            roll = three.roll(policy)

            allowance = RollAllowance(
                stopped=moments[0] if moments else None,
                in_flight=1,
                # It did nothing yet. Without event nobody hears of that.
                silent=state == "Admit Group" and after == 0,
                sizes=(3, 4, 5) if grows else None,
            )
            assert events == "lost" or roll.summary
            three.assert_keeps_promises(roll, allowance)
            assert moments or after > INSTANTS["in the function"]
            if moments:
                assert roll.status == "ABORTED", after
            else:
                assert (roll.status, set(roll.outcomes.values())) == ("SUCCEEDED", {"succeeded"}), after
