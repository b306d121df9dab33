"""Repairs of how moto's Step Functions interpreter calls other services."""

from __future__ import annotations

import json
import sys
from typing import Any

from botocore.exceptions import ClientError
from moto.core.exceptions import ServiceException
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.utils import boto_client

from rehearsal.engine.calls import CallLog, current_caller, make_client
from rehearsal.engine.functions import FunctionHost
from rehearsal.engine.repairs.patches import Patches


def repair_clients(patches: Patches) -> None:
    """moto makes a new boto3 client for every task, which costs more than the rest of the state."""

    def find_client(region: str, service: str, state_credentials: Any = None) -> Any:
        return make_client(service, region)

    original = boto_client.boto_client_for
    for name, module in list(sys.modules.items()):
        if name.startswith("moto.stepfunctions") and getattr(module, "boto_client_for", None) is original:
            patches.replace(module, "boto_client_for", find_client)


def repair_lambda_invocation(patches: Patches, calls: CallLog, host: FunctionHost) -> None:
    """moto needs Docker to run a function, or only echoes. Here a task runs the function of the account."""

    def invoke(parameters: dict[str, Any], region: str, state_credentials: Any) -> dict[str, Any]:
        payload = parameters.get("Payload") or b"{}"
        caller = current_caller.get()
        name = parameters["FunctionName"]
        try:
            outcome = calls.perform(
                "lambda",
                "Invoke",
                parameters,
                lambda: host.invoke(name, payload.decode(), caller.execution if caller else None),
            )
        except ServiceException as error:
            raise _refuse(error.code, error.message) from error
        except ClientError as error:
            raise _refuse(error.response["Error"]["Code"], error.response["Error"]["Message"]) from error
        answer = {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": json.loads(outcome.payload)}
        if outcome.failed:
            answer["FunctionError"] = "Unhandled"
        return answer

    patches.replace(lambda_eval_utils, "_invoke_lambda_function", invoke)


def _refuse(code: str, message: str) -> ClientError:
    """Return an error of Lambda's API with all that the interpreter reads of it.

    A function that is missing is named with its version, and with status 404 (LocalStack's recording of 2025-11-25).
    """
    status = 400
    if code == "ResourceNotFoundException":
        message, status = f"{message}:$LATEST", 404
    about: Any = {"HTTPStatusCode": status, "RequestId": "", "HostId": "", "HTTPHeaders": {}, "RetryAttempts": 0}
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": about}, "Invoke")
