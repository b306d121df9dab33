"""Waits: what an execution waits for, and the task token that wakes it.

A machine has at most one wait at a time. It stands beside the lease and is found by the machine, or by the
resource that it waits for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drydock.step import Holder, Step
from drydock.table import ConditionFailedError, Item, Key, Table
from drydock.times import from_text, to_text

_KEPT = timedelta(days=14)


@dataclass(frozen=True)
class Wait:
    instance_id: str
    holder: Holder
    token: str
    kind: str
    """Which look tells whether it is over: see `waiting`."""
    resource: str
    """The id of the image or command; empty where the instance itself is what is waited for."""
    deadline: datetime
    facts: Mapping[str, Any]


def wait_key(instance_id: str) -> Key:
    return {"pk": f"INSTANCE#{instance_id}", "sk": "LEASE#WAIT"}


def file_wait(table: Table, step: Step, wait: Wait, now: datetime) -> bool:
    """Put the wait in place of an older one. False when a newer entry of the same execution has put its own."""
    item = {
        **wait_key(wait.instance_id),
        "execution": wait.holder.execution,
        "redriveCount": wait.holder.redrive_count,
        "sequence": step.sequence,
        "token": wait.token,
        "kind": wait.kind,
        "resource": wait.resource,
        "deadline": to_text(wait.deadline),
        "facts": dict(wait.facts),
        "ttl": int((now + _KEPT).timestamp()),
    }
    if wait.resource:
        item["lookup"] = f"RESOURCE#{wait.resource}"
    try:
        table.put(
            item,
            "attribute_not_exists(pk) OR execution <> :execution OR #sequence < :sequence",
            {"#sequence": "sequence"},
            {":execution": wait.holder.execution, ":sequence": step.sequence},
        )
    except ConditionFailedError:
        return False
    return True


def read_wait(item: Item) -> Wait:
    return Wait(
        instance_id=item["pk"].partition("#")[2],
        holder=Holder(item["execution"], item["redriveCount"]),
        token=item["token"],
        kind=item["kind"],
        resource=item["resource"],
        deadline=from_text(item["deadline"]),
        facts=item["facts"],
    )


def find_waits_for(table: Table, resource: str) -> list[Wait]:
    return [read_wait(item) for item in table.look_up(f"RESOURCE#{resource}")]


def forget_wait(table: Table, wait: Wait) -> None:
    """Delete the wait if it is still the same one."""
    try:
        table.delete(wait_key(wait.instance_id), "#token = :token", {"#token": "token"}, {":token": wait.token})
    except ConditionFailedError:
        return
