"""What would make all of a plan fit that does not, with figures. All of it is pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from drydock.catalogue.saying import say
from drydock.plan.estimates import correct, pace_of
from drydock.plan.plans import (
    Plan,
    PlannedMachine,
    at_another_time,
    count_outside,
    estimate_of,
    members_of,
    slots_of,
)
from drydock.request.policy import MOST_BATCH, Policy
from drydock.times import from_text

_MINUTES = 5
_MOST_MINUTES = 48 * 60


def advise(plan: Plan, start: datetime, end: datetime, last_admission: datetime) -> list[str]:
    """What to change so that every machine is expected to fit, a sentence for each way; none where all do.

    Each way is enough by itself. What fits into no window of this length is not its concern: `find_too_long` tells.
    """

    def is_enough(changed: Plan, more: timedelta = timedelta()) -> bool:
        moved = at_another_time(changed, start, end + more, last_admission + more)
        return not any(count_outside(machine) for machine in moved["machines"] if _fits_alone(machine, end - start))

    machines = [machine for machine in plan["machines"] if _fits_alone(machine, end - start)]
    if not any(map(count_outside, machines)):
        return []
    at_once = slots_of(plan["policy"]["maxConcurrency"], len(plan["machines"]), 1)
    concurrency = _least(range(at_once + 1, len(plan["machines"]) + 1), lambda n: is_enough(_at_once(plan, n)))
    batch = _least(_batches(plan, machines), lambda n: is_enough(_in_batches(plan, n)))
    steps = range(_MINUTES, _MOST_MINUTES + 1, _MINUTES)
    minutes = _least(steps, lambda n: is_enough(plan, timedelta(minutes=n)))
    return [
        *([say("plan.advice.batch", count=batch)] if batch else ()),
        *([say("plan.advice.concurrency", count=concurrency)] if concurrency else ()),
        *([say("plan.advice.time", minutes=minutes)] if minutes else ()),
    ]


def advise_after(
    plan: Plan, taken: Mapping[str, Mapping[int, int]], own: Mapping[str, int], begun: datetime
) -> list[str]:
    """The same of a plan that was carried out from `begun` on, by what its machines took.

    `own` has the seconds of those that went well, by instance id, of a member with what is around it; what others are
    expected to take is corrected by what their kind took.
    """
    end, last_admission = from_text(plan["end"]), from_text(plan["lastAdmission"])
    machines = [
        _corrected(machine, taken.get(pace_of(machine["platform"], machine["basis"]), {}), own)
        for machine in plan["machines"]
    ]
    corrected = at_another_time({**plan, "machines": machines}, begun, end, last_admission)
    return advise(corrected, begun, end, last_admission)


def _corrected(machine: PlannedMachine, taken: Mapping[int, int], own: Mapping[str, int]) -> PlannedMachine:
    """An entry with the estimates that its run has come to. What members took tells most of the others."""
    took = [own[member["instanceId"]] for member in members_of(machine) if member["instanceId"] in own]
    if "roll" in machine:
        turns = [max(took) if took else correct(seconds, taken) for seconds in machine["roll"]["turns"]]
        return {**machine, "roll": {**machine["roll"], "turns": turns}}
    return {**machine, "seconds": took[0] if took else correct(machine["seconds"], taken)}


def _fits_alone(machine: PlannedMachine, room: timedelta) -> bool:
    return timedelta(seconds=estimate_of(machine).least) <= room


def _least(numbers: Sequence[int], is_enough: Callable[[int], bool]) -> int:
    """The least of the numbers that is enough, where a greater one is, too; 0 when none is."""
    if not numbers or not is_enough(numbers[-1]):
        return 0
    low, high = 0, len(numbers) - 1
    while low < high:
        middle = (low + high) // 2
        if is_enough(numbers[middle]):
            high = middle
        else:
            low = middle + 1
    return numbers[low]


def _batches(plan: Plan, machines: Sequence[PlannedMachine]) -> range:
    """Larger batches that groups would take: each keeps a member in service, and what `minHealthy` asks for stays."""
    policy = plan["policy"]
    sizes = [len(members_of(machine)) for machine in machines if "roll" in machine and count_outside(machine)]
    if not sizes or policy["minHealthy"] != "":
        return range(0)
    return range(policy["batch"] + 1, min(min(sizes) - 1, MOST_BATCH) + 1)


def _at_once(plan: Plan, concurrency: int) -> Plan:
    return {**plan, "policy": cast(Policy, {**plan["policy"], "maxConcurrency": concurrency})}


def _in_batches(plan: Plan, batch: int) -> Plan:
    """The same plan with other batches. The slowest members decide, and a roll has its turns sorted by that."""
    machines: list[PlannedMachine] = []
    for machine in plan["machines"]:
        if "roll" in machine:
            turns = machine["roll"]["turns"][: -(-len(members_of(machine)) // batch)]
            machines.append({**machine, "roll": {**machine["roll"], "turns": turns}})
        else:
            machines.append(machine)
    return {**plan, "machines": machines, "policy": cast(Policy, {**plan["policy"], "batch": batch})}
