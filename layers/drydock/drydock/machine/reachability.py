"""Reachable: running, status checks passed, and an agent that called in since the last start or reboot."""

from __future__ import annotations

from datetime import datetime

from drydock.aws.services import Services
from drydock.aws.ssm import Agent
from drydock.catalogue.saying import say
from drydock.errors import AgentNotReadyError, AgentUnreachableError, InstanceStoppedError, InstanceTerminatedError
from drydock.machine.power import GONE
from drydock.request.policy import deadline_of
from drydock.request.step import Step
from drydock.times import from_text


def what_is_missing(state: str, passes_checks: bool, agent: Agent | None, ping_after: datetime | None) -> str | None:
    """What an instance lacks to be reachable, or None."""
    if state != "running":
        return say("machine.is_in_state", state=state)
    if not passes_checks:
        return say("agent.status_checks")
    if agent is None:
        return say("agent.unknown")
    if not agent.online:
        return say("agent.offline", ping=agent.last_ping)
    if ping_after is not None and agent.last_ping <= ping_after:
        return say("agent.silent", since=ping_after)
    return None


def require_reachable(services: Services, step: Step) -> None:
    """Raises AgentNotReadyError while the instance is not reachable, AgentUnreachableError at the deadline,
    InstanceStoppedError and InstanceTerminatedError when somebody took it away."""
    state, passes_checks = services.ec2.look_at_status(step.instance_id)
    if state in GONE:
        raise InstanceTerminatedError(say("wait.machine_terminated", machine=step.instance_id))
    if state in ("stopping", "stopped"):
        raise InstanceStoppedError(say("wait.machine_stopped", machine=step.instance_id))
    ping_after = step.data.get("pingAfter")
    missing = what_is_missing(
        state,
        passes_checks,
        services.ssm.find_agent(step.instance_id) if passes_checks else None,
        from_text(ping_after) if ping_after else None,
    )
    if missing is None:
        return
    deadline = step.entered + deadline_of(step.policy, "startSeconds")
    if services.now() >= deadline:
        raise AgentUnreachableError(say("machine.not_reachable", machine=step.instance_id, reason=missing))
    raise AgentNotReadyError(f"{step.instance_id}: {missing}")
