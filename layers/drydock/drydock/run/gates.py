"""Gates: whether a run may take one more machine out of service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import (
    AlarmRingingError,
    BudgetSpentError,
    CalendarClosedError,
    DeadlineReachedError,
    DrydockError,
    RunStoppedError,
    error_named,
)
from drydock.plan.estimates import correct, whole_minutes
from drydock.records.runs import Run
from drydock.request.policy import GatePolicy
from drydock.times import for_people

_NOTHING: Mapping[int, int] = {}


@dataclass(frozen=True)
class GateAnswer:
    """A closed gate. One that `closes_run` stays closed for all machines that are left."""

    reason: DrydockError
    closes_run: bool


def budget_spent(run: Run) -> BudgetSpentError:
    """The error of a run in which more have failed than its policy allows, with both numbers."""
    return BudgetSpentError(say("run.budget_spent", failed=run.failed, allowed=run.max_errors))


@dataclass(frozen=True)
class Forecast:
    """How long what asks to begin is expected to take until it is given back, and what that is known from."""

    seconds: int
    basis: str

    @classmethod
    def by_run(cls, run: Run, pace: str, seconds: int, basis: str, more: Mapping[int, int] = _NOTHING) -> Forecast:
        """What was planned, by what the run's machines of the same kind took, and `more` that are not counted yet."""
        taken = Counter(run.taken.get(pace, {})) + Counter(more)
        corrected = correct(seconds, taken)
        if corrected == seconds:
            return cls(seconds, basis)
        return cls(corrected, say("estimate.corrected", basis=basis, count=taken.total()))


def look_at_run(run: Run, forecast: Forecast | None, now: datetime, zone: str) -> GateAnswer | None:
    """What the run itself says: stopped, budget, deadline. Without a forecast, nothing asks to begin just now."""
    if run.closed is not None:
        why = error_named(run.closed["error"]) or RunStoppedError
        return GateAnswer(why(run.closed["reason"]), closes_run=True)
    if run.failed > run.max_errors:
        return GateAnswer(budget_spent(run), closes_run=True)
    if run.last_admission is not None and now >= run.last_admission:
        return GateAnswer(
            DeadlineReachedError(say("run.last_admission_over", moment=for_people(run.last_admission, zone))),
            closes_run=True,
        )
    if forecast is not None and run.end is not None and now + timedelta(seconds=forecast.seconds) > run.end:
        return GateAnswer(
            DeadlineReachedError(
                say(
                    "run.would_be_late",
                    minutes=whole_minutes(forecast.seconds),
                    basis=forecast.basis,
                    end=for_people(run.end, zone),
                )
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
    said = [say("alarm.rings", alarm=name) for name in ringing] + [say("alarm.unknown", alarm=name) for name in unknown]
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
            return CalendarClosedError(
                say("calendar.closed.until", calendars=gates["calendars"], until=until)
                if until
                else say("calendar.closed", calendars=gates["calendars"])
            )
    return None
