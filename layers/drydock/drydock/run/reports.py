"""Reports: what became of every planned machine, what became of the run, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

from drydock.approval.approvals import REJECTED, Approval, DecisionItem, approval_of
from drydock.aws.table import SCHEMA, Item
from drydock.errors import (
    ApprovalRejectedError,
    ApprovalTimedOutError,
    InstanceUnmanagedError,
    MemberGoneError,
    RunStoppedError,
    outcome_of_failure,
)
from drydock.plan.plans import Plan, members_of
from drydock.plan.targets import LeftOut
from drydock.records.runs import SNAPSHOT_LIVES, Run
from drydock.run.outcomes import (
    VERDICTS_OF_THE_FLOW,
    GroupOutcome,
    MachineOutcome,
    RunOutcome,
    count_outcomes,
    failed_groups,
    outcome_of_run,
)
from drydock.subject import Group, Subject, subject_of_item
from drydock.telling.failures import STOPPED, readable_cause
from drydock.telling.text import advice_for, cut, machine_text, one_line
from drydock.times import from_text, to_text


class Asked(TypedDict):
    """What a run was asked for: as it was understood, or else as it was given, right or wrong."""

    targets: list[Any]
    window: dict[str, str] | None
    operation: str
    policy: Mapping[str, Any]
    follows: str
    resumes: str
    startedBy: str


class ReportedApproval(TypedDict):
    """Who decided what, and when. What lets somebody decide is no business of a report."""

    decision: str
    askedAt: str
    until: str
    decidedAt: str
    decisions: list[DecisionItem]


class ReportedEnd(TypedDict):
    """When a run had to end, and whether it did: None for one that took no machine, or had no end to keep to.

    `minutesAfterEnd` is negative for a run that was over before, 0 where it cannot be said.
    """

    end: str
    insideWindow: bool | None
    minutesAfterEnd: int


class Report(ReportedEnd):
    """`report.json`. Times are UTC; an empty one means that there is none. No tokens, no links.

    `failure` is the run's own; `next` says what to do next, a sentence for each.
    """

    schema: int
    runId: str
    execution: str
    outcome: RunOutcome
    planOnly: bool
    asked: Asked
    timeZone: str
    startedAt: str
    endedAt: str
    minutes: int
    predictedEnd: str
    planned: int
    counts: dict[str, int]
    machines: list[MachineOutcome]
    groups: list[GroupOutcome]
    leftOut: list[LeftOut]
    failure: dict[str, str] | None
    closed: dict[str, str] | None
    approval: ReportedApproval | None
    warnings: list[str]
    snapshotId: str
    planHash: str
    next: list[str]


_KILLS = ("ABORTED", "TIMED_OUT")
_MOST_CAUSE = 2_000
_MOST_REASON = 32_000
_MOST_KINDS = 8
_MOST_GIVEN = 400


def reconcile(
    plan: Plan | None,
    places: Sequence[Item],
    run: Run,
    children: Mapping[str, Mapping[str, Any]],
    failure: Mapping[str, str] | None = None,
    rolls: Mapping[Subject, Item] | None = None,
) -> list[MachineOutcome]:
    """Exactly one outcome for every planned machine, in the plan's order; then those that no plan names.

    `children` holds what was found of the executions of machines: a result, or an error and its cause. `rolls` holds
    the results of groups, by subject; their members stand for them.
    """
    by_id: dict[str, Item] = {}
    for place in places:
        subject = subject_of_item(place)
        if isinstance(subject, Group):
            by_id |= _places_of_members(place, subject, (rolls or {}).get(subject))
        else:
            by_id[subject.id] = place
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


def _places_of_members(place: Item, group: Group, roll: Item | None) -> dict[str, Item]:
    """What is known of each member of a group whose turn came."""
    found: Mapping[str, Mapping[str, Any]] = (roll or {}).get("members") or {}
    common = {"groupName": group.name, "execution": place.get("execution", "")}
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
    places: Iterable[Item], rolls: Mapping[Subject, Item], failure: Mapping[str, str] | None
) -> list[GroupOutcome]:
    """What became of the groups whose turn came. A roll that ended with its run was stopped, and has not failed."""
    was_stopped = (failure or {}).get("error") in STOPPED
    return [
        {
            "groupName": group.name,
            "outcome": "stopped"
            if was_stopped and place.get("error") in STOPPED
            else str(place.get("outcome") or "not_attempted"),
            "error": str(place.get("error") or ""),
            "cause": cut(readable_cause(str(place.get("cause") or "")), _MOST_CAUSE),
            "problems": [str(problem) for problem in rolls.get(group, {}).get("problems") or []],
            "execution": str(place.get("execution") or ""),
        }
        for place in places
        if isinstance(group := subject_of_item(place), Group)
    ]


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


def _why_not_attempted(run: Run, failure: Mapping[str, str] | None) -> tuple[str, str]:
    """Error and cause for a machine whose turn never came."""
    if run.plan and run.plan.is_only:
        return "", "only a plan was asked for"
    if run.closed:
        return run.closed["error"], run.closed["reason"]
    decided = failure or (run.ended.failure if run.ended else None)
    if decided and decided["error"] not in VERDICTS_OF_THE_FLOW:
        return str(decided["error"]), readable_cause(str(decided.get("cause") or "")) or "the run ended early"
    approval = approval_of(run)
    if approval and approval.decision == REJECTED:
        return ApprovalRejectedError.__name__, "the run was rejected"
    return "", "its turn did not come"


def _seconds_between(began: str, ended: str) -> int:
    return max(int((from_text(ended) - from_text(began)).total_seconds()), 0) if began and ended else 0


def make_report(
    *,
    run: Run,
    plan: Plan | None,
    outcomes: Sequence[MachineOutcome],
    failure: Mapping[str, str] | None,
    ended: datetime,
    given: object = None,
    groups: Sequence[GroupOutcome] = (),
) -> Report:
    """The report of a run, as it is stored and as the message is made from it.

    `given` is the input of the execution, whatever it is: all that is known of what was asked for without a plan.
    """
    recorded, approval = run.plan, approval_of(run)
    report: Report = {
        "schema": SCHEMA,
        "runId": run.run_id,
        "execution": run.holder.execution,
        "outcome": outcome_of_run(outcomes, run, failure, groups),
        "planOnly": recorded is not None and recorded.is_only,
        "asked": _asked(run, plan, given if isinstance(given, Mapping) else {}),
        "timeZone": run.time_zone,
        "startedAt": to_text(run.started),
        "endedAt": to_text(ended),
        "minutes": _minutes(ended - run.started),
        "planned": sum(machine["isPlanned"] for machine in outcomes),
        "counts": count_outcomes(outcomes),
        "machines": list(outcomes),
        "groups": list(groups),
        "leftOut": plan["leftOut"] if plan else [],
        "failure": _own_failure(failure),
        "closed": dict(run.closed) if run.closed else None,
        "approval": _describe_approval(approval) if approval else None,
        "warnings": [*(plan["warnings"] if plan else []), *_mistakes(run, plan, outcomes)],
        "snapshotId": recorded.snapshot_id if recorded else "",
        "planHash": recorded.hash if recorded else "",
        "predictedEnd": plan["predictedEnd"] if plan else "",
        **_compare_with_end(run.end, outcomes, ended),
        "next": [],
    }
    return {**report, "next": _next_steps(report)}


def _asked(run: Run, plan: Plan | None, given: Mapping[str, Any]) -> Asked:
    """The plan says it best, then the run, then what was given, right or wrong."""
    sources: list[Mapping[str, Any]] = [plan or {}, run.plan.to_item() if run.plan else {}, given]

    def first(key: str) -> Any:
        return next((source[key] for source in sources if source.get(key)), None)

    window, targets, operations = first("window"), first("targets"), given.get("operations")
    given_operation = operations[0] if isinstance(operations, list) and operations else ""
    return {
        "targets": targets if isinstance(targets, list) else [],
        "window": {key: _brief(value) for key, value in window.items()} if isinstance(window, Mapping) else None,
        "operation": _brief(first("operation") or given_operation),
        "policy": first("policy") or {},
        "follows": _brief(first("follows")),
        "resumes": _brief(first("resumes") or given.get("resume")),
        "startedBy": _brief(first("startedBy")),
    }


def _brief(value: object) -> str:
    return one_line(cut(str(value or ""), _MOST_GIVEN))


def _own_failure(failure: Mapping[str, str] | None) -> dict[str, str] | None:
    if not failure or failure["error"] in VERDICTS_OF_THE_FLOW:
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


def _compare_with_end(end: datetime | None, outcomes: Sequence[MachineOutcome], ended: datetime) -> ReportedEnd:
    worked_until = _worked_until(outcomes, ended)
    if end is None or worked_until is None:
        return {"end": to_text(end) if end else "", "insideWindow": None, "minutesAfterEnd": 0}
    late = worked_until - end
    return {"end": to_text(end), "insideWindow": late <= timedelta(), "minutesAfterEnd": _minutes(late)}


def _describe_approval(approval: Approval) -> ReportedApproval:
    return {
        "decision": approval.decision,
        "askedAt": to_text(approval.asked),
        "until": to_text(approval.until),
        "decidedAt": to_text(approval.decided) if approval.decided else "",
        "decisions": [one.to_item() for one in approval.decisions],
    }


def _mistakes(run: Run, plan: Plan | None, outcomes: Sequence[MachineOutcome]) -> list[str]:
    """What cannot be, and is reported all the same."""
    if plan is not None:
        return [
            f"{machine_text(machine['instanceId'], machine['name'])} was worked on, but the plan does not name it"
            for machine in outcomes
            if not machine["isPlanned"]
        ]
    if run.plan:
        count = f"{run.plan.machines:,}"
        return [f"the plan of {count} machines could not be read: machines whose turn did not come are not listed"]
    return []


def _next_steps(report: Report) -> list[str]:
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


def _steps_for_the_rest(report: Report) -> list[str]:
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
