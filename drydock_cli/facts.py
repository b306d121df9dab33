"""What the records of the layer say, as the documents have it. All of it is pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from drydock.approval.approvals import approval_of, open_approval, waits_for
from drydock.plan.estimates import expected_of_step
from drydock.records.history import History, OwedReboot
from drydock.records.image_watches import ImageWatch
from drydock.records.leases import Lease
from drydock.records.results import Result
from drydock.records.runs import AWAITING_APPROVAL, ENDED, PLANNING, Place, Run
from drydock.records.work_names import name_work
from drydock.telling.details import describe_work
from drydock.telling.tell_once import Told
from drydock.times import to_text
from drydock_cli.documents import (
    ApprovalFacts,
    LeaseFacts,
    MessageFacts,
    OwedFacts,
    PaceFacts,
    PlaceFacts,
    ResultFacts,
    RunFacts,
    WatchFacts,
)


def text_of(moment: datetime | None) -> str:
    """Empty for None."""
    return to_text(moment) if moment else ""


def run_facts(run: Run, caller: str, approvers: Sequence[str], now: datetime, begun: int = 0) -> RunFacts:
    """`begun` is how many machines were let in so far. Without a caller, the run waits for nobody in particular."""
    plan, end, approval = run.plan, run.ended, open_approval(run, now)
    return {
        "runId": run.run_id,
        "state": _state_of(run),
        "phase": run.phase,
        "operation": plan.operation if plan else "",
        "startedAt": to_text(run.started),
        "endedAt": text_of(end.at if end else None),
        "startedBy": run.started_by,
        "window": dict(plan.window) if plan else {},
        "planned": plan.machines if plan else 0,
        "begun": begun,
        "failed": run.failed,
        "counts": {name: int(count) for name, count in end.counts.items()} if end else {},
        "isPlanOnly": bool(plan and plan.is_only),
        "carriedOutBy": run.carried_out_by,
        "isWaiting": approval is not None,
        "waitsForMe": approval is not None and waits_for(run, approval, caller, approvers),
        "until": text_of(approval.until if approval else None),
    }


def _state_of(run: Run) -> str:
    if run.phase == ENDED:
        return run.outcome
    if run.closed is not None:
        return "stopping"
    return {PLANNING: "planning", AWAITING_APPROVAL: "waiting"}.get(run.phase, "in_work")


def approval_facts(run: Run) -> ApprovalFacts | None:
    """None where nobody was asked."""
    approval = approval_of(run)
    if approval is None:
        return None
    return {
        "hash": approval.hash,
        "askedAt": to_text(approval.asked),
        "until": to_text(approval.until),
        "decision": approval.decision,
        "decidedAt": text_of(approval.decided),
        "decisions": [one.to_item() for one in approval.decisions],
    }


def place_facts(place: Place) -> PlaceFacts:
    return {
        "instanceId": place.subject.key,
        "name": place.name,
        "members": list(place.only),
        "outcome": place.outcome,
        "verdict": place.verdict,
        "error": place.error,
        "cause": place.cause,
        "admittedAt": text_of(place.admitted),
        "endedAt": text_of(place.ended),
        "expectedSeconds": place.expected_seconds,
        "execution": place.execution,
    }


def lease_facts(lease: Lease) -> LeaseFacts:
    newest = max(lease.intents.values(), key=lambda intent: intent.at, default=None)
    step = newest.name if newest else ""
    return {
        "subject": lease.subject.key,
        "name": str(lease.journal.get("name", "")),
        "execution": lease.holder.execution,
        "phase": lease.phase,
        "since": to_text(lease.since),
        "step": step,
        "doing": name_work(step) if step else "",
        "stepSince": to_text(newest.at if newest else lease.since),
        "expectedSeconds": expected_of_step(step, str(lease.journal.get("platform", ""))),
        "wait": {
            "kind": lease.wait.kind,
            "resource": lease.wait.resource,
            "until": to_text(lease.wait.deadline),
        }
        if lease.wait
        else None,
    }


def watch_facts(watch: ImageWatch) -> WatchFacts:
    return {
        "imageId": watch.image_id,
        "instanceId": watch.instance_id,
        "name": watch.machine,
        "moment": watch.moment,
        "askedAt": to_text(watch.asked),
        "deadline": to_text(watch.deadline),
        "runId": watch.run_id,
    }


def owed_facts(instance_id: str, owed: OwedReboot) -> OwedFacts:
    return {"instanceId": instance_id, "since": to_text(owed.since), "reasons": list(owed.reasons)}


def pace_facts(history: History) -> PaceFacts:
    return {
        "doneAt": text_of(history.done),
        "seconds": list(history.seconds),
        "failedAfter": history.failed_after,
    }


def message_facts(told: Told) -> MessageFacts:
    return {"at": to_text(told.at), "cause": told.cause, "subject": told.subject}


def result_facts(result: Result) -> ResultFacts:
    work, roll = result.work, result.roll
    failure: Any = result.failure or {"error": "", "cause": ""}
    return {
        "startedAt": to_text(result.started),
        "endedAt": to_text(result.ended),
        "runId": result.run_id or "",
        "execution": result.holder.execution,
        "operation": (work or roll).operation if work or roll else "",  # type: ignore[union-attr]
        "outcome": result.outcome,
        "verdict": work.verdict if work else "",
        "error": failure["error"],
        "cause": failure["cause"],
        "minutes": round((result.ended - result.started).total_seconds() / 60),
        "details": describe_work(work) if work else None,
        "members": {one: member.outcome for one, member in roll.members.items()} if roll else {},
        "problems": list(roll.problems if roll else work.problems if work else ()),
    }
