"""The layer's own code, where a command must judge exactly as the functions do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from rehearsal.commands.problems import CommandError
from rehearsal.layer import layer

_SETTINGS = '{"deadlineMinutes": 4320}'
"""In the place of the account's, which may hold the deadline that an input leaves out."""


@contextmanager
def _layer() -> Iterator[None]:
    try:
        with layer():
            yield
    except ModuleNotFoundError as error:
        raise CommandError(
            f"{error}: Drydock is not wholly installed here (`make rehearse` in its folder does it)"
        ) from error


def hash_of_plan(plan: Mapping[str, Any]) -> str:
    """What an approver agrees to."""
    with _layer():
        from drydock.plan.plans import Plan, plan_hash
    return plan_hash(cast(Plan, plan))


def policy_mistakes(policy: object) -> list[str]:
    """Every mistake in a policy, each with its path first: `policy.backup.before: …`."""
    with _layer():
        from drydock.request.policy import effective_policy
    return effective_policy("{}", "", policy)[1]


def input_mistakes(given: Mapping[str, Any], run_id: str) -> str:
    """What the stack would refuse in the input of a run whatever its settings, as one text; empty for nothing."""
    with _layer():
        from drydock.errors import DrydockError
        from drydock.plan.run_request import read_run_request
    try:
        read_run_request(given, _SETTINGS, "", run_id)
    except DrydockError as error:
        return str(error)
    return ""
