"""Telling people: each cause once, to the topic of the account's settings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from drydock.aws.ec2 import state_of, tags_of
from drydock.aws.services import Services
from drydock.aws.table import Item
from drydock.errors import InstanceInGroupError, InstanceNotFoundError, NewerSchemaError, ServiceUnavailableError
from drydock.group.messages import group_message, group_not_given_back_message, needs_attention
from drydock.log import name_in_log
from drydock.machine.messages import failure_message, not_given_back_message, success_message
from drydock.records import intents
from drydock.records.holder import Holder
from drydock.records.leases import FUNCTION_LIFETIME, Lease, find_lease
from drydock.records.results import find_result, mark_result_told
from drydock.records.runs import find_run
from drydock.request.step import Step
from drydock.subject import Group, Subject, read_subject, subject_of_item
from drydock.tags import GROUP_TAG
from drydock.telling.failures import STOPPED, readable_cause, subject_of
from drydock.telling.tell_once import tell_once
from drydock.telling.text import location_of
from drydock.times import from_text, to_text

_NEWER = "A newer Drydock holds it: deploy that version again, and it is given back."


def announce_success(services: Services, step: Step) -> None:
    """Tell that a machine went well."""
    result = find_result(services.table, step.subject, step.holder, step.execution_started)
    if result is None:
        return
    _tell_success(services, step.holder, result)


def _tell_success(services: Services, holder: Holder, result: Item) -> None:
    kind, location = _kind(subject_of_item(result)), location_of(holder, services.environment)
    if kind == "group":
        title, text = group_message(result["groupName"], holder.execution, None, result, location)
    else:
        title, text = success_message(result, location)
    attributes = {"outcome": "succeeded", "kind": kind, "run": result["runId"]}
    tell_once(services, holder, "outcome", title, text, attributes)
    _finish(services, result)


def alert_failure(services: Services, event: Mapping[str, Any]) -> None:
    """Tell of an execution that ended badly: from its event, or from a sweep that found it untold."""
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
        _tell_not_given_back(services, holder, subject, event["notGivenBack"])
    else:
        _tell_failure(services, holder, from_text(event["startedAt"]), subject, None)


def _look_at_machine(services: Services, instance_id: str) -> tuple[str, str, str]:
    """Name, power and Auto Scaling group, for people."""
    try:
        instance = services.ec2.describe_instance(instance_id)
    except InstanceNotFoundError:
        return "", "gone", ""
    tags = tags_of(instance)
    return tags.get("Name", ""), state_of(instance), tags.get(GROUP_TAG, "")


def _tell_failure(
    services: Services, holder: Holder, started: datetime, subject: Subject, detail: Mapping[str, Any] | None
) -> None:
    result = find_result(services.table, subject, holder, started)
    if result is not None and result["outcome"] == "succeeded":
        # Stopped when all was done: what people want to know is that the machine is well.
        _tell_success(services, holder, result)
        return
    lease, is_newer = _find_own_lease(services, holder, subject)
    if result is None and lease is not None and _is_being_released(services, lease):
        raise ServiceUnavailableError(f"{subject.key}: is being released just now; its result will tell more")
    failure, ended = _failure_and_end(services, detail, result)
    if not _is_wanted(services, result, lease, failure):
        _finish(services, result)
        return
    if isinstance(subject, Group) or holder.machine == services.environment.group_machine:
        _tell_group_failure(services, holder, subject, failure, result, lease)
        return
    name, power, group = _look_at_machine(services, subject.id) if subject.id else ("", "", "")
    state = _NEWER if is_newer and result is None else _state_text(lease, result, power)
    if group and failure["error"] != InstanceInGroupError.__name__:
        state += f" It is a member of group {group}: the message about the roll says where it goes."
    title, text = failure_message(
        instance_id=subject.id or "an unknown instance",
        name=name,
        execution=holder.execution,
        failure=failure,
        ended=ended,
        power=power,
        state=state,
        result=result,
        location=location_of(holder, services.environment),
    )
    attributes = {
        "outcome": result["outcome"] if result else "failed",
        "kind": "machine",
        "run": str((result or {}).get("runId") or (lease.journal.get("runId") if lease else "") or ""),
    }
    tell_once(services, holder, "outcome", title, text, attributes)
    _finish(services, result)


def _kind(subject: Subject) -> str:
    return "group" if isinstance(subject, Group) else "machine"


def _tell_group_failure(
    services: Services,
    holder: Holder,
    subject: Subject,
    failure: Mapping[str, str],
    result: Item | None,
    lease: Lease | None,
) -> None:
    location = location_of(holder, services.environment)
    # Of a roll that names no group, nothing is known but its execution.
    name = subject.name if isinstance(subject, Group) else subject.id
    title, text = group_message(name, holder.execution, failure, result, location, is_held=lease is not None)
    run = str((result or {}).get("runId") or (lease.journal.get("runId") if lease else "") or "")
    attributes = {"outcome": result["outcome"] if result else "failed", "kind": "group", "run": run}
    # What could not be given back is known only afterwards: of that people hear although they heard of the end.
    is_news = result is not None and result.get("givenBack") and needs_attention(result)
    tell_once(services, holder, "givenBack" if is_news else "outcome", title, text, attributes)
    _finish(services, result)


def _find_own_lease(services: Services, holder: Holder, subject: Subject) -> tuple[Lease | None, bool]:
    """The lease of this execution, and whether a newer Drydock holds the machine: people must hear all the same."""
    try:
        lease = find_lease(services.table, subject) if subject.key else None
    except NewerSchemaError:
        return None, True
    return (lease if lease is not None and lease.holder.execution == holder.execution else None), False


def _is_being_released(services: Services, lease: Lease) -> bool:
    """Whether a function that outlives its execution may still write the result."""
    release = lease.intents.get(intents.RELEASE)
    return release is not None and services.now() - release.at < FUNCTION_LIFETIME


def _is_wanted(services: Services, result: Item | None, lease: Lease | None, failure: Mapping[str, str]) -> bool:
    """Whether a machine's failure is news by itself; otherwise the summary of its run tells it.

    A machine that a run did not touch is none: it is busy, excluded or gone, and nobody has to get up for it.
    """
    facts: Mapping[str, Any] = result or (lease.journal if lease else {})
    if not facts.get("runId") or facts.get("notify") == "each":
        return True
    run = find_run(services.table, str(facts["runId"]))
    if run is None:
        return True
    if facts.get("notify") == "summary" or facts.get("outcome") == "refused":
        return False
    # Of a run that was stopped with machines in work, the summary tells what became of each.
    return not (run.closed is not None and failure["error"] in STOPPED)


def _finish(services: Services, result: Item | None) -> None:
    if result is not None:
        mark_result_told(services.table, {"pk": result["pk"], "sk": result["sk"]})


def _failure_and_end(
    services: Services, detail: Mapping[str, Any] | None, result: Item | None
) -> tuple[Mapping[str, str], str]:
    if result is not None and result.get("failure"):
        return result["failure"], str(result["endedAt"])
    if detail is None:
        return {"error": "UNKNOWN", "cause": "the execution ended without a word"}, to_text(services.now())
    stopped = detail.get("stopDate")
    ended = datetime.fromtimestamp(stopped / 1000, UTC) if stopped else services.now()
    error = str(detail.get("error") or detail["status"])
    cause = readable_cause(str(detail.get("cause") or f"the execution ended as {detail['status']}"))
    return {"error": error, "cause": cause}, to_text(ended)


def _state_text(lease: Lease | None, result: Item | None, power: str) -> str:
    if lease is not None:
        before = lease.journal.get("power", "")
        if not before:
            return "Nothing was touched."
        if before == power:
            return "So it was before. Drydock ends its lease once nothing of its own is at work on the machine."
        return (
            f"It was {before} before; Drydock gives it back as soon as that is safe. "
            "You will hear again only if that takes very long."
        )
    if result is None or result["outcome"] == "refused":
        return "Nothing was touched."
    before, after = result["powerBefore"], result["powerAfter"]
    if before == after:
        return "It was given back as it was found."
    return f"It was {before} before; somebody else changed that, and Drydock left it."


def _tell_not_given_back(services: Services, holder: Holder, subject: Subject, hindrance: str) -> None:
    location = location_of(holder, services.environment)
    if isinstance(subject, Group):
        title, text = group_not_given_back_message(subject.name, holder.execution, hindrance, location)
    else:
        name, power, _ = _look_at_machine(services, subject.id)
        title, text = not_given_back_message(
            instance_id=subject.id,
            name=name,
            execution=holder.execution,
            hindrance=hindrance,
            power=power,
            location=location,
        )
    attributes = {"outcome": "not_given_back", "kind": _kind(subject)}
    tell_once(services, holder, "notGivenBack", title, text, attributes)
