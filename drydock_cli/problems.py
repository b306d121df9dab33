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
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from drydock.aws.calls import THROTTLES, error_code, error_text
from drydock.errors import DrydockError
from drydock_cli.exit_codes import FAILED

_UNKNOWN_CALLER = frozenset(
    {
        "AuthFailure",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_ACTIONS = {"GetObject": "s3:GetObject"}
"""Of the services that do not name it in the message."""
_PERMISSIONS = "docs/security.md has what each command needs"
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
    """Raised when a command cannot do what it was asked for; the text is for people, a line for each mistake."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    @property
    def lines(self) -> list[str]:
        return [" ".join(line.split()) for line in str(self).split("\n") if line.strip()]


def explain(error: Exception, profile: str | None = None) -> str:
    """One line that says what is wrong and, where it is known, what helps."""
    if isinstance(error, DrydockError) and isinstance(error.__cause__, BotoCoreError | ClientError):
        # The layer has said it in its own words: for a person those of the call are better.
        error = error.__cause__
    return " ".join(_explain(error, profile).split())


def _sign_in(profile: str | None) -> str:
    return f"`aws sso login --profile {profile}`" if profile else "`aws sso login`"


def _explain(error: Exception, profile: str | None) -> str:
    match error:
        case SSOError() | TokenRetrievalError():
            return f"the single sign-on has expired: sign in again with {_sign_in(profile)}"
        case ProfileNotFound():
            return f"{error}: `aws configure list-profiles` has those that there are"
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
            return _explain_answer(error, profile)
        case DrydockError():
            return str(error)
        case BotoCoreError():
            return str(error)
        case _:
            return f"{type(error).__name__}: {error}"


def _explain_answer(error: ClientError, profile: str | None) -> str:
    code, operation = error_code(error), error.operation_name
    message = error_text(error) or "AWS gives no reason"
    if code in _EXPIRED:
        way = f"get new ones, with single sign-on by {_sign_in(profile)}"
        return f"the credentials have expired ({code}): {way}"
    if code in _UNKNOWN_CALLER:
        return f"the credentials are not accepted ({code}): {message}"
    if code in _DENIED:
        return f"no permission for {_ACTIONS.get(operation, operation)}: {message} ({_PERMISSIONS})"
    if code in THROTTLES:
        return f"AWS throttles {operation}: try again in a minute ({message})"
    return f"{operation} failed: {code}: {message}"
