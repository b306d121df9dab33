"""Reads a fleet file: the machines, settings, starts, runs and faults of one rehearsal, in YAML.

The shape of a fleet file is `fleets/fleet.schema.json`. Everything that is wrong with a file is told at once,
each with its line and with what was expected there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from drydock.group.rules import least_healthy
from drydock.request.policy import effective_policy, read_settings
from drydock_files.marked_text import KeyPath, MarkedText, UnreadableTextError, path_of
from rehearsal.engine.project import LOADER, PROJECT
from rehearsal.play.faults import Fault
from rehearsal.play.fleet_faults import build_faults, find_wrong_faults
from rehearsal.play.fleet_groups import FleetGroup, RollStart, build_groups, build_rolls, find_wrong_groups
from rehearsal.play.fleet_machines import (
    BEGINS,
    FleetMachine,
    build_machine,
    find_wrong_machines,
    find_wrong_patches,
    members_of,
    members_of_groups,
    names_of,
)
from rehearsal.play.fleet_runs import NO_RUNS, RunsSpec, build_runs, find_wrong_runs
from rehearsal.play.fleet_shape import (
    FLEETS,
    FleetFileError,
    find_wrong_shape,
    line_of,
    not_among,
    seconds,
    shown,
    unknown_machine,
)

DEFAULT_FLEET = FLEETS / "default.yaml"
LIMIT = timedelta(hours=48)


@dataclass(frozen=True)
class Start:
    """One execution of PatchInstance that a person starts, `at` after the rehearsal's beginning."""

    machine: str
    at: timedelta = timedelta(0)
    input: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """An SSM Command document of the account: a hook or a health probe."""

    name: str
    platforms: tuple[str, ...] = ("Linux", "Windows")


@dataclass(frozen=True)
class FleetFile:
    """A fleet file, read and checked. With `throttling`, AWS refuses calls that come too fast."""

    path: Path
    description: str
    machines: tuple[FleetMachine, ...]
    starts: tuple[Start, ...]
    faults: tuple[Fault, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    documents: tuple[Document, ...] = ()
    seed: int = 0
    begins: datetime = BEGINS
    limit: timedelta = LIMIT
    throttling: bool = False
    runs: RunsSpec = NO_RUNS
    groups: tuple[FleetGroup, ...] = ()
    rolls: tuple[RollStart, ...] = ()

    def promise_of(self, group: FleetGroup) -> tuple[int, int | None]:
        """Return how many members may be out at once, and how many have to stay healthy, by the widest policy.

        None where all of them leave it to what is wanted of the group at each moment, less those that may be out.
        """
        policies = [roll.input.get("policy", {}) for roll in self.rolls if roll.group == group.name]
        policies += [run.input.get("policy", {}) for run in self.runs.by_hand]
        policies += [window.input.get("policy", {}) for window in self.runs.windows]
        policies += [{}] if self.runs.window is not None or not policies else []
        promises = [_promise({**self.policy, **policy}, group.serving) for policy in policies]
        named = [least for _, least in promises if least is not None]
        return max(batch for batch, _ in promises), min(named) if len(named) == len(promises) else None

    @property
    def zone(self) -> tzinfo | None:
        """Return the time zone in which people read times: the stack's where the file gives one."""
        name = self.parameters.get("TimeZone")
        return ZoneInfo(name) if name else self.begins.tzinfo


def load_fleet_file(path: Path) -> FleetFile:
    """Read and check a fleet file.

    Raises FleetFileError with every mistake of the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FleetFileError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise FleetFileError([f"{path}: is not UTF-8 text"]) from error
    return read_fleet(text, path)


def read_fleet(text: str, path: Path) -> FleetFile:
    """Read a fleet from text; `path` only names it. Raises FleetFileError with every mistake."""
    try:
        source = MarkedText(text, str(path))
    except UnreadableTextError as error:
        raise FleetFileError([str(error)]) from error
    mistakes = source.mistakes + list(find_wrong_shape(source))
    if not mistakes:
        mistakes = [
            *_find_wrong_names(source),
            *_find_wrong_settings(source),
            *find_wrong_machines(source),
            *find_wrong_patches(source),
            *find_wrong_faults(source),
            *find_wrong_runs(source.value, members_of(source.value), source.at),
            *find_wrong_groups(source.value, members_of_groups(source.value), source.at),
        ]
    if mistakes:
        raise FleetFileError(sorted(mistakes, key=line_of))
    return _build(source, path)


def _find_wrong_names(source: MarkedText) -> Iterator[str]:
    """Find machines of the same name, and starts that name a machine the file does not have."""
    names: set[str] = set()
    for index, entry in enumerate(source.value["instances"]):
        mine = set(names_of(entry)) | {entry["name"]}
        if mine & names or entry["name"] == "all":
            yield source.at(
                ("instances", index, "name"), f"instances[{index}].name: {entry['name']!r} is already taken"
            )
        names |= mine
    for index, start in enumerate(source.value.get("start", [])):
        wanted = start["instances"] if isinstance(start["instances"], list) else [start["instances"]]
        for name in wanted:
            if name not in names and name != "all":
                yield source.at(
                    ("start", index, "instances"), f"start[{index}].instances: {unknown_machine(name, names)}"
                )


def _find_wrong_settings(source: MarkedText) -> Iterator[str]:
    """Find what Drydock itself would not take: template parameters and policies."""
    known = _template_parameters()
    for key, value in source.value.get("parameters", {}).items():
        if key not in known:
            unknown = not_among(key, sorted(known))
            yield source.at(("parameters", key), f"parameters: the template has no {unknown}")
        elif wrong := _wrong_parameter(_parameter(value), known[key]):
            yield source.at(("parameters", key), f"parameters.{key}: {wrong}, got {shown(value)}")
        elif key == "TimeZone" and value not in available_timezones():
            yield source.at(("parameters", key), f"parameters.{key}: expected an IANA time zone, got {shown(value)}")
    yield from _find_policy_mistakes(source, ("policy",), source.value.get("policy"))
    for section in ("start", "rolls"):
        for index, start in enumerate(source.value.get(section, [])):
            policy = start.get("input", {}).get("policy")
            yield from _find_policy_mistakes(source, (section, index, "input", "policy"), policy)


def _find_policy_mistakes(source: MarkedText, path: KeyPath, policy: Any) -> Iterator[str]:
    if policy is None:
        return
    _, mistakes = read_settings(json.dumps(policy))
    for mistake in mistakes:
        yield source.at((*path, *path_of(mistake)[1:]), mistake)


def _promise(given: Mapping[str, Any], desired: int) -> tuple[int, int | None]:
    policy, _ = effective_policy("{}", "policy", given)
    return policy["batch"], least_healthy(policy, desired) if str(policy["minHealthy"]) else None


@cache
def _template_parameters() -> dict[str, dict[str, Any]]:
    """Return the template's parameters by name, without understanding the tags in its other sections."""
    loader = LOADER((PROJECT / "template.yaml").read_text(encoding="utf-8"))
    try:
        template: Any = loader.get_single_node()
        sections = {key.value: value for key, value in template.value}
        parameters: Any = loader.construct_mapping(sections["Parameters"], deep=True)
    finally:
        loader.dispose()
    return dict(parameters)


def _wrong_parameter(value: str, parameter: Mapping[str, Any]) -> str:
    """Return what the template expects of a parameter that this value is not; nothing when it is."""
    allowed = [str(one) for one in parameter.get("AllowedValues", [])]
    if allowed and value not in allowed:
        return f"expected one of {', '.join(allowed)}"
    if not re.fullmatch(parameter.get("AllowedPattern", ".*"), value):
        return str(parameter.get("ConstraintDescription", f"expected {parameter['AllowedPattern']}"))
    return ""


def _build(source: MarkedText, path: Path) -> FleetFile:
    data = source.value
    machines: list[FleetMachine] = []
    members = members_of(data)
    runs, rolls = build_runs(data, members), build_rolls(data)
    groups = build_groups(data, members_of_groups(data), source.lines.__getitem__)
    # Where there are runs or rolls, they say which machines are worked on.
    starts = data.get("start", [{"instances": "all"}] if runs.is_empty and not rolls else [])
    started = {
        name
        for start in starts
        for name in ([start["instances"]] if isinstance(start["instances"], str) else start["instances"])
    }
    rolled = {name for group in groups if group.name in {roll.group for roll in rolls} for name in group.members}
    for index, entry in enumerate(data["instances"]):
        line = source.lines[("instances", index, "name")]
        for name in names_of(entry):
            is_started = bool(started & {"all", entry["name"], name}) or name in rolled
            machines.append(build_machine(name, entry, line, is_started, runs))
    return FleetFile(
        path=path,
        description=data.get("description", "").strip(),
        machines=tuple(machines),
        starts=tuple(_starts(starts, members)),
        faults=build_faults(data, members),
        parameters={key: _parameter(value) for key, value in data.get("parameters", {}).items()},
        policy=data.get("policy", {}),
        documents=tuple(
            Document(one["name"], tuple(one.get("platforms", ("Linux", "Windows"))))
            for one in data.get("documents", [])
        ),
        seed=data.get("seed", 0),
        begins=datetime.fromisoformat(data["begins"]) if "begins" in data else BEGINS,
        limit=timedelta(seconds=seconds(data["limit"])) if "limit" in data else LIMIT,
        throttling=data.get("throttling", False),
        runs=runs,
        groups=groups,
        rolls=rolls,
    )


def _parameter(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _starts(entries: Sequence[Mapping[str, Any]], members: Mapping[str, list[str]]) -> Iterator[Start]:
    for entry in entries:
        wanted = [entry["instances"]] if isinstance(entry["instances"], str) else entry["instances"]
        at = seconds(entry.get("at", 0))
        for name in [machine for one in wanted for machine in members[one]]:
            yield Start(name, timedelta(seconds=at), entry.get("input", {}))
            at += seconds(entry.get("every", 0))
