"""Answers to AWS calls given in the process itself, held to the shapes of the API models.

After what botocore does with its parameters a call's answer comes from a method, instead of a request that is written,
signed, dispatched and read back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from botocore.exceptions import ParamValidationError
from botocore.model import OperationModel
from botocore.response import StreamingBody
from botocore.validate import ParamValidator

from rehearsal.engine.repairs.patches import Patches

Parameters = Mapping[str, Any]
Answer = Callable[[Parameters], dict[str, Any]]
FindAnswer = Callable[[str, str], Answer | None]
T = TypeVar("T")

_validator = ParamValidator()


class AWSError(Exception):
    """Raised by an answer to make the call fail as AWS would, with this code, and with details where AWS has them."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.details = details


_finders: list[FindAnswer] = []
"""Those of the account that there is, the latest first."""


def answer_calls(patches: Patches, find: FindAnswer) -> None:
    """Let `find(service, operation)` give the answers of boto3 clients; None leaves a call to others, and to moto."""
    _finders.insert(0, find)
    patches.callback(_finders.remove, find)


def find_answer(service: str, operation: str) -> Answer | None:
    """Return what answers an operation in this process; None leaves it to moto."""
    for find in _finders:
        answer = find(service, operation)
        if answer is not None:
            return answer
    return None


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
    "blob": StreamingBody,
}
