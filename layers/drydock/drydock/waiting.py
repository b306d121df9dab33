"""Long work: begun once, waited for with a task token, and looked at again whenever something happens.

A look never believes the event that caused it. Each kind of wait has one look: it returns the output for the
state when the work is over, returns None while it is not, and raises the error that ends the state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from drydock.commands import look_at_command
from drydock.errors import DrydockError, ServiceUnavailableError
from drydock.images import look_at_image
from drydock.power import look_at_start, look_at_stop
from drydock.services import Services
from drydock.settling import look_at_settled_commands
from drydock.step import Step
from drydock.waits import Wait, file_wait, forget_wait

Output = Mapping[str, Any]
Look = Callable[[Services, Wait, bool], Output | None]
"""The last argument says whether the instance itself is in doubt and has to be looked at as well."""

_LOOKS: Mapping[str, Look] = {
    "command": look_at_command,
    "image": look_at_image,
    "settled": look_at_settled_commands,
    "start": look_at_start,
    "stop": look_at_stop,
}


def wait_for(
    services: Services,
    step: Step,
    kind: str,
    resource: str,
    deadline: datetime,
    facts: Mapping[str, Any],
    *,
    doubt: bool = False,
) -> None:
    """File the wait of a state, and look once whether the work is over already."""
    now = services.now()
    wait = Wait(
        instance_id=step.instance_id,
        holder=step.holder,
        token=step.token,
        kind=kind,
        resource=resource,
        deadline=deadline,
        facts=facts,
    )
    if file_wait(services.table, step, wait, now):
        settle_wait(services, wait, doubt=doubt)


def settle_wait(services: Services, wait: Wait, *, doubt: bool) -> None:
    """Look at what is waited for; answer the token and forget the wait when it is over."""
    try:
        output = _LOOKS[wait.kind](services, wait, doubt)
    except ServiceUnavailableError:
        raise
    except DrydockError as error:
        services.executions.refuse(wait.token, error)
    else:
        if output is None:
            return
        services.executions.answer(wait.token, output)
    forget_wait(services.table, wait)
