"""What stands in the table, as tests write it down: whole, with what a test is about changed."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import Any

from drydock.records.holder import Holder
from drydock.records.runs import CARRYING_OUT, RecordedEnd, RecordedPlan, Run
from drydock.request.policy import DEFAULTS
from tests.unit.fakes import START

RUN_ID = "night-7"
RUN_EXECUTION = f"arn:aws:states:ap-northeast-1:123456789012:execution:drydock-MaintenanceRun:{RUN_ID}"
SNAPSHOT = "11111111-2222-3333-4444-555555555555"


def recorded_plan(**more: Any) -> RecordedPlan:
    """Three machines, in a window of two hours."""
    facts: dict[str, Any] = {
        "key": f"runs/{RUN_ID}/plan.json",
        "hash": "ab" * 32,
        "is_only": False,
        "is_approval_needed": False,
        "machines": 3,
        "operation": "Install",
        "policy": deepcopy(DEFAULTS),
        "snapshot_id": SNAPSHOT,
        "snapshot_since": START,
        "window": {},
        "time_zone": "",
        "end": START + timedelta(hours=2),
        "last_admission": START + timedelta(minutes=90),
        "max_errors": 0,
        "since": START,
        "started_by": "",
        "is_canary_proved": False,
        "bucket": "drydock-logs",
    }
    return RecordedPlan(**{**facts, **more})


def a_run(**more: Any) -> Run:
    """A run that carries out its plan."""
    facts: dict[str, Any] = {
        "run_id": RUN_ID,
        "holder": Holder(RUN_EXECUTION, 0),
        "phase": CARRYING_OUT,
        "started": START,
        "closed": None,
        "failed": 0,
        "plan": recorded_plan(),
        "soak_until": None,
        "approval": None,
        "ended": None,
    }
    return Run(**{**facts, **more})


def recorded_end(**more: Any) -> RecordedEnd:
    """A run of three machines that went well in an hour."""
    facts: dict[str, Any] = {
        "at": START + timedelta(hours=1),
        "outcome": "succeeded",
        "counts": {"succeeded": 3, "failed": 0, "busy": 0, "gone": 0, "skipped": 0, "not_attempted": 0},
        "failed_groups": [],
        "report_key": f"runs/{RUN_ID}/report.json",
        "bucket": "drydock-logs",
        "failure": None,
    }
    return RecordedEnd(**{**facts, **more})
