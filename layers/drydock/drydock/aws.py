"""How Drydock calls AWS: clients made on first use, and botocore's errors as Drydock's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

from drydock.errors import AwsCallFailedError, ServiceUnavailableError

# A function lives 60 s at most: time-outs and attempts together stay below that.
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=5, read_timeout=10)

_TRANSIENT_CODES = frozenset(
    {
        "EC2ThrottledException",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttled",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflictException",
        "TransactionInProgressException",
        "Unavailable",
    }
)


@cache
def client(service: str) -> Any:
    """The boto3 client of a service, made when it is first needed."""
    return boto3.client(service, config=_CONFIG)  # type: ignore[call-overload]


def error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def error_text(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))


def call(method: Callable[..., Any], *expected: str, **parameters: Any) -> Any:
    """Call AWS.

    Raises `ClientError` as it is when its code is one of `expected`, ServiceUnavailableError when the
    call may succeed later, AwsCallFailedError when it will not.
    """
    name = getattr(method, "__name__", "call")
    try:
        return method(**parameters)
    except ClientError as error:
        code = error_code(error)
        if code in expected:
            raise
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _TRANSIENT_CODES or (status >= 500 and not code.startswith("Insufficient")):
            raise ServiceUnavailableError(f"{name}: {code}: {error_text(error)}") from error
        raise AwsCallFailedError(f"{name}: {code}: {error_text(error)}") from error
    except (BotoConnectionError, HTTPClientError) as error:
        raise ServiceUnavailableError(f"{name}: {error}") from error
    except BotoCoreError as error:
        raise AwsCallFailedError(f"{name}: {error}") from error
