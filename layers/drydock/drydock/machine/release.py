"""Release: the machine's tags, the images' deprecation dates, the result, and the end of the lease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from drydock.aws.ec2 import Instance, state_of, tags_of
from drydock.aws.services import Services
from drydock.aws.table import Write
from drydock.catalogue.saying import say
from drydock.errors import (
    AwsCallFailedError,
    Failure,
    InstanceNotFoundError,
    LeaseLostError,
    NewerSchemaError,
    ServiceUnavailableError,
    as_failure,
)
from drydock.log import logger
from drydock.machine.commands import log_key
from drydock.machine.draining import describe_drained_by
from drydock.machine.images import leave_images
from drydock.machine.power import is_gone
from drydock.machine.reboots import Settlement, describe_left, is_due, need_of, settle_reboots
from drydock.machine.roots import look_at_root, restored_root
from drydock.records import intents
from drydock.records.history import history_change, note_failure, undone_change
from drydock.records.holder import Holder
from drydock.records.image_watches import addition_of
from drydock.records.leases import ACTIVE, ADMITTING, Hold, Lease, find_lease
from drydock.records.results import (
    EndedCommand,
    Findings,
    MadeImage,
    PatchCounts,
    RestoredRoot,
    Result,
    StepTime,
    Work,
    find_result,
    put_result,
)
from drydock.request.policy import Policy
from drydock.request.step import Step
from drydock.tags import COMPLETED, COMPLETED_TAG, IN_PROGRESS, REBOOT_OWED_TAG, STACK_TAG, STATE_TAG
from drydock.telling.failures import readable_failure
from drydock.telling.handing_over import alert_later, alert_of
from drydock.times import day_in, to_text


def hook_outcomes(policy: Policy, reported: Mapping[str, str], *, is_needed: bool = True) -> dict[str, str]:
    """`ran`, `failed` or `not_needed`, for every hook asked for. One that was needed and never ran has failed."""
    if not policy or policy["operation"] != "Install":
        return {}
    never_ran = "failed" if is_needed else "not_needed"
    return {hook: reported.get(hook, never_ran) for hook, document in policy["hooks"].items() if document}


def release_instance(services: Services, step: Step) -> dict[str, Any]:
    """End the work on a machine, well or badly. Running twice changes nothing.

    Returns the execution's own output: outcome, verdict, images, and failure (error and readable cause, or None).
    """
    failure = readable_failure(step.data.get("failure"))
    try:
        lease = Hold.of(services, step.holder, step.subject).claim(intents.RELEASE).lease
    except LeaseLostError as lost:
        return _release_without_lease(services, step, failure or as_failure(lost))
    except NewerSchemaError:
        if failure is None or step.machine:
            raise
        return _write_refusal(services, step, failure)
    is_compliant = failure is None and bool(step.data.get("isAlreadyCompliant"))
    instance = find_instance(services, step.instance_id)
    reboots = settle_reboots(services, step, lease)
    verdict = _verdict(step)
    images = leave_images(services, lease, "failed" if failure else verdict, is_waited_for=failure is None)
    restored = find_restored(services, lease, instance)
    findings = _findings(step, owes_reboot=reboots.owes)
    drained = describe_drained_by(lease, findings.hooks, power_of(instance))
    problems = [
        *drained,
        *images.problems,
        *set_final_tags(
            services,
            lease,
            instance,
            succeeded=failure is None and not is_compliant,
            owes_reboot=reboots.owes,
            restored=restored,
        ),
        *_notes(step, reboots),
    ]
    work = describe_work(
        services.environment.stack,
        lease,
        images.made,
        power_after=power_of(instance),
        verdict=verdict,
        problems=problems,
        findings=findings,
        restored=restored,
    )
    result = Result(
        subject=step.subject,
        holder=step.holder,
        started=step.execution_started,
        ended=services.now(),
        outcome="failed" if failure else "already_compliant" if is_compliant else "succeeded",
        failure=failure,
        run_id=lease.journal["runId"],
        notify=lease.journal["notify"],
        work=replace(work, to_work_again=str(lease.journal["onExit"]) if drained else ""),
    )
    left_service = bool(lease.journal.get("leave"))
    history = (
        [] if failure else [history_change(services.table, result, work, services.now(), left_service=left_service)]
    )
    watches = [addition_of(services.table, watch) for watch in images.watches]
    history += undone_writes(services, lease, work)
    Hold.of(services, step.holder, step.subject).finish(ACTIVE, result, *history, *watches)
    if failure:
        note_failure(services.table, result, work, services.now())
    else:
        announce_later(services, result)
    return _summarise(result)


def _notes(step: Step, reboots: Settlement) -> list[str]:
    """What people should know besides: of the verdict, of a reboot that nobody makes, and of what is owed."""
    notes = list((step.data.get("verified") or {}).get("notes") or [])
    if step.data.get("isAlreadyCompliant"):
        counted = step.data["patchesBefore"]["pendingReboot"]
        notes += describe_left(step.machine, step.data.get("probeAtFirst"), step.policy, counted)
    if reboots.outlived:
        notes.append(say("reboot.outlived", reasons=reboots.outlived))
    return [*notes, *([say("reboot.owed")] if reboots.owes else [])]


def announce_later(services: Services, result: Result) -> None:
    """Have people told of what went well, where they hear of that. What is not handed over here, the sweep does."""
    if not result.is_to_be_told:
        return
    try:
        alert_later(services, alert_of(result.subject, result.holder, result.started))
    except (AwsCallFailedError, ServiceUnavailableError) as error:
        logger.warning("left to the sweep", reason=str(error))


def _release_without_lease(services: Services, step: Step, failure: Failure) -> dict[str, Any]:
    """The machine was refused and nothing touched, or it was released before.

    Raises LeaseLostError when give_back has taken it over: then that writes the result; and where a flow that went well
    has lost the machine.
    """
    result = _find_earlier_success(services, step) or find_result(
        services.table, step.subject, step.holder, step.execution_started
    )
    if result is None:
        lease = find_lease(services.table, step.subject)
        if lease is not None and lease.holder == step.holder and lease.phase != ADMITTING:
            raise LeaseLostError(say("release.giving_back", subject=step.subject.key))
        refusal = _write_refusal(services, step, failure)
        if step.data.get("failure") is None:
            raise LeaseLostError(f"{step.subject.key}: {failure['cause']}")
        return refusal
    if step.data.get("failure") is None and not result.went_well:
        raise LeaseLostError(say("release.given_back", subject=step.subject.key))
    return _summarise(result)


def _write_refusal(services: Services, step: Step, failure: Failure) -> dict[str, Any]:
    result = Result(
        subject=step.subject,
        holder=step.holder,
        started=step.execution_started,
        ended=services.now(),
        outcome="refused",
        failure=failure,
        run_id=str(step.data.get("runId") or ""),
        notify=str(step.data.get("notify") or ""),
    )
    put_result(services.table, result)
    return _summarise(result)


def _find_earlier_success(services: Services, step: Step) -> Result | None:
    """The result of this execution before it was redriven, when the machine was released well then."""
    for count in range(step.holder.redrive_count):
        earlier = Holder(step.holder.execution, count)
        result = find_result(services.table, step.subject, earlier, step.execution_started)
        if result is not None and result.went_well:
            return result
    return None


def _summarise(result: Result) -> dict[str, Any]:
    """What the execution says of itself; the stored result has everything."""
    return {
        "instanceId": result.subject.key,
        "outcome": result.outcome,
        "verdict": result.work.verdict if result.work else "not_patched",
        "images": result.images,
        "notes": [*result.work.problems] if result.work else [],
        "failure": result.failure,
    }


def find_restored(services: Services, lease: Lease, instance: Instance | None) -> RestoredRoot | None:
    """What came of the replacement of a lease's root volume; None where none was begun."""
    if intents.REPLACE_ROOT not in lease.intents:
        return None
    return restored_root(lease, look_at_root(services, lease, instance), instance)


def undone_writes(services: Services, lease: Lease, work: Work) -> list[Write]:
    """What goes with the result of a machine that runs from an earlier root volume now."""
    is_undone = work.restored is not None and work.restored["state"] == "replaced"
    return [undone_change(services.table, lease.instance_id, work, services.now())] if is_undone else []


def set_final_tags(
    services: Services,
    lease: Lease,
    instance: Instance | None,
    *,
    succeeded: bool,
    owes_reboot: bool | None = None,
    restored: RestoredRoot | None = None,
) -> list[str]:
    """After success the machine says so; otherwise its state tag is what the journal says. That of the stack goes.

    One that owes a reboot says since when; None leaves that as it is. A tag that somebody else has changed meanwhile is
    theirs. Returns what went wrong: it fails nothing.
    """
    if instance is None or is_gone(instance):
        return []
    is_patched = succeeded and lease.journal["operation"] == "Install"
    found = tags_of(instance)
    wanted = {
        **_final_tags(services, lease, found, is_patched=is_patched),
        **_undone_tags(found, restored),
        **_owed_tag(services, found, owes_reboot=owes_reboot),
    }
    written = {key: value for key, value in wanted.items() if value}
    removed = [key for key, value in wanted.items() if not value]
    try:
        if written:
            services.ec2.set_tags(lease.instance_id, written)
        if removed:
            services.ec2.remove_tags(lease.instance_id, removed)
    except (AwsCallFailedError, ServiceUnavailableError) as error:
        return [say("tags.not_written", tags=list(wanted), reason=str(error))]
    return []


def _final_tags(services: Services, lease: Lease, found: Mapping[str, str], *, is_patched: bool) -> dict[str, str]:
    """What Drydock's tags become, by key; an empty value stands for none. What is somebody else's now is left out."""
    journal = lease.journal
    ours = {IN_PROGRESS, journal["stateTag"]} | ({COMPLETED} if intents.RELEASE in lease.intents else set())
    wanted: dict[str, str] = {}
    if found.get(STATE_TAG, "") in ours:
        day = day_in(services.now(), services.environment.time_zone)
        wanted = {STATE_TAG: COMPLETED, COMPLETED_TAG: day} if is_patched else {STATE_TAG: journal["stateTag"]}
    if found.get(STACK_TAG, "") in (services.environment.stack, journal["stackTag"]):
        wanted[STACK_TAG] = journal["stackTag"]
    return wanted


def _undone_tags(found: Mapping[str, str], restored: RestoredRoot | None) -> dict[str, str]:
    """What a machine does not say any more that was brought back to before."""
    if restored is None or restored["state"] != "replaced":
        return {}
    said = {COMPLETED_TAG, REBOOT_OWED_TAG, *((STATE_TAG,) if found.get(STATE_TAG) in (COMPLETED, IN_PROGRESS) else ())}
    return dict.fromkeys(said & found.keys(), "")


def _owed_tag(services: Services, found: Mapping[str, str], *, owes_reboot: bool | None) -> dict[str, str]:
    """What becomes of the tag of an owed reboot, where it changes."""
    if owes_reboot is None or owes_reboot == (REBOOT_OWED_TAG in found):
        return {}
    return {REBOOT_OWED_TAG: day_in(services.now(), services.environment.time_zone) if owes_reboot else ""}


def find_instance(services: Services, instance_id: str) -> Instance | None:
    """The instance as EC2 describes it now; None when EC2 knows it no more."""
    try:
        return services.ec2.describe_instance(instance_id)
    except InstanceNotFoundError:
        return None


def power_of(instance: Instance | None) -> str:
    """The name of EC2's state; `gone` for an instance that EC2 knows no more."""
    return state_of(instance) if instance is not None else "gone"


def describe_work(
    stack: str,
    lease: Lease,
    images: Mapping[str, MadeImage],
    *,
    power_after: str,
    verdict: str,
    problems: Sequence[str],
    findings: Findings | None,
    restored: RestoredRoot | None = None,
) -> Work:
    """What was done to a machine, by its lease: that tells it also when its owner died."""
    journal = lease.journal
    return Work(
        name=journal["name"],
        platform=journal["platform"],
        patch_group=journal["patchGroup"],
        snapshot_id=journal["snapshotId"],
        operation=journal["operation"],
        power_before=journal["power"],
        power_after=power_after,
        times={intent.name: to_text(intent.at) for intent in lease.intents.values()},
        images=images,
        commands=[
            {
                "step": intent.name,
                "commandId": intent.id,
                "document": intent.facts["document"],
                "parameters": intent.facts["parameters"],
                "sentAt": to_text(intent.at),
                "logKey": log_key(stack, lease.instance_id, lease.holder, intent.id) if intent.id else "",
            }
            for intent in sorted(lease.intents.values(), key=lambda intent: intent.at)
            if "purpose" in intent.facts
        ],
        verdict=verdict,
        problems=problems,
        findings=findings,
        steps=step_times(lease, findings.commands if findings else (), images),
        restored=restored,
    )


_NO_STEPS = (intents.TAG, intents.RELEASE)


def step_times(lease: Lease, ended: Sequence[EndedCommand], images: Mapping[str, MadeImage]) -> list[StepTime]:
    """When each step began and was over: ISO 8601 in UTC.

    The end of a command is known; every other step was over when the next one began, since the flow waits for it. One
    that has no end is an image that is pending still.
    """
    pending = {image["imageId"] for image in images.values() if image["state"] == "pending"}
    ends = {command["commandId"]: command["endedAt"] for command in ended}
    begun = sorted(lease.intents.values(), key=lambda intent: intent.at)
    return [
        {
            "name": intent.name,
            "beganAt": to_text(intent.at),
            "endedAt": ends.get(intent.id)
            or ("" if intent.id in pending or number == len(begun) else to_text(begun[number].at)),
        }
        for number, intent in enumerate(begun, 1)
        if intent.name not in _NO_STEPS
    ]


def _verdict(step: Step) -> str:
    """That of the evidence; without one, by whether it was begun to install."""
    if step.data.get("isAlreadyCompliant") and not step.data.get("failure"):
        counted = step.data["patchesBefore"]["pendingReboot"]
        return "pending_reboot" if is_due(step.data.get("probeAtFirst"), step.policy, counted) else "compliant"
    verified = step.data.get("verified") or {}
    return str(verified.get("verdict") or ("unknown" if step.data.get("isPatching") else "not_patched"))


def _findings(step: Step, *, owes_reboot: bool) -> Findings:
    """What the state machine gathered on its way, as far as it came."""
    data = step.data
    asked = data.get("probeAfterInstall") or data.get("probeAfter") or data.get("probeAtFirst")
    verified = data.get("verified") or {}
    before: PatchCounts | None = data.get("patchesBefore") or None
    after: PatchCounts | None = verified.get("patches") or (before if data.get("isAlreadyCompliant") else None)
    return Findings(
        rebooted=bool(verified.get("rebooted")),
        reboot={
            "need": need_of(asked),
            "reasons": asked["rebootReasons"] if asked else [],
            "countedByAws": after["pendingReboot"] if after else -1,
            "isOwed": owes_reboot,
        },
        patches_before=before,
        patches_after=after,
        installed=verified.get("installed") or [],
        agent_before=_agent_version(data.get("probeBefore") or data.get("probeAtFirst")),
        agent_after=_agent_version(data.get("probeAfter")),
        agents=verified.get("agents") or [],
        hooks=hook_outcomes(step.policy, data.get("hooks") or {}, is_needed=not data.get("isAlreadyCompliant")),
        commands=_ended_commands(step),
        policy=step.policy,
    )


def _agent_version(probe: Mapping[str, Any] | None) -> str:
    return str((probe or {}).get("agentVersion", ""))


def _ended_commands(step: Step) -> list[EndedCommand]:
    """How the commands of the flow ended, of which a state has seen the end."""
    data = step.data
    seen = [
        *(data.get("installs") or []),
        *(data.get("updates") or {}).values(),
        data.get("probeAtFirst"),
        data.get("probeBefore"),
        data.get("owedReboot"),
        data.get("probeBeforeInstall"),
        data.get("probeAfterInstall"),
        data.get("probeBeforeImage"),
        data.get("probeAfter"),
        data.get("scan"),
        data.get("health"),
    ]
    return [
        {
            "commandId": outcome["commandId"],
            "status": outcome["status"],
            "statusDetails": outcome["statusDetails"],
            "responseCode": outcome["responseCode"],
            "endedAt": outcome["endedAt"],
            "errorOutput": outcome.get("errorOutput") or [],
        }
        for outcome in seen
        if outcome and "commandId" in outcome
    ]
