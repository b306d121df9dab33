"""How Drydock calls AWS: clients made on first use, and botocore's errors as Drydock's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from functools import cache
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, UnknownServiceError
from botocore.exceptions import ConnectionError as BotoConnectionError

from drydock.catalogue.saying import say
from drydock.errors import AwsCallFailedError, OperationUnknownError, ServiceUnavailableError
from drydock.texts import cut_bytes

# A function lives 60 s at most: time-outs and attempts together stay below that.
_ATTEMPTS, _CONNECT_SECONDS, _READ_SECONDS = 4, 5, 10

_MOST_MESSAGE = 1_000
"""Bytes. A refusal by IAM ends in an encoded message of any length, which is for CloudTrail's readers."""

# What codes mean is in rehearsal/error_codes.yaml, with the sources; a test holds these to it.
THROTTLES = frozenset(
    {
        "EC2ThrottledException",
        "KMSThrottling",
        "KmsThrottlingException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "SlowDown",
        "Throttled",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)

_TRANSIENT_CODES = THROTTLES | frozenset(
    {
        "CodeArtifactUserPendingException",
        "ConcurrentCreateImageNoRebootLimitExceeded",
        "ConcurrentSnapshotLimitExceeded",
        "ConcurrentTagAccess",
        "IdempotentCallInProgress",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "PendingSnapshotLimitExceeded",
        "ReplicatedWriteConflictException",
        "RequestTimeout",
        "ResourceConflictException",
        "ResourceContention",
        "RetryableError",
        "ScalingActivityInProgress",
        "ServiceException",
        "ServiceUnavailable",
        "SnapStartNotReadyException",
        "SnapshotCreationPerVolumeRateExceeded",
        "TransactionConflictException",
        "TransactionInProgressException",
        "Unavailable",
    }
)

_FINAL_SERVER_ERRORS = frozenset(
    {
        "EC2AccessDeniedException",
        "ENILimitReachedException",
        "InsufficientAddressCapacity",
        "InsufficientCapacity",
        "InsufficientHostCapacity",
        "InsufficientInstanceCapacity",
        "InsufficientReservedInstanceCapacity",
        "InsufficientVolumeCapacity",
        "InvalidRuntimeException",
        "InvalidSecurityGroupIDException",
        "InvalidSubnetIDException",
        "InvalidZipFileException",
        "KMSAccessDeniedException",
        "KMSDisabledException",
        "KMSInvalidStateException",
        "KMSNotFoundException",
        "SubnetIPAddressLimitReachedException",
    }
)
"""Codes with a status of 500 and more that do not pass all the same."""


_AT_ONCE = 4
"""Calls of one function. Systems Manager publishes no rates; a client has ten connections."""

Given = TypeVar("Given")
Found = TypeVar("Found")


@cache
def client(service: str, attempts: int = _ATTEMPTS, signature: str | None = None) -> Any:
    """The boto3 client of a service, made when it is first needed.

    One attempt is for calls that AWS would carry out twice: botocore also repeats those whose answer was lost.
    `signature` is the version of its signatures; None leaves that to botocore.
    Raises OperationUnknownError, also later, for what this version of boto3 does not know.
    """
    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        signature_version=signature,
        # What is signed for others names the Region: botocore would name S3's global address otherwise, which answers
        # for no Region that was launched after 2019-03-20
        # (https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html#VirtualHostingBackwardsCompatibility).
        s3={"addressing_style": "virtual"} if signature else None,
    )
    try:
        made = boto3.client(service, config=config)  # type: ignore[call-overload]
    except UnknownServiceError as error:
        raise _unknown(service) from error
    # https://github.com/boto/botocore/blob/develop/botocore/client.py: a client asks for what it does not have.
    made.meta.events.register("getattr", _refuse_unknown)
    return made


def _refuse_unknown(event_name: str, **event: Any) -> None:
    """Raises OperationUnknownError. `event_name` is as `getattr.auto-scaling.launch_instances`."""
    service, operation = event_name.split(".")[1:]
    # Python itself asks any object for names that begin so.
    if not operation.startswith("_"):
        raise _unknown(f"{service} {operation}")


def _unknown(operation: str) -> OperationUnknownError:
    return OperationUnknownError(say("aws.unknown_operation", operation=operation, version=boto3.__version__))


def error_code(error: ClientError) -> str:
    """The code that AWS gave an error, such as `ThrottlingException`; empty when it gave none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def error_text(error: ClientError) -> str:
    """The message that AWS gave an error, as much of it as is kept; empty when it gave none."""
    return cut_bytes(str(error.response.get("Error", {}).get("Message", "")), _MOST_MESSAGE)


def may_pass(error: BotoCoreError | ClientError) -> bool:
    """Whether the same call may succeed a little later."""
    if isinstance(error, ClientError):
        code, status = error_code(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return code in _TRANSIENT_CODES or (status >= 500 and code not in _FINAL_SERVER_ERRORS)
    return isinstance(error, BotoConnectionError | HTTPClientError)


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
        if may_pass(error):
            raise ServiceUnavailableError(
                f"{name}: {code}: {error_text(error)}", was_refused=code in THROTTLES
            ) from error
        raise AwsCallFailedError(f"{name}: {code}: {error_text(error)}") from error
    except BotoCoreError as error:
        kind = ServiceUnavailableError if may_pass(error) else AwsCallFailedError
        raise kind(f"{name}: {error}") from error


def pages(method: Callable[..., Any], *expected: str, token: str = "NextToken", **parameters: Any) -> Iterator[Any]:
    """The answers of a call that answers page by page, each made as by `call`, with the same errors.

    Only a page without a token is the last one: AWS may give an empty page first. `token` is its name in the API.
    """
    while True:
        answer = call(method, *expected, **parameters)
        yield answer
        if not answer.get(token):
            return
        parameters[token] = answer[token]


def find_first(method: Callable[..., Any], listed: str, *expected: str, **parameters: Any) -> Mapping[str, Any] | None:
    """The first element of the list of this name in a call's pages; None when all of them are empty."""
    found = (one for page in pages(method, *expected, **parameters) for one in page[listed])
    return next(found, None)


def in_chunks(values: Sequence[Given], most: int) -> list[Sequence[Given]]:
    """The values in their order, at most so many together: for calls that take no more at once."""
    return [values[first : first + most] for first in range(0, len(values), most)]


def look_at_once(look: Callable[[Given], Found], asked: Sequence[Given]) -> list[Found]:
    """What `look` returns for each, in their order, a few at a time: for calls that wait longer than they compute.

    Raises what the first of them raised that failed; those after it may not have been made.
    """
    if len(asked) < 2:
        return [look(one) for one in asked]
    with futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(look, asked))
