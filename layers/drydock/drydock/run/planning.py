"""Planning: from the input of a run to the plan that is stored, approved and carried out."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from drydock.approval.approvals import is_approved
from drydock.aws.ec2 import Instance, tags_of
from drydock.aws.services import Services
from drydock.aws.table import SCHEMA
from drydock.errors import (
    InvalidInputError,
    InvalidPolicyError,
    PlanChangedError,
    RunNotFoundError,
    RunStillWorkingError,
)
from drydock.plan.plans import (
    Durations,
    Plan,
    at_another_time,
    candidate,
    count_planned,
    gather_groups,
    in_order,
    left_out,
    make_waves,
    members_of,
    plan_hash,
    planned_machines,
    planned_waves,
    predict,
    slots_of,
    was_not_attempted,
    wave_items,
)
from drydock.plan.run_request import RunRequest, read_run_request
from drydock.plan.stored_plans import read_plan
from drydock.plan.targets import LeftOut, resolve
from drydock.plan.window import WindowFacts, read_window
from drydock.records.history import all_histories, left_over
from drydock.records.leases import RESTORING, all_leases
from drydock.records.runs import SNAPSHOT_LIVES, Run, open_run, open_runs, places_of_run, record_plan, require_run
from drydock.request.policy import Policy, effective_policy, merge, require_no_mistakes
from drydock.request.step import Step
from drydock.subject import group_subject, is_group
from drydock.tags import GROUP_TAG
from drydock.times import from_text, to_text

_MOST_MACHINES = 10_000


@dataclass(frozen=True)
class Frame:
    """When a run has to be over. `end` is when the last machine is given back; none begins after `last_admission`."""

    end: datetime
    last_admission: datetime
    window: WindowFacts | None


@dataclass(frozen=True)
class Earlier:
    """The run that this one carries out, takes up or follows."""

    run: Run
    plan: Plan
    left: frozenset[str]
    """The machines that were not attempted."""
    is_canary_proved: bool


def frame_of(window: WindowFacts | None, policy: Policy, started: datetime) -> Frame:
    """The window's end and cutoff, the policy's deadline, or the earlier of both."""
    minutes = policy["deadlineMinutes"]
    deadline = started + timedelta(minutes=minutes) if minutes else None
    if window is None:
        if deadline is None:
            raise InvalidPolicyError("policy.deadlineMinutes: is required without a window")
        return Frame(deadline, deadline, None)
    end = min(window.end, deadline or window.end)
    return Frame(end, min(window.last_admission, end), window)


def plan_run(services: Services, step: Step) -> dict[str, Any]:
    """Find the machines, decide their order, and store the plan. Returns what the state machine goes by.

    Raises InvalidInputError, InvalidPolicyError, RunNotFoundError, RunStillWorkingError, PlanChangedError,
    RunOverError; nothing is touched then, nor otherwise.
    """
    run = open_run(services.table, step.holder, step.execution_started)
    if "planKey" not in run.item:
        run = _plan(services, step, run)
    plan: Plan = services.objects.read_json(run.item["planKey"])
    return {
        "runId": run.run_id,
        "bucket": services.objects.bucket,
        "waves": [{"key": wave["key"]} for wave in plan["waves"]],
        "machines": count_planned(plan),
        "planOnly": bool(run.item["planOnly"]),
        "approvalNeeded": bool(run.item["approvalNeeded"]),
        "approvalSeconds": plan["policy"]["approval"]["seconds"],
        "maxConcurrency": slots_of(plan["policy"]["maxConcurrency"], len(plan["machines"]), 1),
        "child": {
            "policy": plan["policy"],
            "snapshotId": plan["snapshotId"],
            "unlessDoneSince": run.item["since"],
        },
    }


def _plan(services: Services, step: Step, run: Run) -> Run:
    environment = services.environment
    settings = services.ssm.parameter(environment.policy_parameter)
    request = read_run_request(step.given, settings or "{}", environment.policy_parameter, run.run_id)
    overlapping = [
        other
        for other in open_runs(services.table)
        if other.run_id != run.run_id and services.executions.is_running(other.holder.execution)
    ]
    since = min([run.started, *(other.started for other in overlapping)])
    window = None
    if request.source == "window":
        window = read_window(services.windows, request.window_id, request.window_execution_id, step.holder.machine)
        _require_alone(window, overlapping)
    earlier = _read_earlier(services, request)
    if request.source == "plan" and earlier is not None:
        plan = _take_over(earlier, request, run, services.now())
        since = min(since, from_text(earlier.plan["createdAt"]))
    else:
        if request.source == "resume" and earlier is not None and _snapshot_lives(earlier, services.now()):
            since = min(since, earlier.run.started)
        plan = _make_plan(services, request, run, window, earlier, since)
    return _store(services, request, run, plan, earlier, since, window.time_zone if window else "")


def _require_alone(window: WindowFacts, overlapping: Sequence[Run]) -> None:
    """Raises RunStillWorkingError when the last run of the window has not ended."""
    for other in overlapping:
        its_window = other.item.get("window") or {}
        if its_window.get("windowId") == window.window_id:
            raise RunStillWorkingError(
                f"window {window.name} ({window.window_id}): its last run, {other.run_id}, still works since "
                f"{other.started:%Y-%m-%d %H:%M} UTC; nothing was begun"
            )


def _read_earlier(services: Services, request: RunRequest) -> Earlier | None:
    """Raises RunNotFoundError, InvalidInputError, PlanChangedError."""
    run_id = request.earlier or request.follows
    if not run_id:
        return None
    run = require_run(services.table, run_id)
    if "planKey" not in run.item:
        raise RunNotFoundError(f"{run_id}: the run has no plan")
    if not run.is_ended:
        raise InvalidInputError(f"input: run {run_id} has not ended yet")
    plan = read_plan(services, run)
    if request.follows:
        _require_success(request, run, plan)
    if request.source == "plan" and run.item.get("outcome") != "planned":
        raise InvalidInputError(f"input.plan: run {run_id} was not only planned; use resume for what it left")
    places = places_of_run(services.table, run_id)
    left = frozenset(_left_by(services, run, plan, places))
    if request.source == "resume" and not left:
        raise InvalidInputError(f"input.resume: run {run_id} left no machine over")
    return Earlier(run, plan, left, _is_canary_proved(run, plan, places))


def _require_success(request: RunRequest, run: Run, plan: Plan) -> None:
    """Raises InvalidInputError unless the run did with at least one machine what this one shall do."""
    outcome, done = run.item.get("outcome"), (run.item.get("counts") or {}).get("succeeded", 0)
    if outcome != "succeeded" or not done:
        raise InvalidInputError(
            f"input.follows: run {run.run_id} did not succeed: it is {outcome}, {done} machines done"
        )
    if plan["operation"] != request.policy["operation"]:
        raise InvalidInputError(
            f"input.follows: run {run.run_id} was a {plan['operation']}, this one is {request.policy['operation']}"
        )


def _is_canary_proved(run: Run, plan: Plan, places: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the others may follow: all canary machines were done well, in this run or in the one it took up."""
    outcomes = {place["instanceId"]: place.get("outcome") for place in places}
    canary = [one["instanceId"] for one in plan["machines"] if plan["waves"][one["wave"]]["isCanary"]]
    if not canary:
        return bool(run.item.get("canaryProved"))
    return all(outcomes.get(instance_id) == "succeeded" for instance_id in canary)


def _left_by(services: Services, run: Run, plan: Plan, places: Sequence[Mapping[str, Any]]) -> set[str]:
    """The machines that a run has not attempted."""
    attempted = {
        place["instanceId"]
        for place in places
        if place.get("outcome") != "not_attempted" or (is_group(place["instanceId"]) and "execution" in place)
    }
    left = {
        member["instanceId"]
        for machine in plan["machines"]
        if machine["instanceId"] not in attempted
        for member in members_of(machine)
    }
    begun = [machine for machine in plan["machines"] if machine["instanceId"] in attempted]
    if any(machine.get("kind") == "group" for machine in begun) and run.item.get("reportKey"):
        # A roll that has begun has not come to all of its members.
        report = services.objects.read_json(run.item["reportKey"])
        left |= {one["instanceId"] for one in report["machines"] if one["outcome"] == "not_attempted"}
    return left


def _take_over(earlier: Earlier, request: RunRequest, run: Run, now: datetime) -> Plan:
    """The earlier run's plan as it is, at other times."""
    plan = earlier.plan
    policy = cast(Policy, {**plan["policy"], "deadlineMinutes": request.policy["deadlineMinutes"]})
    frame = frame_of(None, policy, run.started)
    if not _snapshot_lives(earlier, now):
        raise PlanChangedError(
            f"{earlier.run.run_id}: the patch snapshot of the plan is older than it lives (three days): plan anew"
        )
    moved = at_another_time({**plan, "policy": policy}, now, frame.end, frame.last_admission)
    return {**moved, "runId": run.run_id, "createdAt": to_text(now)}


def _snapshot_lives(earlier: Earlier, now: datetime) -> bool:
    return now - from_text(earlier.run.item["snapshotSince"]) <= SNAPSHOT_LIVES


def _snapshot(request: RunRequest, earlier: Earlier | None, run: Run, now: datetime) -> tuple[str, bool, list[str]]:
    """The patch snapshot of the run, whether it goes on with that of another run, and warnings."""
    own = request.snapshot_id or str(uuid.uuid5(uuid.NAMESPACE_URL, run.holder.execution))
    if earlier is None:
        return own, bool(request.snapshot_id), []
    if _snapshot_lives(earlier, now):
        return earlier.plan["snapshotId"], True, []
    return (
        own,
        False,
        [
            f"the patch snapshot of run {earlier.run.run_id} is older than three days: this run begins anew, "
            "with patches as they are approved now" + (", and with a new canary" if request.source == "resume" else "")
        ],
    )


def _make_plan(
    services: Services,
    request: RunRequest,
    run: Run,
    window: WindowFacts | None,
    earlier: Earlier | None,
    since: datetime,
) -> Plan:
    now = services.now()
    resumed = earlier if request.source == "resume" else None
    policy = _resumed_policy(services, request, resumed) if resumed else request.policy
    frame = frame_of(window, policy, run.started)
    # What is left of an earlier run has to be among its targets still.
    groups = window.targets if window else resumed.plan["targetGroups"] if resumed else [request.targets]
    found = resolve(services.ec2, services.resource_groups, groups)
    instances = [
        instance for instance_id, instance in found.instances.items() if resumed is None or instance_id in resumed.left
    ]
    history = all_histories(services.table, policy["operation"])
    leftovers = left_over(services.table)
    agents = services.ssm.find_agents(
        instance["InstanceId"] for instance in instances if instance["State"]["Name"] == "running"
    )
    held = _held_by_others(services)
    durations = Durations(history)
    without: list[LeftOut] = [] if resumed else list(found.left_out)
    candidates = []
    for instance in instances:
        instance_id = instance["InstanceId"]
        past, agent = history.get(instance_id), agents.get(instance_id)
        reason = left_out(
            instance,
            policy,
            agent=agent,
            held_by=held.get(instance_id, "") or _group_held(instance, held),
            history=past,
            since=since,
            guard_tag=services.environment.guard_tag,
        )
        if reason is not None:
            without.append(reason)
            continue
        was_left = was_not_attempted(leftovers.get(instance_id), past)
        candidates.append(candidate(instance, agent, durations, was_left))
    if len(candidates) > _MOST_MACHINES:
        raise InvalidInputError(
            f"input: the targets are {len(candidates):,} machines; a run takes {_MOST_MACHINES:,} at most"
        )
    ordered, order_warnings = in_order(gather_groups(candidates, policy))
    snapshot_id, goes_on, snapshot_warnings = _snapshot(request, earlier, run, now)
    is_proved = resumed is not None and goes_on and resumed.is_canary_proved
    waves, wave_warnings = make_waves(ordered, policy, with_canary=not is_proved)
    schedule = predict(
        waves,
        now,
        slots_of(policy["maxConcurrency"], len(ordered), 1),
        timedelta(minutes=policy["soakMinutes"]),
        frame.end,
        frame.last_admission,
    )
    return {
        "schema": SCHEMA,
        "runId": run.run_id,
        "createdAt": to_text(now),
        "operation": policy["operation"],
        "policy": policy,
        "snapshotId": snapshot_id,
        "window": _describe_window(window),
        "targets": [target for group in groups for target in group],
        "targetGroups": [list(group) for group in groups],
        "follows": request.follows,
        "resumes": request.earlier if resumed else "",
        "end": to_text(frame.end),
        "lastAdmission": to_text(frame.last_admission),
        "predictedEnd": to_text(schedule.predicted_end),
        "machines": planned_machines(waves, schedule),
        "waves": planned_waves(run.run_id, waves),
        "leftOut": sorted(without, key=lambda left: (left["error"], left["name"], left["instanceId"])),
        "warnings": [
            *(window.warnings if window else ()),
            *snapshot_warnings,
            *order_warnings,
            *wave_warnings,
        ],
    }


def _group_held(instance: Instance, held: Mapping[str, str]) -> str:
    """Who rolls through the group of a machine; empty for nobody."""
    group = tags_of(instance).get(GROUP_TAG)
    return held.get(group_subject(group), "") if group else ""


def _held_by_others(services: Services) -> dict[str, str]:
    """Who has which machine or group in work, by instance id or subject. One that is being given back is free soon."""
    leases = [lease for lease in all_leases(services.table) if lease.phase != RESTORING]
    running = services.executions.running_among(lease.holder.execution for lease in leases)
    return {lease.subject: lease.holder.name for lease in leases if lease.holder.execution in running}


def _resumed_policy(services: Services, request: RunRequest, resumed: Earlier) -> Policy:
    """The earlier run's policy, with what this input says otherwise; no looser than the account's settings."""
    name = services.environment.policy_parameter
    above = merge(resumed.plan["policy"], request.given_policy)
    policy, mistakes = effective_policy(services.ssm.parameter(name) or "{}", name, above)
    require_no_mistakes(mistakes)
    return {**policy, "deadlineMinutes": request.policy["deadlineMinutes"]}


def _describe_window(window: WindowFacts | None) -> Any:
    if window is None:
        return None
    return {
        "windowId": window.window_id,
        "executionId": window.execution_id,
        "name": window.name,
        "start": to_text(window.start),
        "end": to_text(window.end),
    }


def _is_approval_needed(services: Services, request: RunRequest, plan: Plan, earlier: Earlier | None) -> bool:
    approval, machines = plan["policy"]["approval"], count_planned(plan)
    if not approval["required"] and not 0 < approval["above"] < machines:
        return False
    if request.source != "plan" or earlier is None:
        return True
    return not is_approved(earlier.run, plan_hash(plan), services.now(), request.started_by)


def _store(
    services: Services,
    request: RunRequest,
    run: Run,
    plan: Plan,
    earlier: Earlier | None,
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
    policy = plan["policy"]
    goes_on = earlier is not None and earlier.plan["snapshotId"] == plan["snapshotId"]
    window = plan["window"]
    return record_plan(
        services.table,
        run,
        {
            "planKey": key,
            "planHash": digest,
            "planOnly": request.plan_only,
            "approvalNeeded": _is_approval_needed(services, request, plan, earlier),
            "planned": count_planned(plan),
            "operation": plan["operation"],
            "policy": policy,
            "snapshotId": plan["snapshotId"],
            "snapshotSince": earlier.run.item["snapshotSince"] if goes_on and earlier else to_text(run.started),
            "window": window or {},
            "timeZone": time_zone,
            "end": plan["end"],
            "lastAdmission": plan["lastAdmission"],
            "maxErrors": slots_of(policy["maxErrors"], count_planned(plan), 0),
            "since": to_text(since),
            "startedBy": request.started_by,
            "canaryProved": earlier is not None and request.source == "resume" and goes_on and earlier.is_canary_proved,
            "bucket": services.objects.bucket,
        },
    )
