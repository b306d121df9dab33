"""Long work: begun once, waited for with a task token, and looked at again whenever something happens.

A look never believes the event that caused it. Each kind of work has one look: it returns the output for the
state when the work is over, returns None while it is not, and raises the error that ends the state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from drydock.aws.services import Services
from drydock.errors import DrydockError, ServiceUnavailableError
from drydock.machine.commands import look_at_command
from drydock.machine.images import look_at_image
from drydock.machine.power import look_at_start, look_at_stop
from drydock.machine.settling import look_at_settled_commands
from drydock.records.leases import Hold
from drydock.records.waits import Wait, Work
from drydock.request.step import Step

_AT_ONCE = timedelta(seconds=2)
"""Work whose wait is filed later than this after it was begun may have ended unheard."""

Output = Mapping[str, Any]
Look = Callable[[Services, Wait], Output | None]

_LOOKS: Mapping[str, Look] = {
    "command": look_at_command,
    "image": look_at_image,
    "settled": look_at_settled_commands,
    "start": look_at_start,
    "stop": look_at_stop,
}


def wait_for(services: Services, step: Step, work: Work, limit: timedelta) -> None:
    """File the wait of a state, and look once at work that may be over already."""
    wait = Wait(
        instance_id=step.instance_id,
        token=step.token,
        sequence=step.sequence,
        kind=work.kind,
        resource=work.resource,
        deadline=work.begun + limit,
        facts=work.facts,
    )
    is_late = services.now() - work.begun > _AT_ONCE
    if Hold.of(services, step.holder, step.subject).file(wait, work) and (work.may_be_over or is_late):
        settle_wait(services, wait)


def settle_wait(services: Services, wait: Wait) -> None:
    """Look at what is waited for, and answer the token when it is over.

    The wait stays until the next intent is claimed; answering a token twice is harmless.
    """
    try:
        output = _LOOKS[wait.kind](services, wait)
    except ServiceUnavailableError:
        raise
    except DrydockError as error:
        services.executions.refuse(wait.token, error)
        return
    if output is not None:
        services.executions.answer(wait.token, output)
