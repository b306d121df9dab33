"""The end of a run: one outcome for every machine, the report, and the one message; also for a run that died."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from drydock.aws.services import Services
from drydock.aws.table import Item
from drydock.errors import (
    AwsCallFailedError,
    DrydockError,
    MachinesFailedError,
    MachinesNotReadyError,
    RunIncompleteError,
    RunNotFoundError,
    RunOverError,
    RunStoppedError,
)
from drydock.log import logger
from drydock.plan.plans import Plan
from drydock.records.history import note_not_attempted
from drydock.records.holder import Holder
from drydock.records.leases import all_leases
from drydock.records.runs import (
    Run,
    child_execution,
    end_run,
    find_run,
    mark_run_told,
    open_run,
    places_of_run,
    require_run,
)
from drydock.records.staleness import RESTORE_LIMIT
from drydock.request.step import Step
from drydock.run.messages import name_taken_message, summary_message
from drydock.run.outcomes import SUCCESSES, failed_groups
from drydock.run.reports import Report, group_outcomes, make_report, reconcile
from drydock.run.running import find_result_of, settle_places
from drydock.subject import is_group
from drydock.telling.failures import readable_failure
from drydock.telling.tell_once import tell_once
from drydock.telling.text import location_of
from drydock.times import from_text

_ENDS_WITH: Mapping[str, type[DrydockError]] = {
    "failed": MachinesFailedError,
    "incomplete": RunIncompleteError,
    "stopped": RunStoppedError,
}
"""What an execution ends with that has not failed by itself, by the outcome of its run."""


def summarise_run(services: Services, step: Step) -> dict[str, Any]:
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
        cause = f"{run.run_id}: the run is another execution's, or was redriven; nothing was touched"
        _tell_name_taken(services, step.holder)
        return {
            "outcome": "refused",
            "counts": {},
            "reportKey": "",
            "failure": {"error": RunOverError.__name__, "cause": cause},
        }
    if not run.is_ended:
        places = places_of_run(services.table, run.run_id)
        in_work = sorted({*_children_at_work(services, run, places), *_not_given_back(services, run, places)})
        if in_work:
            raise MachinesNotReadyError(f"{run.run_id}: {', '.join(in_work[:10])} still in work")
        run = _end(services, run, failure, step.given)
    tell_run(services, run)
    return _describe_end(run)


def _tell_name_taken(services: Services, holder: Holder) -> None:
    location = location_of(holder, services.environment)
    subject, text = name_taken_message(run_id=holder.name, execution=holder.execution, location=location)
    attributes = {"outcome": "refused", "kind": "execution", "run": holder.name}
    tell_once(services, holder, "outcome", subject, text, attributes)


def _describe_end(run: Run) -> dict[str, Any]:
    outcome = str(run.item["outcome"])
    failure = run.item.get("failure")
    if not failure and outcome in _ENDS_WITH:
        failure = {"error": _ENDS_WITH[outcome].__name__, "cause": _counted(run)}
    return {
        "outcome": outcome,
        "counts": run.item.get("counts", {}),
        "reportKey": run.item.get("reportKey", ""),
        "failure": failure,
    }


def _counted(run: Run) -> str:
    counts = {outcome.replace("_", " "): count for outcome, count in run.item.get("counts", {}).items() if count}
    groups = [f"group {name} was not rolled through well" for name in run.item.get("failedGroups", [])]
    said = ", ".join([*(f"{count} {outcome}" for outcome, count in counts.items()), *groups])
    return f"{run.run_id}: {said}; see s3://{run.item.get('bucket', '')}/{run.item.get('reportKey', '')}"


def _in_work(places: Sequence[Item]) -> list[str]:
    """The machines that were admitted and of which nobody has written down yet what became of them."""
    return [str(place["instanceId"]) for place in places if "outcome" not in place]


def _children_at_work(services: Services, run: Run, places: Sequence[Item]) -> list[str]:
    """Those whose executions run."""
    in_work = {instance_id: _child(services, run, instance_id) for instance_id in _in_work(places)}
    running = services.executions.running_among(in_work.values())
    return [instance_id for instance_id, child in in_work.items() if child in running]


def _not_given_back(services: Services, run: Run, places: Sequence[Item]) -> list[str]:
    """The machines that the run's executions still hold: what is reported of them would not be true yet.

    After some hours a run is reported all the same; people have heard of such a machine by then.
    """
    by_child = {str(place["execution"]): place for place in places if "execution" in place}
    held = [
        by_child[lease.holder.execution] for lease in all_leases(services.table) if lease.holder.execution in by_child
    ]
    newest = max((from_text(place.get("endedAt") or place["admittedAt"]) for place in held), default=services.now())
    if services.now() - newest > RESTORE_LIMIT:
        return []
    return [str(place["instanceId"]) for place in held]


def _child(services: Services, run: Run, instance_id: str) -> str:
    return child_execution(run, services.environment.stack, services.environment.region, instance_id)


def _read_plan(services: Services, run: Run) -> Plan | None:
    """A run that failed before it had a plan, or whose plan is gone, is reported all the same."""
    key = run.item.get("planKey")
    try:
        plan: Plan | None = services.objects.read_json(key) if key else None
    except (AwsCallFailedError, RunNotFoundError):
        return None
    return plan


def _end(services: Services, run: Run, failure: dict[str, str] | None, given: object) -> Run:
    """Write the report and end the run. Raises MachinesNotReadyError."""
    still = settle_places(services, run)
    if still:
        raise MachinesNotReadyError(f"{run.run_id}: {', '.join(still[:10])} still in work")
    now = services.now()
    # The budget may have been counted on.
    run = require_run(services.table, run.run_id)
    report = _make_report(services, run, failure, given, now)
    if report["outcome"] != "planned":
        left = [machine["instanceId"] for machine in report["machines"] if machine["outcome"] == "not_attempted"]
        note_not_attempted(services.table, run.run_id, left, now)
    facts: dict[str, Any] = {
        "outcome": report["outcome"],
        "counts": report["counts"],
        "failedGroups": [group["groupName"] for group in failed_groups(report["groups"])],
        "reportKey": _store_report(services, run, report),
        "bucket": services.objects.bucket,
    }
    if failure is not None and report["outcome"] not in SUCCESSES:
        facts["failure"] = failure
    return end_run(services.table, run, facts, now)


def _make_report(
    services: Services, run: Run, failure: dict[str, str] | None, given: object, ended: datetime
) -> Report:
    plan, places = _read_plan(services, run), places_of_run(services.table, run.run_id)
    rolls = _find_rolls(services, places)
    outcomes = reconcile(plan, places, run.item, {}, failure, rolls)
    return make_report(
        run=run.item,
        plan=plan,
        outcomes=outcomes,
        failure=failure,
        ended=ended,
        given=given,
        groups=group_outcomes(places, rolls, failure),
    )


def _find_rolls(services: Services, places: Sequence[Item]) -> dict[str, Item]:
    """The results of the groups whose rolls began, by subject."""
    begun = {str(place["instanceId"]): str(place["execution"]) for place in places if "execution" in place}
    found = {
        subject: find_result_of(services, subject, execution)
        for subject, execution in begun.items()
        if is_group(subject)
    }
    return {subject: roll for subject, roll in found.items() if roll is not None}


def _store_report(services: Services, run: Run, report: Report) -> str:
    """The key of the stored report; empty when it may not be stored: people hear of the run all the same."""
    key = f"runs/{run.run_id}/report.json"
    try:
        services.objects.write_json(key, report)
    except AwsCallFailedError as error:
        logger.error("the report was not stored", reason=str(error))
        return ""
    return key


def _find_report(services: Services, run: Run) -> Report:
    """The report of a run that has ended: as it was stored, or made once more."""
    if run.item["reportKey"]:
        try:
            report: Report = services.objects.read_json(run.item["reportKey"])
        except (AwsCallFailedError, RunNotFoundError) as error:
            logger.error("the report cannot be read", reason=str(error))
        else:
            return report
    return _make_report(services, run, run.item.get("failure"), None, from_text(run.item["endedAt"]))


def tell_run(services: Services, run: Run) -> None:
    """Tell people of a run that has ended, once."""
    report = _find_report(services, run)
    location = location_of(run.holder, services.environment, run.time_zone)
    subject, text = summary_message(report, location, run.item["bucket"], run.item["reportKey"])
    attributes = {"outcome": str(run.item["outcome"]), "kind": "run", "run": run.run_id}
    tell_once(services, run.holder, "outcome", subject, text, attributes)
    mark_run_told(services.table, run)
