"""What a fleet file says of machines: what each is like, what is wrong with it, and how it is expected to end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drydock_files.marked_text import KeyPath, MarkedText
from rehearsal.play.fleet_runs import RunsSpec
from rehearsal.play.fleet_shape import dotted, seconds, shown
from rehearsal.world.machines import Durations, MachineSpec
from rehearsal.world.patch_states import parse_patch

BEGINS = datetime.fromisoformat("2026-01-13T01:00:00+09:00")
"""When a rehearsal begins whose file does not say."""

LINUX_PACKAGES = (
    "openssl",
    "kernel",
    "glibc",
    "systemd",
    "curl",
    "sudo",
    "openssh",
    "libxml2",
    "expat",
    "vim",
    "zlib",
    "bind",
)


@dataclass(frozen=True)
class Expectation:
    """What a machine's entry says about its end; None means that anything will do.

    `verdict` and `outcome` are 'none' when Drydock is expected to leave no result for the machine. `run` is what the
    last run that found the machine says of it: its outcome there, or 'left_out'; 'none' when no run found it.
    """

    verdict: str | None = None
    outcome: str | None = None
    power: str | None = None
    images: int | None = None
    missing: int | None = None
    error: str | None = None
    messages: int | None = None
    run: str | None = None


@dataclass(frozen=True)
class FleetMachine:
    """One machine of the fleet and how it is expected to end.

    `history` are the durations of its last successes, newest first, from before the rehearsal.
    """

    spec: MachineSpec
    expect: Expectation
    entry: str
    line: int
    history: tuple[timedelta, ...] = ()


def names_of(entry: Mapping[str, Any]) -> list[str]:
    """Return the names of an entry's machines: its own, or `web-01` to `web-12` for a count of 12."""
    count = entry.get("count")
    if count is None:
        return [entry["name"]]
    return [f"{entry['name']}-{number:0{len(str(count))}d}" for number in range(1, count + 1)]


def members_of(data: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the machines that each name stands for: an entry's, a machine's own, and 'all'."""
    members: dict[str, list[str]] = {}
    for entry in data["instances"]:
        members[entry["name"]] = names_of(entry)
        members.update({name: [name] for name in names_of(entry) if name != entry["name"]})
    return {**members, "all": [name for entry in data["instances"] for name in names_of(entry)]}


def members_of_groups(data: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the machines of each Auto Scaling group that a machine names."""
    members: dict[str, list[str]] = {}
    for entry in data["instances"]:
        if "group" in entry:
            members.setdefault(entry["group"], []).extend(names_of(entry))
    return members


def power_of(entry: Mapping[str, Any]) -> str:
    """Return the power in which an entry's machines are found: a hibernated one is stopped."""
    return str(entry.get("power", "stopped" if entry.get("hibernated") else "running"))


def find_wrong_machines(source: MarkedText) -> Iterator[str]:
    """Find machines that cannot be as their entries say."""
    for index, entry in enumerate(source.value["instances"]):
        path: KeyPath = ("instances", index)
        if entry.get("hibernated") and power_of(entry) != "stopped":
            yield source.at((*path, "power"), f"{dotted(path)}.power: a hibernated machine is stopped")
        if entry.get("hibernated") and "group" in entry:
            yield source.at((*path, "group"), f"{dotted(path)}.group: no member of a group can be hibernated")


def find_wrong_patches(source: MarkedText) -> Iterator[str]:
    """Find patches that nobody can read."""
    for index, entry in enumerate(source.value["instances"]):
        for number, patch in enumerate(missing if isinstance(missing := entry.get("missing", 0), list) else ()):
            try:
                parse_patch(patch, entry.get("platform", "Linux"), BEGINS.date())
            except ValueError:
                path = ("instances", index, "missing", number)
                yield source.at(
                    path, f"{dotted(path)}: expected NAME [SEVERITY] [CATEGORY] [YYYY-MM-DD], got {shown(patch)}"
                )


def build_machine(name: str, entry: Mapping[str, Any], line: int, is_started: bool, runs: RunsSpec) -> FleetMachine:
    """Return one machine of an entry that has been checked."""
    history = tuple(timedelta(seconds=seconds(one)) for one in entry.get("history", []))
    return FleetMachine(_spec(name, entry), _expectation(entry, is_started, runs), entry["name"], line, history)


def _expectation(entry: Mapping[str, Any], is_started: bool, runs: RunsSpec) -> Expectation:
    """Return what is expected of a machine: as its entry says, and otherwise a success in the power state it had."""
    usual: dict[str, Any] = {"power": power_of(entry)}
    if is_started or runs.is_empty:
        usual["outcome"] = "succeeded" if is_started else "none"
    elif "outcome" not in entry.get("expect", {}):
        usual["run"] = "succeeded"
    return Expectation(**{**usual, **entry.get("expect", {})})


def _spec(name: str, entry: Mapping[str, Any]) -> MachineSpec:
    given = {
        "pendingReboot": "pending_reboot",
        "agentVersion": "agent_version",
        "cloudWatchAgentVersion": "cloudwatch_agent_version",
        "clockSkew": "clock_skew_seconds",
        "managed": "managed",
        "rootDevice": "root_device",
        "lifecycle": "lifecycle",
        "group": "group",
        "stopProtection": "stop_protection",
        "hibernated": "hibernated",
        "operator": "operator",
    }
    settings = {python: entry[key] for key, python in given.items() if key in entry}
    settings["power"] = power_of(entry)
    platform = entry.get("platform", "Linux")
    durations = {
        re.sub("[A-Z]", lambda letter: "_" + letter.group().lower(), key): seconds(value)
        for key, value in entry.get("durations", {}).items()
    }
    return MachineSpec(
        name=name,
        platform=platform,
        tags=_tags(entry),
        missing=_patches(entry.get("missing", 0), platform),
        durations=Durations(**durations),
        wrong=tuple(entry.get("wrong", ())),
        **settings,
    )


def _tags(entry: Mapping[str, Any]) -> dict[str, str]:
    order = {"DrydockOrder": str(entry["order"])} if "order" in entry else {}
    return {**order, **entry.get("tags", {})}


def _patches(missing: int | list[str], platform: str) -> tuple[str, ...]:
    """Return the names of missing patches; a number stands for that many made-up ones."""
    if not isinstance(missing, int):
        return tuple(missing)
    if platform == "Windows":
        return tuple(f"KB{5073000 + number}" for number in range(1, missing + 1))
    extra = tuple(f"package-{number}" for number in range(len(LINUX_PACKAGES) + 1, missing + 1))
    return (*LINUX_PACKAGES[:missing], *extra)
