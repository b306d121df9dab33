"""Waits: what an execution waits for, and the task token that wakes it. A machine's wait is part of its lease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from drydock.aws.table import Item
from drydock.records.reading import mapping, moment, text
from drydock.times import to_text


@dataclass(frozen=True)
class Wait:
    """What one entry of an execution into a state waits for."""

    instance_id: str
    token: str
    sequence: str
    """A newer entry has a greater one."""
    kind: str
    """Which look tells whether it is over: see `waiting`."""
    resource: str
    """The id of the image or command; empty where the instance itself is what is waited for."""
    deadline: datetime
    facts: Mapping[str, Any]

    def to_item(self) -> Item:
        """The attribute `wait` of a lease, which knows the instance itself; the deadline as text in UTC."""
        return {
            "token": self.token,
            "sequence": self.sequence,
            "kind": self.kind,
            "resource": self.resource,
            "deadline": to_text(self.deadline),
            "facts": dict(self.facts),
        }


def read_wait(instance_id: str, item: Mapping[str, Any]) -> Wait:
    """A wait out of the attribute of a lease that `Wait.to_item` made; the lease says of which instance."""
    return Wait(
        instance_id=instance_id,
        token=text(item["token"]),
        sequence=text(item["sequence"]),
        kind=text(item["kind"]),
        resource=text(item["resource"]),
        deadline=moment(item["deadline"]),
        facts=mapping(item["facts"]),
    )


@dataclass(frozen=True)
class Work:
    """Long work that was begun, now or by an earlier entry into the same state."""

    kind: str
    begun: datetime
    may_be_over: bool
    """False for work begun just now whose end an event will report: looking at it at once would be in vain."""
    resource: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    intent: str = ""
    answer: Mapping[str, str] = field(default_factory=dict)
    """What AWS answered to the call of the intent, when it was made just now: stored together with the wait."""
