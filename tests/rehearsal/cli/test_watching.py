"""`drydock watch` of a run at work: what each machine does, for how long, and what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.rehearsal.cli.at_the_desk import drydock
from tests.scenarios.run.scenario import RunScenario, run_scenario


@pytest.fixture
def scene() -> Iterator[RunScenario]:
    with run_scenario() as scene:
        scene.machines("web", 2)
        scene.start_run("web", {"maxConcurrency": 2}, name="night-1")
        scene.run_for(3)
        yield scene


def let_pass(scene: RunScenario, minutes: float) -> Callable[[float], None]:
    return lambda seconds: scene.run_for(minutes)


def test_each_step_is_told_with_what_it_waits_for_and_how_long_it_usually_takes(scene: RunScenario) -> None:
    now = drydock("watch", "night-1", "--once")
    document = drydock("watch", "latest", "--once", "--json").document
    shown = drydock("watch", "night-1", sleep=let_pass(scene, 1))

    assert (now.code, shown.code) == (4, 0)
    assert "the image before, begun" in now.words and "ago, usually 5 min; waits for image ami-" in now.words
    assert {lease["step"] for lease in document["leases"]} == {"imageBefore"}
    assert shown.words.count("): the installation, begun") == 2
    assert "usually 10 min; waits for command" in shown.words
    assert max(map(len, shown.lines[:-1])) <= 80


def test_a_terminal_of_80_by_24_has_a_picture_of_what_is_at_work(scene: RunScenario) -> None:
    pictures: list[list[str]] = []

    shown = drydock("watch", "night-1", sleep=let_pass(scene, 1), pictures=pictures)

    first = " ".join(" ".join(pictures[0]).split())
    assert first.startswith("Run night-1 at 01:")
    assert "2 in work" in first
    assert "min of about 24 min the image before, begun" in first
    assert all(len(picture) <= 20 and max(map(len, picture)) <= 80 for picture in pictures)
    assert "the installation, begun" not in shown.out


def test_what_does_not_fit_is_told_shorter_before_anything_is_left_out() -> None:
    pictures: list[list[str]] = []
    with run_scenario() as scene:
        scene.machines("web", 12)
        scene.start_run("web", {"maxConcurrency": 12}, name="night-1")
        scene.run_for(3)
        drydock("watch", "night-1", sleep=let_pass(scene, 1), pictures=pictures)

    assert len(pictures[0]) == 13
    assert all(" of 24 min: the image before, " in line for line in pictures[0][1:])
    assert all(len(picture) <= 20 for picture in pictures)
