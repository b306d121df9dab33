"""Nothing missing, nothing done: who is looked at first, who is left as it is, and who goes on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rehearsal.play.run import RehearsalOutcome
from tests.scenarios.run.nights import assert_ended_as_expected, play_night, states_of

AGAIN = """
description: The second run in a week, and beside it machines of which a scan alone does not tell all.
parameters: {WindowDurationHours: 4, TimeZone: UTC}
policy: {maxConcurrency: 12, maxErrors: 3}
window: {executions: [{expect: {outcome: failed, counts: {alreadyCompliant: 4, succeeded: 6, failed: 1}}}]}
groups: [{name: shop, min: 1, max: 3, zones: 2, expect: {sizes: [1, 3, 3]}}]
instances:
  - {name: linux, tags: {WinUpdate: "ON"}, expect: &left {run: already_compliant, images: 0}}
  - {name: windows, platform: Windows, tags: {WinUpdate: "ON"}, expect: *left}
  - {name: shop, count: 2, group: shop, tags: {WinUpdate: "ON"}, expect: *left}
  - {name: shopped, group: shop, missing: 2, tags: {WinUpdate: "ON"}, expect: &done {run: succeeded, missing: 0}}
  - {name: stopped, power: stopped, tags: {WinUpdate: "ON"}, expect: {run: succeeded, images: 2}}
  - {name: pending, pendingReboot: true, tags: {WinUpdate: "ON"}, expect: *done}
  - {name: rejected, installedRejected: 1, tags: {WinUpdate: "ON"}, expect: {run: succeeded, verdict: non_compliant}}
  - {name: untold, wrong: [stale_patch_state], tags: {WinUpdate: "ON"}, expect: {run: failed, verdict: unknown}}
  - {name: moved, tags: {WinUpdate: "ON", "Patch Group": a}, expect: {run: succeeded}}
  - {name: missing, missing: 2, tags: {WinUpdate: "ON"}, expect: *done}
faults:
  - changeTags: {instance: moved, tags: {"Patch Group": b}, state: Read Patches At First, after: 0s}
"""


@pytest.fixture(scope="module")
def again() -> RehearsalOutcome:
    return play_night(AGAIN)


def test_only_what_is_proved_to_be_well_is_left_as_it_is(again: RehearsalOutcome) -> None:
    assert_ended_as_expected(again)


@pytest.mark.parametrize("name", ["linux", "windows", "shop-1", "shop-2"])
def test_a_machine_that_is_well_is_scanned_where_it_serves(again: RehearsalOutcome, name: str) -> None:
    [machine] = [one for one in again.machines if one.name == name]

    assert machine.minutes_out_of_service == 0
    assert {"Probe Instance At First", "Scan Patches At First", "Read Patches At First"} < set(states_of(again, name))
    assert {"Enter Standby", "Back Up Before", "Install Patches"}.isdisjoint(states_of(again, name))


def test_a_member_leaves_service_after_the_look_and_its_pause(again: RehearsalOutcome) -> None:
    states = states_of(again, "shopped")

    assert states.index("Scan Patches At First") < states.index("Wait Before Leaving") < states.index("Enter Standby")
    assert states.index("Enter Standby") < states.index("Await Standby") < states.index("Install Patches")


def test_the_mail_tells_them_apart(again: RehearsalOutcome) -> None:
    [summary] = [message for message in again.messages if message.attributes.get("kind") == "run"]

    assert "4 compliant already" in summary.said


SEARCHED = """
description: What Windows Update's own search tells before anything is installed.
parameters: {WindowDurationHours: 4, TimeZone: UTC}
policy:
  maxConcurrency: 6
  maxErrors: 1
  document: AWS-InstallWindowsUpdates
  windowsUpdate: {severityLevels: [Critical]}
window: {executions: [{expect: {outcome: failed, counts: {alreadyCompliant: 2, succeeded: 1, failed: 1}}}]}
instances:
  - {name: none, platform: Windows, tags: &on {WinUpdate: "ON"}, expect: &left {run: already_compliant, images: 0}}
  - name: found
    platform: Windows
    missing: [KB5034439]
    tags: *on
    expect: &done {run: succeeded, images: 2, missing: 0}
  - name: pending
    platform: Windows
    pendingReboot: true
    tags: *on
    expect: {run: already_compliant, verdict: pending_reboot}
  - {name: fails, platform: Windows, wrong: [scan_fails], tags: *on, expect: {run: failed, verdict: unknown, images: 1}}
"""


def test_what_a_search_of_windows_update_does_not_prove_is_installed_all_the_same() -> None:
    searched = play_night(SEARCHED)

    assert_ended_as_expected(searched)
    assert {"Scan Patches At First", "Read Patches At First"} < set(states_of(searched, "none"))
    assert "Install Patches" not in states_of(searched, "none")
    assert "Install Patches" not in states_of(searched, "pending"), "it would reboot only after what it installs"
    for name in ("found", "fails"):
        assert "Install Patches" in states_of(searched, name)
        assert "drydock-SearchWindowsUpdates" in {
            command["document"] for one in searched.machines if one.name == name for command in one.result["commands"]
        }


PROOF = """
description: Nothing is missing on the canary; the next ones stand in for it, until one is patched and has stood.
parameters: {WindowDurationHours: 6, TimeZone: UTC}
policy: {maxConcurrency: 4, canary: {count: 1}, soakMinutes: 15, backup: {before: {take: false}, after: {take: false}}}
window: {executions: [{expect: {outcome: OUTCOME, counts: {COUNTS}}}]}
instances:
  - {name: a, count: 3, tags: {WinUpdate: "ON"}, expect: {run: already_compliant}}
  - {name: b, count: 3, missing: 2, tags: {WinUpdate: "ON"}, MORE}
"""


def play(outcome: str, counts: str, more: str) -> RehearsalOutcome:
    text = PROOF.replace("OUTCOME", outcome).replace("COUNTS", counts).replace("MORE", more)
    return play_night(text)


def test_a_canary_that_is_compliant_already_is_refilled_from_the_next_machines() -> None:
    outcome = play("succeeded", "succeeded: 3, alreadyCompliant: 3", "expect: {verdict: compliant}")

    assert not outcome.differences
    begins = {machine.name: machine.executions[0].started for machine in outcome.machines}
    assert begins["a-1"] < begins["a-2"] < begins["a-3"] < begins["b-2"]
    # Of one wave, together.
    for one, other in (("a-3", "b-1"), ("b-2", "b-3")):
        assert abs(begins[one] - begins[other]) < timedelta(seconds=1)
    ends = {machine.name: machine.executions[0].stopped for machine in outcome.machines}
    stood = ends["b-1"]
    assert stood is not None and (begins["b-2"] - stood).total_seconds() >= 15 * 60, (
        "it stands before the others follow"
    )


def test_a_stand_in_that_fails_keeps_the_others_from_following() -> None:
    outcome = play("failed", "failed: 1, alreadyCompliant: 3, notAttempted: 2", "wrong: [install_error]")

    assert not outcome.differences
