from __future__ import annotations

import pytest

from rehearsal.play.faults import FailCall, Fault
from tests.faults.kinds import (
    RUNNING,
    STOPPED,
    account_with_hooks,
    add,
    assert_went_as_ever,
    clean_run,
)
from tests.scenarios.machine.scenario import assert_given_back, scenario

FOREVER = 1_000_000


def _fail_for_good(call: str, code: str, caller: str = "*") -> FailCall:
    return FailCall(call, code, caller=caller, times=FOREVER)


REFUSALS = {
    "no image": (_fail_for_good("ec2:CreateImage", "UnauthorizedOperation"), "AwsCallFailedError", 0),
    "throttled images": (_fail_for_good("ec2:CreateImage", "RequestLimitExceeded"), "ServiceUnavailableError", 0),
    "no start": (_fail_for_good("ec2:StartInstances", "UnauthorizedOperation"), "AwsCallFailedError", 1),
    "no capacity": (
        _fail_for_good("ec2:StartInstances", "InsufficientInstanceCapacity"),
        "InstanceStartFailedError",
        1,
    ),
    "throttled starts": (_fail_for_good("ec2:StartInstances", "RequestLimitExceeded"), "ServiceUnavailableError", 1),
    "no commands": (_fail_for_good("ssm:SendCommand", "AccessDeniedException"), "AwsCallFailedError", 1),
    "throttled commands": (_fail_for_good("ssm:SendCommand", "ThrottlingException"), "ServiceUnavailableError", 1),
    "commands unanswered": (_fail_for_good("ssm:SendCommand", "InternalServerError"), "CommandNotReadyError", 1),
    "no patch state": (
        _fail_for_good("ssm:DescribeInstancePatchStates", "ThrottlingException"),
        "ServiceUnavailableError",
        0,
    ),
    "no lease": (
        _fail_for_good("dynamodb:PutItem", "ThrottlingException", caller="admit_instance"),
        "ServiceUnavailableError",
        0,
    ),
    "no journal": (
        _fail_for_good("dynamodb:UpdateItem", "ThrottlingException", caller="admit_instance"),
        "ServiceUnavailableError",
        0,
    ),
    "no intent": (
        _fail_for_good("dynamodb:UpdateItem", "ThrottlingException", caller="back_up"),
        "ServiceUnavailableError",
        0,
    ),
}


@pytest.mark.parametrize(("fault", "error", "images"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_call_that_fails_for_good_ends_the_work_and_the_machine_is_given_back(
    fault: Fault, error: str, images: int
) -> None:
    with scenario() as scene:
        (strikes,) = scene.given(fault)
        win = scene.machine(platform="Windows", power="stopped")

        execution = scene.patch(win)

        assert strikes.count > 0
        assert (execution.status, execution.error) == ("FAILED", error)
        assert len(win.missing) == 2
        assert scene.commands(win) == []
        assert len(scene.images(win)) == images
        assert scene.result(win)["failure"]["error"] == error
        assert scene.tags(win).get("DrydockState") is None
        assert_given_back(scene, win, "stopped")
        assert len(scene.told(win)) == 1


def test_a_power_state_that_cannot_be_restored_in_the_flow_is_restored_by_giving_back() -> None:
    with scenario() as scene:
        (strikes,) = scene.given(
            FailCall("ec2:StopInstances", "RequestLimitExceeded", caller="restore_power", times=FOREVER)
        )
        win = scene.machine(platform="Windows", power="stopped")

        execution = scene.patch(win)

        assert strikes.count > 1
        assert (execution.status, execution.error) == ("FAILED", "ServiceUnavailableError")
        assert_given_back(scene, win, "stopped")
        result = scene.result(win)
        assert (result["outcome"], result["failure"]["error"]) == ("failed", "ServiceUnavailableError")
        assert len(scene.told(win)) == 1


def test_a_release_that_fails_for_good_is_made_by_giving_back() -> None:
    with scenario() as scene:
        scene.given(
            FailCall("dynamodb:TransactWriteItems", "ThrottlingException", caller="release_instance", times=FOREVER)
        )
        web = scene.machine()

        execution = scene.patch(web)

        assert (execution.status, execution.error) == ("FAILED", "ServiceUnavailableError")
        assert web.missing == []
        assert_given_back(scene, web, "running")
        assert len(scene.told(web)) == 1


def test_answers_to_tokens_that_fail_cost_heartbeats_and_nothing_else() -> None:
    with account_with_hooks() as scene:
        (strikes,) = scene.given(
            FailCall("stepfunctions:SendTaskSuccess", "ThrottlingException", caller="resume_waiting", times=12)
        )
        web = add(scene, RUNNING)

        execution = scene.start(web)
        scene.settle()

        assert strikes.count == 12
        assert_went_as_ever(scene, RUNNING, web, execution)


@pytest.mark.parametrize("times", [1, 3, 9])
def test_a_message_that_cannot_be_published_is_told_later_and_once(times: int) -> None:
    with scenario() as scene:
        scene.given(FailCall("sns:Publish", "ThrottlingException", caller="alert_failure", times=times))
        web = scene.machine(wrong=("install_error",))

        scene.patch(web)

        assert len(scene.told(web)) == 1
        assert_given_back(scene, web, "running")


def test_throttling_at_every_kind_of_call_only_makes_it_take_longer() -> None:
    with account_with_hooks() as scene:
        calls = [
            f"{call.service}:{call.operation}" for call in clean_run(STOPPED).calls if call.service in ("ec2", "ssm")
        ]
        scene.given(*(FailCall(call, "ThrottlingException") for call in dict.fromkeys(calls)))
        win = add(scene, STOPPED)

        execution = scene.start(win)
        scene.settle()

        assert_went_as_ever(scene, STOPPED, win, execution)
