"""AWS's limits: how fast calls may come, how large what passes between states may be, how long a history may get."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from benchmarks.account import start_at_once
from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.engine.deployment import Stack
from rehearsal.engine.limits import SSM_RATE, Limits, Rate
from rehearsal.engine.repairs.executions import LARGEST_DATA


@dataclass
class Request:
    service: str
    operation: str
    parameters: dict[str, Any] = field(default_factory=dict)


class Client:
    """A client of an account with limits, at an instant that only its own waiting moves."""

    def __init__(self, ssm_rate: Rate = SSM_RATE) -> None:
        self.now = 0.0
        self.limits = Limits(lambda: self.now, random.Random(0), ssm_rate)

    def call(self, request: Request, attempts: int = 1) -> None:
        self.limits.admit(request, attempts, self.wait)

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def count(self, request: Request) -> int:
        """How many calls pass before one is refused."""
        passed = 0
        while True:
            try:
                self.call(request)
            except ClientError:
                return passed
            passed += 1


ONE = {"InstanceIds": ["i-0123456789abcdef0"]}


@pytest.mark.parametrize(
    ("request_", "capacity", "refill"),
    [
        pytest.param(Request("ec2", "StartInstances", ONE), 5, 2, id="starts"),
        pytest.param(Request("ec2", "StopInstances", ONE), 50, 5, id="stops"),
        pytest.param(Request("ec2", "CreateImage", ONE), 50, 5, id="images"),
        pytest.param(Request("ec2", "CreateTags"), 100, 10, id="tags"),
        pytest.param(Request("ec2", "DescribeInstances", ONE), 100, 20, id="a look at one instance"),
        pytest.param(Request("ec2", "DescribeInstances"), 50, 10, id="a look at all instances"),
        pytest.param(Request("ssm", "SendCommand"), 40, 40, id="commands"),
        pytest.param(Request("stepfunctions", "DescribeExecution"), 250, 10, id="a look at an execution"),
        pytest.param(Request("stepfunctions", "StartExecution"), 800, 150, id="executions"),
    ],
)
def test_an_api_takes_a_burst_and_then_its_rate(request_: Request, capacity: int, refill: int) -> None:
    client = Client()

    assert client.count(request_) == capacity
    client.wait(1)
    assert client.count(request_) == refill


def test_each_api_has_a_bucket_of_its_own() -> None:
    client = Client()
    client.count(Request("ec2", "StartInstances", ONE))

    client.call(Request("ec2", "StopInstances", ONE))


def test_starting_many_instances_in_one_call_takes_a_token_for_each() -> None:
    client = Client()
    half = Request("ec2", "StartInstances", {"InstanceIds": ["i-0123456789abcdef0"] * 500})

    assert client.count(half) == 2


def test_the_rate_of_systems_manager_can_be_chosen() -> None:
    assert Client(ssm_rate=Rate(3, 1)).count(Request("ssm", "SendCommand")) == 3


@pytest.mark.parametrize(
    ("request_", "code", "status"),
    [
        pytest.param(Request("ec2", "StartInstances", ONE), "RequestLimitExceeded", 503, id="EC2"),
        pytest.param(Request("ssm", "SendCommand"), "ThrottlingException", 400, id="Systems Manager"),
        pytest.param(Request("stepfunctions", "ListExecutions"), "ThrottlingException", 400, id="Step Functions"),
    ],
)
def test_a_refusal_is_the_one_of_aws(request_: Request, code: str, status: int) -> None:
    client = Client()
    client.count(request_)

    with pytest.raises(ClientError) as refusal:
        client.call(request_)

    assert refusal.value.response["Error"]["Code"] == code
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_a_client_repeats_a_refused_call_until_it_is_let_through() -> None:
    client = Client()
    start = Request("ec2", "StartInstances", ONE)
    client.count(start)

    client.call(start, attempts=4)

    assert 0 < client.now <= 1 + 2 + 4


@pytest.mark.parametrize(
    ("length", "status", "error"),
    [
        pytest.param(120_000, "SUCCEEDED", None, id="fits"),
        pytest.param(262_000, "FAILED", "States.DataLimitExceeded", id="too large with what the function adds"),
    ],
)
def test_what_passes_between_states_has_a_largest_size(
    run_machine: Callable[..., ExecutionView], length: int, status: str, error: str | None
) -> None:
    view = run_machine(op="echo", padding="x" * length)

    assert (view.status, view.error) == (status, error)


def test_an_input_that_is_too_large_is_refused(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    with pytest.raises(ClientError, match="InvalidExecutionInput"):
        engine.start_execution("Machine", {"padding": "x" * LARGEST_DATA})


def test_a_name_has_a_largest_length(engine: EmbeddedAccount, engine_stack: Stack) -> None:
    engine.start_execution("Machine", {}, name="n" * 80)
    with pytest.raises(ClientError, match="InvalidName"):
        engine.start_execution("Machine", {}, name="n" * 81)


def test_a_fleet_that_is_started_at_once_is_patched_in_spite_of_the_limits() -> None:
    crowd = start_at_once(24)

    assert crowd.refused, "the limits were never reached"
    assert crowd.failed == ()
    assert crowd.given_back
