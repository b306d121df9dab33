"""With which codes the command ends: one table for all verbs, the same as in docs/operations.md."""

from __future__ import annotations

from collections.abc import Mapping

WELL = 0
FAILED = 1
TO_DO = 2
"""Somebody has something to do, or the command was refused or used wrongly: nothing failed."""
LATE = 3
GOES_ON = 4
"""The run has not ended."""
INTERRUPTED = 130

BY_OUTCOME: Mapping[str, int] = {
    "succeeded": WELL,
    "planned": WELL,
    "nothing_to_do": WELL,
    "failed": FAILED,
    "late": LATE,
    "incomplete": TO_DO,
    "rejected": TO_DO,
    "not_answered": TO_DO,
    "refused": TO_DO,
    "stopped": TO_DO,
}


def code_of(outcome: str, failed: int) -> int:
    """The code for a run with this outcome, of whose machines so many failed; FAILED for one that is not known."""
    return FAILED if failed else BY_OUTCOME.get(outcome, FAILED)
