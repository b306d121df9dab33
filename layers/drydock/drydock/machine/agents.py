"""Agents: the SSM Agent and the CloudWatch Agent are brought to their newest versions, and the versions prove it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import AgentUpdateFailedError, AgentVersionUnknownError, DrydockError, Failure
from drydock.machine.commands import Command
from drydock.machine.patching import run_command
from drydock.records import intents
from drydock.records.results import AgentUpdate, AgentVerdict
from drydock.request.policy import CLOUDWATCH_AGENT, SSM_AGENT
from drydock.request.step import Step

_WORST_FIRST: tuple[AgentVerdict, ...] = ("failed", "unknown", "updated_reported_failed", "updated", "up_to_date")
"""Of the verdicts on several agents, the machine has the first of these."""

_NAMES = {SSM_AGENT: "SSM Agent", CLOUDWATCH_AGENT: "CloudWatch Agent"}
_PROBED = {SSM_AGENT: "agentVersion", CLOUDWATCH_AGENT: "cloudWatchAgentVersion"}
"""What the probe calls the version of an agent."""


def update_command(agent: str) -> Command:
    """The command that installs the newest version: a version that is left out is the newest one."""
    if agent == SSM_AGENT:
        return Command(intents.update(agent), "update", "AWS-UpdateSSMAgent", {"allowDowngrade": "false"})
    parameters = {"action": "Install", "installationType": "Uninstall and reinstall", "name": agent}
    return Command(intents.update(agent), "update", "AWS-ConfigureAWSPackage", parameters)


def update_agent(services: Services, step: Step) -> None:
    """Update the agent that `data.agent` names. Whether that worked is left to the versions."""
    run_command(services, step, update_command(str(step.data["agent"])), "agentSeconds")


def judge_agent(agent: str, before: str, after: str, *, succeeded: bool) -> AgentVerdict:
    """The verdict on one agent: from its versions, and from the command only where these are the same."""
    # The SSM Agent itself ran the probe before: without a version that one could not be read.
    if not after or (not before and agent == SSM_AGENT):
        return "unknown" if succeeded else "failed"
    if after != before:
        return "updated" if succeeded else "updated_reported_failed"
    return "up_to_date" if succeeded else "failed"


def verify_agents(step: Step) -> dict[str, Any]:
    """Judge the updates by the versions before and after.

    Returns verdict, failure (error and cause, or None), each agent's update, and whether the machine rebooted.
    """
    before, after = step.data["probeBefore"], step.data["probeAfter"]
    agents = [
        _look_at_update(agent, before[_PROBED[agent]], after[_PROBED[agent]], command)
        for agent, command in step.data["updates"].items()
    ]
    verdict = min((update["verdict"] for update in agents), key=_WORST_FIRST.index)
    return {
        "verdict": verdict,
        "failure": _failure_of(verdict, step.policy["failOn"], agents),
        "agents": agents,
        "rebooted": bool(after["bootId"] != before["bootId"]),
    }


def _look_at_update(agent: str, before: str, after: str, command: Mapping[str, Any]) -> AgentUpdate:
    return {
        "agent": agent,
        "name": _NAMES[agent],
        "before": before,
        "after": after,
        "verdict": judge_agent(agent, before, after, succeeded=bool(command["succeeded"])),
    }


_FAILURES: Mapping[AgentVerdict, type[DrydockError]] = {
    "failed": AgentUpdateFailedError,
    "unknown": AgentVersionUnknownError,
}


def _failure_of(verdict: AgentVerdict, fail_on: list[str], agents: list[AgentUpdate]) -> Failure | None:
    if verdict not in _FAILURES or verdict not in fail_on:
        return None
    causes = [_cause_of(update) for update in agents if update["verdict"] == verdict]
    return {"error": _FAILURES[verdict].__name__, "cause": "; ".join(causes)}


def _cause_of(update: AgentUpdate) -> str:
    if update["verdict"] == "unknown":
        return say("agent.version_unknown", agent=update["name"])
    if update["after"]:
        return say("agent.update_failed", agent=update["name"], version=update["after"])
    if update["before"]:
        return say("agent.gone", agent=update["name"], version=update["before"])
    return say("agent.not_installed", agent=update["name"])
