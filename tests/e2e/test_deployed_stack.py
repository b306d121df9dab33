"""Against a stack that is really deployed, on a machine that may be scanned: `pytest -m e2e`.

DRYDOCK_STACK names the stack, DRYDOCK_INSTANCE a running managed instance. A Scan touches nothing.
What else only a real account can tell stands in CONTRIBUTING.md.
"""

from __future__ import annotations

import json
import os
from typing import Any

import boto3
import pytest
from botocore.waiter import WaiterModel, create_waiter_with_client

pytestmark = pytest.mark.e2e

EXECUTION_ENDED = {
    "version": 2,
    "waiters": {
        "ExecutionEnded": {
            "operation": "DescribeExecution",
            "delay": 15,
            "maxAttempts": 80,
            "acceptors": [
                {"matcher": "path", "argument": "status", "expected": "SUCCEEDED", "state": "success"},
                {"matcher": "path", "argument": "status", "expected": "FAILED", "state": "failure"},
                {"matcher": "path", "argument": "status", "expected": "TIMED_OUT", "state": "failure"},
                {"matcher": "path", "argument": "status", "expected": "ABORTED", "state": "failure"},
            ],
        }
    },
}


@pytest.fixture(scope="module")
def outputs() -> dict[str, str]:
    """The outputs of the deployed stack."""
    (stack,) = boto3.client("cloudformation").describe_stacks(StackName=os.environ["DRYDOCK_STACK"])["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _results(table: str, instance_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = boto3.client("dynamodb").query(
        TableName=table,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
        ExpressionAttributeValues={":pk": {"S": f"INSTANCE#{instance_id}"}, ":sk": {"S": "RESULT#"}},
        ConsistentRead=True,
    )["Items"]
    return found


def test_a_scan_of_a_running_machine_ends_with_a_result_and_without_a_lease(outputs: dict[str, str]) -> None:
    instance_id = os.environ["DRYDOCK_INSTANCE"]
    stepfunctions = boto3.client("stepfunctions")

    execution = stepfunctions.start_execution(
        stateMachineArn=outputs["PatchInstanceArn"],
        input=json.dumps({"instanceId": instance_id, "policy": {"operation": "Scan"}}),
    )["executionArn"]
    ended = create_waiter_with_client("ExecutionEnded", WaiterModel(EXECUTION_ENDED), stepfunctions)
    ended.wait(executionArn=execution)

    results = _results(outputs["StateTableName"], instance_id)
    (result,) = [item for item in results if item["execution"]["S"] == execution]
    assert result["verdict"]["S"] == "scanned"
    lease = boto3.client("dynamodb").get_item(
        TableName=outputs["StateTableName"],
        Key={"pk": {"S": f"INSTANCE#{instance_id}"}, "sk": {"S": "LEASE"}},
        ConsistentRead=True,
    )
    assert "Item" not in lease
