"""Starts work whose end is told with a task token."""

from __future__ import annotations

import json
import os
from typing import Any

from shared import client  # type: ignore[import-not-found]


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Keep the token, and answer it at once, in the third attempt, with a failure, or never."""
    work, token = event["work"], event["token"]
    item = {"pk": {"S": f"token {event['attempt']}"}, "token": {"S": token}}
    client("dynamodb").put_item(TableName=os.environ["TABLE"], Item=item)
    if work == "at_once" or (work == "third_time" and event["attempt"] == 2):
        client("stepfunctions").send_task_success(taskToken=token, output=json.dumps({"done": True}))
    if work == "fail":
        client("stepfunctions").send_task_failure(taskToken=token, error="WorkError", cause="broken")
    return {}
