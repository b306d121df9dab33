"""What a roll is asked for, and what its lease tells of it: every member that was planned has one outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from drydock.errors import InvalidInputError, InvalidPolicyError
from drydock.group.rolling import describe_group, summarise_group
from drydock.records.holder import Holder
from drydock.records.leases import ACTIVE, Lease
from drydock.request.group import GroupRequest, read_group_request
from drydock.subject import Group
from tests.unit.fakes import START
from tests.unit.world import EXECUTION, SNAPSHOT

ONE, TWO, THREE = (f"i-{number:017x}" for number in (1, 2, 3))
PATCHED = {"outcome": "succeeded", "move": "exit", "error": "", "cause": ""}
BROKEN = {"outcome": "failed", "move": "exit", "error": "PatchingFailedError", "cause": "patches are missing"}
STOPPED = {"error": "RollStoppedError", "reason": "1 of its members failed"}


def read(given: object, settings: Mapping[str, Any] | None = None) -> GroupRequest:
    return read_group_request(given, json.dumps(settings or {}), "/drydock/policy", EXECUTION)


def lease(members: Mapping[str, Mapping[str, Any]], closed: Mapping[str, str] | None = None, **journal: Any) -> Lease:
    facts = {
        "runId": "",
        "notify": "failures",
        "operation": "Install",
        "snapshotId": SNAPSHOT,
        "min": 1,
        "max": 4,
        "desired": 3,
        "surges": 0,
        "notSurged": "",
        "planned": [ONE, TWO, THREE],
        "memberIds": [ONE, TWO, THREE],
    }
    return Lease(
        subject=Group("web"),
        holder=Holder(EXECUTION, 0),
        phase=ACTIVE,
        started=START,
        since=START,
        phase_since=START,
        journal={**facts, **journal},
        intents={},
        wait=None,
        members=members,
        closed=closed,
    )


def test_a_name_is_all_that_a_roll_needs() -> None:
    request = read({"groupName": "web"})

    assert (request.group.name, request.run_id, request.only) == ("web", "", frozenset())
    assert request.policy["batch"] == 1
    assert request.policy["onMemberFailure"] == "return"


def test_the_members_of_one_execution_share_a_snapshot_that_stays_the_same() -> None:
    first, second = read({"groupName": "web"}), read({"groupName": "web"})

    assert first.snapshot_id == second.snapshot_id != SNAPSHOT
    assert read({"groupName": "web", "snapshotId": SNAPSHOT.upper()}).snapshot_id == SNAPSHOT


def test_the_input_stands_above_the_settings_of_the_account() -> None:
    request = read({"groupName": "web", "policy": {"batch": 3}}, {"batch": 2, "onMemberFailure": "hold"})

    assert (request.policy["batch"], request.policy["onMemberFailure"]) == (3, "hold")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "input.groupName: is required"),
        ({"groupName": ""}, "input.groupName"),
        ({"groupName": "w" * 256}, "input.groupName"),
        ({"groupName": ["web"]}, "input.groupName"),
        ({"groupName": "web", "only": "i-1"}, "input.only"),
        ({"groupName": "web", "only": ["web-1"]}, "input.only[0]"),
        ({"groupName": "web", "snapshotId": "newest"}, "input.snapshotId"),
        ({"groupName": "web", "members": []}, "input.members: unknown"),
        ("web", "input"),
        (None, "input"),
    ],
)
def test_a_wrong_input_is_refused_with_what_is_wrong(given: object, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(given)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"batch": 0}, "policy.batch"),
        ({"batch": 21}, "policy.batch"),
        ({"minHealthy": "half"}, "policy.minHealthy"),
        ({"minHealthy": -1}, "policy.minHealthy"),
        ({"minHealthy": "101%"}, "policy.minHealthy"),
        ({"onMemberFailure": "ignore"}, "policy.onMemberFailure"),
    ],
)
def test_a_wrong_policy_is_refused_with_what_is_wrong(policy: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidPolicyError) as caught:
        read({"groupName": "web", "policy": policy})

    assert said in str(caught.value)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(InvalidInputError) as caught:
        read({"only": ["x"], "wat": 1, "policy": {"batch": 0}})

    for said in ("input.groupName", "input.only[0]", "input.wat", "policy.batch"):
        assert said in str(caught.value)


def test_a_roll_whose_members_are_all_patched_succeeded() -> None:
    facts = describe_group(lease(dict.fromkeys([ONE, TWO, THREE], PATCHED)), None, [])

    assert (facts["outcome"], facts["failure"]) == ("succeeded", None)
    assert facts["sizes"] == {"min": 1, "max": 4, "desired": 3}


@pytest.mark.parametrize("outcome", ["gone", "skipped", "busy"])
def test_a_member_that_was_not_there_to_be_patched_is_no_failure(outcome: str) -> None:
    members = {ONE: PATCHED, TWO: {"outcome": outcome, "error": "X", "cause": "y"}, THREE: PATCHED}

    assert describe_group(lease(members), None, [])["outcome"] == "succeeded"


def test_a_member_that_failed_fails_the_roll_and_the_rest_was_not_attempted() -> None:
    facts = describe_group(lease({ONE: PATCHED, TWO: BROKEN}, STOPPED), None, [])

    assert facts["outcome"] == "failed"
    assert facts["failure"] == {"error": "MachinesFailedError", "cause": f"web: {TWO} failed"}
    assert [facts["members"][one]["outcome"] for one in (ONE, TWO, THREE)] == ["succeeded", "failed", "not_attempted"]
    assert facts["members"][THREE]["error"] == "RollStoppedError"
    assert facts["members"][THREE]["cause"] == "1 of its members failed"


def test_a_gate_that_closed_fails_the_roll_with_its_reason() -> None:
    closed = {"error": "AlarmRingingError", "reason": "alarm errors is in ALARM"}

    facts = describe_group(lease({ONE: PATCHED}, closed), None, [])

    assert facts["failure"]["error"] == "RollStoppedError"
    assert facts["failure"]["cause"] == "web: 2 were not attempted: alarm errors is in ALARM"
    assert facts["members"][TWO]["error"] == "AlarmRingingError"


def test_a_member_whose_end_is_not_known_failed() -> None:
    facts = describe_group(lease({ONE: PATCHED, TWO: {"at": "2026-01-13T01:00:00.000Z"}, THREE: PATCHED}), None, [])

    assert facts["members"][TWO]["outcome"] == "failed"
    assert facts["failure"]["error"] == "MachinesFailedError"


def test_the_first_failure_of_a_roll_stands() -> None:
    first = {"error": "AwsCallFailedError", "cause": "denied"}

    facts = describe_group(lease({ONE: PATCHED, TWO: BROKEN}), first, ["a note"])

    assert facts["failure"] == first
    assert facts["members"][THREE]["outcome"] == "not_attempted"
    assert "a note" in facts["problems"]


def test_what_an_execution_ends_with_names_each_member_and_stays_small() -> None:
    ids = [f"i-{number:017x}" for number in range(500)]
    facts = describe_group(lease(dict.fromkeys(ids, PATCHED), planned=ids), None, [])

    output = summarise_group(facts)

    assert output["members"] == dict.fromkeys(ids, "succeeded")
    assert (output["groupName"], output["outcome"], output["failure"]) == ("web", "succeeded", None)
    assert len(json.dumps(output)) < 256 * 1024 / 8


def test_a_refused_execution_ends_without_members() -> None:
    failure = {"error": "GroupBusyError", "cause": "web: held"}

    output = summarise_group({"outcome": "refused", "failure": failure})

    assert output == {"groupName": "", "outcome": "refused", "members": {}, "failure": failure}
