"""Starting an instance that was stopped, and stopping it again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from drydock.ec2 import Instance, state_of
from drydock.errors import (
    InstanceStartFailedError,
    InstanceTerminatedError,
    StartTimedOutError,
    StopTimedOutError,
)
from drydock.leases import claim_intent
from drydock.services import Services
from drydock.step import Step
from drydock.waits import Wait, Work

_CALLED = {"id": "called"}
_GONE = ("shutting-down", "terminated")
_SETTLES = timedelta(seconds=30)
"""DescribeInstances may show the state of before for a while (EC2 is eventually consistent)."""


def is_gone(instance: Instance) -> bool:
    return state_of(instance) in _GONE


def begin_start(services: Services, step: Step) -> Work:
    """Start the instance. Starting one that is running changes nothing.

    Raises LeaseLostError, InstanceStartFailedError.
    """
    intent = claim_intent(services.table, step.holder, step.instance_id, "start", services.now()).intent
    if not intent.id:
        services.ec2.start(step.instance_id)
    return Work(
        kind="start",
        begun=intent.at,
        may_be_over=True,
        facts={"calledAt": intent.at.isoformat()},
        intent="start",
        answer={} if intent.id else _CALLED,
    )


def look_at_start(services: Services, wait: Wait) -> Mapping[str, Any] | None:
    """Raises InstanceStartFailedError, InstanceTerminatedError, StartTimedOutError."""
    instance = services.ec2.describe_instance(wait.instance_id)
    state, now = state_of(instance), services.now()
    if state == "running":
        return {"startedAt": instance["LaunchTime"].isoformat()}
    if is_gone(instance):
        raise InstanceTerminatedError(f"{wait.instance_id}: was terminated while it started")
    if state in ("stopped", "stopping") and now - datetime.fromisoformat(wait.facts["calledAt"]) > _SETTLES:
        raise InstanceStartFailedError(f"{wait.instance_id}: {_why_it_fell_back(instance)}")
    if now >= wait.deadline:
        raise StartTimedOutError(f"{wait.instance_id}: is still {state} at the deadline")
    return None


def _why_it_fell_back(instance: Instance) -> str:
    reason = instance.get("StateReason", {})
    said = f"{reason.get('Code', '')}: {reason.get('Message', '')}".strip(": ")
    advice = (
        "; if its volumes are encrypted, the role of start_instance needs kms:CreateGrant on their KMS keys"
        if "InternalError" in said
        else ""
    )
    return f"fell back to stopped after the start ({said or 'no reason given'}){advice}"


def begin_stop(services: Services, step: Step) -> Work:
    """Stop the instance. Stopping one that is stopped changes nothing.

    Raises LeaseLostError, PowerNotRestoredError.
    """
    intent = claim_intent(services.table, step.holder, step.instance_id, "stop", services.now()).intent
    if not intent.id and state_of(services.ec2.describe_instance(step.instance_id)) in ("pending", "running"):
        services.ec2.stop(step.instance_id)
    return Work(kind="stop", begun=intent.at, may_be_over=True, intent="stop", answer={} if intent.id else _CALLED)


def look_at_stop(services: Services, wait: Wait) -> Mapping[str, Any] | None:
    """Raises StopTimedOutError."""
    instance = services.ec2.describe_instance(wait.instance_id)
    state = state_of(instance)
    if state == "stopped" or is_gone(instance):
        return {"power": state}
    if services.now() >= wait.deadline:
        raise StopTimedOutError(f"{wait.instance_id}: is still {state} at the deadline")
    return None
