from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from rehearsal.play.faults import FailCall
from tests.scenarios.machine.scenario import Scenario, assert_given_back

RUN_SNAPSHOT = "11111111-2222-4333-8444-555555555555"
BASELINE = "AWS-RunPatchBaseline"


def test_the_result_tells_all_that_was_done(scene: Scenario) -> None:
    scene.fleet.add_document("Leave")
    scene.fleet.add_document("Health")
    machine = scene.machine("all", platform="Windows", power="stopped", agent_version="3.2.985.0")

    execution = scene.patch(
        machine, {"hooks": {"preInstall": "Leave"}, "healthProbe": "Health"}, snapshotId=RUN_SNAPSHOT
    )

    result = scene.result(machine)
    assert (result["execution"], result["instanceId"], result["name"]) == (execution.arn, machine.instance_id, "all")
    assert (result["platform"], result["powerBefore"], result["powerAfter"]) == ("Windows", "stopped", "stopped")
    assert result["agentVersions"] == {"before": "3.2.985.0", "after": "3.2.985.0"}
    assert (result["rebooted"], result["hooks"], result["problems"]) == (True, {"preInstall": "ran"}, [])
    assert [image.image_id for image in scene.images(machine)] == [
        result["images"]["before"]["imageId"],
        result["images"]["after"]["imageId"],
    ]
    before, after = result["patches"]["before"], result["patches"]["after"]
    assert (before["missing"], before["missingPatches"]) == (2, ["KB5034439", "KB5035857"])
    assert (after["missing"], after["installed"], after["failed"]) == (0, 5, 0)
    assert result["patches"]["installed"] == ["KB5034439", "KB5035857"]
    assert after["baselineId"].endswith("pb-0c10e65780f3b1a2d")
    assert execution.started <= datetime.fromisoformat(result["startedAt"]) < datetime.fromisoformat(result["endedAt"])


def test_the_result_names_each_command_with_its_parameters_and_its_log(scene: Scenario) -> None:
    scene.fleet.add_document("Join")
    machine = scene.machine("commands")

    scene.patch(machine, {"hooks": {"onExit": "Join"}}, snapshotId=RUN_SNAPSHOT)

    result = scene.result(machine)
    commands = result["commands"]
    logs = {entry["commandId"]: entry["logKey"] for entry in [*commands, *result["outcomes"]] if "logKey" in entry}
    assert [command["document"] for command in commands] == scene.commands(machine, with_look=True)
    assert [command["parameters"] for command in commands if command["document"] == BASELINE] == [
        {"Operation": "Scan", "SnapshotId": RUN_SNAPSHOT},
        {"Operation": "Install", "RebootOption": "RebootIfNeeded", "SnapshotId": RUN_SNAPSHOT},
        {"Operation": "Scan", "SnapshotId": RUN_SNAPSHOT},
    ]
    for command in commands:
        sent = scene.fleet.run_command.get(command["commandId"])
        assert sent is not None
        prefix = sent.request["OutputS3KeyPrefix"]
        assert sent.request["OutputS3BucketName"] == scene.stack.outputs["LogBucketName"]
        assert logs[command["commandId"]] == f"{prefix}/{command['commandId']}/{machine.instance_id}/"


def test_the_scan_has_the_snapshot_of_the_installation_when_the_run_gives_none(scene: Scenario) -> None:
    machine = scene.machine("own-snapshot")

    scene.patch(machine)

    result = scene.result(machine)
    used = {command["parameters"]["SnapshotId"] for command in result["commands"] if command["document"] == BASELINE}
    assert used == {result["snapshotId"]}


def test_two_runs_of_the_baseline_are_at_least_two_minutes_apart(scene: Scenario) -> None:
    scene.fleet.add_document("Between")
    machine = scene.machine("apart")

    scene.patch(machine, {"hooks": {"preInstall": "Between", "postInstall": "Between"}})

    runs = [
        invocation
        for command in reversed(scene.fleet.run_command.list_visible(None, machine.instance_id))
        for invocation in command.invocations
        if command.document.name == BASELINE
    ]
    pauses = [
        (later.started - earlier.finished).total_seconds()
        for earlier, later in pairwise(runs)
        if later.started and earlier.finished
    ]
    assert len(pauses) == 3
    assert min(pauses) >= 120


@pytest.mark.parametrize(
    ("tags", "group"),
    [
        pytest.param({"Patch Group": "prod"}, "prod", id="with-space"),
        pytest.param({"PatchGroup": "prod"}, "prod", id="without-space"),
        pytest.param({}, "", id="none"),
    ],
)
def test_either_spelling_of_the_patch_group_is_read(scene: Scenario, tags: dict[str, str], group: str) -> None:
    machine = scene.machine(f"group-{tags or 'none'}", tags=tags)

    scene.patch(machine, {"operation": "Scan"})

    result = scene.result(machine)
    assert (result["patchGroup"], result["patches"]["after"]["patchGroup"]) == (group, group)


@pytest.mark.parametrize("tags", [{}, {"DrydockState": "Completed", "DrydockCompleted": "2025-12-09"}])
def test_a_patched_machine_is_tagged_with_the_day_in_the_zone_of_its_people(
    scene: Scenario, tags: dict[str, str]
) -> None:
    machine = scene.machine(f"tagged-{len(tags)}", tags=tags)
    execution = scene.start(machine)
    scene.run_until(execution, "Back Up Before", seconds=5)
    in_the_middle = scene.tags(machine)

    scene.settle()

    assert in_the_middle["DrydockState"] == "InProgress"
    assert scene.tags(machine)["DrydockState"] == "Completed"
    ended = datetime.fromisoformat(scene.result(machine)["endedAt"])
    local = ended.astimezone(ZoneInfo("Asia/Tokyo"))
    assert scene.tags(machine)["DrydockCompleted"] == f"{local:%Y-%m-%d}"


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param({}, id="none"),
        pytest.param({"DrydockState": "Parked", "DrydockCompleted": "2025-12-09"}, id="some"),
    ],
)
def test_after_a_failure_the_tags_are_what_they_were(scene: Scenario, tags: dict[str, str]) -> None:
    machine = scene.machine(f"untagged-{len(tags)}", tags=tags, wrong=("install_error",))

    scene.patch(machine)

    assert scene.tags(machine) == {"Name": machine.name, **tags}


def test_a_tag_that_cannot_be_written_is_reported_and_fails_nothing(scene: Scenario) -> None:
    machine = scene.machine("untaggable")
    (strikes,) = scene.given(FailCall("ec2:CreateTags", "UnauthorizedOperation", instance="untaggable", times=99))

    execution = scene.patch(machine)

    assert strikes.count >= 2
    assert execution.status == "SUCCEEDED"
    (problem,) = scene.result(machine)["problems"]
    assert "DrydockState" in problem
    assert f"Note: {problem}" in scene.told(machine)[0].said
    assert_given_back(scene, machine, "running")


def test_an_image_without_a_deprecation_date_is_reported_and_fails_nothing(scene: Scenario) -> None:
    machine = scene.machine("undated")
    scene.given(FailCall("ec2:EnableImageDeprecation", "UnauthorizedOperation", instance="undated"))

    execution = scene.patch(machine)

    assert execution.status == "SUCCEEDED"
    (problem,) = scene.result(machine)["problems"]
    assert scene.images(machine)[0].image_id in problem
    assert scene.images(machine)[1].deprecated_at is not None


def test_results_are_kept_for_a_year(scene: Scenario) -> None:
    machine = scene.machine("kept")

    scene.patch(machine, {"operation": "Scan"})
    scene.patch(machine, {"operation": "Scan"})

    first, second = sorted(scene.results(machine), key=lambda result: str(result["endedAt"]))
    assert first["endedAt"] < second["endedAt"]
    ended = datetime.fromisoformat(first["endedAt"]).timestamp()
    assert int(first["ttl"]) - int(ended) == 365 * 24 * 3600
