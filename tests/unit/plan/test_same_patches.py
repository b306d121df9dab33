"""A plan says whose patches nobody has proved: a patch snapshot is one for each patch group and operating system."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from drydock.plan.making import make_plan
from drydock.tags import GROUP_TAG
from tests.unit.fakes import START, agent
from tests.unit.plan.test_making import earlier, facts, request
from tests.unit.plan.test_plans import instance, instance_id, policy

WEB, DB = {"Patch Group": "web"}, {"Patch Group": "db"}

BEFORE = replace(earlier(), plan={**earlier().plan, "runId": "night-6"})
"""A run with a canary of one Linux machine without a patch group."""


def warnings(*machines: Any, rules: dict[str, Any] | None = None, **more: Any) -> list[str]:
    agents = {instance_id(number): agent(START) for number in range(1, len(machines) + 1)}
    chosen = policy(**({"canary": {"count": 1}} | (rules or {})))
    return make_plan(facts(instances=list(machines), policy=chosen, agents=agents, **more))["warnings"]


def test_where_all_are_of_the_canarys_patch_group_and_system_nothing_is_said() -> None:
    assert warnings(instance(1, tags=WEB), instance(2, tags=WEB)) == []


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"tags": DB}, "the canary has no Linux machine of patch group db, so "),
        ({"tags": {}}, "the canary has no Linux machine without a patch group, so "),
        ({"tags": WEB, "Platform": "windows"}, "the canary has no Windows machine of patch group web, so "),
    ],
    ids=["another group", "no group", "another system"],
)
def test_a_machine_whose_patches_the_canary_does_not_prove_is_named(other: dict[str, Any], said: str) -> None:
    canary = instance(1, tags={**WEB, "DrydockOrder": "1"})
    (warning,) = warnings(canary, instance(2, **other), instance(3, tags=WEB))

    assert warning.startswith(said)
    assert warning.endswith(f" of web-2 ({instance_id(2)})")


def test_members_of_groups_are_named_themselves() -> None:
    members = [instance(number, tags={**DB, GROUP_TAG: "asg"}) for number in (2, 3)]

    (warning,) = warnings(instance(1, tags={**WEB, "DrydockOrder": "1"}), *members)

    assert instance_id(2) in warning and instance_id(3) in warning


@pytest.mark.parametrize(
    "rules",
    [{"canary": {"count": 0}}, {"operation": "Scan"}, {"document": "AWS-InstallWindowsUpdates"}],
    ids=["no canary", "a scan", "Windows Update"],
)
def test_nothing_is_said_where_nothing_is_proved_by_a_snapshot(rules: dict[str, Any]) -> None:
    windows = {"Platform": "windows"}
    assert warnings(instance(1, tags=WEB, **windows), instance(2, tags=DB, **windows), rules=rules) == []


def test_a_machine_of_which_the_followed_run_says_nothing_is_named() -> None:
    (warning,) = warnings(
        instance(1),
        instance(2, tags=DB),
        rules={"canary": {"count": 0}},
        request=request(follows="night-6"),
        earlier=BEFORE,
    )

    assert warning.startswith("run night-6 (which this one follows) has no Linux machine of patch group db, so ")
    assert warning.endswith(f" of web-2 ({instance_id(2)})")


def test_a_run_that_takes_up_another_goes_by_the_canary_that_was_proved_there() -> None:
    (warning,) = warnings(instance(1, tags=DB), request=request("resume", earlier="night-6"), earlier=BEFORE)

    assert warning.startswith("the canary of run night-6 has no Linux machine of patch group db, so ")
