"""What approvers read of a plan: all that is done, and what is different from the last time."""

from __future__ import annotations

from datetime import UTC
from typing import Any, get_args

import pytest

from drydock.plan.comparing import find_differences, purpose_of
from drydock.plan.plans import Plan
from drydock.plan.showing import missing_text, what_is_different, what_is_planned
from drydock.request.policy import DEFAULTS, Reboot
from drydock.times import to_text
from tests.unit.approval.approving import a_machine, a_plan
from tests.unit.fakes import START
from tests.unit.world import merge

PINNED = {"version": "3", "hash": "ab", "hashType": "Sha256"}


def plan_with(policy: dict[str, Any], count: int = 3, **more: Any) -> Plan:
    return a_plan(count, **{"policy": merge(DEFAULTS, policy), "targetGroups": [], **more})


def shown(plan: Plan) -> dict[str, str]:
    return dict(what_is_planned(plan))


def test_what_is_done_to_a_machine_is_shown_whole() -> None:
    policy = {
        "reboot": "NoReboot",
        "hooks": {"beforeAnything": "Drain", "onExit": "Undrain"},
        "healthProbe": "Probe",
        "backup": {"before": {"reboot": False}, "after": {"take": False}},
        "maxConcurrency": "50%",
        "maxErrors": 1,
        "soakMinutes": 90,
        "gates": {"alarms": ["errors-5xx"], "calendars": ["freeze"]},
    }

    assert shown(plan_with(policy, 4, documents={"Drain": PINNED})) == {
        "What": "Install with AWS-RunPatchBaseline",
        "Reboots": "none: what needs one stays pending",
        "Images": "before patching, without a reboot; none of members of groups",
        "Hooks": "beforeAnything: Drain, version 3; onExit: Undrain",
        "Health probe": "Probe",
        "At once": "2 machines or groups (50%)",
        "May fail": "1 machine; one more, and no other begins",
        "Canary": "1 machine first, the others 1 h 30 min after it is proved",
        "Gates": "alarms errors-5xx; calendars freeze",
    }


@pytest.mark.parametrize("reboot", get_args(Reboot))
def test_every_way_to_reboot_has_words_of_its_own(reboot: str) -> None:
    assert shown(plan_with({"reboot": reboot}))["Reboots"] != ""


def test_what_is_not_done_is_shown_too() -> None:
    nothing = {"backup": {"before": {"take": False}, "after": {"take": False}}}
    waves = [{"key": "", "count": 3, "isCanary": False}]

    found = shown(plan_with(nothing, waves=waves))

    for heading in ("Images", "Hooks", "Health probe", "Canary", "Gates"):
        assert found[heading] == "none", heading
    assert found["May fail"] == "none: after the first failure no other begins"


@pytest.mark.parametrize(
    ("operation", "absent"),
    [("Scan", {"Reboots", "Images", "Hooks", "Health probe"}), ("UpdateAgents", {"Reboots", "Images", "Hooks"})],
)
def test_what_an_operation_never_does_is_not_shown(operation: str, absent: set[str]) -> None:
    assert absent.isdisjoint(shown(plan_with({}, operation=operation)))


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ([None, None], None),
        ([12, 1], "13 patches on 2 machines, by the last scan of each"),
        ([0, 0], "nothing on 2 machines, by the last scan of each"),
        ([1, None], "1 patch on 1 machine, by the last scan of each; not known of 1 machine"),
    ],
)
def test_how_many_patches_are_missing_is_shown_as_far_as_it_is_known(
    missing: list[int | None], said: str | None
) -> None:
    machines = [
        a_machine(number, **({} if count is None else {"missing": count, "missingAt": to_text(START)}))
        for number, count in enumerate(missing, 1)
    ]

    assert shown(plan_with({}, machines=machines)).get("Missing") == said


def test_those_that_miss_most_are_named_first() -> None:
    counts = {1: 2, 2: 30, 3: 0, 4: 7}
    machines = [a_machine(number, missing=count, missingAt=to_text(START)) for number, count in counts.items()]

    assert shown(plan_with({}, machines=machines))["Missing most"] == "web-2 (30), web-4 (7), web-1 (2)"


def test_of_a_machine_it_is_said_when_its_patches_were_looked_for() -> None:
    machine = a_machine(1, missing=2, missingAt=to_text(START))

    assert missing_text(machine, UTC) == "2 patches missing on 2026-01-13"
    assert missing_text(a_machine(1), UTC) == ""


def test_every_difference_to_the_plan_that_was_approved_last_is_said() -> None:
    before = plan_with({"maxConcurrency": "1"}, 3, documents={"Drain": PINNED, "Probe": PINNED})
    now = plan_with(
        {"maxConcurrency": "10%", "gates": {"alarms": ["busy"]}, "startForScan": True},
        machines=[a_machine(2, wave=0), a_machine(3), a_machine(4)],
        documents={"Drain": {**PINNED, "version": "4"}, "Probe": {**PINNED, "hash": "cd"}},
        targetGroups=[[{"key": "tag-key", "values": ["a"]}]],
    )

    assert find_differences(now, before) == [
        "the targets",
        "gates.alarms: busy, was nothing",
        "maxConcurrency: 10%, was 1",
        "startForScan: true, was false",
        "1 machine more: web-4",
        "1 machine fewer: web-1",
        "the canary: web-2",
        "Drain: version 4, was 3",
        "Probe: another content under version 3",
    ]


def test_a_plan_that_differs_only_in_times_power_and_estimates_is_the_same() -> None:
    later = [a_machine(number, power="stopped", seconds=9, startsAt="") for number in (1, 2, 3)]
    same = plan_with({"deadlineMinutes": 9}, machines=later)

    assert find_differences(same, plan_with({})) == []


def test_people_read_which_plan_is_compared_and_when_it_was_approved() -> None:
    before = {"runId": "night-1", "at": to_text(START), "differences": ["the targets"]}

    assert what_is_different(plan_with({}, approvedBefore=before), UTC) == [
        ("Last time", "run night-1, approved 2026-01-13 01:00"),
        ("Different now", "the targets"),
    ]
    assert what_is_different(plan_with({}, approvedBefore={**before, "differences": []}), UTC)[1] == (
        "Different now",
        "nothing but times, power and estimates",
    )
    assert what_is_different(plan_with({}), UTC) == [("Last time", "no plan for these targets was approved before")]


def test_plans_are_compared_by_window_or_targets_and_by_operation() -> None:
    window = {"windowId": "mw-1", "executionId": "1", "name": "night", "start": "", "end": ""}
    plans = [
        plan_with({}, window=window),
        plan_with({}, window={**window, "executionId": "2"}, targetGroups=[[]]),
        plan_with({}),
        plan_with({}, targetGroups=[[{"key": "tag-key", "values": ["a"]}]]),
        plan_with({}, operation="Scan"),
    ]

    assert [purpose_of(one) for one in plans[:1]] == [purpose_of(one) for one in plans[1:2]]
    assert len({purpose_of(one) for one in plans}) == 4
