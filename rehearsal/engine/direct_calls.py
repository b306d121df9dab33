"""The busiest calls, handed to moto's own implementation without writing, signing, routing and reading a request.

botocore's serialisation of one DynamoDB item takes longer than everything else about the call.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

from botocore.client import BaseClient
from botocore.model import ListShape, Shape, StructureShape
from moto.core.exceptions import ServiceException
from moto.core.utils import camelcase_to_underscores
from moto.dynamodb.responses import DynamoHandler, DynamoResult
from moto.sns.responses import SNSResponse
from moto.ssm.responses import SimpleSystemManagerResponse
from moto.stepfunctions.responses import StepFunctionResponse
from werkzeug.exceptions import HTTPException

from rehearsal.engine.answers import Answer, AWSError, check_parameters, check_shape, find_answer
from rehearsal.engine.calls import DirectCall, is_shared

_HANDLERS: dict[str, type] = {
    "dynamodb": DynamoHandler,
    "sns": SNSResponse,
    "ssm": SimpleSystemManagerResponse,
    "stepfunctions": StepFunctionResponse,
}

DIRECT_CALLS = frozenset(
    {
        *(("dynamodb", name) for name in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan")),
        *(("dynamodb", name) for name in ("TransactWriteItems", "BatchWriteItem")),
        *(("stepfunctions", name) for name in ("SendTaskSuccess", "SendTaskFailure", "SendTaskHeartbeat")),
        *(("stepfunctions", name) for name in ("StartExecution", "DescribeExecution", "StopExecution")),
        *(("stepfunctions", name) for name in ("ListExecutions", "ListStateMachines")),
        ("sns", "Publish"),
        ("ssm", "GetParameter"),
    }
)

_known_shapes: set[tuple[str, tuple[tuple[str, type], ...]]] = set()
"""What calls about items were given, by name and type, that was found right."""


def find_direct_call(client: BaseClient, operation: str) -> DirectCall | None:
    """Return what carries out a call of a client in the place of botocore, None when botocore has to."""
    service = client.meta.service_model.service_name
    answer = find_answer(service, operation)
    if answer is not None:
        return partial(answer_directly, answer)
    return call_directly if (service, operation) in DIRECT_CALLS and is_shared(client) else None


def answer_directly(answer: Answer, client: BaseClient, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what `answer` says to a call; raises what boto3 raises for wrong parameters and refused calls."""
    model = client.meta.service_model.operation_model(operation)
    shared = is_shared(client)
    about_items = client.meta.service_model.service_name == "dynamodb"
    if not (shared and about_items):
        # What botocore, and a resource, fill in.
        parameters = client._emit_api_params(api_params=parameters, operation_model=model, context={})  # type: ignore[attr-defined]
    shape = (operation, tuple((name, type(value)) for name, value in parameters.items())) if about_items else None
    if shape is None or shape not in _known_shapes:
        check_parameters(parameters, model)
        if shape is not None:
            _known_shapes.add(shape)
    try:
        found = answer(parameters)
    except AWSError as error:
        refused = {"__type": error.code, "message": str(error), **error.details}
        raise _make_error(client, operation, refused) from None
    except ServiceException as error:
        raise _make_error(client, operation, {"__type": error.code, "message": error.message}) from None
    except (AttributeError, KeyError, TypeError, ValueError):
        # The answer looks at the values that it uses.
        check_parameters(parameters, model)
        raise
    if not about_items:
        found = {name: value for name, value in found.items() if value is not None}
        check_shape(found, model.output_shape, operation)
    answered = {**found, "ResponseMetadata": _describe_response(200)}
    if not shared:
        event = f"after-call.{client.meta.service_model.service_id.hyphenize()}.{operation}"
        client.meta.events.emit(event, http_response=None, parsed=answered, model=model, context={})
    return answered


def call_directly(client: BaseClient, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return moto's answer to a call; raises what boto3 raises for wrong parameters and refused calls."""
    service = client.meta.service_model.service_name
    model = client.meta.service_model.operation_model(operation)
    check_parameters(parameters, model)
    handler = _HANDLERS[service]()
    handler.automated_parameter_parsing = True
    handler.params = _to_plain(parameters)
    handler.body = handler.params
    handler.uri_match = {}
    handler.querystring = {}
    handler.headers = {}
    handler.response_headers = {}
    handler.region = client.meta.region_name
    handler.partition = client.meta.partition
    handler.current_account = "123456789012"
    try:
        result = getattr(handler, _method_name(operation))()
    except ServiceException as error:
        refused = {"message": error.message, "__type": error.code}
        raise _make_error(client, operation, refused) from None
    except HTTPException as error:
        raise _make_error(client, operation, json.loads(error.description or "{}")) from None
    # What DynamoDB's handler answers is a copy already.
    answer = result.result if isinstance(result, DynamoResult) else _to_plain(result.result or {})
    # moto's handlers answer more than was asked for, and leave it to the writing of the response to drop it.
    members = model.output_shape.members if model.output_shape else {}
    if parameters.get("ReturnConsumedCapacity", "NONE") == "NONE":
        answer.pop("ConsumedCapacity", None)
    known = {name: value for name, value in answer.items() if name in members}
    if service != "dynamodb":
        known = {name: _read(value, members[name]) for name, value in known.items()}
    return {**known, "ResponseMetadata": _describe_response(200)}


def _read(value: Any, shape: Shape) -> Any:
    """Return an answer with the members that the API model has, and with times as botocore reads them."""
    if shape.type_name == "timestamp":
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        return datetime.fromtimestamp(value, UTC)
    if isinstance(shape, StructureShape):
        return {name: _read(one, shape.members[name]) for name, one in value.items() if name in shape.members}
    if isinstance(shape, ListShape):
        return [_read(one, shape.member) for one in value]
    return value


@cache
def _method_name(operation: str) -> str:
    return str(camelcase_to_underscores(operation))


def _make_error(client: BaseClient, operation: str, body: dict[str, Any]) -> Exception:
    code = body.pop("__type").split("#")[-1]
    message = body.get("message", body.get("Message", ""))
    answer = {
        **body,
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": _describe_response(_status_of(client, operation, code)),
    }
    kind: Callable[..., Exception] = client.exceptions.from_code(code)  # type: ignore[assignment]
    return kind(answer, operation)


def _status_of(client: BaseClient, operation: str, code: str) -> int:
    """The HTTP status that a refusal has by the service's model."""
    for shape in client.meta.service_model.operation_model(operation).error_shapes:
        told = shape.metadata.get("error", {})
        if code in (shape.name, told.get("code")):
            return int(told.get("httpStatusCode", 400))
    return 400


def _describe_response(status: int) -> dict[str, Any]:
    return {"RequestId": "", "HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0}


def _to_plain(value: Any) -> Any:
    """Return a copy that shares nothing with the backend, without what an answer leaves out."""
    if isinstance(value, dict):
        return {key: _to_plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, str | int | float | bool | bytes | datetime):
        return value
    raise TypeError(f"not part of an answer: {value!r}")
