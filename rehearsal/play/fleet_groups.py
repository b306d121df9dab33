"""What a fleet file says of Auto Scaling groups: which there are, which rolls people start, and how all of it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from drydock_files.marked_text import KeyPath
from rehearsal.play.fleet_machines import states_of_members
from rehearsal.play.fleet_shape import At, seconds
from rehearsal.world.group_specs import MixedPolicy

ZONES_OF_A_GROUP = 2
"""Over so many zones a group is whose entry does not say."""


@dataclass(frozen=True)
class GroupExpectation:
    """What a group's entry says about its end; None means that anything will do.

    `outcome` is 'none' when nobody is expected to roll through it. `sizes` are min, desired capacity and max in the
    end: where the entry does not say, those of the beginning.
    """

    outcome: str | None = None
    error: str | None = None
    sizes: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class FleetGroup:
    """An Auto Scaling group, whose members are the machines that name it."""

    name: str
    members: tuple[str, ...]
    serving: int
    """How many of them are in service when the rehearsal begins."""
    settings: Mapping[str, Any]
    """As in GroupSpec."""
    drain_seconds: int | None
    """How long its target group lets connections drain; None when no load balancer is in front of it."""
    expect: GroupExpectation
    line: int


@dataclass(frozen=True)
class RollStart:
    """One execution of RollGroup that a person starts, `at` after the rehearsal's beginning."""

    group: str
    at: timedelta = timedelta(0)
    input: Mapping[str, Any] = field(default_factory=dict)


def find_wrong_groups(data: Mapping[str, Any], members: Mapping[str, list[str]], at: At) -> Iterator[str]:
    """Find groups of the same name or without members, and rolls through a group that the file does not have."""
    names = [group["name"] for group in data.get("groups", [])]
    for index, name in enumerate(names):
        path: KeyPath = ("groups", index, "name")
        if name in names[:index]:
            yield at(path, f"groups[{index}].name: {name!r} is already taken")
        elif not members.get(name):
            yield at(path, f"groups[{index}].name: no machine has 'group: {name}'")
        elif any("weight" in one for one in _types(data["groups"][index])) and any(
            state.startswith("Warmed:") for state in states_of_members(data, name)
        ):
            # "Limitations" of warm pools in the EC2 Auto Scaling User Guide.
            yield at(("groups", index, "mixed"), f"groups[{index}].mixed: a group with weights has no warm pool")
    for index, roll in enumerate(data.get("rolls", [])):
        if roll["group"] not in names:
            yield at(("rolls", index, "group"), f"rolls[{index}].group: there is no group {roll['group']!r}")


def _types(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    types: list[Mapping[str, Any]] = entry.get("mixed", {}).get("types", [])
    return types


def build_groups(
    data: Mapping[str, Any], members: Mapping[str, list[str]], line_of: Callable[[KeyPath], int]
) -> tuple[FleetGroup, ...]:
    """Return the groups of a checked file."""
    return tuple(
        FleetGroup(
            entry["name"],
            tuple(members[entry["name"]]),
            states_of_members(data, entry["name"]).count("InService"),
            _settings(data, entry),
            seconds(entry.get("drain", "5m")) if entry.get("loadBalancer", True) else None,
            _expectation(entry),
            line_of(("groups", index, "name")),
        )
        for index, entry in enumerate(data.get("groups", []))
    )


def build_rolls(data: Mapping[str, Any]) -> tuple[RollStart, ...]:
    """Return the rolls that people start in a checked file."""
    return tuple(
        RollStart(roll["group"], timedelta(seconds=seconds(roll.get("at", 0))), roll.get("input", {}))
        for roll in data.get("rolls", [])
    )


def _settings(data: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    states = states_of_members(data, entry["name"])
    count, warm = states.count("InService"), sum(state.startswith("Warmed:") for state in states)
    mixed = entry.get("mixed")
    settings = {
        "min": entry.get("min", count),
        # The desired capacity is the sum of the members' weights.
        "max": entry.get("max", None if mixed else count),
        "zones": entry.get("zones", ZONES_OF_A_GROUP),
        "suspended": entry.get("suspended", ()),
        "hooks": {transition: seconds(duration) for transition, duration in entry.get("hooks", {}).items()},
        "mixed": None if mixed is None else _mixed(mixed),
    }
    return {**settings, "warm_pool": warm} if warm else settings


def _mixed(given: Mapping[str, Any]) -> MixedPolicy:
    overrides = [
        {"InstanceType": one["type"], **({"WeightedCapacity": str(one["weight"])} if "weight" in one else {})}
        for one in given["types"]
    ]
    return MixedPolicy(overrides, given.get("onDemandBase", 0), given.get("onDemandPercentage", 100))


def _expectation(entry: Mapping[str, Any]) -> GroupExpectation:
    given = entry.get("expect", {})
    sizes = given.get("sizes")
    return GroupExpectation(given.get("outcome", "succeeded"), given.get("error"), tuple(sizes) if sizes else None)
