"""Commands: sent once, known again by their comment, and judged by their invocation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from drydock.aws.ec2 import state_of
from drydock.aws.services import Services
from drydock.aws.ssm import Invocation
from drydock.catalogue.saying import say
from drydock.documents import PinnedDocument
from drydock.errors import (
    AwsCallFailedError,
    CommandCancelledError,
    CommandNotDeliveredError,
    CommandNotReadyError,
    CommandTimedOutError,
    DocumentError,
    DrydockError,
    HealthCheckFailedError,
    HookFailedError,
    InstanceStoppedError,
    InstanceTerminatedError,
    PatchingNotReadyError,
    ProbeFailedError,
    ServiceUnavailableError,
)
from drydock.machine.error_output import ERROR_MARK, error_lines
from drydock.machine.power import is_gone
from drydock.machine.reboots import NEEDS
from drydock.records import intents
from drydock.records.holder import Holder
from drydock.records.leases import (
    FUNCTION_LIFETIME,
    REFUSED,
    Claim,
    Hold,
    Intent,
    Lease,
    hold_of,
)
from drydock.records.waits import Wait, Work
from drydock.records.work_names import name_work
from drydock.request.policy import RUN_PATCH_BASELINE
from drydock.request.step import Step
from drydock.subject import Instance
from drydock.times import from_text, to_text

_SEEN_AFTER = max(timedelta(minutes=2), FUNCTION_LIFETIME)
"""A command that ListCommands does not show by then was never sent."""

_MOST_COMMENT = 100

_LOCKED = "Cannot acquire lock on"
"""What AWS-RunPatchBaseline says on Linux and on Windows when another run of it is at work: it has done nothing then.

"Troubleshooting Patch Manager" in the Systems Manager User Guide says that two runs within two minutes may conflict.
"""

"""Run Command puts what a script wrote to its standard error behind this line."""


@dataclass(frozen=True)
class Command:
    """A command to send. `purpose` says how its end is read, `intent` names it within the execution."""

    intent: str
    purpose: str
    document: str
    parameters: Mapping[str, str]
    facts: Mapping[str, str] = field(default_factory=dict)
    pinned: PinnedDocument | None = None
    """The version and content to send; None for one that nobody has pinned."""


def _comment(services: Services, state: str, mark: str) -> str:
    return f"{services.environment.stack}: {state}"[: _MOST_COMMENT - len(mark) - 1] + " " + mark


def _log_prefix(stack: str, instance_id: str, holder: Holder) -> str:
    return f"{stack}/{instance_id}/{holder.name}"


def _facts_of(command: Command, comment: str) -> dict[str, Any]:
    """What the intent of a command says of it."""
    return {
        "document": command.document,
        "parameters": dict(command.parameters),
        "comment": comment,
        "purpose": command.purpose,
        "kept": dict(command.facts),
    }


def log_key(stack: str, instance_id: str, holder: Holder, command_id: str) -> str:
    """Where in the log bucket Run Command puts the output of a command on an instance."""
    return f"{_log_prefix(stack, instance_id, holder)}/{command_id}/{instance_id}/"


def begin_command(services: Services, step: Step, command: Command) -> Work:
    """Send the command unless this execution sent it before, and it did not find another at work.

    Raises LeaseLostError, CommandNotReadyError while it cannot be told whether it was sent,
    CommandNotDeliveredError, DocumentError.
    """
    environment, now = services.environment, services.now()
    command, claim = _claim(services, step, command)
    comment, intent, command_id, answer = str(claim.intent.facts["comment"]), claim.intent, claim.intent.id, {}
    expires_at = str(intent.facts.get("expiresAt", ""))
    if not command_id:
        sent = None if claim.is_new else find_sent_command(services, step.instance_id, intent)
        if not claim.is_new and sent is None:
            intent = Hold.of(services, step.holder, step.subject).renew(intent, now)
        command_id, expires = sent or _send(services, step.holder, Instance(step.instance_id), command, comment)
        expires_at = to_text(expires)
        answer = {"id": command_id, "expiresAt": expires_at}
    return Work(
        kind="command",
        begun=intent.at,
        may_be_over=not claim.is_new,
        resource=command_id,
        facts={
            "intent": command.intent,
            "purpose": command.purpose,
            "document": command.document,
            "parameters": dict(command.parameters),
            "sentAt": to_text(intent.at),
            "expiresAt": expires_at,
            "platform": step.machine["platform"],
            "logKey": log_key(environment.stack, step.instance_id, step.holder, command_id),
            **intent.facts["kept"],
        },
        intent=command.intent,
        answer=answer,
    )


def _claim(services: Services, step: Step, command: Command) -> tuple[Command, Claim]:
    """Announce a command, or find it announced; the command with the name of its intent."""

    def claim(number: int) -> tuple[Command, Claim]:
        one = replace(command, intent=intents.again(command.intent, number))
        comment = _comment(services, step.state, step.holder.mark(one.intent))
        return one, Hold.of(services, step.holder, step.subject).claim_or_find(one.intent, **_facts_of(one, comment))

    one, first = claim(1)
    if first.is_new or command.document != RUN_PATCH_BASELINE:
        return one, first
    number = 1
    while intents.again(command.intent, number + 1) in first.lease.intents:
        number += 1
    last = first.lease.intents[intents.again(command.intent, number)]
    if not last.id:
        return claim(number)
    invocation = services.ssm.find_invocation(step.instance_id, last.id, step.machine["platform"])
    return claim(number + 1 if invocation is not None and _found_another(invocation) else number)


def _found_another(invocation: Invocation) -> bool:
    """Whether a run of AWS-RunPatchBaseline ended without doing anything, because another was at work."""
    return invocation.is_over and not invocation.succeeded and _LOCKED in invocation.output


def send_again(services: Services, lease: Lease, command: Command, number: int) -> None:
    """Send a command of `give_back`, in place of the one before it, which is over. `number` tells them apart.

    Nothing is sent while another pass may be at it. Raises CommandNotDeliveredError, DocumentError.
    """
    comment = _comment(services, "give_back", lease.holder.mark(f"{command.intent}{number}"))
    facts = {**_facts_of(command, comment), "number": number}
    if not hold_of(services, lease).claim_giving_back(command.intent, **facts):
        return
    command_id, expires = _send(services, lease.holder, Instance(lease.instance_id), command, comment)
    answer = {"id": command_id, "expiresAt": to_text(expires)}
    Hold.of(services, lease.holder, lease.subject).record(command.intent, answer)


def _send(
    services: Services, holder: Holder, instance: Instance, command: Command, comment: str
) -> tuple[str, datetime]:
    """Send a command. When AWS surely did not, that is noted, so that nobody looks for it later."""
    environment = services.environment
    try:
        return services.ssm.send_command(
            instance.id,
            command.document,
            command.pinned or {"version": environment.document_version(command.document), "hash": "", "hashType": ""},
            command.parameters,
            comment,
            environment.log_bucket,
            _log_prefix(environment.stack, instance.id, holder),
        )
    except (AwsCallFailedError, CommandNotDeliveredError, DocumentError, ServiceUnavailableError) as error:
        if not isinstance(error, ServiceUnavailableError) or error.was_refused:
            Hold.of(services, holder, instance).record(command.intent, {REFUSED: str(error)[:500]})
        raise


def find_sent_command(services: Services, instance_id: str, intent: Intent) -> tuple[str, datetime] | None:
    """The command of an intent that has no id: sent, or None when it never was.

    Raises CommandNotReadyError while that cannot be told.
    """
    if REFUSED in intent.facts:
        return None
    sent = services.ssm.find_command(instance_id, str(intent.facts["comment"]), intent.at)
    if sent is None and services.now() - intent.at < _SEEN_AFTER:
        raise CommandNotReadyError(say("command.not_seen", machine=instance_id, step=name_work(intent.name)))
    return sent


def look_at_command(services: Services, wait: Wait) -> Mapping[str, Any] | None:
    """Raises the error that ends the state, by the command's purpose."""
    invocation = services.ssm.find_invocation(wait.instance_id, wait.resource, wait.facts["platform"])
    if invocation is not None and invocation.is_over:
        _require_that_it_ran(services, wait, invocation)
        return _CONCLUSIONS[wait.facts["purpose"]](services, wait, invocation)
    if services.now() >= wait.deadline:
        raise CommandTimedOutError(
            say("command.late", machine=wait.instance_id, command=_what(wait), status=invocation.status_details)
            if invocation
            else say("command.late.not_seen", machine=wait.instance_id, command=_what(wait))
        )
    _require_running_instance(services, wait)
    return None


def _require_running_instance(services: Services, wait: Wait) -> None:
    instance = services.ec2.describe_instance(wait.instance_id)
    if is_gone(instance):
        raise InstanceTerminatedError(say("command.machine_terminated", machine=wait.instance_id, command=_what(wait)))
    if state_of(instance) in ("stopping", "stopped"):
        raise InstanceStoppedError(say("command.machine_stopped", machine=wait.instance_id, command=_what(wait)))


def _what(wait: Wait) -> str:
    return say(
        "command.named",
        step=name_work(str(wait.facts["intent"])),
        document=wait.facts["document"],
        id=wait.resource,
    )


def _require_that_it_ran(services: Services, wait: Wait, invocation: Invocation) -> None:
    if invocation.gave_up and services.now() >= from_text(wait.facts["expiresAt"]):
        raise CommandTimedOutError(say("command.expired", machine=wait.instance_id, command=_what(wait)))
    if invocation.never_ran:
        raise CommandNotDeliveredError(
            say(
                "command.not_delivered", machine=wait.instance_id, command=_what(wait), status=invocation.status_details
            )
        )
    if invocation.was_cancelled:
        raise CommandCancelledError(say("command.cancelled", machine=wait.instance_id, command=_what(wait)))
    if wait.facts["document"] == RUN_PATCH_BASELINE and _found_another(invocation):
        raise PatchingNotReadyError(
            say(
                "command.did_nothing",
                machine=wait.instance_id,
                command=_what(wait),
                output=invocation.output.strip()[:300],
            )
        )


def _conclude(services: Services, wait: Wait, invocation: Invocation) -> dict[str, Any]:
    return {
        "commandId": wait.resource,
        "document": wait.facts["document"],
        "parameters": wait.facts["parameters"],
        "sentAt": wait.facts["sentAt"],
        "endedAt": to_text(services.now()),
        "status": invocation.status,
        "statusDetails": invocation.status_details,
        "responseCode": invocation.response_code,
        "succeeded": invocation.succeeded,
        "logKey": wait.facts["logKey"],
        "errorOutput": [] if invocation.succeeded else error_lines(invocation.output),
    }


def _parse_output(what: str, invocation: Invocation, read: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """What a document of the stack answered: the last line of its output, as JSON. Raises ProbeFailedError."""
    if not invocation.succeeded:
        raise ProbeFailedError(
            say("probe.ended", command=what, status=invocation.status_details, code=str(invocation.response_code))
        )
    try:
        said = invocation.output.partition(ERROR_MARK)[0].splitlines()
        return read(json.loads(next(line for line in reversed(said) if line.startswith("{"))))
    except (KeyError, StopIteration, TypeError, ValueError) as error:
        raise ProbeFailedError(say("probe.not_json", command=what, output=f"{invocation.output[:200]!r}")) from error


def read_probe(what: str, invocation: Invocation) -> dict[str, Any]:
    """What the stack's Probe document answered; `what` names its command in the error. Raises ProbeFailedError."""
    return _parse_output(
        what,
        invocation,
        lambda said: {
            "bootId": str(said["bootId"]),
            "agentVersion": str(said["agentVersion"]),
            "cloudWatchAgentVersion": str(said.get("cloudWatchAgentVersion", "")),
            "reboot": NEEDS[NEEDS.index(said["reboot"])],
            "rebootReasons": [str(reason) for reason in said["rebootReasons"]],
            "bootsOldKernel": bool(said.get("bootsOldKernel", False)),
            "installing": bool(said["installing"]),
            "installer": str(said["installer"]),
        },
    )


def _conclude_probe(services: Services, wait: Wait, invocation: Invocation) -> dict[str, Any]:
    return {
        **_conclude(services, wait, invocation),
        **read_probe(f"{wait.instance_id}: {_what(wait)}", invocation),
    }


def _conclude_change(services: Services, wait: Wait, invocation: Invocation) -> dict[str, Any]:
    """The end of what installs, good or bad. Raises CommandTimedOutError where it may go on behind its end."""
    if invocation.was_cut_short:
        raise CommandTimedOutError(say("command.cut_short", machine=wait.instance_id, command=_what(wait)))
    return _conclude(services, wait, invocation)


def _conclude_scan(services: Services, wait: Wait, invocation: Invocation) -> dict[str, Any]:
    return {
        **_conclude(services, wait, invocation),
        "operationEndedBefore": wait.facts.get("operationEndedBefore", ""),
    }


def _conclude_search(services: Services, wait: Wait, invocation: Invocation) -> dict[str, Any]:
    """A search that did not answer has found nothing out: -1 missing, and the verdict says so."""
    try:
        found = _parse_output(
            f"{wait.instance_id}: {_what(wait)}",
            invocation,
            lambda said: {"missingCount": int(said["missingCount"]), "missing": [str(kb) for kb in said["missing"]]},
        )
    except ProbeFailedError:
        found = {"missingCount": -1, "missing": []}
    return {**_conclude(services, wait, invocation), **found}


def _conclude_own_document(
    error: type[DrydockError], services: Services, wait: Wait, invocation: Invocation
) -> dict[str, Any]:
    """The end of a document of the account's own: it succeeds, or it fails the step."""
    if not invocation.succeeded:
        raise error(
            say(
                "command.failed",
                machine=wait.instance_id,
                command=_what(wait),
                status=invocation.status_details,
                code=str(invocation.response_code),
                log=wait.facts["logKey"],
            )
        )
    return _conclude(services, wait, invocation)


_CONCLUSIONS: Mapping[str, Callable[[Services, Wait, Invocation], Mapping[str, Any]]] = {
    "health": partial(_conclude_own_document, HealthCheckFailedError),
    "hook": partial(_conclude_own_document, HookFailedError),
    "install": _conclude_change,
    "probe": _conclude_probe,
    "scan": _conclude_scan,
    "search": _conclude_search,
    "update": _conclude_change,
}
