"""Images that a run's machines leave behind: waited for once, reported as they are, and followed to their end."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from rehearsal.play.fleet_file import read_fleet
from rehearsal.play.run import RehearsalOutcome, rehearse

NIGHT = """
seed: 1
limit: 30h
policy: {{maxConcurrency: 4, backup: {{before: {{take: false}}}}{policy}}}
parameters: {{WindowDurationHours: 2, WindowCutoffHours: 0, TimeZone: UTC}}
window: {{}}
instances:
  - {{name: quick, tags: {{WinUpdate: "ON"}}, missing: 3}}
  - {{name: slow, tags: {{WinUpdate: "ON"}}, missing: 3, durations: {{image: 50m}}}}
  - {{name: bad, tags: {{WinUpdate: "ON"}}, missing: 3, durations: {{image: 55m}}, wrong: [image_fails]}}
  - {{name: endless, tags: {{WinUpdate: "ON"}}, missing: 3, wrong: [image_hangs]}}
"""


@cache
def night(policy: str = "") -> RehearsalOutcome:
    return rehearse(read_fleet(NIGHT.format(policy=policy), Path("images.yaml")))


def images_of(outcome: RehearsalOutcome) -> dict[str, str]:
    (found,) = outcome.runs
    names = {machine["instanceId"]: machine["name"] for machine in found.report["machines"]}
    return {names[image["instanceId"]]: image["state"] for image in found.report["images"]}


def messages(outcome: RehearsalOutcome, kind: str) -> list[Any]:
    return [message for message in outcome.messages if message.attributes["kind"] == kind]


def test_a_run_waits_half_an_hour_for_its_images_and_reports_the_others_as_pending() -> None:
    (summary,) = messages(night(), "run")
    last = max(machine["endedAt"] for machine in night().runs[0].report["machines"])

    assert "3 of them may still end" in " ".join(summary.body.split())
    assert timedelta(minutes=25) <= summary.at - datetime.fromisoformat(last) <= timedelta(minutes=40)
    assert night().runs[0].report["counts"]["succeeded"] == 4


def test_the_report_is_completed_once_the_images_have_ended() -> None:
    assert images_of(night()) == {"quick": "available", "slow": "available", "bad": "failed", "endless": "timed_out"}
    assert all(image["crashConsistent"] for image in night().runs[0].report["images"])


def test_people_hear_of_an_image_that_fails_long_after_its_run_was_summarised() -> None:
    subjects = sorted(message.subject for message in messages(night(), "image"))

    assert [subject.partition("image of ")[2].split()[0] for subject in subjects] == ["bad", "endless"]
    assert all(message.at > messages(night(), "run")[0].at for message in messages(night(), "image"))


def test_who_wants_summaries_only_hears_of_what_the_summary_could_not_tell() -> None:
    outcome = night(", notify: summary")

    assert len(messages(outcome, "run")) == 1
    assert len(messages(outcome, "image")) == 2
    assert len(outcome.messages) == 3
