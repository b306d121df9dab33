"""`drydock init`: five answers become the policy, the approvers and the line that deploys."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from tests.rehearsal.cli.at_the_desk import drydock

ANN = "arn:aws:iam::123456789012:user/ann"
ANSWERS = f"nobody\nops@example.com\n{ANN}\nWinUpdate=ON\ncron(0 22 ? * TUE#2 *) Asia/Tokyo\n\n"
FLAGS = ("--mail", "ops@example.com", "--approvers", ANN, "--schedule", "cron(0 22 ? * TUE#2 *) Asia/Tokyo")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    with mock_aws():
        yield tmp_path


def setting(name: str) -> str:
    value = boto3.client("ssm").get_parameter(Name=f"/drydock/{name}")["Parameter"]["Value"]
    return str(value)


def test_five_answers_are_shown_as_changes_and_written_after_a_yes(folder: Path) -> None:
    shown = drydock("init", answers=f"{ANSWERS}y\n")

    assert shown.code == 0
    assert "drydock: nobody: is no mail address" in shown.err
    assert '+    "required": true' in shown.lines
    assert json.loads(setting("policy"))["approval"] == {"required": True}
    assert json.loads(setting("approvers")) == [ANN]
    script = (folder / "deploy-drydock.sh").read_text()
    assert """'WindowSchedule="cron(0 22 ? * TUE#2 *)"'""" in script
    assert "WindowDurationHours=4" in script
    subprocess.run(["sh", "-n", "deploy-drydock.sh"], check=True)


def test_without_a_yes_nothing_is_written(folder: Path) -> None:
    asked = drydock("init", answers=f"{ANSWERS}n\n")
    alone, document = drydock("init", *FLAGS), drydock("init", *FLAGS, "--json").document

    assert (asked.code, alone.code, document["error"]["exitCode"]) == (2, 2, 2)
    assert "write them with --yes" in alone.err
    assert list(folder.iterdir()) == []
    with pytest.raises(boto3.client("ssm").exceptions.ParameterNotFound):
        setting("policy")


def test_what_stands_in_the_policy_stays_and_the_second_time_nothing_changes() -> None:
    policy = {"maxErrors": 3, "approval": {"seconds": 600}}
    boto3.client("ssm").put_parameter(Name="/drydock/policy", Value=json.dumps(policy), Type="String")

    first, again = drydock("init", *FLAGS, "--yes"), drydock("init", *FLAGS, "--yes", "--json")

    assert first.code == 0
    assert json.loads(setting("policy")) == {"maxErrors": 3, "approval": {"seconds": 600, "required": True}}
    assert (again.code, again.document["written"]) == (0, [])


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (("--mail", "ops"), "--mail ops: is no mail address"),
        (("--approvers", "ann"), "--approvers ann: ann is no ARN of a user or a role"),
        (("--machines", "web"), "--machines web: is not KEY=VALUE"),
        (("--schedule", "cron(0 2 ? * SUN *) Mars"), "Mars is no time zone such as Asia/Tokyo"),
        (("--hours", "25"), "--hours 25: is not a whole number from 1 to 24"),
        ((), "nobody can be asked here: say --mail"),
    ],
)
def test_a_wrong_or_missing_answer_is_one_line_and_exit_code_2(wrong: tuple[str, ...], expected: str) -> None:
    shown = drydock("init", *(("--mail", "ops@example.com") if wrong and wrong[0] != "--mail" else ()), *wrong)

    assert (shown.code, shown.out) == (2, "")
    assert expected in shown.err
    assert shown.err.count("\n") == 1
