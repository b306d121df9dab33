"""Carrying a run out: the gates before every wave and every machine, and what became of each."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from drydock.aws.executions import OPEN
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import (
    CanaryFailedError,
    MachinesNotReadyError,
    PlanChangedError,
    RunNotFoundError,
    RunOverError,
    RunStoppedError,
    ServiceUnavailableError,
    as_failure,
    outcome_of_failure,
)
from drydock.plan.estimates import parts_taken
from drydock.plan.plans import Plan, slots_of, wave_items
from drydock.plan.stored_plans import read_plan
from drydock.records.holder import Holder
from drydock.records.results import Member, Result, find_result
from drydock.records.runs import (
    AWAITING_APPROVAL,
    CARRYING_OUT,
    Place,
    PlaceEnd,
    Run,
    begin_carrying_out,
    child_execution,
    child_name,
    close_run,
    count_admission,
    count_taken,
    end_place,
    find_place,
    places_of_run,
    put_place,
    require_run,
    update_run,
)
from drydock.records.staleness import SEEN_LATE
from drydock.request.checking import RUN_ID, brief, spell_out
from drydock.request.step import Step
from drydock.run.gates import Forecast, GateAnswer, budget_spent, look_at_run, look_outside
from drydock.subject import Group, Subject, subject_of_item
from drydock.telling.failures import end_of_execution, readable_cause, readable_failure
from drydock.times import TimeBudget, to_text


def check_gates(services: Services, step: Step) -> dict[str, Any]:
    """Whether another wave may begin. Raises RunOverError, PlanChangedError."""
    run = begin_carrying_out(services.table, _own_run(services, step))
    number = int(step.data["wave"])
    plan = _require_planned(services, run, number)
    # A failure that could not be counted when it happened counts now.
    settle_places(services, run)
    run = require_run(services.table, run.run_id)
    answer = _look(services, run, None)
    places = places_of_run(services.table, run.run_id)
    if answer is None and not plan["waves"][number]["isCanary"]:
        unproved = canary_failure(plan, number, places)
        answer = GateAnswer(unproved, closes_run=True) if unproved is not None else None
    if answer is not None:
        close_run(services.table, run, answer.reason, services.now())
        return {"open": False, "reason": str(answer.reason), "soakLeft": 0, "items": 1, "nextWave": number + 1}
    items, entries = count_items(plan, number, places), sum(one["wave"] == number for one in plan["machines"])
    return {
        "open": True,
        "reason": "",
        # Where nothing has been changed yet, nothing has to stand.
        "soakLeft": _soak_left(services, run, plan, number) if items >= entries else 0,
        "items": items,
        "nextWave": number + 1 if items >= entries else number,
    }


def is_after_canary(plan: Plan, number: int) -> bool:
    """Whether this wave is the first one after the canary."""
    waves = plan["waves"]
    return number > 0 and waves[number - 1]["isCanary"] and not waves[number]["isCanary"]


def canary_failure(plan: Plan, number: int, places: Sequence[Place]) -> CanaryFailedError | None:
    """Why the others may not follow: too much of the canary failed, or none of it was done.

    Machines that were compliant already prove nothing. While there are no others, those whose turns come next stand in
    for them, until one is done.
    """
    canary, stand_ins, ends = _canary_of(plan, places)
    if not canary or not (is_after_canary(plan, number) or _is_unproved(ends)):
        return None
    found = [ends.get(subject, "") for subject in [*canary, *stand_ins]]
    allowed = slots_of(plan["policy"]["maxErrors"], len(canary), 0)
    if found.count("failed") > min(allowed, len(found) - 1):
        return CanaryFailedError(say("canary.failed", failed=found.count("failed"), count=len(found)))
    if "succeeded" not in found and "already_compliant" not in found:
        return CanaryFailedError(say("canary.unproved", count=len(canary)))
    return None


def count_items(plan: Plan, number: int, places: Sequence[Place]) -> int:
    """How many entries of a wave may begin now, counted from its first: all of them, once the canary has proved itself.

    Before that, as many again as have been found compliant: a fleet on which nothing is missing has to come to an end.
    """
    entries = [subject_of_item(one) for one in plan["machines"] if one["wave"] == number]
    canary, stand_ins, ends = _canary_of(plan, places)
    if plan["waves"][number]["isCanary"] or not canary or not _is_unproved(ends):
        return len(entries)
    begun = sum(subject in ends for subject in entries)
    return min(len(entries), begun + len(canary) + len(stand_ins))


def _canary_of(plan: Plan, places: Sequence[Place]) -> tuple[list[Subject], list[Subject], Mapping[Subject, str]]:
    """The canary, the others whose turns came, and what became of each."""
    ends = {place.subject: place.outcome for place in places}
    canary = [subject_of_item(one) for one in plan["machines"] if plan["waves"][one["wave"]]["isCanary"]]
    return canary, [subject for subject in ends if subject not in canary], ends


def _is_unproved(ends: Mapping[Subject, str]) -> bool:
    return "succeeded" not in ends.values()


def _soak_left(services: Services, run: Run, plan: Plan, number: int) -> int:
    """For how many more seconds the canary has to stand, counted from the first look after it has proved itself."""
    minutes = plan["policy"]["soakMinutes"]
    if not minutes or not is_after_canary(plan, number):
        return 0
    until = run.soak_until
    if until is None:
        until = services.now() + timedelta(minutes=minutes)
        update_run(services.table, run, {"soakUntil": to_text(until)}, "attribute_exists(pk)")
    return max(0, math.ceil((until - services.now()).total_seconds()))


def _own_run(services: Services, step: Step) -> Run:
    run = require_run(services.table, step.holder.name)
    if run.is_ended or not run.belongs_to(step.holder, step.execution_started):
        raise RunOverError(say("run.not_own", run=run.run_id))
    return run


def _require_planned(services: Services, run: Run, number: int) -> Plan:
    """Raises PlanChangedError unless the wave's machines are those of the plan that counts."""
    plan = read_plan(services, run)
    if services.objects.read_json(plan["waves"][number]["key"]) != wave_items(plan, number):
        raise PlanChangedError(say("run.wave_changed", run=run.run_id, wave=str(number)))
    return plan


def _look(services: Services, run: Run, forecast: Forecast | None) -> GateAnswer | None:
    """The first closed gate: what the run knows by itself, then what only AWS can tell."""
    zone = run.time_zone or services.environment.time_zone
    answer = look_at_run(run, forecast, services.now(), zone)
    if answer is not None:
        return answer
    reason = look_outside(services, run.require_plan().policy["gates"])
    return GateAnswer(reason, closes_run=True) if reason is not None else None


def admit_machine(services: Services, step: Step) -> dict[str, Any]:
    """Take a machine's or a group's place in the run, or write down why it is not attempted. Twice is once.

    Returns whether it was admitted, and the name of the execution that shall patch it. Raises RunOverError.
    """
    run_id, subject, machine = str(step.data["runId"]), step.subject, step.data["item"]
    name = child_name(run_id, subject)
    run = require_run(services.table, run_id)
    place = find_place(services.table, run_id, subject)
    if place is None:
        place = _take_turn(services, run, subject, machine)
    elif not place.outcome and (run.is_ended or not _is_at_work(services, run)):
        # Let in by a function whose answer was lost, and meanwhile the run was stopped.
        end_place(services.table, run, subject, never_started(), services.now())
        return {"admitted": False, "childName": name}
    return {"admitted": not place.outcome, "childName": name}


def _take_turn(services: Services, run: Run, subject: Subject, machine: Mapping[str, Any]) -> Place:
    now = services.now()
    forecast = Forecast.by_run(run, machine["pace"], int(machine["seconds"]), machine["basis"])
    answer = _look(services, run, forecast) if run.phase == CARRYING_OUT else None
    if answer is None and not _is_at_work(services, run):
        answer = GateAnswer(RunStoppedError(say("run.execution_over")), closes_run=False)
    if answer is None and count_admission(services.table, run) is None:
        run = require_run(services.table, run.run_id)
        answer = look_at_run(run, None, now, run.time_zone or services.environment.time_zone) or GateAnswer(
            RunStoppedError(say("run.is_over_now")), closes_run=False
        )
    place = Place(
        subject,
        machine["name"],
        _members_of(machine),
        pace=machine["pace"],
        expected_seconds=machine.get("turnSeconds", machine["seconds"]),
        after_seconds=machine.get("afterSeconds", 0),
    )
    if answer is None:
        environment = services.environment
        execution = child_execution(run.holder, environment.stack, environment.region, subject)
        return put_place(services.table, run.run_id, replace(place, execution=execution, admitted=now), now)
    if answer.closes_run:
        close_run(services.table, run, answer.reason, now)
    place = replace(place, ended=now, outcome="not_attempted", **as_failure(answer.reason))
    return put_place(services.table, run.run_id, place, now)


def _members_of(machine: Mapping[str, Any]) -> Sequence[str]:
    """Of a wave's item: the ids of the members that a group's roll is to patch; none for a machine."""
    only: Sequence[str] = machine.get("only", ())
    return only


def _is_at_work(services: Services, run: Run) -> bool:
    """Whether the run's execution goes on: when it was stopped, the engine's word to this one may be lost."""
    execution = services.executions.find(run.holder.execution)
    return (
        execution is not None
        and execution["status"] in OPEN
        and int(execution.get("redriveCount") or 0) == run.holder.redrive_count
    )


def describe_end(child: Mapping[str, Any]) -> PlaceEnd:
    """What became of a machine, from the description of the execution that patched it, which is over."""
    if child["status"] == "SUCCEEDED":
        return _describe_success(json.loads(child.get("output") or "{}"))
    error, cause = end_of_execution(child)
    return {
        "outcome": outcome_of_failure(error),
        "error": error,
        "cause": cause or say("execution.stopped_by_somebody"),
        "verdict": "",
    }


def _describe_success(output: Mapping[str, Any]) -> PlaceEnd:
    """What became of a machine that went well, from what its execution says; the cause is what else is to be known."""
    notes = "; ".join(output.get("notes") or [])
    outcome = "already_compliant" if output.get("outcome") == "already_compliant" else "succeeded"
    return {"outcome": outcome, "error": "", "cause": notes, "verdict": output.get("verdict", "")}


def never_started() -> PlaceEnd:
    """What became of a machine that was let in, and whose execution could not be started."""
    return {
        "outcome": "not_attempted",
        "error": ServiceUnavailableError.__name__,
        "cause": say("execution.not_started"),
        "verdict": "",
    }


def settle_places(services: Services, run: Run) -> list[Subject]:
    """Write down what became of machines whose part of the run could not. Those that are still in work.

    As many as there is time for: the next call finds fewer.
    """
    budget, still = TimeBudget.begin(services.now), list[Subject]()
    for place in places_of_run(services.table, run.run_id):
        if place.outcome:
            continue
        subject = place.subject
        if budget.is_spent:
            still.append(subject)
            continue
        child = services.executions.find(place.execution)
        if (child is None and _not_seen_yet(services, place)) or (child is not None and child["status"] in OPEN):
            still.append(subject)
        elif child is None:
            end_place(services.table, run, subject, never_started(), services.now())
        else:
            end_turn(services, run, subject, describe_end(child), child["stopDate"])
    return still


def _not_seen_yet(services: Services, place: Place | None) -> bool:
    """Whether an execution that cannot be found may have been started just now: Step Functions shows it later."""
    return place is not None and place.admitted is not None and services.now() - place.admitted < SEEN_LATE


def end_of_child(services: Services, step: Step, execution: str) -> PlaceEnd:
    """What became of a machine, from the end of the state that waited for its execution.

    The cause of a failure is then the description of the execution as JSON:
    https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html
    When it is none, Step Functions itself failed or cut it short, and the execution is looked at.
    Raises MachinesNotReadyError when that still runs.
    """
    failure = step.data.get("failure")
    if failure is None:
        return _describe_success(step.data.get("output") or {})
    try:
        told = json.loads(str(failure.get("cause") or ""))
    except (RecursionError, ValueError):
        told = None
    if isinstance(told, Mapping) and "Status" in told:
        return describe_end({key.lower(): value for key, value in told.items()})
    found = services.executions.find(execution)
    if found is None and _not_seen_yet(services, find_place(services.table, str(step.data["runId"]), step.subject)):
        raise MachinesNotReadyError(say("execution.not_seen", subject=step.subject.key))
    if found is None:
        return {**never_started(), "cause": f"{failure['error']}: {readable_cause(str(failure.get('cause') or ''))}"}
    if found["status"] in OPEN:
        raise MachinesNotReadyError(say("execution.goes_on", subject=step.subject.key))
    return describe_end(found)


def record_outcome(services: Services, step: Step) -> dict[str, Any]:
    """Write down what became of a machine. A failure counts against the run's error budget.

    Raises MachinesNotReadyError.
    """
    run = require_run(services.table, str(step.data["runId"]))
    if not step.data["wasAdmitted"]:
        return _record_lost_turn(services, run, step)
    environment = services.environment
    child = child_execution(run.holder, environment.stack, environment.region, step.subject)
    outcome = end_of_child(services, step, child)
    end_turn(services, run, step.subject, outcome, services.now())
    if outcome["outcome"] == "failed":
        _close_when_spent(services, require_run(services.table, run.run_id))
    return {"outcome": outcome["outcome"]}


def end_turn(services: Services, run: Run, subject: Subject, end: PlaceEnd, ended: datetime) -> None:
    """Write down what became of a machine or a group. Each member that failed counts against the error budget.

    What those took that succeeded is counted: it corrects what is expected of the others.
    """
    environment, table = services.environment, services.table
    if not isinstance(subject, Group):
        place = end_place(table, run, subject, end, ended)
        if place is not None and place.pace and place.admitted and end["outcome"] == "succeeded":
            taken = (ended - place.admitted).total_seconds()
            count_taken(table, run.run_id, place.pace, [parts_taken(taken, place.expected_seconds)])
        return
    child = child_execution(run.holder, environment.stack, environment.region, subject)
    result = find_result_of(services, subject, child)
    members = list(result.roll.members.values()) if result and result.roll else []
    place = end_place(table, run, subject, end, ended, dict(Counter(member.outcome for member in members)))
    if place is not None and place.pace:
        count_taken(table, run.run_id, place.pace, parts_of_members(members, place.expected_seconds))


def parts_of_members(members: Iterable[Member], expected: int) -> list[int]:
    """What the members of a roll took that succeeded, in twentieths of what was expected."""
    return [
        parts_taken((member.ended - member.began).total_seconds(), expected)
        for member in members
        if member.outcome == "succeeded" and member.began and member.ended
    ]


def find_result_of(services: Services, subject: Subject, execution: str) -> Result | None:
    """The result that an execution left of a machine or a group; None while there is none."""
    found = services.executions.find(execution)
    if found is None:
        return None
    holder = Holder(execution, int(found.get("redriveCount") or 0))
    return find_result(services.table, subject, holder, found["startDate"])


def _close_when_spent(services: Services, run: Run) -> None:
    if run.failed > run.max_errors:
        close_run(services.table, run, budget_spent(run), services.now())


def _record_lost_turn(services: Services, run: Run, step: Step) -> dict[str, Any]:
    """A machine of which it could not be decided whether it may begin has not begun."""
    failure = readable_failure(step.data.get("failure")) or {"error": "UNKNOWN", "cause": ""}
    item, now = step.data["item"], services.now()
    end: PlaceEnd = {"outcome": "not_attempted", "error": failure["error"], "cause": failure["cause"]}
    place = Place(step.subject, item["name"], _members_of(item), ended=now, outcome="not_attempted", **failure)
    put_place(services.table, run.run_id, place, now)
    end_place(services.table, run, step.subject, end, now)
    return {"outcome": "not_attempted"}


def stop_run(services: Services, event: Mapping[str, Any]) -> dict[str, Any]:
    """Let no machine of a run begin any more; those in work are finished. Raises RunNotFoundError."""
    run_id = event.get("runId")
    if RUN_ID("runId", run_id):
        raise RunNotFoundError(say("run.no_id", value=brief(run_id)))
    run = require_run(services.table, str(run_id))
    if run.is_ended:
        return {"stopped": False, "reason": say("run.ended_already", run=run.run_id, outcome=run.outcome)}
    said = event.get("reason") or say("execution.stopped_by_somebody")
    reason = RunStoppedError(spell_out(said if isinstance(said, str) else brief(said))[:500])
    closed = close_run(services.table, run, reason, services.now())
    token = (closed.approval or {}).get("token", "")
    if closed.phase == AWAITING_APPROVAL and token:
        services.executions.refuse(token, reason)
    standing = closed.closed or {}
    return {"stopped": True, "reason": str(standing.get("reason", "")), "phase": closed.phase}
