"""Why a machine is not patched as it is: pure decisions."""

from __future__ import annotations

from datetime import datetime

from drydock.aws.ec2 import Instance, platform_of, state_of, tags_of
from drydock.catalogue.saying import say
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
        return InstanceNotFoundError(say("machine.in_state", machine=instance_id, state=state))
    if EXCLUDE_TAG in tags:
        why = tags[EXCLUDE_TAG]
        return InstanceExcludedError(
            say("machine.excluded.why", machine=instance_id, tag=EXCLUDE_TAG, why=why)
            if why
            else say("machine.excluded", machine=instance_id, tag=EXCLUDE_TAG)
        )
    not_ours = refusal_by_owner(instance, membership) or refusal_as_node(instance, policy, membership)
    if not_ours is not None:
        return not_ours
    if GROUP_TAG in tags and not member_of_leased_group:
        return InstanceInGroupError(say("machine.in_group", machine=instance_id, group=tags[GROUP_TAG]))
    if state in ("pending", "stopping"):
        return InstanceNotReadyError(say("machine.in_state", machine=instance_id, state=state))
    if "mac" in str(instance.get("PlatformDetails", "")).lower():
        return InstanceNotPatchableError(say("machine.macos", machine=instance_id))
    if instance.get("RootDeviceType", "ebs") != "ebs":
        return InstanceNotPatchableError(say("machine.instance_store", machine=instance_id))
    if instance.get("InstanceLifecycle") == "spot" and state == "stopped":
        return InstanceNotPatchableError(say("machine.stopped_spot", machine=instance_id))
    patches = policy["operation"] in ("Install", "Scan")
    if patches and policy["document"] == INSTALL_WINDOWS_UPDATES and platform_of(instance) != "Windows":
        return InstanceNotPatchableError(
            say(
                "machine.other_platform",
                machine=instance_id,
                document=INSTALL_WINDOWS_UPDATES,
                platform=platform_of(instance),
            )
        )
    if policy["operation"] == "Scan" and state == "stopped" and not policy["startForScan"]:
        return InstanceNotRunningError(say("machine.not_started_for_scan", machine=instance_id))
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
    return InstanceNotPatchableError(say("machine.stop_protected", machine=instance_id))


def refusal_by_guard(instance: Instance, guard_tag: str) -> InstanceNotPatchableError | None:
    """Why this stack may not change an instance, when it needs a tag for that."""
    if not guard_tag or tags_of(instance).get(guard_tag) == "true":
        return None
    return InstanceNotPatchableError(say("machine.without_guard_tag", machine=instance["InstanceId"], tag=guard_tag))


def refusal_by_stack(instance: Instance, stack: str) -> InstanceOfOtherStackError | None:
    """That another stack of the account has an instance in work: its lease is in a table that this one cannot see."""
    tags = tags_of(instance)
    other = tags.get(STACK_TAG, "")
    if tags.get(STATE_TAG) != IN_PROGRESS or other in ("", stack):
        return None
    return InstanceOfOtherStackError(say("machine.of_other_stack", machine=instance["InstanceId"], stack=other))


def done_since(history: History | None, since: datetime) -> InstanceDoneError | None:
    """That the same was done to an instance at this time or later, and by whom."""
    if history is None or history.done is None or history.done < since:
        return None
    by = history.done_by.rpartition(":")[2]
    return InstanceDoneError(say("machine.done", machine=history.instance_id, execution=by, moment=history.done))
