"""Starting an instance that was stopped, and stopping it again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from drydock.aws.ec2 import Instance, state_of
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import InstanceStartFailedError, InstanceTerminatedError, StartTimedOutError, StopTimedOutError
from drydock.records import intents
from drydock.records.leases import Hold, Lease
from drydock.records.waits import Wait, Work
from drydock.request.step import Step
from drydock.times import from_text, to_text

GONE = ("shutting-down", "terminated")
_SETTLES = timedelta(seconds=30)
"""DescribeInstances may show the state of before for a while (EC2 is eventually consistent)."""


def is_gone(instance: Instance) -> bool:
    """Whether EC2 terminates the instance, or has: it will never run again."""
    return state_of(instance) in GONE


def was_started_here(lease: Lease) -> bool:
    """Whether the machine runs because of this lease. A start whose answer was lost counts as one."""
    start = lease.intents.get(intents.START)
    return start is not None and start.facts.get("before", "stopped") in ("stopping", "stopped")


def begin_start(services: Services, step: Step) -> Work:
    """Start the instance, unless somebody else has. Starting one that is running changes nothing.

    Raises LeaseLostError, InstanceStartFailedError.
    """
    claim = Hold.of(services, step.holder, step.subject).claim(intents.START)
    answer = {}
    if not claim.intent.id:
        # Carried on, the start of before may have had its effect: then the state tells nothing.
        before = state_of(services.ec2.describe_instance(step.instance_id)) if claim.is_new else "stopped"
        services.ec2.start(step.instance_id)
        answer = {"id": "called", "before": before}
    return Work(
        kind="start",
        begun=claim.intent.at,
        may_be_over=True,
        facts={"calledAt": to_text(claim.intent.at)},
        intent=intents.START,
        answer=answer,
    )


def look_at_start(services: Services, wait: Wait) -> Mapping[str, Any] | None:
    """Raises InstanceStartFailedError, InstanceTerminatedError, StartTimedOutError."""
    instance = services.ec2.describe_instance(wait.instance_id)
    state, now = state_of(instance), services.now()
    if state == "running":
        return {"startedAt": to_text(instance["LaunchTime"])}
    if is_gone(instance):
        raise InstanceTerminatedError(say("start.terminated", machine=wait.instance_id))
    called_at = from_text(wait.facts["calledAt"])
    has_launched = instance["LaunchTime"] >= called_at - timedelta(seconds=2)
    if state == "stopped" and (has_launched or now - called_at > _SETTLES):
        raise _fell_back(instance)
    if now >= wait.deadline:
        raise StartTimedOutError(say("power.late", machine=wait.instance_id, state=state))
    return None


def _fell_back(instance: Instance) -> InstanceStartFailedError:
    reason = instance.get("StateReason", {})
    said = f"{reason.get('Code', '')}: {reason.get('Message', '')}".strip(": ")
    return InstanceStartFailedError(
        say(
            "start.fell_back.kms" if "InternalError" in said else "start.fell_back",
            machine=instance["InstanceId"],
            reason=said or say("start.no_reason"),
        )
    )


def begin_stop(services: Services, step: Step) -> Work:
    """Stop the instance if this execution has started it. Stopping one that is stopped changes nothing.

    Raises LeaseLostError, PowerNotRestoredError.
    """
    claim = Hold.of(services, step.holder, step.subject).claim(intents.STOP)
    is_ours = was_started_here(claim.lease)
    answer = {}
    if not claim.intent.id:
        state = state_of(services.ec2.describe_instance(step.instance_id)) if is_ours else ""
        if state == "running":
            services.ec2.stop(step.instance_id)
        # EC2 refuses to stop what is pending: the next entry into the state tries again.
        answer = {} if state == "pending" else {"id": "called"}
    return Work(
        kind="stop",
        begun=claim.intent.at,
        may_be_over=True,
        facts={"isOurs": is_ours},
        intent=intents.STOP,
        answer=answer,
    )


def look_at_stop(services: Services, wait: Wait) -> Mapping[str, Any] | None:
    """Raises StopTimedOutError."""
    instance = services.ec2.describe_instance(wait.instance_id)
    state = state_of(instance)
    if state == "stopped" or is_gone(instance) or not wait.facts["isOurs"]:
        return {"power": state}
    if services.now() >= wait.deadline:
        raise StopTimedOutError(say("power.late", machine=wait.instance_id, state=state))
    return None
