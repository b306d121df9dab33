"""Runs: what a maintenance run is about, how far it is, and what became of each of its machines.

One item a run, and one for each machine whose turn came. Which machine may still begin is decided by one
conditional write of the run's item. A run has ended once its report is written.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NotRequired, TypedDict, cast

from drydock.aws.table import LOOKUP_INDEX, ConditionFailedError, Item, Key, Table
from drydock.catalogue.saying import say
from drydock.errors import (
    DrydockError,
    Failure,
    PlanCarriedOutError,
    RunNotFoundError,
    RunOverError,
    ServiceUnavailableError,
    UnreadableItemError,
)
from drydock.records.holder import Holder
from drydock.records.reading import Readings, mapping, maps, moment, number, read_all, readable, text
from drydock.records.results import MadeImage
from drydock.subject import Group, Subject, read_subject, subject_of_item
from drydock.texts import cut_bytes
from drydock.times import from_text, to_text

PLANNING, AWAITING_APPROVAL, CARRYING_OUT, ENDED = "PLANNING", "AWAITING_APPROVAL", "CARRYING_OUT", "ENDED"
OPEN_RUNS, UNTOLD_RUNS, UNFINISHED_REPORTS = "RUNS", "UNTOLD_RUNS", "UNFINISHED_REPORTS"

SNAPSHOT_LIVES = timedelta(days=3)
"""So long the patch snapshot of a run can be used, counted from the first command that names it:
https://docs.aws.amazon.com/systems-manager/latest/userguide/patch-manager-aws-runpatchbaseline.html"""

PLAN_LIVES = timedelta(days=3)
"""So long a plan that was only made can be approved and carried out."""

MOST_RUN_ID = _MOST_NAME = 80
_MOST_GROUP_NAME = 24
_MOST_CAUSE = 4_000
"""Bytes of what a place says: Step Functions hands on 32,000 characters, and a run has 10,000 places."""
_KEPT = timedelta(days=365)
KEPT_MONTHS = 12
"""A run that can be found was begun in this month, or in one of so many before it."""
_HELD = "#owner = :owner AND redriveCount = :redrive"
_NAMES = {"#owner": "owner"}
_TAKEN = "taken#"
RUNS = "RUN#"
"""How the partitions of runs begin."""
PLACES = "MACHINE#"
"""How the sort keys of a run's places begin."""


def run_key(run_id: str) -> Key:
    """Where a run's own item stands: in its partition, which its places share."""
    return {"pk": f"{RUNS}{run_id}", "sk": "RUN"}


def place_key(run_id: str, subject: Subject) -> Key:
    """Where the place of a machine or a group stands in a run's partition."""
    return {"pk": f"{RUNS}{run_id}", "sk": f"{PLACES}{subject.key}"}


def child_name(run_id: str, subject: Subject) -> str:
    """The name of the execution that patches a machine of a run or of a roll, or rolls through a group.

    It is always the same, so it is never started twice.
    """
    part = _group_part(subject.name) if isinstance(subject, Group) else subject.id
    name = f"{run_id}-{part}"
    if len(name) <= _MOST_NAME:
        return name
    mark = hashlib.sha256(run_id.encode()).hexdigest()[:12]
    return f"{run_id[: _MOST_NAME - len(mark) - len(part) - 2]}-{mark}-{part}"


def _group_part(group_name: str) -> str:
    """What stands for a group in an execution's name: groups may have names with spaces and slashes, and long ones."""
    readable = re.sub(r"[^a-zA-Z0-9_-]", "-", group_name)[:_MOST_GROUP_NAME]
    return f"{readable}-{hashlib.sha256(group_name.encode()).hexdigest()[:8]}"


def child_execution(parent: Holder, stack: str, region: str, subject: Subject) -> str:
    """The ARN of the execution that a run or a roll starts for a machine, or a run for a group."""
    machine = "RollGroup" if isinstance(subject, Group) else "PatchInstance"
    name = child_name(parent.name, subject)
    return f"arn:{parent.partition}:states:{region}:{parent.account}:execution:{stack}-{machine}:{name}"


def report_page_key(run_id: str) -> str:
    """Where in the bucket the page of a run's report stands."""
    return f"runs/{run_id}/report.html"


class PlaceEnd(TypedDict):
    """What became of a machine or a group in a run, as its place and the state machine have it.

    `outcome` is one of a report's; `error` and `cause` are empty after a success, `verdict` where there is none.
    """

    outcome: str
    error: str
    cause: str
    verdict: NotRequired[str]


@dataclass(frozen=True)
class Place:
    """The turn of a machine or a group in a run: whether it was let in, and what became of it."""

    subject: Subject
    name: str
    only: Sequence[str] = ()
    """Of a group: the ids of the members that the plan means."""
    pace: str = ""
    """The name under which it is counted how long its like take; empty where that is not to be counted."""
    expected_seconds: int = 0
    """How long it is expected to take, by the plan; of a group, how long each of its batches is."""
    after_seconds: int = 0
    """Of a group: how long it takes after the last batch until all is as it was found."""
    execution: str = ""
    """ARN of the execution that patches it or rolls through it; empty for one that was not let in."""
    admitted: datetime | None = None
    ended: datetime | None = None
    outcome: str = ""
    """Empty while nobody has written down what became of it, as the next three."""
    error: str = ""
    cause: str = ""
    verdict: str = ""
    images: Mapping[str, MadeImage] = field(default_factory=dict)
    """Those that have ended since their machine was released, by `<instance id>/<moment>`."""

    @classmethod
    def from_item(cls, item: Item) -> Place:
        """Read a place; what nobody has written down yet is None or empty. Raises UnreadableItemError."""
        return _read_place(item)

    def to_item(self) -> Item:
        """As it is written first: a verdict comes only with an end."""
        expected = {
            "pace": self.pace,
            "expectedSeconds": self.expected_seconds,
            **({"afterSeconds": self.after_seconds} if self.after_seconds else {}),
        }
        admission = {"execution": self.execution, "admittedAt": to_text(self.admitted)} if self.admitted else {}
        end = {"outcome": self.outcome, "error": self.error, "cause": cut_bytes(self.cause, _MOST_CAUSE)}
        return {
            "instanceId": self.subject.key,
            "name": self.name,
            "images": self.images,
            **({"only": self.only} if self.only else {}),
            **(expected if self.pace else {}),
            **admission,
            **({**end, "endedAt": to_text(self.ended)} if self.ended else {}),
        }


@readable
def _read_place(item: Item) -> Place:
    return Place(
        subject=subject_of_item(item),
        name=text(item["name"]),
        only=[text(one) for one in item["only"]] if "only" in item else (),
        pace=text(item.get("pace", "")),
        expected_seconds=number(item.get("expectedSeconds", 0)),
        after_seconds=number(item.get("afterSeconds", 0)),
        execution=text(item.get("execution", "")),
        admitted=moment(item["admittedAt"]) if "admittedAt" in item else None,
        ended=moment(item["endedAt"]) if "endedAt" in item else None,
        outcome=text(item.get("outcome", "")),
        error=text(item.get("error", "")),
        cause=text(item.get("cause", "")),
        verdict=text(item.get("verdict", "")),
        images=cast(Mapping[str, MadeImage], maps(item.get("images", {}))),
    )


@dataclass(frozen=True)
class RecordedPlan:
    """What the item of a run says of its plan."""

    key: str
    """Where in the bucket the plan stands."""
    hash: str
    is_only: bool
    """Whether nothing but the plan was asked for."""
    is_approval_needed: bool
    machines: int
    """How many are planned, each member of a group counted."""
    purpose: str
    """The same for plans that are compared with each other: see `plan.comparing`."""
    operation: str
    policy: Mapping[str, Any]
    snapshot_id: str
    snapshot_since: datetime
    """When the first run with this patch snapshot began."""
    window: Mapping[str, object]
    """As in the plan; empty without one."""
    time_zone: str
    """The window's; empty when the run has none of its own."""
    end: datetime
    last_admission: datetime
    max_errors: int
    """So many machines may fail before no other begins."""
    since: datetime
    """What was done to a machine after this is not done again."""
    started_by: str
    is_canary_proved: bool
    """Whether the run that this one takes up has proved the canary."""
    bucket: str

    @classmethod
    def from_item(cls, item: Item) -> RecordedPlan:
        """Read it out of the item of a run that has a plan."""
        return cls(
            key=text(item["planKey"]),
            hash=text(item["planHash"]),
            is_only=item["planOnly"],
            is_approval_needed=item["approvalNeeded"],
            machines=number(item["planned"]),
            purpose=text(item["purpose"]),
            operation=item["operation"],
            policy=mapping(item["policy"]),
            snapshot_id=item["snapshotId"],
            snapshot_since=moment(item["snapshotSince"]),
            window=mapping(item["window"]),
            time_zone=text(item["timeZone"]),
            end=moment(item["end"]),
            last_admission=moment(item["lastAdmission"]),
            max_errors=number(item["maxErrors"]),
            since=moment(item["since"]),
            started_by=item["startedBy"],
            is_canary_proved=item["canaryProved"],
            bucket=item["bucket"],
        )

    def to_item(self) -> Item:
        """The attributes of the run's item."""
        return {
            "planKey": self.key,
            "planHash": self.hash,
            "planOnly": self.is_only,
            "approvalNeeded": self.is_approval_needed,
            "planned": self.machines,
            "purpose": self.purpose,
            "operation": self.operation,
            "policy": self.policy,
            "snapshotId": self.snapshot_id,
            "snapshotSince": to_text(self.snapshot_since),
            "window": self.window,
            "timeZone": self.time_zone,
            "end": to_text(self.end),
            "lastAdmission": to_text(self.last_admission),
            "maxErrors": self.max_errors,
            "since": to_text(self.since),
            "startedBy": self.started_by,
            "canaryProved": self.is_canary_proved,
            "bucket": self.bucket,
        }


@dataclass(frozen=True)
class RecordedEnd:
    """What the item of a run says of its end."""

    at: datetime
    outcome: str
    counts: Mapping[str, int]
    """How many of its machines have each outcome."""
    failed_groups: Sequence[str]
    """The names of the groups whose rolls failed by themselves."""
    report_key: str
    """Where in the bucket the report stands; empty when it could not be stored."""
    bucket: str
    failure: Failure | None
    """What the run itself ended with (error, cause), where that is no success."""
    failed_images: Sequence[str] = ()
    """The ids of the images of whose failure the report told from the beginning."""
    report_link_hash: str = ""
    """The hash of the key that opens the report's page; empty where there is no link to it."""

    @classmethod
    def from_item(cls, item: Item) -> RecordedEnd:
        """Read it out of the item of a run that has ended."""
        return cls(
            at=moment(item["endedAt"]),
            outcome=text(item["outcome"]),
            counts=mapping(item["counts"]),
            failed_groups=item["failedGroups"],
            report_key=text(item["reportKey"]),
            bucket=item["bucket"],
            failure=item.get("failure"),
            failed_images=item.get("failedImages", ()),
            report_link_hash=item.get("reportLinkHash", ""),
        )

    def to_item(self) -> Item:
        """The attributes of the run's item."""
        return {
            "endedAt": to_text(self.at),
            "outcome": self.outcome,
            "counts": self.counts,
            "failedGroups": self.failed_groups,
            "reportKey": self.report_key,
            "bucket": self.bucket,
            **({"failure": self.failure} if self.failure else {}),
            **({"failedImages": self.failed_images} if self.failed_images else {}),
            **({"reportLinkHash": self.report_link_hash} if self.report_link_hash else {}),
        }


@dataclass(frozen=True)
class Run:
    """A run as its item says."""

    run_id: str
    holder: Holder
    phase: str
    started: datetime
    closed: Mapping[str, str] | None
    """Why no machine may begin any more: error, reason, at."""
    failed: int
    plan: RecordedPlan | None
    """None while there is none."""
    taken: Mapping[str, Mapping[int, int]]
    """How long its machines took that are done: by the name of their kind, how many took so many twentieths of what
    was expected."""
    soak_until: datetime | None
    """Until when nothing begins after the canary; None while that was not asked for."""
    approval: Mapping[str, Any] | None
    """As `approval.approvals` writes and reads it; None while nobody was asked."""
    carried_out_by: str
    """The id of the run that carries out the plan of this one, which was only made; empty while none does."""
    ended: RecordedEnd | None
    is_told: bool = False
    """Whether people were told of its end."""

    def belongs_to(self, holder: Holder, started: datetime) -> bool:
        """Whether this is the run of an execution. Step Functions gives names out again, and redrives executions."""
        return self.holder == holder and self.started == from_text(to_text(started))

    @property
    def is_ended(self) -> bool:
        """Whether it is over for good; from then on people may be told of it."""
        return self.phase == ENDED

    @property
    def max_errors(self) -> int:
        """So many machines may fail before no other begins; 0 while there is no plan."""
        return self.plan.max_errors if self.plan else 0

    @property
    def end(self) -> datetime | None:
        """When its last machine has to be given back; None while that is not planned."""
        return self.plan.end if self.plan else None

    @property
    def is_ahead(self) -> bool:
        """Whether it is only a plan, for the next opening of a window, that people may approve before."""
        plan = self.plan
        if plan is None or not plan.is_only or not plan.policy["approval"]["ahead"]:
            return False
        return bool(plan.window.get("windowId")) and not plan.window.get("executionId")

    @property
    def expires(self) -> datetime:
        """Until when its plan, which was only made, can be carried out."""
        days = int(self.require_plan().policy["approval"]["ahead"]) if self.is_ahead else 0
        return self.started + (timedelta(days=days) if days else PLAN_LIVES)

    @property
    def last_admission(self) -> datetime | None:
        """After this no machine may begin; None while that is not planned."""
        return self.plan.last_admission if self.plan else None

    @property
    def time_zone(self) -> str:
        """The window's zone; empty when the run has none of its own."""
        return self.plan.time_zone if self.plan else ""

    @property
    def started_by(self) -> str:
        """ARN of who started it; empty when that is not known."""
        return self.plan.started_by if self.plan else ""

    @property
    def outcome(self) -> str:
        """Empty while it has not ended."""
        return self.ended.outcome if self.ended else ""

    def require_plan(self) -> RecordedPlan:
        """Raises RunNotFoundError when it has none."""
        if self.plan is None:
            raise RunNotFoundError(say("run.without_plan", run=self.run_id))
        return self.plan

    def require_end(self) -> RecordedEnd:
        """Raises RunNotFoundError when it has not ended."""
        if self.ended is None:
            raise RunNotFoundError(say("run.not_ended", run=self.run_id))
        return self.ended


@dataclass(frozen=True)
class RunSummary:
    """What the index holds of a run, as it was a moment ago. Whoever needs more reads the run itself."""

    run_id: str
    holder: Holder
    started: datetime
    window_id: str
    """The id of the maintenance window that has started it; empty without one."""
    ended: datetime | None
    """None while it has not ended."""

    @classmethod
    def from_item(cls, item: Item) -> RunSummary:
        """Read a run out of the index, which holds only some of its attributes. Raises UnreadableItemError."""
        return _read_summary(item)


@readable
def _read_summary(item: Item) -> RunSummary:
    window = mapping(item.get("window", {}))
    return RunSummary(
        run_id=_run_id_of(item),
        holder=Holder.from_item(item, "owner"),
        started=moment(item["startedAt"]),
        window_id=str(window.get("windowId", "")) if window.get("executionId") else "",
        ended=moment(item["endedAt"]) if "endedAt" in item else None,
    )


def _run_id_of(item: Item) -> str:
    """Raises ValueError for an item that is no run's own."""
    run_id = text(item["runId"])
    if {"pk": item["pk"], "sk": item["sk"]} != run_key(run_id):
        raise ValueError(say("item.not_of_run"))
    return run_id


@readable
def read_run(item: Item) -> Run:
    """A run out of its item; plan, approval and end are None until they are written there.

    Raises UnreadableItemError.
    """
    return Run(
        run_id=_run_id_of(item),
        holder=Holder.from_item(item, "owner"),
        phase=text(item["phase"]),
        started=moment(item["startedAt"]),
        closed={key: text(value) for key, value in mapping(item["closed"]).items()} if "closed" in item else None,
        failed=number(item["failed"]),
        plan=RecordedPlan.from_item(item) if "planKey" in item else None,
        taken=_read_taken(item),
        soak_until=moment(item["soakUntil"]) if "soakUntil" in item else None,
        approval=mapping(item["approval"]) if "approval" in item else None,
        carried_out_by=text(item.get("carriedOutBy", "")),
        ended=RecordedEnd.from_item(item) if "endedAt" in item else None,
        is_told="endedAt" in item and item.get("lookup") != UNTOLD_RUNS,
    )


def _read_taken(item: Item) -> dict[str, dict[int, int]]:
    """Each number is an attribute of its own, `taken#<kind>#<twentieths>`, so that it can be counted without a look."""
    taken: dict[str, dict[int, int]] = {}
    for name, count in item.items():
        if name.startswith(_TAKEN):
            kind, _, parts = name.removeprefix(_TAKEN).rpartition("#")
            taken.setdefault(kind, {})[int(parts)] = int(count)
    return taken


def count_taken(table: Table, run_id: str, pace: str, parts: Iterable[int]) -> None:
    """Count machines that are done, each by how many twentieths it took of what was expected."""
    counts = Counter(parts)
    if not counts:
        return
    names = {f"#taken{one}": f"{_TAKEN}{pace}#{one}" for one in counts}
    try:
        table.update(
            run_key(run_id),
            "ADD " + ", ".join(f"#taken{one} :taken{one}" for one in counts),
            "attribute_exists(pk)",
            names,
            {f":taken{one}": count for one, count in counts.items()},
        )
    except ConditionFailedError:
        return


def find_run(table: Table, run_id: str) -> Run | None:
    """The run with this id as it is now; None when there is none, or none any more."""
    item = table.get(run_key(run_id))
    return read_run(item) if item else None


def require_run(table: Table, run_id: str) -> Run:
    """Raises RunNotFoundError."""
    run = find_run(table, run_id)
    if run is None:
        raise RunNotFoundError(say("run.not_found", run=run_id))
    return run


def open_runs(table: Table) -> Readings[RunSummary]:
    """The runs that have not ended. The index lags a little."""
    return read_all(table.look_up(LOOKUP_INDEX, OPEN_RUNS), RunSummary.from_item)


def untold_runs(table: Table) -> Readings[RunSummary]:
    """The runs that have ended and that nobody was told of yet."""
    return read_all(table.look_up(LOOKUP_INDEX, UNTOLD_RUNS), RunSummary.from_item)


def unfinished_reports(table: Table) -> Readings[RunSummary]:
    """The runs that were told of, and whose reports say of an image that it is pending."""
    return read_all(table.look_up(LOOKUP_INDEX, UNFINISHED_REPORTS), RunSummary.from_item)


def open_run(table: Table, holder: Holder, started: datetime) -> Run:
    """Write a run down before it does anything. The one that stands, when this execution has opened it before.

    Raises RunOverError when the name was another execution's.
    """
    item: Item = {
        **run_key(holder.name),
        "runId": holder.name,
        "lookup": OPEN_RUNS,
        "owner": holder.execution,
        "redriveCount": holder.redrive_count,
        "startedAt": to_text(started),
        # With the start, the key of the index of runs by time.
        "month": to_text(started)[:7],
        "phase": PLANNING,
        "failed": 0,
        "admitted": 0,
    }
    try:
        table.put(item, "attribute_not_exists(pk)", {}, {})
    except ConditionFailedError as refused:
        standing = read_run(refused.found) if refused.found else require_run(table, holder.name)
        if standing.belongs_to(holder, started):
            return standing
        raise RunOverError(say("run.name_taken", run=holder.name)) from refused
    return read_run(item)


def update_run(
    table: Table,
    run: Run,
    facts: Mapping[str, Any],
    condition: str,
    values: Mapping[str, Any] | None = None,
    forget: tuple[str, ...] = (),
) -> Run:
    """Set attributes of a run that is still its owner's. Raises ConditionFailedError.

    In the condition, `#phase` and `#closed` stand for the attributes of those names.
    """
    changes = "SET " + ", ".join(f"#set_{name} = :set_{name}" for name in facts)
    item = table.update(
        run_key(run.run_id),
        changes + (" REMOVE " + ", ".join(forget) if forget else ""),
        f"{_HELD} AND {condition}",
        {**_NAMES, **{f"#set_{name}": name for name in facts}},
        {**_holder_values(run.holder), **{f":set_{name}": value for name, value in facts.items()}, **(values or {})},
    )
    return read_run(item)


def _holder_values(holder: Holder) -> dict[str, Any]:
    return {":owner": holder.execution, ":redrive": holder.redrive_count}


def record_plan(table: Table, run: Run, plan: RecordedPlan) -> Run:
    """Remember the plan of a run; the first one stands. Raises RunOverError."""
    try:
        return update_run(
            table, run, plan.to_item(), "phase = :planning AND attribute_not_exists(planKey)", {":planning": PLANNING}
        )
    except ConditionFailedError as refused:
        standing = read_run(refused.found) if refused.found else None
        if standing is not None and standing.holder == run.holder and standing.phase == PLANNING:
            return standing
        raise RunOverError(say("run.over_while_planned", run=run.run_id)) from refused


def mark_carried_out(table: Table, planned: Run, by: Run) -> None:
    """Say in a run that was only planned who carries its plan out; once, and with the approval that was looked at.

    Raises PlanCarriedOutError, ServiceUnavailableError when somebody has decided about it at this moment.
    """
    revision = planned.approval["revision"] if planned.approval else 0
    try:
        update_run(
            table,
            planned,
            {"carriedOutBy": by.run_id},
            "(carriedOutBy = :by OR attribute_not_exists(carriedOutBy) AND "
            + ("approval.revision = :revision)" if revision else "attribute_not_exists(approval))"),
            {":by": by.run_id, **({":revision": revision} if revision else {})},
        )
    except ConditionFailedError as refused:
        standing = read_run(refused.found) if refused.found else planned
        require_not_carried_out(standing, by)
        raise ServiceUnavailableError(say("run.being_decided", run=planned.run_id)) from refused


def require_not_carried_out(planned: Run, by: Run) -> None:
    """Raises PlanCarriedOutError when another run than this one carries the plan out."""
    if planned.carried_out_by not in ("", by.run_id):
        raise PlanCarriedOutError(say("run.carried_out", run=planned.run_id, by=planned.carried_out_by))


def begin_carrying_out(table: Table, run: Run) -> Run:
    """From now on machines may begin. Raises RunOverError."""
    if run.phase == CARRYING_OUT:
        return run
    try:
        return update_run(
            table,
            run,
            {"phase": CARRYING_OUT},
            "phase <> :ended AND (approvalNeeded = :no OR approval.decision = :approved)",
            {":ended": ENDED, ":no": False, ":approved": "approved"},
        )
    except ConditionFailedError as refused:
        raise RunOverError(say("run.not_to_begin", run=run.run_id)) from refused


def close_run(table: Table, run: Run, reason: DrydockError, now: datetime) -> Run:
    """Let no machine begin any more; the first reason stands. The run as it is then."""
    closed = {"error": type(reason).__name__, "reason": str(reason), "at": to_text(now)}
    try:
        return update_run(
            table, run, {"closed": closed}, "attribute_not_exists(closed) AND phase <> :ended", {":ended": ENDED}
        )
    except ConditionFailedError as refused:
        return read_run(refused.found) if refused.found else run


def count_admission(table: Table, run: Run) -> Run | None:
    """Take a place for one more machine, while the run lets machines begin. None when it does not any more."""
    try:
        item = table.update(
            run_key(run.run_id),
            "ADD admitted :one",
            f"{_HELD} AND phase = :carrying AND attribute_not_exists(closed) AND failed <= maxErrors",
            _NAMES,
            {**_holder_values(run.holder), ":one": 1, ":carrying": CARRYING_OUT},
        )
    except ConditionFailedError:
        return None
    return read_run(item)


def find_place(table: Table, run_id: str, subject: Subject) -> Place | None:
    """The place of a machine or a group in a run; None while its turn has not come."""
    item = table.get(place_key(run_id, subject))
    return Place.from_item(item) if item else None


def put_place(table: Table, run_id: str, place: Place, now: datetime) -> Place:
    """Write down that a machine's or a group's turn came. The place that stands, when it came before."""
    ttl = int((now + _KEPT).timestamp())
    item: Item = {**place_key(run_id, place.subject), "ttl": ttl, **place.to_item()}
    try:
        table.put(item, "attribute_not_exists(pk)", {}, {})
    except ConditionFailedError as refused:
        return Place.from_item(refused.found) if refused.found else place
    return place


def end_place(
    table: Table, run: Run, subject: Subject, end: PlaceEnd, now: datetime, members: Mapping[str, int] | None = None
) -> Place | None:
    """Write down what became of a machine or a group, once. Failures count against the run's budget in the same write.

    `members` says of a group how many of its members have each outcome: each that failed counts, and at least one.
    Returns the place as it is then; None for one that failed, or whose end was written down before.
    """
    told = {**end, "cause": cut_bytes(end["cause"], _MOST_CAUSE)}
    facts = {**told, **({"counts": members} if members else {}), "endedAt": to_text(now)}
    key, update = place_key(run.run_id, subject), "SET " + ", ".join(f"#{name} = :{name}" for name in facts)
    condition = "attribute_exists(pk) AND attribute_not_exists(outcome)"
    names, values = {f"#{name}": name for name in facts}, {f":{name}": value for name, value in facts.items()}
    try:
        if end["outcome"] != "failed":
            return Place.from_item(table.update(key, update, condition, names, values))
        failures = {":failures": max((members or {}).get("failed", 0), 1)}
        count = table.change(run_key(run.run_id), "ADD failed :failures", "attribute_exists(pk)", {}, failures)
        table.write_together([table.change(key, update, condition, names, values), count])
    except ConditionFailedError:
        pass
    return None


def note_image_of_place(
    table: Table, run_id: str, subject: Subject, label: str, image: MadeImage, verdict: str
) -> None:
    """Write down in a run how an image of one of its machines has ended, and the verdict that follows from it."""
    is_verdict = bool(verdict) and not isinstance(subject, Group)
    changes = ["images.#label = :image", *(["verdict = :verdict"] if is_verdict else [])]
    values = {":image": image, **({":verdict": verdict} if is_verdict else {})}
    try:
        table.update(
            place_key(run_id, subject),
            "SET " + ", ".join(changes),
            "attribute_exists(images)",
            {"#label": label},
            values,
        )
    except ConditionFailedError:
        return


def places_of_run(table: Table, run_id: str) -> list[Place]:
    """All machines of a run whose turn came. Of one whose place cannot be read, somebody has to look what became."""
    found = read_all(table.query(f"{RUNS}{run_id}", PLACES), Place.from_item)
    lost = [
        Place(
            read_subject(one.key["sk"].removeprefix(PLACES)),
            name="",
            outcome="failed",
            error=UnreadableItemError.__name__,
            cause=one.reason,
        )
        for one in found.unreadable
    ]
    return [*found.read, *lost]


def end_run(table: Table, run: Run, end: RecordedEnd) -> Run:
    """The run is over; from now on people may be told. The one that stands, when it was over before."""
    facts = {
        **end.to_item(),
        "phase": ENDED,
        "lookup": UNTOLD_RUNS,
        "ttl": int((end.at + _KEPT).timestamp()),
    }
    try:
        return update_run(table, run, facts, "phase <> :ended", {":ended": ENDED})
    except ConditionFailedError as refused:
        if refused.found is None:
            raise RunOverError(say("run.item_gone", run=run.run_id)) from refused
        return read_run(refused.found)


def mark_run_told(table: Table, run: Run, *, is_report_finished: bool) -> None:
    """Take a run that has ended out of the index of those that nobody was told of. One that is told already is fine.

    It stays in that of unfinished reports as long as an image is pending.
    """
    change, wanted = (
        ("REMOVE lookup", {}) if is_report_finished else ("SET lookup = :next", {":next": UNFINISHED_REPORTS})
    )
    try:
        table.update(
            run_key(run.run_id),
            change,
            "phase = :ended AND attribute_exists(lookup)",
            {},
            {":ended": ENDED, **wanted},
        )
    except ConditionFailedError:
        return
