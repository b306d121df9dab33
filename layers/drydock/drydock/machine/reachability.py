"""Reachable: running, status checks passed, and an agent that called in since the last start or reboot."""

from __future__ import annotations

from datetime import datetime

from drydock.aws.services import Services
from drydock.aws.ssm import Agent
from drydock.errors import AgentNotReadyError, AgentUnreachableError, InstanceStoppedError, InstanceTerminatedError
from drydock.machine.power import GONE
from drydock.request.policy import deadline_of
from drydock.request.step import Step
from drydock.times import from_text


def what_is_missing(state: str, passes_checks: bool, agent: Agent | None, ping_after: datetime | None) -> str | None:
    """What an instance lacks to be reachable, or None."""
    if state != "running":
        return f"it is {state}"
    if not passes_checks:
        return "its status checks have not passed"
    if agent is None:
        return (
            "Systems Manager does not know it: check the SSM Agent, the instance profile "
            "(AmazonSSMManagedInstanceCore) and the route to Systems Manager"
        )
    if not agent.online:
        return f"its SSM Agent is not online (last ping {agent.last_ping:%Y-%m-%d %H:%M:%S} UTC)"
    if ping_after is not None and agent.last_ping <= ping_after:
        return f"its SSM Agent has not called in since {ping_after:%Y-%m-%d %H:%M:%S} UTC"
    return None


def require_reachable(services: Services, step: Step) -> None:
    """Raises AgentNotReadyError while the instance is not reachable, AgentUnreachableError at the deadline,
    InstanceStoppedError and InstanceTerminatedError when somebody took it away."""
    state, passes_checks = services.ec2.look_at_status(step.instance_id)
    if state in GONE:
        raise InstanceTerminatedError(f"{step.instance_id}: was terminated while Drydock waited for it")
    if state in ("stopping", "stopped"):
        raise InstanceStoppedError(f"{step.instance_id}: was stopped by somebody else")
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
        raise AgentUnreachableError(f"{step.instance_id}: not reachable at the deadline: {missing}")
    raise AgentNotReadyError(f"{step.instance_id}: {missing}")
