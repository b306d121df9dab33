"""Honest nights: what begins is back in time as far as anybody can know, and what is not is told as that."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from drydock_cli.exit_codes import LATE
from rehearsal.play.fleet_file import load_fleet_file, read_fleet
from rehearsal.play.fleet_shape import FLEETS
from rehearsal.play.outcomes.run import RunOutcome
from rehearsal.play.run import RehearsalOutcome, rehearse
from tests.rehearsal.cli.test_rehearse import run


@cache
def night(name: str) -> RehearsalOutcome:
    outcome = rehearse(load_fleet_file(FLEETS / f"{name}.yaml"))
    assert outcome.is_as_expected, (outcome.differences, [one.differences for one in outcome.machines])
    return outcome


def causes(found: RunOutcome) -> set[str]:
    return {one["cause"] for one in found.report["machines"] if one["outcome"] == "not_attempted"}


def summary(name: str) -> str:
    (text,) = [one.body for one in night(name).messages if one.attributes["kind"] == "run"]
    return text


def test_what_machines_of_the_run_took_keeps_others_from_beginning_that_would_not_be_back_in_time() -> None:
    (found,) = night("first-night").runs

    # The first of them may ask when one of those that are done is not counted yet.
    assert all("84 minutes (a guess, corrected by what " in cause for cause in causes(found))
    assert found.report["insideWindow"] is True
    assert {machine["basis"] for machine in found.plan["machines"]} == {"guess"}


def test_a_machine_that_is_back_late_all_the_same_makes_the_run_late_and_everybody_is_told() -> None:
    (found,) = night("late").runs

    assert (found.outcome, found.status) == ("late", "FAILED")
    assert found.report["minutesAfterEnd"] == 22
    (message,) = [one for one in night("late").messages if one.attributes["kind"] == "run"]
    assert (
        message.subject
        == "Drydock, look tomorrow: the only machine was patched, 22 min late (window drydock-MaintenanceWindo…"
    )
    assert message.body.startswith("Look tomorrow: the only machine was patched, 22 min late.")
    assert message.attributes["outcome"] == "late"


def test_a_rehearsal_whose_run_is_late_without_being_expected_ends_with_a_code_of_its_own(tmp_path: Path) -> None:
    fleet = (FLEETS / "late.yaml").read_text()
    (tmp_path / "fleet.yaml").write_text(fleet.replace("- expect: {outcome: late, counts: {succeeded: 1}}", "- {}"))

    assert run(str(tmp_path / "fleet.yaml")).exit_code == LATE


def test_a_roll_stops_in_time_by_itself_and_what_it_did_not_come_to_is_first_the_next_week() -> None:
    first, second = night("group-of-six").runs

    done = [
        {one["name"] for one in found.report["machines"] if one["outcome"] == "succeeded"} for found in (first, second)
    ]
    assert (len(done[0]), len(done[1])) == (3, 3)
    assert done[0].isdisjoint(done[1])
    assert first.report["insideWindow"] is second.report["insideWindow"] is True
    assert first.report["groups"][0]["problems"] == [
        "the group is mixed now: 3 of its members are patched, and 3 were not attempted"
    ]
    assert second.plan["machines"][0]["roll"]["reaches"] == 3
    # The summaries tell; a roll whose time is over is no failure of its own.
    assert {one.attributes["kind"] for one in night("group-of-six").messages} == {"run"}


def test_what_fits_into_no_window_is_told_urgently_with_what_to_change() -> None:
    (found,) = night("too-long").runs

    (sentence,) = found.plan["tooLong"]
    assert sentence.startswith("mail: takes 68 minutes (a guess), and there are 60 in all, so no run of this length")
    assert (
        "Give the window 10 minutes more, or shorten the work (backup.before.reboot false saves about 5 min" in sentence
    )
    assert summary("too-long").startswith("Act now: ")
    assert sentence in " ".join(summary("too-long").split())


SILENT = """
seed: 1
limit: 40h
parameters: {WindowDurationHours: 8, WindowCutoffHours: 0, TimeZone: UTC}
window: {}
instances: [{name: files, platform: Windows, tags: {WinUpdate: "ON"}, missing: 3, wrong: [agent_lost]}]
"""


def test_what_nobody_can_give_back_has_not_kept_to_its_window_whenever_its_execution_ended() -> None:
    (found,) = rehearse(read_fleet(SILENT, Path("silent.yaml"))).runs

    assert (found.outcome, found.report["insideWindow"]) == ("failed", False)
    assert found.report["endedAt"] > found.report["end"] > found.report["machines"][0]["endedAt"]
