"""What a machine waits for, as seen from outside: what is done to it or by it, and what of a time is for no reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from rehearsal.world.agents import Invocation
from rehearsal.world.fleet import Fleet, Machine
from rehearsal.world.ssm_documents import PATCH_BASELINE_PAUSE

Span = tuple[datetime, datetime]
Work = Literal["image", "command", "power"]


def spans_of_work(fleet: Fleet, machine: Machine, end: datetime) -> Iterator[tuple[Work, Span]]:
    """Yield when something was done to or by a machine until `end`: images, commands, power changes and boots."""
    durations = machine.spec.durations
    for image in fleet.images.by_id.values():
        if image.machine is machine:
            yield "image", (image.created, image.created + timedelta(seconds=durations.image))
    for invocation in _list_invocations(fleet, machine):
        if invocation.started:
            yield "command", (invocation.started, invocation.finished or end)
    changes = machine.power_log
    for (at, state), (later, _) in zip(changes, [*changes[1:], (end, "")], strict=True):
        if state == "pending":
            yield "power", (at, at + timedelta(seconds=durations.boot))
        elif state == "stopping":
            yield "power", (at, later)
        elif state == "running" and at > changes[0][0]:
            yield "power", (at, at + timedelta(seconds=durations.agent))


def spans_of_pause(fleet: Fleet, machine: Machine) -> Iterator[Span]:
    """Yield what AWS-RunPatchBaseline demands between two of its runs."""
    baseline = [one for one in _list_invocations(fleet, machine) if one.document == "AWS-RunPatchBaseline"]
    for first, second in pairwise(baseline):
        if first.finished and second.started:
            yield first.finished, min(second.started, first.finished + timedelta(seconds=PATCH_BASELINE_PAUSE))


def covered(spans: Iterable[Span], whole: Span) -> timedelta:
    """Return how much of `whole` at least one span covers."""
    total = timedelta(0)
    begin, end = whole
    for since, until in sorted(spans):
        since, until = max(since, begin), min(until, end)
        if until > since:
            total += until - since
            begin = until
    return total


def _list_invocations(fleet: Fleet, machine: Machine) -> list[Invocation]:
    """Return the commands of a machine, oldest first."""
    commands = reversed(fleet.run_command.list_visible(None, machine.instance_id))
    return [invocation for command in commands for invocation in command.invocations]
