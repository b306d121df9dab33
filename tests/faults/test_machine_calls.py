from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from rehearsal.engine.calls import Call
from rehearsal.play.faults import FailCall, Fault, KillFunction
from tests.faults.kinds import (
    KINDS,
    RUNNING,
    STOPPED,
    Kind,
    account_with_hooks,
    add,
    assert_went_as_ever,
    clean_run,
)
from tests.scenarios.machine.scenario import assert_given_back, scenario

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
def test_a_step_that_breaks_off_at_any_of_its_calls_is_carried_on_and_does_nothing_twice(function: str) -> None:
    with account_with_hooks() as scene:
        kind = _simplest_kind_with(function)
        faults = {fault.instance or "": fault for mishap in MISHAPS for fault in _faults(kind, function, mishap)}
        machines = [add(scene, kind, name) for name in faults]
        strikes = scene.given(*faults.values())
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


def _faults(kind: Kind, function: str, mishap: str) -> Iterator[FailCall | KillFunction]:
    """One fault for each changing call of a function in a clean run, or for each call when it changes nothing.

    Each strikes a machine of its own. A function that dies before a call dies after the one before it, so only the
    first call has both.
    """
    calls = _calls_of_one_visit(kind, function)
    changing = [call for call in calls if not call.operation.startswith(("Describe", "Get", "List", "Query"))]
    for call in (changing or calls)[: 1 if mishap == "killed before" else None]:
        number = calls.index(call) + 1
        machine = f"{mishap} at {number} {call.operation}"
        if mishap.startswith("killed"):
            yield KillFunction(function, number, after_effect=mishap == "killed after", instance=machine)
        else:
            same = [other for other in calls if (other.service, other.operation) == (call.service, call.operation)]
            yield FailCall(
                f"{call.service}:{call.operation}",
                "InternalServerError" if mishap == "answer lost" else "ThrottlingException",
                caller=function,
                occurrence=same.index(call) + 1,
                after_effect=mishap == "answer lost",
                instance=machine,
            )


def _calls_of_one_visit(kind: Kind, function: str) -> list[Call]:
    """What a function calls in a clean run, without what it repeats in later states."""
    calls = [call for call in clean_run(kind).calls if call.caller.name == function]
    names = [call.operation for call in calls]
    for length in range(1, len(names)):
        if names == names[:length] * (len(names) // length):
            return calls[:length]
    return calls


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", range(1, 5))
def test_a_wake_up_that_dies_at_any_of_its_calls_comes_again(call: int, after_effect: bool) -> None:
    with account_with_hooks() as scene:
        (strikes,) = scene.given(KillFunction("resume_waiting", call, after_effect=after_effect))
        win = add(scene, STOPPED)

        execution = scene.start(win)
        scene.settle()

        assert strikes.count == 1
        assert_went_as_ever(scene, STOPPED, win, execution)


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


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("operation", "occurrence"),
    [
        pytest.param("DescribeInstances", 1, id="look"),
        pytest.param("UpdateItem", 1, id="mark"),
        pytest.param("Publish", 1, id="message"),
        pytest.param("UpdateItem", 2, id="note"),
        pytest.param("UpdateItem", 3, id="result"),
    ],
)
def test_an_alert_that_dies_at_any_of_its_calls_still_reaches_people(
    operation: str, occurrence: int, after_effect: bool
) -> None:
    numbers = [number for number, called in enumerate(_calls_of_an_alert(), 1) if called == operation]
    number = numbers[occurrence - 1]
    with scenario() as scene:
        (strikes,) = scene.given(KillFunction("alert_failure", number, after_effect=after_effect))
        web = scene.machine(wrong=("install_error",))

        scene.patch(web)

        published = scene.account.calls.counts["alert_failure", "sns", "Publish"]
        assert strikes.count == 1
        # An alert that dies between the message and the note that it was sent is sent again: nobody can know.
        assert 1 <= len(scene.told(web)) <= published <= 2
        assert_given_back(scene, web, "running")


@cache
def _calls_of_an_alert() -> list[str]:
    """The operations that an alert calls when nothing goes wrong with it."""
    with scenario() as scene:
        scene.patch(scene.machine(wrong=("install_error",)))
        return [call.operation for call in scene.account.calls.calls if call.caller.name == "alert_failure"]


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
