"""The end of a run: one outcome for every machine, the report, and the one message; also for a run that died."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from drydock.approval.approvals import Ways
from drydock.approval.report_links import hash_of_report_key, report_link
from drydock.aws.calls import look_at_once
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import (
    AwsCallFailedError,
    DrydockError,
    Failure,
    MachinesFailedError,
    MachinesNotReadyError,
    RunIncompleteError,
    RunLateError,
    RunNotFoundError,
    RunOverError,
    RunStoppedError,
    UnreadableItemError,
)
from drydock.log import logger
from drydock.plan.plans import Plan
from drydock.records.history import OwedReboot, all_histories, note_not_attempted
from drydock.records.holder import Holder
from drydock.records.image_watches import pending_of_run
from drydock.records.leases import all_leases
from drydock.records.results import Result, Work, results_since
from drydock.records.runs import (
    Place,
    RecordedEnd,
    Run,
    child_execution,
    end_run,
    find_run,
    mark_run_told,
    open_run,
    places_of_run,
    report_page_key,
    require_run,
)
from drydock.records.staleness import RESTORE_LIMIT
from drydock.request.checking import is_principal
from drydock.request.policy import ON_EVIDENCE
from drydock.request.step import Step
from drydock.run.messages import name_taken_message, summary_message
from drydock.run.outcomes import SUCCESSES, MachineOutcome, failed_groups
from drydock.run.report_page import report_page
from drydock.run.reports import (
    Report,
    ReportedMessage,
    failed_images,
    group_outcomes,
    has_pending,
    images_of_run,
    make_report,
    reconcile,
    with_images,
)
from drydock.run.running import find_result_of, settle_places
from drydock.subject import Group, Instance, Subject
from drydock.telling.details import Details, describe_work
from drydock.telling.failures import readable_failure
from drydock.telling.tell_once import tell_once, told_of
from drydock.telling.text import location_of
from drydock.times import TimeBudget, from_text, to_text

_WAITS_FOR_IMAGES = timedelta(minutes=30)
_LONGEST_IMAGE = timedelta(days=1, hours=1)
"""A policy may wait a day for an image."""
_MOST_FAILED_IMAGES = 1_000
"""Of more, people hear once more."""

_ENDS_WITH: Mapping[str, type[DrydockError]] = {
    "failed": MachinesFailedError,
    "incomplete": RunIncompleteError,
    "late": RunLateError,
    "stopped": RunStoppedError,
}
"""What an execution ends with that has not failed by itself, by the outcome of its run."""


_COMMAND_LOOKS = timedelta(seconds=15)
"""For a little longer than this `drydock run` looks whether it was refused."""


def summarise_run(services: Services, ways: Ways, step: Step) -> dict[str, Any]:
    """End a run, well or badly, and tell people. Running twice changes nothing.

    Returns outcome, counts, report key and failure (what the execution shall end with, or None).
    Raises MachinesNotReadyError while executions of its machines still run.
    """
    failure = readable_failure(step.data.get("failure"))
    run = find_run(services.table, step.holder.name)
    if run is None:
        # The plan could not even be begun.
        run = open_run(services.table, step.holder, step.execution_started)
    if not run.belongs_to(step.holder, step.execution_started):
        cause = say("run.of_others", run=run.run_id)
        _tell_name_taken(services, step.holder)
        return {
            "outcome": "refused",
            "counts": {},
            "reportKey": "",
            "failure": {"error": RunOverError.__name__, "cause": cause},
        }
    if not run.is_ended:
        places = places_of_run(services.table, run.run_id)
        in_work = {*children_at_work(services, run, places), *not_given_back(services, run, places)}
        if in_work:
            raise MachinesNotReadyError(say("run.still_in_work", run=run.run_id, machines=_keys_of(in_work)))
        if failure is None:
            _require_images(services, run, places)
        run = end_with_report(services, ways, run, failure, step.given)
    tell_run(services, ways, run)
    return _describe_end(run.run_id, run.require_end())


def _require_images(services: Services, run: Run, places: Sequence[Place]) -> None:
    """Raises MachinesNotReadyError while images of the run are pending, for half an hour at the most.

    That counts from its last machine: what is pending then is reported as pending.
    """
    ended = max((place.ended for place in places if place.ended), default=None)
    if ended is None or services.now() - ended > _WAITS_FOR_IMAGES:
        return
    pending = pending_of_run(services.table, run.run_id)
    if pending:
        raise MachinesNotReadyError(say("run.images_pending", run=run.run_id, count=len(pending)))


def _tell_name_taken(services: Services, holder: Holder) -> None:
    location = location_of(holder, services.environment)
    message = name_taken_message(run_id=holder.name, execution=holder.execution, location=location)
    attributes = {"outcome": "refused", "kind": "execution", "run": holder.name}
    tell_once(services, holder, "outcome", message, attributes)


def _describe_end(run_id: str, end: RecordedEnd) -> dict[str, Any]:
    failure = end.failure
    if not failure and end.outcome in _ENDS_WITH:
        failure = {"error": _ENDS_WITH[end.outcome].__name__, "cause": _counted(run_id, end)}
    return {"outcome": end.outcome, "counts": end.counts, "reportKey": end.report_key, "failure": failure}


def _counted(run_id: str, end: RecordedEnd) -> str:
    counts = [
        say("page.counted", count=count, outcome=say(f"page.machine.{outcome}"))
        for outcome, count in end.counts.items()
        if count
    ]
    groups = [say("group.failed", group=name) for name in end.failed_groups]
    return say("run.counts", run=run_id, counts=[*counts, *groups], report=f"s3://{end.bucket}/{end.report_key}")


def _in_work(places: Sequence[Place]) -> list[Subject]:
    """The machines that were admitted and of which nobody has written down yet what became of them."""
    return [place.subject for place in places if not place.outcome]


def children_at_work(services: Services, run: Run, places: Sequence[Place]) -> list[Subject]:
    """Those whose executions run."""
    in_work = {subject: child_of(services, run, subject) for subject in _in_work(places)}
    running = services.executions.running_among(in_work.values())
    return [subject for subject, child in in_work.items() if child in running]


def not_given_back(services: Services, run: Run, places: Sequence[Place]) -> list[Subject]:
    """The machines that the run's executions still hold: what is reported of them would not be true yet.

    After some hours a run is reported all the same; people have heard of such a machine by then.
    """
    held = _still_held(services, places)
    moments = [moment for place in held if (moment := place.ended or place.admitted)]
    newest = max(moments, default=services.now())
    if services.now() - newest > RESTORE_LIMIT:
        return []
    return [place.subject for place in held]


def _still_held(services: Services, places: Sequence[Place]) -> list[Place]:
    """The places whose executions hold a lease."""
    by_child = {place.execution: place for place in places if place.execution}
    return [
        by_child[lease.holder.execution]
        for lease in all_leases(services.table).read
        if lease.holder.execution in by_child
    ]


def child_of(services: Services, run: Run, subject: Subject) -> str:
    """The ARN of the execution that patches a machine of a run or rolls through a group, in this stack and Region."""
    return child_execution(run.holder, services.environment.stack, services.environment.region, subject)


def _keys_of(subjects: Iterable[Subject]) -> list[str]:
    return sorted(subject.key for subject in subjects)


def _read_plan(services: Services, run: Run) -> Plan | None:
    """A run that failed before it had a plan, or whose plan is gone, is reported all the same."""
    try:
        plan: Plan | None = services.objects.read_json(run.plan.key) if run.plan else None
    except (AwsCallFailedError, RunNotFoundError):
        return None
    return plan


def end_with_report(services: Services, ways: Ways, run: Run, failure: Failure | None, given: object) -> Run:
    """Write the report and end the run.

    Raises MachinesNotReadyError while machines are in work, or when there was no time to write down what became of
    all: the next call goes on.
    """
    budget = TimeBudget.begin(services.now)
    still = settle_places(services, run)
    if still:
        raise MachinesNotReadyError(say("run.still_in_work", run=run.run_id, machines=_keys_of(still)))
    now = services.now()
    # The budget may have been counted on.
    run = require_run(services.table, run.run_id)
    report = _make_report(services, run, failure, given, now)
    if report["outcome"] != "planned":
        left = [machine["instanceId"] for machine in report["machines"] if machine["outcome"] == "not_attempted"]
        unnoted = note_not_attempted(services.table, run.run_id, left, budget)
        if unnoted:
            raise MachinesNotReadyError(say("run.unnoted", run=run.run_id, count=unnoted))
    end = RecordedEnd(
        at=now,
        outcome=report["outcome"],
        counts=report["counts"],
        failed_groups=[group["groupName"] for group in failed_groups(report["groups"])],
        report_key=_store_report(services, run, report),
        bucket=services.objects.bucket,
        failure=failure if report["outcome"] not in SUCCESSES else None,
        failed_images=[image["imageId"] for image in failed_images(report["images"])][:_MOST_FAILED_IMAGES],
        report_link_hash=hash_of_report_key(ways, run),
    )
    return end_run(services.table, run, end)


def _make_report(services: Services, run: Run, failure: Failure | None, given: object, ended: datetime) -> Report:
    plan, pending = _read_plan(services, run), pending_of_run(services.table, run.run_id)
    places = places_of_run(services.table, run.run_id)
    rolls = _find_rolls(services, places)
    outcomes = reconcile(plan, places, run, failure, rolls)
    details = find_details(services, run, outcomes)
    outcomes = [{**one, "details": details.get(one["instanceId"])} for one in outcomes]
    is_over = run.end is not None and ended > run.end
    return make_report(
        run=run,
        plan=plan,
        outcomes=outcomes,
        failure=failure,
        ended=ended,
        given=given,
        groups=group_outcomes(places, rolls, failure),
        owed=_find_owed_reboots(services, run),
        images=images_of_run(places, pending),
        messages=_find_messages(services, run, places),
        # Before the end, nothing that is held is late.
        is_held=is_over and bool(_still_held(services, places)),
    )


def find_details(services: Services, run: Run, outcomes: Sequence[MachineOutcome]) -> dict[str, Details]:
    """What is known of the work on each machine, by its id: those that failed first, and not more than a thousand."""
    worked_on = [one for one in outcomes if one["outcome"] in _WORKED_ON and one["startedAt"]]
    asked = sorted(worked_on, key=lambda one: one["outcome"] != "failed")[:_MOST_DETAILS]
    found = look_at_once(lambda one: _find_work(services, run, one), asked)
    return {one["instanceId"]: describe_work(work) for one, work in zip(asked, found, strict=True) if work is not None}


_WORKED_ON = ("succeeded", "already_compliant", "failed")
_MOST_DETAILS = 1_000
_MOST_TOLD_OF = 100


def _find_work(services: Services, run: Run, outcome: MachineOutcome) -> Work | None:
    """What the execution of a machine has written down of its work; None where that cannot be read."""
    since = from_text(outcome["startedAt"]) - timedelta(minutes=1)
    try:
        results = results_since(services.table, Instance(outcome["instanceId"]), since)
    except (AwsCallFailedError, UnreadableItemError) as error:
        logger.error("the result cannot be read", machine=outcome["instanceId"], reason=str(error))
        return None
    return next((result.work for result in results if result.run_id == run.run_id and result.work), None)


def _find_owed_reboots(services: Services, run: Run) -> dict[str, OwedReboot]:
    """The reboots that machines owe, by instance id; none where the run's policy puts none off."""
    if run.plan is None or run.plan.operation != "Install" or run.plan.policy["reboot"] not in ON_EVIDENCE:
        return {}
    histories = all_histories(services.table, run.plan.operation)
    return {key: history.owed for key, history in histories.items() if history.owed is not None}


def _find_messages(services: Services, run: Run, places: Sequence[Place]) -> list[ReportedMessage]:
    """What people were told of the run until now, and of its machines that failed, the first hundred of them."""
    failed = [Holder(place.execution, 0) for place in places if place.outcome == "failed" and place.execution]
    asked = [run.holder, *failed[:_MOST_TOLD_OF]]
    told = [one for some in look_at_once(lambda holder: told_of(services.table, holder), asked) for one in some]
    return [{"at": to_text(one.at), "subject": one.subject} for one in sorted(told, key=lambda one: one.at)]


def _find_rolls(services: Services, places: Sequence[Place]) -> dict[Subject, Result]:
    """The results of the groups whose rolls began."""
    groups = [place for place in places if isinstance(place.subject, Group) and place.execution]
    found = look_at_once(lambda place: find_result_of(services, place.subject, place.execution), groups)
    return {place.subject: roll for place, roll in zip(groups, found, strict=True) if roll is not None}


def _store_report(services: Services, run: Run, report: Report) -> str:
    """The key of the stored report; empty when it may not be stored: people hear of the run all the same."""
    key = f"runs/{run.run_id}/report.json"
    try:
        services.objects.write_json(key, report)
    except AwsCallFailedError as error:
        logger.error("the report was not stored", reason=str(error))
        return ""
    return key


def _find_report(services: Services, run: Run, end: RecordedEnd) -> Report:
    """The report of a run that has ended: as it was stored, or made once more."""
    if end.report_key:
        try:
            report: Report = services.objects.read_json(end.report_key)
        except (AwsCallFailedError, RunNotFoundError) as error:
            logger.error("the report cannot be read", reason=str(error))
        else:
            return report
    return _make_report(services, run, end.failure, None, end.at)


def tell_run(services: Services, ways: Ways, run: Run) -> None:
    """Tell people of a run that has ended, once."""
    end = run.require_end()
    report = _find_report(services, run, end)
    if _was_answered(run, end, report):
        _store_page(services, run, report)
        mark_run_told(services.table, run, is_report_finished=True)
        return
    location = location_of(run.holder, services.environment, run.time_zone)
    message = summary_message(report, location, end.bucket, end.report_key, report_link(ways, run))
    attributes = {"outcome": end.outcome, "kind": "run", "run": run.run_id}
    tell_once(services, run.holder, "outcome", message, attributes)
    # Nothing about a page may keep people from hearing.
    _store_page(services, run, report)
    mark_run_told(services.table, run, is_report_finished=not has_pending(report["images"]))


def finish_report(services: Services, run: Run) -> None:
    """Write down in the report of a run what has become of the images that were pending; the sweep comes again.

    One whose watch is gone without an end, or that outlasts every deadline, is left as it is.
    """
    end = run.require_end()
    if end.report_key and services.now() - end.at < _LONGEST_IMAGE:
        report = _find_report(services, run, end)
        # What ends in between is in both then.
        pending, places = pending_of_run(services.table, run.run_id), places_of_run(services.table, run.run_id)
        report = with_images(report, images_of_run(places, pending), places)
        _store_report(services, run, report)
        _store_page(services, run, report)
        if pending:
            return
    mark_run_told(services.table, run, is_report_finished=True)


def _was_answered(run: Run, end: RecordedEnd, report: Report) -> bool:
    """Whether the command line has answered whoever started the run: it shows a plan, and what is refused at once."""
    # Whoever gives something else than the identity that the command gives is not the command.
    if not is_principal(report["asked"]["startedBy"]) or report["asked"]["window"]:
        return False
    return end.outcome == "planned" or (end.outcome == "refused" and end.at - run.started < _COMMAND_LOOKS)


def _store_page(services: Services, run: Run, report: Report) -> None:
    try:
        services.objects.write_page(report_page_key(run.run_id), report_page(report, run.require_end().bucket))
    except AwsCallFailedError as error:
        logger.error("the page of the report was not stored", reason=str(error))
