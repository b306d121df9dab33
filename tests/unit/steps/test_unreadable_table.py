"""A table that this Drydock cannot work with: items of a newer one, or no table at all."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from drydock.aws.table import Key
from drydock.errors import AwsCallFailedError, NewerSchemaError
from drydock.records.holder import Holder
from drydock.records.leases import find_lease, lease_key
from drydock.records.results import put_result, result_key, untold_results
from drydock.records.runs import Place, open_run, place_key, put_place, run_key
from drydock.subject import Instance
from drydock.times import to_text
from tests.unit.fakes import START, patch_state
from tests.unit.records.recorded import a_result
from tests.unit.world import (
    ENVIRONMENT,
    EXECUTION,
    HOLDER,
    INSTANCE,
    OTHER_EXECUTION,
    SUBJECT,
    World,
    dynamodb,
    hold_as,
)

OTHER_INSTANCE = "i-0fedcba9876543210"
OTHER = Holder(OTHER_EXECUTION, 0)
RUN = Holder("arn:aws:states:ap-northeast-1:123456789012:execution:drydock-MaintenanceRun:night-1", 0)
OTHER_RUN = Holder("arn:aws:states:ap-northeast-1:123456789012:execution:drydock-MaintenanceRun:night-2", 0)


@dataclass(frozen=True)
class Case:
    function: str
    data: dict[str, Any] = field(default_factory=dict)
    power: str = "running"


STEPS = {
    "back up": Case("back_up", {"moment": "Before"}),
    "start": Case("start_instance", power="stopped"),
    "probe": Case("probe_instance", {"moment": "Before"}),
    "scan": Case("scan_patches", {"moment": "After"}),
    "hook": Case("run_hook", {"hook": "preInstall"}),
    "install": Case("install_patches", {"reboot": True}),
    "restore power": Case("restore_power", power="stopped"),
    "settle commands": Case("settle_commands"),
    "release": Case("release_instance", {"failure": {"error": "ImageFailedError", "cause": "x"}}),
}
EVENTS = {
    "give back": ("give_back", {"subject": INSTANCE}),
    "end of an execution": (
        "give_back",
        {"detail": {"executionArn": EXECUTION, "status": "ABORTED", "input": f'{{"instanceId": "{INSTANCE}"}}'}},
    ),
    "event of the instance": ("resume_waiting", {"detail-type": "x", "detail": {"instance-id": INSTANCE}}),
}
ITEM = {"instanceId": INSTANCE, "name": "web-1", "seconds": 60, "pace": "Linux, guess", "basis": "a guess"}
RUN_STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "plan": ("plan_run", {}),
    "ask": ("ask_for_approval", {}),
    "gates": ("check_gates", {}),
    "admit": ("admit_machine", {"runId": RUN.name, "item": ITEM}),
    "record": ("record_outcome", {"runId": RUN.name, "failure": None, "output": {"verdict": "compliant"}}),
    "summarise": ("summarise_run", {"failure": None}),
}
RUN_EVENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "stop": ("stop_run", {"runId": RUN.name, "reason": "enough"}),
    "give back": ("give_back", {"runId": RUN.name}),
    "end of an execution": (
        "give_back",
        {"detail": {"executionArn": RUN.execution, "status": "ABORTED", "startDate": START.timestamp() * 1000}},
    ),
    "dead run": ("summarise_run", {"runId": RUN.name}),
}
ALERT = {"subject": INSTANCE, "execution": EXECUTION, "redriveCount": 0, "startedAt": to_text(START)}


def raw(key: Key) -> dict[str, Any]:
    answer = dynamodb().get_item(
        TableName=ENVIRONMENT.table, Key={name: {"S": value} for name, value in key.items()}, ConsistentRead=True
    )
    item: dict[str, Any] = answer["Item"]
    return item


@pytest.fixture(autouse=True)
def approvals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the functions that ask for approval, or send links."""
    monkeypatch.setenv("APPROVAL_AUTH", "IAM")
    for name in ("APPROVALS_TOPIC", "APPROVAL_URL", "APPROVAL_KEY"):
        monkeypatch.setenv(name, "")


def make_newer(key: Key) -> dict[str, Any]:
    """A newer Drydock writes the item; returns it."""
    dynamodb().put_item(TableName=ENVIRONMENT.table, Item={**raw(key), "schema": {"N": "2"}})
    return raw(key)


def touched(world: World) -> list[str]:
    """The changing calls that were made, to whomever."""
    made = [*world.ec2.faults.made, *world.ssm.faults.made, *world.executions.faults.made, *world.clients.faults.made]
    return [call for call in made if call not in ("describe_instance", "parameter", "find_invocation")]


def hold(world: World, case: Case) -> dict[str, Any]:
    """The machine is in the middle of its execution; returns it as EC2 describes it."""
    world.set_policy(hooks={"preInstall": "LeaveCluster"})
    world.hold(case.power)
    world.ssm.patch_states[INSTANCE] = patch_state()
    return deepcopy(world.ec2.instances[INSTANCE])


@pytest.mark.parametrize("case", STEPS.values(), ids=STEPS)
def test_a_step_leaves_a_lease_of_a_newer_drydock_and_its_machine_alone(world: World, case: Case) -> None:
    instance = hold(world, case)
    before = make_newer(lease_key(SUBJECT))

    with pytest.raises(NewerSchemaError, match=f"INSTANCE#{INSTANCE} LEASE has schema 2"):
        world.run(case.function, world.event("A State", case.data))

    assert touched(world) == []
    assert world.ec2.instances[INSTANCE] == instance
    assert raw(lease_key(SUBJECT)) == before


@pytest.mark.parametrize(("function", "event"), EVENTS.values(), ids=EVENTS)
def test_an_event_leaves_a_lease_of_a_newer_drydock_and_its_machine_alone(
    world: World, function: str, event: dict[str, Any]
) -> None:
    world.hold("stopped")
    world.end_execution("ABORTED")
    world.clock.move(hours=1)
    before = make_newer(lease_key(SUBJECT))

    with pytest.raises(NewerSchemaError):
        world.run(function, event)

    assert touched(world) == []
    assert raw(lease_key(SUBJECT)) == before


@pytest.mark.parametrize("holder", [HOLDER, OTHER], ids=["of this execution", "of another"])
def test_a_machine_that_a_newer_drydock_holds_is_not_admitted(world: World, holder: Holder) -> None:
    world.hold(holder=holder)
    before = make_newer(lease_key(SUBJECT))

    with pytest.raises(NewerSchemaError):
        world.run("admit_instance", world.event("Admit Instance", given={"instanceId": INSTANCE}))

    assert touched(world) == []
    assert raw(lease_key(SUBJECT)) == before


def test_a_refusal_for_a_newer_lease_is_recorded_and_told_like_any_other(world: World) -> None:
    world.hold(holder=OTHER)
    before = make_newer(lease_key(SUBJECT))
    failure = {"error": "NewerSchemaError", "cause": "has schema 2"}

    world.run("release_instance", world.event("Release Instance", {"failure": failure}, machine={}, policy={}))
    world.run("alert_failure", ALERT)

    assert world.result is not None
    assert (world.result["outcome"], world.result["failure"]) == ("refused", failure)
    (message,) = world.clients.published
    assert "has schema 2" in message["Message"]
    assert raw(lease_key(SUBJECT)) == before


def test_an_end_in_the_middle_of_work_under_a_newer_lease_is_told_without_saying_that_nothing_was_touched(
    world: World,
) -> None:
    world.hold()
    before = make_newer(lease_key(SUBJECT))

    world.run("alert_failure", ALERT)

    (message,) = world.clients.published
    assert INSTANCE in message["Message"]
    assert "Nothing was touched" not in message["Message"]
    assert raw(lease_key(SUBJECT)) == before


def test_a_sweep_goes_on_past_items_of_a_newer_drydock(world: World) -> None:
    world.hold()
    make_newer(lease_key(SUBJECT))
    assert hold_as(world.table, OTHER, Instance(OTHER_INSTANCE), world.clock()).take(START) is None
    for holder in (HOLDER, OTHER):
        put_result(world.table, a_result("failed", holder=holder, ended=world.clock()))
    newer, older = sorted(untold_results(world.table).read, key=lambda result: result.holder.execution)
    make_newer(result_key(newer.subject, newer.holder, newer.started))
    world.end_execution("ABORTED")
    world.executions.statuses[OTHER_EXECUTION] = "FAILED"
    world.clock.move(minutes=10)

    for run in (RUN, OTHER_RUN):
        open_run(world.table, run, START)
        world.executions.statuses[run.execution] = "FAILED"
    make_newer(run_key(RUN.name))

    swept = world.run("give_back", {})
    assert {what: count for what, count in swept.items() if count} == {"suspects": 1, "untold": 1, "deadRuns": 1}

    whom = [event.get("subject") or event["runId"] for _, event in world.clients.invoked]
    assert [function.rsplit("-", 1)[-1] for function, _ in world.clients.invoked] == [
        "give_back",
        "give_back",
        "alert_failure",
    ]
    assert whom == [OTHER_RUN.name, OTHER_INSTANCE, INSTANCE]
    assert world.clients.invoked[2][1]["execution"] == older.holder.execution


def test_a_result_of_a_newer_drydock_is_neither_told_nor_marked(world: World) -> None:
    result = a_result("failed")
    put_result(world.table, result)
    before = make_newer(result.key)

    with pytest.raises(NewerSchemaError):
        world.run("alert_failure", ALERT)

    assert world.clients.published == []
    assert raw(result.key) == before


@pytest.mark.parametrize("case", STEPS.values(), ids=STEPS)
def test_without_its_table_a_step_touches_nothing_and_says_which_table_it_misses(world: World, case: Case) -> None:
    instance = hold(world, case)
    dynamodb().delete_table(TableName=ENVIRONMENT.table)

    with pytest.raises(AwsCallFailedError, match=ENVIRONMENT.table):
        world.run(case.function, world.event("A State", case.data))

    assert touched(world) == []
    assert world.ec2.instances[INSTANCE] == instance


@pytest.mark.parametrize(
    ("function", "event"),
    [*EVENTS.values(), *RUN_EVENTS.values(), ("give_back", {})],
    ids=[*EVENTS, *(f"run: {name}" for name in RUN_EVENTS), "sweep"],
)
def test_without_its_table_an_event_touches_nothing_and_says_which_table_it_misses(
    world: World, function: str, event: dict[str, Any]
) -> None:
    dynamodb().delete_table(TableName=ENVIRONMENT.table)

    with pytest.raises(AwsCallFailedError, match=ENVIRONMENT.table):
        world.run(function, event)

    assert touched(world) == []


@pytest.mark.parametrize(("function", "data"), RUN_STEPS.values(), ids=RUN_STEPS)
def test_a_step_leaves_a_run_of_a_newer_drydock_alone(world: World, function: str, data: dict[str, Any]) -> None:
    open_run(world.table, RUN, START)
    before = make_newer(run_key(RUN.name))

    with pytest.raises(NewerSchemaError, match=f"RUN#{RUN.name} RUN has schema 2"):
        world.run(function, world.event("A State", data, holder=RUN))

    assert touched(world) == []
    assert raw(run_key(RUN.name)) == before


@pytest.mark.parametrize(("function", "event"), RUN_EVENTS.values(), ids=RUN_EVENTS)
def test_an_event_leaves_a_run_of_a_newer_drydock_alone(world: World, function: str, event: dict[str, Any]) -> None:
    open_run(world.table, RUN, START)
    world.executions.statuses[RUN.execution] = "ABORTED"
    world.clock.move(hours=1)
    before = make_newer(run_key(RUN.name))

    with pytest.raises(NewerSchemaError):
        world.run(function, event)

    assert touched(world) == []
    assert world.clients.invoked == []
    assert raw(run_key(RUN.name)) == before


def test_a_machine_whose_place_in_a_run_a_newer_drydock_wrote_is_not_admitted_again(world: World) -> None:
    run = open_run(world.table, RUN, START)
    put_place(world.table, run.run_id, Place(SUBJECT, "web-1"), START)
    before = make_newer(place_key(run.run_id, SUBJECT))

    with pytest.raises(NewerSchemaError, match=f"MACHINE#{INSTANCE} has schema 2"):
        world.run("admit_machine", world.event("Admit Machine", RUN_STEPS["admit"][1], holder=RUN))

    assert raw(place_key(run.run_id, SUBJECT)) == before


@pytest.mark.parametrize(("function", "data"), RUN_STEPS.values(), ids=RUN_STEPS)
def test_without_its_table_a_step_of_a_run_says_which_table_it_misses(
    world: World, function: str, data: dict[str, Any]
) -> None:
    dynamodb().delete_table(TableName=ENVIRONMENT.table)

    with pytest.raises(AwsCallFailedError, match=ENVIRONMENT.table):
        world.run(function, world.event("A State", data, holder=RUN))

    assert touched(world) == []


def test_without_its_table_nothing_is_admitted(world: World) -> None:
    dynamodb().delete_table(TableName=ENVIRONMENT.table)

    with pytest.raises(AwsCallFailedError, match=ENVIRONMENT.table):
        world.run("admit_instance", world.event("Admit Instance", given={"instanceId": INSTANCE}))

    assert touched(world) == []


def test_a_lease_that_became_newer_meanwhile_is_not_taken_over(world: World) -> None:
    world.hold()
    lease = find_lease(world.table, SUBJECT)
    assert lease is not None
    before = make_newer(lease_key(SUBJECT))

    with pytest.raises(NewerSchemaError):
        hold_as(world.table, lease.holder, lease.subject, world.clock() + timedelta(hours=1)).begin_restoring(lease)

    assert raw(lease_key(SUBJECT)) == before
