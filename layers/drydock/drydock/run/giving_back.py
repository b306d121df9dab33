"""Giving back a run: nobody begins any more, its machines' executions end, then it is reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from drydock.approval.approvals import Ways
from drydock.aws.executions import OPEN, hand_over, invoke_later
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import Failure, MachinesNotReadyError, RunStoppedError, UnreadableItemError
from drydock.log import logger
from drydock.records.holder import Holder
from drydock.records.leases import FUNCTION_LIFETIME
from drydock.records.reading import Unreadable, working_with
from drydock.records.runs import (
    Run,
    RunSummary,
    close_run,
    find_run,
    open_run,
    open_runs,
    places_of_run,
    run_key,
    unfinished_reports,
    untold_runs,
)
from drydock.records.staleness import TOLD_LATE, UNKNOWN_OWNER
from drydock.run.summarising import child_of, children_at_work, end_with_report, finish_report, not_given_back, tell_run
from drydock.telling.failures import end_of_execution
from drydock.telling.unreadable import tell_unreadable
from drydock.times import TimeBudget, from_text


def end_dead_run(services: Services, ways: Ways, run_id: str) -> None:
    """Report and tell of a run whose execution is over: invoked by `give_back` once its machines are given back.

    Of a run that cannot be read, people hear daily.
    """
    try:
        with working_with(say("run.about.run", run=run_id)):
            _end_dead_run(services, ways, run_id)
    except UnreadableItemError as error:
        tell_unreadable(services, run_key(run_id), str(error))


def _end_dead_run(services: Services, ways: Ways, run_id: str) -> None:
    run = find_run(services.table, run_id)
    if run is None:
        return
    if not run.is_ended:
        found = services.executions.find(run.holder.execution)
        if found is not None and found["status"] in OPEN:
            return
        try:
            run = end_with_report(services, ways, run, _failure_of(found), None)
        except MachinesNotReadyError as error:
            # The sweep hands the run over again.
            logger.info("not yet", reason=str(error))
            return
    if run.is_told:
        finish_report(services, run)
    else:
        tell_run(services, ways, run)


def _failure_of(execution: Mapping[str, Any] | None) -> Failure:
    if execution is None:
        return {"error": "UNKNOWN", "cause": say("execution.unknown")}
    error, cause = end_of_execution(execution)
    return {"error": error, "cause": cause or say("execution.stopped")}


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
    if not_given_back(services, run, places_of_run(services.table, run.run_id)):
        return "wait_until_given_back"
    return "report"


def _stop_children(services: Services, run: Run) -> int:
    """How many were at work. As many are stopped as there is time for: the next pass finds fewer."""
    budget = TimeBudget.begin(services.now)
    at_work = children_at_work(services, run, places_of_run(services.table, run.run_id))
    for number, subject in enumerate(at_work):
        if budget.is_spent:
            logger.info("left to the next pass", executions=len(at_work) - number)
            break
        services.executions.stop(
            child_of(services, run, subject), RunStoppedError.__name__, say("execution.run_over", run=run.run_id)
        )
    return len(at_work)


@dataclass(frozen=True)
class Swept:
    """What a sweep has handed over, and what it could not read."""

    done: Mapping[str, int]
    open: Sequence[RunSummary]
    """The runs that have not ended."""
    unreadable: Sequence[Unreadable]


def sweep_runs(services: Services, budget: TimeBudget) -> Swept:
    """Hand over every run that may be dead, and every one that nobody was told of, as many as there is time for."""
    function = services.environment.function
    open_, over, unfinished = open_runs(services.table), untold_runs(services.table), unfinished_reports(services.table)
    running = services.executions.believed_running(run.holder.execution for run in open_.read)
    dead = [run for run in open_.read if run.holder.execution not in running]
    hand_over(function("give_back"), [{"runId": run.run_id} for run in dead], budget)
    untold = [run for run in over.read if run.ended and services.now() - run.ended > TOLD_LATE]
    hand_over(function("summarise_run"), [{"runId": run.run_id} for run in (*untold, *unfinished.read)], budget)
    return Swept(
        done={"deadRuns": len(dead), "untoldRuns": len(untold), "unfinishedReports": len(unfinished.read)},
        open=open_.read,
        unreadable=[*open_.unreadable, *over.unreadable, *unfinished.unreadable],
    )


def note_end_of_run(services: Services, detail: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a run that ended badly. One that died before it was written down is written down now."""
    holder = Holder(str(detail["executionArn"]), int(detail.get("redriveCount") or 0))
    started = datetime.fromtimestamp(detail["startDate"] / 1000, UTC)
    if find_run(services.table, holder.name) is None:
        open_run(services.table, holder, started)
    return give_back_run(services, holder.name)
