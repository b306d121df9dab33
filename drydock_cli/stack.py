"""The stack that a command is for: its names, and the calls to what stands behind them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from itertools import islice
from time import monotonic
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

from drydock.approval.approvals import approvers_parameter, decisions_parameter
from drydock.approval.approvers import read_approvers
from drydock.aws.calls import error_code, error_text, in_chunks
from drydock.aws.table import LOOKUP_INDEX, MONTH_INDEX, SCHEMA, Item, Key, Table, from_wire
from drydock.errors import NewerSchemaError, UnreadableItemError
from drydock.records.holder import Holder
from drydock.records.leases import Lease, lease_key, read_lease
from drydock.records.results import Result, readable_results_of
from drydock.records.runs import (
    AWAITING_APPROVAL,
    KEPT_MONTHS,
    OPEN_RUNS,
    PLACES,
    RUNS,
    report_page_key,
    run_key,
)
from drydock.subject import Instance, Subject
from drydock.telling.text import Location, console_link
from drydock_cli.exit_codes import TO_DO
from drydock_cli.options import Account
from drydock_cli.problems import CommandError

DEFAULT_STACK = "drydock"
LATEST, WAITING = "latest", "waiting"
"""Stand for the run that was started last, and for the one that waits for an approval."""

_MOST_NAMED = 5
_MOST_ASKED_FOR = 50
"""Values of one filter, which Systems Manager takes. EC2 takes more."""
_MOST_READ_TOGETHER = 100
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""

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
        self._clock: tuple[datetime, float] | None = None
        core.register("after-call", self._note_clock)

    def _note_clock(self, http_response: Any = None, **event: Any) -> None:
        """An answer of AWS says what time it is there."""
        said = getattr(http_response, "headers", {}).get("date", "")
        with suppress(ValueError):
            self._clock = parsedate_to_datetime(said), monotonic()

    def now(self) -> datetime:
        """The time by AWS's clock: this machine's may be wrong, and that of a rehearsal's account is virtual."""
        if self._clock is None:
            return datetime.now(UTC)
        then, counted = self._clock
        return then.astimezone(UTC) + timedelta(seconds=monotonic() - counted)

    @property
    def region(self) -> str:
        if not self._session.region_name:
            raise NoRegionError
        return str(self._session.region_name)

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """Raises CommandError when there is no such stack."""
        return {output["OutputKey"]: output["OutputValue"] for output in self._described.get("Outputs", [])}

    @property
    def parameters(self) -> Mapping[str, str]:
        """What the stack was deployed with."""
        given = self._described.get("Parameters", [])
        return {one["ParameterKey"]: one.get("ParameterValue", "") for one in given}

    @property
    def status(self) -> str:
        """As CloudFormation names it: `UPDATE_COMPLETE`."""
        return str(self._described["StackStatus"])

    @cached_property
    def _described(self) -> Mapping[str, Any]:
        try:
            stacks: Sequence[Mapping[str, Any]] = self.client("cloudformation").describe_stacks(StackName=self.name)[
                "Stacks"
            ]
        except ClientError as error:
            if error_code(error) == "ValidationError" and "does not exist" in error_text(error):
                raise CommandError(
                    f"there is no stack {self.name} in {self.region}: name it with --stack or DRYDOCK_STACK, "
                    "and its Region with --region"
                ) from error
            raise
        return stacks[0]

    def output(self, key: str) -> str:
        if key not in self.outputs:
            raise CommandError(
                f"the stack {self.name} has no output {key}: it is not Drydock's, or of a version without this command"
            )
        return self.outputs[key]

    def caller(self) -> str:
        """The ARN of whoever the credentials are."""
        return str(self.client("sts").get_caller_identity()["Arn"])

    def execution_arn(self, run_id: str) -> str:
        machine = self.output("MaintenanceRunArn")
        return f"{machine.replace(':stateMachine:', ':execution:')}:{run_id}"

    @cached_property
    def table(self) -> Table:
        """The stack's table, for what reads the records of the layer."""
        return Table(self.output("StateTableName"), self.client("dynamodb"))

    @cached_property
    def location(self) -> Location:
        holder = Holder(self.execution_arn("any"), 0)
        return Location(holder.partition, holder.account, self.region, "", self.name)

    def console_link(self, run_id: str) -> str:
        return self.console_link_of(self.execution_arn(run_id))

    def console_link_of(self, execution: str) -> str:
        return console_link(execution, self.location)

    def approvers(self) -> list[str]:
        return read_approvers(self.read_parameter(approvers_parameter(self.name)))

    def read_parameter(self, name: str) -> str | None:
        """A setting in Parameter Store; None while nobody has made it."""
        try:
            return str(self.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])
        except ClientError as error:
            if error_code(error) == "ParameterNotFound":
                return None
            raise

    def write_parameter(self, name: str, value: str) -> None:
        """Make a setting in Parameter Store, in place of the one that stands there."""
        self.client("ssm").put_parameter(Name=name, Value=value, Type="String", Overwrite=True)

    def describe_instances(self, filters: Mapping[str, Sequence[str]]) -> list[Mapping[str, Any]]:
        """The instances that fit all filters, as EC2 describes them."""
        given = [{"Name": name, "Values": list(values)} for name, values in filters.items()]
        pages = self.client("ec2").get_paginator("describe_instances").paginate(Filters=given)
        return [one for page in pages for made in page["Reservations"] for one in made["Instances"]]

    def start(self, run_id: str, given: Mapping[str, Any]) -> str:
        """Start a run; the ARN of its execution. A name belongs to one run for ever."""
        try:
            answer = self.client("stepfunctions").start_execution(
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
        answer = self.client("stepfunctions").start_execution(
            stateMachineArn=self.output("RestoreInstanceArn"), name=name, input=json.dumps(given, ensure_ascii=False)
        )
        return str(answer["executionArn"])

    def describe_execution(self, execution: str) -> Mapping[str, Any]:
        """An execution of any of the stack's machines as it is now."""
        found: Mapping[str, Any] = self.client("stepfunctions").describe_execution(executionArn=execution)
        return found

    def find_result(self, instance_id: str, execution: str) -> Result | None:
        """What became of a machine in an execution; None while that is not written."""
        found = readable_results_of(self.table, Instance(instance_id)).read
        return next((result for result in found if result.holder.execution == execution), None)

    def find_execution(self, run_id: str) -> Mapping[str, Any] | None:
        """The execution of a run; None when Step Functions does not know it (any more)."""
        return self.find_execution_by_arn(self.execution_arn(run_id))

    def find_execution_by_arn(self, arn: str) -> Mapping[str, Any] | None:
        """As `find_execution`."""
        try:
            found: Mapping[str, Any] = self.client("stepfunctions").describe_execution(executionArn=arn)
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
        for page in self.client("dynamodb").get_paginator("query").paginate(**query):
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
            answer = self.client("s3").get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error_code(error) in ("NoSuchKey", "404"):
                return None
            raise
        return bytes(answer["Body"].read())

    def find_run_id(self, name: str) -> str:
        """The id of the run that is meant: its id, the beginning of it where no other begins so, `latest` or `waiting`.

        What no run of the last year begins with is taken for a whole id. Raises CommandError when more than one is
        meant, or none is the latest or waits.
        """
        if name == LATEST:
            latest = next(iter(self._recent_runs()), "")
            if not latest:
                raise CommandError(f"the stack {self.name} has had no run for a year", TO_DO)
            return latest
        if name == WAITING:
            return self._find_waiting()
        if self.find_execution(name) is not None:
            return name
        found = [run_id for run_id in self._recent_runs() if run_id.startswith(name)]
        if name in found:
            return name
        if len(found) > 1:
            raise CommandError(f"more than one run begins with {name}: {', '.join(found[:_MOST_NAMED])}", TO_DO)
        return found[0] if found else name

    def _find_waiting(self) -> str:
        waiting = [run_id for run_id, phase in self.open_runs() if phase == AWAITING_APPROVAL]
        if not waiting:
            raise CommandError(f"no run of the stack {self.name} waits for an approval", TO_DO)
        if len(waiting) > 1:
            raise CommandError(f"more than one run waits for an approval: {', '.join(waiting[:_MOST_NAMED])}", TO_DO)
        return waiting[0]

    def open_runs(self) -> list[tuple[str, str]]:
        """The ids and phases of the runs that have not ended. The index lags a little."""
        items = self.table.look_up(LOOKUP_INDEX, OPEN_RUNS)
        return [(str(item["runId"]), str(item["phase"])) for item in items]

    def _recent_runs(self) -> Iterator[str]:
        return (key["pk"].removeprefix(RUNS) for key in self._keys_of_runs(None))

    def list_runs(self, most: int, older_than: str | None = None) -> list[Item]:
        """The items of at most so many runs, the newest first; of those that began before another, if one is named.

        One read of the index of runs by their start for each month that is needed, and one of the items.
        """
        found = list(islice(self._keys_of_runs(older_than, most), most))
        items = self.read_items(found)
        return [items[key["pk"]] for key in found if key["pk"] in items]

    def read_items(self, keys: Sequence[Key]) -> dict[str, Item]:
        """The items with these keys, by their partition, as they are now."""
        table, client = self.output("StateTableName"), self.client("dynamodb")
        items: dict[str, Item] = {}
        for some in in_chunks(keys, _MOST_READ_TOGETHER):
            asked: Any = {
                table: {
                    "Keys": [{"pk": {"S": key["pk"]}, "sk": {"S": key["sk"]}} for key in some],
                    "ConsistentRead": True,
                }
            }
            while asked:
                answer = client.batch_get_item(RequestItems=asked)
                for wire in answer["Responses"].get(table, []):
                    item = _read_item(wire, wire["pk"]["S"].removeprefix(RUNS))
                    items[item["pk"]] = item
                asked = answer.get("UnprocessedKeys")
        return items

    def _all(self, service: str, operation: str, listed: str, **given: Any) -> list[Mapping[str, Any]]:
        pages = self.client(service).get_paginator(operation).paginate(**given)
        return [one for page in pages for one in page[listed]]

    def functions(self) -> list[Mapping[str, Any]]:
        """The account's Lambda functions."""
        return self._all("lambda", "list_functions", "Functions")

    def windows(self) -> list[Mapping[str, Any]]:
        """The account's maintenance windows."""
        return self._all("ssm", "describe_maintenance_windows", "WindowIdentities")

    def associations(self) -> list[Mapping[str, Any]]:
        """The account's associations of State Manager."""
        return self._all("ssm", "list_associations", "Associations")

    def agents(self, instance_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """What Systems Manager knows of the agents of these instances, by instance id."""
        found = [
            one
            for some in in_chunks(instance_ids, _MOST_ASKED_FOR)
            for one in self._all(
                "ssm",
                "describe_instance_information",
                "InstanceInformationList",
                Filters=[{"Key": "InstanceIds", "Values": list(some)}],
            )
        ]
        return {str(one["InstanceId"]): one for one in found}

    def volumes(self, instance_ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """The volumes of these instances."""
        return [
            one
            for some in in_chunks(instance_ids, _MOST_ASKED_FOR)
            for one in self._all(
                "ec2", "describe_volumes", "Volumes", Filters=[{"Name": "attachment.instance-id", "Values": list(some)}]
            )
        ]

    def why_no_logs(self, profile_arn: str) -> str:
        """Why the role of an instance profile may not write the output of commands; empty where it may.

        The simulator knows the role's own policies and boundary, and not what a bucket's policy or an organisation
        denies (https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_testing-policies.html).
        """
        profile = self.client("iam").get_instance_profile(InstanceProfileName=profile_arn.rpartition("/")[2])
        roles = profile["InstanceProfile"]["Roles"]
        if not roles:
            return f"its instance profile {profile_arn} has no role"
        bucket = self.output("LogBucketName")
        answer = self.client("iam").simulate_principal_policy(
            PolicySourceArn=roles[0]["Arn"],
            ActionNames=["s3:PutObject"],
            ResourceArns=[f"arn:{self.location.partition}:s3:::{bucket}/{self.name}/any"],
        )
        if all(one["EvalDecision"] == "allowed" for one in answer["EvaluationResults"]):
            return ""
        return f"its role {roles[0]['RoleName']} may not write logs (s3:PutObject on {bucket}/{self.name}/*)"

    def state_of_key(self, key_arn: str) -> str:
        """The state of a customer managed key, such as `Enabled`; empty for one of AWS's own."""
        found = self.client("kms").describe_key(KeyId=key_arn)["KeyMetadata"]
        return "" if found["KeyManager"] == "AWS" else str(found["KeyState"])

    def read_leases(self, subjects: Sequence[Subject]) -> list[Lease]:
        """The leases of these machines and groups, of those that have one that can be read."""
        found = []
        for item in self.read_items([lease_key(subject) for subject in subjects]).values():
            with suppress(UnreadableItemError):
                found.append(read_lease(item))
        return found

    def _keys_of_runs(self, older_than: str | None, most: int = 0) -> Iterator[Key]:
        """The keys of the runs of a year, the newest first. `most` is how many are probably wanted; 0 for all."""
        self.output("StateTableName")
        month = f"{self.now():%Y-%m}"
        begin: Mapping[str, Any] = {}
        if older_than:
            run = self.read_run(older_than).run
            if run is None:
                raise CommandError(f"there is no run {older_than} in the stack {self.name} in {self.region}", TO_DO)
            month = run["month"]
            begin = {name: {"S": run[name]} for name in ("pk", "sk", "month", "startedAt")}
        for _ in range(KEPT_MONTHS + 1):
            query: dict[str, Any] = {
                "TableName": self.output("StateTableName"),
                "IndexName": MONTH_INDEX,
                "KeyConditionExpression": "#month = :month",
                "ExpressionAttributeNames": {"#month": "month"},
                "ExpressionAttributeValues": {":month": {"S": month}},
                "ScanIndexForward": False,
                **({"Limit": most} if most else {}),
                **({"ExclusiveStartKey": begin} if begin else {}),
            }
            while True:
                answer = self.client("dynamodb").query(**query)
                for wire in answer["Items"]:
                    yield {"pk": wire["pk"]["S"], "sk": wire["sk"]["S"]}
                if "LastEvaluatedKey" not in answer:
                    break
                query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
            begin = {}
            month = f"{date.fromisoformat(f'{month}-01') - timedelta(days=1):%Y-%m}"

    def stop_run(self, run_id: str, reason: str) -> Mapping[str, Any]:
        """Ask the stack to let no new machine of a run begin."""
        return self._invoke("StopRunFunctionName", {"runId": run_id, "reason": reason})

    def prune_images(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the stack which of its images may go, or to let them go: as its function `prune_images` takes it."""
        return self._invoke("PruneImagesFunctionName", event)

    def _invoke(self, output: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a function of the stack answers. Raises CommandError with what it failed with."""
        answer = self.client("lambda").invoke(FunctionName=self.output(output), Payload=json.dumps(event).encode())
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
        self.client("ssm").put_parameter(
            Name=decisions_parameter(self.name, decision["runId"]),
            Type="String",
            Overwrite=True,
            Value=" ".join(decision[key] for key in ("decision", "hash", "reason")).strip(),
        )
        said = (
            "It counts once Drydock has read it, in a minute or so. "
            "The approvers are told of a decision that does not count."
        )
        return _WRITTEN, {"runId": decision["runId"], "result": "written", "message": said, "by": self.caller()}

    def client(self, service: str) -> Any:
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
