"""`backup.before.wait: begun`: machines are patched once their snapshots have begun, and what becomes of the images."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from rehearsal.play.fleet_file import read_fleet
from rehearsal.play.run import RehearsalOutcome, rehearse

NIGHT = """
limit: 30h
policy:
  maxConcurrency: 3
  approval: {required: true}
  backup: {before: {wait: begun}, after: {take: false}}
parameters: {WindowDurationHours: 3, WindowCutoffHours: 0, TimeZone: UTC}
people: [{name: anna, does: approve, after: 2m}]
window: {}
instances:
  - {name: well, tags: {WinUpdate: "ON"}, missing: 3, durations: {image: 50m}}
  - {name: bad, tags: {WinUpdate: "ON"}, missing: 3, durations: {image: 55m}, wrong: [image_fails]}
  - {name: early, tags: {WinUpdate: "ON"}, missing: 3, durations: {image: 10s}, wrong: [image_fails]}
"""


@cache
def night() -> RehearsalOutcome:
    return rehearse(read_fleet(NIGHT, Path("begun.yaml")))


def test_who_approves_reads_that_nobody_waits_for_the_images() -> None:
    (asked,) = [message for message in night().messages if message.attributes["kind"] == "approval"]

    assert "should it fail later, there is no backup" in " ".join(asked.body.split())


@pytest.mark.parametrize("name", ["well", "bad"])
def test_the_installation_begins_while_the_image_is_pending(name: str) -> None:
    (machine,) = [machine for machine in night().machines if machine.name == name]
    times = {step: datetime.fromisoformat(at) for step, at in machine.result["times"].items()}

    assert timedelta(0) < times["install"] - times["imageBefore"] < timedelta(minutes=10)


def test_a_machine_whose_image_fails_later_was_patched_without_backup_wherever_people_look() -> None:
    (machine,) = [machine for machine in night().machines if machine.name == "bad"]
    (reported,) = [one for one in night().runs[0].report["machines"] if one["name"] == "bad"]
    told = [" ".join(message.body.split()) for message in night().messages if message.attributes["kind"] == "image"]

    assert (machine.result["verdict"], machine.result["images"]["before"]["state"]) == (
        "patched_without_backup",
        "failed",
    )
    assert (reported["outcome"], reported["verdict"]) == ("succeeded", "patched_without_backup")
    assert len(told) == 1 and "bad" in told[0] and "patched without a backup" in told[0]


def test_a_machine_whose_image_has_failed_by_then_is_not_patched() -> None:
    (machine,) = [machine for machine in night().machines if machine.name == "early"]

    assert (machine.result["outcome"], machine.result["failure"]["error"]) == ("failed", "ImageFailedError")
    assert "install" not in machine.result["times"]
