"""One machine, one execution, and everything around them: what the tests of steps stand in."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import datetime
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from samtranslator.yaml_helper import yaml_parse

from drydock.aws.services import Services
from drydock.aws.table import Item, Table
from drydock.environment import Environment
from drydock.records.holder import Holder
from drydock.records.leases import Hold, Lease, find_lease
from drydock.records.results import result_key
from drydock.records.waits import Wait
from drydock.request.policy import DEFAULTS, Policy
from drydock.request.step import Step
from drydock.subject import Instance, Subject
from drydock.times import to_text
from rehearsal.engine.direct_calls import DIRECT_CALLS, call_directly
from tests.unit.fakes import START, Clock, FakeClients, FakeEc2, FakeExecutions, FakeSsm, SentCommand, agent

ROOT = Path(__file__).parents[2]
INSTANCE = "i-0123456789abcdef0"
SUBJECT = Instance(INSTANCE)
EXECUTION = "arn:aws:states:ap-northeast-1:123456789012:execution:drydock-PatchInstance:night-1"
OTHER_EXECUTION = "arn:aws:states:ap-northeast-1:123456789012:execution:drydock-PatchInstance:night-2"
HOLDER = Holder(EXECUTION, 0)
SNAPSHOT = "11111111-2222-3333-4444-555555555555"
TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:drydock-Results"
STACK = "drydock"
ENVIRONMENT = Environment(STACK, "drydock-State", "drydock-logs", TOPIC, "Asia/Tokyo", "ap-northeast-1")


def load_function(name: str) -> ModuleType:
    """The module of a function's folder, as the runtime would load it."""
    spec = importlib.util.spec_from_file_location(f"function_{name}", ROOT / "functions" / name / "app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def read_template() -> Mapping[str, Any]:
    template: Mapping[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())
    return template


def make_table(name: str) -> Table:
    """The state table in DynamoDB, by the template's own definition."""
    properties = read_template()["Resources"]["StateTable"]["Properties"]
    dynamodb().create_table(
        TableName=name,
        **{
            key: properties[key]
            for key in ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
        },
    )
    return Table(name)


def image_facts(days: int = 90, *, until: str = "available", crash_consistent: bool = False) -> dict[str, Any]:
    """What stands in the intent of an image beside its name."""
    return {
        "until": until,
        "crashConsistent": crash_consistent,
        "volumes": [],
        "deprecateAfterDays": days,
        "imageSeconds": 3600,
    }


def made_image(image_id: str, state: str = "available", *, crash_consistent: bool = False) -> dict[str, Any]:
    """An image as a result has it."""
    return {"imageId": image_id, "state": state, "crashConsistent": crash_consistent, "reason": "", "problems": []}


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = deepcopy(dict(below))
    for key, value in above.items():
        merged[key] = merge(merged[key], value) if isinstance(value, Mapping) and key in merged else value
    return merged


def hold_as(table: Table, holder: Holder, subject: Subject, now: datetime = START) -> Hold:
    """What a holder has of a machine or a group, at one moment."""
    return Hold(table, holder, subject, lambda: now)


class World:
    """A stack's services with fakes behind them."""

    def __init__(self, clients: FakeClients, table: Table) -> None:
        self.clock = Clock(START)
        self.clients = clients
        self.ec2, self.ssm, self.executions = FakeEc2(self.clock), FakeSsm(self.clock), FakeExecutions()
        self.services = Services(ENVIRONMENT, self.clock)
        self.services.ec2, self.services.ssm, self.services.executions = self.ec2, self.ssm, self.executions
        self.table = self.services.table = table
        self.ec2.add(INSTANCE)
        self.ssm.agents[INSTANCE] = agent(START)
        self.policy: Policy = deepcopy(DEFAULTS)
        self.power = "running"
        self.platform = "Linux"
        self._entries = 0

    def machine(self) -> dict[str, Any]:
        return {
            "name": "web-1",
            "platform": self.platform,
            "power": self.power,
            "account": "123456789012",
            "patchGroup": "web",
            "snapshotId": SNAPSHOT,
            "runId": "",
            "owedBootId": "",
            "outlivedReasons": [],
        }

    def set_policy(self, **above: Any) -> None:
        self.policy = cast(Policy, merge(self.policy, above))

    def hold(self, power: str = "running", holder: Holder = HOLDER, **journal: Any) -> None:
        """The machine is admitted, having come with this power."""
        self.power = power
        self.ec2.set_state(INSTANCE, power)
        assert hold_as(self.table, holder, SUBJECT, self.clock()).take(START) is None
        facts = {
            **self.machine(),
            "stateTag": "",
            "stackTag": "",
            "notify": self.policy["notify"],
            "operation": self.policy["operation"],
            "leave": None,
            **journal,
        }
        hold_as(self.table, holder, SUBJECT, self.clock()).activate(facts, "tag")
        self.ec2.put_tags(INSTANCE, DrydockState="InProgress", DrydockStack=STACK)

    def event(
        self,
        state: str = "Some State",
        data: Mapping[str, Any] | None = None,
        *,
        entered: datetime | None = None,
        retry_count: int = 0,
        token: str | None = None,
        holder: Holder = HOLDER,
        given: object = None,
        **more: Any,
    ) -> dict[str, Any]:
        """The payload that the state machine hands to a state's function."""
        self._entries += 1
        return {
            "context": {
                "Execution": {
                    "Id": holder.execution,
                    "Input": given,
                    "Name": holder.name,
                    "StartTime": to_text(START),
                    "RedriveCount": holder.redrive_count,
                },
                "State": {
                    "Name": state,
                    "EnteredTime": to_text(entered or self.clock()),
                    "RetryCount": retry_count,
                },
                "Task": {"Token": token or f"token-{self._entries}"},
            },
            "instanceId": INSTANCE,
            "policy": self.policy,
            "machine": self.machine(),
            "data": dict(data or {}),
            **more,
        }

    def step(self, state: str = "Some State", data: Mapping[str, Any] | None = None, **more: Any) -> Step:
        return Step.read(self.event(state, data, **more))

    def run(self, function: str, event: Mapping[str, Any]) -> Any:
        """Invoke a function's handler in this world."""
        app: Any = load_function(function)
        app.Services = lambda: self.services
        return app.handler(dict(event), SimpleNamespace(function_name=f"drydock-{function}", aws_request_id="request"))

    @property
    def lease(self) -> Lease | None:
        return find_lease(self.table, SUBJECT)

    @property
    def intents(self) -> dict[str, str]:
        """Names and ids of what was announced."""
        lease = self.lease
        return {name: intent.id for name, intent in lease.intents.items()} if lease else {}

    @property
    def wait(self) -> Wait | None:
        lease = self.lease
        return lease.wait if lease else None

    @property
    def result(self) -> Item | None:
        """As it is stored."""
        return self.table.get(result_key(SUBJECT, HOLDER, START))

    @property
    def command(self) -> SentCommand:
        """The one command that was sent."""
        (command,) = self.ssm.sent
        return command

    @property
    def refusals(self) -> list[str]:
        """The errors with which states were ended."""
        return [type(error).__name__ for _, error in self.executions.refusals]

    def end_execution(self, status: str = "ABORTED", **failure: str) -> None:
        self.executions.statuses[EXECUTION] = status
        self.executions.failures[EXECUTION] = failure

    def resume(self, **detail: Any) -> Any:
        """AWS reports that something happened; without details, to the machine."""
        event = {"detail-type": "Something Happened", "detail": detail or {"instance-id": INSTANCE}}
        return self.run("resume_waiting", event)


@cache
def dynamodb() -> Any:
    """One client for all tests, whose calls nobody writes, signs and parses: either takes longer than most tests."""
    client = boto3.client("dynamodb")
    over_the_wire = client._make_api_call  # type: ignore[attr-defined]

    def call(operation: str, parameters: dict[str, Any]) -> Any:
        if ("dynamodb", operation) in DIRECT_CALLS:
            return call_directly(client, operation, parameters)
        return over_the_wire(operation, parameters)

    client._make_api_call = call  # type: ignore[attr-defined]
    return client


@pytest.fixture(scope="module")
def emulator() -> Iterator[None]:
    """An account for the tests of a module."""
    with mock_aws():
        yield


@pytest.fixture
def table(emulator: None, monkeypatch: pytest.MonkeyPatch) -> Table:
    """The state table, empty: it is made once for a module, and again when a test has deleted it."""
    monkeypatch.setattr("drydock.aws.table.client", lambda service: dynamodb())
    region = ENVIRONMENT.region
    made = dynamodb_backends[DEFAULT_ACCOUNT_ID][region].tables.get(ENVIRONMENT.table)
    if made is None:
        return make_table(ENVIRONMENT.table)
    made.items.clear()
    return Table(ENVIRONMENT.table)


@pytest.fixture
def world(table: Table, monkeypatch: pytest.MonkeyPatch) -> World:
    clients = FakeClients()
    for module in ("aws.executions", "telling.tell_once"):
        monkeypatch.setattr(f"drydock.{module}.client", clients)
    return World(clients, table)
