"""What a run may be made to wait for, or be stopped by: the change calendars and the alarms of an embedded account."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from botocore import xform_name
from moto.ssm.exceptions import InvalidDocument
from moto.ssm.models import ssm_backends

from rehearsal.engine.answers import Answer, AWSError, Parameters
from rehearsal.engine.bus import EventBus
from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.engine.clock import VirtualClock

AlarmState = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
Check = Callable[[Mapping[str, str]], bool]
"""Says whether a composite alarm's rule, or a part of it, holds when alarms are in the given states."""

_MOST_ALARMS = 100
_RULE_TOKEN = re.compile(
    r"""\s*(?:(?P<function>ALARM|OK|INSUFFICIENT_DATA)\s*
    \(\s*(?:"(?P<quoted>[^"]+)"|'(?P<single>[^']+)'|(?P<bare>[^()"'\s]+))\s*\)
    |(?P<operator>(?:AND|OR|NOT|TRUE|FALSE)\b|\(|\)))""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Calendar:
    """A change calendar: what it is by default, and the periods (from, to) in which it is the opposite."""

    kind: Literal["DEFAULT_OPEN", "DEFAULT_CLOSED"] = "DEFAULT_OPEN"
    periods: Sequence[tuple[datetime, datetime]] = ()
    supported: bool = True
    """False for a calendar whose entry Systems Manager cannot read."""

    def is_open(self, at: datetime) -> bool:
        """Say whether the calendar is open at an instant; a period ends before its end."""
        inside = any(start <= at < end for start, end in self.periods)
        return inside != (self.kind == "DEFAULT_OPEN")


class Gates:
    """The calls about calendars and alarms.

    `calendars` may be changed at any time; a calendar that is not in it does not exist.
    """

    def __init__(self, clock: VirtualClock, bus: EventBus) -> None:
        self.calendars: dict[str, Calendar] = {}
        self.alarms = Alarms(clock, bus)
        self._clock = clock

    def find_answer(self, service: str, operation: str) -> Answer | None:
        """Return what answers a call, or None for a call that is not about calendars or alarms."""
        name = xform_name(operation)
        if service == "ssm" and name == "get_calendar_state":
            return self.get_calendar_state
        if service == "cloudwatch" and "alarm" in name:
            answer: Answer | None = getattr(self.alarms, name, None)
            if answer is None:
                raise NotImplementedError(f"{operation} of CloudWatch is not simulated")
            return answer
        return None

    def get_calendar_state(self, parameters: Parameters) -> dict[str, Any]:
        """Serve GetCalendarState: open only if every calendar is."""
        calendars = [self._find_calendar(name) for name in parameters["CalendarNames"]]
        if not calendars:
            raise AWSError("ValidationException", "CalendarNames must have at least one member.")
        at = _read_time(parameters["AtTime"]) if parameters.get("AtTime") else self._clock.now()

        def all_open(at: datetime) -> bool:
            return all(calendar.is_open(at) for calendar in calendars)

        state = all_open(at)
        bounds = sorted({bound for calendar in calendars for period in calendar.periods for bound in period})
        change = next((bound for bound in bounds if bound > at and all_open(bound) != state), None)
        return {
            "State": "OPEN" if state else "CLOSED",
            "AtTime": _print_time(at),
            "NextTransitionTime": _print_time(change) if change else None,
        }

    def _find_calendar(self, name: str) -> Calendar:
        short = name.rpartition("document/")[2]
        calendar = self.calendars.get(short)
        if calendar is None:
            try:
                ssm_backends[ACCOUNT][REGION]._get_documents(short)
            except InvalidDocument as error:
                raise AWSError("InvalidDocument", f"Document with name {short} does not exist.") from error
            raise AWSError("InvalidDocumentType", f"The document {short} is not a ChangeCalendar.")
        if not calendar.supported:
            raise AWSError("UnsupportedCalendarException", f"The calendar entry of {short} is not supported.")
        return calendar


@dataclass
class Alarm:
    """A metric alarm, or a composite one when it has a rule, as it was put and as it is now."""

    settings: Mapping[str, Any]
    rule: Check | None
    configured: datetime
    updated: datetime
    changed: datetime
    state: AlarmState = "INSUFFICIENT_DATA"
    reason: str = "Unchecked: Initial alarm creation"

    @property
    def name(self) -> str:
        """Return the name of the alarm."""
        return str(self.settings["AlarmName"])

    @property
    def arn(self) -> str:
        """Return the ARN of the alarm."""
        return f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{self.name}"


class Alarms:
    """The alarms of CloudWatch, without metrics: their states are set. Their actions are not carried out.

    Each change of a state is an event on the bus. A composite alarm follows the alarms of its rule at once.
    """

    def __init__(self, clock: VirtualClock, bus: EventBus) -> None:
        self._clock = clock
        self._bus = bus
        self._alarms: dict[str, Alarm] = {}

    def set_state(
        self, name: str, state: AlarmState, at: datetime | None = None, reason: str = "set by the rehearsal"
    ) -> None:
        """Change the state of an alarm now, or at an instant that does not keep a run going; raises KeyError."""
        alarm = self._alarms[name]
        if at is None:
            self._change(alarm, state, reason)
            self._follow()
        else:
            self._clock.call_at(at, lambda: self.set_state(name, state, None, reason), background=True)

    def state(self, name: str) -> AlarmState:
        """Return the state of an alarm; raises KeyError when there is none of that name."""
        return self._alarms[name].state

    def put_metric_alarm(self, parameters: Parameters) -> dict[str, Any]:
        """Serve PutMetricAlarm."""
        self._put(parameters, None)
        return {}

    def put_composite_alarm(self, parameters: Parameters) -> dict[str, Any]:
        """Serve PutCompositeAlarm."""
        rule, names = read_rule(parameters["AlarmRule"])
        unknown = sorted(names - set(self._alarms))
        if unknown:
            raise AWSError("ValidationError", f"AlarmRule refers to alarms that do not exist: {', '.join(unknown)}")
        self._put(parameters, rule)
        self._follow()
        return {}

    def set_alarm_state(self, parameters: Parameters) -> dict[str, Any]:
        """Serve SetAlarmState."""
        name = parameters["AlarmName"]
        if name not in self._alarms:
            raise AWSError("ResourceNotFound", f"Alarm {name} does not exist.")
        self.set_state(name, parameters["StateValue"], reason=parameters["StateReason"])
        return {}

    def delete_alarms(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DeleteAlarms: all or none."""
        names: Sequence[str] = parameters["AlarmNames"]
        unknown = sorted(set(names) - set(self._alarms))
        if unknown:
            raise AWSError("ResourceNotFound", f"Alarms do not exist: {', '.join(unknown)}")
        for name in names:
            del self._alarms[name]
        self._follow()
        return {}

    def describe_alarms(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeAlarms: metric alarms only unless others are asked for; unknown names are left out."""
        for name in ("ChildrenOfAlarmName", "ParentsOfAlarmName"):
            if name in parameters:
                raise NotImplementedError(f"DescribeAlarms with {name} is not simulated")
        names, prefix = parameters.get("AlarmNames", []), parameters.get("AlarmNamePrefix")
        if names and prefix:
            raise AWSError("ValidationError", "AlarmNames and AlarmNamePrefix exclude each other.")
        if len(names) > _MOST_ALARMS:
            raise AWSError("ValidationError", f"AlarmNames must have at most {_MOST_ALARMS} members.")
        kinds = parameters.get("AlarmTypes") or ["MetricAlarm"]
        found = [
            alarm
            for name, alarm in sorted(self._alarms.items())
            if (not names or name in names)
            and name.startswith(prefix or "")
            and parameters.get("StateValue") in (None, alarm.state)
            and _has_action(alarm, parameters.get("ActionPrefix"))
            and ("CompositeAlarm" if alarm.rule else "MetricAlarm") in kinds
        ]
        start = int(parameters.get("NextToken") or 0)
        end = start + int(parameters.get("MaxRecords") or _MOST_ALARMS)
        page = found[start:end]
        return {
            "MetricAlarms": [_describe(alarm) for alarm in page if not alarm.rule],
            "CompositeAlarms": [_describe(alarm) for alarm in page if alarm.rule],
            "LogAlarms": [] if "LogAlarm" in kinds else None,
            "NextToken": str(end) if end < len(found) else None,
        }

    def _put(self, parameters: Parameters, rule: Check | None) -> None:
        now = self._clock.now()
        earlier = self._alarms.get(parameters["AlarmName"])
        if earlier is not None and (earlier.rule is None) != (rule is None):
            raise AWSError("ValidationError", f"{earlier.name} is an alarm of another type.")
        settings = {key: value for key, value in parameters.items() if key != "Tags"}
        if "Threshold" in settings:
            settings["Threshold"] = float(settings["Threshold"])
        alarm = Alarm(settings, rule, configured=now, updated=now, changed=now)
        if earlier is not None:
            alarm.state, alarm.reason = earlier.state, earlier.reason
            alarm.updated, alarm.changed = earlier.updated, earlier.changed
        self._alarms[alarm.name] = alarm

    def _follow(self) -> None:
        """Let the composite alarms follow the others; one may be part of the rule of the next."""
        composite = [alarm for alarm in self._alarms.values() if alarm.rule is not None]
        for _ in composite:
            for alarm in composite:
                assert alarm.rule is not None
                states = {other.name: other.state for other in self._alarms.values()}
                state: AlarmState = "ALARM" if alarm.rule(states) else "OK"
                if state != alarm.state:
                    self._change(alarm, state, f"the rule of the alarm says {state}")

    def _change(self, alarm: Alarm, state: AlarmState, reason: str) -> None:
        before = _describe_state(alarm.state, alarm.reason, alarm.changed)
        now = self._clock.now()
        is_new = state != alarm.state
        alarm.state, alarm.reason, alarm.updated = state, reason, now
        if is_new:
            alarm.changed = now
            detail = {
                "alarmName": alarm.name,
                "configuration": {"description": alarm.settings.get("AlarmDescription", "")},
                "previousState": before,
                "state": _describe_state(state, reason, now),
            }
            self._bus.put("aws.cloudwatch", "CloudWatch Alarm State Change", detail, [alarm.arn])


def read_rule(text: str) -> tuple[Check, set[str]]:
    """Return a composite alarm's rule, and the names of the alarms in it; raises AWSError for what is none.

    NOT binds closer than AND, and AND closer than OR.
    """
    tokens: list[str | tuple[str, str]] = []
    position = 0
    text = text.strip()
    while position < len(text):
        found = _RULE_TOKEN.match(text, position)
        if found is None:
            raise AWSError("ValidationError", f"AlarmRule is not understood at: {text[position:]}")
        name = found["quoted"] or found["single"] or found["bare"]
        tokens.append((found["function"], name.rpartition(":alarm:")[2]) if name else found["operator"])
        position = found.end()
    names = {token[1] for token in tokens if isinstance(token, tuple)}
    rule = _read_any(tokens)
    if tokens:
        raise AWSError("ValidationError", f"AlarmRule has something left over: {tokens[0]}")
    return rule, names


def _read_any(tokens: list[str | tuple[str, str]]) -> Check:
    parts = [_read_all(tokens)]
    while tokens and tokens[0] == "OR":
        tokens.pop(0)
        parts.append(_read_all(tokens))
    return lambda states: any(part(states) for part in parts)


def _read_all(tokens: list[str | tuple[str, str]]) -> Check:
    parts = [_read_one(tokens)]
    while tokens and tokens[0] == "AND":
        tokens.pop(0)
        parts.append(_read_one(tokens))
    return lambda states: all(part(states) for part in parts)


def _read_one(tokens: list[str | tuple[str, str]]) -> Check:
    token = tokens.pop(0) if tokens else "its end"
    if isinstance(token, tuple):
        state, name = token
        return lambda states: states.get(name) == state
    if token in ("TRUE", "FALSE"):
        return lambda states: token == "TRUE"
    if token == "NOT":
        part = _read_one(tokens)
        return lambda states: not part(states)
    if token == "(":
        inner = _read_any(tokens)
        if tokens and tokens.pop(0) == ")":
            return inner
    raise AWSError("ValidationError", f"AlarmRule is not understood at: {token}")


def _has_action(alarm: Alarm, prefix: str | None) -> bool:
    actions: Sequence[str] = alarm.settings.get("AlarmActions", [])
    return prefix is None or any(action.startswith(prefix) for action in actions)


def _describe(alarm: Alarm) -> dict[str, Any]:
    described: dict[str, Any] = {
        "ActionsEnabled": True,
        "AlarmActions": [],
        "OKActions": [],
        "InsufficientDataActions": [],
        **alarm.settings,
    }
    if alarm.rule is None:
        described.setdefault("Dimensions", [])
    return {
        **described,
        "AlarmArn": alarm.arn,
        "AlarmConfigurationUpdatedTimestamp": alarm.configured,
        "StateValue": alarm.state,
        "StateReason": alarm.reason,
        "StateUpdatedTimestamp": alarm.updated,
        "StateTransitionedTimestamp": alarm.changed,
    }


def _describe_state(state: str, reason: str, at: datetime) -> dict[str, str]:
    return {
        "value": state,
        "reason": reason,
        "reasonData": json.dumps({}),
        "timestamp": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
    }


def _read_time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise AWSError("ValidationException", f"AtTime is not an ISO 8601 time: {text}") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _print_time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
