"""Admission: what may be patched, and the lease under which it is."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from drydock.checking import join_mistakes, moment, section, text
from drydock.ec2 import Instance, platform_of, state_of, tags_of
from drydock.errors import (
    AwsCallFailedError,
    DocumentError,
    DrydockError,
    InstanceBusyError,
    InstanceDoneError,
    InstanceExcludedError,
    InstanceInGroupError,
    InstanceNotFoundError,
    InstanceNotPatchableError,
    InstanceNotReadyError,
    InstanceNotRunningError,
    InstanceUnmanagedError,
    InvalidInputError,
    RunOverError,
    RunStoppedError,
    ServiceUnavailableError,
)
from drydock.evidence import count_patches
from drydock.executions import invoke_later
from drydock.history import History, find_history
from drydock.leases import (
    ACTIVE,
    ADMITTING,
    Lease,
    activate_lease,
    claim_intent,
    drop_lease,
    find_lease,
    group_subject,
    take_lease,
)
from drydock.policy import INSTALL_WINDOWS_UPDATES, Policy, effective_policy, require_no_mistakes
from drydock.runs import MOST_RUN_ID, Run, find_run
from drydock.services import Services
from drydock.staleness import is_stale
from drydock.step import Step
from drydock.times import from_text

STATE_TAG = "DrydockState"
COMPLETED_TAG = "DrydockCompleted"
EXCLUDE_TAG = "DrydockExclude"
GROUP_TAG = "aws:autoscaling:groupName"
IN_PROGRESS, COMPLETED = "InProgress", "Completed"

_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

GUID = text(_UUID, "a GUID")
RUN_ID = text(r"[a-zA-Z0-9_-]{1,80}", "a run id (1 to 80 of A-Z a-z 0-9 _ -)")

_check_input = section(
    {
        "instanceId": text(r"i-[0-9a-f]{8}([0-9a-f]{9})?", "an instance id such as i-0123456789abcdef0"),
        "policy": lambda path, value: [],
        "runId": RUN_ID,
        "snapshotId": GUID,
        "group": text(r".{1,255}", "the name of an Auto Scaling group"),
        "unlessDoneSince": moment,
    }
)


@dataclass(frozen=True)
class Request:
    """The input of PatchInstance, checked."""

    instance_id: str
    policy: Policy
    run_id: str
    snapshot_id: str
    group: str
    unless_done_since: datetime | None
    """A success of the same operation since then is enough."""


def read_request(given: object, settings: str, settings_name: str, execution: str) -> Request:
    """Check input and settings together.

    Raises InvalidInputError or InvalidPolicyError; either names every mistake. Without a snapshot id of the
    run, the execution has its own: the same one however often the step runs.
    """
    mistakes = _check_input("input", given)
    values: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    if isinstance(given, Mapping) and "instanceId" not in given:
        mistakes.append("input.instanceId: is required, an instance id such as i-0123456789abcdef0")
    policy, policy_mistakes = effective_policy(settings, settings_name, values.get("policy", {}))
    if mistakes:
        raise InvalidInputError(join_mistakes([*mistakes, *policy_mistakes]))
    require_no_mistakes(policy_mistakes)
    return Request(
        instance_id=str(values["instanceId"]),
        policy=policy,
        run_id=str(values.get("runId", "")),
        snapshot_id=str(values.get("snapshotId") or uuid.uuid5(uuid.NAMESPACE_URL, execution)).lower(),
        group=str(values.get("group", "")),
        unless_done_since=from_text(values["unlessDoneSince"]) if values.get("unlessDoneSince") else None,
    )


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


def admit_instance(services: Services, step: Step) -> dict[str, Any]:
    """Take the lease, write the journal, and return what later steps rely on.

    Raises one of the errors above; then nothing is touched and no lease is left behind. Admitting twice for the
    same execution is admitting once.
    """
    environment = services.environment
    run = find_run_of(services, step.given)
    # A run hands over its whole policy, as it was approved.
    settings = None if run else services.ssm.parameter(environment.policy_parameter)
    request = read_request(step.given, settings or "{}", environment.policy_parameter, step.holder.execution)
    require_open_run(run, request.instance_id)
    standing = take_lease(services.table, step.holder, request.instance_id, step.execution_started, services.now())
    if standing is not None and standing.holder != step.holder:
        _refuse_busy(services, standing)
    try:
        return _admit(services, step, request, standing)
    except DrydockError:
        drop_lease(services.table, step.holder, request.instance_id, ADMITTING)
        raise


def _refuse_busy(services: Services, standing: Lease) -> NoReturn:
    """Raises InstanceBusyError. A stale lease is for give_back to end; admission repairs nothing itself."""
    stale = is_stale(services, standing)
    if stale:
        invoke_later(services.environment.function("give_back"), {"instanceId": standing.instance_id})
    raise InstanceBusyError(
        f"{standing.instance_id}: {standing.holder.name} has held it since {standing.since:%Y-%m-%d %H:%M:%S} UTC"
        + ("; that execution is over and the machine is being given back: try again later" if stale else "")
    )


def _admit(services: Services, step: Step, request: Request, standing: Lease | None) -> dict[str, Any]:
    instance = services.ec2.describe_instance(request.instance_id)
    if standing is None:
        _require_not_done(services, request)
        _require_admissible(services, request, instance)
    tags = tags_of(instance)
    power = standing.journal["power"] if standing else state_of(instance)
    machine = {
        "name": tags.get("Name", ""),
        "platform": platform_of(instance),
        "power": power,
        "account": step.holder.account,
        "patchGroup": tags.get("Patch Group", tags.get("PatchGroup", "")),
        "snapshotId": request.snapshot_id,
        "runId": request.run_id,
    }
    # Windows Update measures by another yardstick than the patch baseline, and agents are no patches.
    by_baseline = (
        request.policy["document"] != INSTALL_WINDOWS_UPDATES and request.policy["operation"] != "UpdateAgents"
    )
    state = services.ssm.find_patch_state(request.instance_id) if by_baseline else None
    admitted = {
        "instanceId": request.instance_id,
        "policy": request.policy,
        "machine": machine,
        "patchesBefore": count_patches(services, request.instance_id, state),
    }
    if standing is not None:
        claim_intent(services.table, step.holder, request.instance_id, "tag", services.now())
    else:
        journal = {
            **machine,
            "stateTag": tags.get(STATE_TAG, ""),
            "notify": request.policy["notify"],
            "operation": request.policy["operation"],
        }
        activate_lease(services.table, step.holder, request.instance_id, journal, "tag", services.now())
    _tag_in_progress(services, request)
    return admitted


def _require_admissible(services: Services, request: Request, instance: Instance) -> None:
    reason = refusal(instance, request.policy, _is_member_of_leased_group(services, request))
    if reason is not None:
        raise reason
    unguarded = refusal_by_guard(instance, services.environment.guard_tag)
    if unguarded is not None:
        raise unguarded
    if state_of(instance) == "running":
        agent = services.ssm.find_agent(request.instance_id)
        if agent is None or not agent.online:
            raise InstanceUnmanagedError(
                f"{request.instance_id}: Systems Manager does not reach it: check the SSM Agent, the instance "
                "profile (AmazonSSMManagedInstanceCore) and the route to Systems Manager"
            )
    elif services.ec2.is_stop_protected(request.instance_id):
        raise InstanceNotPatchableError(
            f"{request.instance_id}: is stopped and stop-protected: once started it could not be stopped again"
        )
    _check_documents(services, request.policy, platform_of(instance))


def find_run_of(services: Services, given: object) -> Run | None:
    """The run that an execution belongs to, by its input, whatever that is."""
    run_id = given.get("runId") if isinstance(given, Mapping) else None
    return find_run(services.table, run_id) if isinstance(run_id, str) and 0 < len(run_id) <= MOST_RUN_ID else None


def refusal_by_guard(instance: Instance, guard_tag: str) -> InstanceNotPatchableError | None:
    """Why this stack may not change an instance, when it needs a tag for that."""
    if not guard_tag or tags_of(instance).get(guard_tag) == "true":
        return None
    return InstanceNotPatchableError(
        f"{instance['InstanceId']}: this stack changes only instances with the tag {guard_tag} = true"
    )


def done_since(history: History | None, since: datetime) -> InstanceDoneError | None:
    """That the same was done to an instance at this time or later, and by whom."""
    if history is None or history.done < since:
        return None
    by = history.done_by.rpartition(":")[2]
    return InstanceDoneError(f"{history.instance_id}: {by} did the same at {history.done:%Y-%m-%d %H:%M} UTC")


def require_open_run(run: Run | None, subject: str) -> None:
    """Raises RunOverError: what a run that is over began too late would be in no report."""
    if run is not None and (run.is_ended or (run.closed or {}).get("error") == RunStoppedError.__name__):
        raise RunOverError(f"{subject}: run {run.run_id} is over")


def _require_not_done(services: Services, request: Request) -> None:
    """Raises InstanceDoneError. With the lease in hand, nobody can do it in the meantime."""
    since = request.unless_done_since
    if since is None:
        return
    done = done_since(find_history(services.table, request.policy["operation"], request.instance_id), since)
    if done is not None:
        raise done


def _is_member_of_leased_group(services: Services, request: Request) -> bool:
    if not request.group:
        return False
    lease = find_lease(services.table, group_subject(request.group))
    member = lease.members.get(request.instance_id) if lease is not None and lease.phase == ACTIVE else None
    return member is not None and "outcome" not in member


def _check_documents(services: Services, policy: Policy, platform: str) -> None:
    """Raises DocumentError that names every document that cannot run here."""
    if policy["operation"] == "Scan":
        return
    hooks = policy["hooks"].values() if policy["operation"] == "Install" else ()
    wanted = [*map(str, hooks), policy["healthProbe"]]
    mistakes = [
        mistake
        for name in sorted(set(wanted) - {""})
        if (mistake := services.ssm.check_command_document(name, platform))
    ]
    if mistakes:
        raise DocumentError("; ".join(mistakes))


def _tag_in_progress(services: Services, request: Request) -> None:
    """Show people and schedulers that the machine is in work. A tag that cannot be written fails nothing."""
    try:
        services.ec2.set_tags(request.instance_id, {STATE_TAG: IN_PROGRESS})
    except (AwsCallFailedError, ServiceUnavailableError):
        return
