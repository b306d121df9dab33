"""Reading the request, and why a machine is not admitted."""

from __future__ import annotations

from typing import Any, cast

import pytest

from drydock.errors import (
    DrydockError,
    InstanceExcludedError,
    InstanceInGroupError,
    InstanceNotFoundError,
    InstanceNotPatchableError,
    InstanceNotReadyError,
    InstanceNotRunningError,
    InvalidInputError,
    InvalidPolicyError,
)
from drydock.machine.refusal import refusal
from drydock.request.instance import read_request
from drydock.request.policy import DEFAULTS, Policy
from drydock.subject import Group
from tests.unit.world import EXECUTION, INSTANCE, OTHER_EXECUTION, SNAPSHOT, merge

NAME = "/drydock/policy"


def read(given: object, account: str = "{}", execution: str = EXECUTION) -> Any:
    return read_request(given, account, NAME, execution)


def test_the_instance_id_is_enough() -> None:
    request = read({"instanceId": INSTANCE})

    assert (request.instance_id, request.run_id, request.group, request.policy) == (INSTANCE, "", None, DEFAULTS)


def test_everything_that_is_given_is_used() -> None:
    request = read(
        {
            "instanceId": "i-12345678",
            "policy": {"reboot": "NoReboot"},
            "runId": "run-7",
            "snapshotId": SNAPSHOT,
            "group": "web servers",
        }
    )

    assert (request.instance_id, request.run_id, request.group) == ("i-12345678", "run-7", Group("web servers"))
    assert (request.snapshot_id, request.policy["reboot"]) == (SNAPSHOT, "NoReboot")


def test_an_execution_without_a_snapshot_of_its_run_always_has_the_same_one_of_its_own() -> None:
    first, again = read({"instanceId": INSTANCE}), read({"instanceId": INSTANCE})
    another = read({"instanceId": INSTANCE}, execution=OTHER_EXECUTION)

    assert first.snapshot_id == again.snapshot_id != another.snapshot_id
    assert read({"instanceId": INSTANCE, "snapshotId": first.snapshot_id}).snapshot_id == first.snapshot_id


@pytest.mark.parametrize(
    ("given", "mistake"),
    [
        ({}, "input.instanceId: is required"),
        ([], "input: [] is not an object"),
        (None, "input: None is not an object"),
        ({"instanceId": "web-1"}, "input.instanceId: 'web-1' is not an instance id"),
        ({"instanceId": INSTANCE + "0"}, "input.instanceId"),
        ({"instanceId": INSTANCE.upper()}, "input.instanceId"),
        ({"instanceId": 5}, "input.instanceId: 5 is not"),
        ({"instanceId": INSTANCE, "instanceID": INSTANCE}, "input.instanceID: unknown"),
        ({"instanceId": INSTANCE, "runId": "a b"}, "input.runId: 'a b' is not a run id"),
        ({"instanceId": INSTANCE, "snapshotId": "1"}, "input.snapshotId: '1' is not a GUID"),
        ({"instanceId": INSTANCE, "group": ""}, "input.group: '' is not the name"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_input_is_refused_by_name(given: object, mistake: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read(given)

    assert str(refused.value).startswith(mistake)


def test_a_wrong_policy_alone_is_an_invalid_policy() -> None:
    with pytest.raises(InvalidPolicyError, match=r"policy\.reboot: 'maybe' is not one of"):
        read({"instanceId": INSTANCE, "policy": {"reboot": "maybe"}})


def test_a_snapshot_id_is_compared_in_small_letters() -> None:
    given = SNAPSHOT[:-1] + "A"

    assert read({"instanceId": INSTANCE, "snapshotId": given}).snapshot_id == given.lower()


def test_mistakes_of_input_policy_and_settings_are_told_together() -> None:
    with pytest.raises(InvalidInputError) as refused:
        read({"instance": INSTANCE, "policy": {"reboot": "maybe"}}, '{"notify": "never"}')

    for part in ("input.instance: unknown", "input.instanceId: is required", "policy.reboot", f"{NAME}: policy.notify"):
        assert part in str(refused.value)


def an_instance(state: str = "running", tags: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    listed = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
    return {"InstanceId": INSTANCE, "State": {"Name": state}, "RootDeviceType": "ebs", "Tags": listed, **more}


WINDOWS_UPDATE = {"document": "AWS-InstallWindowsUpdates"}
GROUP = {"aws:autoscaling:groupName": "web"}


@pytest.mark.parametrize(
    ("instance", "policy"),
    [
        (an_instance(), {}),
        (an_instance(PlatformDetails="Linux/UNIX"), {}),
        (an_instance("stopped"), {}),
        (an_instance(Platform="windows"), WINDOWS_UPDATE),
        (an_instance(InstanceLifecycle="spot"), {}),
        (an_instance("running"), {"operation": "Scan"}),
        (an_instance("stopped"), {"operation": "Scan", "startForScan": True}),
        (an_instance("stopped"), {"operation": "UpdateAgents"}),
        (an_instance(), {**WINDOWS_UPDATE, "operation": "UpdateAgents"}),
    ],
    ids=["running", "Linux", "stopped", "Windows Update", "running Spot", "scan", "scan with start", "agents", "any"],
)
def test_a_usual_machine_is_admitted(instance: dict[str, Any], policy: dict[str, Any]) -> None:
    assert refusal(instance, cast(Policy, merge(DEFAULTS, policy)), False) is None


@pytest.mark.parametrize(
    ("instance", "policy", "error", "says"),
    [
        (an_instance("terminated"), {}, InstanceNotFoundError, "is terminated"),
        (an_instance("shutting-down"), {}, InstanceNotFoundError, "is shutting-down"),
        (an_instance("pending"), {}, InstanceNotReadyError, "is pending"),
        (an_instance("stopping"), {}, InstanceNotReadyError, "is stopping"),
        (an_instance(tags={"DrydockExclude": "legacy"}), {}, InstanceExcludedError, "legacy"),
        (an_instance(tags={"DrydockExclude": ""}), {}, InstanceExcludedError, "no reason"),
        (an_instance("stopping", tags={"DrydockExclude": "x"}), {}, InstanceExcludedError, "x"),
        (an_instance(tags=GROUP), {}, InstanceInGroupError, "Auto Scaling group web"),
        (an_instance(RootDeviceType="instance-store"), {}, InstanceNotPatchableError, "instance store"),
        (an_instance(PlatformDetails="macOS"), {}, InstanceNotPatchableError, "not macOS"),
        (an_instance("stopped", InstanceLifecycle="spot"), {}, InstanceNotPatchableError, "Spot"),
        (an_instance(), WINDOWS_UPDATE, InstanceNotPatchableError, "the instance runs Linux"),
        (an_instance("stopped"), {"operation": "Scan"}, InstanceNotRunningError, "startForScan"),
    ],
    ids=[
        "terminated",
        "shutting down",
        "pending",
        "stopping",
        "excluded",
        "excluded without a reason",
        "excluded and stopping",
        "in a group",
        "instance store",
        "macOS",
        "stopped Spot",
        "Windows Update on Linux",
        "scan of a stopped machine",
    ],
)
def test_a_machine_that_cannot_be_patched_is_refused_with_the_reason(
    instance: dict[str, Any], policy: dict[str, Any], error: type[DrydockError], says: str
) -> None:
    found = refusal(instance, cast(Policy, merge(DEFAULTS, policy)), False)

    assert type(found) is error
    assert INSTANCE in str(found) and says in str(found)


def test_a_member_of_a_group_is_admitted_when_the_groups_lease_names_it() -> None:
    assert refusal(an_instance(tags=GROUP), DEFAULTS, True) is None
