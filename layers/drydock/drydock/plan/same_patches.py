"""Which machines of a plan may get other patches than those that were proved before them.

"Each snapshot is specific to an AWS account, patch group, operating system, and snapshot ID"
(https://docs.aws.amazon.com/systems-manager/latest/userguide/patch-manager-aws-runpatchbaseline.html): what one patch
group got says nothing of another. Of the operating system a plan knows only whether it is Windows or Linux.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

from drydock.catalogue.saying import say
from drydock.plan.plans import Candidate, DraftWave, Plan, PlannedMachine
from drydock.request.policy import INSTALL_WINDOWS_UPDATES, Policy

Kind = tuple[str, str]
"""Patch group, empty for none, and platform."""


def warn_of_other_patches(
    waves: Sequence[DraftWave], policy: Policy, *, followed: Plan | None, proved: Plan | None
) -> list[str]:
    """A warning for each kind of machine that the followed run, or the canary, has nothing to say about, by name.

    `followed` is the plan of the run whose patches these machines shall get; `proved` that of a run taken up, whose
    canary stands for this one's.
    """
    if policy["operation"] != "Install" or policy["document"] == INSTALL_WINDOWS_UPDATES:
        return []
    machines = [machine for wave in waves for one in wave.machines for machine in one.machines]
    warnings = []
    if followed is not None:
        known = _kinds_of_plan(followed["machines"])
        warnings += _warn(machines, known, say("patches.followed_run", run=followed["runId"]))
    if proved is not None:
        canary = [one for one in proved["machines"] if proved["waves"][one["wave"]]["isCanary"]]
        known, whose = _kinds_of_plan(canary), say("patches.canary_of", run=proved["runId"])
    else:
        known = {_kind(one) for wave in waves if wave.is_canary for entry in wave.machines for one in entry.machines}
        whose = say("patches.canary")
    return [*warnings, *(_warn(machines, known, whose) if known else [])]


def _kind(machine: Candidate) -> Kind:
    return machine.patch_group, machine.platform


def _kinds_of_plan(machines: Iterable[PlannedMachine]) -> set[Kind]:
    """Those of a stored plan, in which a group has all patch groups and platforms of its members in one text."""
    return {kind for one in machines for kind in product(one["patchGroup"].split(", "), one["platform"].split(", "))}


def _warn(machines: Iterable[Candidate], known: set[Kind], whose: str) -> list[str]:
    others: dict[Kind, list[str]] = {}
    for machine in machines:
        if _kind(machine) not in known:
            others.setdefault(_kind(machine), []).append(machine.label)
    return [
        say("patches.unproved", whose=whose, platform=platform, group=group, machines=names)
        if group
        else say("patches.unproved.no_group", whose=whose, platform=platform, machines=names)
        for (group, platform), names in sorted(others.items())
    ]
