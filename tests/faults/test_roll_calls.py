from __future__ import annotations

import os
import random
import sys

import pytest

from rehearsal.play.faults import FailCall
from tests.faults.rolls import group_of_three

FOREVER = 1_000_000
SEED = int(os.environ.get("KILL_SEED") or random.randrange(1_000_000))
"""Another one each time, unless the environment names it."""


FOR_GOOD = {
    "no lease": ("dynamodb:PutItem", "admit_group"),
    "no journal": ("dynamodb:UpdateItem", "admit_group"),
    "no look": ("autoscaling:DescribeAutoScalingGroups", "admit_group"),
    "no suspending": ("autoscaling:SuspendProcesses", "make_room"),
    "no lower min": ("autoscaling:UpdateAutoScalingGroup", "make_room"),
    "no turn": ("dynamodb:UpdateItem", "take_turn"),
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
