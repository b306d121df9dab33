"""The stack of the smoke: validated, deployed, looked at, used once, and removed."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.request import urlopen

from botocore.exceptions import BotoCoreError, ClientError

from rehearsal.engine.permissions import read_table
from tools.check_asl import read_definitions
from tools.smoke.account import Account, Instance, SmokeError, wait_for
from tools.smoke.questions import Answer

ROOT = Path(__file__).resolve().parents[2]
MARK = "DrydockSmoke"
"""The tag of a stack that the smoke made, and may remove."""
SCAN_SECONDS = 1800
DELETION_SECONDS = 1200
_MODEL = re.compile(r"python/botocore/data/([^/]+)/[^/]+/service-2\.json\.gz")


class Deployment(Protocol):
    """How a stack comes to be, and goes."""

    def deploy(self, account: Account) -> None:
        """Make the stack, or bring it up to date. Raises SmokeError when that fails."""

    def delete(self, account: Account) -> None:
        """Delete the stack; what it retains stays. Raises SmokeError when that fails."""


class Sam:
    """With the SAM CLI of .venv, as `make build` and `make deploy` do."""

    def deploy(self, account: Account) -> None:
        """Build and deploy; `sam` says what it does."""
        _run([sys.executable, "tools/build.py"])
        _run([str(Path(sys.executable).parent / "sam"), "deploy", *arguments_of_deploy(account)])

    def delete(self, account: Account) -> None:
        """Delete by CloudFormation, and wait for it."""
        formation = account.client("cloudformation")
        formation.delete_stack(StackName=account.stack)
        if wait_for(lambda: account.find_stack() is None, DELETION_SECONDS) is not True:
            raise SmokeError(f"{account.stack} is still there: look at its events in CloudFormation")


def arguments_of_deploy(account: Account) -> list[str]:
    """Return what `sam deploy` is given: no question, no window, nobody to mail to."""
    return [
        *("--stack-name", account.stack, "--region", account.own_region, "--resolve-s3"),
        *("--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-fail-on-empty-changeset"),
        *("--tags", f"{MARK}=true"),
    ]


def _run(command: list[str]) -> None:
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise SmokeError(f"{' '.join(command)} failed")


def validate(account: Account) -> dict[str, list[str]]:
    """Return what Step Functions has against each definition of the template; nothing where it takes it."""
    standins = {
        "AWS::AccountId": account.number,
        "AWS::Partition": account.partition,
        "AWS::Region": account.own_region,
        "AWS::StackName": account.stack,
    }
    states, found = account.client("stepfunctions"), {}
    for name, definition in read_definitions(standins).items():
        answer = states.validate_state_machine_definition(definition=definition, type="STANDARD", severity="WARNING")
        found[name] = [f"{one['severity']}: {one['message']} ({one['code']})" for one in answer["diagnostics"]]
        if answer["result"] != "OK":
            raise SmokeError(f"Step Functions refuses {name}: " + "; ".join(found[name]))
    return found


def is_ours(stack: Mapping[str, Any]) -> bool:
    """Say whether the smoke made a stack."""
    return any(tag["Key"] == MARK for tag in stack.get("Tags", []))


def check_sdk(account: Account, download: Callable[[str], bytes]) -> Answer:
    """Say whether the boto3 of the deployed layer knows every call that Drydock makes."""
    try:
        pages = account.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=account.stack)
        resources = [one for page in pages for one in page["StackResourceSummaries"]]
        (layer,) = [one for one in resources if one["ResourceType"] == "AWS::Lambda::LayerVersion"]
        version = account.client("lambda").get_layer_version_by_arn(Arn=layer["PhysicalResourceId"])
        package = download(version["Content"]["Location"])
    except (BotoCoreError, ClientError, OSError, ValueError) as error:
        return Answer(None, f"the layer could not be looked at: {error}")
    unknown = find_unknown_calls(package, read_table()["calls"])
    if unknown:
        return Answer("no", f"it does not know {', '.join(unknown)}")
    return Answer("yes", f"{len(read_table()['calls'])} operations are in its models")


def download(location: str) -> bytes:
    """Return what is at an address that Lambda has given out."""
    with urlopen(location) as answer:
        return bytes(answer.read())


def find_unknown_calls(package: bytes, calls: Iterable[str]) -> list[str]:
    """Return the calls ("service Operation") that no model of the botocore in a layer's package has."""
    known: set[str] = set()
    with zipfile.ZipFile(io.BytesIO(package)) as files:
        services = {call.split()[0] for call in calls}
        for name in files.namelist():
            parts = Path(name).parts
            if (
                parts[:3] == ("python", "botocore", "data")
                and parts[-1] == "service-2.json.gz"
                and parts[3] in services
            ):
                model = json.loads(gzip.decompress(files.read(name)))
                known |= {f"{parts[3]} {operation}" for operation in model["operations"]}
    return sorted(set(calls) - known)


def scan(account: Account, outputs: Mapping[str, str], instance: Instance) -> tuple[Answer, Answer]:
    """Scan the instance once; say whether that went well, and what it tells of Windows."""
    states, table = account.client("stepfunctions"), account.client("dynamodb")
    execution = states.start_execution(
        stateMachineArn=outputs["PatchInstanceArn"],
        input=json.dumps({"instanceId": instance.instance_id, "policy": {"operation": "Scan"}}),
    )["executionArn"]
    wait_for(lambda: states.describe_execution(executionArn=execution)["status"] != "RUNNING", SCAN_SECONDS)
    ended = states.describe_execution(executionArn=execution)
    key = {"pk": {"S": f"INSTANCE#{instance.instance_id}"}}
    results = table.query(
        TableName=outputs["StateTableName"],
        KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
        ExpressionAttributeValues={":pk": key["pk"], ":sk": {"S": "RESULT#"}},
        ConsistentRead=True,
    )["Items"]
    lease = table.get_item(
        TableName=outputs["StateTableName"], Key=key | {"sk": {"S": "LEASE"}}, ConsistentRead=True
    ).get("Item")
    result = next((item for item in results if item["execution"]["S"] == execution), None)
    return judge_scan(ended, result, lease is not None), judge_windows(instance.platform, result)


def judge_scan(execution: Mapping[str, Any], result: Mapping[str, Any] | None, is_held: bool) -> Answer:
    """Say whether a Scan went well: it succeeded, left its result, and no lease."""
    if execution["status"] != "SUCCEEDED":
        said = f"{execution.get('error', '')}: {execution.get('cause', '')}".strip(": ")
        return Answer("no", f"the execution {execution['status']} {said}".strip())
    if result is None or result["verdict"]["S"] != "scanned":
        return Answer("no", f"the result is {result and result['verdict']['S']}")
    return Answer("no", "a lease is left") if is_held else Answer("yes", "it is scanned, and given back")


def judge_windows(platform: str, result: Mapping[str, Any] | None) -> Answer:
    """Say whether the probe's script ran in Windows PowerShell, and the agent told its version."""
    if platform != "Windows":
        return Answer(None, f"the instance runs {platform}")
    version = result["agentVersions"]["M"]["before"]["S"] if result else ""
    return Answer("yes", f"the probe told {version}") if version else Answer("no", "the probe told no version")


def remove(account: Account, deployment: Deployment) -> list[str]:
    """Remove the stack that the smoke made, with what it retains, and return what was removed.

    Raises SmokeError for a stack that somebody else made.
    """
    stack = account.find_stack()
    if stack is None:
        return []
    if not is_ours(stack):
        raise SmokeError(f"{account.stack} has no tag {MARK}: the smoke has not made it, and does not remove it")
    outputs = account.outputs()
    deployment.delete(account)
    table, bucket = outputs["StateTableName"], outputs["LogBucketName"]
    account.client("dynamodb").delete_table(TableName=table)
    _delete_bucket(account, bucket)
    return [f"the stack {account.stack}", f"the table {table}", f"the bucket {bucket}"]


def _delete_bucket(account: Account, bucket: str) -> None:
    s3 = account.client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for one in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
    s3.delete_bucket(Bucket=bucket)


def today() -> str:
    """Return the time now as smoke.json has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
