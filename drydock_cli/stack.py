"""The stack that a command is for: its names, and the calls to what stands behind them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urljoin, urlsplit

import boto3
import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from drydock.approval.approvals import decisions_parameter
from drydock.aws.calls import error_code, error_text
from drydock.aws.table import SCHEMA, Item, from_wire
from drydock.errors import NewerSchemaError
from drydock.records.holder import Holder
from drydock.records.results import RESULTS
from drydock.records.runs import PLACES, report_page_key, run_key
from drydock.subject import Instance
from drydock.telling.text import Location, console_link
from drydock_cli.exit_codes import TO_DO
from drydock_cli.options import Account
from drydock_cli.problems import CommandError

DEFAULT_STACK = "drydock"
LATEST = "latest"
"""Stands for the run that was started last."""

_MOST_NAMED = 5

_WRITTEN = 202
_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 5, 30, 3
_CONFIG = Config(
    connect_timeout=_CONNECT_SECONDS,
    read_timeout=_READ_SECONDS,
    retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
)
_LOCAL = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class RunItems:
    """What the table knows of a run: its item, None while there is none, and the machines whose turn came."""

    run: Item | None
    machines: Mapping[str, Item] = field(default_factory=dict)


class Stack:
    """One deployed stack, as the person's credentials see it."""

    def __init__(
        self, core: botocore.session.Session, name: str, region: str | None = None, endpoint: str | None = None
    ) -> None:
        self.name = name
        self._core = core
        self._session = boto3.Session(botocore_session=core, region_name=region)
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}

    @property
    def region(self) -> str:
        if not self._session.region_name:
            raise NoRegionError
        return str(self._session.region_name)

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """Raises CommandError when there is no such stack."""
        try:
            stacks = self._client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if error_code(error) == "ValidationError" and "does not exist" in error_text(error):
                raise CommandError(
                    f"there is no stack {self.name} in {self.region}: name it with --stack or DRYDOCK_STACK, "
                    "and its Region with --region"
                ) from error
            raise
        return {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}

    def output(self, key: str) -> str:
        if key not in self.outputs:
            raise CommandError(
                f"the stack {self.name} has no output {key}: it is not Drydock's, or of a version without this command"
            )
        return self.outputs[key]

    def caller(self) -> str:
        """The ARN of whoever the credentials are."""
        return str(self._client("sts").get_caller_identity()["Arn"])

    def execution_arn(self, run_id: str) -> str:
        machine = self.output("MaintenanceRunArn")
        return f"{machine.replace(':stateMachine:', ':execution:')}:{run_id}"

    def console_link(self, run_id: str) -> str:
        return self.console_link_of(self.execution_arn(run_id))

    def console_link_of(self, execution: str) -> str:
        holder = Holder(execution, 0)
        return console_link(execution, Location(holder.partition, holder.account, self.region, ""))

    def start(self, run_id: str, given: Mapping[str, Any]) -> str:
        """Start a run; the ARN of its execution. A name belongs to one run for ever."""
        try:
            answer = self._client("stepfunctions").start_execution(
                stateMachineArn=self.output("MaintenanceRunArn"),
                name=run_id,
                input=json.dumps(given, ensure_ascii=False),
            )
        except ClientError as error:
            if error_code(error) == "ExecutionAlreadyExists":
                raise CommandError(
                    f"there has been a run named {run_id}: give this one another --name", TO_DO
                ) from error
            raise
        return str(answer["executionArn"])

    def start_restore(self, name: str, given: Mapping[str, Any]) -> str:
        """Start to bring a machine back; the ARN of the execution."""
        answer = self._client("stepfunctions").start_execution(
            stateMachineArn=self.output("RestoreInstanceArn"), name=name, input=json.dumps(given, ensure_ascii=False)
        )
        return str(answer["executionArn"])

    def describe_execution(self, execution: str) -> Mapping[str, Any]:
        """An execution of any of the stack's machines as it is now."""
        found: Mapping[str, Any] = self._client("stepfunctions").describe_execution(executionArn=execution)
        return found

    def read_result(self, instance_id: str, execution: str) -> Item | None:
        """What became of a machine in an execution; None while that is not written."""
        query: dict[str, Any] = {
            "TableName": self.output("StateTableName"),
            "KeyConditionExpression": "pk = :machine AND begins_with(sk, :result)",
            "ExpressionAttributeValues": {
                ":machine": {"S": Instance(instance_id).partition},
                ":result": {"S": RESULTS},
            },
            "ConsistentRead": True,
        }
        for page in self._client("dynamodb").get_paginator("query").paginate(**query):
            for wire in page["Items"]:
                item = _read_item(wire, instance_id)
                if item["execution"] == execution:
                    return item
        return None

    def find_execution(self, run_id: str) -> Mapping[str, Any] | None:
        """The execution of a run; None when Step Functions does not know it (any more)."""
        try:
            found: Mapping[str, Any] = self._client("stepfunctions").describe_execution(
                executionArn=self.execution_arn(run_id)
            )
        except ClientError as error:
            if error_code(error) == "ExecutionDoesNotExist":
                return None
            raise
        return found

    def read_run(self, run_id: str) -> RunItems:
        key = run_key(run_id)
        query: dict[str, Any] = {
            "TableName": self.output("StateTableName"),
            "KeyConditionExpression": "pk = :run",
            "ExpressionAttributeValues": {":run": {"S": key["pk"]}},
        }
        run: Item | None = None
        machines: dict[str, Item] = {}
        for page in self._client("dynamodb").get_paginator("query").paginate(**query):
            for wire in page["Items"]:
                item = _read_item(wire, run_id)
                if item["sk"] == key["sk"]:
                    run = item
                elif item["sk"].startswith(PLACES):
                    machines[item["sk"].removeprefix(PLACES)] = item
        return RunItems(run, machines)

    def read_json(self, key: str, bucket: str = "") -> Any:
        """A plan or report; None when it is not there (any more)."""
        place = bucket or self.output("LogBucketName")
        content = self._read_object(key, place)
        if content is None:
            return None
        try:
            value = json.loads(content)
        except ValueError as error:
            raise CommandError(f"s3://{place}/{key} is not JSON: {error}") from error
        if isinstance(value, Mapping) and value.get("schema", SCHEMA) > SCHEMA:
            raise _is_newer(f"s3://{place}/{key}")
        return value

    def read_report(self, run_id: str) -> Any:
        """The report of a run as JSON; None when it is not there (any more)."""
        return self.read_json(f"runs/{run_id}/report.json")

    def read_report_page(self, run_id: str) -> bytes | None:
        """The page of a run's report; None when it is not there (any more)."""
        return self._read_object(report_page_key(run_id), self.output("LogBucketName"))

    def _read_object(self, key: str, bucket: str) -> bytes | None:
        try:
            answer = self._client("s3").get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error_code(error) in ("NoSuchKey", "404"):
                return None
            raise
        return bytes(answer["Body"].read())

    def find_run_id(self, name: str) -> str:
        """The id of the run that is meant: its id, the beginning of it where no other begins so, or `latest`.

        Step Functions lists the executions of the last ninety days, the newest first; what it does not know is taken
        for the id of an older run. Raises CommandError when more than one begins so, or none is the latest.
        """
        if name != LATEST and self.find_execution(name) is not None:
            return name
        found = [run_id for run_id in self._recent_runs() if name == LATEST or run_id.startswith(name)]
        if name != LATEST and len(found) > 1:
            raise CommandError(f"more than one run begins with {name}: {', '.join(found[:_MOST_NAMED])}", TO_DO)
        if name == LATEST and not found:
            raise CommandError(f"the stack {self.name} has had no run for ninety days", TO_DO)
        return found[0] if found else name

    def _recent_runs(self) -> Iterator[str]:
        pages = self._client("stepfunctions").get_paginator("list_executions")
        for page in pages.paginate(stateMachineArn=self.output("MaintenanceRunArn")):
            yield from (str(execution["name"]) for execution in page["executions"])

    def stop_run(self, run_id: str, reason: str) -> Mapping[str, Any]:
        """Ask the stack to let no new machine of a run begin."""
        answer = self._client("lambda").invoke(
            FunctionName=self.output("StopRunFunctionName"),
            Payload=json.dumps({"runId": run_id, "reason": reason}).encode(),
        )
        value = _object(answer["Payload"].read())
        if answer.get("FunctionError"):
            raise CommandError(str(value.get("errorMessage") or f"the function failed: {answer['FunctionError']}"))
        return value

    def decide(self, decision: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        """Post a decision, signed by the person's credentials; the status and what the stack says.

        Where Lambda has no function URLs the decision is written to Parameter Store, as with the AWS CLI alone.
        """
        if "DecideUrl" not in self.outputs:
            return self._write_decision(decision)
        url = urljoin(self.output("DecideUrl"), "decide")
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in _LOCAL:
            raise CommandError(f"{url}: a decision is only sent over https")
        credentials = self._session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        request = AWSRequest(
            method="POST",
            url=url,
            data=json.dumps(decision, ensure_ascii=False).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        SigV4Auth(credentials.get_frozen_credentials(), "lambda", self.region).add_auth(request)
        http = URLLib3Session(
            verify=self._core.get_config_variable("ca_bundle") or True,
            proxies=get_environ_proxies(url),
            timeout=_READ_SECONDS,
        )
        answer = http.send(request.prepare())
        return answer.status_code, _object(answer.content)

    def _write_decision(self, decision: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        self._client("ssm").put_parameter(
            Name=decisions_parameter(self.name, decision["runId"]),
            Type="String",
            Overwrite=True,
            Value=" ".join(decision[key] for key in ("decision", "hash", "reason")).strip(),
        )
        said = (
            "It counts once Drydock has read it, in a minute or so: look with drydock watch. "
            "The approvers are told of a decision that does not count."
        )
        return _WRITTEN, {"runId": decision["runId"], "result": "written", "message": said, "by": self.caller()}

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            try:
                self._clients[service] = self._session.client(  # type: ignore[call-overload]
                    service,
                    # botocore does not miss it everywhere.
                    region_name=self.region,
                    config=_CONFIG,
                    endpoint_url=self._endpoint,
                )
            except ValueError as error:
                raise CommandError(str(error)) from error
        return self._clients[service]


def open_stack(account: Account) -> Stack:
    """The stack, with credentials, Region and endpoint as the AWS CLI takes them."""
    return Stack(
        botocore.session.Session(profile=account.profile),
        account.stack or os.environ.get("DRYDOCK_STACK") or DEFAULT_STACK,
        # boto3 does not read AWS_REGION.
        account.region or os.environ.get("AWS_REGION") or None,
        account.endpoint_url,
    )


def _object(text: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, Mapping) else {}


def _read_item(wire: Mapping[str, Any], run_id: str) -> Item:
    try:
        return from_wire(wire)
    except NewerSchemaError as error:
        raise _is_newer(f"run {run_id}") from error


def _is_newer(what: str) -> CommandError:
    return CommandError(f"{what} was written by a newer Drydock: use the command of that version")
