"""A run that still works after its end, or waits for one machine: people hear once how it stands."""

from __future__ import annotations

from rehearsal.play.run import MessageOutcome, RehearsalOutcome
from tests.scenarios.run.nights import play_night

STUCK = """
description: One of three loses its agent while it installs; the others are done long before the window ends.
limit: 40h
parameters: {WindowDurationHours: 4, TimeZone: Asia/Tokyo, WindowCutoffHours: 0}
policy: {maxConcurrency: 3, maxErrors: 3, minHealthy: 0, backup: {before: {take: false}, after: {take: false}}}
window: {executions: [{expect: {outcome: failed}}]}
groups: [{name: shop, min: 0, max: 1, loadBalancer: false}]
instances:
  - {name: stuck, missing: 2, tags: &on {WinUpdate: "ON"}, wrong: [agent_lost]}
  - {name: quick, missing: 2, tags: *on}
  - {name: shop, group: shop, missing: 2, tags: *on}
"""


def told(night: RehearsalOutcome) -> list[MessageOutcome]:
    return [one for one in night.messages if one.attributes.get("outcome") == "in_work"]


def test_people_hear_once_of_one_machine_that_is_waited_for_and_once_of_the_end() -> None:
    night = play_night(STUCK)

    waits, ends = told(night)
    (run,) = night.runs
    assert waits.body.startswith("Look tomorrow: the run waits for stuck (i-")
    assert "which takes longer than expected" in waits.said
    assert "You hear again when the run is over, or its end has come." in waits.said
    assert "So far: 1 patched, group shop patched, 1 in work" in waits.said
    assert "stuck (i-" in waits.said and "since 02:" in waits.said and "running before" in waits.said
    assert ends.body.startswith("Act now: stuck (i-") and "is still in work after the run's end" in ends.said
    assert "drydock stop" not in ends.body, "nothing is left to begin"
    for one in (waits, ends):
        assert f"drydock watch {run.run_id} --stack drydock" in one.said
        assert one.attributes["kind"] == "progress" and one.attributes["run"] == run.run_id
    assert waits.at < ends.at < night.messages[-1].at
    (summary,) = [one for one in night.messages if one.attributes["kind"] == "run"]
    assert "Inside the window: no" in summary.said


def test_a_night_in_which_nothing_takes_longer_than_expected_has_no_such_message() -> None:
    night = play_night(STUCK.replace("wrong: [agent_lost]", "").replace("{outcome: failed}", "{outcome: succeeded}"))

    assert told(night) == []
