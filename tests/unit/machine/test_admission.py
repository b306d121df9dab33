"""Reading the request, and why a machine is not admitted."""

from __future__ import annotations

from typing import Any, cast

import pytest

from drydock.errors import (
    ClusterNodeError,
    DrydockError,
    InstanceExcludedError,
    InstanceHibernatedError,
    InstanceInGroupError,
    InstanceManagedByServiceError,
    InstanceNotFoundError,
    InstanceNotPatchableError,
    InstanceNotReadyError,
    InstanceNotRunningError,
    InvalidInputError,
    InvalidPolicyError,
    MemberInReserveError,
)
from drydock.machine.ownership import Membership
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


PROFILE = {"Arn": "arn:aws:iam::123456789012:instance-profile/ecsInstanceRole", "Id": "AIPA"}


@pytest.mark.parametrize(
    ("tags", "more", "says"),
    [
        ({"eks:cluster-name": "prod", "eks:nodegroup-name": "w"}, {}, "a Kubernetes cluster (prod), by its tag eks:"),
        ({"kubernetes.io/cluster/prod": "owned"}, {}, "a Kubernetes cluster (prod), by its tag kubernetes.io/cluster/"),
        ({"k8s.io/cluster-autoscaler/enabled": "true"}, {}, "a Kubernetes cluster, by its tag k8s.io/"),
        ({"KubernetesCluster": "kops"}, {}, "a Kubernetes cluster (kops)"),
        (
            {"karpenter.sh/nodepool": "a", "kubernetes.io/cluster/prod": "owned"},
            {},
            "launched by Karpenter, by its tag",
        ),
        ({"AmazonECSManaged": ""}, {}, "an ECS cluster, by its tag AmazonECSManaged"),
        ({"AWSBatchServiceTag": "batch"}, {}, "an ECS cluster"),
        ({}, {"IamInstanceProfile": PROFILE}, "an ECS cluster, by its profile ecsInstanceRole"),
        ({"aws:elasticmapreduce:job-flow-id": "j-1"}, {}, "an EMR cluster (j-1)"),
        ({"aws:elasticmapreduce:instance-group-role": "CORE"}, {}, "an EMR cluster, by its tag"),
    ],
)
def test_a_node_of_a_cluster_is_refused_by_its_mark_with_what_to_do(
    tags: dict[str, str], more: dict[str, Any], says: str
) -> None:
    node = an_instance(tags=tags, **more)
    found = refusal(node, DEFAULTS, False)

    assert isinstance(found, ClusterNodeError)
    assert says in str(found) and "ends what runs there: " in str(found)
    assert refusal(node, cast(Policy, merge(DEFAULTS, {"operation": "Scan"})), False) is None, "a Scan only looks"
    assert isinstance(
        refusal(node, cast(Policy, merge(DEFAULTS, {"operation": "UpdateAgents"})), True), ClusterNodeError
    )


@pytest.mark.parametrize(
    "tags",
    [{"karpenter.sh/discovery": "prod"}, {"eks": "prod"}, {"Name": "kubernetes.io/cluster/prod"}, {"k8s.io": "x"}],
    ids=str,
)
def test_a_tag_that_only_reminds_of_a_cluster_marks_no_node(tags: dict[str, str]) -> None:
    assert refusal(an_instance(tags=tags), DEFAULTS, False) is None


def test_a_mark_of_the_group_counts_for_its_members() -> None:
    member = Membership("InService", {"AmazonECSManaged": "true"})

    assert isinstance(refusal(an_instance(tags=GROUP), DEFAULTS, True, member), ClusterNodeError)


HIBERNATED = {"StateReason": {"Code": "Client.UserInitiatedHibernate", "Message": "…"}}
SHUT_DOWN = {"StateReason": {"Code": "Client.UserInitiatedShutdown", "Message": "…"}}


@pytest.mark.parametrize("operation", ["Install", "Scan", "UpdateAgents"])
@pytest.mark.parametrize(
    ("instance", "lifecycle", "error", "says"),
    [
        (an_instance(Operator={"Managed": True, "Principal": "eks"}), "", InstanceManagedByServiceError, "to eks, and"),
        (an_instance(Operator={"Managed": True}), "", InstanceManagedByServiceError, "an AWS service"),
        (an_instance("stopped", **HIBERNATED), "", InstanceHibernatedError, "in memory"),
        (an_instance("stopping", **HIBERNATED), "", InstanceHibernatedError, "in memory"),
        (an_instance(tags=GROUP), "Terminating:Retained", MemberInReserveError, "in group web"),
        (
            an_instance(tags=GROUP),
            "Warmed:Terminating:Retained",
            MemberInReserveError,
            "is Warmed:Terminating:Retained",
        ),
        (an_instance(tags=GROUP), "Warmed:Running", MemberInReserveError, "the warm pool of group web"),
        (an_instance("stopped", tags=GROUP, **HIBERNATED), "Warmed:Hibernated", MemberInReserveError, "warm pool"),
    ],
)
def test_a_machine_that_only_its_owner_may_touch_is_refused_whatever_is_to_be_done(
    instance: dict[str, Any], lifecycle: str, error: type[DrydockError], says: str, operation: str
) -> None:
    policy = cast(Policy, merge(DEFAULTS, {"operation": operation, "startForScan": True}))
    found = refusal(instance, policy, True, Membership(lifecycle))

    assert type(found) is error
    assert says in str(found)


@pytest.mark.parametrize(
    "instance",
    [
        an_instance("running", **HIBERNATED),
        an_instance("stopped", **SHUT_DOWN),
        an_instance(Operator={"Managed": False}),
    ],
    ids=["hibernated once", "shut down", "its own"],
)
def test_a_machine_that_is_the_accounts_own_is_not_taken_for_another(instance: dict[str, Any]) -> None:
    assert refusal(instance, DEFAULTS, True, Membership("InService")) is None


def test_a_member_of_a_group_is_admitted_when_the_groups_lease_names_it() -> None:
    assert refusal(an_instance(tags=GROUP), DEFAULTS, True) is None
