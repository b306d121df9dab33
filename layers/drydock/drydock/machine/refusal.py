"""Why a machine is not patched as it is: pure decisions."""

from __future__ import annotations

from datetime import datetime

from drydock.aws.ec2 import Instance, platform_of, state_of, tags_of
from drydock.errors import (
    DrydockError,
    InstanceDoneError,
    InstanceExcludedError,
    InstanceInGroupError,
    InstanceNotFoundError,
    InstanceNotPatchableError,
    InstanceNotReadyError,
    InstanceNotRunningError,
    InstanceOfOtherStackError,
)
from drydock.machine.ownership import NO_MEMBERSHIP, Membership, cluster_of, refusal_by_owner
from drydock.records.history import History
from drydock.request.policy import INSTALL_WINDOWS_UPDATES, RESTORE, Policy
from drydock.tags import EXCLUDE_TAG, GROUP_TAG, IN_PROGRESS, STACK_TAG, STATE_TAG


def refusal(
    instance: Instance, policy: Policy, member_of_leased_group: bool, membership: Membership = NO_MEMBERSHIP
) -> DrydockError | None:
    """Why an instance is not admitted as it is, or None. InstanceNotReadyError passes by itself."""
    instance_id, state, tags = instance["InstanceId"], state_of(instance), tags_of(instance)
    if state in ("shutting-down", "terminated"):
        return InstanceNotFoundError(f"{instance_id}: is {state}")
    if EXCLUDE_TAG in tags:
        return InstanceExcludedError(f"{instance_id}: tag {EXCLUDE_TAG} says: {tags[EXCLUDE_TAG] or 'no reason'}")
    not_ours = refusal_by_owner(instance, membership) or refusal_as_node(instance, policy, membership)
    if not_ours is not None:
        return not_ours
    if GROUP_TAG in tags and not member_of_leased_group:
        return InstanceInGroupError(
            f"{instance_id}: is a member of Auto Scaling group {tags[GROUP_TAG]}, which would replace it; "
            "the group's roll has to patch it"
        )
    if state in ("pending", "stopping"):
        return InstanceNotReadyError(f"{instance_id}: is {state}")
    if "mac" in str(instance.get("PlatformDetails", "")).lower():
        return InstanceNotPatchableError(f"{instance_id}: Drydock patches Windows and Linux, not macOS")
    if instance.get("RootDeviceType", "ebs") != "ebs":
        return InstanceNotPatchableError(f"{instance_id}: its root device is an instance store: no image, no stop")
    if instance.get("InstanceLifecycle") == "spot" and state == "stopped":
        return InstanceNotPatchableError(f"{instance_id}: only EC2 itself can start a stopped Spot instance")
    patches = policy["operation"] in ("Install", "Scan")
    if patches and policy["document"] == INSTALL_WINDOWS_UPDATES and platform_of(instance) != "Windows":
        return InstanceNotPatchableError(
            f"{instance_id}: policy.document is {INSTALL_WINDOWS_UPDATES}, the instance runs {platform_of(instance)}"
        )
    if policy["operation"] == "Scan" and state == "stopped" and not policy["startForScan"]:
        return InstanceNotRunningError(
            f"{instance_id}: is stopped; a Scan starts it only when policy.startForScan is true"
        )
    return None


def refusal_as_node(instance: Instance, policy: Policy, membership: Membership) -> DrydockError | None:
    """Why a node of a cluster is left alone, or None. A Scan disturbs nothing that runs there.

    No node is brought back to an earlier root volume: its cluster replaces it.
    """
    cluster = cluster_of(instance, membership.group_tags)
    is_included = cluster is not None and policy["operation"] != RESTORE and cluster.kind in policy["include"]
    if cluster is None or policy["operation"] == "Scan" or is_included:
        return None
    return cluster.refuse(instance["InstanceId"])


def refusal_as_protected(instance_id: str) -> InstanceNotPatchableError:
    """Why a stopped machine is not started whose attribute DisableApiStop is set."""
    return InstanceNotPatchableError(
        f"{instance_id}: is stopped and stop-protected: once started it could not be stopped again"
    )


def refusal_by_guard(instance: Instance, guard_tag: str) -> InstanceNotPatchableError | None:
    """Why this stack may not change an instance, when it needs a tag for that."""
    if not guard_tag or tags_of(instance).get(guard_tag) == "true":
        return None
    return InstanceNotPatchableError(
        f"{instance['InstanceId']}: this stack changes only instances with the tag {guard_tag} = true"
    )


def refusal_by_stack(instance: Instance, stack: str) -> InstanceOfOtherStackError | None:
    """That another stack of the account has an instance in work: its lease is in a table that this one cannot see."""
    tags = tags_of(instance)
    other = tags.get(STACK_TAG, "")
    if tags.get(STATE_TAG) != IN_PROGRESS or other in ("", stack):
        return None
    return InstanceOfOtherStackError(f"{instance['InstanceId']}: stack {other} has it in work, as its tags say")


def done_since(history: History | None, since: datetime) -> InstanceDoneError | None:
    """That the same was done to an instance at this time or later, and by whom."""
    if history is None or history.done is None or history.done < since:
        return None
    by = history.done_by.rpartition(":")[2]
    return InstanceDoneError(f"{history.instance_id}: {by} did the same at {history.done:%Y-%m-%d %H:%M} UTC")
