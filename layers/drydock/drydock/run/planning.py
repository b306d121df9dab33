"""Planning: from the input of a run to the plan that is stored, approved and carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from drydock.approval.approvals import Ways, approvers_of, count_approvals
from drydock.aws.ec2 import Instance, state_of
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.documents import PinnedDocument
from drydock.errors import (
    AwsCallFailedError,
    InvalidInputError,
    PlanCarriedOutError,
    PlanChangedError,
    PlanRefusedError,
    RunNotFoundError,
    RunStillWorkingError,
)
from drydock.plan.ahead import NotCarriedOutError, carry_out
from drydock.plan.comparing import find_differences, purpose_of
from drydock.plan.making import Earlier, Facts, frame_of, make_plan, take_over
from drydock.plan.plans import (
    ApprovedBefore,
    Plan,
    count_planned,
    members_of,
    plan_hash,
    slots_of,
    wave_items,
)
from drydock.plan.run_request import RunRequest, read_run_request
from drydock.plan.stored_plans import read_plan
from drydock.plan.targets import memberships_of
from drydock.plan.window import WindowFacts, read_window
from drydock.records.approved_plans import find_approved_plan
from drydock.records.history import all_histories, left_over
from drydock.records.leases import RESTORING, all_leases
from drydock.records.runs import (
    Place,
    RecordedPlan,
    Run,
    RunSummary,
    find_run,
    mark_carried_out,
    open_run,
    open_runs,
    places_of_run,
    record_plan,
    require_not_carried_out,
    require_run,
)
from drydock.records.window_plans import remember_window_plan
from drydock.request.checking import join_mistakes
from drydock.request.policy import (
    INSTALL_WINDOWS_UPDATES,
    Policy,
    account_policy,
    documents_of,
    effective_policy,
    merge,
    require_no_mistakes,
    tighten,
)
from drydock.request.step import Step
from drydock.run.ahead import find_approved_ahead, who_approved
from drydock.run.gathering import Gathering
from drydock.run.needs import look_for_needs
from drydock.run.reports import Report
from drydock.subject import Group, subject_of_item
from drydock.times import from_text, to_text

_MOST_LOOKED_AT = 200
"""Of so many stopped machines a plan asks whether they are stop-protected: that is a call each."""


@dataclass(frozen=True)
class _Planning:
    """What a plan is asked for by, and with what it is looked up."""

    services: Services
    step: Step
    request: RunRequest
    settings: str
    run: Run
    window: WindowFacts | None
    since: datetime
    """What was done to a machine after this is not done again."""


def plan_run(services: Services, step: Step) -> dict[str, Any]:
    """Find the machines, decide their order, and store the plan. Returns what the state machine goes by.

    Raises InvalidInputError, InvalidPolicyError, RunNotFoundError, RunStillWorkingError, PlanChangedError,
    PlanRefusedError, RunOverError; nothing is touched then, nor otherwise.
    """
    run = open_run(services.table, step.holder, step.execution_started)
    run = run if run.plan else _plan(services, step, run)
    recorded = run.require_plan()
    if run.is_ahead:
        remember_window_plan(services.table, run)
    plan: Plan = services.objects.read_json(recorded.key)
    return {
        "runId": run.run_id,
        "bucket": services.objects.bucket,
        "waves": [{"key": wave["key"]} for wave in plan["waves"]],
        "machines": count_planned(plan),
        "planOnly": recorded.is_only,
        "approvalNeeded": recorded.is_approval_needed,
        "approvalAhead": run.is_ahead and recorded.is_approval_needed,
        "approvalSeconds": plan["policy"]["approval"]["seconds"],
        "maxConcurrency": slots_of(plan["policy"]["maxConcurrency"], len(plan["machines"]), 1),
        "child": {
            "policy": plan["policy"],
            "snapshotId": plan["snapshotId"],
            "documents": plan.get("documents", {}),
            "unlessDoneSince": to_text(recorded.since),
        },
    }


def _plan(services: Services, step: Step, run: Run) -> Run:
    environment = services.environment
    settings = services.ssm.parameter(environment.policy_parameter) or "{}"
    request = read_run_request(step.given, settings, environment.policy_parameter, run.run_id)
    overlapping = [
        other
        for other in open_runs(services.table).read
        if other.run_id != run.run_id and services.executions.is_running(other.holder.execution)
    ]
    since = min([run.started, *(other.started for other in overlapping)])
    window = None
    if request.source == "window":
        window = read_window(
            services.windows, request.window_id, request.window_execution_id, step.holder.state_machine
        )
        if not request.is_ahead:
            _require_alone(window, overlapping)
    planning = _Planning(services, step, request, settings, run, window, since)
    made, notes = _carry_out_ahead(planning) if _is_carried_out_ahead(request) else (None, [])
    if made is None:
        made = _plan_anew(planning, notes)
    plan: Plan = {**made.plan, "approvedBefore": _compare_with_approved(services, made.plan)}
    return _store(services, request, run, made.earlier, plan, made.since, window.time_zone if window else "")


def _is_carried_out_ahead(request: RunRequest) -> bool:
    return request.source == "window" and not request.plan_only and request.policy["approval"]["ahead"] > 0


class _Made(NamedTuple):
    """A plan, the earlier run that it has to do with, and since when what was done to a machine is not done again."""

    plan: Plan
    earlier: Earlier | None
    since: datetime


def _plan_anew(planning: _Planning, notes: Sequence[str]) -> _Made:
    """The plan of what was asked for; of an earlier run's plan as it is. `notes` are the first of its warnings."""
    services, request, run = planning.services, planning.request, planning.run
    earlier, since = _read_earlier(services, request, run), planning.since
    if request.source == "plan" and earlier is not None:
        plan = take_over(earlier, request, account_policy(planning.settings), run, services.now())
        since = min(since, from_text(earlier.plan["createdAt"]))
    else:
        if request.source == "resume" and earlier is not None and earlier.snapshot_lives(services.now()):
            since = min(since, earlier.run.started)
        resumed = earlier if request.source == "resume" else None
        policy = _resumed_policy(services, request, planning.settings, resumed) if resumed else request.policy
        plan = make_plan(_look_up(planning, policy, earlier, since))
    plan = _with_needs(planning, {**plan, "warnings": [*notes, *plan["warnings"]]}, earlier)
    if request.source == "plan" and earlier is not None:
        # Only now, so that a plan that is refused can be carried out once that is mended.
        mark_carried_out(services.table, earlier.run, run)
    return _Made(plan, earlier, since)


def _carry_out_ahead(planning: _Planning) -> tuple[_Made | None, list[str]]:
    """The newest plan for the window, if it was approved and still holds; otherwise None, and why not."""
    services, request, run, window = planning.services, planning.request, planning.run, planning.window
    try:
        earlier = find_approved_ahead(services, request, planning.settings, run)
        since = min(planning.since, from_text(earlier.plan["createdAt"]))
        policy = tighten(earlier.plan["policy"], account_policy(planning.settings))
        facts = _look_up(planning, policy, None, since)
        zone = (window.time_zone if window else "") or services.environment.time_zone
        plan = carry_out(facts, earlier, who_approved(earlier.run, zone))
        needs = look_for_needs(services, plan, window, is_asked=False)
        if needs.missing:
            missing = join_mistakes([*needs.missing])
            raise NotCarriedOutError(say("ahead.needs", run=earlier.run.run_id, needs=missing))
        mark_carried_out(services.table, earlier.run, run)
    except PlanCarriedOutError:
        return None, [say("ahead.asked", why=say("ahead.taken", run=earlier.run.run_id))]
    except NotCarriedOutError as why:
        return None, [say("ahead.asked", why=str(why))]
    plan = {**plan, "needs": [*needs.to_do], "warnings": [*needs.to_do, *plan["warnings"]]}
    return _Made(plan, earlier, since), []


def _compare_with_approved(services: Services, plan: Plan) -> ApprovedBefore | None:
    """What is different from the plan that was approved last for the same targets, as far as that can be read still."""
    approved = find_approved_plan(services.table, purpose_of(plan))
    run = find_run(services.table, approved.run_id) if approved is not None else None
    if approved is None or run is None or run.plan is None:
        return None
    try:
        before = read_plan(services, run)
    except (PlanChangedError, RunNotFoundError):
        return None
    return {"runId": run.run_id, "at": to_text(approved.at), "differences": find_differences(plan, before)}


def _with_needs(planning: _Planning, plan: Plan, earlier: Earlier | None) -> Plan:
    """The plan with what it needs and what is not there. Raises PlanRefusedError, unless it is only planned."""
    services, request = planning.services, planning.request
    is_asked = _is_approval_needed(services, request, plan, earlier)
    needs = look_for_needs(services, plan, planning.window, is_asked=is_asked)
    if needs.missing and not request.plan_only:
        raise PlanRefusedError(join_mistakes([*needs.missing, *needs.to_do]))
    said = [*needs.missing, *needs.to_do]
    return {**plan, "needs": said, "warnings": [*said, *plan["warnings"]]}


def _require_alone(window: WindowFacts, overlapping: Sequence[RunSummary]) -> None:
    """Raises RunStillWorkingError when the last run of the window has not ended."""
    for other in overlapping:
        if other.window_id == window.window_id:
            raise RunStillWorkingError(
                say(
                    "window.run_works", name=window.name, window=window.window_id, run=other.run_id, since=other.started
                )
            )


def _read_earlier(services: Services, request: RunRequest, run: Run) -> Earlier | None:
    """Raises RunNotFoundError, InvalidInputError, PlanChangedError, PlanCarriedOutError."""
    run_id = request.earlier or request.follows
    if not run_id:
        return None
    found = require_run(services.table, run_id)
    found.require_plan()
    if not found.is_ended:
        raise InvalidInputError(say("request.run_not_ended", run=run_id))
    plan = read_plan(services, found)
    if request.follows:
        _require_success(request, found, plan)
    if request.source == "plan":
        if found.outcome != "planned":
            raise InvalidInputError(say("request.run_not_planned", run=run_id))
        require_not_carried_out(found, run)
    places = places_of_run(services.table, run_id)
    left = frozenset(_left_by(services, found, plan, places))
    if request.source == "resume" and not left:
        raise InvalidInputError(say("request.run_left_nothing", run=run_id))
    return Earlier(found, plan, left, _is_canary_proved(found, plan, places))


def _require_success(request: RunRequest, run: Run, plan: Plan) -> None:
    """Raises InvalidInputError unless the run did with at least one machine what this one shall do.

    A run that was late has proved its patches as well as any, if it came to all of its machines.
    """
    counts = run.ended.counts if run.ended else {}
    done = counts.get("succeeded", 0) + counts.get("already_compliant", 0)
    left = counts.get("not_attempted", 0)
    if not done or (run.outcome != "succeeded" and (run.outcome != "late" or left)):
        raise InvalidInputError(
            say("request.run_did_not_succeed", run=run.run_id, outcome=run.outcome.replace("_", " "), count=done)
        )
    if plan["operation"] != request.policy["operation"]:
        raise InvalidInputError(
            say("request.run_was_other", run=run.run_id, operation=plan["operation"], now=request.policy["operation"])
        )


def _is_canary_proved(run: Run, plan: Plan, places: Sequence[Place]) -> bool:
    """Whether the others may follow: all of the canary was well, and something was done well, in this run or the one
    that it took up."""
    outcomes = {place.subject: place.outcome for place in places}
    canary = [subject_of_item(one) for one in plan["machines"] if plan["waves"][one["wave"]]["isCanary"]]
    if not canary:
        return run.require_plan().is_canary_proved
    went_well = all(outcomes.get(subject) in ("succeeded", "already_compliant") for subject in canary)
    # What was compliant already proves nothing; another one may have stood in for it.
    return went_well and "succeeded" in outcomes.values()


def _left_by(services: Services, run: Run, plan: Plan, places: Sequence[Place]) -> set[str]:
    """The machines that a run has not attempted."""
    attempted = {
        place.subject
        for place in places
        if place.outcome != "not_attempted" or (isinstance(place.subject, Group) and place.execution)
    }
    left = {
        member["instanceId"]
        for machine in plan["machines"]
        if subject_of_item(machine) not in attempted
        for member in members_of(machine)
    }
    begun = [machine for machine in plan["machines"] if subject_of_item(machine) in attempted]
    if any(machine.get("kind") == "group" for machine in begun) and run.ended and run.ended.report_key:
        # A roll that has begun has not come to all of its members.
        report: Report = services.objects.read_json(run.ended.report_key)
        left |= {one["instanceId"] for one in report["machines"] if one["outcome"] == "not_attempted"}
    return left


def _look_up(planning: _Planning, policy: Policy, earlier: Earlier | None, since: datetime) -> Facts:
    """All that the plan is made of. Raises InvalidPolicyError, InvalidInputError."""
    services, request, run, window = planning.services, planning.request, planning.run, planning.window
    now = services.now()
    resumed = earlier if request.source == "resume" else None
    gathering = Gathering.of(services, run, planning.step)
    frame = frame_of(window, policy, max(run.started, window.start) if window else run.started)
    # What is left of an earlier run has to be among its targets still.
    groups = window.targets if window else resumed.plan["targetGroups"] if resumed else [request.targets]
    found = gathering.find_machines(groups)
    instances = [one for instance_id, one in found.instances.items() if resumed is None or instance_id in resumed.left]
    return Facts(
        run=run,
        request=request,
        policy=policy,
        frame=frame,
        earlier=earlier,
        now=now,
        since=since,
        target_groups=groups,
        instances=instances,
        missing=[] if resumed else found.left_out,
        histories=all_histories(services.table, policy["operation"]),
        left_over=left_over(services.table),
        agents=gathering.find_agents(one["InstanceId"] for one in instances if state_of(one) == "running"),
        held=_held_by_others(services),
        guard_tag=services.environment.guard_tag,
        stack=services.environment.stack,
        stop_protected=_find_stop_protected(services, policy, instances),
        memberships=memberships_of(services.autoscaling, instances),
        near_misses=[] if resumed else found.near_misses,
        missing_patches=_find_missing_patches(services, policy, instances),
        documents=_pin_documents(services, policy),
    )


def _find_missing_patches(
    services: Services, policy: Policy, instances: Sequence[Instance]
) -> dict[str, tuple[int, datetime]]:
    """What the last scans found. Windows Update measures by another yardstick; agents are no patches."""
    if policy["operation"] == "UpdateAgents" or policy["document"] == INSTALL_WINDOWS_UPDATES:
        return {}
    return services.ssm.find_missing(one["InstanceId"] for one in instances)


def _pin_documents(services: Services, policy: Policy) -> dict[str, PinnedDocument]:
    """Hooks and health probe as they are now. What cannot be looked at is among the needs of the plan."""
    pinned = {}
    for name in documents_of(policy):
        try:
            found = services.ssm.find_document(name)
        except AwsCallFailedError:
            continue
        if found is not None:
            pinned[name] = found.pinned
    return pinned


def _find_stop_protected(services: Services, policy: Policy, instances: Sequence[Instance]) -> frozenset[str]:
    """Those that would be refused at their turn. EC2 tells it of one instance a call, so only of so many it is asked.

    A machine that runs is not stopped by Drydock.
    """
    if policy["operation"] == "Scan" and not policy["startForScan"]:
        return frozenset()
    stopped = [one["InstanceId"] for one in instances if state_of(one) == "stopped"]
    return frozenset(one for one in stopped[:_MOST_LOOKED_AT] if services.ec2.is_stop_protected(one))


def _held_by_others(services: Services) -> dict[str, str]:
    """Who has which machine or group in work, by the subject's key. One that is being given back is free soon."""
    leases = [lease for lease in all_leases(services.table).read if lease.phase != RESTORING]
    running = services.executions.believed_running(lease.holder.execution for lease in leases)
    return {lease.subject.key: lease.holder.name for lease in leases if lease.holder.execution in running}


def _resumed_policy(services: Services, request: RunRequest, settings: str, resumed: Earlier) -> Policy:
    """The earlier run's policy as strict as the account's settings of now, with what this input says otherwise.

    Raises InvalidPolicyError when the input is looser than the settings.
    """
    above = merge(tighten(resumed.plan["policy"], account_policy(settings)), request.given_policy)
    policy, mistakes = effective_policy(settings, services.environment.policy_parameter, above)
    require_no_mistakes(mistakes)
    return {**policy, "deadlineMinutes": request.policy["deadlineMinutes"]}


def _is_approval_needed(services: Services, request: RunRequest, plan: Plan, earlier: Earlier | None) -> bool:
    approval, machines = plan["policy"]["approval"], count_planned(plan)
    if not approval["required"] and not 0 < approval["above"] < machines:
        return False
    if earlier is None or not (request.source == "plan" or plan.get("carriesOut")):
        return True
    counted = count_approvals(earlier.run, approvers_of(services), Ways.read().auth, request.started_by)
    return counted < approval["minApprovals"]


def _store(
    services: Services,
    request: RunRequest,
    run: Run,
    earlier: Earlier | None,
    plan: Plan,
    since: datetime,
    time_zone: str,
) -> Run:
    """Write plan and waves under a key of their own, then remember which one counts."""
    digest = plan_hash(plan)
    folder = f"runs/{run.run_id}/{digest[:16]}"
    for wave in plan["waves"]:
        wave["key"] = f"{folder}/{wave['key'].rpartition('/')[2]}"
    for number, wave in enumerate(plan["waves"]):
        services.objects.write_json(wave["key"], wave_items(plan, number))
    key = f"{folder}/plan.json"
    services.objects.write_json(key, plan)
    resumed = earlier if request.source == "resume" else None
    goes_on = (
        earlier is not None and earlier.plan["snapshotId"] == plan["snapshotId"] and not earlier.is_snapshot_unused
    )
    recorded = RecordedPlan(
        key=key,
        hash=digest,
        is_only=request.plan_only,
        is_approval_needed=_is_approval_needed(services, request, plan, earlier),
        machines=count_planned(plan),
        purpose=purpose_of(plan),
        operation=plan["operation"],
        policy=plan["policy"],
        snapshot_id=plan["snapshotId"],
        snapshot_since=earlier.run.require_plan().snapshot_since if earlier and goes_on else run.started,
        window=plan["window"] or {},
        time_zone=time_zone,
        end=from_text(plan["end"]),
        last_admission=from_text(plan["lastAdmission"]),
        max_errors=slots_of(plan["policy"]["maxErrors"], count_planned(plan), 0),
        since=since,
        started_by=request.started_by,
        is_canary_proved=resumed is not None and goes_on and resumed.is_canary_proved,
        bucket=services.objects.bucket,
    )
    return record_plan(services.table, run, recorded)
