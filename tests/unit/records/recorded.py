"""What stands in the table, as tests write it down: whole, with what a test is about changed."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from drydock.records.holder import Holder
from drydock.records.image_watches import ImageWatch
from drydock.records.results import Findings, Member, PatchCounts, Result, Roll, Work
from drydock.records.runs import CARRYING_OUT, RecordedEnd, RecordedPlan, Run
from drydock.request.policy import DEFAULTS
from drydock.subject import Group
from tests.unit.fakes import START
from tests.unit.world import HOLDER, OTHER_EXECUTION, SNAPSHOT, SUBJECT, made_image

RUN_ID = "night-7"
RUN_EXECUTION = f"arn:aws:states:ap-northeast-1:123456789012:execution:drydock-MaintenanceRun:{RUN_ID}"


def recorded_plan(**more: Any) -> RecordedPlan:
    """Three machines, in a window of two hours."""
    facts: dict[str, Any] = {
        "key": f"runs/{RUN_ID}/plan.json",
        "hash": "ab" * 32,
        "is_only": False,
        "is_approval_needed": False,
        "machines": 3,
        "purpose": "0123456789abcdef0123456789abcdef",
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
        "taken": {},
        "soak_until": None,
        "approval": None,
        "carried_out_by": "",
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


def some_patches(missing: int = 0, **more: Any) -> PatchCounts:
    counts = {
        "missing": missing,
        "failed": 0,
        "installed": 40,
        "pendingReboot": 0,
        "missingPatches": [f"KB{number}" for number in range(1, missing + 1)],
        "missingBySeverity": {"Important": missing} if missing else {},
        "failedPatches": [],
        "baselineId": "pb-0123456789abcdef0",
        "patchGroup": "web",
        "operation": "Scan",
        "operationEnded": "2026-01-13T01:40:00Z",
    }
    return cast(PatchCounts, {**counts, **more})


def some_findings(**more: Any) -> Findings:
    """Two patches were missing, were installed, and took a reboot."""
    facts: dict[str, Any] = {
        "rebooted": True,
        "reboot": {"need": "not_needed", "reasons": [], "countedByAws": 0, "isOwed": False},
        "patches_before": some_patches(2),
        "patches_after": some_patches(0),
        "installed": ["KB1", "KB2"],
        "agent_before": "3.2.0.0",
        "agent_after": "3.2.0.0",
        "agents": [],
        "hooks": {},
        "commands": [],
        "policy": deepcopy(DEFAULTS),
    }
    return Findings(**{**facts, **more})


def some_work(**more: Any) -> Work:
    """A machine that was stopped, patched, and stopped again."""
    facts: dict[str, Any] = {
        "name": "web-1",
        "platform": "Windows",
        "patch_group": "web",
        "snapshot_id": SNAPSHOT,
        "operation": "Install",
        "power_before": "stopped",
        "power_after": "stopped",
        "times": {},
        "images": {"before": made_image("ami-1")},
        "commands": [],
        "verdict": "compliant",
        "problems": [],
        "findings": some_findings(),
    }
    return Work(**{**facts, **more})


def a_result(outcome: str = "succeeded", **more: Any) -> Result:
    """Of a machine by itself; it was refused without work."""
    failure = {"error": "ImageFailedError", "cause": "image ami-1 is failed"}
    facts: dict[str, Any] = {
        "subject": SUBJECT,
        "holder": HOLDER,
        "started": START,
        "ended": START + timedelta(hours=1),
        "outcome": outcome,
        "failure": None if outcome == "succeeded" else failure,
        "run_id": "",
        "notify": "failures",
        "work": None if outcome == "refused" else some_work(),
    }
    return Result(**{**facts, **more})


def a_member(outcome: str = "succeeded", **more: Any) -> Member:
    """Five minutes out of service."""
    facts: dict[str, Any] = {
        "name": "",
        "began": START + timedelta(minutes=2),
        "ended": START + timedelta(minutes=7),
    }
    return Member(outcome, **{**facts, **more})


def a_roll(members: dict[str, Member] | None = None, **more: Any) -> Roll:
    facts: dict[str, Any] = {
        "group_name": "web",
        "operation": "Install",
        "snapshot_id": SNAPSHOT,
        "sizes": {"min": 2, "max": 4, "desired": 3},
        "problems": [],
        "launch_template": None,
    }
    return Roll(members=members or {}, **{**facts, **more})


def a_group_result(outcome: str = "succeeded", roll: Roll | None = None, **more: Any) -> Result:
    """Of the group `web`; it was refused without a roll."""
    done = None if outcome == "refused" else roll or a_roll()
    return a_result(outcome, **{"subject": Group("web"), "work": None, "roll": done, **more})


def a_watch(image_id: str = "ami-1", **changes: Any) -> ImageWatch:
    """The watch of an image after patching that another execution asked for."""
    watch = ImageWatch(
        instance_id=SUBJECT.id,
        machine="web-1",
        image_id=image_id,
        moment="after",
        holder=Holder(OTHER_EXECUTION, 0),
        started=START,
        asked=START,
        deadline=START + timedelta(hours=1),
        deprecate_at=START + timedelta(days=90),
        is_crash_consistent=True,
        was_installed=True,
        verdict="compliant",
        run_id="",
        notify="failures",
        group_name="",
    )
    return replace(watch, **changes)
