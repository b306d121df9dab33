"""The cases of the crash matrix: every point of every flow, in every way in which it can go wrong there.

A point is a call that a function makes, or a state that takes time.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rehearsal.proof.flows import FLOWS

HANG_SECONDS = 50.0
"""A function that hangs so long is still within its time-out of 60 s."""

REFUSED_HOURS = 3
"""How long it takes until somebody gives a function its permission back."""

AT_CALLS = {
    "dies_before": "the function dies before the call takes effect",
    "dies_after": "the function dies after the effect, before the reply",
    "times_out": "the function hangs before the effect until it is over",
    "hangs": f"the function hangs for {HANG_SECONDS:g} s before the effect and goes on",
    "throttled": "the call is throttled once, for longer than the client retries",
    "answer_lost": "the call takes effect, and its answer is an error of AWS's",
    "refused": f"the call is refused to this function for {REFUSED_HOURS} hours",
    "stopped": "StopExecution comes before the effect, the function goes on",
    "stopped_hung": f"as stopped, and the function hangs for {HANG_SECONDS:g} s before it goes on",
    "redriven": "as stopped, and redriven 5 s later",
    "redriven_late": "as stopped, and redriven when all is quiet",
}
"""What happens to a call that changes something."""

AT_READS = ("dies_before", "dies_after", "throttled", "answer_lost")
"""What happens to a call that only reads, the first of its kind in a flow."""

AT_STATES = {
    "stopped_at_once": 0.0,
    "stopped_soon": 0.12,
    "stopped_later": 90.0,
    "child_stopped": 0.12,
    "redriven_soon": 0.12,
    "redriven_after": 0.12,
}
"""How many seconds after the state was entered somebody stops the execution, or the child of its Map that is in the
state; redriven 5 s later, or after all was quiet. A function makes a call every 0.05 s."""

MODES = (*AT_CALLS, *AT_STATES)

COMPLETES = ("clean", "dies_before", "dies_after", "times_out", "hangs", "throttled", "answer_lost")
"""After these the flow goes on, and ends as it does undisturbed."""

REDRIVEN_LATE = ("redriven_late", "redriven_after")
REDRIVEN = ("redriven", "redriven_soon", *REDRIVEN_LATE)
STOPS = ("stopped", "stopped_hung", "stopped_at_once", "stopped_soon", "stopped_later", *REDRIVEN)
"""These stop the execution, so they are not for a flow that is stopped anyway."""


@dataclass(frozen=True)
class Point:
    """Where something can happen: a call of a function, as `ec2:CreateImage`, or a state, which nothing calls."""

    kind: Literal["change", "read", "state", "child"]
    """A call that changes something or one that does not; a state of the execution or of a child of its Map."""
    function: str
    what: str
    text: str

    @property
    def modes(self) -> tuple[str, ...]:
        """In which ways something can happen here."""
        if self.kind == "change":
            return tuple(AT_CALLS)
        if self.kind == "read":
            return AT_READS
        return tuple(mode for mode in AT_STATES if self.kind == "child" or mode != "child_stopped")


@dataclass(frozen=True)
class Case:
    """One run: mode `clean` disturbs nothing, `number` counts the points from 1.

    `then` is a second disturbance: mode and number. What follows the first one may be another point than in a clean
    run, or none at all. With `loses_events` no event arrives; with `loses_cancellations` what an execution has started
    runs on when it is stopped.
    """

    flow: str
    mode: str = "clean"
    number: int = 0
    loses_events: bool = False
    loses_cancellations: bool = False
    then: tuple[str, int] | None = None

    def __str__(self) -> str:
        second = f"+{self.then[0]}:{self.then[1]}" if self.then else ""
        lost = (":lost" if self.loses_events else "") + (":uncancelled" if self.loses_cancellations else "")
        return f"{self.flow}:{self.mode}:{self.number}{second}{lost}"

    @classmethod
    def read(cls, text: str) -> Case:
        """Read what `str` wrote. Raises ValueError."""
        found = re.fullmatch(r"([\w-]+):(\w+):(\d+)(?:\+(\w+):(\d+))?(:lost)?(:uncancelled)?", text)
        if found is None:
            raise ValueError(f"{text}: is not FLOW:MODE:K, or FLOW:MODE:K+MODE:K, with :lost or :uncancelled or both")
        flow, mode, number, second, second_number, lost, uncancelled = found.groups()
        if flow not in FLOWS or mode not in (*MODES, "clean") or (second and second not in MODES):
            raise ValueError(f"{text}: known are the flows {', '.join(FLOWS)} and the modes {', '.join(MODES)}")
        return cls(
            flow, mode, int(number), bool(lost), bool(uncancelled), (second, int(second_number)) if second else None
        )

    @property
    def modes(self) -> dict[int, str]:
        """What happens at which point."""
        first = {} if self.mode == "clean" else {self.number: self.mode}
        return first | ({self.then[1]: self.then[0]} if self.then else {})

    @property
    def loses(self) -> bool:
        """Whether events or cancellations get lost in it."""
        return self.loses_events or self.loses_cancellations

    @property
    def beginning(self) -> Case:
        """The undisturbed case with which this one has everything in common up to its point."""
        return Case(self.flow, loses_events=self.loses_events, loses_cancellations=self.loses_cancellations)


Points = Mapping[str, Sequence[Point]]
"""The points of each flow, in the order in which an undisturbed run comes to them."""


def all_cases(points: Points, modes: Iterable[str] = MODES) -> list[Case]:
    """The whole matrix."""
    wanted = set(modes)
    return [case for flow in points for case, _ in _cases_of(flow, points[flow]) if case.mode in wanted]


def _cases_of(flow: str, points: Sequence[Point]) -> Iterator[tuple[Case, Point]]:
    """The cases of one flow, each with its point."""
    seen: set[Point] = set()
    for number, point in enumerate(points, 1):
        is_change, repeats = point.kind == "change", FLOWS[flow].repeats
        # What is read again is read for the same reason; a state may be entered again by an attempt or another member.
        alike = replace(point, text=re.sub("[0-9]+", "", point.text) if is_change else "")
        again = alike in seen
        seen.add(alike)
        if again and (not is_change or repeats):
            continue
        for mode in point.modes:
            if not (FLOWS[flow].stopped_in and mode in STOPS):
                yield Case(flow, mode, number), point


def choose_cases(
    points: Points, modes: Sequence[str], sample: int | None, lost: int, pairs: int, seed: int
) -> list[Case]:
    """The undisturbed runs, the matrix or a sample of it, and so many cases that lose events or are disturbed twice."""
    matrix = all_cases(points, modes)
    chance = random.Random(seed)
    losing = [lose(case, chance) for case in chance.sample(matrix, min(lost, len(matrix)))]
    doubled = [draw_pair(points, chance) for _ in range(pairs)]
    if sample is not None:
        matrix = chance.sample(matrix, min(sample, len(matrix)))
    clean = [Case(flow, loses_events=silent) for flow in points for silent in (False, True)]
    return [*clean, *matrix, *losing, *doubled]


def lose(case: Case, chance: random.Random) -> Case:
    """The same case without events or cancellations. A run without event is not begun anew when all is quiet."""
    events, cancellations = chance.choice([(True, False), (True, True), (False, True)])
    return replace(case, loses_events=events and case.mode not in REDRIVEN_LATE, loses_cancellations=cancellations)


def draw_pair(points: Points, chance: random.Random) -> Case:
    """A case in which a flow that gets over the first disturbance meets another one soon after."""
    flow = chance.choice(list(points))
    calls = [number for number, point in enumerate(points[flow], 1) if point.kind == "change"]
    number = chance.choice(calls)
    first = chance.choice([mode for mode in COMPLETES if mode != "clean"])
    second = chance.choice([mode for mode in AT_CALLS if not (FLOWS[flow].stopped_in and mode in STOPS)])
    return Case(flow, first, number, then=(second, number + chance.randint(1, 8)))


def cover(points: Points, modes: Sequence[str]) -> list[Case]:
    """The first case of the matrix for each function (or state), what it calls, and each of these modes."""
    covered: set[tuple[str, str, str]] = set()
    chosen = []
    for flow in points:
        for case, point in _cases_of(flow, points[flow]):
            key = (point.function, point.what, case.mode)
            if case.mode in modes and key not in covered:
                covered.add(key)
                chosen.append(case)
    return chosen
