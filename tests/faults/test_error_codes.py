"""Every code that AWS may answer the decisive calls with: it is waited for, or told by its own name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from drydock.aws.ec2 import NOT_STARTED
from rehearsal.engine.error_codes import ErrorCode, codes_of, read_codes, table
from rehearsal.play.faults import FailCall, Moment
from rehearsal.play.group_faults import LoseCapacity
from rehearsal.world.fleet import Group
from tests.faults.kinds import Kind, add, assert_is_given_back, assert_went_as_ever, clean_run
from tests.scenarios.group.scenario import QUICKLY, RollScenario, assert_group_given_back, roll_scenario
from tests.scenarios.machine.scenario import scenario

FOR_EVER = 999
NO_IMAGES: Mapping[str, Any] = {"backup": {"before": {"take": False}, "after": {"take": False}}}

IMAGED = Kind("imaged", policy={"backup": {"before": {"take": True}, "after": {"take": False}}})
STARTED = Kind("started", {"power": "stopped"}, NO_IMAGES)
COMMANDED = Kind("commanded", policy=NO_IMAGES)

EC2 = table()["ec2"]
CALLS: Mapping[str, tuple[Kind, Mapping[str, ErrorCode]]] = {
    "ec2:CreateImage": (IMAGED, read_codes({**EC2["every call"], **EC2["CreateImage"]})),
    "ec2:StartInstances": (STARTED, read_codes({**EC2["every call"], **EC2["StartInstances"]})),
    "ssm:SendCommand": (COMMANDED, codes_of("ssm")),
}
"""The calls to machines, a machine for which each of them is made, and the codes that it may be answered with."""

OWN_NAMES: Mapping[str, Mapping[str, str]] = {
    "ec2:CreateImage": {},
    "ec2:StartInstances": dict.fromkeys(NOT_STARTED, "InstanceStartFailedError"),
    "ssm:SendCommand": {
        "InvalidInstanceId": "CommandNotDeliveredError",
        "InvalidDocument": "DocumentError",
        "InvalidDocumentVersion": "DocumentError",
        "InvalidParameters": "DocumentError",
        "UnsupportedPlatformType": "DocumentError",
    },
}
"""The codes that end a machine's flow with an error of their own; all others end it with AwsCallFailedError."""

WAITED_FOR = {"InvalidAMIName.Duplicate"}
"""The name of an image that is there already may be one that EC2 does not show yet."""

OF_ITS_OWN = {
    "ec2:CreateImage": {"PendingSnapshotLimitExceeded", "SnapshotLimitExceeded", "IncorrectState"},
    "ec2:StartInstances": {"VcpuLimitExceeded", "InsufficientInstanceCapacity", "ReservationCapacityExceeded"},
    "ssm:SendCommand": {"InvalidInstanceId", "InvalidDocumentVersion", "InvalidOutputFolder", "InternalServerError"},
}
"""What everybody's tests play of each call, with one throttle; the rest is played by `make prove`."""


def _some(call: str) -> list[ErrorCode]:
    _, codes = CALLS[call]
    throttle = next(code for code in codes.values() if code.meaning == "throttled")
    return [throttle, *(codes[code] for code in sorted(OF_ITS_OWN[call]))]


SOME = [pytest.param(call, _some(call), id=call) for call in CALLS]
ALL = [pytest.param(call, list(codes.values()), id=call, marks=pytest.mark.prove) for call, (_, codes) in CALLS.items()]


@pytest.mark.parametrize(("call", "codes"), [*SOME, *ALL])
def test_a_machine_waits_for_what_passes_and_tells_what_does_not(call: str, codes: Sequence[ErrorCode]) -> None:
    kind, _ = CALLS[call]
    clean_run(kind)
    with scenario() as scene:
        machines = [add(scene, kind, code.code) for code in codes]
        strikes = scene.given(
            *(
                FailCall(call, code.code, instance=code.code, times=2 if _is_waited_for(code) else FOR_EVER)
                for code in codes
            )
        )
        executions = [scene.start(machine, kind.policy) for machine in machines]

        scene.settle()

        for code, machine, execution, struck in zip(codes, machines, executions, strikes, strict=True):
            if _is_waited_for(code):
                assert struck.count == 2, code
                assert_went_as_ever(scene, kind, machine, execution)
                continue
            # Asked once, and told of.
            assert struck.count == 1, code
            seen = scene.account.execution(execution)
            assert (seen.status, seen.error) == ("FAILED", OWN_NAMES[call].get(code.code, "AwsCallFailedError")), code
            (message,) = scene.told(machine)
            assert code.code in message.said, code
            assert len(machine.missing) == 2, code
            assert_is_given_back(scene, kind, machine)


def _is_waited_for(code: ErrorCode) -> bool:
    return code.passes or code.code in WAITED_FOR


@pytest.mark.parametrize(
    ("call", "code"),
    [("ec2:CreateImage", "PendingSnapshotLimitExceeded"), ("ssm:SendCommand", "ThrottlingException")],
)
def test_the_wait_for_what_does_not_pass_after_all_has_an_end(call: str, code: str) -> None:
    kind, _ = CALLS[call]
    with scenario() as scene:
        machine = add(scene, kind)
        (struck,) = scene.given(FailCall(call, code, times=FOR_EVER))

        execution = scene.patch(machine, kind.policy)

        assert 2 < struck.count < 40
        assert (execution.status, execution.error) == ("FAILED", "ServiceUnavailableError")
        (message,) = scene.told(machine)
        assert code in message.said
        assert len(machine.missing) == 2
        assert_is_given_back(scene, kind, machine)


SURGE: Mapping[str, Any] = {**QUICKLY, "capacity": "surge"}
GROUP_CALLS: Mapping[str, tuple[Mapping[str, Any], set[str]]] = {
    "EnterStandby": (QUICKLY, {"ResourceContention"}),
    "ExitStandby": (QUICKLY, {"ResourceContention"}),
    "LaunchInstances": (SURGE, {"ResourceContention", "IdempotentCallInProgress", "IdempotentParameterMismatch"}),
}
"""The calls to groups, the policy of a roll that makes them, and the codes that the API model names for them."""

COMMON = read_codes(table()["common"])
NOT_READY = {"ValidationError"}
"""How Auto Scaling says that a change is not possible now; whether it will be, it does not say."""


def _codes_of(operation: str, common: Sequence[str]) -> list[ErrorCode]:
    _, modeled = GROUP_CALLS[operation]
    return [*(codes_of("autoscaling")[code] for code in sorted(modeled)), *(COMMON[code] for code in common)]


@pytest.mark.parametrize(
    ("operation", "codes"),
    [
        *(pytest.param(one, _codes_of(one, ["Throttling", "AccessDenied"]), id=one) for one in GROUP_CALLS),
        *(
            pytest.param(one, _codes_of(one, sorted(COMMON)), id=f"{one}-all", marks=pytest.mark.prove)
            for one in GROUP_CALLS
        ),
    ],
)
def test_a_roll_waits_for_what_passes_and_tells_what_does_not(operation: str, codes: Sequence[ErrorCode]) -> None:
    policy, _ = GROUP_CALLS[operation]
    with roll_scenario() as scene:
        groups = [scene.group(f"g-{code.code}", 2, min=2)[0] for code in codes]
        strikes = scene.given(
            *(
                # Out of service a member is taken by its own execution.
                FailCall(f"autoscaling:{operation}", code.code, instance=f"g-{code.code}-1", times=_times(code))
                if operation == "EnterStandby"
                else FailCall(f"autoscaling:{operation}", code.code, run=f"g-{code.code}", times=_times(code))
                for code in codes
            )
        )
        rolls = [scene.start_roll(group, policy, name=group.name) for group in groups]

        scene.settle()

        for code, group, arn, struck in zip(codes, groups, rolls, strikes, strict=True):
            roll = scene.view(arn)
            assert struck.count >= 1, code
            if code.passes:
                assert (struck.count, roll.status) == (2, "SUCCEEDED"), code
                assert all(member.machine.missing == [] for member in group.members.values()), code
            else:
                assert roll.status == "FAILED", code
                told = _told(scene, group)
                assert code.code in told or code.code in NOT_READY, code
                assert "rehearsed fault" in told, code
            assert_group_given_back(scene, group, sizes=(2, 2, 4))


def _told(scene: RollScenario, group: Group) -> str:
    """The one message about a roll as a whole."""
    name = re.compile(rf"{re.escape(group.name)}(?![\w.])")
    messages = [one for one in scene.messages if one.attributes.get("kind") == "group" and name.search(one.said)]
    (message,) = messages
    return message.said


def _times(code: ErrorCode) -> int:
    # A member that may never leave standby again could not be given back.
    return 2 if code.passes else 90 if code.code in NOT_READY else 30


@pytest.mark.prove
def test_why_no_instance_more_is_launched_is_told_by_ec2s_code() -> None:
    codes = list(read_codes(EC2["LaunchInstances"]).values())
    with roll_scenario() as scene:
        groups = [_group_without_capacity(scene, code.code) for code in codes]
        rolls = [scene.start_roll(group, SURGE, name=group.name) for group in groups]

        scene.settle()

        for code, group, arn in zip(codes, groups, rolls, strict=True):
            roll = scene.view(arn)
            assert (roll.status, roll.error) == ("FAILED", "SurgeNotPossibleError"), code
            assert code.code in _told(scene, group), code
            assert len(group.tokens) == len(group.zones), "each zone is tried once"
            assert_group_given_back(scene, group, sizes=(2, 2, 4))


def _group_without_capacity(scene: RollScenario, code: str) -> Group:
    group, _ = scene.group(f"g-{code}", 2, min=2)
    group.launch_error = code
    scene.given(LoseCapacity(group=group.name, moment=Moment()))
    return group
