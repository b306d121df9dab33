"""What is approved is what is done: all of it is shown, documents are pinned, and what is different is said."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.scenarios.machine.scenario import assert_untouched
from tests.scenarios.run.scenario import QUICKLY, RunScenario, assert_patched, run_scenario

ASKED = {**QUICKLY, "approval": {"required": True}}


@pytest.fixture(scope="module")
def scene() -> Iterator[RunScenario]:
    with run_scenario() as opened:
        opened.approvers("anna")
        yield opened


def change_document(scene: RunScenario, name: str) -> None:
    """Somebody gives a document another content, and makes that its default."""
    ssm = scene.account.client("ssm")
    content = json.loads(ssm.get_document(Name=name)["Content"])
    content["mainSteps"][0]["inputs"]["runCommand"].append("echo changed")
    made = ssm.update_document(Name=name, Content=json.dumps(content), DocumentVersion="$LATEST")
    version = made["DocumentDescription"]["DocumentVersion"]
    ssm.update_document_default_version(Name=name, DocumentVersion=version)


def replace_document(scene: RunScenario, name: str) -> None:
    """Somebody deletes a document and makes another of its name, whose versions begin with 1 again."""
    ssm = scene.account.client("ssm")
    content = json.loads(ssm.get_document(Name=name)["Content"])
    ssm.delete_document(Name=name)
    content["mainSteps"][0]["inputs"]["runCommand"] = ["echo other"]
    ssm.create_document(Name=name, Content=json.dumps(content), DocumentType="Command", DocumentFormat="JSON")


def test_the_mail_shows_what_is_approved_above_the_machines_and_names_the_time_first(scene: RunScenario) -> None:
    scene.fleet.add_document("Drain")
    (machine,) = scene.machines("shown", 1, missing=("KB1", "KB2"))
    scene.run("shown", {**QUICKLY}, operations=["Scan"])
    arn = scene.start_run("shown", {**ASKED, "hooks": {"preInstall": "Drain"}, "healthProbe": "Drain"})

    scene.run_until(arn, "Ask For Approval", seconds=120)

    run = scene.view(arn)
    (mail,) = [message for message in run.messages if message.attributes.get("kind") == "approval"]
    assert str(mail.subject).startswith("Drydock: answer until 2026-01-")
    assert f"patch 1 machine, {run.run_id}" in str(mail.subject)
    shown, _, machines = mail.body.partition("What to do next")
    for said in (
        "Reboots: where a patch needs one",
        "Images: none",
        "Hooks: preInstall: Drain, version 1",
        "Health probe: Drain, version 1",
        "At once: 1 machine or group",
        "May fail: none: after the first failure no other begins",
        "Canary: none",
        "Gates: none",
        "Missing: 2 patches on 1 machine, by the last scan of each",
        "Last time: no plan for these targets was approved before",
    ):
        assert said in " ".join(shown.split()), said
    assert "2 patches missing on 2026-01-" in " ".join(machines.split())
    scene.decide(run.run_id, "reject")
    scene.settle()
    assert len(machine.missing) == 2


def test_what_is_different_from_the_plan_approved_last_is_said(scene: RunScenario) -> None:
    scene.machines("again", 2)
    first = scene.start_run("again", ASKED)
    scene.run_until(first, "Ask For Approval", seconds=120)
    scene.decide(scene.view(first).run_id)
    scene.settle()
    scene.member("again", "again-3")

    second = scene.run("again", {**ASKED, "maxConcurrency": 2}, planOnly=True)

    before = second.plan["approvedBefore"]
    assert before["runId"] == scene.view(first).run_id
    assert before["differences"] == ["maxConcurrency: 2, was 1", "1 machine more: again-3"]


def test_a_plan_that_nobody_approved_is_compared_with_nothing(scene: RunScenario) -> None:
    scene.machines("refused", 1)
    first = scene.start_run("refused", ASKED)
    scene.run_until(first, "Ask For Approval", seconds=120)
    scene.decide(scene.view(first).run_id, "reject")
    scene.settle()

    assert scene.run("refused", ASKED, planOnly=True).plan["approvedBefore"] is None


def test_hooks_and_probe_are_sent_in_the_version_that_was_approved(scene: RunScenario) -> None:
    name = "Pinned"
    scene.fleet.add_document(name)
    (machine,) = scene.machines(name, 1)
    made = scene.run(name, {**ASKED, "hooks": {"preInstall": name}, "healthProbe": name}, planOnly=True)
    scene.decide(made.run_id)
    change_document(scene, name)

    run = scene.run(None, plan=made.run_id)

    sent = [one.request for one in scene.fleet.run_command.list_visible(None, machine.instance_id)]
    pinned = [one for one in sent if one["DocumentName"] == name]
    assert {(one["DocumentVersion"], one["DocumentHashType"]) for one in pinned} == {("1", "Sha256")}
    assert {one["DocumentHash"] for one in pinned} == {made.plan["documents"][name]["hash"]}
    assert len(pinned) == 2
    assert run.plan["needs"] == [f"document {name}: its default version is 2 now; this run sends 1, as planned"]
    assert_patched(scene, machine)


def test_a_document_that_was_replaced_since_the_plan_is_not_run(scene: RunScenario) -> None:
    scene.fleet.add_document("Replaced")
    (machine,) = scene.machines("replaced", 1)
    made = scene.run("replaced", {**ASKED, "healthProbe": "Replaced"}, planOnly=True)
    scene.decide(made.run_id)
    replace_document(scene, "Replaced")

    run = scene.run(None, plan=made.run_id)

    assert (run.outcome, run.execution.error) == ("refused", "PlanRefusedError")
    assert "document Replaced: version 1 has another content than the plan's" in run.summary.said
    assert_untouched(scene, machine)
