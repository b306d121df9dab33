"""Telling people: each cause once, to the topic of the account's settings."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from drydock.aws.ec2 import name_of, state_of, tags_of
from drydock.aws.services import Services
from drydock.aws.table import ConditionFailedError
from drydock.catalogue.saying import say
from drydock.errors import (
    CommandsNotSettledError,
    CommandTimedOutError,
    Failure,
    InstanceInGroupError,
    InstanceNotFoundError,
    NewerSchemaError,
    NotInRunError,
    PowerNotRestoredError,
    RollStoppedError,
    RootVolumeDetachedError,
    ServiceUnavailableError,
    UnreadableItemError,
)
from drydock.group.messages import group_message, group_not_given_back_message, needs_attention
from drydock.log import logger, name_in_log
from drydock.machine.draining import may_be_drained
from drydock.machine.giving_back import told_from
from drydock.machine.messages import failed_image_message, failure_message, not_given_back_message, success_message
from drydock.pruning.messages import tell_of_pruning
from drydock.records import intents
from drydock.records.holder import Holder
from drydock.records.image_watches import drop_watch, find_watch
from drydock.records.leases import FUNCTION_LIFETIME, Lease, all_leases, find_lease
from drydock.records.reading import working_with
from drydock.records.results import Result, find_result, mark_result_told, result_key
from drydock.records.runs import Run, find_run
from drydock.run.messages import standing_message
from drydock.run.standing import find_standing
from drydock.subject import Group, Subject, read_subject
from drydock.tags import GROUP_TAG
from drydock.telling.failures import STOPPED, end_of_execution, subject_of
from drydock.telling.tell_once import note_told, tell_once, was_told
from drydock.telling.text import location_of
from drydock.telling.unreadable import tell_unreadable
from drydock.times import from_text


def _tell_success(services: Services, holder: Holder, result: Result) -> None:
    location = location_of(holder, services.environment)
    if result.work is not None:
        message = success_message(result, result.work, location, services.environment.log_bucket)
    else:
        message = group_message(_group_name(result.subject), holder.execution, None, result, location)
    attributes = {"outcome": "succeeded", "kind": _kind(result.subject), "run": result.run_id or ""}
    tell_once(services, holder, "outcome", message, attributes)
    _finish(services, result)


def alert_failure(services: Services, event: Mapping[str, Any]) -> None:
    """Tell of an execution that ended badly: from its event, or from a sweep that found it untold.

    A sweep also hands over items that cannot be read: of those people hear daily.
    """
    if "unreadable" in event:
        one = event["unreadable"]
        tell_unreadable(services, {"pk": one["pk"], "sk": one["sk"]}, one["reason"])
        return
    if "standing" in event:
        _tell_how_it_stands(services, str(event["standing"]))
        return
    if "image" in event:
        _tell_failed_image(services, str(event["image"]["instanceId"]), str(event["image"]["imageId"]))
        return
    if "pruning" in event:
        tell_of_pruning(services, event["pruning"])
        return
    if "detail" in event:
        detail = event["detail"]
        holder = Holder(detail["executionArn"], int(detail.get("redriveCount") or 0))
        started = datetime.fromtimestamp(detail["startDate"] / 1000, UTC)
        name_in_log(subject_of(detail), execution=holder.name)
        _tell_failure(services, holder, started, subject_of(detail), detail)
        return
    holder = Holder(event["execution"], int(event["redriveCount"]))
    subject = read_subject(event["subject"])
    name_in_log(subject, execution=holder.name)
    if "notGivenBack" in event:
        _tell_not_given_back(services, holder, subject, event)
    else:
        _tell_failure(services, holder, from_text(event["startedAt"]), subject, None)


def _tell_how_it_stands(services: Services, run_id: str) -> None:
    """Tell how a run stands that works after its end, or waits for one machine, once of each."""
    name_in_log(run=run_id)
    standing = find_standing(services, run_id, all_leases(services.table).read)
    if standing is None:
        return
    run = standing.run
    message = standing_message(standing, location_of(run.holder, services.environment, run.time_zone))
    attributes = {"outcome": "in_work", "kind": "progress", "run": run_id}
    tell_once(services, run.holder, standing.cause, message, attributes)


def _tell_failed_image(services: Services, instance_id: str, image_id: str) -> None:
    """Tell of an image that has ended badly after the work on its machine; then its watch goes."""
    watch = find_watch(services.table, instance_id, image_id)
    if watch is None or watch.end in ("", "available"):
        return
    run = find_run(services.table, watch.run_id) if watch.run_id else None
    zone = run.time_zone if run else ""
    message = failed_image_message(watch, location_of(watch.holder, services.environment, zone))
    attributes = {"outcome": f"image_{watch.end}", "kind": "image", "run": watch.run_id}
    tell_once(services, watch.holder, f"image {image_id}", message, attributes)
    drop_watch(services.table, watch)


def _look_at_machine(services: Services, instance_id: str) -> tuple[str, str, str]:
    """Name, power and Auto Scaling group, for people."""
    try:
        instance = services.ec2.describe_instance(instance_id)
    except InstanceNotFoundError:
        return "", "gone", ""
    return name_of(instance), state_of(instance), tags_of(instance).get(GROUP_TAG, "")


def _tell_failure(
    services: Services, holder: Holder, started: datetime, subject: Subject, detail: Mapping[str, Any] | None
) -> None:
    try:
        with working_with(subject.key):
            _tell_end(services, holder, started, subject, detail)
    except UnreadableItemError as error:
        tell_unreadable(services, result_key(subject, holder, started), str(error))


def _tell_end(
    services: Services, holder: Holder, started: datetime, subject: Subject, detail: Mapping[str, Any] | None
) -> None:
    result = find_result(services.table, subject, holder, started)
    if result is not None and result.went_well:
        # Stopped when all was done: what people want to know is that the machine is well.
        _tell_success(services, holder, result)
        return
    lease, unread = _find_own_lease(services, holder, subject)
    if result is None and lease is not None and _is_being_released(services, lease):
        raise ServiceUnavailableError(say("release.at_work", subject=subject.key))
    failure, ended = _failure_and_end(services, detail, result)
    # That a machine may be drained still is known only afterwards: of that people hear although they heard of the end.
    is_news = result is not None and result.given_back and bool(result.work and result.work.to_work_again)
    if not is_news and not _is_wanted(services, result, lease, failure):
        _note_told(services, holder, "outcome")
        _finish(services, result)
        return
    if isinstance(subject, Group) or holder.state_machine == services.environment.group_machine:
        _tell_group_failure(services, holder, subject, failure, result, lease)
        return
    name, power, group = _look_at_machine(services, subject.id) if subject.id else ("", "", "")
    state = unread if unread and result is None else _state_text(lease, result, power, failure["error"])
    keeps = lease is not None and _was_waited_for(lease, failure, services.now())
    if group and failure["error"] != InstanceInGroupError.__name__:
        state = f"{state} {say('state.member', group=group)}"
    if lease is not None and result is None and may_be_drained(lease):
        state = f"{state} {say('drained.pending', document=str(lease.journal['onExit']))}"
    message = failure_message(
        instance_id=subject.id or say("machine.unknown"),
        name=name,
        execution=holder.execution,
        failure=failure,
        ended=ended,
        power=power,
        power_before=_power_before(result, lease),
        state=state,
        result=result,
        location=location_of(holder, services.environment),
        bucket=services.environment.log_bucket,
        run_says=_run_says(services, _run_id(result, lease)),
        may_install=keeps,
        group=group,
    )
    attributes = {
        "outcome": result.outcome if result else "failed",
        "kind": "machine",
        "run": _run_id(result, lease),
    }
    tell_once(services, holder, "givenBack" if is_news else "outcome", message, attributes)
    if keeps:
        # The same message has said it.
        _note_told(services, holder, "notGivenBack")
    _finish(services, result)


def _was_waited_for(lease: Lease, failure: Failure, now: datetime) -> bool:
    """Whether the flow has waited in vain for what may install, so that the machine is not given back either."""
    is_such = failure["error"] in (CommandTimedOutError.__name__, CommandsNotSettledError.__name__)
    return is_such and intents.SETTLE in lease.intents and told_from(lease, may_install=True) <= now


def _note_told(services: Services, holder: Holder, cause: str) -> None:
    with suppress(ConditionFailedError):
        note_told(services, holder, cause)


def _run_id(result: Result | None, lease: Lease | None) -> str:
    """The run that an execution is part of; empty outside one, and where that is not known."""
    told = result.run_id if result else None
    return told or str((lease.journal.get("runId") if lease else "") or "")


def _group_name(subject: Subject) -> str:
    """Of a roll that names no group, nothing is known but its execution."""
    return subject.name if isinstance(subject, Group) else subject.id


def _kind(subject: Subject) -> str:
    return "group" if isinstance(subject, Group) else "machine"


def _tell_group_failure(
    services: Services,
    holder: Holder,
    subject: Subject,
    failure: Failure,
    result: Result | None,
    lease: Lease | None,
) -> None:
    location = location_of(holder, services.environment)
    message = group_message(
        _group_name(subject), holder.execution, failure, result, location, is_held=lease is not None
    )
    outcome = result.outcome if result else "failed"
    attributes = {"outcome": outcome, "kind": "group", "run": _run_id(result, lease)}
    # What could not be given back is known only afterwards: of that people hear although they heard of the end.
    is_news = result is not None and result.given_back and result.roll is not None and needs_attention(result.roll)
    tell_once(services, holder, "givenBack" if is_news else "outcome", message, attributes)
    _finish(services, result)


def _find_own_lease(services: Services, holder: Holder, subject: Subject) -> tuple[Lease | None, str]:
    """The lease of this execution; why it is not known, where it cannot be read: people must hear all the same."""
    try:
        lease = find_lease(services.table, subject) if subject.key else None
    except NewerSchemaError:
        return None, say("state.newer")
    except UnreadableItemError:
        return None, say("state.unreadable")
    return (lease if lease is not None and lease.holder.execution == holder.execution else None), ""


def _is_being_released(services: Services, lease: Lease) -> bool:
    """Whether a function that outlives its execution may still write the result."""
    release = lease.intents.get(intents.RELEASE)
    return release is not None and services.now() - release.at < FUNCTION_LIFETIME


def _is_wanted(services: Services, result: Result | None, lease: Lease | None, failure: Failure) -> bool:
    """Whether a machine's failure is news by itself; otherwise the summary of its run tells it.

    A machine that a run did not touch is none: it is busy, excluded or gone, and nobody has to get up for it.
    """
    journal = lease.journal if lease else {}
    run_id, notify = (result.run_id, result.notify) if result else (journal.get("runId"), journal.get("notify"))
    if failure["error"] == RollStoppedError.__name__ and result is not None and result.roll is None:
        # Of a member that did not leave service because its roll takes no further one: the roll tells it.
        return False
    run = _find_readable_run(services, run_id) if run_id and notify != "each" else None
    if run is None:
        return True
    if failure["error"] == NotInRunError.__name__:
        # The run knows nothing of it.
        return True
    if failure["error"] == RollStoppedError.__name__:
        # No member failed: a gate closed, the end came near for instance, and the summary says of each member why.
        return False
    if notify == "summary" or (result is not None and result.outcome == "refused"):
        return False
    # Of a run that was stopped with machines in work, the summary tells what became of each.
    return not (run.closed is not None and failure["error"] in STOPPED)


def _find_readable_run(services: Services, run_id: str) -> Run | None:
    """A run that cannot be read tells nothing of its machines: people hear of each."""
    try:
        return find_run(services.table, run_id)
    except UnreadableItemError as error:
        logger.error("the run cannot be read", reason=str(error))
        return None


def _finish(services: Services, result: Result | None) -> None:
    if result is not None:
        mark_result_told(services.table, result)


def _failure_and_end(
    services: Services, detail: Mapping[str, Any] | None, result: Result | None
) -> tuple[Failure, datetime]:
    if result is not None and result.failure:
        return result.failure, result.ended
    if detail is None:
        return {"error": "UNKNOWN", "cause": say("execution.ended_silently")}, services.now()
    stopped = detail.get("stopDate")
    ended = datetime.fromtimestamp(stopped / 1000, UTC) if stopped else services.now()
    error, cause = end_of_execution(detail)
    return {"error": error, "cause": cause}, ended


def _state_text(lease: Lease | None, result: Result | None, power: str, error: str) -> str:
    before = _power_before(result, lease)
    if lease is not None and intents.REPLACE_ROOT in lease.intents:
        return say("state.detached") if error == RootVolumeDetachedError.__name__ else say("state.root_at_work")
    if lease is not None:
        if not before:
            return say("state.untouched")
        return say("state.as_before") if before == power else say("state.being_restored", before=before)
    work = result.work if result else None
    if work is None:
        return say("state.untouched")
    if work.power_before == work.power_after:
        return say("state.restored")
    if result and result.failure and result.failure["error"] == PowerNotRestoredError.__name__:
        return say("state.not_restored", before=work.power_before)
    return say("state.changed_by_others", before=work.power_before)


def _power_before(result: Result | None, lease: Lease | None) -> str:
    """Empty where nothing was touched, or it is not known."""
    if result and result.work:
        return result.work.power_before
    return str((lease.journal.get("power") if lease else "") or "")


def _run_says(services: Services, run_id: str) -> list[str]:
    """Whether the run goes on that a machine is part of, and what is left of its error budget."""
    run = _find_readable_run(services, run_id) if run_id else None
    if run is None or run.plan is None:
        return []
    if run.is_ended:
        return [say("run.over", failed=run.failed)]
    # A machine's own failure may not be counted yet.
    if run.closed is not None:
        return [say("run.takes_no_more", reason=run.closed["reason"])]
    return [say("run.goes_on", failed=run.failed, allowed=run.max_errors)]


def _tell_not_given_back(services: Services, holder: Holder, subject: Subject, event: Mapping[str, Any]) -> None:
    """Tell what keeps a machine or group: once when it is late, and once for every day after that, its `day`."""
    if not event["day"] and not was_told(services, holder, "outcome"):
        # How the execution ended is told first, and may say this as well. The next pass comes back to it.
        return
    cause = f"notGivenBack{event['day'] or ''}"
    if was_told(services, holder, cause):
        return
    location, hindrance = location_of(holder, services.environment), str(event["notGivenBack"])
    if isinstance(subject, Group):
        message = group_not_given_back_message(subject.name, holder.execution, hindrance, location)
    else:
        name, power, group = _look_at_machine(services, subject.id)
        lease, _ = _find_own_lease(services, holder, subject)
        message = not_given_back_message(
            instance_id=subject.id,
            name=name,
            execution=holder.execution,
            hindrance=hindrance,
            power=power,
            group=group,
            may_install=event["mayInstall"],
            location=location,
            root_at_work=lease is not None and intents.REPLACE_ROOT in lease.intents,
        )
    attributes = {"outcome": "not_given_back", "kind": _kind(subject)}
    tell_once(services, holder, cause, message, attributes)
