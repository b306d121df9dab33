"""Giving back: a convergent pass over a machine whose execution is over without having released it.

Each pass does what is safe now and leaves the rest to the next one, which comes with the schedule, or earlier
when something happens on the machine. The lease stays until all is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from drydock.errors import DrydockError
from drydock.executions import invoke_later
from drydock.failures import readable_cause, subject_of
from drydock.giving_back_groups import give_back_group
from drydock.images import deprecate_images, find_images
from drydock.leases import (
    ADMITTING,
    FUNCTION_LIFETIME,
    RESTORING,
    Lease,
    all_leases,
    begin_restoring,
    claim_giving_back,
    drop_lease,
    end_lease_with_result,
    find_lease,
    is_group,
)
from drydock.power import was_started_here
from drydock.release import describe_work, find_instance, power_of, set_final_tags
from drydock.results import make_result, put_result, untold_results
from drydock.services import Services
from drydock.settling import Settlement, look_at_commands
from drydock.staleness import RESTORE_LIMIT, TOLD_LATE, is_stale
from drydock.step import Holder
from drydock.summarising import give_back_run, note_end_of_run, sweep_runs
from drydock.times import from_text, to_text

_MOST_ALERTS = 20
"""So many a sweep: when nobody can be told, every attempt ends as a dead letter."""

NextMove = Literal["wait_for_functions", "wait_for_commands", "stop", "wait_until_stopped", "release"]


@dataclass(frozen=True)
class Situation:
    """What a pass finds. `power` is empty when the machine is gone."""

    functions_may_be_alive: bool
    was_started_by_drydock: bool
    power: str
    settlement: Settlement


def next_move(situation: Situation) -> NextMove:
    """What is safe now. Only a start by Drydock is undone, and only while it still stands."""
    if situation.functions_may_be_alive:
        return "wait_for_functions"
    if not situation.settlement.is_settled:
        return "wait_for_commands"
    if situation.was_started_by_drydock:
        if situation.power in ("pending", "running"):
            return "stop"
        if situation.power == "stopping":
            return "wait_until_stopped"
    return "release"


def sweep(services: Services) -> dict[str, Any]:
    """Hand over every lease that may be stale, and every result that nobody was told of, each to a pass of its own.

    Executions that run are listed, not described one by one: a thousand machines cost a few calls.
    """
    function = services.environment.function
    suspects = _find_suspects(services, all_leases(services.table))
    for lease in suspects:
        invoke_later(function("give_back"), {"instanceId": lease.subject})
    untold = [
        result for result in untold_results(services.table) if services.now() - from_text(result["endedAt"]) > TOLD_LATE
    ]
    for result in untold[:_MOST_ALERTS]:
        alert = {key: result[key] for key in ("instanceId", "execution", "redriveCount", "startedAt")}
        invoke_later(function("alert_failure"), alert)
    return {"suspects": len(suspects), "untold": len(untold)}


def _find_suspects(services: Services, leases: list[Lease]) -> list[Lease]:
    """Leases in RESTORING, and those whose owner does not run."""
    running = services.executions.running_among(lease.holder.execution for lease in leases)
    return [lease for lease in leases if lease.phase == RESTORING or lease.holder.execution not in running]


def give_back_instance(services: Services, instance_id: str) -> dict[str, Any]:
    """One pass over one machine. Returns what was done: the next move, or `nothing`."""
    if is_group(instance_id):
        return {"move": _give_back_group(services, instance_id)}
    lease = find_lease(services.table, instance_id)
    if lease is None or (lease.phase != RESTORING and not is_stale(services, lease)):
        return {"move": "nothing"}
    if lease.phase == ADMITTING:
        return _end_untouched(services, lease)
    lease = begin_restoring(services.table, lease, services.now())
    if lease is None:
        return {"move": "nothing"}
    try:
        move, hindrance = _make_next_move(services, lease)
    except DrydockError as error:
        _tell_when_late(services, lease, str(error))
        raise
    if move != "release":
        _tell_when_late(services, lease, hindrance)
    return {"move": move}


def _give_back_group(services: Services, subject: str) -> str:
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


def _make_next_move(services: Services, lease: Lease) -> tuple[NextMove, str]:
    """Do what is safe now; returns what that was, and what stands in the way of the rest."""
    situation = _look(services, lease)
    move = next_move(situation)
    if move == "wait_for_commands":
        for work in situation.settlement.at_work:
            if work.is_undelivered:
                services.ssm.cancel_command(lease.instance_id, work.command_id)
    elif move == "stop":
        # Another pass may be at it, or a new owner may have the machine by the time a slow call arrives.
        if claim_giving_back(services.table, lease, "giveBackStop", services.now()):
            services.ec2.stop(lease.instance_id)
    elif move == "release":
        _release(services, lease)
    return move, f"{move.replace('_', ' ')}: {situation.settlement}"


def _look(services: Services, lease: Lease) -> Situation:
    alive = services.now() - lease.newest_intent_at() < FUNCTION_LIFETIME
    power = power_of(find_instance(services, lease.instance_id))
    return Situation(
        functions_may_be_alive=alive,
        was_started_by_drydock=was_started_here(lease),
        power=power,
        settlement=Settlement((), None) if alive or power != "running" else look_at_commands(services, lease),
    )


def _end_untouched(services: Services, lease: Lease) -> dict[str, Any]:
    """An execution that died in admission touched nothing: its lease just goes."""
    if services.now() - lease.phase_since < FUNCTION_LIFETIME:
        return {"move": "wait_for_functions"}
    if drop_lease(services.table, lease.holder, lease.instance_id, ADMITTING):
        facts = {"failure": _failure_of(services, lease)}
        result = make_result(lease.instance_id, lease.holder, lease.started, "refused", services.now(), facts)
        put_result(services.table, result)
    return {"move": "release"}


def _release(services: Services, lease: Lease) -> None:
    instance = find_instance(services, lease.instance_id)
    images = find_images(services, lease)
    problems = [
        *deprecate_images(services, lease, images),
        *set_final_tags(services, lease, instance, succeeded=False),
    ]
    facts = {
        **describe_work(services.environment.stack, lease, images),
        "failure": _failure_of(services, lease),
        "verdict": "unknown" if "install" in lease.intents else "not_patched",
        "problems": problems,
        "powerAfter": power_of(instance),
        "givenBack": True,
    }
    result = make_result(lease.instance_id, lease.holder, lease.started, "failed", services.now(), facts)
    if not end_lease_with_result(services.table, lease.holder, lease.instance_id, RESTORING, result):
        # A result stands already, and the first one counts; the lease must go all the same.
        drop_lease(services.table, lease.holder, lease.instance_id, RESTORING)


def _failure_of(services: Services, lease: Lease) -> dict[str, str]:
    execution = services.executions.find(lease.holder.execution)
    if execution is None:
        return {"error": "UNKNOWN", "cause": "Step Functions no longer knows the execution"}
    status = str(execution["status"])
    return {
        "error": str(execution.get("error") or status),
        "cause": readable_cause(str(execution.get("cause") or f"the execution ended as {status}")),
    }


def _tell_when_late(services: Services, lease: Lease, hindrance: str) -> None:
    since = lease.phase_since if lease.phase == RESTORING else services.now()
    if services.now() - since > RESTORE_LIMIT:
        invoke_later(
            services.environment.function("alert_failure"),
            {
                "instanceId": lease.instance_id,
                "execution": lease.holder.execution,
                "redriveCount": lease.holder.redrive_count,
                "startedAt": to_text(lease.started),
                "notGivenBack": hindrance,
            },
        )


def give_back(services: Services, event: Mapping[str, Any]) -> dict[str, Any]:
    """One machine, one run (`{"instanceId": …}`, `{"runId": …}`, or the end of an execution), or all (the schedule)."""
    if "instanceId" in event:
        return give_back_instance(services, str(event["instanceId"]))
    if "runId" in event:
        return give_back_run(services, str(event["runId"]))
    if "detail" in event and "executionArn" in event["detail"]:
        if Holder(event["detail"]["executionArn"], 0).machine == services.environment.run_machine:
            return note_end_of_run(services, event["detail"])
        instance_id = subject_of(event["detail"])
        return give_back_instance(services, instance_id) if instance_id else {"move": "nothing"}
    return {**sweep_runs(services), **sweep(services)}
