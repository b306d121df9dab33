"""Giving back one machine: what is safe now, and what has to wait."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import Failure
from drydock.machine.draining import can_work_again, describe_drained, let_work_again
from drydock.machine.images import leave_images
from drydock.machine.power import was_started_here
from drydock.machine.reboots import settle_owed_after_death
from drydock.machine.release import (
    describe_work,
    find_instance,
    find_restored,
    power_of,
    set_final_tags,
    undone_writes,
)
from drydock.machine.roots import RootLook, look_at_root, tag_kept_volume
from drydock.machine.settling import PROOF, SETTLE_LIMIT, Settlement, ask_while_given_back, look_at_commands
from drydock.records import intents
from drydock.records.image_watches import addition_of
from drydock.records.leases import (
    ADMITTING,
    FUNCTION_LIFETIME,
    RESTORING,
    Hold,
    Lease,
    hold_of,
)
from drydock.records.results import RestoredRoot, Result, put_result
from drydock.records.staleness import RESTORE_LIMIT
from drydock.telling.failures import readable_cause

NextMove = Literal[
    "wait_for_functions",
    "wait_for_root_volume",
    "keep_without_root_volume",
    "wait_for_commands",
    "run_hook",
    "stop",
    "wait_until_stopped",
    "release",
]


@dataclass(frozen=True)
class MachineSituation:
    """What a pass finds."""

    functions_may_be_alive: bool
    was_started_by_drydock: bool
    power: str
    settlement: Settlement
    is_to_work_again: bool = False
    """Whether it was drained, and the hook that lets it work again can be sent and was not."""
    root: RootLook = field(default_factory=lambda: RootLook("untouched"))
    """What came of the replacement of its root volume."""


def next_move(situation: MachineSituation) -> NextMove:
    """What is safe now. Only a start by Drydock is undone, and only while it still stands."""
    if situation.functions_may_be_alive:
        return "wait_for_functions"
    if situation.root.state == "at_work":
        return "wait_for_root_volume"
    if situation.root.state == "detached":
        return "keep_without_root_volume"
    if not situation.settlement.is_settled:
        return "wait_for_commands"
    if situation.is_to_work_again:
        return "run_hook"
    if situation.was_started_by_drydock:
        if situation.power in ("pending", "running"):
            return "stop"
        if situation.power == "stopping":
            return "wait_until_stopped"
    return "release"


@dataclass(frozen=True)
class Pass:
    """What a pass over a machine did."""

    move: NextMove
    hindrance: str
    """For people: what stands in the way of the rest."""
    may_install: bool
    """Whether an installation that is over by its status only may go on."""


def told_from(lease: Lease, *, may_install: bool) -> datetime:
    """From when on people are told that a machine in RESTORING is not given back yet.

    What may install was waited for by the flow already, if that came to it.
    """
    if not may_install:
        return lease.phase_since + RESTORE_LIMIT
    settle = lease.intents.get(intents.SETTLE)
    return (settle.at if settle is not None else lease.phase_since) + SETTLE_LIMIT


def make_next_move(services: Services, lease: Lease) -> Pass:
    """Do what is safe now for a machine whose lease is in RESTORING."""
    situation = _look(services, lease)
    move = next_move(situation)
    if move == "wait_for_commands":
        for work in situation.settlement.at_work:
            if work.is_undelivered:
                services.ssm.cancel_command(lease.instance_id, work.command_id)
        if situation.settlement.is_to_be_asked:
            ask_while_given_back(services, lease)
    elif move == "run_hook":
        let_work_again(services, lease)
    elif move == "stop":
        # Another pass may be at it, or a new owner may have the machine by the time a slow call arrives.
        if hold_of(services, lease).claim_giving_back(intents.GIVE_BACK_STOP):
            services.ec2.stop(lease.instance_id)
    elif move == "release":
        _release(services, lease)
    if move in ("wait_for_root_volume", "keep_without_root_volume"):
        return Pass(move, situation.root.said, may_install=False)
    hindrance = str(situation.settlement) if move == "wait_for_commands" else say(f"hindrance.{move}")
    return Pass(move, hindrance, may_install=bool(situation.settlement.unproved))


def _look(services: Services, lease: Lease) -> MachineSituation:
    # Whoever asks the machine changes nothing on it: its answer is read as soon as it comes.
    changes = (intent.at for intent in lease.intents.values() if intent.facts.get("purpose") != PROOF)
    alive = services.now() - max(changes, default=lease.since) < FUNCTION_LIFETIME
    instance = find_instance(services, lease.instance_id)
    power = power_of(instance)
    root = RootLook("untouched") if alive else look_at_root(services, lease, instance)
    settlement = Settlement() if alive or power == "gone" else look_at_commands(services, lease)
    return MachineSituation(
        functions_may_be_alive=alive,
        was_started_by_drydock=was_started_here(lease),
        power=power,
        settlement=settlement,
        root=root,
        is_to_work_again=not alive and settlement.is_settled and power == "running" and can_work_again(services, lease),
    )


def end_untouched(services: Services, lease: Lease) -> dict[str, Any]:
    """End a lease that is ADMITTING: an execution that died in admission touched nothing, so the lease just goes.

    Returns what was done, as `move`.
    """
    if services.now() - lease.phase_since < FUNCTION_LIFETIME:
        return {"move": "wait_for_functions"}
    if Hold.of(services, lease.holder, lease.subject).drop(ADMITTING):
        put_result(services.table, _result_of(services, lease, "refused"))
    return {"move": "release"}


def _release(services: Services, lease: Lease) -> None:
    instance = find_instance(services, lease.instance_id)
    images = leave_images(services, lease, "failed", is_waited_for=False)
    restored = find_restored(services, lease, instance)
    if _is_replaced(restored):
        images.problems.extend(
            tag_kept_volume(services, lease.instance_id, lease.holder, lease.intents[intents.REPLACE_ROOT])
        )
    owes_reboot = settle_owed_after_death(services, lease, power_of(instance))
    drained = describe_drained(services, lease, power_of(instance))
    problems = [
        *images.problems,
        *set_final_tags(services, lease, instance, succeeded=False, owes_reboot=owes_reboot, restored=restored),
        *drained,
        *([say("reboot.owed")] if owes_reboot else []),
    ]
    work = describe_work(
        services.environment.stack,
        lease,
        images.made,
        power_after=power_of(instance),
        verdict="unknown" if any(map(_installs, lease.intents)) or _is_replaced(restored) else "not_patched",
        problems=problems,
        findings=None,
        restored=restored,
    )
    result = replace(
        _result_of(services, lease, "failed"),
        run_id=lease.journal["runId"],
        notify=lease.journal["notify"],
        work=replace(work, to_work_again=str(lease.journal["onExit"]) if drained else ""),
        given_back=True,
    )
    watches = [addition_of(services.table, watch) for watch in images.watches]
    undone = undone_writes(services, lease, work)
    if not Hold.of(services, lease.holder, lease.subject).finish(RESTORING, result, *watches, *undone):
        # A result stands already, and the first one counts; the lease must go all the same.
        Hold.of(services, lease.holder, lease.subject).drop(RESTORING)


def _is_replaced(restored: RestoredRoot | None) -> bool:
    return restored is not None and restored["state"] == "replaced"


def _installs(intent: str) -> bool:
    """Whether something was announced that installs: nobody has looked at what came of it."""
    return intents.kind_of(intent) in (intents.INSTALL, intents.UPDATE)


def _result_of(services: Services, lease: Lease, outcome: Literal["failed", "refused"]) -> Result:
    failure = _failure_of(services, lease)
    return Result(lease.subject, lease.holder, lease.started, services.now(), outcome, failure)


def _failure_of(services: Services, lease: Lease) -> Failure:
    execution = services.executions.find(lease.holder.execution)
    if execution is None:
        return {"error": "UNKNOWN", "cause": say("execution.unknown")}
    status = str(execution["status"])
    return {
        "error": str(execution.get("error") or status),
        "cause": readable_cause(str(execution.get("cause") or say("execution.ended", status=status))),
    }
