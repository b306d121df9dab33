"""Giving back one machine: what is safe now, and what has to wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from drydock.aws.services import Services
from drydock.machine.images import deprecate_images, find_images
from drydock.machine.power import was_started_here
from drydock.machine.release import describe_work, find_instance, power_of, set_final_tags
from drydock.machine.settling import Settlement, look_at_commands
from drydock.records import intents
from drydock.records.leases import (
    ADMITTING,
    FUNCTION_LIFETIME,
    RESTORING,
    Lease,
    claim_giving_back,
    drop_lease,
    end_lease_with_result,
)
from drydock.records.results import make_result, put_result
from drydock.telling.failures import readable_cause

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
        if claim_giving_back(services.table, lease, intents.GIVE_BACK_STOP, services.now()):
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
    if drop_lease(services.table, lease.holder, lease.subject, ADMITTING):
        facts = {"failure": _failure_of(services, lease)}
        result = make_result(lease.subject, lease.holder, lease.started, "refused", services.now(), facts)
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
        "verdict": "unknown" if intents.INSTALL in lease.intents else "not_patched",
        "problems": problems,
        "powerAfter": power_of(instance),
        "givenBack": True,
    }
    result = make_result(lease.subject, lease.holder, lease.started, "failed", services.now(), facts)
    if not end_lease_with_result(services.table, lease.holder, lease.subject, RESTORING, result):
        # A result stands already, and the first one counts; the lease must go all the same.
        drop_lease(services.table, lease.holder, lease.subject, RESTORING)


def _failure_of(services: Services, lease: Lease) -> dict[str, str]:
    execution = services.executions.find(lease.holder.execution)
    if execution is None:
        return {"error": "UNKNOWN", "cause": "Step Functions no longer knows the execution"}
    status = str(execution["status"])
    return {
        "error": str(execution.get("error") or status),
        "cause": readable_cause(str(execution.get("cause") or f"the execution ended as {status}")),
    }
