"""Surge instances: what a group gets before its members leave service, and gives up again at the end.

Desired capacity is never written for them: AWS raises it with the launch and lowers it with the removal, so whatever
else scales the group meanwhile stays as it is. Which instances they are is exact: each attempt to launch one is an
intent of its own, with a token that AWS answers the same again. Where the group's max has no room it is raised by
what is needed; the surge instances count in desired capacity, so that they leave nothing else more room than before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from drydock.aws.autoscaling import ADD_TO_LOAD_BALANCER, IN_SERVICE, AutoScaling, Group, Member
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import MemberNotReadyError, SurgeNotPossibleError
from drydock.group.rules import lowered_min, reduced, refusal
from drydock.records import intents
from drydock.records.group_leases import members_out
from drydock.records.holder import Holder
from drydock.records.leases import (
    FUNCTION_LIFETIME,
    REFUSED,
    Hold,
    Intent,
    Lease,
    find_lease,
    hold_of,
)
from drydock.request.policy import Policy, deadline_of
from drydock.request.step import Step

Move = Literal["remove", "wait", "keep", "over"]


@dataclass(frozen=True)
class SurgeMove:
    """What is to become of a surge instance, and why it cannot go yet, or at all."""

    move: Move
    why: str = ""


def obstacle(group: Group) -> str:
    """Why LaunchInstances would launch nothing into a group; empty when it should.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/launch-instances-synchronously.html
    """
    reasons = {
        say("surge.configuration"): not group.launches_from_template,
        say("surge.mixed_markets"): group.mixes_markets,
        say("surge.warm_pool"): group.has_warm_pool,
        say("surge.weights"): group.is_weighted,
        say("surge.suspended"): (ADD_TO_LOAD_BALANCER in group.suspended and bool(group.target_groups)),
    }
    return "; ".join(reason for reason, applies in reasons.items() if applies)


def choose_capacity(group: Group, policy: Policy) -> tuple[Policy, str]:
    """The policy as it can be carried out in a group, and why that is not by surge where it should have been.

    Raises SurgeNotPossibleError.
    """
    if policy["capacity"] != "surge":
        return policy, ""
    why = obstacle(group)
    if not why:
        return policy, ""
    if policy["surgeFallback"] == "fail":
        raise SurgeNotPossibleError(say("surge.impossible", group=group.name, reason=why))
    return reduced(policy), why


def plan_capacity(group: Group, policy: Policy, why_not: str, leaving: int) -> dict[str, Any]:
    """What the journal says of capacity, for a policy as `choose_capacity` has it and so many members that leave."""
    surges = min(policy["batch"], leaving) if policy["capacity"] == "surge" else 0
    to = None if surges or not leaving else lowered_min(group, policy["batch"])
    plan: dict[str, Any] = {
        "capacity": policy["capacity"],
        "notSurged": why_not,
        "surges": surges,
        "lowersMinTo": -1 if to is None else to,
        "fallback": {},
    }
    if surges and policy["surgeFallback"] == "reduce" and refusal(group, reduced(policy), "") is None:
        plan["fallback"] = {"lowersMinTo": plan_capacity(group, reduced(policy), "", leaving)["lowersMinTo"]}
    return plan


def policy_of(lease: Lease, policy: Policy) -> Policy:
    """The policy as it is carried out: with surge instances only where they could be launched."""
    surges = lease.journal["capacity"] == "surge" and intents.SURGE_FALLBACK not in lease.intents
    return policy if surges else reduced(policy)


def lowers_min_to(lease: Lease) -> int:
    """What min is lowered to for the roll; -1 when it is not."""
    plan = lease.journal["fallback"] if intents.SURGE_FALLBACK in lease.intents else lease.journal
    return int(plan["lowersMinTo"])


def lower_min(services: Services, holder: Holder, lease: Lease) -> None:
    """Let the group have fewer members meanwhile, by what is needed. Raises LeaseLostError, GroupNotReadyError."""
    to = lowers_min_to(lease)
    if to < 0:
        return
    Hold.of(services, holder, lease.subject).claim(intents.LOWER_MIN)
    if services.autoscaling.group(lease.group_name).min > to:
        services.autoscaling.set_min(lease.group_name, to)


def launch_surge(services: Services, step: Step) -> None:
    """Launch the surge instances, and wait until it serves; or let the roll go on with fewer members.

    Raises MemberNotReadyError until then, SurgeNotPossibleError, LeaseLostError, GroupNotReadyError.
    """
    subject = step.subject
    lease = Hold.of(services, step.holder, subject).claim_or_find(intents.SURGE).lease
    if intents.SURGE_FALLBACK in lease.intents:
        return lower_min(services, step.holder, lease)
    try:
        instance_ids = [_launch(services, step.holder, lease, number) for number in range(int(lease.journal["surges"]))]
        _require_service(services, step, lease, instance_ids)
    except SurgeNotPossibleError as error:
        if not lease.journal["fallback"]:
            raise
        claim = Hold.of(services, step.holder, subject).claim(intents.SURGE_FALLBACK, why=str(error))
        lower_min(services, step.holder, claim.lease)


def _attempts(lease: Lease, number: int | None = None) -> list[Intent]:
    """The attempts to launch surge instances: all, or those for one of them, in the order they were made."""
    beginning = intents.LAUNCH if number is None else intents.launch(number, "")
    found = [intent for name, intent in lease.intents.items() if name.startswith(beginning)]
    return sorted(found, key=lambda intent: intent.at)


def _token(holder: Holder, attempt: str) -> str:
    """Not more than 64 letters and digits."""
    return hashlib.sha256(f"{holder.execution}/{holder.redrive_count}/{attempt}".encode()).hexdigest()


def _launch(services: Services, holder: Holder, lease: Lease, number: int) -> str:
    """Launch one, once, where there is room for it: an attempt that was not answered is asked for again first."""
    attempts = _attempts(lease, number)
    for attempt in attempts:
        if attempt.id:
            return attempt.id
    group = services.autoscaling.group(lease.group_name)
    launched = len(known_surge(lease))
    _raise_max(services, holder, lease, group, group.desired + int(lease.journal["surges"]) - launched)
    open_zones = [intents.zone_of(attempt.name) for attempt in attempts if REFUSED not in attempt.facts]
    tried = {intents.zone_of(attempt.name) for attempt in attempts}
    causes = [str(attempt.facts[REFUSED]) for attempt in attempts if REFUSED in attempt.facts]
    for zone in [*open_zones, *(zone for zone in _emptiest_first(group) if zone not in tried)]:
        name = intents.launch(number, zone)
        Hold.of(services, holder, lease.subject).claim(name)
        try:
            instance_id = services.autoscaling.launch_one(group.name, zone, _token(holder, name))
        except SurgeNotPossibleError as error:
            Hold.of(services, holder, lease.subject).record(name, {REFUSED: str(error)})
            causes.append(str(error))
            continue
        Hold.of(services, holder, lease.subject).record(name, {"id": instance_id})
        return instance_id
    raise SurgeNotPossibleError("; ".join(causes) or say("surge.no_zone", group=group.name))


def _emptiest_first(group: Group) -> list[str]:
    zones = [member.zone for member in group.members]
    return sorted(group.zones, key=lambda zone: (zones.count(zone), zone))


def _raise_max(services: Services, holder: Holder, lease: Lease, group: Group, to: int) -> None:
    """Make room for so many, unless somebody else has taken it away again."""
    if to <= group.max:
        return
    facts = {"from": group.max, "to": to}
    claim = Hold.of(services, holder, lease.subject).claim(intents.raised_max(to), **facts)
    if group.max == claim.intent.facts["from"]:
        services.autoscaling.set_max(group.name, to)


def _require_service(services: Services, step: Step, lease: Lease, instance_ids: Sequence[str]) -> None:
    """Raises MemberNotReadyError until all are protected from scaling in and serve, SurgeNotPossibleError."""
    lease = find_lease(services.table, lease.subject) or lease
    group = services.autoscaling.group(lease.group_name)
    since = {attempt.id: attempt.at for attempt in _attempts(lease) if attempt.id}
    lacks = []
    for instance_id in instance_ids:
        member = group.find(instance_id)
        if member is None and services.now() - since[instance_id] < FUNCTION_LIFETIME:
            # What Auto Scaling shows may lag.
            lacks.append((instance_id, say("surge.lacks.not_seen")))
            continue
        if member is None or member.is_leaving:
            raise SurgeNotPossibleError(say("surge.given_up", group=group.name, machine=instance_id))
        if member.lifecycle == IN_SERVICE and not member.is_protected:
            Hold.of(services, step.holder, lease.subject).claim(intents.protection(instance_id))
            services.autoscaling.set_protection(group.name, instance_id, protected=True)
        lack = _lack_of(services, group, member)
        if lack:
            lacks.append((instance_id, lack))
    for instance_id, lack in lacks:
        if services.now() - since[instance_id] > deadline_of(step.policy, "startSeconds"):
            raise SurgeNotPossibleError(say("surge.does_not_serve", group=group.name, machine=instance_id, lack=lack))
    if lacks:
        raise MemberNotReadyError("; ".join(f"{instance_id}: {lack}" for instance_id, lack in lacks))


def _lack_of(services: Services, group: Group, member: Member) -> str:
    if member.lifecycle != IN_SERVICE or not member.is_healthy:
        return say("surge.lacks.service" if member.is_healthy else "surge.lacks.health", state=member.lifecycle)
    serving = services.autoscaling.serving_targets(group.target_groups)
    return "" if serving is None or member.instance_id in serving else say("surge.lacks.targets")


def remove_surge(services: Services, step: Step) -> None:
    """Remove the surge instances, as soon as the group can do without. What cannot go stays, and why is in the lease.

    Raises MemberNotReadyError, LeaseLostError, GroupNotReadyError.
    """
    subject, name = step.subject, step.group.name
    mark = Hold.of(services, step.holder, subject).claim_or_find(intents.REMOVE_SURGE)
    lease, autoscaling = mark.lease, services.autoscaling
    limit = timedelta(seconds=int(lease.journal["drainSeconds"])) + deadline_of(step.policy, "standbySeconds")
    surge = surge_ids(services, lease)
    for instance_id in surge:
        group = autoscaling.group(name)
        if intents.kept_surge(instance_id) in lease.intents:
            _unprotect(autoscaling, lease, group, instance_id)
            continue
        verdict = judge(lease, group, instance_id, surge, autoscaling.serving_targets(group.target_groups))
        if verdict.move == "remove":
            Hold.of(services, step.holder, subject).claim(intents.surge_removal(instance_id))
            autoscaling.remove(name, instance_id)
        elif verdict.move == "wait" and services.now() - mark.intent.at <= limit:
            raise MemberNotReadyError(verdict.why)
        elif verdict.move != "over":
            keep = intents.kept_surge(instance_id)
            Hold.of(services, step.holder, subject).claim(keep, why=verdict.why)
            _unprotect(autoscaling, lease, group, instance_id)


def give_surge_back(
    services: Services, lease: Lease, group: Group, may_wait: bool
) -> tuple[Literal["remove_surge", "wait_for_capacity"] | None, list[str]]:
    """As `remove_surge`, when the roll is over: the next move or None, and what stays, a phrase each."""
    problems: list[str] = []
    surge = surge_ids(services, lease)
    for instance_id in surge:
        verdict = judge(lease, group, instance_id, surge, services.autoscaling.serving_targets(group.target_groups))
        if verdict.move == "remove":
            if hold_of(services, lease).claim_giving_back(intents.give_back_removal(instance_id)):
                services.autoscaling.remove(group.name, instance_id)
            return "remove_surge", []
        if verdict.move == "wait" and may_wait:
            return "wait_for_capacity", []
        if verdict.move != "over":
            _unprotect(services.autoscaling, lease, group, instance_id)
            problems += [] if intents.kept_surge(instance_id) in lease.intents else [verdict.why]
    return None, problems


def surge_ids(services: Services, lease: Lease) -> list[str]:
    """The surge instances that were launched; AWS is asked about an attempt whose answer is not known."""
    attempts = _attempts(lease)
    tokens = [_token(lease.holder, one.name) for one in attempts if not one.id and REFUSED not in one.facts]
    found = services.ec2.describe_instances({"client-token": tokens}) if tokens else []
    return [*known_surge(lease), *(str(one["InstanceId"]) for one in found)]


def known_surge(lease: Lease) -> list[str]:
    """The surge instances as far as the lease tells."""
    return [attempt.id for attempt in _attempts(lease) if attempt.id]


def count_surge(lease: Lease, group: Group) -> int:
    """How many surge instances the group has now."""
    return len(_present(known_surge(lease), group))


def wanted_without_surge(lease: Lease, group: Group, out: int) -> int:
    """How many members the group would want now without the roll, of which so many are out."""
    count = count_surge(lease, group)
    wanted = group.desired + out - count
    # The group may have put another in the place of a surge instance that is gone: that one is not wanted for itself.
    return wanted if count == len(known_surge(lease)) else min(wanted, int(lease.journal["desired"]))


def _present(surge: Sequence[str], group: Group) -> list[str]:
    members = [group.find(instance_id) for instance_id in surge]
    return [member.instance_id for member in members if member is not None and not member.is_leaving]


def judge(lease: Lease, group: Group, instance_id: str, surge: Sequence[str], serving: set[str] | None) -> SurgeMove:
    """What is to become of one of the surge instances, `surge`: without it, as many as are wanted have to serve."""
    present = _present(surge, group)
    if instance_id not in present:
        return _judge_gone(lease, group, instance_id)
    held = members_out(lease, group)
    wanted = group.desired + len(held) - len(present)
    left = sum(
        member.lifecycle == IN_SERVICE and member.is_healthy and (serving is None or member.instance_id in serving)
        for member in group.members
        if member.instance_id != instance_id
    )
    if left < wanted and held:
        return SurgeMove("keep", say("surge.stays.held", machine=instance_id, members=held))
    if left < wanted:
        return SurgeMove("wait", say("surge.stays.needed", machine=instance_id, left=left, wanted=wanted))
    if group.desired <= group.min:
        return SurgeMove("keep", say("surge.stays.min", machine=instance_id, min=group.min))
    return SurgeMove("remove")


def _judge_gone(lease: Lease, group: Group, instance_id: str) -> SurgeMove:
    ours = {intents.surge_removal(instance_id), intents.give_back_removal(instance_id)} & set(lease.intents)
    if ours or group.desired <= int(lease.journal["desired"]):
        return SurgeMove("over")
    return SurgeMove(
        "keep",
        say("surge.gone", machine=instance_id, wanted=group.desired, before=lease.journal["desired"]),
    )


def _unprotect(autoscaling: AutoScaling, lease: Lease, group: Group, instance_id: str) -> None:
    """Let a group treat an instance that stays as any other."""
    member = group.find(instance_id)
    if member is None or member.is_leaving or intents.protection(instance_id) not in lease.intents:
        return
    if member.is_protected:
        autoscaling.set_protection(group.name, instance_id, protected=False)


def let_member_return(services: Services, holder: Holder, lease: Lease, group: Group) -> None:
    """Raise max by one where the group has grown to it meanwhile: a member leaves standby only below max."""
    _raise_max(services, holder, lease, group, group.desired + 1)


def make_room_for_return(services: Services, lease: Lease, group: Group) -> None:
    """As `let_member_return`, when the roll is over."""
    to = group.desired + 1
    if to > group.max and hold_of(services, lease).claim_giving_back(
        intents.raised_max(to), **{"from": group.max, "to": to}
    ):
        services.autoscaling.set_max(group.name, to)


def undo_max(services: Services, lease: Lease, group: Group) -> list[str]:
    """Max as it was, unless somebody else has changed it. Returns what could not be undone."""
    raises = [intent.facts for name, intent in lease.intents.items() if intents.kind_of(name) == intents.RAISED_MAX]
    if not raises:
        return []
    before = min(int(facts["from"]) for facts in raises)
    if group.max in {int(facts["to"]) for facts in raises}:
        # A max below the desired capacity would terminate members.
        size = max(before, group.desired)
        services.autoscaling.set_max(group.name, size)
        return [say("group.max_not_back", size=size, before=before, wanted=group.desired)] if size != before else []
    return [] if group.max == before else [say("group.max_of_others", size=group.max)]


def describe_surge(lease: Lease) -> list[str]:
    """What people should know of the surge instances, a phrase each."""
    phrases = []
    if lease.journal.get("notSurged"):
        phrases.append(say("surge.not_first", reason=lease.journal["notSurged"]))
    if intents.SURGE_FALLBACK in lease.intents:
        phrases.append(say("surge.went_without", reason=lease.intents[intents.SURGE_FALLBACK].facts["why"]))
    kept = {
        intents.member_of(name): intent
        for name, intent in lease.intents.items()
        if intents.kind_of(name) == intents.KEPT_SURGE
    }
    return [
        *phrases,
        *(str(kept[one].facts["why"]) for one in sorted(kept) if intents.give_back_removal(one) not in lease.intents),
    ]
