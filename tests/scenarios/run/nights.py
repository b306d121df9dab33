"""Nights that a fleet file describes, and that say themselves how they should end."""

from __future__ import annotations

from pathlib import Path

from rehearsal.play.fleet_file import read_fleet
from rehearsal.play.run import RehearsalOutcome, rehearse


def play_night(text: str) -> RehearsalOutcome:
    return rehearse(read_fleet(text, Path("night.yaml")))


def assert_ended_as_expected(night: RehearsalOutcome) -> None:
    problems = [*night.differences, *(one for machine in night.machines for one in machine.differences)]

    assert not problems, problems


def states_of(night: RehearsalOutcome, name: str) -> list[str]:
    """The states of all executions of a machine, in the order in which they were entered."""
    [machine] = [one for one in night.machines if one.name == name]
    return [state for execution in machine.executions for _, state in execution.states]
