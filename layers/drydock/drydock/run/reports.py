"""Reports: what became of every planned machine, what became of the run, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

from drydock.aws.table import SCHEMA, Item
from drydock.errors import (
    ApprovalRejectedError,
    ApprovalTimedOutError,
    DrydockError,
    InstanceUnmanagedError,
    MachinesFailedError,
    MemberGoneError,
    RollStoppedError,
    RunIncompleteError,
    RunStoppedError,
    error_named,
    outcome_of_failure,
)
from drydock.plan.plans import Plan, members_of
from drydock.records.runs import SNAPSHOT_LIVES
from drydock.subject import group_name_of, is_group
from drydock.telling.failures import STOPPED, readable_cause
from drydock.telling.text import advice_for, cut, machine_text, one_line
from drydock.times import from_text, to_text

MACHINE_OUTCOMES = ("succeeded", "failed", "busy", "gone", "skipped", "not_attempted")
SUCCESSES = ("succeeded", "planned", "nothing_to_do")
"""The outcomes of a run with which its execution succeeds."""

_KILLS = ("ABORTED", "TIMED_OUT")
_VERDICTS_OF_THE_FLOW = (MachinesFailedError.__name__, RunIncompleteError.__name__)
"""What the flow ends with because of its machines: no failure of the run itself."""
_VERDICTS_OF_A_ROLL = (MachinesFailedError.__name__, RollStoppedError.__name__)
"""What a roll ends with because of its members."""

_MOST_CAUSE = 2_000
_MOST_REASON = 32_000
_MOST_KINDS = 8
_MOST_GIVEN = 400


class MachineOutcome(TypedDict):
    """What became of one machine. `wave` is -1 for one that the plan does not name; seconds 0 when unknown.

    `groupName` is that of the Auto Scaling group whose roll patched it; `execution` is then the roll's.
    """

    instanceId: str
    name: str
    groupName: str
    wave: int
    isPlanned: bool
    outcome: str
    verdict: str
    error: str
    cause: str
    seconds: int
    execution: str
    startedAt: str
    endedAt: str


class GroupOutcome(TypedDict):
    """What became of a group. `problems` is what of it is not as it was found."""

    groupName: str
    outcome: str
    error: str
    cause: str
    problems: list[str]
    execution: str


def reconcile(
    plan: Plan | None,
    places: Sequence[Item],
    run: Item,
    children: Mapping[str, Mapping[str, Any]],
    failure: Mapping[str, str] | None = None,
    rolls: Mapping[str, Item] | None = None,
) -> list[MachineOutcome]:
    """Exactly one outcome for every planned machine, in the plan's order; then those that no plan names.

    `children` holds what was found of the executions of machines: a result, or an error and its cause. `rolls` holds
    the results of groups, by subject; their members stand for them.
    """
    by_id: dict[str, Item] = {}
    for place in places:
        subject = str(place["instanceId"])
        by_id |= _places_of_members(place, (rolls or {}).get(subject)) if is_group(subject) else {subject: place}
    planned = _planned(plan) if plan else {}
    why_not = _why_not_attempted(run, failure)
    outcomes = [
        _outcome(instance_id, machine, by_id.get(instance_id), children.get(instance_id), why_not)
        for instance_id, machine in planned.items()
    ]
    for instance_id in sorted({*by_id, *children} - set(planned)):
        unplanned = _outcome(instance_id, {}, by_id.get(instance_id), children.get(instance_id), why_not)
        # Where there is no plan to be read, nothing can be said to be outside it; a roll takes up what its policy says.
        outcomes.append({**unplanned, "isPlanned": plan is None or bool(unplanned["groupName"])})
    return outcomes


def _planned(plan: Plan) -> dict[str, Mapping[str, Any]]:
    """The machines of a plan by id, those of groups one by one."""
    return {
        member["instanceId"]: {**member, "wave": machine["wave"], "groupName": machine.get("groupName", "")}
        for machine in plan["machines"]
        for member in members_of(machine)
    }


def _places_of_members(place: Item, roll: Item | None) -> dict[str, Item]:
    """What is known of each member of a group whose turn came."""
    found: Mapping[str, Mapping[str, Any]] = (roll or {}).get("members") or {}
    common = {"groupName": group_name_of(str(place["instanceId"])), "execution": place.get("execution", "")}
    return {
        instance_id: {**common, "instanceId": instance_id, **_turn_of_member(place, roll, found.get(instance_id))}
        for instance_id in dict.fromkeys([*place.get("only", ()), *found])
    }


def _turn_of_member(place: Item, roll: Item | None, found: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if found is not None and found["outcome"] != "not_attempted":
        return {**found, "admittedAt": found.get("at", "")}
    if roll is None:
        return {key: place[key] for key in ("outcome", "error", "cause", "endedAt") if key in place}
    failure = roll.get("failure") or {}
    why = {"error": failure.get("error", ""), "cause": failure.get("cause", "")}
    if found is not None:
        told = {"error": found["error"], "cause": found.get("cause", "")} if found.get("error") else why
        return {"outcome": "not_attempted", **told}
    if roll["outcome"] == "refused" or roll.get("givenBack"):
        # The group was not touched, or its roll died before the member's turn.
        outcome = place.get("outcome", "")
        return {"outcome": outcome if outcome in ("busy", "gone", "skipped") else "not_attempted", **why}
    return {
        "outcome": "gone",
        "error": MemberGoneError.__name__,
        "cause": f"was not in service in group {roll.get('groupName', '')} when its roll began",
    }


def group_outcomes(
    places: Iterable[Item], rolls: Mapping[str, Item], failure: Mapping[str, str] | None
) -> list[GroupOutcome]:
    """What became of the groups whose turn came. A roll that ended with its run was stopped, and has not failed."""
    was_stopped = (failure or {}).get("error") in STOPPED
    return [
        {
            "groupName": group_name_of(str(place["instanceId"])),
            "outcome": "stopped"
            if was_stopped and place.get("error") in STOPPED
            else str(place.get("outcome") or "not_attempted"),
            "error": str(place.get("error") or ""),
            "cause": cut(readable_cause(str(place.get("cause") or "")), _MOST_CAUSE),
            "problems": [str(problem) for problem in rolls.get(str(place["instanceId"]), {}).get("problems") or []],
            "execution": str(place.get("execution") or ""),
        }
        for place in places
        if is_group(str(place["instanceId"]))
    ]


def failed_groups(groups: Iterable[GroupOutcome]) -> list[GroupOutcome]:
    """Those whose roll failed by itself, and not because of its members."""
    return [group for group in groups if group["outcome"] == "failed" and group["error"] not in _VERDICTS_OF_A_ROLL]


def _outcome(
    instance_id: str,
    planned: Mapping[str, Any],
    found_place: Item | None,
    found_child: Mapping[str, Any] | None,
    why_not: tuple[str, str],
) -> MachineOutcome:
    place, child = found_place or {}, found_child or {}
    if place.get("outcome"):
        outcome, error, cause = str(place["outcome"]), str(place.get("error") or ""), str(place.get("cause") or "")
        ended = str(place.get("endedAt") or "")
    elif child:
        outcome, error, cause = _outcome_of_child(child)
        ended = str(child.get("endedAt") or "")
    else:
        outcome, (error, cause) = "not_attempted", why_not
        if place:
            cause = f"it was let in, but its execution was never started: {cause}"
        ended = ""
    began = str(child.get("startedAt") or place.get("admittedAt") or "")
    return {
        "instanceId": instance_id,
        "name": str(planned.get("name") or place.get("name") or child.get("name") or ""),
        "groupName": str(planned.get("groupName") or place.get("groupName") or ""),
        "wave": int(planned.get("wave", -1)),
        "isPlanned": True,
        "outcome": outcome,
        "verdict": str(child.get("verdict") or place.get("verdict") or ""),
        "error": error,
        "cause": cut(readable_cause(cause), _MOST_CAUSE),
        "seconds": int(place.get("seconds") or 0) or _seconds_between(began, ended),
        "execution": str(child.get("execution") or place.get("execution") or ""),
        "startedAt": began,
        "endedAt": ended,
    }


def _outcome_of_child(child: Mapping[str, Any]) -> tuple[str, str, str]:
    """Outcome, error and cause, from a result or from an execution that left none."""
    if child.get("outcome") == "succeeded":
        return "succeeded", "", ""
    failure = child.get("failure") or child
    error = str(failure.get("error") or child.get("status") or "UNKNOWN")
    said = str(failure.get("cause") or "")
    if error == "RUNNING":
        said = said or "its execution was still at work when the run ended"
    return outcome_of_failure(error), error, said or f"its execution ended as {error}"


def _why_not_attempted(run: Item, failure: Mapping[str, str] | None) -> tuple[str, str]:
    """Error and cause for a machine whose turn never came."""
    if run.get("planOnly"):
        return "", "only a plan was asked for"
    closed = run.get("closed")
    if closed:
        return str(closed["error"]), str(closed["reason"])
    decided = failure or run.get("failure")
    if decided and decided["error"] not in _VERDICTS_OF_THE_FLOW:
        return str(decided["error"]), readable_cause(str(decided.get("cause") or "")) or "the run ended early"
    if (run.get("approval") or {}).get("decision") == "rejected":
        return ApprovalRejectedError.__name__, "the run was rejected"
    return "", "its turn did not come"


def _seconds_between(began: str, ended: str) -> int:
    return max(int((from_text(ended) - from_text(began)).total_seconds()), 0) if began and ended else 0


def count_outcomes(outcomes: Iterable[MachineOutcome]) -> dict[str, int]:
    """A count for every kind of outcome, zero included."""
    found = Counter(machine["outcome"] for machine in outcomes)
    return {outcome: found[outcome] for outcome in MACHINE_OUTCOMES}


def outcome_of_run(
    outcomes: Sequence[MachineOutcome],
    run: Item,
    failure: Mapping[str, str] | None,
    groups: Sequence[GroupOutcome] = (),
) -> str:
    """What became of the run.

    succeeded, failed, incomplete, planned, nothing_to_do, rejected, not_answered, refused or stopped.
    """
    counts = count_outcomes(outcomes)
    untouched = all(machine["outcome"] == "not_attempted" for machine in outcomes)
    error = (failure or {}).get("error", "")
    if error in _VERDICTS_OF_THE_FLOW:
        error = ""
    closed_by = str((run.get("closed") or {}).get("error") or "")
    # A run that fails for itself is closed as well; its own failure tells more than that.
    was_stopped = error in STOPPED or (closed_by == RunStoppedError.__name__ and not error)
    if was_stopped and (counts["not_attempted"] or not outcomes or (error == "ABORTED" and counts["failed"])):
        return "stopped"
    ends_as = (error_named(error) or DrydockError).ends_run_as
    if untouched and ends_as != "failed":
        return ends_as
    if counts["failed"] or failed_groups(groups) or (error and error not in STOPPED):
        return "failed"
    if not outcomes:
        return "nothing_to_do"
    if run.get("planOnly"):
        return "planned"
    return "succeeded" if counts["succeeded"] and not counts["not_attempted"] else "incomplete"


def make_report(
    *,
    run: Item,
    plan: Plan | None,
    outcomes: Sequence[MachineOutcome],
    failure: Mapping[str, str] | None,
    ended: datetime,
    given: object = None,
    groups: Sequence[GroupOutcome] = (),
) -> dict[str, Any]:
    """The report of a run, as it is stored and as the message is made from it. No tokens, no links.

    `given` is the input of the execution, whatever it is: all that is known of what was asked for without a plan.
    """
    facts: Mapping[str, Any] = plan or {}
    outcome = outcome_of_run(outcomes, run, failure, groups)
    started = from_text(run["startedAt"])
    end = str(facts.get("end") or run.get("end") or "")
    worked_until = _worked_until(outcomes, ended)
    after = _minutes(worked_until - from_text(end)) if end and worked_until else 0
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "runId": run["runId"],
        "execution": run.get("owner", ""),
        "outcome": outcome,
        "planOnly": bool(run.get("planOnly")),
        "asked": _asked(run, facts, given if isinstance(given, Mapping) else {}),
        "timeZone": str(run.get("timeZone") or ""),
        "startedAt": to_text(started),
        "endedAt": to_text(ended),
        "minutes": _minutes(ended - started),
        "end": end,
        "predictedEnd": str(facts.get("predictedEnd") or ""),
        "insideWindow": worked_until <= from_text(end) if end and worked_until else None,
        "minutesAfterEnd": after,
        "planned": sum(machine["isPlanned"] for machine in outcomes),
        "counts": count_outcomes(outcomes),
        "machines": list(outcomes),
        "groups": list(groups),
        "leftOut": list(facts.get("leftOut") or []),
        "failure": _own_failure(failure),
        "closed": dict(run["closed"]) if run.get("closed") else None,
        "approval": _approval(run.get("approval")),
        "warnings": [*(facts.get("warnings") or []), *_mistakes(run, plan, outcomes)],
        "snapshotId": str(facts.get("snapshotId") or run.get("snapshotId") or ""),
        "planHash": str(run.get("planHash") or ""),
    }
    report["next"] = _next_steps(report)
    return report


def _asked(run: Item, plan: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What the run was asked for: as it was understood, or else as it was given, right or wrong."""
    window = plan.get("window") or run.get("window") or given.get("window")
    targets = plan.get("targets") or run.get("targets") or given.get("targets")
    operations = given.get("operations")
    operation = (
        plan.get("operation")
        or run.get("operation")
        or (operations and operations[0] if isinstance(operations, list) else "")
    )
    return {
        "targets": targets if isinstance(targets, list) else [],
        "window": {key: _brief(value) for key, value in window.items()} if isinstance(window, Mapping) else None,
        "operation": _brief(operation),
        "policy": plan.get("policy") or run.get("policy") or given.get("policy") or {},
        "follows": _brief(plan.get("follows") or given.get("follows")),
        "resumes": _brief(plan.get("resumes") or given.get("resume")),
        "startedBy": _brief(run.get("startedBy") or given.get("startedBy")),
    }


def _brief(value: object) -> str:
    return one_line(cut(str(value or ""), _MOST_GIVEN))


def _own_failure(failure: Mapping[str, str] | None) -> dict[str, str] | None:
    if not failure or failure["error"] in _VERDICTS_OF_THE_FLOW:
        return None
    return {"error": failure["error"], "cause": cut(readable_cause(str(failure.get("cause") or "")), _MOST_REASON)}


def _minutes(span: timedelta) -> int:
    """Whole minutes; a begun one after the end of a window is one."""
    return -(-int(span.total_seconds()) // 60)


def _worked_until(outcomes: Sequence[MachineOutcome], ended: datetime) -> datetime | None:
    """When the last machine was given back; None when none was taken."""
    # A machine whose execution was killed is given back later than that; the report has waited for it.
    ends = [
        from_text(machine["endedAt"]) if machine["endedAt"] and machine["error"] not in _KILLS else ended
        for machine in outcomes
        if machine["outcome"] in ("succeeded", "failed")
    ]
    return max(ends, default=None)


def _approval(approval: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Who decided what, and when. What lets somebody decide is no business of a report."""
    if not approval:
        return None
    return {
        **{key: str(approval.get(key) or "") for key in ("decision", "askedAt", "until", "decidedAt")},
        "decisions": [
            {key: str(decision.get(key) or "") for key in ("by", "name", "decision", "reason", "at", "via")}
            for decision in approval.get("decisions") or []
        ],
    }


def _mistakes(run: Item, plan: Plan | None, outcomes: Sequence[MachineOutcome]) -> list[str]:
    """What cannot be, and is reported all the same."""
    if plan is not None:
        return [
            f"{machine_text(machine['instanceId'], machine['name'])} was worked on, but the plan does not name it"
            for machine in outcomes
            if not machine["isPlanned"]
        ]
    planned = int(run.get("planned") or 0)
    if planned:
        return [f"the plan of {planned:,} machines could not be read: machines whose turn did not come are not listed"]
    return []


def _next_steps(report: Mapping[str, Any]) -> list[str]:
    """What to do next: one sentence for each kind of trouble."""
    steps = {
        "planned": [f"Carry the plan out with `drydock run --plan {report['runId']}` while its targets stay the same."],
        "rejected": [ApprovalRejectedError.advice],
        "not_answered": [ApprovalTimedOutError.advice],
        "refused": [advice_for((report["failure"] or {}).get("error", ""))],
    }.get(report["outcome"])
    if steps is not None:
        return steps
    if report["outcome"] == "nothing_to_do" and not report["leftOut"]:
        return ["Check the targets, if you expected any machine: nothing carries these tags or ids."]
    failed = [machine for machine in report["machines"] if machine["outcome"] == "failed"]
    kinds = Counter(machine["error"] for machine in failed).most_common()
    found = [f"{_machines(count)} failed with {error}: {advice_for(error)}" for error, count in kinds[:_MOST_KINDS]]
    if len(kinds) > _MOST_KINDS:
        found.append(f"The report names {len(kinds) - _MOST_KINDS} more kinds of failures.")
    found += [
        f"The roll through group {group['groupName']} failed with {group['error']}: {advice_for(group['error'])}"
        for group in failed_groups(report["groups"])[:_MOST_KINDS]
    ]
    failure = report["failure"]
    if failure and failure["error"] not in STOPPED:
        found.append(f"The run itself ended with {failure['error']}: {advice_for(failure['error'])}")
    found += _steps_for_the_rest(report)
    if not found and report["outcome"] == "incomplete":
        found.append("No machine was done: the report says of each why it was skipped, busy or gone.")
    return found


def _steps_for_the_rest(report: Mapping[str, Any]) -> list[str]:
    counts, run_id = report["counts"], report["runId"]
    found: list[str] = []
    closed_by = (report["closed"] or {}).get("error", "")
    if counts["not_attempted"]:
        if closed_by not in ("", RunStoppedError.__name__):
            found.append(f"No machine began any more because of {closed_by}: {advice_for(closed_by)}")
        until = to_text(from_text(report["startedAt"]) + SNAPSHOT_LIVES)[:10]
        found.append(
            f"Take up what is left with `drydock run --resume {run_id}`: the same patches until {until}, "
            "later a new canary; or leave it to the next window, which takes these machines first."
        )
    unmanaged = sum(machine["error"] == InstanceUnmanagedError.__name__ for machine in report["leftOut"])
    if unmanaged:
        found.append(f"{_machines(unmanaged)} cannot be reached by Systems Manager: {InstanceUnmanagedError.advice}")
    if report["outcome"] == "succeeded" and not counts["succeeded"]:
        found.append("No machine was patched at all: see why, and change targets or tags if that is not meant.")
    if counts["busy"]:
        found.append("Busy machines were in the hands of another execution: see what that one did, or run again.")
    if any(not machine["isPlanned"] for machine in report["machines"]) and report["planned"]:
        found.append("Machines outside the plan were worked on: that is a mistake of Drydock's. Keep the report.")
    if report["insideWindow"] is False:
        found.append(
            "The run ended after its window: give the window more time, or the run more concurrency, "
            "and look at the durations in the report."
        )
    return found


def _machines(count: int) -> str:
    return f"{count:,} machine{'' if count == 1 else 's'}"
