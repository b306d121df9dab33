"""EventBridge of the embedded account: patterns, targets, schedules, and events that are lost, doubled or late."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rehearsal.account import EmbeddedAccount, Observer
from rehearsal.engine.bus import fill_template, find_next_time
from rehearsal.engine.deployment import Stack
from rehearsal.engine.functions import Outcome

STOPPED = ("aws.ec2", "EC2 Instance State-change Notification", {"instance-id": "i-1", "state": "stopped"})


class Listener(Observer):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def function_invoked(self, name: str, event: Any, outcome: Outcome) -> None:
        self.heard.append(event)


@pytest.fixture
def listener(engine: EmbeddedAccount, engine_stack: Stack) -> Listener:
    heard = Listener()
    engine.observers.append(heard)
    return heard


def test_an_event_reaches_the_function_whose_rule_matches(engine: EmbeddedAccount, listener: Listener) -> None:
    engine.bus.put(*STOPPED, ["arn:aws:ec2:ap-northeast-1:123456789012:instance/i-1"])
    engine.bus.put(STOPPED[0], STOPPED[1], {"instance-id": "i-1", "state": "running"}, [])
    engine.run_until_quiet()
    (event,) = listener.heard
    assert event["detail"] == STOPPED[2]
    assert event["time"] == "2026-01-12T16:00:00Z"
    assert event["account"] == "123456789012"


@pytest.mark.parametrize(("delays", "times"), [([], []), ([0, 3], [0, 3]), ([600], [600])])
def test_events_can_be_lost_doubled_or_late(
    engine: EmbeddedAccount, listener: Listener, delays: list[float], times: list[float]
) -> None:
    engine.bus.interceptors.append(lambda event: delays)
    started = engine.clock.time()
    engine.bus.put(*STOPPED, [])
    engine.run_until_quiet()
    assert len(listener.heard) == len(times)
    if times:
        assert engine.clock.time() - started >= times[-1]


def test_a_disabled_rule_delivers_nothing(engine: EmbeddedAccount, listener: Listener) -> None:
    client = engine.client("events")
    for rule in client.list_rules()["Rules"]:
        client.disable_rule(Name=rule["Name"])
    engine.bus.put(*STOPPED, [])
    engine.run_until_quiet()
    assert listener.heard == []


def test_a_schedule_fires_in_virtual_time_without_keeping_the_account_busy(
    engine: EmbeddedAccount, listener: Listener
) -> None:
    engine.run_until_quiet()
    assert listener.heard == []
    engine.clock.run(lambda: len(listener.heard) == 4, background=True)
    assert listener.heard[0] == {"op": "sweep"}
    assert engine.clock.now() - datetime(2026, 1, 12, 16, tzinfo=UTC) >= timedelta(hours=1)


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("rate(15 minutes)", "2026-01-13T00:00:00", "2026-01-13T00:15:00"),
        ("rate(1 day)", "2026-01-13T00:00:00", "2026-01-14T00:00:00"),
        ("cron(30 23 ? * TUE *)", "2026-01-13T23:30:00", "2026-01-20T23:30:00"),
        ("cron(0/20 * * * ? *)", "2026-01-13T00:41:00", "2026-01-13T01:00:00"),
        ("cron(0 18 1 3,6 ? *)", "2026-01-13T00:41:00", "2026-03-01T18:00:00"),
    ],
)
def test_schedule_expressions(expression: str, after: str, expected: str) -> None:
    start = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert find_next_time(expression, start) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('{"id": "<id>", "all": <detail>}', {"id": "i-1", "all": {"a": "b"}}),
        ('{"id": <id>}', {"id": "i-1"}),
        ('"The instance <id> stopped"', "The instance i-1 stopped"),
        ('{"absent": "<absent>"}', {"absent": ""}),
    ],
)
def test_input_templates(template: str, expected: Any) -> None:
    values = {"id": "i-1", "detail": {"a": "b"}, "absent": None}
    assert json.loads(fill_template(template, values)) == expected
