"""Reads a fleet file: the machines, settings, starts, runs and faults of one rehearsal, in YAML.

The shape of a fleet file is `fleets/fleet.schema.json`. Everything that is wrong with a file is told at once,
each with its line and with what was expected there.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import jsonschema
import yaml

from drydock.group.rules import least_healthy
from drydock.request.policy import effective_policy, read_settings
from drydock_files.marked_text import KeyPath, MarkedText, UnreadableTextError, path_of
from rehearsal.engine.project import PACKAGE, PROJECT
from rehearsal.play.faults import (
    DelayEvents,
    DoubleEvents,
    FailCall,
    Fault,
    KillFunction,
    LoseCancellations,
    LoseEvents,
    Moment,
    StopExecution,
    StopInstance,
    StopRun,
    TerminateInstance,
)
from rehearsal.play.fleet_groups import FleetGroup, RollStart, build_groups, build_rolls, find_wrong_groups
from rehearsal.play.fleet_runs import (
    NO_RUNS,
    RunsSpec,
    build_runs,
    find_wrong_runs,
    run_names,
    seconds,
)
from rehearsal.world.machines import Durations, MachineSpec
from rehearsal.world.patch_states import parse_patch

FLEETS = PACKAGE / "fleets"
DEFAULT_FLEET = FLEETS / "default.yaml"
BEGINS = datetime.fromisoformat("2026-01-13T01:00:00+09:00")
LIMIT = timedelta(hours=48)

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

TYPES = {
    "object": "keys and values",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
}

AIMED_FAULTS: Mapping[str, Callable[[str, Moment], Fault]] = {
    "stopExecution": StopExecution,
    "stopInstance": StopInstance,
    "terminateInstance": TerminateInstance,
}
"""What somebody does to one machine at some moment."""


class FleetFileError(Exception):
    """Raised when a fleet file cannot be rehearsed; the message has one line per mistake, `file:line: what`."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


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

    def promise_of(self, group: FleetGroup) -> tuple[int, int]:
        """Return how many members may be out at once, and how many have to stay healthy, by the widest policy."""
        policies = [roll.input.get("policy", {}) for roll in self.rolls if roll.group == group.name]
        policies += [run.input.get("policy", {}) for run in self.runs.by_hand]
        policies += [{}] if self.runs.window is not None or not policies else []
        promises = [_promise({**self.policy, **policy}, len(group.members)) for policy in policies]
        return max(batch for batch, _ in promises), min(least for _, least in promises)

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
    mistakes = source.mistakes + list(_find_mistakes(source))
    if not mistakes:
        mistakes = [
            *_find_wrong_names(source),
            *_find_wrong_settings(source),
            *_find_wrong_patches(source),
            *find_wrong_runs(source.value, _members(source.value), source.at),
            *find_wrong_groups(source.value, _members_of_groups(source.value), source.at),
        ]
    if mistakes:
        raise FleetFileError(sorted(mistakes, key=_line_of))
    return _build(source, path)


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((FLEETS / "fleet.schema.json").read_text(encoding="utf-8"))
    return schema


def _line_of(mistake: str) -> tuple[int, str]:
    line = re.search(r":(\d+): ", mistake)
    return (int(line.group(1)) if line else 0, mistake)


def _find_mistakes(source: MarkedText) -> Iterator[str]:
    checker = jsonschema.FormatChecker()
    checker.checks("date-time", raises=ValueError)(_is_moment)
    validator = jsonschema.Draft202012Validator(_schema(), format_checker=checker)
    for error in validator.iter_errors(source.value):
        yield from _explain(error, source)


def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def _explain(error: jsonschema.ValidationError, source: MarkedText) -> Iterator[str]:
    """Say in plain words what the schema found, one line per key or value."""
    path: KeyPath = tuple(error.absolute_path)
    place = _dotted(path)
    given: Any = error.instance
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
    if error.validator == "additionalProperties":
        known = sorted(schema.get("properties", {}))
        for key in sorted(set(given) - set(known)):
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
            yield source.at((*path, key), f"unknown key {_dotted((*path, key))!r}; {hint}")
    elif error.validator == "required":
        missing = [key for key in schema["required"] if key not in given]
        if error.message.startswith(repr(missing[0])):
            yield source.at(path, f"{place or 'the file'} has no {', '.join(map(repr, missing))}")
    elif error.validator in ("minProperties", "maxProperties"):
        keys = ", ".join(sorted(schema.get("properties", {})))
        yield source.at(path, f"{place}: expected {_how_many(schema)} of: {keys}")
    else:
        yield source.at(path, f"{place or 'the file'}: expected {_expected(error, schema)}, got {_shown(given)}")


def _how_many(schema: Mapping[str, Any]) -> str:
    return "exactly one" if schema.get("maxProperties") == 1 else "at least one"


def _expected(error: jsonschema.ValidationError, schema: Mapping[str, Any]) -> str:
    if "expected" in schema:
        return str(schema["expected"])
    if error.validator == "enum":
        return "one of " + ", ".join(map(str, schema["enum"]))
    if error.validator == "type":
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        hint = " (put it in quotes)" if types == ["string"] and not isinstance(error.instance, dict | list) else ""
        return " or ".join(TYPES[one] for one in types) + hint
    if error.validator == "minimum":
        return f"at least {schema['minimum']}"
    if error.validator == "maximum":
        return f"at most {schema['maximum']}"
    if error.validator in ("minItems", "minLength"):
        return "something here"
    return str(error.message)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _dotted(path: KeyPath) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _find_wrong_names(source: MarkedText) -> Iterator[str]:
    """Find machines of the same name, and starts and faults that name a machine the file does not have."""
    names: set[str] = set()
    for index, entry in enumerate(source.value["instances"]):
        mine = set(_names(entry)) | {entry["name"]}
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
                    ("start", index, "instances"), f"start[{index}].instances: {_unknown_machine(name, names)}"
                )
    for index, fault in enumerate(source.value.get("faults", [])):
        [(kind, settings)] = fault.items()
        path: KeyPath = ("faults", index, kind)
        if "instance" in settings and settings["instance"] not in names:
            yield source.at(
                (*path, "instance"), f"{_dotted(path)}.instance: {_unknown_machine(settings['instance'], names)}"
            )
        if kind == "stopRun" and settings["run"] not in (runs := run_names(source.value)):
            unknown = f"there is no run {_not_among(settings['run'], runs)}"
            yield source.at((*path, "run"), f"{_dotted(path)}.run: {unknown}")
        if kind in (*AIMED_FAULTS, "stopRun") and ("state" in settings) == ("at" in settings):
            yield source.at(path, f"{_dotted(path)}: expected either 'state' or 'at'")
        if kind == "killFunction" and "call" not in settings and "invocation" not in settings:
            yield source.at(path, f"{_dotted(path)}: expected 'call', 'invocation' or both")


def _find_wrong_settings(source: MarkedText) -> Iterator[str]:
    """Find what Drydock itself would not take: template parameters, states, functions and policies."""
    known = _template_parameters()
    for key, value in source.value.get("parameters", {}).items():
        if key not in known:
            unknown = _not_among(key, sorted(known))
            yield source.at(("parameters", key), f"parameters: the template has no {unknown}")
        elif wrong := _wrong_parameter(_parameter(value), known[key]):
            yield source.at(("parameters", key), f"parameters.{key}: {wrong}, got {_shown(value)}")
        elif key == "TimeZone" and value not in available_timezones():
            yield source.at(("parameters", key), f"parameters.{key}: expected an IANA time zone, got {_shown(value)}")
    for index, fault in enumerate(source.value.get("faults", [])):
        [(kind, settings)] = fault.items()
        if "state" in settings and settings["state"] not in (states := _state_names()):
            path = ("faults", index, kind, "state")
            yield source.at(
                path, f"{_dotted(path)}: no state machine has a state {_not_among(settings['state'], states)}"
            )
        functions = sorted(app.parent.name for app in (PROJECT / "functions").glob("*/app.py"))
        if kind == "killFunction" and settings["function"] not in functions:
            path = ("faults", index, kind, "function")
            yield source.at(
                path, f"{_dotted(path)}: there is no function {_not_among(settings['function'], functions)}"
            )
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


def _promise(given: Mapping[str, Any], desired: int) -> tuple[int, int]:
    policy, _ = effective_policy("{}", "policy", given)
    return policy["batch"], least_healthy(policy, desired)


def _find_wrong_patches(source: MarkedText) -> Iterator[str]:
    for index, entry in enumerate(source.value["instances"]):
        for number, patch in enumerate(missing if isinstance(missing := entry.get("missing", 0), list) else ()):
            try:
                parse_patch(patch, entry.get("platform", "Linux"), BEGINS.date())
            except ValueError:
                path = ("instances", index, "missing", number)
                yield source.at(
                    path, f"{_dotted(path)}: expected NAME [SEVERITY] [CATEGORY] [YYYY-MM-DD], got {_shown(patch)}"
                )


@cache
def _template_parameters() -> dict[str, dict[str, Any]]:
    """Return the template's parameters by name, without understanding the tags in its other sections."""
    loader = yaml.SafeLoader((PROJECT / "template.yaml").read_text(encoding="utf-8"))
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


@cache
def _state_names() -> tuple[str, ...]:
    """Return the names of the states of all state machines, nested ones too."""
    names: list[str] = []

    def read(definition: Any) -> None:
        if isinstance(definition, dict):
            names.extend(definition.get("States", {}))
            for value in definition.values():
                read(value)
        elif isinstance(definition, list):
            for value in definition:
                read(value)

    for path in sorted((PROJECT / "statemachines").glob("*.asl.yaml")):
        read(yaml.safe_load(path.read_text(encoding="utf-8")))
    return tuple(names)


def _not_among(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name!r}" + (f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}")


def _unknown_machine(name: str, names: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(names), n=1)
    return f"there is no machine {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")


def _names(entry: Mapping[str, Any]) -> list[str]:
    """Return the names of an entry's machines: its own, or `web-01` to `web-12` for a count of 12."""
    count = entry.get("count")
    if count is None:
        return [entry["name"]]
    return [f"{entry['name']}-{number:0{len(str(count))}d}" for number in range(1, count + 1)]


def _members(data: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the machines that each name stands for: an entry's, a machine's own, and 'all'."""
    members: dict[str, list[str]] = {}
    for entry in data["instances"]:
        members[entry["name"]] = _names(entry)
        members.update({name: [name] for name in _names(entry) if name != entry["name"]})
    return {**members, "all": [name for entry in data["instances"] for name in _names(entry)]}


def _members_of_groups(data: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the machines of each Auto Scaling group that a machine names."""
    members: dict[str, list[str]] = {}
    for entry in data["instances"]:
        if "group" in entry:
            members.setdefault(entry["group"], []).extend(_names(entry))
    return members


def _build(source: MarkedText, path: Path) -> FleetFile:
    data = source.value
    machines: list[FleetMachine] = []
    members = _members(data)
    runs, rolls = build_runs(data, members), build_rolls(data)
    groups = build_groups(data, _members_of_groups(data), source.lines.__getitem__)
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
        for name in _names(entry):
            is_started = bool(started & {"all", entry["name"], name}) or name in rolled
            expect = _expectation(entry, is_started, runs)
            history = tuple(timedelta(seconds=seconds(one)) for one in entry.get("history", []))
            machines.append(FleetMachine(_spec(name, entry), expect, entry["name"], line, history))
    return FleetFile(
        path=path,
        description=data.get("description", "").strip(),
        machines=tuple(machines),
        starts=tuple(_starts(starts, members)),
        faults=tuple(
            _fault(kind, settings, members) for fault in data.get("faults", []) for kind, settings in fault.items()
        ),
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


def _expectation(entry: Mapping[str, Any], is_started: bool, runs: RunsSpec) -> Expectation:
    """Return what is expected of a machine: as its entry says, and otherwise a success in the power state it had."""
    usual: dict[str, Any] = {"power": entry.get("power", "running")}
    if is_started or runs.is_empty:
        usual["outcome"] = "succeeded" if is_started else "none"
    elif "outcome" not in entry.get("expect", {}):
        usual["run"] = "succeeded"
    return Expectation(**{**usual, **entry.get("expect", {})})


def _spec(name: str, entry: Mapping[str, Any]) -> MachineSpec:
    given = {
        "power": "power",
        "pendingReboot": "pending_reboot",
        "agentVersion": "agent_version",
        "cloudWatchAgentVersion": "cloudwatch_agent_version",
        "clockSkew": "clock_skew_seconds",
        "managed": "managed",
        "rootDevice": "root_device",
        "lifecycle": "lifecycle",
        "group": "group",
        "stopProtection": "stop_protection",
    }
    settings = {python: entry[key] for key, python in given.items() if key in entry}
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


def _starts(entries: Sequence[Mapping[str, Any]], members: Mapping[str, list[str]]) -> Iterator[Start]:
    for entry in entries:
        wanted = [entry["instances"]] if isinstance(entry["instances"], str) else entry["instances"]
        at = seconds(entry.get("at", 0))
        for name in [machine for one in wanted for machine in members[one]]:
            yield Start(name, timedelta(seconds=at), entry.get("input", {}))
            at += seconds(entry.get("every", 0))


def _moment(settings: Mapping[str, Any]) -> Moment:
    if "state" in settings:
        return Moment(state=settings["state"], after=seconds(settings.get("after", 0)))
    return Moment(after=seconds(settings["at"]) + seconds(settings.get("after", 0)))


def _fault(kind: str, settings: Mapping[str, Any], members: Mapping[str, list[str]]) -> Fault:
    which = {"detail_type": settings.get("detailType", "*"), "source": settings.get("source", "*")}
    match kind:
        case "loseEvents":
            return LoseEvents(**which)
        case "doubleEvents":
            return DoubleEvents(**which, again=seconds(settings.get("again", 3)))
        case "delayEvents":
            return DelayEvents(**which, by=seconds(settings["by"]))
        case "failCall":
            return FailCall(
                settings["call"],
                settings["error"],
                message=settings.get("message", "rehearsed fault"),
                caller=settings.get("caller", "*"),
                occurrence=settings.get("occurrence", 1),
                times=settings.get("times", 1),
                after_effect=settings.get("when", "before") == "after",
                instance=_machine(settings, members),
            )
        case "killFunction":
            return KillFunction(
                settings["function"],
                call=settings.get("call", 1),
                invocation=settings.get("invocation"),
                after_effect=settings.get("when", "before") == "after",
                instance=_machine(settings, members),
            )
        case "stopRun":
            return StopRun(settings["run"], _moment(settings))
        case "loseCancellations":
            return LoseCancellations()
    machine = _machine(settings, members) or ""
    return AIMED_FAULTS[kind](machine, _moment(settings))


def _machine(settings: Mapping[str, Any], members: Mapping[str, list[str]]) -> str | None:
    """Return the machine that a fault is aimed at, the first one of an entry for many."""
    return members[settings["instance"]][0] if "instance" in settings else None
