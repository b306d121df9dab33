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
from drydock.leases import claim_intent, record_intent
from drydock.services import Services
from drydock.step import Step
from drydock.waits import Wait

_GONE = ("shutting-down", "terminated")
_SETTLES = timedelta(seconds=30)
"""DescribeInstances may show the state of before for a while (EC2 is eventually consistent)."""


def is_gone(instance: Instance) -> bool:
    return state_of(instance) in _GONE


def begin_start(services: Services, step: Step) -> Mapping[str, Any]:
    """Start the instance; returns the facts of its wait. Starting one that is running changes nothing.

    Raises LeaseLostError, InstanceStartFailedError.
    """
    intent, _ = claim_intent(services.table, step.holder, step.instance_id, "start", services.now())
    if not intent.id:
        services.ec2.start(step.instance_id)
        record_intent(services.table, step.holder, step.instance_id, "start", "called")
    return {"calledAt": intent.at.isoformat()}


def look_at_start(services: Services, wait: Wait, doubt: bool) -> Mapping[str, Any] | None:
    """Raises InstanceStartFailedError, InstanceTerminatedError, StartTimedOutError."""
    del doubt
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


def begin_stop(services: Services, step: Step) -> datetime:
    """Stop the instance; returns when that was begun. Stopping one that is stopped changes nothing.

    Raises LeaseLostError, PowerNotRestoredError.
    """
    intent, _ = claim_intent(services.table, step.holder, step.instance_id, "stop", services.now())
    if not intent.id:
        if state_of(services.ec2.describe_instance(step.instance_id)) in ("pending", "running"):
            services.ec2.stop(step.instance_id)
        record_intent(services.table, step.holder, step.instance_id, "stop", "called")
    return intent.at


def look_at_stop(services: Services, wait: Wait, doubt: bool) -> Mapping[str, Any] | None:
    """Raises StopTimedOutError."""
    del doubt
    instance = services.ec2.describe_instance(wait.instance_id)
    state = state_of(instance)
    if state == "stopped" or is_gone(instance):
        return {"power": state}
    if services.now() >= wait.deadline:
        raise StopTimedOutError(f"{wait.instance_id}: is still {state} at the deadline")
    return None
