from __future__ import annotations

import os
import random
import sys
from functools import cache

import pytest

from rehearsal.engine.calls import Call
from rehearsal.play.faults import FailCall, KillFunction, LoseEvents, Moment, StopRun
from rehearsal.proof.roll_promises import GroupBefore, RollAllowance, broken_roll_promises
from rehearsal.world.group_specs import Unconfirmed
from tests.faults.mishaps import MISHAPS, break_off, changes_something
from tests.faults.rolls import CLEAN, ROLL, group_of_three, note_time
from tests.scenarios.group.scenario import FAILING, QUICKLY, roll_scenario

STEPS = (
    "admit_group",
    "make_room",
    "enter_standby",
    "return_member",
    "record_member",
    "restore_group",
    "release_group",
)
"""The functions of a roll that change something when all goes well."""

ALONE = {**QUICKLY, "minHealthy": 0}
"""The policy for a group of one, which is out while its member is."""

REPLACED = {**ALONE, "onMemberFailure": "replace"}
FOREVER = 1_000_000
SEED = int(os.environ.get("KILL_SEED") or random.randrange(1_000_000))
"""Another one each time, unless the environment names it."""

MOST_CALLS = 41
"""So many calls all passes together make at least, after a stop while a member is patched."""


@cache
def _calls_of_a_roll(*, replaces: bool = False) -> tuple[Call, ...]:
    """What the functions of a roll through a group of one call when nothing goes wrong around it."""
    with roll_scenario() as scene:
        group, _ = scene.group("web", [FAILING if replaces else {}], min_healthy=0, min=1)
        roll = scene.roll(group, REPLACED if replaces else ALONE, name=ROLL)
        assert roll.outcomes == {"web-1": "failed" if replaces else "succeeded"}
        return tuple(call for call in scene.account.calls.calls if "-RollGroup" in str(call.caller.execution))


def test_every_step_of_a_roll_is_put_to_the_test() -> None:
    changing = {
        call.caller.name for call in _calls_of_a_roll() if call.caller.kind == "function" and changes_something(call)
    }

    assert changing == {*STEPS, "announce_success"}


@pytest.mark.parametrize("mishap", MISHAPS)
@pytest.mark.parametrize("function", STEPS)
def test_a_step_of_a_roll_that_breaks_off_at_any_of_its_changes_is_carried_on_and_does_nothing_twice(
    function: str, mishap: str
) -> None:
    faults = list(break_off(_calls_of_a_roll(), function, mishap))
    with roll_scenario() as scene:
        strikes = scene.given(*faults)
        names = [str(getattr(fault, "run", "")) for fault in faults]
        groups = [scene.group(name, 1, min_healthy=0, min=1) for name in names]
        found = [GroupBefore.of(group) for group, _ in groups]
        started = [scene.start_roll(group, ALONE, name=group.name) for group, _ in groups]

        scene.settle()

        for arn, before, (_, monitor), struck in zip(started, found, groups, strikes, strict=True):
            roll = scene.view(arn)
            assert struck.count == 1, struck
            monitor.check()
            broken = broken_roll_promises(scene.account, scene.fleet, scene.stack, before, arn)
            assert not broken, "\n".join([str(struck), *broken])
            assert (roll.status, list(roll.outcomes.values())) == ("SUCCEEDED", ["succeeded"]), struck
            assert len(monitor.outages) == len(roll.children) == 1, struck


@pytest.mark.parametrize("counts", [True, False], ids=["counted", "not-counted"])
@pytest.mark.parametrize("mishap", MISHAPS)
@pytest.mark.parametrize("function", ["return_member", "await_in_service"])
def test_a_member_is_replaced_once_wherever_its_replacement_breaks_off(
    function: str, mishap: str, counts: bool
) -> None:
    faults = list(break_off(_calls_of_a_roll(replaces=True), function, mishap))
    assert faults
    with roll_scenario() as scene:
        strikes = scene.given(*faults)
        names = [str(getattr(fault, "run", "")) for fault in faults]
        unconfirmed = Unconfirmed(standby_counts_when_terminated=counts)
        groups = [scene.group(name, [FAILING], min_healthy=0, min=1, unconfirmed=unconfirmed) for name in names]
        found = [GroupBefore.of(group) for group, _ in groups]
        started = [scene.start_roll(group, REPLACED, name=group.name) for group, _ in groups]

        scene.settle()

        for arn, before, (group, monitor), struck in zip(started, found, groups, strikes, strict=True):
            roll = scene.view(arn)
            assert struck.count == 1, struck
            monitor.check()
            broken = broken_roll_promises(scene.account, scene.fleet, scene.stack, before, arn)
            assert not broken, "\n".join([str(struck), *broken])
            assert (roll.status, list(roll.outcomes.values())) == ("FAILED", ["failed"]), struck
            assert list(roll.moves.values()) == ["replace"], struck
            assert [member.machine.name for member in group.members.values()] == [f"{group.name}-new-1"], struck


@pytest.mark.parametrize("events", ["delivered", "lost"])
@pytest.mark.parametrize("after", [0.12, 0.31, 20])
@pytest.mark.parametrize("state", ["Return Member", "Await In Service"])
def test_a_roll_stopped_while_a_member_is_replaced_has_its_capacity_in_the_end(
    state: str, after: float, events: str
) -> None:
    with group_of_three({"web-1": FAILING, "web-2": FAILING, "web-3": FAILING}) as three:
        three.scene.given(*([LoseEvents()] if events == "lost" else []))
        (strikes,) = three.scene.given(StopRun(ROLL, Moment(after, state)))
        moments = note_time(three.scene, strikes)

        roll = three.roll({"onMemberFailure": "replace"})

        assert strikes.count == 1
        assert roll.status == "ABORTED"
        three.assert_keeps_promises(roll, RollAllowance(stopped=moments[0]))


FOR_GOOD = {
    "no lease": ("dynamodb:PutItem", "admit_group"),
    "no journal": ("dynamodb:UpdateItem", "admit_group"),
    "no look": ("autoscaling:DescribeAutoScalingGroups", "admit_group"),
    "no suspending": ("autoscaling:SuspendProcesses", "make_room"),
    "no lower min": ("autoscaling:UpdateAutoScalingGroup", "make_room"),
    "no turn": ("dynamodb:UpdateItem", "enter_standby"),
    "no standby": ("autoscaling:EnterStandby", "enter_standby"),
    "no look at standby": ("autoscaling:DescribeAutoScalingGroups", "await_standby"),
    "no return": ("autoscaling:ExitStandby", "return_member"),
    "no look at the return": ("dynamodb:GetItem", "return_member"),
    "no look at service": ("autoscaling:DescribeAutoScalingGroups", "await_in_service"),
    "no record": ("dynamodb:UpdateItem", "record_member"),
    "no old min": ("autoscaling:UpdateAutoScalingGroup", "restore_group"),
    "no resuming": ("autoscaling:ResumeProcesses", "restore_group"),
    "no release": ("dynamodb:TransactWriteItems", "release_group"),
    "no start": ("stepfunctions:StartExecution", "drydock-RollGroup"),
}


AFTER_ALL = ("restore_group", "release_group")
"""By then all members have had their turn."""


@pytest.mark.parametrize(("call", "caller"), FOR_GOOD.values(), ids=FOR_GOOD.keys())
def test_a_call_of_a_roll_that_fails_for_good_ends_in_a_group_given_back_and_one_message(
    call: str, caller: str
) -> None:
    code = random.Random(f"{SEED} {call} {caller}").choice(["AccessDeniedException", "ThrottlingException"])
    sys.stdout.write(f"KILL_SEED={SEED}\n")
    with group_of_three() as three:
        (strikes,) = three.scene.given(FailCall(call, code, caller=caller, times=FOREVER))

        roll = three.roll()

        assert strikes.count > 0
        assert roll.status == "FAILED"
        begun = sum(outcome in ("succeeded", "failed") for outcome in roll.outcomes.values())
        assert begun == 3 if caller in AFTER_ALL else begun <= 1
        three.assert_keeps_promises(roll)


@pytest.mark.parametrize("mishap", ["killed before", "killed after", "timed out"])
def test_a_pass_that_gives_a_group_back_and_breaks_off_anywhere_is_made_again(mishap: str) -> None:
    sys.stdout.write(f"KILL_SEED={SEED}\n")
    for call in random.Random(f"{SEED} {mishap}").sample(range(1, MOST_CALLS), 3):
        with group_of_three() as three:
            (stopped,) = three.scene.given(StopRun(ROLL, Moment(400, "Patch Member")))
            moments = note_time(three.scene, stopped)
            kill = KillFunction("give_back", call, after_effect=mishap == "killed after", hangs=mishap == "timed out")
            (struck,) = three.scene.given(kill)

            roll = three.roll()

            assert struck.count == 1, call
            assert roll.status == "ABORTED", call
            three.assert_keeps_promises(roll, RollAllowance(stopped=moments[0]))


def test_a_clean_roll_under_the_same_watch_keeps_all_promises() -> None:
    with group_of_three() as three:
        roll = three.roll()

        assert (roll.status, roll.outcomes) == ("SUCCEEDED", CLEAN)
        three.assert_keeps_promises(roll)
