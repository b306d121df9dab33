"""What a roll is asked for, and what its lease tells of it: every member that was planned has one outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer

from drydock.errors import Failure, InvalidInputError, InvalidPolicyError
from drydock.group.admission import _name_of
from drydock.group.rolling import result_of_roll, summarise_group
from drydock.records import intents
from drydock.records.group_leases import fit_texts
from drydock.records.holder import Holder
from drydock.records.leases import ACTIVE, Lease
from drydock.records.results import Result, Roll
from drydock.request.group import GroupRequest, read_group_request
from drydock.subject import Group
from drydock.times import to_text
from rehearsal.engine.dynamodb.values import size_of
from tests.unit.fakes import START
from tests.unit.records.recorded import a_group_result
from tests.unit.world import EXECUTION, SNAPSHOT

ONE, TWO, THREE = (f"i-{number:017x}" for number in (1, 2, 3))
PATCHED = {"outcome": "succeeded", "move": "exit", "error": "", "cause": ""}
BROKEN = {"outcome": "failed", "move": "exit", "error": "PatchingFailedError", "cause": "patches are missing"}
MOST_OF_GROUP = 300_000
"""Bytes: far enough from the 400 KB that an item of DynamoDB may have."""
STOPPED = {"error": "RollStoppedError", "reason": "1 of its members failed"}


def read(given: object, settings: Mapping[str, Any] | None = None) -> GroupRequest:
    return read_group_request(given, json.dumps(settings or {}), "/drydock/policy", EXECUTION)


def bytes_of(item: Mapping[str, Any]) -> int:
    return size_of({key: TypeSerializer().serialize(value) for key, value in item.items()})


def an_instance(name: str) -> Mapping[str, Any]:
    return {"InstanceId": ONE, "Tags": [{"Key": "Name", "Value": name}]}


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


def end_of(lease: Lease, failure: Failure | None = None, problems: Sequence[str] = ()) -> Result:
    return result_of_roll(lease, failure, problems, START)


def rolled(result: Result) -> Roll:
    assert result.roll is not None
    return result.roll


def test_a_roll_whose_members_are_all_patched_succeeded() -> None:
    found = end_of(lease(dict.fromkeys([ONE, TWO, THREE], PATCHED)))

    assert (found.outcome, found.failure) == ("succeeded", None)
    assert rolled(found).sizes == {"min": 1, "max": 4, "desired": 3}


@pytest.mark.parametrize("outcome", ["gone", "skipped", "busy"])
def test_a_member_that_was_not_there_to_be_patched_is_no_failure(outcome: str) -> None:
    members = {ONE: PATCHED, TWO: {"outcome": outcome, "error": "X", "cause": "y"}, THREE: PATCHED}

    assert end_of(lease(members)).outcome == "succeeded"


def test_a_member_that_failed_fails_the_roll_and_the_rest_was_not_attempted() -> None:
    found = end_of(lease({ONE: PATCHED, TWO: BROKEN}, STOPPED))

    assert found.outcome == "failed"
    assert found.failure == {"error": "MachinesFailedError", "cause": f"web: {TWO} failed"}
    assert [rolled(found).members[one].outcome for one in (ONE, TWO, THREE)] == ["succeeded", "failed", "not_attempted"]
    assert rolled(found).members[THREE].error == "RollStoppedError"
    assert rolled(found).members[THREE].cause == "1 of its members failed"


def test_a_gate_that_closed_fails_the_roll_with_its_reason() -> None:
    closed = {"error": "AlarmRingingError", "reason": "alarm errors is in ALARM"}

    found = end_of(lease({ONE: PATCHED}, closed))

    cause = "web: 2 were not attempted: alarm errors is in ALARM"
    assert found.failure == {"error": "RollStoppedError", "cause": cause}
    assert rolled(found).members[TWO].error == "AlarmRingingError"


def test_a_member_whose_end_is_not_known_failed() -> None:
    found = end_of(lease({ONE: PATCHED, TWO: {"at": "2026-01-13T01:00:00.000Z"}, THREE: PATCHED}))

    assert rolled(found).members[TWO].outcome == "failed"
    assert found.failure is not None and found.failure["error"] == "MachinesFailedError"


def test_the_first_failure_of_a_roll_stands() -> None:
    first: Failure = {"error": "AwsCallFailedError", "cause": "denied"}

    found = end_of(lease({ONE: PATCHED, TWO: BROKEN}), first, ["a note"])

    assert found.failure == first
    assert rolled(found).members[THREE].outcome == "not_attempted"
    assert "a note" in rolled(found).problems


def test_what_an_execution_ends_with_names_each_member_and_stays_small() -> None:
    ids = [f"i-{number:017x}" for number in range(500)]
    found = end_of(lease(dict.fromkeys(ids, PATCHED), planned=ids))

    output = summarise_group(found)

    assert output["members"] == dict.fromkeys(ids, "succeeded")
    assert (output["groupName"], output["outcome"], output["failure"]) == ("web", "succeeded", None)
    assert len(json.dumps(output)) < 256 * 1024 / 8


@pytest.mark.parametrize("given_back", [False, True])
def test_a_group_of_five_hundred_whose_every_tag_is_refused_fits_into_its_items(given_back: bool) -> None:
    ids = [f"i-{number:017x}" for number in range(500)]
    said = "EC2は、この操作を拒否しました。" * 200
    end = {
        "outcome": "failed",
        "error": "InstanceStartFailedError",
        "verdict": "patched_reported_failed",
        "move": "replace",
        "imageId": "ami-0123456789abcdef0",
        "cause": said,
        "note": said,
        "at": to_text(START),
        "endedAt": to_text(START),
    }
    # What a pass of give_back finds out of a member is in no lease, and as long as AWS has said it.
    members = {one: end if given_back else fit_texts(end, len(ids)) for one in ids}
    names = {one: _name_of(an_instance("東京の基幹システム" * 28)) for one in ids}
    journal: dict[str, Any] = {"planned": ids, "memberIds": ids, "names": names}
    turns = (intents.enter_standby, intents.exit_standby)

    full = lease(members, **journal)
    result = end_of(full, problems=[f"{one}: {said}" for one in ids])

    announced = {turn(one): {"at": to_text(START)} for one in ids for turn in turns}
    if not given_back:
        assert bytes_of({"journal": full.journal, "intents": announced, "members": full.members}) < MOST_OF_GROUP
    assert bytes_of(result.to_item()) < MOST_OF_GROUP
    assert len(rolled(result).members) == 500
    assert all(member.cause and member.cause.endswith("…") for member in rolled(result).members.values())


def test_a_small_group_keeps_long_texts() -> None:
    said = "x" * 500

    (member,) = rolled(end_of(lease({ONE: {**BROKEN, "cause": said}}, planned=[ONE]))).members.values()

    assert member.cause == said


def test_a_refused_execution_ends_without_members() -> None:
    failure: Failure = {"error": "GroupBusyError", "cause": "web: held"}

    output = summarise_group(a_group_result("refused", failure=failure))

    assert output == {"groupName": "", "outcome": "refused", "members": {}, "failure": failure}
