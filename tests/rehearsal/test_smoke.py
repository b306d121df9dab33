"""What is done in the first real account, on the embedded one."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.cloudformation.models import cloudformation_backends

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.answers import Answer, AWSError, answer_calls
from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.engine.permissions import read_table
from rehearsal.engine.repairs.patches import Patches
from rehearsal.world.fleet import Fleet, Machine, MachineSpec
from tests.rules.project import ROOT
from tools import check_asl, fidelity
from tools.smoke import questions, stack
from tools.smoke.account import Account
from tools.smoke.command import DONE, FAILED, REFUSED, main

SAM = Path(sys.executable).parent / "sam"
QUESTIONS = {name for name, row in fidelity.read_known()["questions"].items() if row["asked"] == "smoke"}


def package(*without: str) -> bytes:
    """The package of a layer whose botocore knows all that Drydock calls, but for some."""
    content = io.BytesIO()
    models: dict[str, list[str]] = {}
    for call in read_table()["calls"]:
        service, operation = call.split()
        models.setdefault(service, []).extend([operation] if call not in without else [])
    with zipfile.ZipFile(content, "w") as files:
        for service, operations in models.items():
            text = json.dumps({"operations": {name: {} for name in operations}}).encode()
            files.writestr(f"python/botocore/data/{service}/2016-11-15/service-2.json.gz", gzip.compress(text))
    return content.getvalue()


class Rest:
    """What the smoke makes in EC2 and Auto Scaling, and the rehearsal has not; each either way."""

    def __init__(self, *, quick: bool = True, asks_for_more: bool = False) -> None:
        self.made: set[str] = set()
        self.quick = quick
        self.asks_for_more = asks_for_more

    def find_answer(self, service: str, operation: str) -> Answer | None:
        """What answers a call; None for what the account answers."""
        return getattr(self, operation, None)

    def _make(self, kind: str) -> None:
        self.made.add(kind)

    def GetLayerVersionByArn(self, _: Any) -> dict[str, Any]:
        return {"Content": {"Location": "https://layer"}}

    def CopyImage(self, _: Any) -> dict[str, Any]:
        self._make("image")
        return {"ImageId": "ami-0123456789abcdef0"}

    def DescribeImages(self, _: Any) -> dict[str, Any]:
        found = [{"ImageId": "ami-0123456789abcdef0", "State": "pending" if self.quick else "available"}]
        return {"Images": found if "image" in self.made else []}

    def EnableImageDeprecation(self, _: Any) -> dict[str, Any]:
        if self.asks_for_more:
            raise AWSError("InvalidAMIID.Unavailable", "not yet")
        return {"Return": True}

    def DeregisterImage(self, _: Any) -> dict[str, Any]:
        self.made.discard("image")
        return {"Return": True}

    def CreateVolume(self, _: Any) -> dict[str, Any]:
        self._make("volume")
        return {"VolumeId": "vol-0123456789abcdef0"}

    def DescribeVolumes(self, _: Any) -> dict[str, Any]:
        found = [{"VolumeId": "vol-0123456789abcdef0", "State": "available"}]
        return {"Volumes": found if "volume" in self.made else []}

    def DeleteVolume(self, _: Any) -> dict[str, Any]:
        self.made.discard("volume")
        return {}

    def CreateSnapshot(self, _: Any) -> dict[str, Any]:
        self._make("snapshot")
        return {"SnapshotId": "snap-0123456789abcdef0", "State": "pending"}

    def DescribeSnapshots(self, _: Any) -> dict[str, Any]:
        found = [{"SnapshotId": "snap-0123456789abcdef0", "State": "pending"}]
        return {"Snapshots": found if "snapshot" in self.made and self.quick else []}

    def DeleteSnapshot(self, _: Any) -> dict[str, Any]:
        self.made.discard("snapshot")
        return {}

    def CreateLaunchTemplate(self, _: Any) -> dict[str, Any]:
        self._make("template")
        return {}

    def DeleteLaunchTemplate(self, _: Any) -> dict[str, Any]:
        if "template" not in self.made:
            raise AWSError("InvalidLaunchTemplateName.NotFoundException", "there is none")
        self.made.discard("template")
        return {}

    def CreateAutoScalingGroup(self, _: Any) -> dict[str, Any]:
        self._make("group")
        return {}

    def DeleteAutoScalingGroup(self, _: Any) -> dict[str, Any]:
        if "group" not in self.made:
            raise AWSError("ValidationError", "there is none")
        self.made.discard("group")
        return {}

    def UpdateAutoScalingGroup(self, _: Any) -> dict[str, Any]:
        if self.asks_for_more:
            raise AWSError("ValidationError", "You are not authorized to use launch template: drydock-smoke")
        return {}


class Embedded:
    """A deployment into the embedded account."""

    def __init__(self, account: EmbeddedAccount) -> None:
        self._account = account

    def deploy(self, account: Account) -> None:
        self._account.deploy(stack=account.stack)
        found = cloudformation_backends[ACCOUNT][REGION].stacks.values()
        (made,) = [one for one in found if one.name == account.stack]
        made.tags = {stack.MARK: "true"}

    def delete(self, account: Account) -> None:
        self._account.delete_stack(account.stack)


class Person:
    """Somebody who smokes an account out: each command runs in its virtual time."""

    def __init__(self, account: EmbeddedAccount, fleet: Fleet, rest: Rest) -> None:
        self.account = account
        self.fleet = fleet
        self.rest = rest
        self.fetched = package()

    def machine(self, **spec: Any) -> Machine:
        """A machine that is new in the account."""
        return self.fleet.machine(self.fleet.add(MachineSpec("web-1", **spec)))

    def __call__(self, *arguments: str) -> int:
        codes: list[int] = []

        def work() -> None:
            codes.append(main(arguments, Embedded(self.account), lambda _: self.fetched))

        self.account.clock.spawn(work, "smoke")
        self.account.clock.run(lambda: bool(codes))
        (code,) = codes
        return code


@pytest.fixture
def person(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    monkeypatch.chdir(tmp_path)
    rest, knobs = getattr(request, "param", (Rest(), {}))
    with EmbeddedAccount(**knobs) as account, account.open_fleet() as fleet, Patches() as patches:
        answer_calls(patches, rest.find_answer)
        yield Person(account, fleet, rest)


def report() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("smoke.json").read_text(encoding="utf-8"))
    return found


def names(person: Person) -> dict[str, set[str]]:
    """What is in the account, of what the smoke makes."""
    account = person.account
    return {
        "roles": {one["RoleName"] for one in account.client("iam").list_roles()["Roles"]},
        "machines": {one["name"] for one in account.client("stepfunctions").list_state_machines()["stateMachines"]},
        "rules": {one["Name"] for one in account.client("events").list_rules()["Rules"]},
        "queues": set(account.client("sqs").list_queues().get("QueueUrls", [])),
        "tables": set(account.client("dynamodb").list_tables()["TableNames"]),
        "buckets": {one["Name"] for one in account.client("s3").list_buckets()["Buckets"]},
        "rest": set(person.rest.made),
    }


def test_an_account_is_asked_and_all_that_was_made_is_removed_on_request(
    person: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    before = names(person)
    machine = person.machine(missing=("kernel", "openssl"))

    assert person("--instance", machine.instance_id, "--yes") == DONE

    out = capsys.readouterr().out
    found = report()
    assert found["definitions"] == {"PatchInstance": [], "RestoreInstance": [], "RollGroup": [], "MaintenanceRun": []}
    assert (found["sdk"]["answer"], found["scan"]["answer"], found["left"]) == ("yes", "yes", [])
    assert {name: given["answer"] for name, given in found["answers"].items()} == {
        "entered-time": "yes",
        "map-child-events": "no",
        "image-visible": "0 seconds",
        "deprecate-at-once": "yes",
        "pending-snapshots": "yes",
        "sizes-only": "yes",
        "windows-probe": None,
    }
    assert (machine.boots, [patch.name for patch in machine.missing]) == (1, ["kernel", "openssl"])
    # What it says it will do comes first, with what that costs.
    assert out.index("costs less than") < out.index("Step Functions takes 4 definitions.")
    # The page takes up the file, and the command that is printed removes everything.
    assert fidelity.take_up((ROOT / fidelity.KNOWN).read_text(encoding="utf-8"), found)
    printed = next(line for line in out.splitlines() if line.strip().startswith(".venv/bin/python -m tools.smoke"))
    assert person(*shlex.split(printed)[3:]) == DONE
    assert names(person) == before


@pytest.mark.parametrize("person", [(Rest(quick=False, asks_for_more=True), {"map_child_events": True})], indirect=True)
def test_an_account_that_answers_otherwise_is_believed(person: Person, capsys: pytest.CaptureFixture[str]) -> None:
    machine = person.machine(platform="Windows")
    person.account.deploy()
    person.fetched = package("autoscaling LaunchInstances")

    assert person("--instance", machine.instance_id, "--stack", "drydock", "--deployed", "--yes") == FAILED

    found = report()
    assert "autoscaling LaunchInstances" in found["sdk"]["because"]
    answers = {name: given["answer"] for name, given in found["answers"].items()}
    assert answers | {"entered-time": "", "image-visible": ""} == {
        "entered-time": "",
        "map-child-events": "yes",
        "image-visible": "",
        "deprecate-at-once": None,
        "pending-snapshots": "no",
        "sizes-only": "no",
        "windows-probe": "yes",
    }
    assert "--remove" not in capsys.readouterr().out, "the stack is not the smoke's"
    # Nor does it remove it.
    assert person("--stack", "drydock", "--remove", "--yes") == REFUSED
    assert "has not made it" in capsys.readouterr().err
    assert "drydock-State" in names(person)["tables"]


def test_every_question_that_smoke_asks_has_its_way_to_be_asked() -> None:
    asked = [name for one in questions.ASKED for name in one.questions]
    assert sorted([*asked, "windows-probe"]) == sorted(QUESTIONS)


def test_nothing_is_done_before_it_is_allowed(person: Person, capsys: pytest.CaptureFixture[str]) -> None:
    machine = person.machine()
    before = names(person)
    assert person("--instance", machine.instance_id) == DONE
    assert person("--remove") == DONE
    out = capsys.readouterr().out
    assert out.count("Nothing was done: add --yes.") == 2
    assert names(person) == before
    assert not Path("smoke.json").exists()


Wrong = Callable[[Person], tuple[str, ...]]
WRONG: dict[str, tuple[Wrong, str]] = {
    "no such instance": (
        lambda person: ("--instance", "i-0123456789abcdef0"),
        "there is no instance i-0123456789abcdef0",
    ),
    "one that is stopped": (
        lambda person: ("--instance", person.machine(power="stopped").instance_id),
        "is stopped: name one that runs",
    ),
    "one that nobody reaches": (
        lambda person: ("--instance", person.machine(managed=False).instance_id),
        "Systems Manager does not reach",
    ),
    "no such stack": (
        lambda person: (
            "--instance",
            person.machine().instance_id,
            "--stack",
            "absent",
            "--deployed",
        ),
        "there is no stack absent",
    ),
    "a stack of somebody else's": (
        lambda person: ("--instance", person.machine().instance_id, "--stack", _deployed(person)),
        "drydock is there already, and not the smoke's",
    ),
}


def _deployed(person: Person) -> str:
    person.account.deploy()
    return "drydock"


@pytest.mark.parametrize("wrong", WRONG)
def test_it_refuses_clearly_and_does_nothing(wrong: str, person: Person, capsys: pytest.CaptureFixture[str]) -> None:
    make, text = WRONG[wrong]
    arguments = make(person)
    before = names(person)
    assert person(*arguments, "--yes") == REFUSED
    assert text in capsys.readouterr().err
    assert names(person) == before


def test_a_definition_that_step_functions_refuses_is_not_deployed(
    person: Person, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    instance_id = person.machine().instance_id
    before = names(person)
    broken = json.dumps({"StartAt": "Nowhere", "States": {"A": {"Type": "Pass", "End": True}}})
    monkeypatch.setattr(stack, "read_definitions", lambda standins: {"PatchInstance": broken})
    assert person("--instance", instance_id, "--yes") == REFUSED
    assert "Step Functions refuses PatchInstance: ERROR: " in capsys.readouterr().err
    assert names(person) == before


def test_definitions_are_validated_as_they_will_be_deployed_there() -> None:
    standins = {"AWS::AccountId": "210987654321", "AWS::Partition": "aws-cn", "AWS::Region": "cn-north-1"}
    for definition in check_asl.read_definitions(standins).values():
        assert "arn:aws-cn:states:::lambda:invoke" in definition
        assert "arn:aws-cn:lambda:cn-north-1:210987654321:function:" in definition
        assert "${" not in definition and "arn:aws:" not in definition


@pytest.mark.prove
def test_sam_knows_what_the_deployment_gives_it() -> None:
    known = subprocess.run([SAM, "deploy", "--help"], capture_output=True, text=True, check=True).stdout
    options = [one for one in stack.arguments_of_deploy(Account("x", "eu-west-1")) if one.startswith("--")]
    assert [one for one in options if one not in known] == []


@pytest.mark.parametrize(
    ("region", "text"), [((), "there is no Region"), (("--region", "eu-west-1"), "there are no credentials")]
)
def test_without_credentials_it_says_so(
    region: tuple[str, ...], text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "absent")
    assert main(["--instance", "i-0123456789abcdef0", *region, "--yes"]) == REFUSED
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert text in said.err


@pytest.mark.parametrize(("times", "answer"), [(["a"], None), (["a", "a", "a"], "yes"), (["a", "b", "c"], "no")])
def test_attempts_that_are_told_one_time_say_that_it_stays(times: list[str], answer: str | None) -> None:
    assert questions.judge_entered_times(times).answer == answer


def test_events_of_items_are_told_from_those_of_the_execution_itself() -> None:
    arn = "arn:aws:states:eu-west-1:123456789012:stateMachine:x"
    assert questions.judge_machines_of_events(arn, [arn, f"{arn}/Items"]).answer == "yes"
    assert questions.judge_machines_of_events(arn, [arn]).answer == "no"
    assert questions.judge_machines_of_events(arn, []).answer is None


def test_a_snapshot_that_is_done_at_once_tells_nothing() -> None:
    assert questions.judge_snapshot("pending", ["pending"]).answer == "yes"
    assert questions.judge_snapshot("pending", []).answer == "no"
    assert questions.judge_snapshot("pending", ["completed"]).answer is None


def test_a_refusal_tells_of_sizes_only_where_it_is_about_the_launch() -> None:
    waits = questions.judge_refused_sizes("AccessDenied", "it may not autoscaling:UpdateAutoScalingGroup")
    assert waits is None, "the new role does not hold yet"
    launch = questions.judge_refused_sizes("AccessDenied", "not authorized to perform: ec2:RunInstances")
    assert launch and launch.answer == "no"
    other = questions.judge_refused_sizes("ScalingActivityInProgress", "wait")
    assert other and other.answer is None


@pytest.mark.parametrize("missing", [(), ("autoscaling LaunchInstances", "ssm SendCommand")])
def test_calls_that_no_model_of_the_layer_has_are_named(missing: tuple[str, ...]) -> None:
    assert stack.find_unknown_calls(package(*missing), read_table()["calls"]) == sorted(missing)


@pytest.mark.parametrize(
    ("status", "verdict", "held", "answer"),
    [
        ("SUCCEEDED", "scanned", False, "yes"),
        ("SUCCEEDED", "scanned", True, "no"),
        ("SUCCEEDED", "unknown", False, "no"),
        ("SUCCEEDED", None, False, "no"),
        ("FAILED", "scanned", False, "no"),
        ("RUNNING", None, True, "no"),
    ],
)
def test_a_scan_went_well_when_it_left_its_result_and_no_lease(
    status: str, verdict: str | None, held: bool, answer: str
) -> None:
    result = {"verdict": {"S": verdict}} if verdict else None
    assert stack.judge_scan({"status": status}, result, held).answer == answer


def test_the_deployment_marks_the_stack_and_asks_nothing() -> None:
    given = stack.arguments_of_deploy(Account("drydock-smoke", "eu-west-1"))
    assert given[given.index("--tags") + 1] == f"{stack.MARK}=true"
    assert "--no-confirm-changeset" in given and "--guided" not in given


def test_the_make_target_hands_on_what_it_is_given() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "smoke", "INSTANCE=i-0123456789abcdef0", "YES=1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"-m tools\.smoke .*--instance i-0123456789abcdef0.* --yes", done.stdout, re.DOTALL)
