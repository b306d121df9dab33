"""`drydock check`: what is wrong with the stack and its machines, each with the way out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from drydock_cli.stack import Stack
from tests.rehearsal.cli.at_the_desk import drydock
from tests.scenarios.run.scenario import RunScenario, run_scenario

WEB = ("--target", "tag:Patch Group=web")
KEY = "arn:aws:kms:ap-northeast-1:123456789012:key/11111111-2222-3333-4444-555555555555"
PROFILE = "arn:aws:iam::123456789012:instance-profile/Web"


@pytest.fixture(scope="module")
def scene() -> Iterator[RunScenario]:
    with run_scenario() as scene:
        scene.machines("web", 2)
        yield scene


def found(*arguments: str) -> dict[str, str]:
    """What a check finds, with the way out of each."""
    document = drydock("check", *arguments, "--json").document
    return {f"{one['name']}: {one['what']}".removeprefix(": "): one["way"] for one in document["findings"]}


def test_a_stack_that_was_just_deployed_is_told_what_is_missing(scene: RunScenario) -> None:
    scene.settings({"approval": {"required": True}, "maxErorrs": 1})
    shown, findings = drydock("check"), found()
    scene.settings({"approval": {"required": True, "minApprovals": 2}})
    scene.approvers("ann")
    corrected = found()
    scene.settings(None)

    assert (shown.code, shown.err) == (2, "")
    assert "no window starts Drydock: drydock-MaintenanceWindow has no task that starts Drydock" in findings
    assert "/drydock/policy: policy.maxErorrs: unknown; did you mean maxErrors?" in findings
    assert "2 people have to approve, and only 1 may" in corrected
    assert "Deploy with NotificationEmail, or subscribe" in corrected["nobody gets results"]
    assert "nobody gets questions to approvers" in corrected
    assert max(map(len, shown.lines)) <= 80


def test_machines_that_can_be_patched_are_no_finding(scene: RunScenario) -> None:
    shown = drydock("check", *WEB)

    assert "Machines: 2 looked at, 0 with something to do" in shown.words
    assert "They can be patched." in shown.words


def test_what_keeps_a_machine_from_being_patched_is_told_with_the_way_out(
    scene: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = scene.machine("db-1", tags={"Patch Group": "db"}, power="stopped")
    scene.machine("db-2", tags={"Patch Group": "db", "DrydockExclude": "not before June", "DrydockOrder": "first"})
    scene.machine("db-3", tags={"Patch Group": "db", "DrydockState": "InProgress"})
    silent = scene.machine("db-4", tags={"Patch Group": "db"})
    agents = Stack.agents

    def old_and_silent(stack: Stack, ids: Any) -> Any:
        return {
            one: {**agent, "AgentVersion": "2.0.767.0", "PingStatus": "ConnectionLost"}
            if one == silent.instance_id
            else agent
            for one, agent in agents(stack, ids).items()
        }

    policy = {
        "AssociationId": "1",
        "AssociationName": "AWS-QuickSetup-PatchPolicy-InstallPatches-LA-1",
        "Name": "AWS-RunPatchBaseline",
        "Targets": [{"Key": "tag:Patch Group", "Values": ["db"]}],
    }
    volume = {"Encrypted": True, "KmsKeyId": KEY, "Attachments": [{"InstanceId": stopped.instance_id}]}
    monkeypatch.setattr(Stack, "agents", old_and_silent)
    monkeypatch.setattr(Stack, "associations", lambda stack: [policy])
    monkeypatch.setattr(Stack, "volumes", lambda stack, ids: [volume])
    monkeypatch.setattr(Stack, "state_of_key", lambda stack, key: "Enabled")

    findings = found("--target", "tag:Patch Group=db")

    by_machine = {what.partition(": ")[0] for what in findings}
    assert {"db-1", "db-2", "db-3", "db-4"} <= by_machine
    assert "KmsKeyArns" in findings[f"db-1: it is stopped, and the stack may not use the key {KEY} of a volume"]
    assert "db-2: tag DrydockExclude says: not before June" in findings
    assert "db-2: its tag DrydockOrder is 'first', not a number from 0 to 999: it goes last" in findings
    assert "db-3: its tag DrydockState says InProgress, and nobody has it in work" in findings
    assert any(what.startswith("db-4: its agent is silent (ConnectionLost) since") for what in findings)
    assert any(what.startswith("db-4: its agent 2.0.767.0 is older than") for what in findings)
    assert f"db-3: patch policy {policy['AssociationName']} (AWS-RunPatchBaseline) patches it, too" in findings


def test_a_role_that_may_not_write_logs_is_found_and_one_that_nobody_may_look_at_is_said(
    scene: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drydock_cli.check_machines._profile_of", lambda instance: PROFILE)
    monkeypatch.setattr(Stack, "why_no_logs", lambda stack, profile: "its role Web may not write logs")
    refused = found(*WEB)

    def deny(stack: Stack, profile: str) -> str:
        said = {"Error": {"Code": "AccessDenied", "Message": "not authorized to perform: iam:GetInstanceProfile"}}
        raise ClientError(said, "GetInstanceProfile")  # type: ignore[arg-type]

    monkeypatch.setattr(Stack, "why_no_logs", deny)
    unknown = found(*WEB)

    assert "web-1: its role Web may not write logs" in refused
    assert [what for what in unknown if "iam:GetInstanceProfile" in what] == [
        "the roles of instances cannot be looked at: no permission for GetInstanceProfile: not authorized to perform: "
        "iam:GetInstanceProfile (docs/security.md has what each command needs)"
    ]


def test_a_lease_whose_owner_is_over_is_found_when_it_should_have_been_given_back(
    scene: RunScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = scene.machine("app-1", tags={"Patch Group": "app"})
    scene.start(machine)
    scene.run_for(3)
    while_it_works = found()
    long_ago = scene.account.clock.now()
    monkeypatch.setattr(Stack, "find_execution_by_arn", lambda stack, arn: {"status": "ABORTED", "stopDate": long_ago})
    scene.run_for(11)
    stale = found()

    assert not [what for what in while_it_works if "stale" in what]
    assert [what for what in stale if what.startswith("app-1: its lease is stale: ")]
