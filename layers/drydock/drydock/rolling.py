"""The roll through an Auto Scaling group: its members leave service in turn, are patched, and come back."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drydock.admission import GUID, find_run_of, require_open_run
from drydock.autoscaling import AZ_REBALANCE, ENTERING_STANDBY, IN_SERVICE, STANDBY, Group, Member
from drydock.checking import join_mistakes, list_of, moment, section, text
from drydock.ec2 import MOST_FILTER_VALUES
from drydock.errors import (
    AwsCallFailedError,
    DrydockError,
    GroupBusyError,
    GroupNotReadyError,
    GroupNotRestoredError,
    HealthCheckFailedError,
    InServiceTimedOutError,
    InstanceNotFoundError,
    InvalidInputError,
    LeaseLostError,
    MemberGoneError,
    MemberNotReadyError,
    ServiceUnavailableError,
    StandbyTimedOutError,
)
from drydock.executions import invoke_later
from drydock.failures import readable_failure
from drydock.gates import look_at_run, look_outside
from drydock.golden_images import describe_refresh
from drydock.group_leases import claim_member, close_roll, end_member
from drydock.groups import in_order, least_healthy, reduced, refusal
from drydock.history import find_history
from drydock.leases import (
    ACTIVE,
    ADMITTING,
    Lease,
    activate_lease,
    claim_intent,
    drop_lease,
    end_lease_with_result,
    find_lease,
    group_subject,
    record_intent,
    take_lease,
)
from drydock.policy import Policy, deadline_of, effective_policy, require_no_mistakes
from drydock.results import find_result, make_result, put_result
from drydock.run_request import RUN_ID
from drydock.running import end_of_child
from drydock.runs import child_name, find_run
from drydock.services import Services
from drydock.staleness import is_stale
from drydock.step import Holder, Step
from drydock.surging import (
    choose_capacity,
    count_surge,
    describe_surge,
    known_surge,
    let_member_return,
    lower_min,
    lowers_min_to,
    plan_capacity,
    policy_of,
    undo_max,
    wanted_without_surge,
)
from drydock.times import from_text

MEMBER_TAG = "AutoPatchInstanceInASG"
_MOST_NAMED = 20
IN_PROGRESS, COMPLETED = "InProgress", "Completed"

INSTANCE_ID = text(r"i-[0-9a-f]{8}([0-9a-f]{9})?", "an instance id such as i-0123456789abcdef0")

_check_input = section(
    {
        "groupName": text(r".{1,255}", "the name of an Auto Scaling group"),
        "policy": lambda path, value: [],
        "runId": RUN_ID,
        "snapshotId": GUID,
        "only": list_of(INSTANCE_ID),
        "unlessDoneSince": moment,
    }
)


@dataclass(frozen=True)
class GroupRequest:
    """The input of RollGroup, checked."""

    group_name: str
    policy: Policy
    run_id: str
    snapshot_id: str
    only: frozenset[str]
    unless_done_since: str
    """A success of the same operation since then is enough for a member; empty for none."""


def read_group_request(given: object, settings: str, settings_name: str, execution: str) -> GroupRequest:
    """Raises InvalidInputError or InvalidPolicyError; either names every mistake."""
    mistakes = _check_input("input", given)
    values: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    if isinstance(given, Mapping) and "groupName" not in given:
        mistakes.append("input.groupName: is required, the name of an Auto Scaling group")
    policy, policy_mistakes = effective_policy(settings, settings_name, values.get("policy", {}))
    if mistakes:
        raise InvalidInputError(join_mistakes([*mistakes, *policy_mistakes]))
    require_no_mistakes(policy_mistakes)
    return GroupRequest(
        group_name=str(values["groupName"]),
        policy=policy,
        run_id=str(values.get("runId", "")),
        snapshot_id=str(values.get("snapshotId") or uuid.uuid5(uuid.NAMESPACE_URL, execution)).lower(),
        only=frozenset(values.get("only", [])),
        unless_done_since=str(values.get("unlessDoneSince") or ""),
    )


def admit_group(services: Services, step: Step) -> dict[str, Any]:
    """Take the group's lease, write the journal, and return what later steps rely on.

    Raises one of the errors of admission; then nothing is touched and no lease is left behind.
    """
    environment = services.environment
    run = find_run_of(services, step.given)
    # A run hands over its whole policy, as it was approved.
    settings = None if run else services.ssm.parameter(environment.policy_parameter)
    request = read_group_request(step.given, settings or "{}", environment.policy_parameter, step.holder.execution)
    require_open_run(run, request.group_name)
    subject = group_subject(request.group_name)
    standing = take_lease(services.table, step.holder, subject, step.execution_started, services.now())
    if standing is not None and standing.holder != step.holder:
        if is_stale(services, standing):
            invoke_later(environment.function("give_back"), {"instanceId": subject})
        raise GroupBusyError(
            f"{request.group_name}: {standing.holder.name} has held it since {standing.since:%Y-%m-%d %H:%M:%S} UTC"
        )
    try:
        return _admit(services, step, request, standing)
    except DrydockError:
        drop_lease(services.table, step.holder, subject, ADMITTING)
        raise


def _admit(services: Services, step: Step, request: GroupRequest, standing: Lease | None) -> dict[str, Any]:
    group, policy = services.autoscaling.group(request.group_name), request.policy
    planned = in_order(group, _launch_times(services, group), request.only)
    journal: Mapping[str, Any]
    if standing is not None:
        journal = standing.journal
    else:
        carried_out, why_not = choose_capacity(group, policy) if _takes_out(policy) else (reduced(policy), "")
        refused = refusal(group, carried_out, services.autoscaling.refresh_at_work(request.group_name))
        if refused is not None:
            raise refused
        journal = {
            "name": "",
            "runId": request.run_id,
            "notify": policy["notify"],
            "operation": policy["operation"],
            "snapshotId": request.snapshot_id,
            "min": group.min,
            "max": group.max,
            "desired": group.desired,
            "suspended": sorted(group.suspended),
            "unlessDoneSince": request.unless_done_since,
            **plan_capacity(group, carried_out, why_not, len(planned) if _takes_out(policy) else 0),
            "memberIds": [member.instance_id for member in group.members],
            "planned": [member.instance_id for member in planned],
            "leftOut": _left_out(group, planned, request.only),
            "drainSeconds": services.autoscaling.drain_seconds(group.target_groups),
        }
        activate_lease(
            services.table, step.holder, group_subject(request.group_name), journal, "suspend", services.now()
        )
    return {
        "groupName": request.group_name,
        "policy": policy,
        "runId": request.run_id,
        "rollId": request.run_id or re.sub(r"[^a-zA-Z0-9_-]", "-", step.holder.name),
        "snapshotId": request.snapshot_id,
        "batch": policy["batch"],
        "takesOut": _takes_out(policy),
        "surges": int(journal["surges"]) > 0,
        "members": [{"instanceId": member.instance_id, "zone": member.zone} for member in planned],
    }


def _left_out(group: Group, planned: Sequence[Member], only: Collection[str]) -> list[str]:
    """Those that were asked for, and are not in service."""
    asked = only or {member.instance_id for member in group.members if member.is_outside}
    return sorted({*asked} - {member.instance_id for member in planned})


def _takes_out(policy: Policy) -> bool:
    """A Scan enters no standby."""
    return policy["operation"] != "Scan"


def _launch_times(services: Services, group: Group) -> dict[str, datetime]:
    ids = [member.instance_id for member in group.members]
    chunks = [ids[start : start + MOST_FILTER_VALUES] for start in range(0, len(ids), MOST_FILTER_VALUES)]
    found = [one for chunk in chunks for one in services.ec2.describe_instances({"instance-id": chunk})]
    return {one["InstanceId"]: one["LaunchTime"] for one in found if "LaunchTime" in one}


def make_room(services: Services, step: Step) -> None:
    """Keep the group from balancing zones while members are out, and let it have fewer, by what is needed.

    Raises LeaseLostError, GroupNotReadyError.
    """
    name = str(step.data["groupName"])
    subject = group_subject(name)
    lease = claim_intent(services.table, step.holder, subject, "suspend", services.now()).lease
    if AZ_REBALANCE not in lease.journal["suspended"]:
        services.autoscaling.suspend(name, AZ_REBALANCE)
    lower_min(services, step.holder, lease)


@dataclass(frozen=True)
class Turn:
    """One member's turn in a roll. The owner of the group's lease is the roll, not the Map's child that acts for it."""

    owner: Holder
    group_name: str
    instance_id: str
    run_id: str

    @classmethod
    def read(cls, step: Step) -> Turn:
        data = step.data
        owner = Holder(str(data["owner"]["execution"]), int(data["owner"]["redriveCount"]))
        return cls(owner, str(data["groupName"]), step.instance_id, str(data["runId"]))

    @property
    def subject(self) -> str:
        return group_subject(self.group_name)

    @property
    def child(self) -> str:
        """The name of the execution that patches the member."""
        return child_name(self.owner.name, self.instance_id)


def _own_lease(services: Services, turn: Turn) -> Lease:
    lease = find_lease(services.table, turn.subject)
    if lease is None or lease.holder != turn.owner or lease.phase != ACTIVE:
        raise LeaseLostError(f"{turn.group_name}: the lease is no longer ours")
    return lease


def enter_standby(services: Services, step: Step) -> dict[str, Any]:
    """Take a member out of service, if it still is in it, the gates are open and the others can do without it.

    Returns whether its turn has come, and the name of the execution that shall patch it.
    Raises GroupNotReadyError while too few others are healthy.
    """
    turn, policy = Turn.read(step), step.policy
    closed = _closed_gate(services, turn, policy)
    if closed is not None:
        close_roll(services.table, turn.owner, turn.group_name, type(closed).__name__, str(closed))
    _close_after_a_loss(services, turn, policy)
    lease = claim_member(services.table, turn.owner, turn.group_name, turn.instance_id, services.now())
    if lease is None:
        return {"taken": False, "childName": turn.child}
    group = services.autoscaling.group(turn.group_name)
    member = group.find(turn.instance_id)
    if member is None or member.is_leaving:
        _end(services, turn, {"outcome": "gone", "error": "MemberGoneError", "cause": "the group has given it away"})
        return {"taken": False, "childName": turn.child}
    done = _done_by(services, turn, policy, str(lease.journal.get("unlessDoneSince") or ""))
    if done and f"standby:{turn.instance_id}" not in lease.intents:
        _end(services, turn, {"outcome": "skipped", "error": "InstanceDoneError", "cause": done})
        return {"taken": False, "childName": turn.child}
    if not _takes_out(policy) or member.lifecycle in (STANDBY, ENTERING_STANDBY):
        return {"taken": True, "childName": turn.child}
    others = group.serving - services.autoscaling.unfit_targets(group.target_groups) - {turn.instance_id}
    wanted = wanted_without_surge(lease, group, len(_out(lease, group)))
    least = least_healthy(policy_of(lease, policy), wanted)
    if len(others) < least:
        raise GroupNotReadyError(
            f"{turn.group_name}: without {turn.instance_id} {len(others)} members would be in service and healthy, "
            f"and {least} have to be"
        )
    away = _away(lease, group, turn.instance_id)
    if len(away) >= policy["batch"]:
        raise GroupNotReadyError(f"{turn.group_name}: {', '.join(away)} is out of service still")
    claim_intent(services.table, turn.owner, turn.subject, f"standby:{turn.instance_id}", services.now())
    services.autoscaling.enter_standby(turn.group_name, turn.instance_id)
    _tag(services, turn, IN_PROGRESS)
    return {"taken": True, "childName": turn.child}


def _close_after_a_loss(services: Services, turn: Turn, policy: Policy) -> None:
    """A child of the Map that died has recorded no end of its member: then no further one begins."""
    members = _own_lease(services, turn).members
    unended = [key for key, found in members.items() if key != turn.instance_id and "outcome" not in found]
    # As many may be at work beside this one as the batch has besides.
    if len(unended) >= policy["batch"]:
        reason = f"the end of {', '.join(unended)} is not known"
        close_roll(services.table, turn.owner, turn.group_name, "RollStoppedError", reason)


def _done_by(services: Services, turn: Turn, policy: Policy, since: str) -> str:
    """Who has done the same to a member meanwhile, in words; empty for nobody. It need not leave service then."""
    history = find_history(services.table, policy["operation"], turn.instance_id) if since else None
    if history is None or history.done < from_text(since):
        return ""
    return f"{history.done_by.rpartition(':')[2]} did the same at {history.done:%Y-%m-%d %H:%M} UTC"


def _away(lease: Lease, group: Group, instance_id: str) -> list[str]:
    """The other members whose turn it was and that are out of service still, also those that the group terminates."""
    return [
        member.instance_id
        for member in group.members
        if member.instance_id in lease.members
        and member.instance_id != instance_id
        and member.lifecycle != IN_SERVICE
        and lease.members[member.instance_id].get("move") != "hold"
    ]


def _out(lease: Lease, group: Group) -> list[str]:
    """The members that this roll has taken out and not given back yet: the group wants so many less meanwhile."""
    return [
        member.instance_id
        for member in group.members
        if member.lifecycle in (STANDBY, ENTERING_STANDBY) and f"standby:{member.instance_id}" in lease.intents
    ]


def _closed_gate(services: Services, turn: Turn, policy: Policy) -> DrydockError | None:
    run = find_run(services.table, turn.run_id) if turn.run_id else None
    if run is not None:
        verdict = look_at_run(run, 0, services.now(), run.time_zone or services.environment.time_zone)
        if verdict is not None:
            return verdict.reason
    return look_outside(services, policy["gates"])


def _tag(services: Services, turn: Turn, value: str | None) -> None:
    """Show people how far a member is; None for not patched. A tag that cannot be written fails nothing."""
    try:
        if value is None:
            services.ec2.remove_tags(turn.instance_id, [MEMBER_TAG])
        else:
            services.ec2.set_tags(turn.instance_id, {MEMBER_TAG: value})
    except (AwsCallFailedError, ServiceUnavailableError):
        return


def await_standby(services: Services, step: Step) -> None:
    """Raises MemberNotReadyError until the member is in standby, MemberGoneError, StandbyTimedOutError."""
    turn = Turn.read(step)
    lease = _own_lease(services, turn)
    member = services.autoscaling.group(turn.group_name).find(turn.instance_id)
    if member is None or member.is_leaving:
        raise MemberGoneError(f"{turn.instance_id}: group {turn.group_name} terminates it or has given it away")
    if member.lifecycle == STANDBY:
        return
    since = lease.intents[f"standby:{turn.instance_id}"].at
    limit = timedelta(seconds=int(lease.journal["drainSeconds"])) + deadline_of(step.policy, "standbySeconds")
    if services.now() - since > limit:
        raise StandbyTimedOutError(f"{turn.instance_id}: is {member.lifecycle} still, not in standby")
    raise MemberNotReadyError(f"{turn.instance_id}: is {member.lifecycle}")


def return_member(services: Services, step: Step) -> dict[str, Any]:
    """Decide what becomes of a member whose work is over, and begin it: back, held in standby, or replaced.

    Returns the move: exit, hold, replace, gone or none. Raises GroupNotReadyError, MachinesNotReadyError.
    """
    turn = Turn.read(step)
    lease = _own_lease(services, turn)
    ended = _end_of_work(services, step, turn)
    group = services.autoscaling.group(turn.group_name)
    member = group.find(turn.instance_id)
    if f"replace:{turn.instance_id}" in lease.intents:
        # A function that died in the middle has decided already.
        if member is not None and not member.is_leaving:
            services.autoscaling.terminate(turn.group_name, turn.instance_id)
        return {"move": "replace", "work": ended}
    if member is None or member.is_leaving:
        return {"move": "gone", "work": {**ended, "outcome": "gone"}}
    if f"standby:{turn.instance_id}" not in lease.intents:
        return {"move": "none", "work": ended}
    move = _move(services, turn, step.policy, ended)
    if move == "exit" and member.lifecycle in (STANDBY, ENTERING_STANDBY):
        claim_intent(services.table, turn.owner, turn.subject, f"exit:{turn.instance_id}", services.now())
        let_member_return(services, turn.owner, lease, group)
        services.autoscaling.exit_standby(turn.group_name, turn.instance_id)
    elif move == "replace":
        claim_intent(services.table, turn.owner, turn.subject, f"replace:{turn.instance_id}", services.now())
        services.autoscaling.terminate(turn.group_name, turn.instance_id)
    return {"move": move, "work": ended}


def _end_of_work(services: Services, step: Step, turn: Turn) -> dict[str, Any]:
    environment = services.environment
    execution = (
        f"arn:{turn.owner.partition}:states:{environment.region}:{turn.owner.account}:execution:"
        f"{environment.stack}-PatchInstance:{turn.child}"
    )
    ended = end_of_child(services, step, execution)
    if ended["outcome"] != "succeeded" or not step.policy["refreshLaunchTemplate"]["enabled"]:
        return ended
    return {**ended, "imageId": _image_after(services, step, execution)}


def _image_after(services: Services, step: Step, execution: str) -> str:
    """The image of a patched member. Where the state did not see the end of its execution, that is looked at."""
    output = step.data.get("output")
    if output is None:
        output = json.loads((services.executions.find(execution) or {}).get("output") or "{}")
        return str((output.get("images") or {}).get("after") or "")
    return str(output.get("imageId") or "")


def _move(services: Services, turn: Turn, policy: Policy, ended: Mapping[str, Any]) -> str:
    if ended["outcome"] != "failed":
        return "exit"
    if policy["onMemberFailure"] == "return":
        is_well = ended["error"] != HealthCheckFailedError.__name__ and _is_well(services, turn.instance_id)
        return "exit" if is_well else "replace"
    return policy["onMemberFailure"]


def _is_well(services: Services, instance_id: str) -> bool:
    """Whether a member that was not patched well may serve all the same: running, checks passed, agent online."""
    try:
        state, passes_checks = services.ec2.look_at_status(instance_id)
    except InstanceNotFoundError:
        return False
    agent = services.ssm.find_agent(instance_id)
    return state == "running" and passes_checks and agent is not None and agent.online


def await_in_service(services: Services, step: Step) -> None:
    """Raises MemberNotReadyError until the group has its capacity back, MemberGoneError, InServiceTimedOutError."""
    turn, move = Turn.read(step), str(step.data["move"])
    lease = _own_lease(services, turn)
    group = services.autoscaling.group(turn.group_name)
    lack = _lack_of_member(services, group, turn) if move == "exit" else _lack_of_capacity(services, group, lease, turn)
    if lack is None:
        return
    since = lease.intents[f"{move}:{turn.instance_id}"].at
    limit = timedelta(seconds=int(lease.journal["drainSeconds"])) + deadline_of(step.policy, "standbySeconds")
    if services.now() - since > limit:
        raise InServiceTimedOutError(f"{turn.instance_id}: {lack}")
    raise MemberNotReadyError(f"{turn.instance_id}: {lack}")


def _lack_of_member(services: Services, group: Group, turn: Turn) -> str | None:
    member = group.find(turn.instance_id)
    if member is None or member.is_leaving:
        raise MemberGoneError(f"{turn.instance_id}: group {group.name} terminates it or has given it away")
    if member.lifecycle != IN_SERVICE or not member.is_healthy:
        return f"is {member.lifecycle}" + ("" if member.is_healthy else " and unhealthy") + f" in group {group.name}"
    unhealthy = services.autoscaling.unhealthy_targets(group.target_groups, turn.instance_id)
    return f"is not healthy in {'; '.join(unhealthy)}" if unhealthy else None


def _lack_of_capacity(services: Services, group: Group, lease: Lease, turn: Turn) -> str | None:
    """A replaced member's place is filled by the group itself, or, where it wants one less now, asked for once."""
    member = group.find(turn.instance_id)
    if member is not None and not member.is_leaving:
        return f"is {member.lifecycle} still"
    if refill(services, lease, group, turn.instance_id):
        return "another instance was asked for"
    if group.healthy_in_service < group.desired:
        return f"{group.healthy_in_service} of {group.desired} members are in service and healthy"
    return None


def refill(services: Services, lease: Lease, group: Group, instance_id: str) -> bool:
    """Ask for another instance in place of a replaced member, where the group wants one less since. True when asked.

    Asked for is a size that is written down first, so asking twice is asking once.
    """
    name = f"refill:{instance_id}"
    standing = lease.intents.get(name)
    if standing is None and group.desired >= int(lease.journal["desired"]) + count_surge(lease, group) - len(
        _out(lease, group)
    ):
        return False
    if standing is not None and standing.id:
        return False
    to = group.desired + 1
    claim = claim_intent(services.table, lease.holder, lease.subject, name, services.now(), to=to)
    services.autoscaling.set_desired(group.name, int(claim.intent.facts["to"]))
    record_intent(services.table, lease.holder, lease.subject, name, {"id": "asked"})
    return True


def record_member(services: Services, step: Step) -> dict[str, Any]:
    """Write down what became of a member, and stop the roll when it failed."""
    turn = Turn.read(step)
    work = dict(step.data.get("work") or {"outcome": "failed", "error": "", "cause": "", "verdict": ""})
    failure = readable_failure(step.data.get("failure"))
    if failure is not None:
        gone = failure["error"] == "MemberGoneError"
        work |= {"outcome": "gone" if gone else "failed", **failure}
    if _takes_out(step.policy):
        _tag(services, turn, COMPLETED if work["outcome"] == "succeeded" else None)
    _end(services, turn, {**work, "move": str(step.data.get("move") or "none")})
    return {"outcome": work["outcome"]}


def _end(services: Services, turn: Turn, outcome: Mapping[str, Any]) -> None:
    lease = end_member(services.table, turn.owner, turn.group_name, turn.instance_id, outcome, services.now())
    failed = [one for one in lease.members.values() if one.get("outcome") == "failed"]
    if failed:
        close_roll(
            services.table, turn.owner, turn.group_name, "RollStoppedError", f"{len(failed)} of its members failed"
        )


def restore_group(services: Services, step: Step) -> dict[str, Any]:
    """Undo Drydock's own changes to the group, where they still stand. Returns what could not be.

    Raises GroupNotReadyError, LeaseLostError, GroupNotRestoredError when members of its own are out still: then the
    lease stays, and `give_back` goes on.
    """
    name = str(step.data["groupName"])
    lease = claim_intent(services.table, step.holder, group_subject(name), "restore", services.now()).lease
    group = services.autoscaling.group(name)
    left = [one for one in _out(lease, group) if lease.members.get(one, {}).get("move") != "hold"]
    if left:
        causes = sorted({str(lease.members.get(one, {}).get("cause") or "") for one in left} - {""})
        raise GroupNotRestoredError(f"{name}: {', '.join(left)} could not leave standby yet: {'; '.join(causes)}")
    return {"problems": [*undo_changes(services, lease), *launched_meanwhile(lease, group)]}


def launched_meanwhile(lease: Lease, group: Group) -> list[str]:
    """Members that the group has launched since the roll began: they are not patched."""
    known = {*lease.journal["memberIds"], *lease.members, *known_surge(lease)}
    new = [member.instance_id for member in group.members if member.instance_id not in known and not member.is_leaving]
    return [f"launched meanwhile, and not patched: {', '.join(new)}"] if new else []


def undo_changes(services: Services, lease: Lease) -> list[str]:
    """Min and processes as they were, unless somebody else has changed them meanwhile."""
    name, journal = lease.group_name, lease.journal
    group = services.autoscaling.group(name)
    problems = []
    if "lowerMin" in lease.intents and group.min == lowers_min_to(lease):
        # With a member held in standby the group wants one less: more would launch another instance.
        size = min(int(journal["min"]), group.desired)
        services.autoscaling.set_min(name, size)
        if size < journal["min"]:
            problems.append(f"min is {size}, not {journal['min']}: {group.desired} instances are wanted now")
    elif "lowerMin" in lease.intents and group.min != journal["min"]:
        problems.append(f"min is {group.min}: somebody else has set it, and Drydock left it")
    problems += undo_max(services, lease, group)
    if "suspend" in lease.intents and AZ_REBALANCE not in journal["suspended"] and AZ_REBALANCE in group.suspended:
        services.autoscaling.resume(name, AZ_REBALANCE)
    return problems


def release_group(services: Services, step: Step) -> dict[str, Any]:
    """End the work on a group, well or badly. Running twice changes nothing. Returns the execution's own output."""
    name = str(step.data.get("groupName") or "")
    subject = group_subject(name)
    failure = readable_failure(step.data.get("failure"))
    lease = find_lease(services.table, subject) if name else None
    if lease is None or lease.holder != step.holder:
        standing = find_result(services.table, subject, step.holder, step.execution_started)
        if standing is None:
            failure = failure or {"error": "LeaseLostError", "cause": f"{name}: the lease is no longer ours"}
            standing = make_result(
                subject, step.holder, step.execution_started, "refused", services.now(), {"failure": failure}
            )
            put_result(services.table, standing)
        return summarise_group(standing)
    refresh = step.data.get("refresh") or {"problems": []}
    problems = [*(step.data.get("problems") or []), *refresh["problems"]]
    facts = describe_group(lease, failure, problems)
    result = make_result(subject, step.holder, step.execution_started, facts["outcome"], services.now(), facts)
    end_lease_with_result(services.table, step.holder, subject, ACTIVE, result)
    return summarise_group(result)


def describe_group(lease: Lease, failure: dict[str, str] | None, problems: list[str]) -> dict[str, Any]:
    """What the lease tells of a roll: every member that was planned has one outcome."""
    closed = lease.closed or {}
    why = {
        "error": closed.get("error") or (failure or {}).get("error", ""),
        "cause": closed.get("reason") or "the roll ended before its turn came",
    }
    members: dict[str, dict[str, Any]] = {
        str(instance_id): {"outcome": "not_attempted", **why} for instance_id in lease.journal["planned"]
    }
    for instance_id, found in lease.members.items():
        members[instance_id] = {"outcome": "failed", "error": "UNKNOWN", "cause": "its end is not known", **found}
    failed = [instance_id for instance_id, found in members.items() if found["outcome"] == "failed"]
    left = [instance_id for instance_id, found in members.items() if found["outcome"] == "not_attempted"]
    if failure is None and failed:
        failure = {"error": "MachinesFailedError", "cause": f"{lease.group_name}: {', '.join(failed)} failed"}
    elif failure is None and left:
        reason = (lease.closed or {}).get("reason", "")
        failure = {
            "error": "RollStoppedError",
            "cause": f"{lease.group_name}: {len(left)} were not attempted: {reason}",
        }
    journal = lease.journal
    return {
        "groupName": lease.group_name,
        "outcome": "failed" if failure else "succeeded",
        "failure": failure,
        "runId": journal["runId"],
        "notify": journal["notify"],
        "operation": journal["operation"],
        "snapshotId": journal["snapshotId"],
        "sizes": {size: journal[size] for size in ("min", "max", "desired")},
        "members": members,
        "problems": [*_describe_left_out(lease), *describe_surge(lease), *problems],
        "launchTemplate": describe_refresh(lease),
    }


def _describe_left_out(lease: Lease) -> list[str]:
    left = lease.journal.get("leftOut") or []
    more = f" and {len(left) - _MOST_NAMED} more" if len(left) > _MOST_NAMED else ""
    return [f"left out, for they were not in service: {', '.join(left[:_MOST_NAMED])}{more}"] if left else []


def summarise_group(result: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "groupName": result.get("groupName", ""),
        "outcome": result["outcome"],
        "members": {key: found["outcome"] for key, found in (result.get("members") or {}).items()},
        "failure": result.get("failure"),
    }
