"""What went wrong, as one line for the person at the terminal."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from drydock.aws.calls import THROTTLES, error_code, error_text
from drydock_cli.exit_codes import FAILED

_UNKNOWN_CALLER = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "UnauthorizedOperation",
    }
)


class CommandError(Exception):
    """Raised when a command cannot do what it was asked for; the text is for people."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def explain(error: Exception) -> str:
    """One line that says what is wrong and, where it is known, what helps."""
    return " ".join(_explain(error).split())


def _explain(error: Exception) -> str:
    match error:
        case NoCredentialsError() | PartialCredentialsError():
            return (
                f"no credentials ({str(error).rstrip('.')}): sign in as for the AWS CLI, "
                "or name a profile with --profile or AWS_PROFILE"
            )
        case NoRegionError():
            return "no Region: name it with --region, AWS_REGION, or in the profile"
        case EndpointConnectionError():
            return f"AWS cannot be reached: {error} (is there a network, and is the Region right?)"
        case BotoConnectionError() | HTTPClientError():
            return f"AWS cannot be reached: {error}"
        case ClientError():
            return _explain_answer(error)
        case BotoCoreError():
            return str(error)
        case _:
            return f"{type(error).__name__}: {error}"


def _explain_answer(error: ClientError) -> str:
    code, operation = error_code(error), error.operation_name
    message = error_text(error) or "AWS gives no reason"
    if code in _UNKNOWN_CALLER:
        return f"the credentials are not accepted ({code}): {message}"
    if code in _DENIED:
        return f"no permission for {operation}: {message}"
    if code in THROTTLES:
        return f"AWS throttles {operation}: try again in a minute ({message})"
    return f"{operation} failed: {code}: {message}"
