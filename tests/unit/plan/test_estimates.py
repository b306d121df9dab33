"""How long machines are expected to take: from their history, or as the sum of what is done; and what the run shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from drydock.plan.estimates import (
    Estimate,
    Estimates,
    RollEstimate,
    basis_text,
    break_down,
    breakdown_text,
    correct,
    estimate_roll,
    parts_taken,
    steps_of_machine,
    total_of,
)
from drydock.records.history import History
from drydock.request.policy import DEFAULTS
from tests.unit.plan.test_plans import history, instance_id, policy

MINUTE = 60
ROOM = timedelta(hours=2)


def estimate(known: Mapping[str, History], number: int = 1, platform: str = "Linux", group: str = "web") -> Estimate:
    return Estimates(known, DEFAULTS, ROOM).estimate(instance_id(number), platform, group, "running")


def steps(platform: str = "Linux", power: str = "running", **above: Any) -> list[str]:
    return [step["what"] for step in steps_of_machine(policy(**above), platform, power, is_member=False)]


def guess(platform: str = "Linux", power: str = "running", **above: Any) -> int:
    return total_of(steps_of_machine(policy(**above), platform, power, is_member=False))


# The past


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([500], 500),
        ([500, 900], 900),
        ([100, 200, 300, 400, 500, 600, 700, 800, 900], 900),
        ([1000, 900, 800, 700, 600, 500, 400, 300, 200, 100], 900),
    ],
)
def test_a_machine_takes_what_nine_in_ten_of_its_last_times_did_not_exceed(seconds: list[int], expected: int) -> None:
    assert estimate({instance_id(1): history(*seconds)}) == Estimate(expected, "own history", len(seconds))


def test_a_new_machine_takes_as_long_as_its_like() -> None:
    known = {
        instance_id(1): history(*[300] * 9, number=1),
        instance_id(2): history(700, number=2),
        instance_id(3): history(5000, number=3, platform="Windows"),
        instance_id(4): history(5000, number=4, group="database"),
        instance_id(9): history(number=9),
    }

    assert estimate(known, 8) == Estimate(300, "patch group", 10)
    assert estimate(known, 9) == Estimate(300, "patch group", 10)
    assert estimate(known, 8, "Windows") == Estimate(5000, "patch group", 1)


def test_a_machine_that_failed_takes_at_least_so_long_and_its_like_do_not() -> None:
    known = {instance_id(1): history(600, failed_after=4000), instance_id(2): history(600, number=2)}

    assert estimate(known, 1) == Estimate(4000, "last failure", 1)
    assert estimate(known, 2) == Estimate(600, "own history", 1)
    assert estimate(known, 3) == Estimate(600, "patch group", 2)


def test_a_failure_that_came_sooner_than_a_success_does_teaches_nothing() -> None:
    assert estimate({instance_id(1): history(600, failed_after=20)}) == Estimate(600, "own history", 1)


def test_a_failure_never_teaches_more_than_an_empty_window_takes() -> None:
    assert estimate({instance_id(1): history(failed_after=90_000)}).seconds == ROOM.total_seconds()


# The sum of the steps


def test_an_ordinary_linux_takes_20_to_45_minutes_and_a_windows_about_70() -> None:
    assert 20 * MINUTE <= guess() <= 45 * MINUTE
    assert 60 * MINUTE <= guess("Windows") <= 90 * MINUTE
    assert estimate({}) == Estimate(guess(), "guess")


def test_the_steps_of_an_installation_are_those_of_the_flow() -> None:
    assert steps() == [
        "probe at first",
        "scan at first",
        "image before",
        "reboot for the image before",
        "probe before",
        "installation",
        "reboot",
        "probe after",
        "pause before the proving scan",
        "proving scan",
    ]


def test_a_stopped_machine_is_started_and_stopped_and_not_rebooted_for_its_images() -> None:
    found = steps(power="stopped")

    assert found[:3] == ["image before", "start", "agent ready"]
    assert found[-1] == "stop"
    assert not any("for the image" in step for step in found)


@pytest.mark.parametrize(
    ("power", "above"),
    [
        ("stopped", {}),
        ("running", {"whenCompliant": "proceed"}),
        ("running", {"operation": "Scan"}),
        ("running", {"operation": "UpdateAgents"}),
    ],
)
def test_only_a_running_machine_that_may_be_left_is_looked_at_first(power: str, above: dict[str, Any]) -> None:
    assert not any("at first" in step or "look" in step for step in steps(power=power, **above))


@pytest.mark.parametrize(
    "above",
    [
        {"backup": {"before": {"wait": "begun"}}},
        {"backup": {"before": {"reboot": False}}},
        {"backup": {"before": {"take": False}, "after": {"take": False}}},
        {"reboot": "NoReboot"},
        {"operation": "Scan"},
        {"operation": "UpdateAgents"},
    ],
    ids=str,
)
def test_who_asks_for_less_is_expected_to_take_less(above: dict[str, Any]) -> None:
    assert guess(**above) < guess()


@pytest.mark.parametrize(("answer", "scan"), [("proceed", "scan before"), ("leave", "scan at first")])
def test_hooks_and_probes_are_counted_each_with_the_scan_and_the_pauses_that_they_need(answer: str, scan: str) -> None:
    hooks = {"preInstall": "Leave", "postInstall": "Check", "onExit": "Join"}
    found = steps(hooks=hooks, healthProbe="Health", whenCompliant=answer)

    assert [step for step in found if step.startswith("hook")] == ["hook Leave", "hook Check", "hook Join"]
    assert found.index(scan) < found.index("hook Leave") < found.index("installation")
    assert sum(step.startswith("scan") for step in found) == 1, "the look is the scan that the hooks need"
    assert sum(step.startswith("pause") for step in found) == (3 if answer == "proceed" else 2)
    assert found[-1] == "health probe"


def test_windows_update_needs_no_pause_and_takes_longer() -> None:
    found = steps("Windows", document="AWS-InstallWindowsUpdates")

    assert not any(step.startswith("pause") for step in found)
    assert guess("Windows", document="AWS-InstallWindowsUpdates") > guess("Windows")


def test_every_figure_says_where_it_is_from() -> None:
    above = {"hooks": {"preInstall": "Leave"}, "healthProbe": "Health"}

    assert all(step["source"] for step in steps_of_machine(policy(**above), "Windows", "stopped", is_member=False))


def test_a_breakdown_reads_as_a_sum() -> None:
    scanned = steps_of_machine(policy(operation="Scan"), "Linux", "running", is_member=False)
    text = breakdown_text(break_down("Linux, running", scanned))

    assert text == "Linux, running: 1 min = probe before 0.25 + scan 1"


@pytest.mark.parametrize(
    ("basis", "samples", "text"),
    [
        ("own history", 1, "from 1 run of it"),
        ("patch group", 1200, "from 1,200 runs of machines like it"),
        ("last failure", 1, "it failed after so long last time"),
        ("guess", 0, "a guess"),
    ],
)
def test_people_read_where_an_estimate_comes_from(basis: str, samples: int, text: str) -> None:
    assert basis_text(basis, samples) == text


# Rolls


def test_a_member_leaves_service_after_the_look_and_what_members_took_has_that_in_it() -> None:
    leaving = ["connections drain", "into standby"]
    found = [step["what"] for step in steps_of_machine(policy(), "Linux", "running", is_member=True)]

    assert found[3:5] == leaving
    assert [step for step in found if step not in leaving] == [
        *steps()[:2],
        "pause after the look",
        *[step for step in steps()[2:] if "image" not in step],
    ]
    scanned = steps_of_machine(policy(operation="Scan"), "Linux", "running", is_member=True)
    assert [step["what"] for step in scanned] == steps(operation="Scan")

    known = Estimates({instance_id(1): replace(history(600), left_service=True)}, DEFAULTS, ROOM)
    assert known.estimate(instance_id(1), "Linux", "web", "running", is_member=True).seconds == 600
    new = Estimates({}, DEFAULTS, ROOM).estimate(instance_id(1), "Linux", "web", "running", is_member=True)
    alone = guess(backup={"before": {"take": False}, "after": {"take": False}})
    assert new.seconds == alone + 330


def test_a_roll_counts_room_and_surge_return_and_restoring() -> None:
    reduced = estimate_roll(policy(), "Linux", [600, 900])
    surged = estimate_roll(policy(capacity="surge"), "Linux", [600, 900])

    assert reduced.turns == (900 + 120, 600 + 120)
    assert (surged.before - reduced.before, surged.after - reduced.after) == (300, 60)
    assert reduced.least == reduced.before + 1020 + reduced.after


@pytest.mark.parametrize(
    ("last_admission", "end", "batches"),
    [(999, 999, 3), (999, 61, 3), (999, 60, 2), (999, 21, 1), (999, 20, 0), (21, 999, 2), (20, 999, 1), (0, 999, 0)],
)
def test_so_many_batches_fit_as_begin_in_time_and_leave_time_to_restore_the_group(
    last_admission: int, end: int, batches: int
) -> None:
    roll = RollEstimate(0, (20, 20, 20), 1)

    assert roll.batches_until(timedelta(seconds=last_admission), timedelta(seconds=end)) == batches


# What the run shows


@pytest.mark.parametrize(("taken", "parts"), [(600, 20), (601, 21), (300, 10), (0, 1), (99_999, 200)])
def test_what_a_machine_took_is_counted_in_twentieths_of_what_was_expected(taken: float, parts: int) -> None:
    assert parts_taken(taken, 600) == parts


@pytest.mark.parametrize(
    ("taken", "seconds"),
    [
        ({}, 1000),
        ({26: 1}, 1300),
        ({10: 1}, 1000),
        ({10: 2}, 1000),
        ({10: 3}, 500),
        ({10: 2, 26: 1}, 1300),
        ({10: 9, 26: 1}, 500),
    ],
    ids=str,
)
def test_one_that_was_slower_counts_at_once_and_only_several_that_were_quicker(
    taken: Mapping[int, int], seconds: int
) -> None:
    assert correct(1000, taken) == seconds


LEAVING = 330
"""Draining and standby, of which machines that stand alone show nothing."""


@pytest.mark.parametrize(
    ("known", "is_member", "expected"),
    [
        ({"i-2": False}, False, 600),
        ({"i-2": False}, True, 600 + LEAVING),
        ({"i-2": True}, True, 600),
        ({"i-2": True}, False, 600),
        ({"i-1": False}, True, 600 + LEAVING),
        ({"i-1": True}, True, 600),
        ({"i-2": True, "i-3": False}, True, 600),
    ],
)
def test_what_is_known_of_machines_that_stand_alone_has_no_draining_in_it(
    known: dict[str, bool], is_member: bool, expected: int
) -> None:
    histories = {
        name: History(name, "Linux", "web", None, "", (600,), left_service=has_left) for name, has_left in known.items()
    }

    for above, seconds in (({}, expected), ({"operation": "Scan"}, 600)):
        estimates = Estimates(histories, policy(**above), ROOM)
        assert estimates.estimate("i-1", "Linux", "web", "running", is_member=is_member).seconds == seconds


@pytest.mark.parametrize(("power", "following"), [("running", "image before"), ("stopped", "installation")])
def test_the_hook_before_anything_takes_its_time(power: str, following: str) -> None:
    names = steps(power=power, hooks={"beforeAnything": "Drain", "onExit": "Uncordon"})

    assert names[names.index("hook Drain") + 1] == following
    assert "hook Uncordon" in names
