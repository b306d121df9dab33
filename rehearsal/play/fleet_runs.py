"""What a fleet file says about runs: the window, runs by hand, people, gates and resource groups.

Times count from the rehearsal's beginning, which is the opening of the window where there is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from drydock.errors import InvalidInputError, InvalidPolicyError
from drydock.plan.run_request import read_run_request
from drydock.request.checking import join_mistakes
from drydock.request.policy import read_settings
from drydock_files.marked_text import KeyPath, path_of
from rehearsal.engine.schedules import check_schedule
from rehearsal.play.fleet_shape import At, dotted, seconds
from rehearsal.world.gates import AlarmState

Deed = Literal["approve", "reject", "sleep"]
Way = Literal["url", "link", "parameter"]
Topic = Literal["results", "approvals"]

WINDOW = "window"
"""What a fleet file calls the run of its window's first execution."""

_ANY_ID = "i-" + "0" * 17
_ANY_WINDOW = "mw-" + "0" * 17
_ANY_EXECUTION = "00000000-0000-4000-8000-000000000000"

COUNTS = {
    "succeeded": "succeeded",
    "failed": "failed",
    "busy": "busy",
    "gone": "gone",
    "skipped": "skipped",
    "notAttempted": "not_attempted",
    "alreadyCompliant": "already_compliant",
}
"""The counts of a run's machines, as a fleet file and as Drydock's reports call them."""


@dataclass(frozen=True)
class RunExpectation:
    """How a run is expected to end; None means that anything will do. `counts` are all that are not zero."""

    outcome: str | None = None
    error: str | None = None
    counts: Mapping[str, int] | None = None
    left_out: int | None = None


Targets = tuple[Mapping[str, Any], ...]
"""One target of a window, as it is registered: all of its keys have to fit."""


@dataclass(frozen=True)
class WindowSpec:
    """The stack's maintenance window: what is registered with it beside its own target, and its executions."""

    targets: tuple[Targets, ...] = ()
    executions: tuple[RunExpectation, ...] = (RunExpectation(),)


@dataclass(frozen=True)
class OtherWindowSpec:
    """A maintenance window that somebody has made, with a task that starts MaintenanceRun.

    `settings` are as in CreateMaintenanceWindow, `input` is what the task's input has beside `window`.
    """

    name: str
    settings: Mapping[str, Any]
    targets: tuple[Targets, ...]
    input: Mapping[str, Any]
    executions: tuple[RunExpectation, ...]


@dataclass(frozen=True)
class RunSpec:
    """A run that somebody starts by hand, `at` after the rehearsal's beginning.

    Where its input wants ids of instances, it has names of machines.
    """

    name: str
    input: Mapping[str, Any]
    at: timedelta = timedelta(0)
    expect: RunExpectation = RunExpectation()


@dataclass(frozen=True)
class Person:
    """Somebody who is asked for approval, and what comes of it so long `after` the mail."""

    name: str
    does: Deed
    after: timedelta = timedelta(minutes=5)
    by: Way = "url"
    reason: str = ""
    is_approver: bool = True


@dataclass(frozen=True)
class CalendarSpec:
    """A change calendar: open or not at first, and when that changes."""

    name: str
    is_open: bool = True
    changes: tuple[tuple[timedelta, bool], ...] = ()


@dataclass(frozen=True)
class AlarmSpec:
    """An alarm of CloudWatch: its state at first, and when that changes."""

    name: str
    state: AlarmState = "OK"
    changes: tuple[tuple[timedelta, AlarmState], ...] = ()


@dataclass(frozen=True)
class SubscriptionSpec:
    """Somebody who is subscribed to one of the stack's topics by mail, and has confirmed it or not."""

    topic: Topic
    email: str
    is_confirmed: bool = True


@dataclass(frozen=True)
class ResourceGroupSpec:
    """A resource group, of the machines with these tags, or of these machines."""

    name: str
    tags: Mapping[str, str] | None = None
    machines: tuple[str, ...] | None = None


@dataclass(frozen=True)
class RunsSpec:
    """All that a fleet file says about runs."""

    window: WindowSpec | None = None
    windows: tuple[OtherWindowSpec, ...] = ()
    by_hand: tuple[RunSpec, ...] = ()
    people: tuple[Person, ...] = ()
    subscriptions: tuple[SubscriptionSpec, ...] = ()
    calendars: tuple[CalendarSpec, ...] = ()
    alarms: tuple[AlarmSpec, ...] = ()
    groups: tuple[ResourceGroupSpec, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Say whether the rehearsal has no run at all."""
        return self.window is None and not self.by_hand and not self.windows


NO_RUNS = RunsSpec()


def run_names(data: Mapping[str, Any]) -> list[str]:
    """Return what a file calls its runs: by their names, and by their windows' names those of first executions."""
    named = [entry["name"] for section in ("windows", "runs") for entry in data.get(section, [])]
    return [*([WINDOW] if "window" in data else []), *named]


def find_wrong_runs(data: Mapping[str, Any], members: Mapping[str, Sequence[str]], at: At) -> Iterator[str]:
    """Find what does not fit together in a file whose shape is right. `members` are the machines of each name."""
    yield from _find_repeated_names(data, at)
    yield from _find_wrong_people(data, at)
    for index, group in enumerate(data.get("resourceGroups", [])):
        path: KeyPath = ("resourceGroups", index)
        if ("tags" in group) == ("instances" in group):
            yield at(path, f"resourceGroups[{index}]: expected either 'tags' or 'instances'")
        for name in group.get("instances", []):
            if name not in members:
                yield at((*path, "instances"), f"resourceGroups[{index}].instances: there is no machine {name!r}")
    for index, run in enumerate(data.get("runs", [])):
        # What is expected to be refused may be wrong.
        if run.get("expect", {}).get("outcome") != "refused":
            yield from _find_wrong_input(data, ("runs", index), run["input"], members, at)
    for index, window in enumerate(data.get("windows", [])):
        if window["name"] == WINDOW:
            yield at(("windows", index, "name"), f"windows[{index}].name: 'window' is the stack's own")
        try:
            check_schedule(window["schedule"], window.get("timeZone"), 0)
        except ValueError as error:
            key = "timeZone" if "time zone" in str(error) else "schedule"
            yield at(("windows", index, key), f"windows[{index}].{key}: {error}")
        if any(execution.get("expect", {}).get("outcome") == "refused" for execution in window.get("executions", [])):
            continue
        given = {"window": {"windowId": _ANY_WINDOW, "executionId": _ANY_EXECUTION}, **window.get("input", {})}
        yield from _find_wrong_input(data, ("windows", index), given, members, at)


def build_runs(data: Mapping[str, Any], members: Mapping[str, Sequence[str]]) -> RunsSpec:
    """Return what a checked file says about runs."""
    way: Way = "link" if _uses_links(data) else "url"
    window = data.get("window")
    return RunsSpec(
        window=None if window is None else WindowSpec(_targets(window), _executions(window)),
        windows=tuple(_other_window(data, entry) for entry in data.get("windows", [])),
        by_hand=tuple(
            RunSpec(run["name"], run["input"], _time(run.get("at", 0)), _expectation(run))
            for run in data.get("runs", [])
        ),
        people=tuple(
            Person(
                person["name"],
                person["does"],
                _time(person.get("after", "5m")),
                person.get("by", way),
                person.get("reason", ""),
                person.get("isApprover", True),
            )
            for person in data.get("people", [])
        ),
        subscriptions=tuple(
            SubscriptionSpec(one["topic"], one["email"], one.get("confirmed", True))
            for one in data.get("subscriptions", [])
        ),
        calendars=tuple(
            CalendarSpec(
                one["name"],
                one.get("state", "open") == "open",
                tuple((_time(change["at"]), change["state"] == "open") for change in one.get("changes", [])),
            )
            for one in data.get("calendars", [])
        ),
        alarms=tuple(
            AlarmSpec(
                one["name"],
                one.get("state", "OK"),
                tuple((_time(change["at"]), change["state"]) for change in one.get("changes", [])),
            )
            for one in data.get("alarms", [])
        ),
        groups=tuple(
            ResourceGroupSpec(
                one["name"],
                one.get("tags"),
                tuple(machine for name in one["instances"] for machine in members[name])
                if "instances" in one
                else None,
            )
            for one in data.get("resourceGroups", [])
        ),
    )


def with_ids(targets: Any, ids: Mapping[str, Sequence[str]]) -> Any:
    """Return targets with the ids of instances where they have names of machines."""
    if not isinstance(targets, list | tuple):
        return targets
    return [
        {**target, "values": [one for value in target["values"] for one in ids.get(str(value), [value])]}
        if isinstance(target, dict) and target.get("key") == "InstanceIds" and isinstance(target.get("values"), list)
        else target
        for target in targets
    ]


def _time(value: str | int) -> timedelta:
    return timedelta(seconds=seconds(value))


def _uses_links(data: Mapping[str, Any]) -> bool:
    return bool(data.get("parameters", {}).get("ApprovalAuth") == "LINK")


def _other_window(data: Mapping[str, Any], entry: Mapping[str, Any]) -> OtherWindowSpec:
    settings = {
        "Name": entry["name"],
        "Schedule": entry["schedule"],
        "ScheduleTimezone": entry.get("timeZone", data.get("parameters", {}).get("TimeZone", "UTC")),
        "Duration": entry["durationHours"],
        "Cutoff": entry.get("cutoffHours", 0),
    }
    return OtherWindowSpec(entry["name"], settings, _targets(entry), entry.get("input", {}), _executions(entry))


def _targets(window: Mapping[str, Any]) -> tuple[Targets, ...]:
    return tuple(tuple(group) for group in window.get("targets", []))


def _executions(window: Mapping[str, Any]) -> tuple[RunExpectation, ...]:
    return tuple(_expectation(execution) for execution in window.get("executions", [{}]))


def _expectation(entry: Mapping[str, Any]) -> RunExpectation:
    given = entry.get("expect", {})
    counts = given.get("counts")
    return RunExpectation(
        outcome=given.get("outcome"),
        error=given.get("error"),
        counts=None if counts is None else {name: counts.get(key, 0) for key, name in COUNTS.items()},
        left_out=given.get("leftOut"),
    )


def _find_repeated_names(data: Mapping[str, Any], at: At) -> Iterator[str]:
    for section in ("runs", "windows", "people", "calendars", "alarms", "resourceGroups"):
        names: set[str] = set()
        for index, entry in enumerate(data.get(section, [])):
            if entry["name"] in names:
                yield at((section, index, "name"), f"{section}[{index}].name: {entry['name']!r} is already taken")
            names.add(entry["name"])


def _find_wrong_people(data: Mapping[str, Any], at: At) -> Iterator[str]:
    ways = ("link", "parameter") if _uses_links(data) else ("url", "parameter")
    for index, person in enumerate(data.get("people", [])):
        if person.get("by", ways[0]) not in ways:
            auth = "LINK" if _uses_links(data) else "IAM"
            yield at(
                ("people", index, "by"),
                f"people[{index}].by: expected {' or '.join(ways)} while the parameter ApprovalAuth is {auth}, "
                f'got "{person["by"]}"',
            )


def _find_wrong_input(
    data: Mapping[str, Any],
    where: tuple[str, int],
    input: Mapping[str, Any],
    members: Mapping[str, Sequence[str]],
    at: At,
) -> Iterator[str]:
    """Find what MaintenanceRun would refuse of the input of an entry."""
    given = dict(input)
    if "targets" in given:
        given["targets"] = with_ids(given["targets"], {name: [_ANY_ID] for name in members})
    for mistake in _mistakes_of(given, _ANY_EXECUTION, data.get("policy", {})):
        path = path_of(mistake)
        inside = path[1:] if path[:1] == ("input",) else path
        yield at((*where, "input", *inside), f"{dotted(where)}.input: {mistake}")


def _mistakes_of(given: Mapping[str, Any], name: str, policy: Mapping[str, Any]) -> Iterator[str]:
    settings = json.dumps(policy)
    if read_settings(settings)[1]:
        return  # told already, at the place of the settings
    separator = join_mistakes(["", ""])
    try:
        read_run_request(given, settings, "policy", name)
    except (InvalidInputError, InvalidPolicyError) as error:
        yield from str(error).split(separator)
