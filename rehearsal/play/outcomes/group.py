"""What came of the Auto Scaling groups of a rehearsal, and how long each member was out of service for what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from rehearsal.play.fleet_groups import FleetGroup
from rehearsal.play.group_monitor import GroupMonitor, Outage
from rehearsal.play.waiting import Span, covered, spans_of_pause, spans_of_work
from rehearsal.world.fleet import Fleet, Machine

KINDS = ("draining", "command", "image", "power", "pause", "health")
"""What a member that is out of service may wait for; where two overlap, the first counts. A pause is what
AWS-RunPatchBaseline demands between two of its runs, health what the group and its load balancer take to trust it."""

IDLE_GOAL = timedelta(seconds=15)
"""So long a member may be out of service for none of these, with functions that are warm."""


@dataclass(frozen=True)
class MemberOutage:
    """One time that a member was out of service. `waited` says for what, by kind; `idle` is what remains."""

    name: str
    left: datetime
    length: timedelta
    waited: Mapping[str, timedelta]
    idle: timedelta


@dataclass(frozen=True)
class GroupOutcome:
    """How one group ended. Sizes are min, desired capacity and max.

    `fewest_healthy` is how many were left healthy in service when a member left; None when none did.
    """

    name: str
    sizes_before: tuple[int, int, int]
    sizes_after: tuple[int, int, int]
    outcome: str
    error: str
    most_out: int
    fewest_healthy: int | None
    members: Mapping[str, str]
    """The outcome of each member that the roll was about, by name."""
    outages: tuple[MemberOutage, ...]
    problems: tuple[str, ...]
    differences: tuple[str, ...]

    @property
    def is_restored(self) -> bool:
        """Say whether the sizes are what they were."""
        return self.sizes_before == self.sizes_after


def describe_group(
    fleet: Fleet, entry: FleetGroup, before: tuple[int, int, int], monitor: GroupMonitor, items: list[dict[str, Any]]
) -> GroupOutcome:
    """Return what came of a group. `items` are what Drydock's table holds of it."""
    group = monitor.group
    results = sorted((item for item in items if item["sk"].startswith("RESULT#")), key=lambda item: item["endedAt"])
    result: Mapping[str, Any] = results[-1] if results else {}
    names = {machine.instance_id: machine.name for machine in fleet.machines}
    machines = {machine.instance_id: machine for machine in fleet.machines}
    outcome = GroupOutcome(
        name=entry.name,
        sizes_before=before,
        sizes_after=(group.min, group.desired, group.max),
        outcome=result.get("outcome", "none"),
        error=(result.get("failure") or {}).get("error", ""),
        most_out=monitor.most_out,
        fewest_healthy=monitor.fewest_healthy,
        members={names[key]: found["outcome"] for key, found in (result.get("members") or {}).items()},
        outages=tuple(describe_outage(fleet, machines[outage.instance_id], outage) for outage in monitor.outages),
        problems=tuple(result.get("problems") or ()),
        differences=(),
    )
    return replace(outcome, differences=tuple(_find_differences(entry, outcome, monitor, items)))


def describe_outage(fleet: Fleet, machine: Machine, outage: Outage) -> MemberOutage:
    """Return for what a member was out of service, and for how long."""
    whole = (outage.left, outage.ended or machine.account.clock.now())
    pending: dict[str, list[Span]] = {kind: [] for kind in KINDS}
    pending["draining"] = [(outage.left, outage.standby or whole[1])]
    for work, span in spans_of_work(fleet, machine, whole[1]):
        pending[work].append(span)
    pending["pause"] = list(spans_of_pause(fleet, machine))
    pending["health"] = [(outage.returned, whole[1])] if outage.returned is not None else []
    waited: dict[str, timedelta] = {}
    spans: list[Span] = []
    for kind in KINDS:
        before = covered(spans, whole)
        spans += pending[kind]
        waited[kind] = covered(spans, whole) - before
    length = whole[1] - whole[0]
    return MemberOutage(machine.name, outage.left, length, waited, length - covered(spans, whole))


def _find_differences(
    entry: FleetGroup, outcome: GroupOutcome, monitor: GroupMonitor, items: list[dict[str, Any]]
) -> Iterator[str]:
    expect = entry.expect
    pairs = (
        ("outcome", expect.outcome, outcome.outcome),
        ("error", expect.error, outcome.error or "none"),
        ("sizes", expect.sizes or outcome.sizes_before, outcome.sizes_after),
    )
    for what, expected, got in pairs:
        if expected is not None and expected != got:
            yield f"{what}: expected {_text(expected)}, got {_text(got)}"
    yield from (f"promise: {violation}" for violation in monitor.violations)
    out = [
        member.machine.name
        for member in monitor.group.members.values()
        if not member.warm and member.state not in ("InService", member.machine.spec.lifecycle_state)
    ]
    if out:
        yield f"members: expected all in service, but {', '.join(out)}"
    if any(item["sk"] == "LEASE" for item in items):
        yield "lease: expected none at the end, but Drydock still holds one"


def _text(value: object) -> str:
    return "/".join(map(str, value)) if isinstance(value, tuple) else str(value)
