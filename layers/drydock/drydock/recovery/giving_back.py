"""Giving back: a convergent pass over a machine whose execution is over without having released it.

Each pass does what is safe now and leaves the rest to the next one, which comes with the schedule, or earlier
when something happens on the machine. The lease stays until all is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from drydock.aws.executions import hand_over, invoke_later
from drydock.aws.services import Services
from drydock.errors import DrydockError
from drydock.group.giving_back import give_back_group
from drydock.log import name_in_log
from drydock.machine.giving_back import end_untouched, make_next_move, told_from
from drydock.records.holder import Holder
from drydock.records.leases import ADMITTING, RESTORING, Lease, LeaseSummary, all_leases, find_lease, hold_of
from drydock.records.results import untold_results
from drydock.records.staleness import TOLD_LATE, is_stale
from drydock.run.giving_back import give_back_run, note_end_of_run, sweep_runs
from drydock.subject import Group, Subject, read_subject
from drydock.telling.failures import subject_of
from drydock.times import TimeBudget, to_text

_MOST_ALERTS = 20
"""So many a sweep: when nobody can be told, every attempt ends as a dead letter."""


def sweep(services: Services, budget: TimeBudget) -> dict[str, Any]:
    """Hand over every lease that may be stale, and every result that nobody was told of, each to a pass of its own.

    As many as there is time for: the others come with the next sweep.

    Executions that run are listed, not described one by one: a thousand machines cost a few calls.
    """
    function = services.environment.function
    suspects = _find_suspects(services, all_leases(services.table))
    hand_over(function("give_back"), [{"subject": lease.subject.key} for lease in suspects], budget)
    untold = [result for result in untold_results(services.table) if services.now() - result.ended > TOLD_LATE]
    alerts = [_alert_of(result.subject, result.holder, result.started) for result in untold[:_MOST_ALERTS]]
    hand_over(function("alert_failure"), alerts, budget)
    return {"suspects": len(suspects), "untold": len(untold)}


def _find_suspects(services: Services, leases: list[LeaseSummary]) -> list[LeaseSummary]:
    """Leases in RESTORING, and those whose owner does not run."""
    running = services.executions.running_among(lease.holder.execution for lease in leases)
    return [lease for lease in leases if lease.phase == RESTORING or lease.holder.execution not in running]


def give_back_subject(services: Services, subject: Subject) -> dict[str, Any]:
    """One pass over one machine or group. Returns what was done: the next move, or `nothing`."""
    name_in_log(subject)
    if isinstance(subject, Group):
        return {"move": _give_back_group(services, subject)}
    lease = find_lease(services.table, subject)
    if lease is None or (lease.phase != RESTORING and not is_stale(services, lease)):
        return {"move": "nothing"}
    name_in_log(run=lease.journal.get("runId", ""), execution=lease.holder.name)
    if lease.phase == ADMITTING:
        return end_untouched(services, lease)
    lease = hold_of(services, lease).begin_restoring(lease)
    if lease is None:
        return {"move": "nothing"}
    try:
        done = make_next_move(services, lease)
    except DrydockError as error:
        _tell_when_late(services, lease, str(error))
        raise
    if done.move != "release":
        _tell_when_late(services, lease, done.hindrance, may_install=done.may_install)
    return {"move": done.move}


def _give_back_group(services: Services, subject: Group) -> str:
    try:
        move = give_back_group(services, subject)
    except DrydockError as error:
        standing = find_lease(services.table, subject)
        if standing is not None:
            _tell_when_late(services, standing, str(error))
        raise
    lease = find_lease(services.table, subject) if move not in ("nothing", "release") else None
    if lease is not None:
        _tell_when_late(services, lease, move.replace("_", " "))
    return move


def _tell_when_late(services: Services, lease: Lease, hindrance: str, *, may_install: bool = False) -> None:
    """Let people know what keeps a machine or group from being given back, and once more each day."""
    late = services.now() - told_from(lease, may_install=may_install)
    if lease.phase == RESTORING and late > timedelta(0):
        event = {"notGivenBack": hindrance, "mayInstall": may_install, "day": late.days}
        invoke_later(
            services.environment.function("alert_failure"),
            {**_alert_of(lease.subject, lease.holder, lease.started), **event},
        )


def _alert_of(subject: Subject, holder: Holder, started: datetime) -> dict[str, Any]:
    """What `alert_failure` is told of an execution."""
    return {
        "subject": subject.key,
        "execution": holder.execution,
        "redriveCount": holder.redrive_count,
        "startedAt": to_text(started),
    }


def give_back(services: Services, event: Mapping[str, Any]) -> dict[str, Any]:
    """Give back one machine or group, one run, what an execution that ended had, or all.

    An event with `subject` or `runId` names the one; an event of Step Functions the execution; the schedule nothing.
    """
    if "subject" in event:
        return give_back_subject(services, read_subject(str(event["subject"])))
    if "runId" in event:
        name_in_log(run=str(event["runId"]))
        return give_back_run(services, str(event["runId"]))
    if "detail" in event and "executionArn" in event["detail"]:
        holder = Holder(event["detail"]["executionArn"], 0)
        name_in_log(execution=holder.name)
        if holder.state_machine == services.environment.run_state_machine:
            name_in_log(run=holder.name)
            return note_end_of_run(services, event["detail"])
        subject = subject_of(event["detail"])
        return give_back_subject(services, subject) if subject.key else {"move": "nothing"}
    budget = TimeBudget.begin(services.now)
    return {**sweep_runs(services, budget), **sweep(services, budget)}
