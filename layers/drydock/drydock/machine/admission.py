"""Admission: what may be patched, and the lease under which it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from drydock.aws.ec2 import Instance, name_of, patch_group_of, platform_of, state_of, tags_of
from drydock.aws.executions import invoke_later
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import (
    AwsCallFailedError,
    DocumentError,
    DrydockError,
    InstanceBusyError,
    InstanceUnmanagedError,
    NotInRunError,
    RunOverError,
    RunStoppedError,
    ServiceUnavailableError,
)
from drydock.machine.evidence import count_patches
from drydock.machine.ownership import Membership
from drydock.machine.refusal import done_since, refusal, refusal_as_protected, refusal_by_guard, refusal_by_stack
from drydock.records import intents
from drydock.records.history import History, find_history
from drydock.records.holder import Holder
from drydock.records.leases import (
    ACTIVE,
    ADMITTING,
    Hold,
    Lease,
    find_lease,
)
from drydock.records.runs import MOST_RUN_ID, Run, child_execution, find_place, find_run
from drydock.records.staleness import is_stale
from drydock.request.instance import InstanceRequest, read_request
from drydock.request.policy import INSTALL_WINDOWS_UPDATES, RESTORE, Policy, documents_of, of_member
from drydock.request.step import Step
from drydock.subject import Subject
from drydock.tags import GROUP_TAG, IN_PROGRESS, STACK_TAG, STATE_TAG

Request = TypeVar("Request", bound=InstanceRequest)
Reading = Callable[[object, str, str, str], Request]
"""Checks input and settings, as `read_request` does."""
Finding = Callable[[Services, Request, Instance], Mapping[str, Any]]
"""What the journal and all later steps know besides; raises why the instance is not admitted as it is."""


def _find_nothing(services: Services, request: InstanceRequest, instance: Instance) -> Mapping[str, Any]:
    return {}


def admit_instance(services: Services, step: Step) -> dict[str, Any]:
    """Take the lease, write the journal, and return what later steps rely on.

    Raises one of the errors above; then nothing is touched and no lease is left behind. Admitting twice for the
    same execution is admitting once.
    """
    return admit(services, step, read_request, _find_nothing)


def admit(services: Services, step: Step, read: Reading[Request], find_more: Finding[Request]) -> dict[str, Any]:
    """As `admit_instance`, for what an input that is read otherwise asks for."""
    environment = services.environment
    run = find_run_of(services, step.given)
    # A run hands over its whole policy, as it was approved.
    settings = None if run else services.ssm.parameter(environment.policy_parameter)
    request = read(step.given, settings or "{}", environment.policy_parameter, step.holder.execution)
    require_open_run(run, request.instance_id)
    standing = Hold.of(services, step.holder, request.subject).take(step.execution_started)
    if standing is not None and standing.holder != step.holder:
        _refuse_busy(services, standing)
    try:
        return _admit(services, step, request, standing, find_more)
    except DrydockError:
        Hold.of(services, step.holder, request.subject).drop(ADMITTING)
        raise


def _refuse_busy(services: Services, standing: Lease) -> NoReturn:
    """Raises InstanceBusyError. A stale lease is for give_back to end; admission repairs nothing itself."""
    stale = is_stale(services, standing)
    if stale:
        invoke_later(services.environment.function("give_back"), {"subject": standing.subject.key})
    raise InstanceBusyError(
        say(
            "machine.busy.over" if stale else "machine.busy",
            machine=standing.instance_id,
            execution=standing.holder.name,
            since=standing.since,
        )
    )


def _admit(
    services: Services, step: Step, request: Request, standing: Lease | None, find_more: Finding[Request]
) -> dict[str, Any]:
    instance = services.ec2.describe_instance(request.instance_id)
    roll = _roll_of_member(services, step.holder, request)
    history = _find_history(services, request)
    if standing is None:
        _require_not_done(request, history)
        _require_admissible(services, step.holder, request, instance, is_member=roll is not None)
    more = standing.journal["more"] if standing else find_more(services, request, instance)
    tags = tags_of(instance)
    power = standing.journal["power"] if standing else state_of(instance)
    machine = {
        "name": name_of(instance),
        "platform": platform_of(instance),
        "power": power,
        "account": step.holder.account,
        "patchGroup": patch_group_of(instance),
        "snapshotId": request.snapshot_id,
        "runId": request.run_id,
        "outlivedReasons": [*history.outlived] if history is not None else [],
        "owedBootId": history.owed.boot_id if history is not None and history.owed is not None else "",
    }
    # Windows Update measures by another yardstick than the patch baseline, and agents are no patches.
    by_baseline = request.policy["document"] != INSTALL_WINDOWS_UPDATES and request.policy["operation"] not in (
        "UpdateAgents",
        RESTORE,
    )
    state = services.ssm.find_patch_state(request.instance_id) if by_baseline else None
    admitted = {
        "instanceId": request.instance_id,
        "policy": of_member(request.policy) if roll is not None else request.policy,
        "machine": {**machine, **more, "documents": request.documents},
        "patchesBefore": count_patches(services, request.instance_id, state),
        # A machine that is stopped proves nothing.
        "looks": request.policy["operation"] == "Install"
        and request.policy["whenCompliant"] == "leave"
        and power == "running",
        "leave": standing.journal["leave"] if standing else _how_to_leave(roll, request.policy),
    }
    if standing is not None:
        Hold.of(services, step.holder, request.subject).claim(intents.TAG)
    else:
        journal = {
            **machine,
            **_journal_tags(tags, services.environment.stack),
            "notify": request.policy["notify"],
            "operation": request.policy["operation"],
            "leave": admitted["leave"],
            "onExit": request.policy["hooks"]["onExit"],
            "more": dict(more),
        }
        Hold.of(services, step.holder, request.subject).activate(journal, intents.TAG)
    _tag_in_progress(services, request)
    return admitted


def _require_admissible(
    services: Services, holder: Holder, request: InstanceRequest, instance: Instance, *, is_member: bool
) -> None:
    # A roll takes members in service only.
    asks = GROUP_TAG in tags_of(instance) and not is_member
    lifecycles = services.autoscaling.lifecycles([request.instance_id]) if asks else {}
    reason = refusal(instance, request.policy, is_member, Membership(lifecycles.get(request.instance_id, "")))
    if reason is not None:
        raise reason
    # The id that a roll gives its members may be its own.
    if not is_member:
        require_place(services, holder, request.run_id, request.subject)
    environment = services.environment
    reason = refusal_by_guard(instance, environment.guard_tag) or refusal_by_stack(instance, environment.stack)
    if reason is not None:
        raise reason
    if state_of(instance) == "running":
        agent = services.ssm.find_agent(request.instance_id)
        if agent is None or not agent.online:
            raise InstanceUnmanagedError(say("machine.unmanaged", machine=request.instance_id))
    elif services.ec2.is_stop_protected(request.instance_id):
        raise refusal_as_protected(request.instance_id)
    _check_documents(services, request, platform_of(instance))


def find_run_of(services: Services, given: object) -> Run | None:
    """The run that an execution belongs to, by its input, whatever that is."""
    run_id = given.get("runId") if isinstance(given, Mapping) else None
    return find_run(services.table, run_id) if isinstance(run_id, str) and 0 < len(run_id) <= MOST_RUN_ID else None


def require_open_run(run: Run | None, subject: str) -> None:
    """Raises RunOverError: what a run that is over began too late would be in no report."""
    if run is not None and (run.is_ended or (run.closed or {}).get("error") == RunStoppedError.__name__):
        raise RunOverError(say("run.over_already", subject=subject, run=run.run_id))


def require_place(services: Services, holder: Holder, run_id: str, subject: Subject) -> None:
    """Raises NotInRunError: what a run has not let in is in none of its counts, gates and reports."""
    place = find_place(services.table, run_id, subject) if run_id else None
    if run_id and (place is None or place.execution != holder.execution):
        raise NotInRunError(say("run.not_let_in", subject=subject.key, run=run_id))


def _find_history(services: Services, request: InstanceRequest) -> History | None:
    """What was done to the machine last, where it matters: of an Install, it may owe a reboot for that."""
    operation = request.policy["operation"]
    if operation != "Install" and request.unless_done_since is None:
        return None
    return find_history(services.table, operation, request.instance_id)


def _require_not_done(request: InstanceRequest, history: History | None) -> None:
    """Raises InstanceDoneError. With the lease in hand, nobody can do it in the meantime."""
    since = request.unless_done_since
    done = done_since(history, since) if since is not None else None
    if done is not None:
        raise done


def _roll_of_member(services: Services, holder: Holder, request: InstanceRequest) -> Lease | None:
    """The lease of the roll that has come to this member, and has started this execution for it."""
    lease = find_lease(services.table, request.group) if request.group is not None else None
    if lease is None or lease.phase != ACTIVE or "outcome" in lease.members.get(request.instance_id, {"outcome": ""}):
        return None
    environment = services.environment
    own = child_execution(lease.holder, environment.stack, environment.region, request.subject)
    return lease if holder.execution == own else None


def _how_to_leave(roll: Lease | None, policy: Policy) -> dict[str, Any] | None:
    """Whose member leaves service for what is done to it, and for which roll; None for what stays where it is."""
    if roll is None or policy["operation"] == "Scan":
        return None
    owner = {"execution": roll.holder.execution, "redriveCount": roll.holder.redrive_count}
    return {"groupName": roll.group_name, "owner": owner, "runId": roll.journal["runId"]}


def _check_documents(services: Services, request: InstanceRequest, platform: str) -> None:
    """Raises DocumentError that names every document that cannot run here."""
    versions = {name: pinned["version"] for name, pinned in request.documents.items()}
    mistakes = [
        mistake
        for name in documents_of(request.policy)
        if (mistake := services.ssm.check_command_document(name, platform, versions.get(name, "$DEFAULT")))
    ]
    if mistakes:
        raise DocumentError("; ".join(mistakes))


def _journal_tags(tags: Mapping[str, str], stack: str) -> dict[str, str]:
    """The state tags as they were found, empty for none. With the lease in hand, this stack's own are left over."""
    is_left_over = tags.get(STACK_TAG) == stack
    return {
        "stateTag": "" if is_left_over and tags.get(STATE_TAG) == IN_PROGRESS else tags.get(STATE_TAG, ""),
        "stackTag": "" if is_left_over else tags.get(STACK_TAG, ""),
    }


def _tag_in_progress(services: Services, request: InstanceRequest) -> None:
    """Show people, schedulers and other stacks who works on the machine. A tag that cannot be written fails nothing."""
    try:
        services.ec2.set_tags(request.instance_id, {STATE_TAG: IN_PROGRESS, STACK_TAG: services.environment.stack})
    except (AwsCallFailedError, ServiceUnavailableError):
        return
