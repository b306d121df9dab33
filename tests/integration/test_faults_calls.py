from __future__ import annotations

from functools import cache

import pytest

from rehearsal.faults import FailCall, Fault, KillFunction
from tests.integration.kinds import KINDS, RUNNING, STOPPED, Kind, account_with_hooks, add, assert_went_as_ever, clean_run
from tests.integration.scenario import assert_given_back, scenario

STEPS = (
    "admit_instance",
    "announce_success",
    "back_up",
    "check_health",
    "finish_install",
    "install_patches",
    "probe_instance",
    "read_patches",
    "release_instance",
    "restore_power",
    "run_hook",
    "scan_patches",
    "settle_commands",
    "start_instance",
    "verify_patches",
    "wait_until_reachable",
)
MISHAPS = ("killed before", "killed after", "throttled", "answer lost")


def test_every_step_is_put_to_the_test() -> None:
    assert {call.caller.name for kind in KINDS for call in clean_run(kind).calls} == set(STEPS)


@pytest.mark.parametrize("function", STEPS)
@pytest.mark.parametrize("mishap", MISHAPS)
def test_a_step_that_breaks_off_at_any_of_its_calls_is_carried_on_and_does_nothing_twice(
    mishap: str, function: str
) -> None:
    with account_with_hooks() as scene:
        kind = _simplest_kind_with(function)
        faults = _faults(kind, function, mishap)
        machines = [add(scene, kind, f"{number}") for number in range(len(faults))]
        strikes = scene.given(*faults)
        executions = [scene.start(machine, kind.policy) for machine in machines]

        scene.settle()

        for machine, execution, struck in zip(machines, executions, strikes, strict=True):
            assert struck.count == 1, struck
            # What dies between a message and the note that it was sent sends it again: nobody can know.
            most_messages = 2 if function == "announce_success" else 1
            assert_went_as_ever(scene, kind, machine, execution, most_messages=most_messages)


@cache
def _simplest_kind_with(function: str) -> Kind:
    return next(kind for kind in KINDS if any(call.caller.name == function for call in clean_run(kind).calls))


def _faults(kind: Kind, function: str, mishap: str) -> list[Fault]:
    """One fault for each changing call of a function in a clean run, or for each call when it changes nothing.

    The n-th fault strikes the machine called n.
    """
    calls = [call for call in clean_run(kind).calls if call.caller.name == function]
    changing = [call for call in calls if not call.operation.startswith(("Describe", "Get", "List", "Query"))]
    faults: list[Fault] = []
    for call in changing or calls:
        machine = str(len(faults))
        if mishap.startswith("killed"):
            number = calls.index(call) + 1
            faults.append(KillFunction(function, number, after_effect=mishap == "killed after", instance=machine))
        else:
            name = f"{call.service}:{call.operation}"
            same = [other for other in calls if (other.service, other.operation) == (call.service, call.operation)]
            faults.append(
                FailCall(
                    name,
                    "ThrottlingException",
                    caller=function,
                    occurrence=same.index(call) + 1,
                    after_effect=mishap == "answer lost",
                    instance=machine,
                )
            )
    return faults


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", range(1, 7))
def test_a_wake_up_that_dies_at_any_of_its_calls_comes_again(call: int, after_effect: bool) -> None:
    with account_with_hooks() as scene:
        (strikes,) = scene.given(KillFunction("resume_waiting", call, after_effect=after_effect))
        win = add(scene, STOPPED)

        execution = scene.start(win)
        scene.settle()

        assert strikes.count == 1
        assert_went_as_ever(scene, STOPPED, win, execution)


FOREVER = 1_000_000

REFUSALS = {
    "no image": ("ec2:CreateImage", "UnauthorizedOperation", "AwsCallFailedError", 0),
    "too many images at once": ("ec2:CreateImage", "RequestLimitExceeded", "ServiceUnavailableError", 0),
    "no start": ("ec2:StartInstances", "UnauthorizedOperation", "AwsCallFailedError", 1),
    "no capacity": ("ec2:StartInstances", "InsufficientInstanceCapacity", "InstanceStartFailedError", 1),
    "too many starts": ("ec2:StartInstances", "RequestLimitExceeded", "ServiceUnavailableError", 1),
    "no command": ("ssm:SendCommand", "AccessDeniedException", "AwsCallFailedError", 1),
    "too many commands": ("ssm:SendCommand", "ThrottlingException", "ServiceUnavailableError", 1),
    "no patch state": ("ssm:DescribeInstancePatchStates", "ThrottlingException", "ServiceUnavailableError", 0),
    "no write of leases": ("dynamodb:PutItem", "ThrottlingException", "ServiceUnavailableError", 0),
    "no write of intents": ("dynamodb:UpdateItem", "ProvisionedThroughputExceededException", "ServiceUnavailableError", 0),
}


@pytest.mark.parametrize(("call", "code", "error", "images"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_call_that_fails_for_good_ends_the_work_and_the_machine_is_given_back(
    call: str, code: str, error: str, images: int
) -> None:
    steps_only = "[!ag]*" if call == "dynamodb:UpdateItem" else "*"
    caller = "admit_instance" if call == "dynamodb:PutItem" else steps_only
    with scenario() as scene:
        (strikes,) = scene.given(FailCall(call, code, caller=caller, times=FOREVER))
        win = scene.machine(platform="Windows", power="stopped")

        execution = scene.patch(win)

        assert strikes.count > 0
        assert (execution.status, execution.error) == ("FAILED", error)
        assert len(win.missing) == 2
        assert scene.commands(win) == []
        assert len(scene.images(win)) == images
        assert scene.result(win)["failure"]["error"] == error
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


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", range(1, 9))
def test_an_alert_that_dies_at_any_of_its_calls_still_reaches_people(call: int, after_effect: bool) -> None:
    with scenario() as scene:
        (strikes,) = scene.given(KillFunction("alert_failure", call, after_effect=after_effect))
        web = scene.machine(wrong=("install_error",))

        scene.patch(web)

        published = scene.account.calls.counts["alert_failure", "sns", "Publish"]
        assert strikes.count == 1
        # An alert that dies between the message and the note that it was sent is sent again: nobody can know.
        assert 1 <= len(scene.told(web)) <= published <= 2
        assert scene.lease(web) is None


def test_calls_that_are_throttled_twice_each_only_make_it_take_longer() -> None:
    with account_with_hooks() as scene:
        calls = [
            f"{call.service}:{call.operation}" for call in clean_run(STOPPED).calls if call.service in ("ec2", "ssm")
        ]
        scene.given(*(FailCall(call, "ThrottlingException", occurrence=1, times=2) for call in dict.fromkeys(calls)))
        win = add(scene, STOPPED)

        execution = scene.start(win)
        scene.settle()

        assert_went_as_ever(scene, STOPPED, win, execution)
