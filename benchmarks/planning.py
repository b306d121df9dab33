"""What planning many machines takes: `python -m benchmarks.planning [N...]`, in a process of its own for each size.

`plan_run` as it is, with the real boto3, on answers as long as AWS's. It prints its calls, its processor time and the
most memory that the process had; `--write` writes them into docs/benchmarks.md.
Nothing waits: how long AWS takes to answer is `rehearsal/engine/charges.py`'s.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
from boto3.dynamodb.types import TypeSerializer
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from benchmarks.processor import AGENT, Body, instances_as_xml
from benchmarks.tables import Row, Table, measure_apart, read_sizes, show
from drydock.aws.services import Services
from drydock.environment import Environment
from drydock.request.step import Step
from drydock.run.planning import plan_run

SIZES = (1_000, 10_000)
_RUN = "arn:aws:states:ap-northeast-1:123456789012:execution:drydock-MaintenanceRun:night"
_START = "2026-01-13T01:00:00.000Z"
_INSTANCES, _HISTORIES = 1_000, 3_000
"""On a page."""


def ident(number: int) -> str:
    return f"i-{number:017x}"


class Account:
    """Answers the calls of a plan: so many running machines, with agents and histories, and nothing at work."""

    def __init__(self, machines: int) -> None:
        self.ids = [ident(number) for number in range(machines)]
        self.calls: Counter[str] = Counter()
        self.objects: dict[str, bytes] = {}
        self.run: dict[str, Any] = {}
        self.written = 0

    def answer(self, request: AWSPreparedRequest, event_name: str, **_: Any) -> Any:
        operation = event_name.rpartition(".")[2]
        self.calls[operation] += 1
        status, content = getattr(self, operation)(request)
        headers: Any = {"content-length": str(len(content))}
        return AWSResponse(request.url, status, headers, Body(content))

    def DescribeInstances(self, request: AWSPreparedRequest) -> tuple[int, bytes]:
        asked = parse_qs(_text(request))
        if asked.get("Filter.1.Name") == ["tag-key"]:
            # No machine has a tag that is nearly the targets'.
            return 200, instances_as_xml([], "")
        first = int(asked.get("NextToken", ["0"])[0])
        page = self.ids[first : first + _INSTANCES]
        last = first + _INSTANCES
        token = f"<nextToken>{last}</nextToken>" if last < len(self.ids) else ""
        return 200, instances_as_xml(page, token)

    def DescribeInstanceInformation(self, request: AWSPreparedRequest) -> tuple[int, bytes]:
        (asked,) = json.loads(_text(request))["Filters"]
        return _json({"InstanceInformationList": [{**AGENT, "InstanceId": one} for one in asked["Values"]]})

    def DescribeInstancePatchStates(self, request: AWSPreparedRequest) -> tuple[int, bytes]:
        return _json({"InstancePatchStates": [_patch_state(one) for one in json.loads(_text(request))["InstanceIds"]]})

    def ListSubscriptionsByTopic(self, request: AWSPreparedRequest) -> tuple[int, bytes]:
        answer = "<ListSubscriptionsByTopicResult><Subscriptions/></ListSubscriptionsByTopicResult>"
        return 200, f"<ListSubscriptionsByTopicResponse>{answer}</ListSubscriptionsByTopicResponse>".encode()

    def GetParameter(self, request: AWSPreparedRequest) -> tuple[int, bytes]:
        return 400, json.dumps({"__type": "ParameterNotFound"}).encode()

    def ListExecutions(self, request: AWSPreparedRequest) -> tuple[int, bytes]:
        return _json({"executions": []})

    def PutItem(self, request: AWSPreparedRequest) -> tuple[int, bytes]:
        self.run = json.loads(_text(request))["Item"]
        return _json({})

    def GetItem(self, request: AWSPreparedRequest) -> tuple[int, bytes]:
        return _json({})

    def UpdateItem(self, request: AWSPreparedRequest) -> tuple[int, bytes]:
        given = json.loads(_text(request))
        for name, attribute in given["ExpressionAttributeNames"].items():
            if name.startswith("#set_"):
                self.run[attribute] = given["ExpressionAttributeValues"][f":{name[1:]}"]
        return _json({"Attributes": self.run})

    def Query(self, request: AWSPreparedRequest) -> tuple[int, bytes]:
        given = json.loads(_text(request))
        if given["ExpressionAttributeValues"].get(":pk") != {"S": "HISTORY"}:
            return _json({"Items": []})
        first = int(given.get("ExclusiveStartKey", {}).get("sk", {}).get("S", "0"))
        last = first + _HISTORIES
        answer: dict[str, Any] = {"Items": [_history(one) for one in self.ids[first:last]]}
        if last < len(self.ids):
            answer["LastEvaluatedKey"] = {"pk": {"S": "HISTORY"}, "sk": {"S": str(last)}}
        return _json(answer)

    def PutObject(self, request: AWSPreparedRequest) -> tuple[int, bytes]:
        body: Any = request.body
        content = body if isinstance(body, bytes) else body.read()
        self.objects[urlsplit(request.url).path] = content
        self.written += len(content)
        return 200, b""

    def GetObject(self, request: AWSPreparedRequest) -> tuple[int, bytes]:
        return 200, self.objects[urlsplit(request.url).path]


def _text(request: AWSPreparedRequest) -> str:
    body: Any = request.body
    return body.decode() if isinstance(body, bytes) else str(body)


def _json(answer: Mapping[str, Any]) -> tuple[int, bytes]:
    return 200, json.dumps(answer).encode()


def _patch_state(instance_id: str) -> dict[str, Any]:
    return {
        "InstanceId": instance_id,
        "PatchGroup": "web",
        "BaselineId": "pb-0123456789abcdef0",
        "SnapshotId": "12345678-1234-1234-1234-123456789012",
        "Operation": "Scan",
        "OperationStartTime": 1768266000.0,
        "OperationEndTime": 1768266060.0,
        "InstalledCount": 400,
        "InstalledOtherCount": 3,
        "InstalledPendingRebootCount": 0,
        "InstalledRejectedCount": 0,
        "MissingCount": 7,
        "FailedCount": 0,
        "NotApplicableCount": 2_000,
    }


def _history(instance_id: str) -> dict[str, Any]:
    item = {
        "pk": "HISTORY",
        "sk": f"Install#{instance_id}",
        "platform": "Linux",
        "patchGroup": "web",
        "doneAt": "2025-12-13T01:00:00.000Z",
        "doneBy": _RUN,
        "ttl": 1_800_000_000,
        **{f"s{number}": 1_500 for number in range(1, 11)},
    }
    return {key: TypeSerializer().serialize(value) for key, value in item.items()}


@dataclass(frozen=True)
class Planned:
    """What a plan took: calls, seconds of processor time, megabytes of memory before and at most, bytes written."""

    calls: Mapping[str, int]
    seconds: float
    before: float
    most: float
    written: int


def plan(machines: int) -> Planned:
    """Plan so many machines."""
    # What is written is kept as it is given, not in signed chunks.
    os.environ["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
    account = Account(machines)
    boto3.setup_default_session(aws_access_key_id="none", aws_secret_access_key="none", region_name="ap-northeast-1")
    session: Any = boto3.DEFAULT_SESSION
    session.events.register("before-send", account.answer)
    given = {"targets": [{"key": "tag:tag-1", "values": ["some-value-1"]}], "policy": {"deadlineMinutes": 600}}
    context = {
        "Execution": {"Id": _RUN, "Name": "night", "Input": given, "StartTime": _START},
        "State": {"Name": "Plan Run", "EnteredTime": _START, "RetryCount": 0},
    }
    environment = Environment(
        "drydock", "drydock-State", "logs", "arn:aws:sns:ap-northeast-1:123456789012:t", "UTC", "ap-northeast-1"
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    planned = plan_run(Services(environment), Step.read({"context": context}))
    seconds = time.process_time() - began
    assert planned["machines"] == machines
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Planned(dict(account.calls), seconds, before / 1024, most / 1024, account.written)


def main(arguments: list[str]) -> int:
    """Print what plans of several sizes took."""
    given = read_sizes("planning", __doc__, SIZES, arguments)
    plans = measure_apart(plan, given.sizes)
    table = Table(
        "planning",
        tuple(f"{size:,} machines" for size in given.sizes),
        (
            Row("calls", tuple(sum(one.calls.values()) for one in plans)),
            Row("of EC2", tuple(one.calls["DescribeInstances"] for one in plans)),
            Row("of Systems Manager's agents", tuple(one.calls["DescribeInstanceInformation"] for one in plans)),
            Row("seconds of a whole processor", tuple(one.seconds for one in plans), 1),
            Row("MiB of memory, at most", tuple(one.most for one in plans)),
            Row("those before the first call", tuple(one.before for one in plans)),
            Row("bytes written", tuple(one.written for one in plans)),
        ),
    )
    show(table, write=given.write)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
