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
)
from drydock.records.history import History
from drydock.request.policy import INSTALL_WINDOWS_UPDATES, Policy
from drydock.tags import EXCLUDE_TAG, GROUP_TAG


def refusal(instance: Instance, policy: Policy, member_of_leased_group: bool) -> DrydockError | None:
    """Why an instance is not admitted as it is, or None. InstanceNotReadyError passes by itself."""
    instance_id, state, tags = instance["InstanceId"], state_of(instance), tags_of(instance)
    if state in ("shutting-down", "terminated"):
        return InstanceNotFoundError(f"{instance_id}: is {state}")
    if EXCLUDE_TAG in tags:
        return InstanceExcludedError(f"{instance_id}: tag {EXCLUDE_TAG} says: {tags[EXCLUDE_TAG] or 'no reason'}")
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
    patches = policy["operation"] != "UpdateAgents"
    if patches and policy["document"] == INSTALL_WINDOWS_UPDATES and platform_of(instance) != "Windows":
        return InstanceNotPatchableError(
            f"{instance_id}: policy.document is {INSTALL_WINDOWS_UPDATES}, the instance runs {platform_of(instance)}"
        )
    if policy["operation"] == "Scan" and state == "stopped" and not policy["startForScan"]:
        return InstanceNotRunningError(
            f"{instance_id}: is stopped; a Scan starts it only when policy.startForScan is true"
        )
    return None


def refusal_by_guard(instance: Instance, guard_tag: str) -> InstanceNotPatchableError | None:
    """Why this stack may not change an instance, when it needs a tag for that."""
    if not guard_tag or tags_of(instance).get(guard_tag) == "true":
        return None
    return InstanceNotPatchableError(
        f"{instance['InstanceId']}: this stack changes only instances with the tag {guard_tag} = true"
    )


def done_since(history: History | None, since: datetime) -> InstanceDoneError | None:
    """That the same was done to an instance at this time or later, and by whom."""
    if history is None or history.done is None or history.done < since:
        return None
    by = history.done_by.rpartition(":")[2]
    return InstanceDoneError(f"{history.instance_id}: {by} did the same at {history.done:%Y-%m-%d %H:%M} UTC")
