"""The end of a run: one outcome for every machine, the report, and the one message; also for a run that died."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from drydock.errors import AwsCallFailedError, MachinesNotReadyError, RunNotFoundError, RunStoppedError
from drydock.executions import OPEN, invoke_later
from drydock.failures import end_of_execution, readable_failure
from drydock.history import note_not_attempted
from drydock.leases import FUNCTION_LIFETIME, all_leases, is_group
from drydock.log import logger
from drydock.messages import Place
from drydock.plans import Plan
from drydock.reports import failed_groups, group_outcomes, make_report, reconcile
from drydock.run_messages import name_taken_message, summary_message
from drydock.running import find_result_of, settle_slots
from drydock.runs import (
    Run,
    child_execution,
    close_run,
    end_run,
    find_run,
    mark_run_told,
    open_run,
    open_runs,
    require_run,
    slots_of_run,
    untold_runs,
)
from drydock.services import Services
from drydock.staleness import RESTORE_LIMIT, TOLD_LATE, UNKNOWN_OWNER
from drydock.step import Holder, Step
from drydock.table import Item
from drydock.telling import tell_once
from drydock.times import from_text

_GOOD = ("succeeded", "planned", "nothing_to_do")


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
            "failure": {"error": "RunOverError", "cause": cause},
        }
    if not run.is_ended:
        slots = slots_of_run(services.table, run.run_id)
        in_work = sorted({*_children_at_work(services, run, slots), *_not_given_back(services, run, slots)})
        if in_work:
            raise MachinesNotReadyError(f"{run.run_id}: {', '.join(in_work[:10])} still in work")
        run = _end(services, run, failure, step.given)
    tell_run(services, run)
    return _describe_end(run)


def _tell_name_taken(services: Services, holder: Holder) -> None:
    environment = services.environment
    place = Place(holder.partition, holder.account, environment.region, environment.time_zone)
    subject, text = name_taken_message(run_id=holder.name, execution=holder.execution, place=place)
    attributes = {"outcome": "refused", "kind": "execution", "run": holder.name}
    tell_once(services, holder, "outcome", subject, text, attributes)


def _describe_end(run: Run) -> dict[str, Any]:
    outcome = str(run.item["outcome"])
    failure = run.item.get("failure")
    if outcome == "failed" and not failure:
        failure = {"error": "MachinesFailedError", "cause": _counted(run)}
    elif outcome in ("incomplete", "stopped") and not failure:
        failure = {"error": "RunStoppedError" if outcome == "stopped" else "RunIncompleteError", "cause": _counted(run)}
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


def _in_work(slots: Sequence[Item]) -> list[str]:
    """The machines that were admitted and of which nobody has written down yet what became of them."""
    return [str(slot["instanceId"]) for slot in slots if "outcome" not in slot]


def _children_at_work(services: Services, run: Run, slots: Sequence[Item]) -> list[str]:
    """Those whose executions run."""
    in_work = {instance_id: _child(services, run, instance_id) for instance_id in _in_work(slots)}
    running = services.executions.running_among(in_work.values())
    return [instance_id for instance_id, child in in_work.items() if child in running]


def _not_given_back(services: Services, run: Run, slots: Sequence[Item]) -> list[str]:
    """The machines that the run's executions still hold: what is reported of them would not be true yet.

    After some hours a run is reported all the same; people have heard of such a machine by then.
    """
    by_child = {str(slot["execution"]): slot for slot in slots if "execution" in slot}
    held = [
        by_child[lease.holder.execution] for lease in all_leases(services.table) if lease.holder.execution in by_child
    ]
    newest = max((from_text(slot.get("endedAt") or slot["admittedAt"]) for slot in held), default=services.now())
    if services.now() - newest > RESTORE_LIMIT:
        return []
    return [str(slot["instanceId"]) for slot in held]


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
    still = settle_slots(services, run)
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
    if failure is not None and report["outcome"] not in _GOOD:
        facts["failure"] = failure
    return end_run(services.table, run, facts, now)


def _make_report(
    services: Services, run: Run, failure: dict[str, str] | None, given: object, ended: datetime
) -> dict[str, Any]:
    plan, slots = _read_plan(services, run), slots_of_run(services.table, run.run_id)
    rolls = _find_rolls(services, slots)
    outcomes = reconcile(plan, slots, run.item, {}, failure, rolls)
    return make_report(
        run=run.item,
        plan=plan,
        outcomes=outcomes,
        failure=failure,
        ended=ended,
        given=given if isinstance(given, Mapping) else None,
        groups=group_outcomes(slots, rolls, failure),
    )


def _find_rolls(services: Services, slots: Sequence[Item]) -> dict[str, Item]:
    """The results of the groups whose rolls began, by subject."""
    begun = {str(slot["instanceId"]): str(slot["execution"]) for slot in slots if "execution" in slot}
    found = {
        subject: find_result_of(services, subject, execution)
        for subject, execution in begun.items()
        if is_group(subject)
    }
    return {subject: roll for subject, roll in found.items() if roll is not None}


def _store_report(services: Services, run: Run, report: Mapping[str, Any]) -> str:
    """The key of the stored report; empty when it may not be stored: people hear of the run all the same."""
    key = f"runs/{run.run_id}/report.json"
    try:
        services.objects.write_json(key, report)
    except AwsCallFailedError as error:
        logger.error("the report was not stored", run_id=run.run_id, reason=str(error))
        return ""
    return key


def _find_report(services: Services, run: Run) -> Mapping[str, Any]:
    """The report of a run that has ended: as it was stored, or made once more."""
    if run.item["reportKey"]:
        try:
            report: Mapping[str, Any] = services.objects.read_json(run.item["reportKey"])
        except (AwsCallFailedError, RunNotFoundError) as error:
            logger.error("the report cannot be read", run_id=run.run_id, reason=str(error))
        else:
            return report
    return _make_report(services, run, run.item.get("failure"), None, from_text(run.item["endedAt"]))


def tell_run(services: Services, run: Run) -> None:
    """Tell people of a run that has ended, once."""
    report = _find_report(services, run)
    zone = run.time_zone or services.environment.time_zone
    place = Place(run.holder.partition, run.holder.account, services.environment.region, zone)
    subject, text = summary_message(report, place, run.item["bucket"], run.item["reportKey"])
    attributes = {"outcome": str(run.item["outcome"]), "kind": "run", "run": run.run_id}
    tell_once(services, run.holder, "outcome", subject, text, attributes)
    mark_run_told(services.table, run)


def end_dead_run(services: Services, run_id: str) -> None:
    """Report and tell of a run whose execution is over: invoked by `give_back` once its machines are given back."""
    run = find_run(services.table, run_id)
    if run is None:
        return
    if not run.is_ended:
        found = services.executions.find(run.holder.execution)
        if found is not None and found["status"] in OPEN:
            return
        try:
            run = _end(services, run, _failure_of(found), None)
        except MachinesNotReadyError as error:
            # The sweep hands the run over again.
            logger.info("not yet", run_id=run_id, reason=str(error))
            return
    tell_run(services, run)


def _failure_of(execution: Mapping[str, Any] | None) -> dict[str, str]:
    if execution is None:
        return {"error": "UNKNOWN", "cause": "Step Functions no longer knows the execution"}
    error, cause = end_of_execution(execution)
    return {"error": error, "cause": cause or "somebody stopped its execution"}


def give_back_run(services: Services, run_id: str) -> dict[str, Any]:
    """One pass over a run whose execution is over: nobody begins, its machines' executions end, then it is reported.

    The engine's own cancellation of what a run has started is best effort.
    """
    run = find_run(services.table, run_id)
    if run is None or run.is_ended:
        return {"move": "nothing"}
    execution = services.executions.find(run.holder.execution)
    if execution is not None and execution["status"] in OPEN:
        return {"move": "nothing"}
    if execution is None and services.now() - run.started < UNKNOWN_OWNER:
        return {"move": "nothing"}
    stopped = RunStoppedError(_failure_of(execution)["cause"])
    run = close_run(services.table, run, stopped, services.now())
    move = _next_move(services, run)
    if move == "report":
        invoke_later(services.environment.function("summarise_run"), {"runId": run_id})
    return {"move": move}


def _next_move(services: Services, run: Run) -> str:
    """Stop what still runs, wait until the machines are given back, then report."""
    closed_at = from_text((run.closed or {})["at"])
    if services.now() - closed_at < FUNCTION_LIFETIME:
        # A function of the run may still admit a machine, and an engine that was told late may still start it.
        _stop_children(services, run)
        return "wait_for_functions"
    if _stop_children(services, run):
        return "stop"
    if _not_given_back(services, run, slots_of_run(services.table, run.run_id)):
        return "wait_until_given_back"
    return "report"


def _stop_children(services: Services, run: Run) -> int:
    at_work = _children_at_work(services, run, slots_of_run(services.table, run.run_id))
    for instance_id in at_work:
        services.executions.stop(_child(services, run, instance_id), "RunStoppedError", f"its run {run.run_id} is over")
    return len(at_work)


def sweep_runs(services: Services) -> dict[str, int]:
    """Hand over every run that may be dead, and every one that nobody was told of."""
    function = services.environment.function
    open_ = open_runs(services.table)
    running = services.executions.running_among(run.holder.execution for run in open_)
    dead = [run for run in open_ if run.holder.execution not in running]
    for run in dead:
        invoke_later(function("give_back"), {"runId": run.run_id})
    untold = [run for run in untold_runs(services.table) if _is_late(run, services.now())]
    for run in untold:
        invoke_later(function("summarise_run"), {"runId": run.run_id})
    return {"deadRuns": len(dead), "untoldRuns": len(untold)}


def _is_late(run: Run, now: datetime) -> bool:
    return now - from_text(run.item["endedAt"]) > TOLD_LATE


def note_end_of_run(services: Services, detail: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a run that ended badly. One that died before it was written down is written down now."""
    holder = Holder(str(detail["executionArn"]), int(detail.get("redriveCount") or 0))
    started = datetime.fromtimestamp(detail["startDate"] / 1000, UTC)
    if find_run(services.table, holder.name) is None:
        open_run(services.table, holder, started)
    return give_back_run(services, holder.name)
