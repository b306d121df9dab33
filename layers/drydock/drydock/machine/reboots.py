"""Reboots: whether a machine runs older code than is installed, by its own answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from drydock.catalogue.saying import say
from drydock.request.policy import ON_EVIDENCE, Policy

RebootNeed = Literal["needed", "unknown", "would_not_help", "not_needed"]
"""What the stack's Probe document says of a reboot. It would not help where another kernel than the newest boots."""

NEEDS: tuple[RebootNeed, ...] = get_args(RebootNeed)


def is_pending(need: RebootNeed, policy: Policy, counted_by_aws: int) -> bool:
    """Whether a machine still needs a reboot, by its own answer and by AWS's count of patches that wait for one.

    AWS counts whatever was installed without a reboot, needed or not. Where the policy goes by evidence, an answer that
    none is needed outweighs it; where the machine cannot tell, the count stands.
    """
    if need in ("needed", "would_not_help"):
        return True
    if need == "not_needed" and policy["reboot"] in ON_EVIDENCE:
        return False
    return counted_by_aws > 0


def describe_pending(need: RebootNeed, reasons: Sequence[str]) -> str:
    """Why a reboot is pending, in a phrase for people."""
    if need == "would_not_help":
        return say("reboot.would_not_help", reasons=reasons)
    return say("reboot.needed", reasons=reasons) if reasons else say("reboot.pending")


def describe_refused(commands: Sequence[Mapping[str, Any]], reboot_document: str) -> list[str]:
    """A phrase for each of the reboots, among the commands that have ended, that the machine has refused."""
    return [
        say("reboot.refused", log=command["logKey"])
        for command in commands
        if command["document"] == reboot_document and not command["succeeded"]
    ]


def need_of(probe: Mapping[str, Any] | None) -> RebootNeed:
    """What a probe has answered; unknown where none has."""
    need: RebootNeed = probe["reboot"] if probe else "unknown"
    return need
