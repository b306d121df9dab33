"""Settling: no power changes while a command of Drydock may still be at work on the machine.

A status is no proof where it says that an installation was cut short: CancelCommand guarantees nothing about the
process, and the time-out of an agent need not reach what its script has started, on Windows above all. Then the
machine itself is asked, by the stack's Probe document, and only its answer settles it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from drydock.aws.ec2 import state_of
from drydock.aws.services import Services
from drydock.aws.ssm import Agent, Invocation
from drydock.catalogue.saying import say
from drydock.errors import (
    AwsCallFailedError,
    CommandNotDeliveredError,
    CommandNotReadyError,
    CommandsNotSettledError,
    DocumentError,
    ProbeFailedError,
)
from drydock.log import logger
from drydock.machine.commands import Command, begin_command, find_sent_command, read_probe, send_again
from drydock.machine.power import GONE
from drydock.records import intents
from drydock.records.leases import REFUSED, Hold, Intent, Lease, find_lease
from drydock.records.waits import Wait, Work
from drydock.records.work_names import name_work
from drydock.request.step import Step
from drydock.subject import Instance
from drydock.times import from_text, to_text

SETTLE_LIMIT = timedelta(hours=4)
"""Longer than commands of AWS's own documents live. What lives longer is left to give_back."""

PROOF = "proof"
"""The purpose of a probe that asks whether anything installs still."""

_INSTALLS = ("install", "update")
"""The purposes of commands that may install."""

_AT_REST = ("stopped", *GONE)
"""Nothing runs on the machine, or nobody can keep EC2 any more from ending what does."""

_CHANGING = ("pending", "stopping")

_NOT_SENT = (AwsCallFailedError, CommandNotDeliveredError, DocumentError)

_STARTED_BEFORE = timedelta(seconds=60)
"""The machine's clock runs by its own rate; what our command has begun must not fall out of the time asked about."""


@dataclass(frozen=True)
class CommandAtWork:
    """A command that is not over by its status, and the intent for which it was sent."""

    intent: str
    command_id: str
    is_undelivered: bool
    """It has not begun: it can be cancelled."""

    def __str__(self) -> str:
        return say("settling.command", step=name_work(self.intent), id=self.command_id)


@dataclass(frozen=True)
class Ending:
    """How far a command is. `unproved`: its status says that it is over, which proves nothing."""

    intent: str
    command_id: str
    sent: datetime
    state: Literal["at_work", "undelivered", "unproved", "over"]
    expired: datetime | None = None
    """When Systems Manager gave it up without knowing its end."""


@dataclass(frozen=True)
class Answer:
    """What came of the last probe that asked whether anything installs."""

    asked: datetime
    installing: bool
    """True also where that could not be told."""
    said: str


@dataclass(frozen=True)
class Settlement:
    """What may still be at work, or go on behind the end of its command; all empty once the machine is settled."""

    at_work: tuple[CommandAtWork, ...] = ()
    silent_since: datetime | None = None
    """A command has expired then, and its agent gave no sign since."""
    unproved: tuple[Ending, ...] = ()
    """Installations that are over by their status only."""
    said: str = ""
    """What the last probe said of them; empty when none has asked."""
    is_agent_online: bool = True
    changing: str = ""
    """The power state of a machine that is neither at rest nor running."""

    @property
    def is_settled(self) -> bool:
        """Whether no command is at work, or may go on behind its end. It does not look at a change of power."""
        return not self.at_work and self.silent_since is None and not self.unproved

    @property
    def is_to_be_asked(self) -> bool:
        """Whether a probe could settle it now. One is at work at a time."""
        return bool(
            self.unproved
            and not self.at_work
            and self.silent_since is None
            and self.is_agent_online
            and not self.changing
        )

    def __str__(self) -> str:
        parts = [say("settling.at_work", commands=[str(work) for work in self.at_work])] if self.at_work else []
        if self.unproved:
            cut = [
                say("settling.command", step=name_work(ending.intent), id=ending.command_id) for ending in self.unproved
            ]
            parts.append(say("settling.cut_short", commands=cut, said=self.said or say("proof.not_sent_yet")))
            parts += [] if self.is_agent_online else [say("settling.agent_offline")]
        if self.silent_since:
            parts.append(say("settling.agent_silent", since=self.silent_since.astimezone(UTC)))
        if self.changing:
            parts.append(say("settling.changing", state=self.changing))
        return "; ".join(parts)


def judge(endings: Sequence[Ending], answer: Answer | None, agent: Agent | None, power: str) -> Settlement:
    """What is not settled yet.

    A probe is sent only while nothing is at work: one that was sent later than a command has begun after its end.
    """
    proved_until = answer.asked if answer is not None and not answer.installing else None
    unproved = tuple(
        ending
        for ending in endings
        if ending.state == "unproved" and (proved_until is None or ending.sent > proved_until)
    )
    expired = [
        ending.expired for ending in endings if ending.expired and (ending.state != "unproved" or ending in unproved)
    ]
    silent_since = max(expired, default=None)
    if silent_since and agent is not None and agent.online and agent.last_ping > silent_since:
        silent_since = None
    settlement = Settlement(
        at_work=tuple(
            CommandAtWork(ending.intent, ending.command_id, ending.state == "undelivered")
            for ending in endings
            if ending.state in ("at_work", "undelivered")
        ),
        silent_since=silent_since,
        unproved=unproved,
        said=answer.said if answer is not None and unproved else "",
        is_agent_online=agent is not None and agent.online,
        changing=power if power in _CHANGING else "",
    )
    return Settlement() if settlement.is_settled else settlement


def look_at_commands(services: Services, lease: Lease) -> Settlement:
    """What of the lease's commands may still be at work on the instance.

    Nothing is on a machine that is stopped, terminated or shutting down. One that is pending or stopping may have to
    finish what was begun: only the ends of its commands settle it.
    """
    commands, proof = _commands_of(lease), _newest_proof(lease)
    if not commands:
        return Settlement()
    power = state_of(services.ec2.describe_instance(lease.instance_id))
    if power in _AT_REST:
        return Settlement()
    looks = [_look_at_one(services, lease, intent) for intent in (*commands, *([proof] if proof else []))]
    endings = [ending for ending, _ in looks if ending is not None]
    is_agent_needed = any(ending.expired or ending.state == "unproved" for ending in endings)
    agent = services.ssm.find_agent(lease.instance_id) if is_agent_needed else None
    return judge(endings, _answer_of(proof, looks[-1][1]) if proof else None, agent, power)


def _commands_of(lease: Lease) -> list[Intent]:
    return [intent for intent in lease.intents.values() if intent.facts.get("purpose", PROOF) != PROOF]


def _proofs_of(lease: Lease) -> list[Intent]:
    return [intent for intent in lease.intents.values() if intent.facts.get("purpose") == PROOF]


def _newest_proof(lease: Lease) -> Intent | None:
    """The last of the probes: those before it were over when it was sent."""
    return max(_proofs_of(lease), key=lambda intent: intent.at, default=None)


def _look_at_one(services: Services, lease: Lease, intent: Intent) -> tuple[Ending | None, Invocation | None]:
    """None for a command that was never sent."""
    command_id, expires_text = intent.id, str(intent.facts.get("expiresAt", ""))
    if not command_id:
        try:
            sent = find_sent_command(services, lease.instance_id, intent)
        except CommandNotReadyError:
            return Ending(intent.name, say("settling.not_seen"), intent.at, "at_work"), None
        if sent is None:
            return None, None
        command_id, expires_text = sent[0], to_text(sent[1])
    expires = from_text(expires_text)
    invocation = services.ssm.find_invocation(lease.instance_id, command_id, str(lease.journal.get("platform", "")))
    return judge_end(intent, command_id, invocation, expires, services.now()), invocation


def judge_end(
    intent: Intent, command_id: str, invocation: Invocation | None, expires: datetime, now: datetime
) -> Ending:
    """How far a command is, by its invocation and by the time at which it expires."""
    may_install, has_expired = intent.facts["purpose"] in _INSTALLS, now >= expires
    state: Literal["at_work", "undelivered", "unproved", "over"] = "at_work"
    expired = None
    if invocation is not None and invocation.is_over and not (invocation.gave_up and has_expired):
        state = "unproved" if may_install and invocation.was_cut_short else "over"
    elif has_expired:
        # What SSM itself gave up at its expiry may have begun: only the agent can tell that it is over.
        state, expired = "unproved" if may_install else "over", expires
    elif invocation is not None and invocation.is_undelivered and intent.facts["purpose"] != PROOF:
        state = "undelivered"
    return Ending(intent.name, command_id, intent.at, state, expired)


def _answer_of(proof: Intent, invocation: Invocation | None) -> Answer:
    """A probe that failed, or has not answered, has proved nothing."""
    if REFUSED in proof.facts:
        return Answer(proof.at, True, say("proof.not_sent", reason=proof.facts[REFUSED]))
    if invocation is None or not invocation.is_over:
        return Answer(proof.at, True, say("proof.not_answered"))
    try:
        probed = read_probe(say("proof.command"), invocation)
    except ProbeFailedError as error:
        return Answer(proof.at, True, str(error))
    return Answer(proof.at, probed["installing"], probed["installer"])


def _probe(services: Services, lease: Lease, name: str) -> Command:
    """The probe that looks for what the lease's installations may have left at work."""
    installs = [intent for intent in _commands_of(lease) if intent.facts["purpose"] in _INSTALLS]
    since = services.now() - min(intent.at for intent in installs) + _STARTED_BEFORE
    return Command(
        intent=name,
        purpose=PROOF,
        document=services.environment.probe_document,
        parameters={
            "CommandIds": ",".join(intent.id for intent in installs if intent.id),
            "SecondsSince": str(int(since.total_seconds())),
        },
    )


def begin_settling(services: Services, step: Step) -> Work:
    """Cancel what has not begun yet, and ask the machine where only that settles it. Raises LeaseLostError."""
    claim = Hold.of(services, step.holder, step.subject).claim_or_find(intents.SETTLE)
    settlement = look_at_commands(services, claim.lease)
    for work in settlement.at_work:
        if work.is_undelivered:
            Hold.of(services, step.holder, step.subject).claim_or_find(intents.cancellation(work.intent))
            services.ssm.cancel_command(step.instance_id, work.command_id)
    has_time = services.now() < step.entered + SETTLE_LIMIT
    asked = _begin_proof(services, step, claim.lease) if settlement.is_to_be_asked and has_time else None
    # An execution may settle twice; each time counts anew.
    return Work(
        kind="settled",
        begun=step.entered,
        may_be_over=True,
        intent=asked.intent if asked else "",
        answer=asked.answer if asked else {},
    )


def _begin_proof(services: Services, step: Step, lease: Lease) -> Work | None:
    """Send the next probe, or that which a function that died has announced. None when it could not be sent."""
    newest = _newest_proof(lease)
    name = newest.name if newest is not None and not newest.id else intents.proof(len(_proofs_of(lease)) + 1)
    try:
        return begin_command(services, step, _probe(services, lease, name))
    except _NOT_SENT as error:
        # It is noted in the lease, and asked for again at the next entry.
        logger.warning("no probe", instance=step.instance_id, error=str(error))
        return None


def ask_while_given_back(services: Services, lease: Lease) -> None:
    """As `begin_settling` does, in a pass of `give_back`; a later pass reads the answer."""
    standing = lease.intents.get(intents.GIVE_BACK_PROOF)
    number = int(standing.facts["number"]) + 1 if standing is not None else 1
    try:
        send_again(services, lease, _probe(services, lease, intents.GIVE_BACK_PROOF), number)
    except _NOT_SENT as error:
        logger.warning("no probe", instance=lease.instance_id, error=str(error))


def look_at_settled_commands(services: Services, wait: Wait) -> Mapping[str, Any] | None:
    """Raises CommandsNotSettledError."""
    lease = find_lease(services.table, Instance(wait.instance_id))
    settlement = look_at_commands(services, lease) if lease else Settlement()
    if settlement.is_settled:
        return {}
    if services.now() >= wait.deadline:
        raise CommandsNotSettledError(say("settling.deadline", machine=wait.instance_id, hindrance=str(settlement)))
    return None
