"""What a rehearsal writes as JSON: the shapes of which the schema is made. Times are ISO 8601 with their offset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict


class FirstAndLast(TypedDict):
    """The power of a machine before and after everything."""

    first: str
    last: str


class BeforeAndAfter(TypedDict):
    """How many patches a machine missed."""

    before: int
    after: int


class RehearsedImage(TypedDict):
    """An image that was made of a machine."""

    imageId: str
    name: str
    state: str


class EnteredState(TypedDict):
    """A state that an execution entered, and when."""

    at: str
    state: str


class RehearsedExecution(TypedDict):
    """An execution about a machine. `stopped` is None for one that runs still."""

    name: str
    status: str
    started: str
    stopped: str | None
    error: str
    cause: str
    stateTransitions: int
    states: list[EnteredState]


class RehearsedMachine(TypedDict):
    """What became of a machine, by what is true of it, and `result`: by what Drydock has written down."""

    name: str
    instanceId: str
    platform: str
    power: FirstAndLast
    missingPatches: BeforeAndAfter
    run: str
    outcome: str
    verdict: str
    error: str
    cause: str
    minutesOutOfService: float | None
    images: list[RehearsedImage]
    interruptedInstalls: int
    lostMemory: bool
    givenBack: bool
    messages: int
    awsCalls: int
    stateTransitions: int
    asExpected: bool
    differences: list[str]
    executions: list[RehearsedExecution]
    result: Any


class RehearsedWave(TypedDict):
    """A wave of a run. What is None has not happened."""

    isCanary: bool
    planned: int
    began: str | None
    ended: str | None
    counts: dict[str, int]


class RehearsedAnswer(TypedDict):
    """What somebody has answered when asked for approval, and what the stack said to that."""

    at: str | None
    person: str
    does: str
    status: int
    said: str


class RehearsedRun(TypedDict):
    """A run: as it went, and its stored plan and report."""

    runId: str
    startedBy: str
    status: str
    started: str | None
    stopped: str | None
    outcome: str
    error: str
    counts: dict[str, int]
    waves: list[RehearsedWave]
    answers: list[RehearsedAnswer]
    messages: int
    stateTransitions: int
    asExpected: bool
    differences: list[str]
    plan: Mapping[str, Any]
    report: Mapping[str, Any]


class RehearsedOutage(TypedDict):
    """The time that a member of a group was out of service, and for what."""

    name: str
    left: str
    seconds: float
    waitedSeconds: dict[str, float]
    idleSeconds: float


class RehearsedSizes(TypedDict):
    """Min, desired and max of a group, before and after."""

    before: list[int]
    after: list[int]


class RehearsedGroup(TypedDict):
    """What became of a group."""

    name: str
    sizes: RehearsedSizes
    outcome: str
    error: str
    mostOut: int
    fewestHealthy: int | None
    members: dict[str, str]
    outages: list[RehearsedOutage]
    problems: list[str]
    asExpected: bool
    differences: list[str]


class RehearsedFault(TypedDict):
    """What the file lets go wrong, how often that struck, and when first."""

    what: str
    struck: int
    first: str | None


class RehearsedMessage(TypedDict):
    """A message that people would have got."""

    at: str
    topic: str
    subject: str
    body: str
    attributes: dict[str, str]
    reachesSomebody: bool


class RehearsedTotals(TypedDict):
    """What all of it took."""

    began: str
    ended: str
    virtualSeconds: float
    stateTransitions: int
    stateTransitionsPerMachine: float
    functionInvocations: int
    awsCalls: int
    awsCallsPerMachine: float
    awsCallsByOperation: dict[str, int]


class RehearsalDocument(TypedDict):
    """`drydock rehearse --json FILE`. All but `realSeconds` is the same for the same file and seed."""

    fleet: str
    description: str
    seed: int
    asExpected: bool
    differences: list[str]
    runs: list[RehearsedRun]
    machines: list[RehearsedMachine]
    groups: list[RehearsedGroup]
    faults: list[RehearsedFault]
    messages: list[RehearsedMessage]
    totals: RehearsedTotals
    realSeconds: float
