"""Reports: what became of every planned machine, what became of the run, and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypedDict

from drydock.approval.approvals import REJECTED, Approval, DecisionItem, approval_of
from drydock.aws.table import SCHEMA
from drydock.catalogue.saying import knows, one_line, say
from drydock.errors import (
    ApprovalRejectedError,
    ApprovalTimedOutError,
    DeadlineReachedError,
    DrydockError,
    Failure,
    InstanceUnmanagedError,
    MemberGoneError,
    OperatingSystemEndedError,
    PatchesRejectedError,
    RebootPendingError,
    RunStoppedError,
    as_failure,
    error_named,
)
from drydock.plan.advice import advise_after
from drydock.plan.plans import Plan, members_of
from drydock.plan.targets import LeftOut
from drydock.records.history import OwedReboot
from drydock.records.image_watches import WatchSummary
from drydock.records.results import MadeImage, Member, Result
from drydock.records.runs import PLAN_LIVES, Place, Run
from drydock.request.checking import brief, is_principal
from drydock.run.outcomes import (
    VERDICTS_OF_THE_FLOW,
    GroupOutcome,
    MachineOutcome,
    RunOutcome,
    count_outcomes,
    failed_groups,
    left_to_people,
    outcome_of_run,
)
from drydock.subject import Group, Subject
from drydock.telling.details import Details, end_text
from drydock.telling.failures import STOPPED, readable_cause
from drydock.telling.text import CAUSE_IN_REPORT, advice_for, cut, machine_text
from drydock.times import from_text, in_zone, to_text


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


class ReportedReboot(TypedDict):
    """A reboot that a machine owes, and why it needs it, in its own words; none before it was asked."""

    instanceId: str
    name: str
    since: str
    reasons: list[str]


class ReportedImage(MadeImage):
    """An image of a machine that ended, or will end, after the work on the machine: see `MadeImage`."""

    instanceId: str
    moment: str


class ReportedEnd(TypedDict):
    """When a run had to end, and whether it did: None for one that took no machine, or had no end to keep to.

    `minutesAfterEnd` is negative for a run that was over before, 0 where it cannot be said.
    """

    end: str
    insideWindow: bool | None
    minutesAfterEnd: int


class ReportedMessage(TypedDict):
    """A message that people got before the report was made: when, and its subject."""

    at: str
    subject: str


class NextStep(TypedDict):
    """A sentence that says what to do next, and the arguments of `drydock` that do it; none where there is no such."""

    text: str
    command: list[str]


class ReportedWave(TypedDict):
    """A wave of the plan: how many machines, when it was to be worked on and when it was."""

    isCanary: bool
    count: int
    predictedStart: str
    predictedEnd: str
    startedAt: str
    endedAt: str


class Report(ReportedEnd):
    """`report.json`. Times are UTC; an empty one means that there is none. No tokens, no links.

    `failure` is the run's own; `tooLong` and `advice` are those of the plan; `next` says what to do next.
    `maxErrors` is the error budget: how many machines might fail before no other began.
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
    lastAdmission: str
    soakUntil: str
    waves: list[ReportedWave]
    planned: int
    counts: dict[str, int]
    machines: list[MachineOutcome]
    groups: list[GroupOutcome]
    owedReboots: list[ReportedReboot]
    images: list[ReportedImage]
    leftOut: list[LeftOut]
    failure: Failure | None
    closed: dict[str, str] | None
    approval: ReportedApproval | None
    messages: list[ReportedMessage]
    warnings: list[str]
    tooLong: list[str]
    advice: list[str]
    snapshotId: str
    planHash: str
    maxErrors: int
    next: list[NextStep]


_KILLS = ("ABORTED", "TIMED_OUT")
_MOST_REASON = 32_000
_MOST_KINDS = 8
_MOST_GIVEN = 400
_MINUTES = 240
"""For a run that takes up what one left of which no end is known."""


def reconcile(
    plan: Plan | None,
    places: Iterable[Place],
    run: Run,
    failure: Failure | None = None,
    rolls: Mapping[Subject, Result] | None = None,
) -> list[MachineOutcome]:
    """Exactly one outcome for every planned machine, in the plan's order; then those that no plan names.

    `rolls` holds the results of groups, by subject; their members stand for them.
    """
    turns: dict[str, _Turn] = {}
    for place in places:
        if isinstance(place.subject, Group):
            turns |= _turns_of_members(place, place.subject, (rolls or {}).get(place.subject))
        else:
            turns[place.subject.id] = _turn_of_machine(place)
    planned, why_not = _planned(plan) if plan else {}, _why_not_attempted(run, failure)
    outcomes = [
        _outcome(machine["instanceId"], turns.get(machine["instanceId"]), why_not, machine) for machine in planned
    ]
    for instance_id in sorted(set(turns) - {machine["instanceId"] for machine in planned}):
        turn = turns[instance_id]
        # Where there is no plan to be read, nothing can be said to be outside it; a roll takes up what its policy says.
        is_planned = plan is None or bool(turn.group_name)
        outcomes.append({**_outcome(instance_id, turn, why_not), "isPlanned": is_planned})
    return outcomes


class _Planned(TypedDict):
    """A machine of a plan; those of groups one by one."""

    instanceId: str
    name: str
    wave: int
    groupName: str
    expectedSeconds: int


def _planned(plan: Plan) -> list[_Planned]:
    return [
        {
            "instanceId": member["instanceId"],
            "name": member["name"],
            "wave": machine["wave"],
            "groupName": machine.get("groupName", ""),
            "expectedSeconds": max(machine["roll"]["turns"], default=0) if "roll" in machine else machine["seconds"],
        }
        for machine in plan["machines"]
        for member in members_of(machine)
    ]


@dataclass(frozen=True)
class _Turn:
    """What is known of the turn of one machine, its own or in the roll of its group. Texts are empty if unknown."""

    name: str = ""
    group_name: str = ""
    execution: str = ""
    began: datetime | None = None
    ended: datetime | None = None
    outcome: str = ""
    error: str = ""
    cause: str = ""
    verdict: str = ""
    details: Details | None = None


def _turn_of_machine(place: Place) -> _Turn:
    return _Turn(
        name=place.name,
        execution=place.execution,
        began=place.admitted,
        ended=place.ended,
        outcome=place.outcome,
        error=place.error,
        cause=place.cause,
        verdict=place.verdict,
    )


def _turns_of_members(place: Place, group: Group, result: Result | None) -> dict[str, _Turn]:
    """What is known of each member of a group whose turn came."""
    members = result.roll.members if result and result.roll else {}
    common = _Turn(group_name=group.name, execution=place.execution)
    return {
        instance_id: _turn_of_member(common, place, result, members.get(instance_id))
        for instance_id in dict.fromkeys([*place.only, *members])
    }


def _turn_of_member(common: _Turn, place: Place, result: Result | None, member: Member | None) -> _Turn:
    if member is not None:
        return _turn_in_roll(common, result.failure if result else None, member)
    if result is None:
        # All that is known is what became of the group.
        return replace(common, outcome=place.outcome, error=place.error, cause=place.cause, ended=place.ended)
    if result.roll is None or result.given_back:
        # The group was not touched, or its roll died before the member's turn.
        outcome = place.outcome if place.outcome in ("busy", "gone", "skipped") else "not_attempted"
        return replace(common, outcome=outcome, **_why(result.failure))
    gone = MemberGoneError(say("why.not_in_service", group=result.roll.group_name))
    return replace(common, outcome="gone", **as_failure(gone))


def _turn_in_roll(common: _Turn, failure: Failure | None, member: Member) -> _Turn:
    told: Failure = {"error": member.error or "", "cause": member.cause or ""}
    if member.outcome == "not_attempted":
        why = told if member.error else _why(failure)
        return replace(common, name=member.name, outcome=member.outcome, **why)
    return replace(
        common,
        name=member.name,
        began=member.began,
        ended=member.ended,
        outcome=member.outcome,
        verdict=member.verdict or "",
        **told,
    )


def _why(failure: Failure | None) -> Failure:
    return failure or {"error": "", "cause": ""}


def _outcome(instance_id: str, turn: _Turn | None, why_not: Failure, planned: _Planned | None = None) -> MachineOutcome:
    known = turn or _Turn()
    if known.outcome:
        outcome, error, cause, ended = known.outcome, known.error, known.cause, known.ended
    else:
        outcome, error, cause, ended = "not_attempted", why_not["error"], why_not["cause"], None
        if turn is not None:
            cause = say("why.never_started", cause=cause)
    return {
        "instanceId": instance_id,
        "name": (planned["name"] if planned else "") or known.name,
        "groupName": (planned["groupName"] if planned else "") or known.group_name,
        "wave": planned["wave"] if planned else -1,
        "isPlanned": True,
        "outcome": outcome,
        "verdict": known.verdict,
        "error": error,
        "cause": cut(readable_cause(cause), CAUSE_IN_REPORT),
        "seconds": max(int((ended - known.began).total_seconds()), 0) if known.began and ended else 0,
        "expectedSeconds": planned["expectedSeconds"] if planned else 0,
        "execution": known.execution,
        "startedAt": to_text(known.began) if known.began else "",
        "endedAt": to_text(ended) if ended else "",
        "details": known.details,
    }


def group_outcomes(
    places: Iterable[Place], rolls: Mapping[Subject, Result], failure: Failure | None
) -> list[GroupOutcome]:
    """What became of the groups whose turn came. A roll that ended with its run was stopped, and has not failed."""
    was_stopped = failure is not None and failure["error"] in STOPPED
    return [
        {
            "groupName": place.subject.name,
            "outcome": "stopped" if was_stopped and place.error in STOPPED else place.outcome or "not_attempted",
            "error": place.error,
            "cause": cut(readable_cause(place.cause), CAUSE_IN_REPORT),
            "problems": _problems(rolls.get(place.subject)),
            "execution": place.execution,
            "endedAt": to_text(place.ended) if place.ended else "",
        }
        for place in places
        if isinstance(place.subject, Group)
    ]


def _problems(result: Result | None) -> list[str]:
    return list(result.roll.problems) if result and result.roll else []


def images_of_run(places: Iterable[Place], pending: Iterable[WatchSummary]) -> list[ReportedImage]:
    """The images that nobody has waited for: those that have ended by now, and those that are pending."""
    ended = {label: image for place in places for label, image in place.images.items()}
    found = [_reported(label, image) for label, image in ended.items()]
    for watch in pending:
        label = f"{watch.instance_id}/{watch.moment}"
        if label not in ended:
            image: MadeImage = {
                "imageId": watch.image_id,
                "state": "pending",
                "crashConsistent": watch.is_crash_consistent,
                "reason": "",
                "problems": [],
            }
            found.append(_reported(label, image))
    return sorted(found, key=lambda image: (image["instanceId"], image["moment"]))


def _reported(label: str, image: MadeImage) -> ReportedImage:
    instance_id, _, moment = label.partition("/")
    return {**image, "instanceId": instance_id, "moment": moment}


def with_images(report: Report, images: Sequence[ReportedImage], places: Iterable[Place]) -> Report:
    """A report of before, with what has become of the images since, and with what that says of their machines."""
    verdicts = {place.subject.key: place.verdict for place in places}
    made: dict[str, dict[str, MadeImage]] = {}
    for image in images:
        made.setdefault(image["instanceId"], {})[image["moment"]] = {
            "imageId": image["imageId"],
            "state": image["state"],
            "crashConsistent": image["crashConsistent"],
            "reason": image["reason"],
            "problems": image["problems"],
        }
    machines: list[MachineOutcome] = [
        {
            **machine,
            "verdict": verdicts.get(machine["instanceId"]) or machine["verdict"],
            "details": _with_images(machine["details"], made.get(machine["instanceId"], {})),
        }
        for machine in report["machines"]
    ]
    return {**report, "images": list(images), "machines": machines}


def _with_images(details: Details | None, made: Mapping[str, MadeImage]) -> Details | None:
    if details is None:
        return None
    problems = [problem for image in made.values() for problem in image["problems"]]
    notes = [*details["notes"], *(problem for problem in problems if problem not in details["notes"])]
    return {**details, "images": {**details["images"], **made}, "notes": notes}


def has_pending(images: Iterable[ReportedImage]) -> bool:
    """Whether any of the images may still end."""
    return any(image["state"] == "pending" for image in images)


def failed_images(images: Iterable[ReportedImage]) -> list[ReportedImage]:
    """Those that have ended, and not as available."""
    return [image for image in images if image["state"] not in ("pending", "available")]


def _why_not_attempted(run: Run, failure: Failure | None) -> Failure:
    """Error and cause for a machine whose turn never came."""
    if run.plan and run.plan.is_only:
        return {"error": "", "cause": say("why.only_plan")}
    if run.closed:
        return {"error": run.closed["error"], "cause": run.closed["reason"]}
    decided = failure or (run.ended.failure if run.ended else None)
    if decided and decided["error"] not in VERDICTS_OF_THE_FLOW:
        return {"error": decided["error"], "cause": readable_cause(decided["cause"]) or say("why.ended_early")}
    approval = approval_of(run)
    if approval and approval.decision == REJECTED:
        return as_failure(ApprovalRejectedError(say("why.rejected")))
    return {"error": "", "cause": say("why.no_turn")}


def make_report(
    *,
    run: Run,
    plan: Plan | None,
    outcomes: Sequence[MachineOutcome],
    failure: Failure | None,
    ended: datetime,
    given: object = None,
    groups: Sequence[GroupOutcome] = (),
    owed: Mapping[str, OwedReboot] | None = None,
    images: Sequence[ReportedImage] = (),
    messages: Sequence[ReportedMessage] = (),
    is_held: bool = False,
) -> Report:
    """The report of a run, as it is stored and as the message is made from it.

    `owed` holds the reboots that machines owe, by instance id, also those that are not the run's. `is_held` says that
    something has not been given back until now.
    `given` is the input of the execution, whatever it is: all that is known of what was asked for without a plan.
    """
    recorded, approval = run.plan, approval_of(run)
    compared = _compare_with_end(run.end, outcomes, groups, ended, is_held)
    report: Report = {
        "schema": SCHEMA,
        "runId": run.run_id,
        "execution": run.holder.execution,
        "outcome": outcome_of_run(
            outcomes,
            run,
            failure,
            groups,
            is_late=compared["insideWindow"] is False,
            is_left_to_people=bool(left_to_people(plan["leftOut"] if plan else [])),
        ),
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
        "owedReboots": _owed_reboots(outcomes, owed or {}),
        "images": list(images),
        "leftOut": plan["leftOut"] if plan else [],
        "failure": _own_failure(failure),
        "closed": dict(run.closed) if run.closed else None,
        "approval": _describe_approval(approval) if approval else None,
        "messages": list(messages),
        "warnings": [*(plan["warnings"] if plan else []), *_mistakes(run, plan, outcomes)],
        "tooLong": plan["tooLong"] if plan else [],
        "advice": _advice(run, plan, outcomes),
        "snapshotId": recorded.snapshot_id if recorded else "",
        "planHash": recorded.hash if recorded else "",
        "predictedEnd": plan["predictedEnd"] if plan else "",
        "maxErrors": run.max_errors,
        "lastAdmission": plan["lastAdmission"] if plan else "",
        "soakUntil": to_text(run.soak_until) if run.soak_until else "",
        "waves": _waves(plan, outcomes) if plan else [],
        **compared,
        "next": [],
    }
    return {**report, "next": _next_steps(report)}


def _advice(run: Run, plan: Plan | None, outcomes: Sequence[MachineOutcome]) -> list[str]:
    """What would have made all of the plan fit: as it was planned, or by what its machines took."""
    began = min((one["startedAt"] for one in outcomes if one["startedAt"]), default="")
    if plan is None:
        return []
    own = {one["instanceId"]: one["seconds"] for one in outcomes if one["outcome"] == "succeeded"}
    return advise_after(plan, run.taken, own, from_text(began)) if began else plan.get("advice", [])


def _owed_reboots(outcomes: Sequence[MachineOutcome], owed: Mapping[str, OwedReboot]) -> list[ReportedReboot]:
    return [
        {
            "instanceId": machine["instanceId"],
            "name": machine["name"],
            "since": to_text(reboot.since),
            "reasons": list(reboot.reasons),
        }
        for machine in outcomes
        if machine["outcome"] != "gone" and (reboot := owed.get(machine["instanceId"])) is not None
    ]


def _waves(plan: Plan, outcomes: Sequence[MachineOutcome]) -> list[ReportedWave]:
    waves: list[ReportedWave] = [
        {
            "isCanary": wave["isCanary"],
            "count": wave["count"],
            "predictedStart": "",
            "predictedEnd": "",
            "startedAt": "",
            "endedAt": "",
        }
        for wave in plan["waves"]
    ]
    for planned in plan["machines"]:
        wave = waves[planned["wave"]]
        wave["predictedStart"] = _earlier(wave["predictedStart"], planned["startsAt"])
        wave["predictedEnd"] = max(wave["predictedEnd"], planned["endsAt"])
    for machine in outcomes:
        if machine["startedAt"] and machine["wave"] >= 0:
            wave = waves[machine["wave"]]
            wave["startedAt"] = _earlier(wave["startedAt"], machine["startedAt"])
            wave["endedAt"] = max(wave["endedAt"], machine["endedAt"])
    return waves


def left_out_text(error: str, count: int) -> str:
    """So many machines that a plan leaves out for an error: `2 hibernated`."""
    if knows(f"left_out.{error}"):
        return say(f"left_out.{error}", count=count)
    return say("left_out_otherwise", count=count, error=error)


def _earlier(one: str, other: str) -> str:
    return min(filter(None, (one, other)), default="")


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
        "startedBy": _who(first("startedBy")),
    }


def _who(given: object) -> str:
    """Who has started the run; what is no principal's ARN in quotes, so that nobody takes it for one."""
    return _brief(given if not given or is_principal(given) else brief(given))


def _brief(value: object) -> str:
    return one_line(cut(str(value or ""), _MOST_GIVEN))


def _own_failure(failure: Failure | None) -> Failure | None:
    if not failure or failure["error"] in VERDICTS_OF_THE_FLOW:
        return None
    return {"error": failure["error"], "cause": cut(readable_cause(failure["cause"]), _MOST_REASON)}


def _minutes(span: timedelta) -> int:
    """Whole minutes; a begun one after the end of a window is one."""
    return -(-int(span.total_seconds()) // 60)


def _worked_until(
    outcomes: Sequence[MachineOutcome], groups: Sequence[GroupOutcome], ended: datetime
) -> datetime | None:
    """When the last machine and the last group was given back; None when none was taken."""
    # A machine whose execution was killed is given back later than that; the report has waited for it.
    ends = [
        from_text(machine["endedAt"]) if machine["endedAt"] and machine["error"] not in _KILLS else ended
        for machine in outcomes
        if machine["outcome"] in ("succeeded", "already_compliant", "failed")
    ]
    ends += [from_text(group["endedAt"]) for group in groups if group["endedAt"] and group["execution"]]
    return max(ends, default=None)


def _compare_with_end(
    end: datetime | None,
    outcomes: Sequence[MachineOutcome],
    groups: Sequence[GroupOutcome],
    ended: datetime,
    is_held: bool,
) -> ReportedEnd:
    worked_until = ended if is_held else _worked_until(outcomes, groups, ended)
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
            say("warning.not_planned", machine=machine_text(machine["instanceId"], machine["name"]))
            for machine in outcomes
            if not machine["isPlanned"]
        ]
    if run.plan:
        return [say("warning.plan_unreadable", count=run.plan.machines)]
    return []


def _step(text: str, *command: str) -> NextStep:
    return {"text": text, "command": list(command)}


def _next_steps(report: Report) -> list[NextStep]:
    """What to do next: one sentence for each kind of trouble."""
    steps = {
        "planned": [
            *[_step(say("next.never_begun", sentence=sentence)) for sentence in report["tooLong"]],
            _step(say("next.carry_out"), "run", "--plan", report["runId"], "--minutes", _minutes_given(report)),
        ],
        "rejected": [_step(advice_for(ApprovalRejectedError.__name__))],
        "not_answered": [_step(advice_for(ApprovalTimedOutError.__name__))],
        "refused": [_step(advice_for(report["failure"]["error"] if report["failure"] else ""))],
    }.get(report["outcome"])
    if steps is not None:
        return steps
    if report["outcome"] == "nothing_to_do" and not report["leftOut"]:
        return [_step(say("next.check_targets"))]
    failed = [machine for machine in report["machines"] if machine["outcome"] == "failed"]
    kinds = Counter(machine["error"] for machine in failed).most_common()
    kinds.sort(key=lambda kind: not (error_named(kind[0]) or DrydockError).is_urgent)
    found = [
        _step(say("next.kind", count=count, what=end_text(error), advice=advice_for(error)))
        for error, count in kinds[:_MOST_KINDS]
    ]
    if len(kinds) > _MOST_KINDS:
        found.append(_step(say("next.kinds_more", count=len(kinds) - _MOST_KINDS)))
    found += [
        _step(
            say(
                "next.roll",
                group=group["groupName"],
                what=end_text(group["error"]),
                advice=advice_for(group["error"]),
            )
        )
        for group in failed_groups(report["groups"])[:_MOST_KINDS]
    ]
    failure = report["failure"]
    if failure and failure["error"] not in STOPPED:
        error = failure["error"]
        found.append(_step(say("next.run", what=end_text(error), advice=advice_for(error))))
    found += _steps_for_the_rest(report)
    if not found and report["outcome"] == "incomplete":
        found.append(_step(say("next.none_done")))
    return found


def _minutes_given(report: Report) -> str:
    """How much time the run had: whoever starts another by hand has to name that."""
    policy = report["asked"]["policy"]
    given = policy.get("deadlineMinutes") if isinstance(policy, Mapping) else 0
    if given:
        return str(given)
    return str(_minutes(from_text(report["end"]) - from_text(report["startedAt"])) if report["end"] else _MINUTES)


def _steps_for_the_rest(report: Report) -> list[NextStep]:
    counts, run_id = report["counts"], report["runId"]
    closed_by = (report["closed"] or {}).get("error", "")
    found = [_step(say("next.never_begun", sentence=sentence)) for sentence in report["tooLong"]]
    if counts["not_attempted"]:
        if closed_by not in ("", RunStoppedError.__name__):
            found.append(_step(say("next.closed", what=end_text(closed_by), advice=advice_for(closed_by))))
        zone = report["timeZone"] or "UTC"
        until = in_zone(from_text(report["startedAt"]) + PLAN_LIVES, zone)
        minutes = _minutes_given(report)
        found.append(_step(say("next.resume", until=until), "run", "--resume", run_id, "--minutes", minutes))
    if any(machine["error"] == DeadlineReachedError.__name__ for machine in report["machines"]):
        found += [_step(f"{sentence}.") for sentence in report["advice"]]
    # Where machines are patched, those that are not reached are news; the others are left out every time.
    is_news = [InstanceUnmanagedError.__name__] if report["machines"] else []
    for kind, count in Counter(machine["error"] for machine in left_to_people(report["leftOut"])).most_common():
        if not report["machines"] or kind in is_news:
            found.append(_step(say("next.left_out", what=left_out_text(kind, count), advice=advice_for(kind))))
    if report["outcome"] == "succeeded" and not counts["succeeded"] + counts["already_compliant"]:
        found.append(_step(say("next.none_patched")))
    pinned = [one for one in report["machines"] if _boots_old_kernel(one)]
    if pinned:
        found.append(_step(say("next.boots_old_kernel", count=len(pinned))))
    for verdict, error in _TO_MEND:
        alike = [one for one in report["machines"] if one["outcome"] in _GOOD and one["verdict"] == verdict]
        count = sum(one not in pinned for one in alike)
        if count:
            meaning = say(f"verdict.{verdict}")
            found.append(_step(say("next.verdict", count=count, verdict=meaning, advice=advice_for(error.__name__))))
    if counts["busy"]:
        found.append(_step(say("next.busy")))
    if any(not machine["isPlanned"] for machine in report["machines"]) and report["planned"]:
        found.append(_step(say("next.not_planned")))
    if report["insideWindow"] is False:
        found.append(_step(say("next.late")))
    return found


def _boots_old_kernel(machine: MachineOutcome) -> bool:
    """Whether what is pending on a machine that went well is a reboot which would not help."""
    details = machine["details"]
    is_pending = machine["outcome"] != "failed" and machine["verdict"] == "pending_reboot"
    return is_pending and details is not None and details["rebootNeed"] == "would_not_help"


_GOOD = ("succeeded", "already_compliant")

_TO_MEND: Sequence[tuple[str, type[DrydockError]]] = (
    ("non_compliant", PatchesRejectedError),
    ("unpatchable", OperatingSystemEndedError),
    ("pending_reboot", RebootPendingError),
)
"""The verdicts of machines that went well, and the errors whose advice helps all the same."""
