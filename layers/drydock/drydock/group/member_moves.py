"""Where a member goes whose work is over: back into service, held in standby, or replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from drydock.aws.services import Services
from drydock.errors import HealthCheckFailedError, InstanceNotFoundError
from drydock.records import intents
from drydock.records.leases import Lease
from drydock.records.results import Work
from drydock.run.running import find_result_of
from drydock.subject import Instance

Move = Literal["exit", "hold", "replace"]

_CHANGES = (intents.FINISH_INSTALL_BEFORE, intents.INSTALL, intents.FINISH_INSTALL, intents.UPDATE)
"""The intents by which something is installed, or comes to run."""


def decide_move(services: Services, lease: Lease, instance_id: str, ended: Mapping[str, Any], execution: str) -> Move:
    """By the policy, and by what is known of a member after its `execution`, which is over and has released it."""
    if ended["outcome"] != "failed":
        return "exit"
    wanted: Literal["return", "hold", "replace"] = lease.journal["onMemberFailure"]
    if wanted != "return":
        return wanted
    if ended["error"] == HealthCheckFailedError.__name__ or not _is_well(services, instance_id):
        return "replace"
    result = find_result_of(services, Instance(instance_id), execution) if lease.journal["healthProbe"] else None
    return (
        "exit" if not lease.journal["healthProbe"] or is_health_proved(result.work if result else None) else "replace"
    )


def is_health_proved(work: Work | None) -> bool:
    """Whether the health probe succeeded after the last change of a machine, or nothing was changed."""
    if work is None or work.findings is None:
        return False
    if not any(intents.kind_of(name) in _CHANGES for name in work.times):
        return True
    succeeded = {command["commandId"] for command in work.findings.commands if command["status"] == "Success"}
    passed = {command["step"] for command in work.commands if command["commandId"] in succeeded}
    return intents.health_probe("Patching") in passed


def _is_well(services: Services, instance_id: str) -> bool:
    """Whether a member that was not patched well may serve all the same: running, checks passed, agent online."""
    try:
        state, passes_checks = services.ec2.look_at_status(instance_id)
    except InstanceNotFoundError:
        return False
    agent = services.ssm.find_agent(instance_id)
    return state == "running" and passes_checks and agent is not None and agent.online
