"""Settling: no power changes while a command of Drydock may still be at work on the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drydock.aws.ec2 import state_of
from drydock.aws.services import Services
from drydock.errors import CommandNotReadyError, CommandsNotSettledError
from drydock.machine.commands import find_sent_command
from drydock.records import intents
from drydock.records.leases import Intent, Lease, claim_or_find_intent, find_lease
from drydock.records.waits import Wait, Work
from drydock.request.step import Step
from drydock.subject import Instance
from drydock.times import from_text, to_text

SETTLE_LIMIT = timedelta(hours=4)
"""Longer than commands of AWS's own documents live. What lives longer is left to give_back."""


@dataclass(frozen=True)
class CommandAtWork:
    intent: str
    command_id: str
    is_undelivered: bool


@dataclass(frozen=True)
class Settlement:
    """What may still be at work: commands, or an agent whose last command expired and which gave no sign since."""

    at_work: tuple[CommandAtWork, ...]
    silent_since: datetime | None

    @property
    def is_settled(self) -> bool:
        return not self.at_work and self.silent_since is None

    def __str__(self) -> str:
        if self.at_work:
            return ", ".join(f"{work.intent} (command {work.command_id})" for work in self.at_work)
        return f"the agent is silent since {self.silent_since}" if self.silent_since else "nothing"


def _commands_of(lease: Lease) -> list[Intent]:
    return [intent for intent in lease.intents.values() if "purpose" in intent.facts]


def look_at_commands(services: Services, lease: Lease) -> Settlement:
    """What of the lease's commands may still be at work on the instance."""
    commands = _commands_of(lease)
    if not commands or state_of(services.ec2.describe_instance(lease.instance_id)) != "running":
        return Settlement((), None)
    at_work, expired = [], []
    for intent in commands:
        work, expired_at = _look_at_one(services, lease, intent)
        at_work += [work] if work else []
        expired += [expired_at] if expired_at else []
    silent_since = max(expired, default=None)
    if silent_since:
        agent = services.ssm.find_agent(lease.instance_id)
        if agent and agent.online and agent.last_ping > silent_since:
            silent_since = None
    return Settlement(tuple(at_work), silent_since)


def _look_at_one(services: Services, lease: Lease, intent: Intent) -> tuple[CommandAtWork | None, datetime | None]:
    command_id, expires_text = intent.id, str(intent.facts.get("expiresAt", ""))
    if not command_id:
        try:
            sent = find_sent_command(services, lease.instance_id, intent)
        except CommandNotReadyError:
            return CommandAtWork(intent.name, "not seen yet", False), None
        if sent is None:
            return None, None
        command_id, expires_text = sent[0], to_text(sent[1])
    expires = from_text(expires_text)
    has_expired = services.now() >= expires
    invocation = services.ssm.find_invocation(lease.instance_id, command_id, str(lease.journal.get("platform", "")))
    if invocation is not None and invocation.is_over and not (invocation.gave_up and has_expired):
        return None, None
    # What SSM itself gave up at its expiry may have begun: only the agent can tell that it is over.
    if has_expired:
        return None, expires
    return CommandAtWork(intent.name, command_id, bool(invocation and invocation.is_undelivered)), None


def begin_settling(services: Services, step: Step) -> Work:
    """Cancel what has not begun yet. Raises LeaseLostError."""
    claim = claim_or_find_intent(services.table, step.holder, step.subject, intents.SETTLE, services.now())
    for work in look_at_commands(services, claim.lease).at_work:
        if work.is_undelivered:
            claim_or_find_intent(
                services.table, step.holder, step.subject, intents.cancellation(work.intent), services.now()
            )
            services.ssm.cancel_command(step.instance_id, work.command_id)
    # An execution may settle twice; each time counts anew.
    return Work(kind="settled", begun=step.entered, may_be_over=True)


def look_at_settled_commands(services: Services, wait: Wait) -> Mapping[str, Any] | None:
    """Raises CommandsNotSettledError."""
    lease = find_lease(services.table, Instance(wait.instance_id))
    settlement = look_at_commands(services, lease) if lease else Settlement((), None)
    if settlement.is_settled:
        return {}
    if services.now() >= wait.deadline:
        raise CommandsNotSettledError(
            f"{wait.instance_id}: still at work at the deadline: {settlement}; the machine is left running"
        )
    return None
