"""What a fleet file says of faults: of the account, of machines and runs, and of Auto Scaling groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import yaml

from drydock_files.marked_text import KeyPath, MarkedText
from rehearsal.engine.calls import REGION
from rehearsal.engine.project import PROJECT
from rehearsal.play.faults import (
    CancelCommand,
    ChangeTags,
    DelayEvents,
    DoubleEvents,
    FailCall,
    Fault,
    KillFunction,
    LoseCancellations,
    LoseEvents,
    Moment,
    RunAssociation,
    StopExecution,
    StopInstance,
    StopRun,
    TerminateInstance,
)
from rehearsal.play.fleet_groups import ZONES_OF_A_GROUP
from rehearsal.play.fleet_machines import members_of, members_of_groups
from rehearsal.play.fleet_runs import run_names
from rehearsal.play.fleet_shape import dotted, not_among, seconds, unknown_machine
from rehearsal.play.group_faults import (
    ChangeGroup,
    Contend,
    FailHealthChecks,
    LoseCapacity,
    ScalingPolicy,
    ScheduledAction,
    StartRefresh,
    TerminateMember,
)
from rehearsal.world.group_specs import ZONES

AIMED_FAULTS: Mapping[str, Callable[[str, Moment], Fault]] = {
    "cancelCommand": CancelCommand,
    "stopExecution": StopExecution,
    "stopInstance": StopInstance,
    "terminateInstance": TerminateInstance,
}
"""What somebody does to one machine at some moment."""


def find_wrong_faults(source: MarkedText) -> Iterator[str]:
    """Find faults that name a machine, run, state or function that is not there, or that do not say when."""
    machines = set(members_of(source.value)) - {"all"}
    for index, fault in enumerate(source.value.get("faults", [])):
        [(kind, settings)] = fault.items()
        path: KeyPath = ("faults", index, kind)
        if kind in (*AIMED_FAULTS, "stopRun", "changeTags", "runAssociation"):
            yield from _find_wrong_moment(source, path, settings)
        if "instance" in settings and settings["instance"] not in machines:
            yield source.at(
                (*path, "instance"), f"{dotted(path)}.instance: {unknown_machine(settings['instance'], machines)}"
            )
        if kind == "stopRun" and settings["run"] not in (runs := run_names(source.value)):
            unknown = f"there is no run {not_among(settings['run'], runs)}"
            yield source.at((*path, "run"), f"{dotted(path)}.run: {unknown}")
        if kind == "killFunction":
            yield from _find_wrong_function(source, path, settings)
    for number, group in enumerate(source.value.get("groups", [])):
        for index, fault in enumerate(group.get("faults", [])):
            [(kind, settings)] = fault.items()
            yield from _find_wrong_group_fault(source, ("groups", number, "faults", index, kind), group, settings)


def _find_wrong_group_fault(
    source: MarkedText, path: KeyPath, group: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterator[str]:
    yield from _find_wrong_moment(source, path, settings)
    mine = members_of_groups(source.value).get(group["name"], [])
    named = {name: machines for name, machines in members_of(source.value).items() if name != "all"}
    if "instance" in settings and _machine(settings, named) not in mine:
        unknown = not_among(settings["instance"], mine)
        yield source.at((*path, "instance"), f"{dotted(path)}.instance: the group has no machine {unknown}")
    for zone in settings.get("zones", []):
        if zone not in (zones := ZONES[: group.get("zones", ZONES_OF_A_GROUP)]):
            yield source.at(
                (*path, "zones"), f"{dotted(path)}.zones: the group is in {', '.join(zones)}, not in {zone}"
            )


def _find_wrong_moment(source: MarkedText, path: KeyPath, settings: Mapping[str, Any]) -> Iterator[str]:
    if ("state" in settings) == ("at" in settings):
        yield source.at(path, f"{dotted(path)}: expected either 'state' or 'at'")
    if "state" in settings and settings["state"] not in (states := _state_names()):
        unknown = not_among(settings["state"], states)
        yield source.at((*path, "state"), f"{dotted(path)}.state: no state machine has a state {unknown}")


def _find_wrong_function(source: MarkedText, path: KeyPath, settings: Mapping[str, Any]) -> Iterator[str]:
    functions = sorted(app.parent.name for app in (PROJECT / "functions").glob("*/app.py"))
    if settings["function"] not in functions:
        unknown = not_among(settings["function"], functions)
        yield source.at((*path, "function"), f"{dotted(path)}.function: there is no function {unknown}")
    if "call" not in settings and "invocation" not in settings:
        yield source.at(path, f"{dotted(path)}: expected 'call', 'invocation' or both")


def build_faults(data: Mapping[str, Any], members: Mapping[str, list[str]]) -> tuple[Fault, ...]:
    """Return the faults of a checked file: its own, and after them those of its groups."""
    own = (_fault(kind, settings, members) for fault in data.get("faults", []) for kind, settings in fault.items())
    of_groups = (
        _group_fault(group["name"], kind, settings, members)
        for group in data.get("groups", [])
        for fault in group.get("faults", [])
        for kind, settings in fault.items()
    )
    return (*own, *of_groups)


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
    if kind == "changeTags":
        return ChangeTags(machine, _moment(settings), settings["tags"])
    if kind == "runAssociation":
        return RunAssociation(machine, _moment(settings), settings.get("operation", "Scan"))
    return AIMED_FAULTS[kind](machine, _moment(settings))


def _machine(settings: Mapping[str, Any], members: Mapping[str, list[str]]) -> str | None:
    """Return the machine that a fault is aimed at, the first one of an entry for many."""
    return members.get(settings["instance"], [None])[0] if "instance" in settings else None


def _group_fault(group: str, kind: str, settings: Mapping[str, Any], members: Mapping[str, list[str]]) -> Fault:
    aim: Any = {"group": group, "moment": _moment(settings)}
    lasting: Any = seconds(settings["for"]) if "for" in settings else None
    instance: Any = _machine(settings, members)
    bounds: Any = {key: settings.get(key) for key in ("min", "max", "desired")}
    match kind:
        case "changeGroup":
            return ChangeGroup(**aim, **bounds, suspend=settings.get("suspend", ()), resume=settings.get("resume", ()))
        case "scheduledAction":
            return ScheduledAction(**aim, **bounds)
        case "scalingPolicy":
            return ScalingPolicy(**aim, adjustment=settings["adjustment"])
        case "instanceRefresh":
            given = {key[0].upper() + key[1:]: value for key, value in settings.get("preferences", {}).items()}
            return StartRefresh(**aim, preferences=given)
        case "terminateMember":
            return TerminateMember(**aim, instance=instance, decrement=settings.get("decrement", False))
        case "loseCapacity":
            zones = [f"{REGION}{letter}" for letter in settings.get("zones", ())]
            return LoseCapacity(**aim, zones=zones, seconds=lasting)
        case "failHealthChecks":
            return FailHealthChecks(**aim, instance=instance)
    return Contend(**aim, seconds=lasting)
