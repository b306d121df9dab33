"""Answers to AWS calls given in the process itself, held to the shapes of the API models.

A call goes through botocore as far as the check of its parameters; then its answer comes from a method,
instead of a request that is written, signed, dispatched and read back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any, TypeVar

from botocore.client import BaseClient
from botocore.exceptions import ParamValidationError
from botocore.model import OperationModel
from botocore.useragent import UserAgentString
from botocore.validate import ParamValidator

from rehearsal.engine.repairs.patches import Patches

Parameters = Mapping[str, Any]
Answer = Callable[[Parameters], dict[str, Any]]
T = TypeVar("T")

_GIVEN = "rehearsal_parameters"
_validator = ParamValidator()


class AWSError(Exception):
    """Raised by an answer to make the call fail as AWS would, with this code, and with details where AWS has them."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.details = details


def answer_calls(patches: Patches, find_answer: Callable[[str, str], Answer | None]) -> None:
    """Let `find_answer(service, operation)` give the answers of boto3 clients; None leaves a call to moto."""

    def resolve(original: Callable[..., Any], self: BaseClient, operation: Any, *more: Any, **named: Any) -> Any:
        if find_answer(self.meta.service_model.service_name, operation.name) is None:
            return original(self, operation, *more, **named)
        return "", {}, {}

    def convert(original: Callable[..., Any], self: BaseClient, **named: Any) -> Any:
        operation, context = named["operation_model"], named["context"]
        context[_GIVEN] = named["api_params"]
        if find_answer(self.meta.service_model.service_name, operation.name) is None:
            return original(self, **named)
        check_parameters(named["api_params"], operation)
        # Nobody reads the request.
        return {"headers": {}, "body": b"", "url": "", "url_path": "", "query_string": {}, "context": context}

    def request(
        original: Callable[..., Any], self: BaseClient, operation: Any, request: Any, context: dict[str, Any]
    ) -> Any:
        answer = find_answer(self.meta.service_model.service_name, operation.name)
        if answer is None:
            return original(self, operation, request, context)
        try:
            body = {key: value for key, value in answer(context[_GIVEN]).items() if value is not None}
        except AWSError as error:
            refusal = {"Error": {"Code": error.code, "Message": str(error)}, **error.details}
            return SimpleNamespace(status_code=400), refusal | _describe_response(400)
        check_shape(body, operation.output_shape, operation.name)
        return SimpleNamespace(status_code=200), body | _describe_response(200)

    patches.wrap(BaseClient, "_resolve_endpoint_ruleset", resolve)
    patches.wrap(BaseClient, "_convert_to_request_dict", convert)
    # Composed anew for every call, which takes longer than most answers.
    patches.replace(UserAgentString, "to_string", lambda user_agent: "rehearsal")
    patches.wrap(BaseClient, "_make_request", request)


def check_parameters(parameters: Parameters, operation: OperationModel) -> None:
    """Raise ParamValidationError for parameters that the API model does not allow, as botocore does."""
    if operation.input_shape is not None:
        report = _validator.validate(parameters, operation.input_shape)
        if report.has_errors():
            raise ParamValidationError(report=report.generate_report())


def take_page(items: Sequence[T], parameters: Parameters, default: int) -> tuple[list[T], str | None]:
    """Return one page of items by the call's MaxResults and NextToken, and the token of the next page."""
    start = int(parameters.get("NextToken") or 0)
    end = start + int(parameters.get("MaxResults") or default)
    return list(items[start:end]), str(end) if end < len(items) else None


def check_shape(value: Any, shape: Any, path: str) -> None:
    """Raise TypeError for a value that its botocore shape does not allow."""
    if shape is None:
        if value:
            raise TypeError(f"{path}: the operation has no output")
        return
    if not _has_type(value, shape.type_name):
        raise TypeError(f"{path}: {value!r} is not a {shape.type_name}")
    if shape.type_name == "structure":
        for name, item in value.items():
            if name not in shape.members:
                raise TypeError(f"{path}: the API model has no {name}")
            check_shape(item, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for item in value:
            check_shape(item, shape.member, f"{path}[]")
    elif shape.type_name == "map":
        for key, item in value.items():
            check_shape(item, shape.value, f"{path}.{key}")
    elif shape.type_name == "timestamp" and value.tzinfo is None:
        raise TypeError(f"{path}: {value!r} has no time zone")


def _has_type(value: object, name: str) -> bool:
    return type(value) is _PYTHON_TYPES[name]


_PYTHON_TYPES: Mapping[str, type] = {
    "structure": dict,
    "list": list,
    "map": dict,
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "timestamp": datetime,
    "float": float,
    "double": float,
}


def _describe_response(status: int) -> dict[str, Any]:
    about = {"RequestId": "", "HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0}
    return {"ResponseMetadata": about}
