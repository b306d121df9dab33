"""Who may hold a lease: one execution, in one of its redrives."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from drydock.catalogue.saying import say
from drydock.records.reading import number, text

_EXECUTION = re.compile(r"arn:[^:]+:states:[^:]*:[^:]*:execution:[^:]+:.+", re.DOTALL)


@dataclass(frozen=True)
class Holder:
    """Who may hold a lease: one execution, in one of its redrives."""

    execution: str
    redrive_count: int

    @classmethod
    def from_item(cls, item: Mapping[str, Any], name: str) -> Self:
        """The holder in an item, whose execution stands in the attribute `name`. Raises ValueError for no execution."""
        execution = text(item[name])
        if not _EXECUTION.fullmatch(execution):
            raise ValueError(say("item.no_execution", value=f"{execution!r:.80}"))
        return cls(execution, number(item["redriveCount"]))

    @property
    def name(self) -> str:
        """The execution's own name, the last part of its ARN. Of a run, it is the run's id."""
        return self.execution.rsplit(":", 1)[-1]

    @property
    def state_machine(self) -> str:
        """The name of the state machine."""
        return self.execution.split(":")[6]

    @property
    def account(self) -> str:
        """The id of the AWS account, out of the execution's ARN."""
        return self.execution.split(":")[4]

    @property
    def partition(self) -> str:
        """The AWS partition, out of the execution's ARN, such as `aws` or `aws-cn`."""
        return self.execution.split(":")[1]

    def mark(self, intent: str) -> str:
        """A short text that only this execution writes for this intent: it makes a command or image known again."""
        return hashlib.sha256(f"{self.execution}/{intent}".encode()).hexdigest()[:16]
