"""Which plan was made last for a window, by operation. One item for each: no index, which might be late."""

from __future__ import annotations

from datetime import timedelta

from drydock.aws.table import ConditionFailedError, Item, Key, Table
from drydock.records.reading import readable, text
from drydock.records.runs import Run
from drydock.times import to_text

_KEPT = timedelta(days=365)


def _key(window_id: str, operation: str) -> Key:
    return {"pk": f"WINDOW#{window_id}", "sk": f"PLAN#{operation}"}


@readable
def _read(item: Item) -> str:
    return text(item["runId"])


def find_window_plan(table: Table, window_id: str, operation: str) -> str:
    """The run that has made the newest plan for a window; empty where none has. Raises UnreadableItemError."""
    item = table.get(_key(window_id, operation))
    return _read(item) if item else ""


def remember_window_plan(table: Table, run: Run) -> None:
    """Write down that a run has made a plan for the next opening of a window. A newer one stands."""
    plan = run.require_plan()
    facts = {
        "runId": run.run_id,
        "madeAt": to_text(run.started),
        "ttl": int((run.started + _KEPT).timestamp()),
    }
    try:
        table.update(
            _key(str(plan.window["windowId"]), plan.operation),
            "SET " + ", ".join(f"#{name} = :{name}" for name in facts),
            "attribute_not_exists(pk) OR madeAt <= :madeAt",
            {f"#{name}": name for name in facts},
            {f":{name}": value for name, value in facts.items()},
        )
    except ConditionFailedError:
        return
