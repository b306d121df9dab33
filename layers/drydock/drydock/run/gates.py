"""Gates: whether a run may take one more machine out of service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from drydock.aws.services import Services
from drydock.errors import (
    AlarmRingingError,
    BudgetSpentError,
    CalendarClosedError,
    DeadlineReachedError,
    DrydockError,
    RunStoppedError,
    error_named,
)
from drydock.records.runs import Run
from drydock.request.policy import GatePolicy
from drydock.times import for_people


@dataclass(frozen=True)
class GateAnswer:
    """A closed gate. One that `closes_run` stays closed for all machines that are left."""

    reason: DrydockError
    closes_run: bool


def budget_spent(run: Run) -> BudgetSpentError:
    """The error of a run in which more have failed than its policy allows, with both numbers."""
    return BudgetSpentError(f"{run.failed} failed, and the policy allows {run.max_errors} (maxErrors)")


def look_at_run(run: Run, seconds: int, now: datetime, zone: str) -> GateAnswer | None:
    """What the run itself says: stopped, budget, deadline. `seconds` is how long the machine is expected to take."""
    if run.closed is not None:
        why = error_named(run.closed["error"]) or RunStoppedError
        return GateAnswer(why(run.closed["reason"]), closes_run=True)
    if run.failed > run.max_errors:
        return GateAnswer(budget_spent(run), closes_run=True)
    if run.last_admission is not None and now >= run.last_admission:
        return GateAnswer(
            DeadlineReachedError(f"no machine may begin after {for_people(run.last_admission, zone)}"), closes_run=True
        )
    if run.end is not None and now + timedelta(seconds=seconds) > run.end:
        return GateAnswer(
            DeadlineReachedError(
                f"it takes about {max(round(seconds / 60), 1)} minutes, and the run has to end at "
                f"{for_people(run.end, zone)}"
            ),
            closes_run=False,
        )
    return None


def look_at_alarms(wanted: list[str], states: Mapping[str, str]) -> DrydockError | None:
    """An alarm that cannot be found protects nobody: it counts as ringing."""
    ringing = [name for name in wanted if states.get(name) == "ALARM"]
    unknown = [name for name in wanted if name not in states]
    if not ringing and not unknown:
        return None
    said = [f"alarm {name} is in ALARM" for name in ringing] + [f"there is no alarm {name}" for name in unknown]
    return AlarmRingingError("; ".join(said))


def look_outside(services: Services, gates: GatePolicy) -> DrydockError | None:
    """What alarms and calendars say, read now."""
    if gates["alarms"]:
        reason = look_at_alarms(gates["alarms"], services.cloudwatch.alarm_states(gates["alarms"]))
        if reason is not None:
            return reason
    if gates["calendars"]:
        try:
            state, until = services.ssm.calendar_state(gates["calendars"])
        except CalendarClosedError as closed:
            return closed
        if state != "OPEN":
            names = ", ".join(gates["calendars"])
            return CalendarClosedError(f"Change Calendar {names} is closed" + (f" until {until}" if until else ""))
    return None
