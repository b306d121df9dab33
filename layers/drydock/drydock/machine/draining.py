"""Machines that a hook has drained, and whose execution is over: they are let back to work, or people are told how."""

from __future__ import annotations

from collections.abc import Mapping

from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import AwsCallFailedError, CommandNotDeliveredError, DocumentError
from drydock.log import logger
from drydock.machine.commands import Command, send_again
from drydock.machine.power import GONE
from drydock.records import intents
from drydock.records.leases import REFUSED, Intent, Lease

_NOT_SENT = (AwsCallFailedError, CommandNotDeliveredError, DocumentError)


def may_be_drained(lease: Lease) -> bool:
    """Whether the hook before anything may have begun, and the policy has one that lets the machine work again."""
    drain = lease.intents.get(intents.hook("beforeAnything"))
    return drain is not None and REFUSED not in drain.facts and bool(lease.journal.get("onExit"))


def _sent_hook(lease: Lease) -> Intent | None:
    """The hook on exit, if the flow or a pass has announced it: it is not sent twice."""
    return lease.intents.get(intents.GIVE_BACK_TO_WORK) or lease.intents.get(intents.hook("onExit"))


def can_work_again(services: Services, lease: Lease) -> bool:
    """Whether the hook on exit is still to be sent to a running machine that was drained, and its agent is online."""
    if not may_be_drained(lease) or _sent_hook(lease) is not None:
        return False
    agent = services.ssm.find_agent(lease.instance_id)
    return agent is not None and agent.online


def let_work_again(services: Services, lease: Lease) -> None:
    """Send the hook on exit, once: a later pass waits for its end as for any command of the lease."""
    document = str(lease.journal["onExit"])
    pinned = lease.journal.get("documents", {}).get(document)
    try:
        send_again(services, lease, Command(intents.GIVE_BACK_TO_WORK, "hook", document, {}, pinned=pinned), 1)
    except _NOT_SENT as error:
        logger.warning("no hook on exit", instance=lease.instance_id, error=str(error))


def describe_drained(services: Services, lease: Lease, power: str) -> list[str]:
    """What people have to do about a machine that was drained by an execution that is over, or was killed.

    Nothing where it works again, or is gone.
    """
    hook = _sent_hook(lease)
    if hook is None or not hook.id or not may_be_drained(lease):
        return _left_drained(lease, power)
    invocation = services.ssm.find_invocation(lease.instance_id, hook.id, str(lease.journal["platform"]))
    return [] if invocation is not None and invocation.succeeded else _left_drained(lease, power)


def describe_drained_by(lease: Lease, hooks: Mapping[str, str], power: str) -> list[str]:
    """The same at the end of a flow, which knows how its hooks have ended."""
    return [] if hooks.get("onExit") == "ran" else _left_drained(lease, power)


def _left_drained(lease: Lease, power: str) -> list[str]:
    if not may_be_drained(lease) or power in ("gone", *GONE):
        return []
    hook = _sent_hook(lease)
    names = {
        "document": str(lease.journal["onExit"]),
        "drained": str(lease.intents[intents.hook("beforeAnything")].facts["document"]),
    }
    return [say("drained.unsure", **names) if hook is not None and hook.id else say("drained.left", **names)]
