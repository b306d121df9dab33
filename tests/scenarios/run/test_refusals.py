"""Runs that are refused: every mistake is named at once, nothing is touched, and people hear of it once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.scenarios.machine.scenario import assert_untouched
from tests.scenarios.run.scenario import QUICKLY, RunScenario, RunView, run_scenario
from tests.scenarios.run.windows import a_window

ALL = [{"key": "tag:Patch Group", "values": ["web"]}]
UUID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def scene() -> Iterator[RunScenario]:
    with run_scenario() as opened:
        opened.machines("web", 1)
        yield opened


def run_with(scene: RunScenario, given: Any) -> RunView:
    """Start a run with exactly this input."""
    arn = scene.account.start_execution("MaintenanceRun", given)
    return scene.view(arn, settle=True)


def assert_refused(scene: RunScenario, run: RunView, error: str, *mistakes: str) -> None:
    """The run said all of its mistakes once, and did nothing."""
    assert (run.status, run.execution.error, run.outcome) == ("FAILED", error, "refused")
    said = run.report["failure"]["cause"]
    assert [mistake for mistake in mistakes if mistake not in said or mistake not in run.summary.said] == []
    assert run.messages == [run.summary]
    assert "the run was refused and nothing was touched" in run.summary.said
    assert run.children == []
    assert run.plan == {}
    for machine in scene.fleet.machines:
        assert_untouched(scene, machine)


def test_every_mistake_of_input_and_policy_is_told_in_one_message(scene: RunScenario) -> None:
    run = run_with(
        scene,
        {
            "targets": [
                {"key": "tag:Patch Group", "values": []},
                {"key": "InstanceIds", "values": ["web-1"]},
                {"keys": "tag:Role", "values": ["web"]},
                {"key": "name", "values": ["web"]},
            ],
            "operations": ["Instal"],
            "planOnly": "yes",
            "snapshotId": "latest",
            "follows": "last night",
            "startedBy": "anna",
            "when": "now",
            "policy": {
                "maxConcurrency": "0",
                "maxErrors": "-1",
                "waveSize": "110%",
                "canary": {"count": "some", "tags": "Canary"},
                "soakMinutes": 2000,
                "gates": {"alarms": [""], "calendars": "freeze"},
                "approval": {"seconds": 10, "minApprovals": 0},
                "notify": "never",
            },
        },
    )

    assert_refused(
        scene,
        run,
        "InvalidInputError",
        "input.targets[0].values: needs at least one value",
        "input.targets[1].values[0]: 'web-1'",
        "input.targets[2].keys: unknown",
        "input.targets[2].key: is required",
        "input.targets[3].key: 'name'",
        "input.operations[0]: 'Instal'",
        "input.planOnly: 'yes'",
        "input.snapshotId: 'latest'",
        "input.follows: 'last night'",
        "input.startedBy: 'anna'",
        "input.when: unknown",
        "input: snapshotId and follows both name a snapshot",
        "policy.maxConcurrency: '0'",
        "policy.maxErrors: '-1'",
        "policy.waveSize: '110%'",
        "policy.canary.count: 'some'",
        "policy.canary.tags: unknown",
        "policy.soakMinutes: 2000",
        "policy.gates.alarms[0]: ''",
        "policy.gates.calendars: 'freeze' is not a list",
        "policy.approval.seconds: 10",
        "policy.approval.minApprovals: 0",
        "policy.notify: 'never'",
        "policy.deadlineMinutes: is required without a window",
    )


@pytest.mark.parametrize(
    ("given", "mistakes"),
    [
        pytest.param({}, ["exactly one of targets, window, plan, resume says which machines; this has none"], id="no"),
        pytest.param([], ["input"], id="not-an-object"),
        pytest.param(
            {"targets": ALL, "plan": "run-1", "resume": "run-2", "policy": {"deadlineMinutes": 60}},
            ["this has targets, plan, resume"],
            id="several-sources",
        ),
        pytest.param(
            {"targets": ALL}, ["policy.deadlineMinutes: is required without a window"], id="without-a-deadline"
        ),
        pytest.param(
            {"plan": "run-1", "operations": ["Scan"], "policy": {"deadlineMinutes": 60, "maxErrors": 3}},
            [
                "input.operations: the run named in plan says it",
                "the plan has its policy; only deadlineMinutes may be given with it",
            ],
            id="a-plan-with-other-wishes",
        ),
        pytest.param(
            {"window": {"windowId": "mw-1"}},
            ["input.window.windowId: 'mw-1'", "input.window.executionId: is required"],
            id="half-a-window",
        ),
        pytest.param(
            {"targets": [{"key": "resource-groups:ResourceTypeFilters", "values": ["AWS::EC2::Instance"]}]},
            ["resource-groups:ResourceTypeFilters needs resource-groups:Name beside it", "policy.deadlineMinutes"],
            id="types-without-a-group",
        ),
        pytest.param(
            {
                "targets": [{"key": f"tag:Key{n}", "values": ["web"]} for n in range(6)],
                "policy": {"deadlineMinutes": 60},
            },
            ["input.targets: needs 1 to 5 targets, not 6"],
            id="too-many-targets",
        ),
    ],
)
def test_an_input_that_says_too_little_or_too_much_is_refused(
    scene: RunScenario, given: Any, mistakes: list[str]
) -> None:
    assert_refused(scene, run_with(scene, given), "InvalidInputError", *mistakes)


def test_a_policy_that_is_wrong_alone_is_called_so(scene: RunScenario) -> None:
    run = scene.run("web", {"maxErrors": "ten"})

    assert_refused(scene, run, "InvalidPolicyError", "policy.maxErrors: 'ten'")


def test_wrong_settings_are_refused_by_the_name_of_the_parameter(scene: RunScenario) -> None:
    scene.settings({"maxConcurrency": "many"})

    run = scene.run("web")

    scene.settings(None)
    assert_refused(scene, run, "InvalidPolicyError", "/drydock/policy", "policy.maxConcurrency: 'many'")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        pytest.param(
            {"targets": [{"key": "resource-groups:Name", "values": ["web-tier"]}]},
            "InvalidInputError",
            "web-tier",
            id="resource-group",
        ),
        pytest.param({"plan": "run-of-old"}, "RunNotFoundError", "run-of-old: there is no such run", id="plan"),
        pytest.param({"resume": "run-of-old"}, "RunNotFoundError", "run-of-old", id="resume"),
        pytest.param(
            {"targets": ALL, "follows": "staging"}, "RunNotFoundError", "staging: there is no such run", id="follows"
        ),
        pytest.param(
            {"window": {"windowId": "mw-00000000000000000", "executionId": UUID}},
            "InvalidInputError",
            "window mw-00000000000000000: Systems Manager knows no such maintenance window here",
            id="window",
        ),
    ],
)
def test_a_run_about_something_that_is_not_there_is_refused(
    scene: RunScenario, given: dict[str, Any], error: str, words: str
) -> None:
    run = run_with(scene, {"policy": {"deadlineMinutes": 60}, **given})

    assert_refused(scene, run, error, words)


def test_a_run_for_an_execution_that_its_window_never_had_is_refused(scene: RunScenario) -> None:
    window = a_window(scene, "open")

    run = run_with(scene, {"window": {"windowId": window.window_id, "executionId": UUID}})

    assert_refused(scene, run, "InvalidInputError", f"window execution {UUID}: Systems Manager knows no such execution")
    assert f"Started by maintenance window {window.window_id}" in run.summary.said


@pytest.mark.parametrize("who", ["arn:aws:iam::12:user/anna", "arn:aws:iam::123456789012:user/an\nna", "arn:"])
def test_what_only_looks_like_the_commands_word_for_who_started_it_is_refused_and_told(
    scene: RunScenario, who: str
) -> None:
    run = run_with(scene, {"targets": ALL, "startedBy": who, "policy": {"deadlineMinutes": 60}})

    assert_refused(scene, run, "InvalidInputError", "input.startedBy: ")


def test_a_wave_size_that_makes_too_many_waves_is_refused_with_what_to_change(scene: RunScenario) -> None:
    ids = [machine.instance_id for machine in scene.machines("many", 101, missing=())]

    run = scene.run("many", {**QUICKLY, "waveSize": 1})

    assert len(ids) == 101
    assert_refused(scene, run, "InvalidPolicyError", "more than the 100 that are possible: raise waveSize")
