"""What the verbs print with --json: the shapes of their documents, of which the schemas are made.

Times are UTC, ISO 8601, and empty where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from drydock.approval.approvals import DecisionItem
from drydock.errors import Failure
from drydock.plan.plans import Plan
from drydock.records.results import RestoredRoot
from drydock.run.reports import Report
from drydock.telling.details import Details


class ErrorFacts(TypedDict):
    """Why a command could not do what it was asked for, a line for each mistake, and its exit code."""

    messages: list[str]
    exitCode: int


class ErrorDocument(TypedDict):
    """What is printed instead of any other document when a command could not do what it was asked for."""

    error: ErrorFacts


class RunFacts(TypedDict):
    """A run in a list. `state` is its outcome once it has ended, or `waiting`, `planning`, `stopping`, `in_work`.

    `waitsForMe` says that the caller is an approver who may still decide about it until `until`; `isWaiting` that
    anybody may. `counts` holds how many machines have which outcome, once it has ended.
    """

    runId: str
    state: str
    phase: str
    operation: str
    startedAt: str
    endedAt: str
    startedBy: str
    window: dict[str, Any]
    planned: int
    begun: int
    failed: int
    counts: dict[str, int]
    isPlanOnly: bool
    carriedOutBy: str
    isWaiting: bool
    waitsForMe: bool
    until: str


class ListDocument(TypedDict):
    """`drydock list`. `olderThan` is what the next page is asked for with; empty on the last."""

    runs: list[RunFacts]
    unreadable: list[str]
    olderThan: str


class MessageFacts(TypedDict):
    """A message that people got: when, about what of the execution, and its subject."""

    at: str
    cause: str
    subject: str


class WaitFacts(TypedDict):
    """What an execution waits for: `kind` (command, image, start, stop, …), the id of that, and until when."""

    kind: str
    resource: str
    until: str


class LeaseFacts(TypedDict):
    """Who has a machine or a group in work, since when, and what is done now.

    `step` is the newest change that was announced and `doing` the same in words; `expectedSeconds` is how long that
    usually takes, 0 where nobody knows.
    """

    subject: str
    name: str
    execution: str
    phase: str
    since: str
    step: str
    doing: str
    stepSince: str
    expectedSeconds: int
    wait: WaitFacts | None


class PlaceFacts(TypedDict):
    """The turn of a machine, or of a group with its members, in a run. `expectedSeconds` is what the plan expected."""

    instanceId: str
    name: str
    members: list[str]
    outcome: str
    verdict: str
    error: str
    cause: str
    admittedAt: str
    endedAt: str
    expectedSeconds: int
    execution: str


class WatchFacts(TypedDict):
    """An image that is followed until EC2 has finished it."""

    imageId: str
    instanceId: str
    name: str
    moment: str
    askedAt: str
    deadline: str
    runId: str


class OwedFacts(TypedDict):
    """A reboot that a machine owes, since when, and why it needs it."""

    instanceId: str
    since: str
    reasons: list[str]


class ApprovalFacts(TypedDict):
    """Who was asked about which plan, until when, and what they said. What lets somebody decide is left out."""

    hash: str
    askedAt: str
    until: str
    decision: str
    decidedAt: str
    decisions: list[DecisionItem]


class ShownRun(TypedDict):
    """`drydock show RUN`. `plan` and `report` are the stored ones, None where there is none (any more).

    `closed` says why no machine begins any more. Messages are those about the run itself, and about its machines that
    failed.
    """

    kind: str
    run: RunFacts
    targets: list[Any]
    closed: dict[str, str] | None
    failure: Failure | None
    approval: ApprovalFacts | None
    machines: list[PlaceFacts]
    leases: list[LeaseFacts]
    imageWatches: list[WatchFacts]
    owedReboots: list[OwedFacts]
    messages: list[MessageFacts]
    links: dict[str, str]
    plan: Plan | None
    report: Report | None


class ResultFacts(TypedDict):
    """What became of a machine or a group in one execution. `members` has the outcome of each member of a group."""

    startedAt: str
    endedAt: str
    runId: str
    execution: str
    operation: str
    outcome: str
    verdict: str
    error: str
    cause: str
    minutes: int
    details: Details | None
    members: dict[str, str]
    problems: list[str]


class PaceFacts(TypedDict):
    """What is remembered of a machine and one operation: when it succeeded last, and how many seconds it took."""

    doneAt: str
    seconds: list[int]
    failedAfter: int


class ShownMachine(TypedDict):
    """`drydock show MACHINE`. `state` is EC2's, `gone` where EC2 does not know it; `results` are the newest five."""

    kind: str
    instanceId: str
    name: str
    state: str
    platform: str
    groupName: str
    tags: dict[str, str]
    lease: LeaseFacts | None
    imageWatches: list[WatchFacts]
    owedReboots: list[OwedFacts]
    leftOverAt: str
    pace: dict[str, PaceFacts]
    results: list[ResultFacts]
    messages: list[MessageFacts]
    links: dict[str, str]


class ShownGroup(TypedDict):
    """`drydock show GROUP`. `results` are the newest five."""

    kind: str
    groupName: str
    lease: LeaseFacts | None
    members: list[LeaseFacts]
    results: list[ResultFacts]
    messages: list[MessageFacts]
    links: dict[str, str]


class HistoryDocument(TypedDict):
    """`drydock history`: what was done to a machine or a group in the last year, the newest first."""

    subject: str
    results: list[ResultFacts]
    unreadable: list[str]


class RefusedRun(TypedDict):
    """`drydock run` whose run was refused while it was planned."""

    runId: str
    executionArn: str
    outcome: str
    input: Mapping[str, Any]


class StartedRun(TypedDict):
    """`drydock run` without --watch: the run has begun. `input` is what the state machine was given."""

    runId: str
    executionArn: str
    console: str
    input: Mapping[str, Any]


class PlannedRun(TypedDict):
    """`drydock plan`. `plan` is the stored one, None where none could be made; it has a hash then."""

    runId: str
    executionArn: str
    outcome: str
    plan: Plan | None
    planHash: NotRequired[str]


class WatchedMachine(TypedDict):
    """The turn of a machine or a group in a run; what is None nobody has written down yet."""

    instanceId: str
    name: str | None
    outcome: str | None
    verdict: str | None
    error: str | None
    cause: str | None
    admittedAt: str | None
    endedAt: str | None
    execution: str | None
    members: NotRequired[list[str]]


class WatchedApproval(TypedDict):
    """Until when people could decide, and what they said."""

    until: str | None
    decision: str | None
    decidedAt: str | None
    decisions: list[DecisionItem] | None


class WatchedRun(TypedDict):
    """`drydock watch` and `drydock run --watch`: the run as it was when it ended, or with --once as it is."""

    runId: str
    phase: str
    outcome: str | None
    startedAt: str | None
    endedAt: str | None
    planned: int
    planHash: str | None
    closed: dict[str, str] | None
    failure: Failure | None
    approval: WatchedApproval | None
    counts: dict[str, int]
    inWork: int
    machines: list[WatchedMachine]
    leases: list[LeaseFacts]
    report: Report | None


class StoppedRun(TypedDict):
    """`drydock stop`. `stopped` is false where the run could not be stopped any more; `reason` says why."""

    runId: str
    stopped: bool
    reason: str


class UndoneMachine(TypedDict):
    """`drydock undo`. `outcome` is empty while nobody waits for the end; `restored` is what came of the root volume."""

    executionArn: str
    outcome: str
    restored: RestoredRoot | None
    input: Mapping[str, Any]


class DecidedRun(TypedDict):
    """`drydock approve` and `drydock reject`: what the stack made of the decision."""

    runId: str
    hash: str
    decision: str
    result: str
    by: str
    message: NotRequired[str]


class JudgedImage(TypedDict):
    """An image that the stack has made: its volumes in GiB, what is done to it (`keep` or another), and why."""

    imageId: str
    instanceId: str
    machine: str
    moment: str
    createdAt: str
    gib: int
    action: str
    reason: str


class ImagesDocument(TypedDict):
    """`drydock images`. `pruned` says whether it was done, or only shown."""

    policy: Mapping[str, Any]
    pruned: bool
    images: list[JudgedImage]


class Finding(TypedDict):
    """Something that a check has found, and the way out of it.

    `level` is `problem`, `unknown` for what could not be looked at, or `note`; `subject` is the machine or group that
    it is about, empty for the stack.
    """

    level: str
    subject: str
    name: str
    what: str
    way: str


class CheckDocument(TypedDict):
    """`drydock check`. `machines` is how many were looked at; `isWell` is false where something is to do."""

    stack: str
    region: str
    machines: int
    isWell: bool
    findings: list[Finding]


class InitDocument(TypedDict):
    """`drydock init`. `written` names the parameters and files that were changed; `deploy` is the file that deploys."""

    stack: str
    answers: dict[str, str]
    written: list[str]
    deploy: str


DOCUMENTS: Mapping[str, tuple[type, ...]] = {
    "plan": (PlannedRun,),
    "run": (StartedRun, RefusedRun, WatchedRun),
    "list": (ListDocument,),
    "show": (ShownRun, ShownMachine, ShownGroup),
    "watch": (WatchedRun,),
    "stop": (StoppedRun,),
    "approve": (DecidedRun,),
    "reject": (DecidedRun,),
    "history": (HistoryDocument,),
    "report": (Report,),
    "images": (ImagesDocument,),
    "undo": (UndoneMachine,),
    "check": (CheckDocument,),
    "init": (InitDocument,),
    "error": (ErrorDocument,),
}
"""What each verb may print, by its name; `error` is printed by any."""
