"""What came of the runs of a rehearsal: plan, approval, waves and report, as Drydock's table and bucket have them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from drydock.records.runs import report_page_key
from rehearsal.account import EmbeddedAccount, ExecutionView
from rehearsal.play.fleet_runs import RunExpectation
from rehearsal.play.people import Answer

RUN_MACHINE = "MaintenanceRun"
LEFT_OUT = "left_out"


@dataclass(frozen=True)
class WaveOutcome:
    """One wave: how many machines were planned for it, when it was worked on, and how they ended.

    `began` is None for a wave whose turn never came.
    """

    is_canary: bool
    planned: int
    began: datetime | None
    ended: datetime | None
    counts: Mapping[str, int]


@dataclass(frozen=True)
class RunOutcome:
    """One run. `plan`, `report` and its `page` are what is stored, empty where nothing was.

    `label` is what people call it.
    """

    run_id: str
    label: str
    is_of_window: bool
    status: str
    started: datetime
    stopped: datetime | None
    transitions: int
    outcome: str
    error: str
    plan: Mapping[str, Any]
    report: Mapping[str, Any]
    page: str
    waves: tuple[WaveOutcome, ...]
    answers: tuple[Answer, ...]
    messages: int
    differences: tuple[str, ...] = ()
    is_late_unexpectedly: bool = False
    """Whether machines were given back after its end, and the file does not say that they will be."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many machines ended how."""
        return {**self.report.get("counts", {})}

    @property
    def left_out(self) -> Sequence[Mapping[str, Any]]:
        """Return the machines that were found and not planned, each with its reason."""
        return list(self.plan.get("leftOut", ()))

    def outcome_of(self, instance_id: str) -> str:
        """Return what the run says of a machine; nothing when it says nothing."""
        for machine in self.report.get("machines", ()):
            if machine["instanceId"] == instance_id:
                return str(machine["outcome"])
        return LEFT_OUT if any(one["instanceId"] == instance_id for one in self.left_out) else ""


def collect_runs(
    account: EmbeddedAccount,
    bucket: str,
    items: Sequence[Mapping[str, Any]],
    expected: Mapping[str, RunExpectation],
    labels: Mapping[str, str],
    answers: Sequence[Answer],
) -> tuple[RunOutcome, ...]:
    """Return the runs in the order they began. `expected` and `labels` are by run id."""
    stored = {str(item["runId"]): item for item in items if item["sk"] == "RUN"}
    views = [view for view in account.executions() if view.machine.endswith(f"-{RUN_MACHINE}")]
    return tuple(
        _describe(account, bucket, view, stored.get(view.name, {}), expected.get(view.name), labels, answers)
        for view in views
    )


def _describe(
    account: EmbeddedAccount,
    bucket: str,
    view: ExecutionView,
    item: Mapping[str, Any],
    expect: RunExpectation | None,
    labels: Mapping[str, str],
    answers: Sequence[Answer],
) -> RunOutcome:
    plan = _read(account, bucket, item.get("planKey"))
    report = _read(account, bucket, item.get("reportKey"))
    own = tuple(answer for answer in answers if answer.run_id == view.name)
    given = view.input if isinstance(view.input, dict) else {}
    differences = tuple(_differences(expect, item, plan, report)) if expect is not None else ()
    return RunOutcome(
        run_id=view.name,
        label=labels.get(view.name, view.name),
        is_of_window="window" in given,
        status=view.status,
        started=view.started,
        stopped=view.stopped,
        transitions=view.transitions,
        outcome=str(item.get("outcome") or "none"),
        error=str((report.get("failure") or {}).get("error", "")),
        plan=plan,
        report=report,
        page=_read_page(account, bucket, view.name),
        waves=tuple(_waves(plan, report)),
        answers=own,
        is_late_unexpectedly=item.get("outcome") == "late" and (expect is None or expect.outcome != "late"),
        messages=sum(message.attributes.get("run") == view.name for message in account.messages),
        differences=differences,
    )


def _read(account: EmbeddedAccount, bucket: str, key: object) -> Mapping[str, Any]:
    return dict(json.loads(_read_text(account, bucket, str(key)))) if key else {}


def _read_page(account: EmbeddedAccount, bucket: str, run_id: str) -> str:
    """Nothing where it is not there: it may not have been stored."""
    try:
        return _read_text(account, bucket, report_page_key(run_id))
    except ClientError:
        return ""


def _read_text(account: EmbeddedAccount, bucket: str, key: str) -> str:
    found = account.client("s3").get_object(Bucket=bucket, Key=key)
    return str(found["Body"].read().decode())


def _waves(plan: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[WaveOutcome]:
    for number, wave in enumerate(plan.get("waves", ())):
        machines = [machine for machine in report.get("machines", ()) if machine["wave"] == number]
        began = [_instant(machine["startedAt"]) for machine in machines if machine["startedAt"]]
        ended = [_instant(machine["endedAt"]) for machine in machines if machine["endedAt"] and machine["startedAt"]]
        yield WaveOutcome(
            is_canary=wave["isCanary"],
            planned=wave["count"],
            began=min(began, default=None),
            ended=max(ended, default=None),
            counts=dict(sorted(Counter(machine["outcome"] for machine in machines).items())),
        )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _differences(
    expect: RunExpectation, item: Mapping[str, Any], plan: Mapping[str, Any], report: Mapping[str, Any]
) -> Iterator[str]:
    """Compare a run's end with what the fleet file expects."""
    outcome = item.get("outcome") or "none"
    if expect.outcome is not None and expect.outcome != outcome:
        yield f"outcome: expected {expect.outcome}, got {outcome}"
    error = (report.get("failure") or {}).get("error", "none")
    if expect.error is not None and expect.error != error:
        yield f"error: expected {expect.error}, got {error}"
    for name, count in (expect.counts or {}).items():
        got = report.get("counts", {}).get(name, 0)
        if count != got:
            yield f"machines {name.replace('_', ' ')}: expected {count}, got {got}"
    left_out = len(plan.get("leftOut", ()))
    if expect.left_out is not None and expect.left_out != left_out:
        yield f"left out: expected {expect.left_out}, got {left_out}"
