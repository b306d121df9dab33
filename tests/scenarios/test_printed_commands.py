"""Every command that Drydock prints works when it is pasted, with what is printed and nothing else.

The cases are the places in the code that print one, so that none escapes: whoever adds a place finds it here.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import cast

import pytest
import typer

from drydock.environment import Environment
from drydock.group.messages import group_not_given_back_message
from drydock.machine.messages import failed_image_message
from drydock.pruning.messages import left_snapshots_message, unknown_references_message
from drydock.run.messages import window_skipped_message, window_task_failed_message
from drydock.telling.details import Details, detail_rows
from drydock.telling.envelope import wrap_for_protocols
from drydock.telling.message import Message, steps
from drydock.telling.text import Location
from drydock.telling.unreadable import unreadable_message
from rehearsal.play.fleet_file import load_fleet_file
from rehearsal.play.reports.pages import write_pages
from rehearsal.play.run import rehearse
from tests.scenarios.pasting import Person, commands_in, require_acceptable
from tests.scenarios.run.scenario import FAILING, QUICKLY, RunScenario, run_scenario
from tests.scenarios.run.test_ahead import a_night, plan
from tests.unit.records.recorded import a_watch

PROJECT = Path(__file__).parents[2]
FLEETS = PROJECT / "rehearsal" / "fleets"
LOCATION = Location("aws", "123456789012", "ap-northeast-1", "Asia/Tokyo")
ASKED = {**QUICKLY, "approval": {"required": True, "seconds": 7200}}

Prefix = tuple[str, ...]


def printed_in_the_code() -> set[Prefix]:
    """How each command begins that some place in the layer or the command prints: `drydock stop`, `aws ssm …`."""
    found: set[Prefix] = set()
    for path in [*(PROJECT / "layers/drydock/drydock").rglob("*.py"), *(PROJECT / "drydock_cli").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name not in ("drydock", "aws", "again", "_step"):
                continue
            given = node.args if name == "again" else node.args[1:]
            words = [str(one.value) for one in takewhile(lambda one: isinstance(one, ast.Constant), given)]  # type: ignore[attr-defined]
            if words:
                found.add(("aws" if name == "aws" else "drydock", *words[:2]))
            else:
                # A step of a report is made by `_step`, whose words these are.
                assert name == "_step" or "command" in ast.unparse(node), f"{path}: {ast.unparse(node)}"
    return found


@pytest.fixture(scope="module")
def scene() -> Iterator[RunScenario]:
    with run_scenario() as found:
        found.approvers("anna", "ben")
        yield found


def mail_and_card(message: Message) -> str:
    """A message as mail; its card has the same commands."""
    sent = json.loads(wrap_for_protocols(message, thread="t", event="drydock.test", resources=[]))
    card = json.loads(sent["https"])["content"]
    said = "\n".join([card["description"], *card.get("nextSteps", [])])
    assert commands_in(said) == commands_in(sent["email"])
    return str(sent["email"])


def asked(scene: RunScenario, name: str, prefix: Prefix, choice: str) -> None:
    """Of the mail that asks, one command is pasted, and the run goes on, or ends."""
    scene.machines(name, 1)
    arn = scene.start_run(name, ASKED, operations=["Scan"])
    scene.run_for(5)
    mail = next(one for one in scene.view(arn).messages if one.attributes["kind"] == "approval")
    Person(scene).paste(the_one(mail.body, prefix, choice))
    run = scene.view(arn, settle=True)
    assert run.outcome == {"approve": "succeeded", "reject": "rejected"}[choice]


def the_one(text: str, prefix: Prefix, has: str = "") -> str:
    """The command of a text that begins so."""
    found = [one for one in commands_in(text) if one.startswith(" ".join(prefix)) and has in one]
    assert len(found) == 1, f"{prefix}: {commands_in(text)}"
    return found[0]


def in_parameter(scene: RunScenario, prefix: Prefix) -> None:
    asked(scene, "approved-by-aws", prefix, "approve")
    asked(scene, "rejected-by-aws", prefix, "reject")


def approved(scene: RunScenario, prefix: Prefix) -> None:
    asked(scene, "approved", prefix, "approve")
    # By day, `drydock plan` prints it as well.
    scene.machines("planned", 1)
    policy = shell_json({"approval": {"required": True}})
    given = f"drydock plan --target 'tag:Patch Group=planned' --minutes 240 --operation Scan --policy {policy}"
    said = Person(scene, "arn:aws:iam::123456789012:user/ben").paste(f"{given} --stack drydock --region ap-northeast-1")
    assert "approved" in Person(scene).paste(the_one(said, prefix))
    assert "has begun" in Person(scene).paste(the_one(said, ("drydock", "run", "--plan")))
    scene.settle()


def shell_json(value: Mapping[str, object]) -> str:
    return f"'{json.dumps(value)}'"


def rejected(scene: RunScenario, prefix: Prefix) -> None:
    asked(scene, "rejected", prefix, "reject")


def failed_in_the_middle(scene: RunScenario, name: str) -> str:
    """The mail of a run that somebody has started by hand, that failed and left machines."""
    scene.machines(name, 2, **FAILING)
    run = scene.run(name, QUICKLY)
    assert run.outcome == "failed"
    return run.summary.body


def reported(scene: RunScenario, prefix: Prefix) -> None:
    mail = failed_in_the_middle(scene, "reported")
    assert "Report of run" in Person(scene).paste(the_one(mail, prefix).replace(" --open", ""))
    assert "--open" in the_one(mail, prefix)


def resumed(scene: RunScenario, prefix: Prefix) -> None:
    mail = failed_in_the_middle(scene, "resumed")
    assert "has begun" in Person(scene).paste(the_one(mail, prefix))
    scene.settle()


def carried_out(scene: RunScenario, prefix: Prefix) -> None:
    """Whoever starts a plan without the command is mailed how to carry it out."""
    scene.machines("mailed", 1)
    run = scene.run("mailed", QUICKLY, planOnly=True, operations=["Scan"])
    assert "has begun" in Person(scene).paste(the_one(run.summary.body, prefix))
    scene.settle()


def skipped_because_of(scene: RunScenario, name: str) -> tuple[str, str]:
    """A run that works while its window opens again, and the mail of that."""
    scene.machines(name, 1)
    arn = scene.start_run(name, QUICKLY)
    scene.run_for(5)
    moment = "2026-01-13T13:00:00Z"
    message = window_skipped_message(
        window_id="mw-0123456789abcdef0",
        window_name="night",
        run_id=scene.view(arn).run_id,
        execution=arn,
        since=moment,
        at=moment,
        location=LOCATION,
    )
    return arn, mail_and_card(message)


def watched(scene: RunScenario, prefix: Prefix) -> None:
    _, mail = skipped_because_of(scene, "watched")
    assert "succeeded" in Person(scene).paste(the_one(mail, prefix))


def stopped(scene: RunScenario, prefix: Prefix) -> None:
    arn, mail = skipped_because_of(scene, "stopped")
    assert "No machine of run" in Person(scene).paste(the_one(mail, prefix))
    assert "goes on" not in scene.view(arn, settle=True).outcome


def too_late(scene: RunScenario, prefix: Prefix) -> None:
    """Whoever rejects a plan that is carried out is told how to stop the run that does."""
    scene.machines("late", 1)
    scene.settings({**QUICKLY, "approval": {"required": True, "ahead": 2}})
    window = a_night(scene, "late")
    made = plan(scene, window)
    scene.decide(made.run_id)
    arn = scene.start_window(window.window_id)
    scene.run_for(3)
    scene.settings(None)
    status, answer = scene.decide(made.run_id, "reject")
    assert status == 409
    assert "No machine of run" in Person(scene).paste(the_one(answer["message"], prefix))
    scene.view(arn, settle=True)


def stop_in_all_places(scene: RunScenario, prefix: Prefix) -> None:
    stopped(scene, prefix)
    too_late(scene, prefix)


def task_of_window(scene: RunScenario, prefix: Prefix) -> None:
    window = a_night(scene, "tasks", 1)
    scene.window(window.window_id)
    message = window_task_failed_message(
        window_id=window.window_id,
        window_name="tasks",
        window_execution=window.executions[-1].execution_id,
        status="FAILED",
        at="2026-01-13T13:00:00Z",
        location=LOCATION,
    )
    assert window.executions[-1].execution_id in Person(scene).paste(the_one(mail_and_card(message), prefix))


def members_of_group(scene: RunScenario, prefix: Prefix) -> None:
    message = group_not_given_back_message(
        "my group", "arn:aws:states:x:y:execution:drydock-RollGroup:r", "?", LOCATION
    )
    assert "AutoScalingGroups" in Person(scene).paste(the_one(mail_and_card(message), prefix))


def unreadable_item(scene: RunScenario, prefix: Prefix) -> None:
    scene.machines("unreadable", 1)
    item = scene.run("unreadable", QUICKLY, operations=["Scan"]).item
    message = unreadable_message(environment_of(scene), {"pk": item["pk"], "sk": item["sk"]}, "?")
    assert item["pk"] in Person(scene).paste(the_one(mail_and_card(message), prefix))


def image_by_hand(scene: RunScenario, prefix: Prefix) -> None:
    (machine,) = scene.machines("imaged", 1)
    watch = a_watch("ami-0123456789abcdef0", instance_id=machine.instance_id, end="failed", reason="snapshots failed")
    mail = mail_and_card(failed_image_message(watch, LOCATION))
    assert "ami-" in Person(scene).paste(the_one(mail, prefix))


def works_again(scene: RunScenario, prefix: Prefix) -> None:
    (machine,) = scene.machines("drained", 1)
    scene.fleet.add_document("Acme-Uncordon")
    run = scene.run([machine], QUICKLY, operations=["Scan"])
    (found,) = run.report["machines"]
    details = cast(Details, {**found["details"], "toWorkAgain": "Acme-Uncordon"})
    rows = detail_rows(machine.instance_id, details, LOCATION, "bucket")
    message = Message(urgency="tomorrow", what="w", facts=rows, sections=[steps([])], zone="UTC")
    assert "CommandId" in Person(scene).paste(the_one(mail_and_card(message), prefix))
    scene.settle()


def environment_of(scene: RunScenario) -> Environment:
    table = scene.stack.outputs["StateTableName"]
    return Environment("drydock", table, "b", "t", "Asia/Tokyo", "ap-northeast-1")


def left_snapshots(scene: RunScenario, prefix: Prefix) -> None:
    ec2, (machine,) = scene.account.client("ec2"), scene.machines("snapshots", 1)
    image = ec2.create_image(InstanceId=machine.instance_id, Name="left")["ImageId"]
    scene.run_for(60)
    (found,) = ec2.describe_images(ImageIds=[image])["Images"]
    snapshots = [one["Ebs"]["SnapshotId"] for one in found["BlockDeviceMappings"] if "Ebs" in one]
    mail = mail_and_card(left_snapshots_message(environment_of(scene), snapshots))
    said = Person(scene).paste(the_one(mail, prefix))
    assert all(snapshot in said for snapshot in snapshots)


def unknown_references(scene: RunScenario, prefix: Prefix) -> None:
    mail = mail_and_card(unknown_references_message(environment_of(scene), "?"))
    Person(scene).paste(the_one(mail, prefix))


HERE = "--stack drydock --region ap-northeast-1"


def scanned_twice(scene: RunScenario, name: str) -> str:
    """A machine of two runs; its id."""
    (machine,) = scene.machines(name, 1)
    for _ in range(2):
        scene.run(name, QUICKLY, operations=["Scan"])
    return machine.instance_id


def older_runs(scene: RunScenario, prefix: Prefix) -> None:
    scanned_twice(scene, "listed")
    said = Person(scene).paste(f"drydock list --most 1 {HERE}")
    assert "succeeded" in Person(scene).paste(the_one(said, prefix))


def history(scene: RunScenario, prefix: Prefix) -> None:
    said = Person(scene).paste(f"drydock show {scanned_twice(scene, 'shown')} {HERE}")
    assert Person(scene).paste(the_one(said, prefix)).count("scanned") >= 2


PASTED: Mapping[Prefix, Callable[[RunScenario, Prefix], None]] = {
    ("aws", "autoscaling", "describe-auto-scaling-groups"): members_of_group,
    ("aws", "dynamodb", "get-item"): unreadable_item,
    ("aws", "ec2", "create-image"): image_by_hand,
    ("aws", "ec2", "describe-snapshots"): left_snapshots,
    ("aws", "ssm", "describe-maintenance-window-execution-tasks"): task_of_window,
    ("aws", "ssm", "put-parameter"): in_parameter,
    ("aws", "ssm", "send-command"): works_again,
    ("drydock", "approve"): approved,
    ("drydock", "history"): history,
    ("drydock", "list", "--older-than"): older_runs,
    ("drydock", "images", "--dry-run"): unknown_references,
    ("drydock", "reject"): rejected,
    ("drydock", "report"): reported,
    ("drydock", "run", "--plan"): carried_out,
    ("drydock", "run", "--resume"): resumed,
    ("drydock", "stop"): stop_in_all_places,
    ("drydock", "watch"): watched,
}


@pytest.mark.parametrize("prefix", sorted(printed_in_the_code()), ids=" ".join)
def test_what_is_printed_works_when_it_is_pasted(
    prefix: Prefix, scene: RunScenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    PASTED[prefix](scene, prefix)


def test_a_plan_for_a_window_is_made_approved_and_carried_out_by_what_is_printed(scene: RunScenario) -> None:
    scene.machines("night", 1)
    scene.settings({**QUICKLY, "approval": {"required": True, "ahead": 2}})
    window = a_night(scene, "night")

    said = Person(scene, "arn:aws:iam::123456789012:user/ben").paste(
        f"drydock plan --window {window.window_id} --name by-day --stack drydock --region ap-northeast-1"
    )
    answer = Person(scene).paste(the_one(said, ("drydock", "approve")))
    run = scene.window(window.window_id)
    scene.settings(None)

    assert "Window night carries it out when it opens, if it is approved by 2026-01-" in said
    assert ("drydock", "run") not in {tuple(command.split()[:2]) for command in commands_in(said)}
    assert "by-day: approved" in answer
    assert (run.plan["carriesOut"], run.outcome) == ("by-day", "succeeded")


@pytest.mark.prove
@pytest.mark.parametrize("fleet", sorted(FLEETS.glob("*.yaml")), ids=lambda fleet: fleet.stem)
def test_what_people_read_in_the_rehearsed_nights_has_no_command_that_is_refused(fleet: Path, tmp_path: Path) -> None:
    outcome = rehearse(load_fleet_file(fleet))
    said = [message.body for message in outcome.messages]
    said += [page.read_text() for _, page in write_pages(outcome, tmp_path)]

    commands = {command for text in said for command in commands_in(text)}

    assert commands or fleet.stem == "rough-night", "whose machines are patched one by one, and all are given back"
    for command in commands:
        require_acceptable(command)


@pytest.mark.parametrize(
    "wrong",
    [
        "aws ssm put-parameter --name /drydock/policy --value '{}'",
        "aws ssm put-parameter --value '{}' --region eu-west-1",
        "aws ssm put-parameters --name a --value b --region eu-west-1",
        "aws ssm put-parameter --name a --value b --colour red --region eu-west-1",
        "drydock watch night-1 --stack drydock",
        "drydock watch --stack drydock --region eu-west-1",
        "drydock look night-1 --stack drydock --region eu-west-1",
    ],
    ids=["Region", "required option", "operation", "option", "own Region", "own argument", "own verb"],
)
def test_what_would_be_refused_is_refused_here(wrong: str) -> None:
    with pytest.raises((AssertionError, SystemExit, KeyError, typer.TyperException)):
        require_acceptable(wrong)
