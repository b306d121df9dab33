"""Echoes its event, or misbehaves as it is told."""

from __future__ import annotations

import os
import time
from concurrent import futures
from typing import Any

from shared import NotReadyError, client  # type: ignore[import-not-found]


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Do what the event's operation says, and answer the event with some of what the function sees."""
    operation = event.get("op", "echo")
    if operation == "fail":
        raise ValueError("as you wish")
    if operation == "not_ready" and event["retry"] < 2:
        raise NotReadyError("soon")
    if operation == "sleep":
        try:
            time.sleep(event["seconds"])
        finally:
            client("dynamodb").get_item(TableName=os.environ["TABLE"], Key={"pk": {"S": "a"}})
    if operation == "read":
        client("dynamodb").get_item(TableName=os.environ["TABLE"], Key={"pk": {"S": "a"}})
    if operation == "read_at_once":
        with futures.ThreadPoolExecutor(4) as pool:
            event["read"] = list(pool.map(_read, range(event["count"])))
    if operation == "write":
        client("dynamodb").put_item(TableName=os.environ["TABLE"], Item={"pk": {"S": "a"}})
    if operation == "unmarshal":
        return {"set": {1}}
    if operation == "environment":
        return dict(os.environ)
    print("echoed")  # noqa: T201
    return {**event, "greeting": os.environ["GREETING"], "left": context.get_remaining_time_in_millis()}


def _read(number: int) -> int:
    client("dynamodb").get_item(TableName=os.environ["TABLE"], Key={"pk": {"S": str(number)}})
    return number
