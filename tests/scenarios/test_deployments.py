"""The stack's own life: creations that fail and are rolled back, the next one, and deletion."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.calls import REGION
from rehearsal.engine.deployment import DeploymentError
from rehearsal.engine.project import PROJECT
from rehearsal.engine.stack_resources import ResourceFailedError
from rehearsal.play.serve import serve_api
from tests.scenarios.machine.scenario import Scenario, assert_given_back


@pytest.fixture(scope="module")
def resources() -> list[str]:
    """The resources of the stack, by logical id, in the order in which they are made."""
    made: list[str] = []
    with EmbeddedAccount() as account:
        account.deploy(before_each=made.append)
    return made


@pytest.mark.parametrize("stack", ["aws-patching", "amzn-patching"])
def test_a_stack_whose_name_documents_may_not_have_is_not_made_and_leaves_nothing(
    account: EmbeddedAccount, stack: str
) -> None:
    with pytest.raises(DeploymentError, match="document"):
        account.deploy(stack=stack)

    assert _standing(account) == {}


@pytest.fixture
def account() -> Iterator[EmbeddedAccount]:
    with EmbeddedAccount() as opened:
        yield opened


def _standing(account: EmbeddedAccount) -> dict[str, list[str]]:
    """What is in the account, by kind."""
    iam, ssm = account.client("iam"), account.client("ssm")
    found = {
        "tables": account.client("dynamodb").list_tables()["TableNames"],
        "buckets": [bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]],
        "functions": sorted(account.functions.functions),
        "machines": account.client("stepfunctions").list_state_machines()["stateMachines"],
        "roles": iam.list_roles()["Roles"],
        "policies": iam.list_policies(Scope="Local")["Policies"],
        "rules": account.client("events").list_rules()["Rules"],
        "topics": account.client("sns").list_topics()["Topics"],
        "queues": account.client("sqs").list_queues().get("QueueUrls", []),
        "documents": ssm.list_documents(Filters=[{"Key": "Owner", "Values": ["Self"]}])["DocumentIdentifiers"],
        "windows": ssm.describe_maintenance_windows()["WindowIdentities"],
        "alarms": account.client("cloudwatch").describe_alarms()["MetricAlarms"],
    }
    return {kind: items for kind, items in found.items() if items}


def _fail(account: EmbeddedAccount, last: str, template: Path | None = None, *, first_object: bool = False) -> str:
    """Create the stack, and fail at a resource; what CloudFormation said."""

    def fail(logical_id: str) -> None:
        if logical_id == last:
            if first_object:
                (bucket,) = account.client("s3").list_buckets()["Buckets"]
                account.client("s3").put_object(Bucket=bucket["Name"], Key="runs/web-1/plan.json", Body=b"{}")
            raise ResourceFailedError(f"{logical_id}: you may not make it")

    with pytest.raises(DeploymentError) as failed:
        account.deploy(template=template, before_each=fail)
    return str(failed.value)


def _deploy_and_patch(account: EmbeddedAccount) -> None:
    with account.open_fleet() as fleet:
        scene = Scenario(account, fleet, {}, None)
        machine = scene.machine("web", power="stopped")
        assert scene.patch(machine).status == "SUCCEEDED"
        assert_given_back(scene, machine, "stopped")


def test_a_creation_that_fails_at_its_last_resource_leaves_nothing_and_the_next_one_succeeds(
    resources: list[str], account: EmbeddedAccount
) -> None:
    said = _fail(account, resources[-1])
    assert said == f"the stack is ROLLBACK_COMPLETE: {resources[-1]}: you may not make it"
    assert _standing(account) == {}

    with pytest.raises(DeploymentError, match="it is in ROLLBACK_COMPLETE"):
        account.deploy()
    account.delete_stack()
    _deploy_and_patch(account)


def test_a_creation_that_fails_after_the_first_object_leaves_the_bucket_and_the_next_one_succeeds(
    resources: list[str], account: EmbeddedAccount
) -> None:
    said = _fail(account, resources[-1], first_object=True)
    assert said.startswith("the stack is ROLLBACK_FAILED")
    assert said.endswith("LogBucket could not be deleted: The bucket you tried to delete is not empty")
    assert set(_standing(account)) == {"buckets"}

    account.delete_stack()
    assert set(_standing(account)) == {"buckets"}
    _deploy_and_patch(account)


@pytest.mark.parametrize("position", [0, 0.25, 0.5, 0.75], ids="{:.0%}".format)
def test_a_creation_that_fails_anywhere_leaves_nothing(
    resources: list[str], account: EmbeddedAccount, position: float
) -> None:
    _fail(account, resources[int(len(resources) * position)])
    assert _standing(account) == {}
    account.delete_stack()
    account.deploy()


def test_a_stack_that_is_deleted_keeps_the_table_and_the_bucket_and_nothing_else(account: EmbeddedAccount) -> None:
    stack = account.deploy()
    account.delete_stack()
    kept = {"tables": [stack.resource("StateTable")], "buckets": [stack.resource("LogBucket")]}
    assert _standing(account) == kept
    with pytest.raises(DeploymentError, match="identifier drydock-State already exists"):
        account.deploy()


AWS = shutil.which("aws")


@pytest.mark.skipif(AWS is None, reason="the AWS CLI is not installed")
def test_the_commands_of_the_operations_page_remove_what_a_deleted_stack_leaves_behind(
    tmp_path: Path, account: EmbeddedAccount
) -> None:
    stack = account.deploy()
    bucket, s3 = stack.resource("LogBucket"), account.client("s3")
    for number in range(1_001):
        s3.put_object(Bucket=bucket, Key=f"drydock/{number}", Body=b"")
    s3.put_object(Bucket=bucket, Key="drydock/0", Body=b"another version")
    s3.delete_object(Bucket=bucket, Key="drydock/1")
    account.client("ssm").put_parameter(Name="/drydock/policy", Type="String", Value="{}")
    account.delete_stack()

    page = (PROJECT / "docs" / "operations.md").read_text().partition("## Removing what the stack leaves behind")[2]
    commands = page.split("```")[1].replace("LOG-BUCKET", bucket)
    with serve_api(account) as server:
        variables = {"AWS_ENDPOINT_URL": server.address, "AWS_DEFAULT_REGION": REGION, "AWS_MAX_ATTEMPTS": "1"}
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "PATH": os.environ["PATH"]}
        command = ["bash", "-euo", "pipefail", "-c", commands]
        with subprocess.Popen(command, cwd=tmp_path, env={**variables, **keys}, stdout=subprocess.DEVNULL) as process:
            server.pump(lambda: process.poll() is not None)
    assert process.returncode == 0
    assert _standing(account) == {}
    assert account.client("ssm").describe_parameters()["Parameters"] == []


def test_with_plain_retain_the_second_attempt_would_meet_the_table_of_the_first(
    tmp_path: Path, resources: list[str], account: EmbeddedAccount
) -> None:
    copy = tmp_path / "template.yaml"
    copy.write_text((PROJECT / "template.yaml").read_text().replace("RetainExceptOnCreate", "Retain"))
    _fail(account, resources[-1], copy)
    account.delete_stack()
    with pytest.raises(DeploymentError, match="identifier drydock-State already exists"):
        account.deploy(template=copy)
