"""Calls to AWS: what is expected, what passes by itself, and what is final."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)

import drydock.aws
from drydock.aws.autoscaling import AutoScaling
from drydock.aws.calls import call, client
from drydock.errors import AwsCallFailedError, OperationUnknownError, ServiceUnavailableError, SurgeNotPossibleError


def answering(error: Exception) -> Any:
    def describe_things(**parameters: Any) -> None:
        raise error

    return describe_things


def client_error(code: str, status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "said AWS"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "DescribeThings")


def test_an_answer_is_passed_on() -> None:
    assert call(lambda **given: given, Name="x") == {"Name": "x"}


@pytest.mark.parametrize("code", ["NotThere", "Throttling"])
def test_an_expected_error_is_the_callers_own(code: str) -> None:
    with pytest.raises(ClientError):
        call(answering(client_error(code)), "NotThere", "Throttling")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("Throttling", 400),
        ("ThrottlingException", 400),
        ("RequestLimitExceeded", 503),
        ("ProvisionedThroughputExceededException", 400),
        ("TransactionInProgressException", 400),
        ("TransactionConflictException", 400),
        ("TooManyRequestsException", 429),
        ("InternalError", 500),
        ("ConcurrentSnapshotLimitExceeded", 400),
        ("SnapshotCreationPerVolumeRateExceeded", 400),
        ("ConcurrentCreateImageNoRebootLimitExceeded", 400),
        ("SomethingNew", 503),
        ("SomethingNew", 500),
    ],
)
def test_what_may_succeed_later_is_retried(code: str, status: int) -> None:
    with pytest.raises(ServiceUnavailableError, match=f"describe_things: {code}: said AWS"):
        call(answering(client_error(code, status)))


@pytest.mark.parametrize(
    ("error", "was_refused"),
    [
        (client_error("ThrottlingException"), True),
        (client_error("RequestLimitExceeded", 503), True),
        (client_error("InternalError", 500), False),
        (client_error("ServiceUnavailable", 503), False),
        (ReadTimeoutError(endpoint_url="https://x"), False),
        (ConnectTimeoutError(endpoint_url="https://x"), False),
    ],
    ids=["throttled", "limited", "internal", "unavailable", "read timeout", "connect timeout"],
)
def test_only_a_throttled_call_has_surely_not_been_carried_out(error: Exception, was_refused: bool) -> None:
    with pytest.raises(ServiceUnavailableError) as unavailable:
        call(answering(error))

    assert unavailable.value.was_refused is was_refused


@pytest.mark.parametrize("attempts", [1, 4])
def test_a_client_makes_as_many_attempts_as_it_is_told(monkeypatch: pytest.MonkeyPatch, attempts: int) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-1")

    assert client("ssm", attempts).meta.config.retries["total_max_attempts"] == attempts
    assert client("ssm", attempts) is client("ssm", attempts)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("AccessDeniedException", 400),
        ("UnauthorizedOperation", 403),
        ("ValidationException", 400),
        ("InsufficientInstanceCapacity", 500),
    ],
)
def test_a_refusal_is_final(code: str, status: int) -> None:
    with pytest.raises(AwsCallFailedError, match=f"describe_things: {code}: said AWS"):
        call(answering(client_error(code, status)))


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (EndpointConnectionError(endpoint_url="https://x"), ServiceUnavailableError),
        (ConnectTimeoutError(endpoint_url="https://x"), ServiceUnavailableError),
        (ReadTimeoutError(endpoint_url="https://x"), ServiceUnavailableError),
        (NoCredentialsError(), AwsCallFailedError),
        (ParamValidationError(report="wrong"), AwsCallFailedError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_a_connection_may_come_back_and_a_wrong_call_will_not(error: Exception, raised: type[Exception]) -> None:
    with pytest.raises(raised, match="describe_things"):
        call(answering(error))


CODE = "".join(path.read_text() for path in sorted(Path(drydock.aws.__path__[0]).glob("*.py")))
SERVICES = sorted(set(re.findall(r"client\(\"([\w-]+)\"", CODE)))


def without(service: str, *operations: str) -> Any:
    """A client of an older boto3, which does not know these operations of a service; without any named, none."""
    made = client.__wrapped__(service)
    for name in operations or list(made.meta.method_to_api_mapping):
        delattr(type(made), name)
    return made


@pytest.fixture
def own_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client has a class of its own, which a test may change."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.mark.usefixtures("own_clients")
@pytest.mark.parametrize("service", SERVICES)
def test_an_operation_that_boto3_does_not_know_is_named_whatever_it_is(service: str) -> None:
    known = list(client.__wrapped__(service).meta.method_to_api_mapping)
    older = without(service)

    assert known
    for operation in known:
        with pytest.raises(OperationUnknownError, match=rf"{operation}: boto3 \d+\.\d+"):
            getattr(older, operation)


@pytest.mark.usefixtures("own_clients")
def test_a_service_that_boto3_does_not_know_is_named() -> None:
    with pytest.raises(OperationUnknownError, match=r"of-tomorrow: boto3 \d"):
        client.__wrapped__("of-tomorrow")


@pytest.mark.usefixtures("own_clients")
def test_where_boto3_cannot_launch_surge_instances_there_is_the_way_on_of_any_group_without() -> None:
    autoscaling = AutoScaling()
    autoscaling._client = without("autoscaling", "launch_instances")

    with pytest.raises(SurgeNotPossibleError, match=r"web: no instance is launched in a: .*launch_instances: boto3"):
        autoscaling.launch_one("web", "a", "token")
