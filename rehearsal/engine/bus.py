"""EventBridge of the embedded account: AWS's own events, the rules of the stack, their targets and schedules."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.core.exceptions import ServiceException
from moto.events.models import EventPattern, Rule, events_backends

from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.engine.clock import Timer, VirtualClock
from rehearsal.engine.repairs.copies import copy_json

Event = dict[str, Any]
Interceptor = Callable[[Event], "list[float] | None"]

RETRY_SECONDS = (30, 60, 120, 300, 600)
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class EventBus:
    """The default event bus.

    `deliver` knows how to reach a target: it takes the service of the target's ARN, the ARN and the payload as JSON,
    and raises ServiceException when the target refuses.
    """

    def __init__(
        self,
        clock: VirtualClock,
        chance: random.Random,
        make_uuid: Callable[[], str],
        deliver: Callable[[str, str, str], None],
    ) -> None:
        self.events: list[Event] = []
        self.interceptors: list[Interceptor] = []
        self.observers: list[Callable[[Event], None]] = []
        self._clock = clock
        self._chance = chance
        self._make_uuid = make_uuid
        self._deliver = deliver
        self._schedules: dict[str, Timer] = {}

    def put(self, source: str, detail_type: str, detail: dict[str, Any], resources: Sequence[str]) -> None:
        """Emit an event of AWS's own; the enabled rules of the stack get it a little later."""
        event: Event = {
            "version": "0",
            "id": self._make_uuid(),
            "detail-type": detail_type,
            "source": source,
            "account": ACCOUNT,
            "time": _print_time(self._clock.now()),
            "region": REGION,
            "resources": list(resources),
            "detail": copy_json(detail),
        }
        self.events.append(event)
        for observe in self.observers:
            observe(event)
        delays: list[float] = [0.0]
        for intercept in self.interceptors:
            changed = intercept(event)
            if changed is not None:
                delays = list(changed)
        for delay in delays:
            wait = delay + self._chance.uniform(0.2, 0.5)
            self._clock.call_later(wait, lambda: self._match(event))

    def start_schedules(self) -> None:
        """Let every enabled rule with a schedule fire on the virtual clock from now on."""
        self.stop_schedules()
        for rule in self._rules():
            if rule.scheduled_expression:
                self._plan(rule)

    def stop_schedules(self) -> None:
        """Let no rule with a schedule fire any more."""
        for timer in self._schedules.values():
            timer.cancel()
        self._schedules.clear()

    def _rules(self) -> list[Rule]:
        rules: list[Rule] = []
        for bus in events_backends[ACCOUNT][REGION].event_buses.values():
            rules.extend(rule for rule in bus.rules.values() if rule.state == "ENABLED")
        return rules

    def _match(self, event: Event) -> None:
        flat = EventPattern._flatten_dict(event)
        for rule in self._rules():
            pattern = rule.event_pattern
            wanted = pattern.get_pattern()
            # moto would flatten the event anew for each rule, and look at all of it for each.
            may = wanted and _is_of(event, wanted, "source") and _is_of(event, wanted, "detail-type")
            if may and pattern._does_event_match(flat, wanted):
                self._send_to_targets(rule, event)

    def _plan(self, rule: Rule) -> None:
        def fire() -> None:
            if rule in self._rules():
                self._plan(rule)
                event: Event = {
                    "version": "0",
                    "id": self._make_uuid(),
                    "detail-type": "Scheduled Event",
                    "source": "aws.events",
                    "account": ACCOUNT,
                    "time": _print_time(self._clock.now()),
                    "region": REGION,
                    "resources": [rule.arn],
                    "detail": {},
                }
                self._send_to_targets(rule, event)

        when = find_next_time(str(rule.scheduled_expression), self._clock.now())
        self._schedules[rule.arn] = self._clock.call_at(when, fire, background=True)

    def _send_to_targets(self, rule: Rule, event: Event) -> None:
        for target in rule.targets:
            payload = make_payload(target, event, rule)
            self._clock.spawn(lambda target=target, payload=payload: self._send(target, payload, 0), rule.name)  # type: ignore[misc]

    def _send(self, target: dict[str, Any], payload: str, attempt: int) -> None:
        policy = target.get("RetryPolicy") or {}
        try:
            self._deliver(target["Arn"].split(":")[2], target["Arn"], payload)
        except ServiceException as error:
            most = int(policy.get("MaximumRetryAttempts", 185))
            final = error.code in ("ResourceNotFoundException", "AccessDeniedException")
            if not final and attempt < min(most, len(RETRY_SECONDS)):
                wait = RETRY_SECONDS[attempt]
                self._clock.call_later(wait, lambda: self._send(target, payload, attempt + 1))
                return
            letters = (target.get("DeadLetterConfig") or {}).get("Arn")
            if letters:
                self._deliver("sqs", letters, payload)


def _is_of(event: Event, wanted: Mapping[str, Any], name: str) -> bool:
    """Whether an event may fit what a pattern says of one of its texts; what is more than a list of texts may."""
    texts = wanted.get(name)
    return texts is None or event[name] in texts or not all(isinstance(text, str) for text in texts)


def make_payload(target: dict[str, Any], event: Event, rule: Rule) -> str:
    """Return what a target gets for an event, as JSON text."""
    if target.get("Input"):
        return str(target["Input"])
    if target.get("InputPath"):
        return json.dumps(_extract(target["InputPath"], event))
    transformer = target.get("InputTransformer")
    if not transformer:
        return json.dumps(event)
    values = {name: _extract(path, event) for name, path in (transformer.get("InputPathsMap") or {}).items()}
    values.update(
        {
            "aws.events.rule-arn": rule.arn,
            "aws.events.rule-name": rule.name,
            "aws.events.event.ingestion-time": event["time"],
            "aws.events.event": event,
            "aws.events.event.json": event,
        }
    )
    return fill_template(transformer["InputTemplate"], values)


def fill_template(template: str, values: dict[str, Any]) -> str:
    """Return an input template with its <variables> filled in, as EventBridge does.

    A string inside quotation marks is put in as it is, unescaped; outside them it becomes a JSON string.
    """
    filled: list[str] = []
    quoted = False
    for part in re.split(r"(<[A-Za-z0-9_.\-]+>)", template):
        name = part[1:-1]
        if not (part.startswith("<") and name in values):
            quoted ^= len(re.findall(r'(?<!\\)"', part)) % 2 == 1
            filled.append(part)
        elif quoted:
            value = values[name]
            text = "" if value is None else value if isinstance(value, str) else json.dumps(value).replace('"', '\\"')
            filled.append(text)
        else:
            filled.append('""' if values[name] is None else json.dumps(values[name]))
    text = "".join(filled)
    with suppress(ValueError):
        return json.dumps(json.loads(text))
    return json.dumps(text)


def _extract(path: str, event: Event) -> Any:
    value: Any = event
    for name, index in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path):
        try:
            value = value[int(index)] if index else value[name]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _print_time(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def find_next_time(expression: str, after: datetime) -> datetime:
    """Return when a rate() or cron() expression fires next after an instant; cron is in UTC."""
    rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    if rate:
        return after + timedelta(**{f"{rate[2]}s": int(rate[1])})
    cron = re.fullmatch(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)", expression)
    if not cron:
        raise ValueError(f"not a schedule expression: {expression}")
    minutes = _read_field(cron[1], range(60))
    hours = _read_field(cron[2], range(24))
    days = _read_field(cron[3], range(1, 32))
    months = _read_field(cron[4].upper(), range(1, 13), MONTHS, 1)
    weekdays = _read_field(cron[5].upper(), range(1, 8), WEEKDAYS, 1)
    day = after.astimezone(UTC)
    for offset in range(366 * 4):
        date = (day + timedelta(days=offset)).date()
        if date.month not in months or date.day not in days or date.isoweekday() % 7 + 1 not in weekdays:
            continue
        for hour in hours:
            for minute in minutes:
                when = datetime(date.year, date.month, date.day, hour, minute, tzinfo=UTC)
                if when > after:
                    return when
    raise ValueError(f"the schedule never fires: {expression}")


def _read_field(text: str, allowed: range, names: Sequence[str] = (), first: int = 0) -> list[int]:
    for index, name in enumerate(names):
        text = text.replace(name, str(index + first))
    values: set[int] = set()
    for part in text.split(","):
        bounds, _, step = part.partition("/")
        if bounds in ("*", "?"):
            low, high = allowed.start, allowed.stop - 1
        elif "-" in bounds:
            low, high = (int(bound) for bound in bounds.split("-"))
        else:
            low, high = int(bounds), (allowed.stop - 1 if step else int(bounds))
        values.update(range(low, high + 1, int(step or 1)))
    return sorted(values)
