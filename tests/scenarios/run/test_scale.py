from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from benchmarks.account import carry_out, main
from rehearsal.account import Observer
from rehearsal.engine.calls import Call, Interception
from rehearsal.engine.functions import Outcome
from rehearsal.proof.promises import MOST_EVENTS
from tests.faults.runs import NIGHT
from tests.scenarios.run.scenario import RunScenario, run_scenario

THROTTLED: Any = {"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}
MOST_DATA = 256 * 1024
"""Bytes that a state may hand on."""


@pytest.mark.prove
def test_a_run_of_many_machines_of_which_some_fail_keeps_its_promises() -> None:
    run = carry_out(160)

    assert run.broken == ()
    counts = {outcome: count for outcome, count in run.report["counts"].items() if count}
    assert counts == {"succeeded": 152, "failed": 8}
    assert (run.status, run.report["outcome"]) == ("FAILED", "failed")
    assert run.told == {"machine": 8, "run": 1}
    assert run.most_events < MOST_EVENTS
    # Four turns of fifty, of half an hour each.
    assert run.minutes < 150


def test_the_bench_carries_a_run_out_and_plans_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", "4"]) == 0
    assert main(["--plan", "30"]) == 0

    shown = capsys.readouterr().out
    assert "a run of 4 machines, 50 at a time: {'failed': 1, 'succeeded': 3}" in shown
    assert "a run of 30 machines" in shown


CROWD = 10_000
"""As many machines as a run may have."""

PAGE_OF_INSTANCES, PAGE_OF_AGENTS, PORTION, BATCH = 1_000, 50, 1_000, 25


def lease_of_nobody(number: int, now: datetime) -> dict[str, Any]:
    """A lease that nothing was touched under, and whose owner Step Functions does not know any more."""
    instance_id = f"i-{number:017x}"
    since = (now - timedelta(hours=1)).isoformat()
    item = {
        "pk": f"INSTANCE#{instance_id}",
        "sk": "LEASE",
        "lookup": f"LEASES#{number % 8}",
        "owner": f"arn:aws:states:ap-northeast-1:123456789012:execution:drydock-PatchInstance:old-{number}",
        "redriveCount": 0,
        "phase": "ADMITTING",
        "startedAt": since,
        "since": since,
        "phaseSince": since,
        "intents": {},
        "schema": 1,
    }
    return {key: TypeSerializer().serialize(value) for key, value in item.items()}


class Invocations(Observer):
    """Every invocation that is over, by function: what it failed with, or nothing."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, str]] = []

    def function_invoked(self, name: str, event: Any, outcome: Outcome) -> None:
        self.ends.append((name, json.loads(outcome.payload)["errorType"] if outcome.failed else ""))

    def of(self, name: str) -> list[str]:
        return [error for function, error in self.ends if function == name]


@dataclass
class Crowd:
    """Machines of which nothing is known yet, and what functions do about them."""

    scene: RunScenario

    def __post_init__(self) -> None:
        self.start_over()

    def start_over(self) -> None:
        """Count from here on."""
        self.invocations = Invocations()
        self.scene.account.observers[:] = [self.invocations]
        self._began = len(self.scene.account.calls.calls)

    def calls(self, function: str) -> Counter[str]:
        """How often a function made which call."""
        made = self.scene.account.calls.calls[self._began :]
        return Counter(call.operation for call in made if call.caller.name == function)


@pytest.fixture(scope="module")
def machines() -> Iterator[RunScenario]:
    with run_scenario() as scene:
        scene.machines("all", CROWD, missing=("openssl-3.0.8",))
        yield scene


@pytest.fixture
def crowd(machines: RunScenario) -> Crowd:
    return Crowd(machines)


@pytest.mark.prove
def test_ten_thousand_machines_are_planned_by_one_function_in_pages(crowd: Crowd) -> None:
    run = crowd.scene.run("all", {"maxConcurrency": "1%", "canary": {"count": 10}}, name=NIGHT, planOnly=True)

    calls = crowd.calls("plan_run")
    assert run.status == "SUCCEEDED"
    assert run.item["planned"] == CROWD
    assert [len(wave) for wave in run.waves] == [10, 9_990]
    assert crowd.invocations.of("plan_run") == [""]
    # Once, and a page of those whose tag is nearly the target's.
    assert calls["DescribeInstances"] == CROWD // PAGE_OF_INSTANCES + 1
    assert calls["DescribeInstanceInformation"] == CROWD // PAGE_OF_AGENTS
    # Instances, ten portions of agents, two waves and the plan.
    assert calls["PutObject"] == 1 + CROWD // PORTION + 3
    assert calls["GetObject"] == 1
    assert sum(calls.values()) < 300


@pytest.mark.prove
def test_a_plan_of_ten_thousand_goes_on_where_a_throttled_attempt_stopped(crowd: Crowd) -> None:
    answered = 0

    def throttle(call: Call) -> Interception | None:
        nonlocal answered
        if call.operation != "DescribeInstanceInformation":
            return None
        answered += 1
        return Interception(before=ClientError(THROTTLED, call.operation)) if answered == 130 else None

    crowd.scene.account.calls.interceptors.append(throttle)
    run = crowd.scene.run("all", {"maxConcurrency": "1%"}, name="throttled", planOnly=True)
    crowd.scene.account.calls.interceptors.remove(throttle)

    calls = crowd.calls("plan_run")
    whole = crowd.scene.run("all", {"maxConcurrency": "1%"}, name="whole", planOnly=True)
    assert crowd.invocations.of("plan_run") == ["ServiceUnavailableError", "", ""]
    assert calls["DescribeInstances"] == CROWD // PAGE_OF_INSTANCES + 1
    # What the first attempt had read of its last portion is read again.
    assert CROWD // PAGE_OF_AGENTS < calls["DescribeInstanceInformation"] < (CROWD + PORTION) // PAGE_OF_AGENTS + 5
    assert run.planned == whole.planned
    assert run.left_out == whole.left_out


@pytest.mark.prove
def test_a_plan_that_runs_into_its_time_out_is_finished_by_later_attempts(crowd: Crowd) -> None:
    function = crowd.scene.account.functions.functions["drydock-plan_run"]
    function.timeout = 50

    run = crowd.scene.run("all", {"maxConcurrency": "1%"}, name="short", planOnly=True)

    function.timeout = 300
    assert run.status == "SUCCEEDED"
    assert run.item["planned"] == CROWD
    ends = crowd.invocations.of("plan_run")
    assert len(ends) > 1
    assert ends == ["Sandbox.Timedout"] * (len(ends) - 1) + [""]


@pytest.mark.prove
def test_a_run_of_as_many_waves_as_there_may_be_is_planned_within_time_and_size(crowd: Crowd) -> None:
    run = crowd.scene.run("all", {"waveSize": "1%"}, name="many-waves", planOnly=True)

    planned = next(
        event["taskSucceededEventDetails"]["output"]
        for event in run.execution.events
        if "taskSucceededEventDetails" in event
    )
    assert len(run.waves) == 100
    assert crowd.invocations.of("plan_run") == [""]
    # Two variables hold the waves, and are assigned together.
    assert 2 * len(planned) < MOST_DATA


@pytest.mark.prove
def test_a_run_of_too_many_waves_is_refused_with_what_to_do(crowd: Crowd) -> None:
    run = crowd.scene.run("all", {"waveSize": 10}, name="too-many-waves", planOnly=True)

    assert (run.status, run.outcome) == ("FAILED", "refused")
    assert "waveSize" in run.summary.said


@pytest.mark.prove
def test_a_run_of_ten_thousand_machines_that_never_begin_is_reported_by_one_function(crowd: Crowd) -> None:
    run = crowd.scene.run("all", {"gates": {"alarms": ["unknown"]}}, name="closed")

    assert (run.status, run.outcome) == ("FAILED", "incomplete")
    assert len(run.report["machines"]) == run.report["counts"]["not_attempted"] == CROWD
    assert crowd.invocations.of("summarise_run") == [""]
    assert crowd.calls("summarise_run")["BatchWriteItem"] == CROWD // BATCH
    assert len(run.summary.body.encode()) < MOST_DATA


@pytest.mark.prove
def test_ten_thousand_stale_leases_are_handed_over_in_a_few_sweeps(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, table = crowd.scene.account, crowd.scene.stack.resource("StateTable")
    leases = [lease_of_nobody(number, account.clock.now()) for number in range(CROWD)]
    for first in range(0, CROWD, BATCH):
        puts = [{"PutRequest": {"Item": lease}} for lease in leases[first : first + BATCH]]
        account.client("dynamodb").batch_write_item(RequestItems={table: puts})
    handed: list[str] = []
    sweep = account.functions.invoke_later

    def give_back_at_once(name: str, payload: str, attempt: int = 0) -> None:
        instance_id = json.loads(payload).get("subject")
        if instance_id is None:
            sweep(name, payload, attempt)
            return
        handed.append(instance_id)
        key = {"pk": {"S": f"INSTANCE#{instance_id}"}, "sk": {"S": "LEASE"}}
        account.client("dynamodb").delete_item(TableName=table, Key=key)

    monkeypatch.setattr(account.functions, "invoke_later", give_back_at_once)
    crowd.start_over()
    while len(handed) < CROWD and len(crowd.invocations.of("give_back")) < 20:
        crowd.scene.run_for(2)

    sweeps = crowd.invocations.of("give_back")
    assert sorted(handed) == [f"i-{number:017x}" for number in range(CROWD)]
    # No sweep is cut off, and each does a good part.
    assert set(sweeps) == {""}
    assert 1 < len(sweeps) < 10
