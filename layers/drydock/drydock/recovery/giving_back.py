"""Giving back: a convergent pass over a machine whose execution is over without having released it.

Each pass does what is safe now and leaves the rest to the next one, which comes with the schedule, or earlier
when something happens on the machine. The lease stays until all is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from drydock.aws.executions import hand_over
from drydock.aws.services import Services
from drydock.aws.table import Key
from drydock.errors import DrydockError, UnreadableItemError
from drydock.group.giving_back import give_back_group
from drydock.log import name_in_log
from drydock.machine.giving_back import end_untouched, make_next_move, told_from
from drydock.records.holder import Holder
from drydock.records.leases import (
    ADMITTING,
    RESTORING,
    Lease,
    LeaseSummary,
    all_leases,
    find_lease,
    hold_of,
    lease_key,
)
from drydock.records.reading import Unreadable, working_with
from drydock.records.results import UntoldResult, postpone_telling, untold_results
from drydock.records.runs import RunSummary, run_key
from drydock.records.staleness import TOLD_LATE, is_stale
from drydock.recovery.following import sweep_images
from drydock.run.giving_back import give_back_run, note_end_of_run, sweep_runs
from drydock.run.standing import find_standing
from drydock.subject import Group, Subject, read_subject
from drydock.telling.failures import subject_of
from drydock.telling.handing_over import alert_later, alert_of, alert_stumble, alert_unreadable
from drydock.times import TimeBudget

_MOST_ALERTS = 20
"""So many a sweep: when nobody can be told, every attempt ends as a dead letter."""

_LEAST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=10), timedelta(days=1)
"""Before a result that could not be told is tried again: for as long as it has been waiting, within these."""

_SWEEP = timedelta(minutes=2)
"""How often the schedule comes; items that cannot be read take turns by it."""


def sweep(services: Services, budget: TimeBudget) -> dict[str, Any]:
    """Hand over every run and lease that may be stale, and every result that nobody was told of, each to its own pass.

    What cannot be read hinders none of the others; people hear of it.

    As many as there is time for: the others come with the next sweep.

    Executions that run are listed, not described one by one: a thousand machines cost a few calls.
    """
    function, runs = services.environment.function, sweep_runs(services, budget)
    leases, untold = all_leases(services.table), untold_results(services.table)
    suspects = _find_suspects(services, leases.read)
    hand_over(function("give_back"), [{"subject": lease.subject.key} for lease in suspects], budget)
    due = _find_due(services.now(), untold.read)
    postponed = [one for one in due[:_MOST_ALERTS] if _postpone(services, one)]
    alerts = [alert_of(result.subject, result.holder, result.started) for result in postponed]
    hand_over(function("alert_failure"), alerts, budget)
    images = sweep_images(services, budget)
    standing = _tell_how_runs_stand(services, runs.open, leases.read, budget)
    unreadable = [*runs.unreadable, *leases.unreadable, *untold.unreadable, *images.unreadable]
    for one in _in_turn(unreadable, services.now()):
        alert_unreadable(services, one.key, one.reason)
    return {
        **runs.done,
        "suspects": len(suspects),
        "untold": len(due),
        "images": images.due,
        "standing": standing,
        "unreadable": len(unreadable),
    }


def _tell_how_runs_stand(
    services: Services, runs: Sequence[RunSummary], leases: Sequence[LeaseSummary], budget: TimeBudget
) -> int:
    """Have people told of the runs that work after their end, or wait for one machine: how many those are."""
    found = [run for run in runs if not budget.is_spent and find_standing(services, run.run_id, leases) is not None]
    hand_over(services.environment.function("alert_failure"), [{"standing": run.run_id} for run in found], budget)
    return len(found)


def _find_suspects(services: Services, leases: Sequence[LeaseSummary]) -> list[LeaseSummary]:
    """Leases in RESTORING, and those whose owner does not run."""
    running = services.executions.believed_running(lease.holder.execution for lease in leases)
    return [lease for lease in leases if lease.phase == RESTORING or lease.holder.execution not in running]


def _find_due(now: datetime, untold: Sequence[UntoldResult]) -> list[UntoldResult]:
    """The results whose event is lost or whose pause is over: those that were never tried first."""
    due = [one for one in untold if now - one.ended > TOLD_LATE and (one.tell_at is None or one.tell_at <= now)]
    return sorted(due, key=lambda one: (one.tell_at or one.started, one.ended, one.subject.key))


def _postpone(services: Services, untold: UntoldResult) -> bool:
    """Give a result that is being told its pause. False when it has been told meanwhile."""
    pause = min(max(services.now() - untold.ended, _LEAST_PAUSE), _LONGEST_PAUSE)
    return postpone_telling(services.table, untold, services.now() + pause)


def _in_turn(items: Sequence[Unreadable], now: datetime) -> Sequence[Unreadable]:
    """Some of them, others at the next sweep."""
    first = int(now.timestamp() / _SWEEP.total_seconds()) * _MOST_ALERTS % max(len(items), 1)
    return [*items[first:], *items[:first]][:_MOST_ALERTS]


def _or_tell(services: Services, key: Key, give_back_one: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A pass over one item. Where it cannot be worked with, people hear of it; what else fails is raised."""
    try:
        with working_with():
            return give_back_one()
    except UnreadableItemError as error:
        alert_stumble(services, key, error)
    return {"move": "unreadable"}


def give_back_subject(services: Services, subject: Subject) -> dict[str, Any]:
    """One pass over one machine or group. Returns what was done: the next move, `nothing`, or `unreadable`."""
    name_in_log(subject)
    return _or_tell(services, lease_key(subject), lambda: _give_back_subject(services, subject))


def _give_back_subject(services: Services, subject: Subject) -> dict[str, Any]:
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
        alert_later(services, {**alert_of(lease.subject, lease.holder, lease.started), **event})


def give_back(services: Services, event: Mapping[str, Any]) -> dict[str, Any]:
    """Give back one machine or group, one run, what an execution that ended had, or all.

    An event with `subject` or `runId` names the one; an event of Step Functions the execution; the schedule nothing.
    """
    if "subject" in event:
        return give_back_subject(services, read_subject(str(event["subject"])))
    if "runId" in event:
        run_id = str(event["runId"])
        name_in_log(run=run_id)
        return _or_tell(services, run_key(run_id), lambda: give_back_run(services, run_id))
    if "detail" in event and "executionArn" in event["detail"]:
        holder = Holder(event["detail"]["executionArn"], 0)
        name_in_log(execution=holder.name)
        if holder.state_machine == services.environment.run_state_machine:
            name_in_log(run=holder.name)
            return _or_tell(services, run_key(holder.name), lambda: note_end_of_run(services, event["detail"]))
        subject = subject_of(event["detail"])
        return give_back_subject(services, subject) if subject.key else {"move": "nothing"}
    return sweep(services, TimeBudget.begin(services.now))
