"""Which plan was approved last for a purpose: for a window or for targets, and an operation. One item for each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from drydock.aws.table import ConditionFailedError, Item, Key, Table
from drydock.records.reading import moment, readable, text
from drydock.records.runs import Run
from drydock.times import to_text

_KEPT = timedelta(days=365)


@dataclass(frozen=True)
class ApprovedPlan:
    """The run whose plan was approved, and when."""

    run_id: str
    at: datetime


def _key(purpose: str) -> Key:
    return {"pk": f"PURPOSE#{purpose}", "sk": "APPROVED"}


@readable
def _read(item: Item) -> ApprovedPlan:
    return ApprovedPlan(text(item["runId"]), moment(item["approvedAt"]))


def find_approved_plan(table: Table, purpose: str) -> ApprovedPlan | None:
    """The plan that was approved last for a purpose; None when none was. Raises UnreadableItemError."""
    item = table.get(_key(purpose))
    return _read(item) if item else None


def remember_approved_plan(table: Table, run: Run, at: datetime) -> None:
    """Write down that the plan of a run was approved; a later approval stands."""
    facts = {"runId": run.run_id, "approvedAt": to_text(at), "ttl": int((at + _KEPT).timestamp())}
    try:
        table.update(
            _key(run.require_plan().purpose),
            "SET " + ", ".join(f"#{name} = :{name}" for name in facts),
            "attribute_not_exists(pk) OR approvedAt <= :approvedAt",
            {f"#{name}": name for name in facts},
            {f":{name}": value for name, value in facts.items()},
        )
    except ConditionFailedError:
        return
