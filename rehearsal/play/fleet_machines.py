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
from rehearsal.world.machines import Durations, InstallFailure, MachineSpec
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
    """Return the power in which an entry's machines are found: what hibernates, or waits stopped, is stopped."""
    stopped = _is_hibernated(entry) or entry.get("lifecycleState") == "Warmed:Stopped"
    return str(entry.get("power", "stopped" if stopped else "running"))


def _is_hibernated(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("hibernated")) or entry.get("lifecycleState") == "Warmed:Hibernated"


def states_of_members(data: Mapping[str, Any], group: str) -> list[str]:
    """Return what each member of a group is to it when the rehearsal begins."""
    return [
        entry.get("lifecycleState", "InService")
        for entry in data["instances"]
        if entry.get("group") == group
        for _ in names_of(entry)
    ]


def find_wrong_machines(source: MarkedText) -> Iterator[str]:
    """Find machines that cannot be as their entries say."""
    for index, entry in enumerate(source.value["instances"]):
        path: KeyPath = ("instances", index)
        state = entry.get("lifecycleState", "InService")
        if _is_hibernated(entry) and power_of(entry) != "stopped":
            yield source.at((*path, "power"), f"{dotted(path)}.power: a hibernated machine is stopped")
        elif "power" in entry and "lifecycleState" in entry and entry["power"] != power_of({"lifecycleState": state}):
            yield source.at((*path, "power"), f"{dotted(path)}.power: a member that is {state} is not {entry['power']}")
        if "lifecycleState" in entry and "group" not in entry:
            yield source.at(
                (*path, "lifecycleState"), f"{dotted(path)}.lifecycleState: only a member of a group has one"
            )
        if "refuses_while_reboot_pending" in entry.get("wrong", []) and entry.get("platform") != "Windows":
            yield source.at((*path, "wrong"), f"{dotted(path)}.wrong: only Windows refuses_while_reboot_pending")
        if entry.get("hibernated") and "group" in entry:
            yield source.at((*path, "group"), f"{dotted(path)}.group: no member of a group can be hibernated")


def find_wrong_patches(source: MarkedText) -> Iterator[str]:
    """Find patches that nobody can read."""
    for index, entry in enumerate(source.value["instances"]):
        for key in ("missing", "installedRejected", "installedOther"):
            for number, patch in enumerate(given if isinstance(given := entry.get(key, 0), list) else ()):
                try:
                    parse_patch(patch, entry.get("platform", "Linux"), BEGINS.date())
                except ValueError:
                    path = ("instances", index, key, number)
                    wanted = "NAME [SEVERITY] [CATEGORY] [YYYY-MM-DD]"
                    yield source.at(path, f"{dotted(path)}: expected {wanted}, got {shown(patch)}")


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
        "restartsServices": "restarts_services",
        "agentVersion": "agent_version",
        "cloudWatchAgentVersion": "cloudwatch_agent_version",
        "clockSkew": "clock_skew_seconds",
        "managed": "managed",
        "rootDevice": "root_device",
        "lifecycle": "lifecycle",
        "group": "group",
        "lifecycleState": "lifecycle_state",
        "stopProtection": "stop_protection",
        "operator": "operator",
        "mayWriteLogs": "may_write_logs",
    }
    settings = {python: entry[key] for key, python in given.items() if key in entry}
    settings |= {"power": power_of(entry), "hibernated": _is_hibernated(entry)}
    if "operatingSystem" in entry:
        system = entry["operatingSystem"]
        settings |= {"system": system["name"], "system_version": system["version"]}
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
        installed_rejected=_patches(entry.get("installedRejected", 0), platform, "rejected"),
        installed_other=_patches(entry.get("installedOther", 0), platform, "other"),
        install_failure=_install_failure(entry, platform),
        durations=Durations(**durations),
        wrong=tuple(entry.get("wrong", ())),
        **settings,
    )


def _tags(entry: Mapping[str, Any]) -> dict[str, str]:
    order = {"DrydockOrder": str(entry["order"])} if "order" in entry else {}
    return {**order, **entry.get("tags", {})}


def _install_failure(entry: Mapping[str, Any], platform: str) -> InstallFailure | None:
    given = entry.get("installFailure")
    if given is None:
        return None
    code = given.get("exitCode", -1 if platform == "Windows" else 1)
    return InstallFailure(code, given.get("output", ""), given.get("error", ""))


def _patches(given: int | list[str], platform: str, kind: str = "missing") -> tuple[str, ...]:
    """Return the names of patches; a number stands for that many made-up ones of a kind."""
    if not isinstance(given, int):
        return tuple(given)
    if platform == "Windows":
        first = {"missing": 5073001, "rejected": 5071001, "other": 5072001}[kind]
        return tuple(f"KB{number}" for number in range(first, first + given))
    if kind != "missing":
        return tuple(f"{kind}-{number}" for number in range(1, given + 1))
    extra = tuple(f"package-{number}" for number in range(len(LINUX_PACKAGES) + 1, given + 1))
    return (*LINUX_PACKAGES[:given], *extra)
