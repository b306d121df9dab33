"""What the functions judge, judged here first: with their own code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from drydock.errors import DrydockError
from drydock.plan.plans import Plan, plan_hash
from drydock.plan.run_request import read_run_request
from drydock.request.policy import MOST_DEADLINE_MINUTES, effective_policy

_SETTINGS = json.dumps({"deadlineMinutes": MOST_DEADLINE_MINUTES})
"""In the place of the account's, which may hold the deadline that an input leaves out."""


def hash_of_plan(plan: Mapping[str, Any]) -> str:
    """What an approver agrees to."""
    return plan_hash(cast(Plan, plan))


def policy_mistakes(policy: object) -> list[str]:
    """Every mistake in a policy, each with its path first: `policy.backup.before: …`."""
    return effective_policy("{}", "", policy)[1]


def input_mistakes(given: Mapping[str, Any], run_id: str) -> str:
    """What the stack would refuse in the input of a run whatever its settings, as one text; empty for nothing."""
    try:
        read_run_request(given, _SETTINGS, "", run_id)
    except DrydockError as error:
        return str(error)
    return ""
