"""What became of a run: one outcome for every machine and every group, and one for the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypedDict

from drydock.errors import (
    ClusterNodeError,
    DrydockError,
    Failure,
    GroupWeightedError,
    InstanceHibernatedError,
    InstanceManagedByServiceError,
    InstanceNotFoundError,
    InstanceNotPatchableError,
    InstanceUnmanagedError,
    MachinesFailedError,
    MemberInReserveError,
    RollStoppedError,
    RunIncompleteError,
    RunLateError,
    RunStoppedError,
    error_named,
)
from drydock.plan.targets import LeftOut
from drydock.records.runs import Run
from drydock.telling.details import Details
from drydock.telling.failures import STOPPED

MACHINE_OUTCOMES = ("succeeded", "already_compliant", "failed", "busy", "gone", "skipped", "not_attempted")
RunOutcome = Literal[
    "succeeded",
    "failed",
    "late",
    "incomplete",
    "planned",
    "nothing_to_do",
    "rejected",
    "not_answered",
    "refused",
    "stopped",
]
SUCCESSES: Sequence[RunOutcome] = ("succeeded", "planned", "nothing_to_do")
"""The outcomes of a run with which its execution succeeds."""

VERDICTS_OF_THE_FLOW = (MachinesFailedError.__name__, RunIncompleteError.__name__, RunLateError.__name__)
"""What the flow ends with because of its machines: no failure of the run itself."""
_VERDICTS_OF_A_ROLL = (MachinesFailedError.__name__, RollStoppedError.__name__)
"""What a roll ends with because of its members."""


_FOR_PEOPLE = frozenset(
    one.__name__
    for one in (
        ClusterNodeError,
        GroupWeightedError,
        InstanceHibernatedError,
        InstanceManagedByServiceError,
        InstanceNotFoundError,
        InstanceNotPatchableError,
        InstanceUnmanagedError,
        MemberInReserveError,
    )
)
"""For what machines are left out of every plan until somebody mends it: nobody decided that, and it does not pass."""


def left_to_people(left_out: Iterable[LeftOut]) -> list[LeftOut]:
    """The machines that a plan leaves out for a reason that somebody has to mend."""
    return [one for one in left_out if one["error"] in _FOR_PEOPLE]


class MachineOutcome(TypedDict):
    """What became of one machine. `wave` is -1 for one that the plan does not name; seconds 0 when unknown.

    `expectedSeconds` is how long the plan expected it to take, for a member of a group its batch.

    `groupName` is that of the Auto Scaling group whose roll patched it; `execution` is then the roll's. `details` is
    None where nothing was done to it, or nothing is known of that.
    """

    instanceId: str
    name: str
    groupName: str
    wave: int
    isPlanned: bool
    outcome: str
    verdict: str
    error: str
    cause: str
    seconds: int
    expectedSeconds: int
    execution: str
    startedAt: str
    endedAt: str
    details: Details | None


class GroupOutcome(TypedDict):
    """What became of a group. `problems` is what of it is not as it was found; `endedAt` is empty while it is not."""

    groupName: str
    outcome: str
    error: str
    cause: str
    problems: list[str]
    execution: str
    endedAt: str


def count_outcomes(outcomes: Iterable[MachineOutcome]) -> dict[str, int]:
    """A count for every kind of outcome, zero included."""
    found = Counter(machine["outcome"] for machine in outcomes)
    return {outcome: found[outcome] for outcome in MACHINE_OUTCOMES}


def failed_groups(groups: Iterable[GroupOutcome]) -> list[GroupOutcome]:
    """Those whose roll failed by itself, and not because of its members."""
    return [group for group in groups if group["outcome"] == "failed" and group["error"] not in _VERDICTS_OF_A_ROLL]


@dataclass(frozen=True)
class Ending:
    """What the outcome of a run depends on."""

    counts: Mapping[str, int]
    """How many of its machines have each outcome, zero included."""
    a_roll_failed: bool
    """Whether the roll through a group failed by itself."""
    error: str
    """What the run itself ended with, the name of an error or a status; empty when it went its way."""
    closed_by: str
    """The name of the error for which no machine might begin any more; empty while there was none."""
    is_plan_only: bool
    is_late: bool
    """Whether a machine or a group was given back after the run had to end."""
    is_left_to_people: bool = False
    """Whether something of what the targets mean was left out for a reason that somebody has to mend."""

    @property
    def has_machines(self) -> bool:
        """Whether the run is about any machine at all, attempted or not."""
        return any(self.counts.values())

    @property
    def is_untouched(self) -> bool:
        """Whether all its machines are `not_attempted`; true also where there are none."""
        return not any(count for outcome, count in self.counts.items() if outcome != "not_attempted")

    @property
    def was_stopped(self) -> bool:
        """A run that fails for itself is closed as well; its own failure tells more than that."""
        return self.error in STOPPED or (self.closed_by == RunStoppedError.__name__ and not self.error)

    @property
    def untouched_as(self) -> str:
        """What its error says of a run that touched nothing; empty for one that did."""
        return (error_named(self.error) or DrydockError).ends_run_as if self.is_untouched else ""


class Row(NamedTuple):
    """A name for whoever reads the table, the condition, and the outcome."""

    name: str
    holds: Callable[[Ending], bool]
    outcome: RunOutcome


OUTCOMES_OF_RUNS: Sequence[Row] = (
    Row("stopped_with_machines_left", lambda end: end.was_stopped and end.counts["not_attempted"] > 0, "stopped"),
    Row("stopped_without_machines", lambda end: end.was_stopped and not end.has_machines, "stopped"),
    Row("killed_with_machines_in_work", lambda end: end.error == "ABORTED" and end.counts["failed"] > 0, "stopped"),
    Row("rejected", lambda end: end.untouched_as == "rejected", "rejected"),
    Row("not_answered", lambda end: end.untouched_as == "not_answered", "not_answered"),
    Row("refused", lambda end: end.untouched_as == "refused", "refused"),
    Row("machines_failed", lambda end: end.counts["failed"] > 0, "failed"),
    Row("a_roll_failed", lambda end: end.a_roll_failed, "failed"),
    Row("ended_early", lambda end: end.error not in ("", *STOPPED), "failed"),
    Row("back_late", lambda end: end.is_late, "late"),
    Row(
        "nothing_is_left_of_the_targets",
        lambda end: not end.has_machines and end.is_left_to_people and not end.is_plan_only,
        "incomplete",
    ),
    Row("no_machine_was_there", lambda end: not end.has_machines, "nothing_to_do"),
    Row("only_planned", lambda end: end.is_plan_only, "planned"),
    Row("none_was_done", lambda end: not end.counts["succeeded"] + end.counts["already_compliant"], "incomplete"),
    Row("some_were_left", lambda end: end.counts["not_attempted"] > 0, "incomplete"),
    Row("all_were_done", lambda end: True, "succeeded"),
)
"""What became of a run: the first row that holds says it."""


def outcome_of_run(
    outcomes: Sequence[MachineOutcome],
    run: Run,
    failure: Failure | None,
    groups: Sequence[GroupOutcome] = (),
    *,
    is_late: bool = False,
    is_left_to_people: bool = False,
) -> RunOutcome:
    """What became of the run."""
    error = failure["error"] if failure else ""
    ending = Ending(
        counts=count_outcomes(outcomes),
        a_roll_failed=bool(failed_groups(groups)),
        error="" if error in VERDICTS_OF_THE_FLOW else error,
        closed_by=run.closed["error"] if run.closed else "",
        is_plan_only=run.plan is not None and run.plan.is_only,
        is_late=is_late,
        is_left_to_people=is_left_to_people,
    )
    return next(row.outcome for row in OUTCOMES_OF_RUNS if row.holds(ending))
