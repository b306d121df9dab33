"""alert_failure: each cause is told once, and not lost; what went well, too."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from drydock.aws.table import Table
from drydock.errors import AwsCallFailedError, ServiceUnavailableError
from drydock.records.holder import Holder
from drydock.records.results import put_result, untold_results
from drydock.records.runs import open_run
from drydock.subject import Instance
from drydock.times import to_text
from tests.unit.fakes import START, FunctionDiedError
from tests.unit.records.recorded import a_result, some_work
from tests.unit.world import EXECUTION, HOLDER, INSTANCE, OTHER_EXECUTION, SUBJECT, TOPIC, World, dynamodb, hold_as


def end(world: World, outcome: str = "failed", **facts: Any) -> None:
    """The execution has ended with this result."""
    put_result(world.table, a_result(outcome, ended=world.clock(), **facts))


def ended_event(status: str = "FAILED", **more: Any) -> dict[str, Any]:
    given = json.dumps({"instanceId": INSTANCE})
    began = int(START.timestamp() * 1000)
    detail = {
        "executionArn": EXECUTION,
        "status": status,
        "startDate": began,
        "stopDate": began + 3_600_000,
        "input": given,
        **more,
    }
    return {"detail-type": "Step Functions Execution Status Change", "detail": detail}


SWEPT = {"subject": INSTANCE, "execution": EXECUTION, "redriveCount": 0, "startedAt": to_text(START)}


def alert(world: World, event: dict[str, Any] | None = None) -> None:
    world.run("alert_failure", event or ended_event())


def announce(world: World) -> None:
    alert(world, SWEPT)


def subjects(world: World) -> list[str]:
    return [message["Subject"] for message in world.clients.published]


def attributes(world: World) -> dict[str, str]:
    (message,) = world.clients.published
    return {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}


def test_without_settings_people_are_told_through_the_topic_of_the_stack(world: World) -> None:
    end(world, "succeeded")

    announce(world)

    assert world.clients.published[0]["TopicArn"] == TOPIC


def test_a_success_is_told_once_to_the_topic_of_the_settings(world: World) -> None:
    world.ssm.parameters["/drydock/topic"] = "arn:aws:sns:ap-northeast-1:123456789012:drydock-results"
    end(world, "succeeded")

    announce(world)
    announce(world)

    assert subjects(world) == [f"Drydock: web-1 ({INSTANCE}) was patched"]
    assert world.clients.published[0]["TopicArn"] == "arn:aws:sns:ap-northeast-1:123456789012:drydock-results"
    assert attributes(world) == {"outcome": "succeeded", "kind": "machine", "urgency": "nothing"}


def test_a_success_that_was_announced_is_no_longer_untold(world: World) -> None:
    end(world, "succeeded")
    assert len(untold_results(world.table).read) == 1

    announce(world)

    assert untold_results(world.table).read == []


def test_a_message_of_which_nobody_can_note_that_it_was_sent_goes_out_three_times_at_most(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(world)
    update = Table.update

    def refuse_to_note(self: Table, key: Any, change: str, *arguments: Any) -> Any:
        if change.startswith("SET told = :yes"):
            raise AwsCallFailedError("denied")
        return update(self, key, change, *arguments)

    monkeypatch.setattr(Table, "update", refuse_to_note)
    for _ in range(3):
        with pytest.raises(AwsCallFailedError):
            alert(world, SWEPT)
        world.clock.move(minutes=2)

    for _ in range(3):
        alert(world, SWEPT)
        world.clock.move(minutes=2)

    assert len(subjects(world)) == 3
    assert untold_results(world.table).read == []


@pytest.mark.parametrize(
    "events",
    [
        [ended_event()],
        [ended_event(), ended_event()],
        [SWEPT],
        [SWEPT, ended_event()],
        [ended_event(), SWEPT, ended_event(), SWEPT],
    ],
    ids=["event", "event twice", "sweep", "sweep and a late event", "all of it twice"],
)
def test_a_failure_is_told_once_whoever_brings_it(world: World, events: list[dict[str, Any]]) -> None:
    end(world)

    for event in events:
        alert(world, event)

    assert subjects(world) == [f"Drydock, look tomorrow: web-1 ({INSTANCE}) is patched; no image could be made"]
    assert attributes(world) == {"outcome": "failed", "kind": "machine", "urgency": "tomorrow"}
    assert untold_results(world.table).read == []


@pytest.mark.parametrize("error", [ServiceUnavailableError("throttled"), AwsCallFailedError("denied")])
@pytest.mark.parametrize("minutes", [0, 1, 60])
def test_a_message_that_could_not_be_sent_is_sent_by_the_next_try(world: World, error: Exception, minutes: int) -> None:
    end(world)
    world.clients.faults.before["publish"] = error
    with pytest.raises(type(error)):
        alert(world)
    assert len(untold_results(world.table).read) == 1
    world.clock.move(minutes=minutes)

    alert(world)

    assert len(subjects(world)) == 1
    assert untold_results(world.table).read == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_function_that_dies_while_telling_loses_no_message(world: World, moment: str) -> None:
    end(world)
    getattr(world.clients.faults, moment)["publish"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        alert(world)
    with pytest.raises(ServiceUnavailableError):
        alert(world)
    assert len(untold_results(world.table).read) == 1, "nobody knows yet whether it was sent"
    world.clock.move(minutes=2)

    alert(world)

    assert subjects(world)
    assert untold_results(world.table).read == []


def test_a_success_that_could_not_be_announced_is_announced_by_the_retry(world: World) -> None:
    end(world, "succeeded")
    world.clients.faults.before["publish"] = ServiceUnavailableError("throttled")
    with pytest.raises(ServiceUnavailableError):
        announce(world)

    announce(world)

    assert len(subjects(world)) == 1


def test_a_function_that_dies_after_telling_does_not_tell_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    end(world)
    update = Table.update

    def die_at_the_last_call(self: Table, key: Any, change: str, *arguments: Any) -> Any:
        if change == "REMOVE lookup":
            monkeypatch.setattr(Table, "update", update)
            raise FunctionDiedError
        return update(self, key, change, *arguments)

    monkeypatch.setattr(Table, "update", die_at_the_last_call)
    with pytest.raises(FunctionDiedError):
        alert(world)

    alert(world, SWEPT)

    assert len(subjects(world)) == 1
    assert untold_results(world.table).read == []


@pytest.mark.parametrize("status", ["ABORTED", "TIMED_OUT"])
@pytest.mark.parametrize(
    ("power", "says"),
    [
        ("running", "It was stopped before; Drydock gives it back as soon as that is safe."),
        ("stopped", "Its power is as it was."),
    ],
)
def test_a_killed_execution_is_told_before_its_machine_is_given_back_and_not_again_after(
    world: World, status: str, power: str, says: str
) -> None:
    world.hold("stopped")
    world.ec2.set_state(INSTANCE, power)

    alert(world, ended_event(status))
    end(world)
    alert(world, SWEPT)

    (message,) = world.clients.published
    assert f"Error: {status}" in message["Message"]
    assert says in message["Message"]
    assert f"Power: {power} now" in message["Message"] and "At 2026-01-13 11:00" in message["Message"]
    assert untold_results(world.table).read == []


@pytest.mark.parametrize("event", [ended_event("ABORTED"), SWEPT], ids=["event", "sweep"])
def test_an_execution_that_was_stopped_when_all_was_done_is_told_as_a_success(
    world: World, event: dict[str, Any]
) -> None:
    end(world, "succeeded")

    alert(world, event)
    announce(world)

    assert subjects(world) == [f"Drydock: web-1 ({INSTANCE}) was patched"]
    assert attributes(world) == {"outcome": "succeeded", "kind": "machine", "urgency": "nothing"}


def test_while_the_release_may_still_be_at_work_nobody_is_told_that_it_failed(world: World) -> None:
    world.hold()
    hold_as(world.table, HOLDER, SUBJECT, world.clock()).claim("release")
    world.clock.move(seconds=74)
    with pytest.raises(ServiceUnavailableError, match="being released"):
        alert(world, ended_event("ABORTED"))
    assert world.clients.published == []

    world.clock.move(seconds=1)
    alert(world, ended_event("ABORTED"))

    assert subjects(world) == [f"Drydock, look tomorrow: web-1 ({INSTANCE}): somebody stopped its execution"]


def test_an_execution_whose_name_was_used_before_is_not_told_with_the_result_of_then(world: World) -> None:
    in_autumn = START - timedelta(days=91)
    put_result(world.table, a_result(started=in_autumn, ended=in_autumn))

    alert(world)

    assert len(subjects(world)) == 1 and "its execution ended early" in subjects(world)[0]


def test_what_was_told_is_forgotten_before_the_name_of_the_execution_can_come_back(world: World) -> None:
    end(world)
    alert(world)

    (mark,) = [
        item for item in dynamodb().scan(TableName=world.table.name)["Items"] if item["pk"]["S"].startswith("TOLD#")
    ]
    assert int(mark["ttl"]["N"]) < (world.clock() + timedelta(days=90)).timestamp()


def test_an_execution_that_was_killed_in_admission_touched_nothing(world: World) -> None:
    alert(world, ended_event("ABORTED"))

    (message,) = world.clients.published
    assert "Nothing was touched." in message["Message"]


def test_a_refusal_is_told_as_one(world: World) -> None:
    put_result(
        world.table,
        a_result("refused", failure={"error": "InstanceBusyError", "cause": "busy"}),
    )

    alert(world)

    assert subjects(world) == [f"Drydock, look tomorrow: web-1 ({INSTANCE}) was refused, and nothing was touched"]
    assert "Nothing was touched." in world.clients.published[0]["Message"]


def test_the_lease_of_another_execution_says_nothing_about_this_one(world: World) -> None:
    world.hold("stopped", holder=Holder(OTHER_EXECUTION, 0))

    alert(world, ended_event("ABORTED"))

    assert "gives it back" not in world.clients.published[0]["Message"]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"run_id": "", "notify": "summary"}, True),
        ({"run_id": "run-7", "notify": "summary"}, False),
        ({"run_id": "run-7", "notify": "failures"}, True),
        ({"run_id": "run-7", "notify": "each"}, True),
    ],
    ids=["by hand", "in a run with a summary", "in a run with failures", "in a run with each"],
)
@pytest.mark.parametrize("event", [ended_event(), SWEPT], ids=["event", "sweep"])
def test_inside_a_run_the_policy_says_whether_a_machine_is_told_itself(
    world: World, facts: dict[str, str], told: bool, event: dict[str, Any]
) -> None:
    if facts["run_id"]:
        begin_run(world, facts["run_id"])
    end(world, **facts)

    alert(world, event)

    assert bool(world.clients.published) is told
    assert untold_results(world.table).read == [], "the sweep shall not come back to it"


def begin_run(world: World, run_id: str) -> None:
    execution = f"arn:aws:states:ap-northeast-1:123456789012:execution:drydock-MaintenanceRun:{run_id}"
    open_run(world.table, Holder(execution, 0), START)


def test_a_failure_is_told_itself_when_there_is_no_run_that_would_tell_it(world: World) -> None:
    end(world, run_id="run-7", notify="summary")

    alert(world)

    assert len(world.clients.published) == 1


def test_the_run_is_an_attribute_to_filter_by(world: World) -> None:
    end(world, run_id="run-7")

    alert(world)

    assert attributes(world)["run"] == "run-7"


def test_an_event_without_its_input_is_told_without_the_machine(world: World) -> None:
    alert(world, ended_event("TIMED_OUT", input=None))

    (subject,) = subjects(world)
    assert "an unknown instance" in subject and "took longer than it may" in subject


def test_a_refusal_without_a_machine_is_told_once_and_done(world: World) -> None:
    nowhere = a_result("refused", subject=Instance(""))
    put_result(world.table, nowhere)

    alert(world, ended_event(input="{}"))
    alert(world, {**SWEPT, "subject": ""})

    assert len(subjects(world)) == 1
    assert untold_results(world.table).read == []


def test_a_machine_that_is_gone_can_be_told_of(world: World) -> None:
    world.ec2.instances.clear()
    end(world, work=some_work(power_after="gone"))

    alert(world)

    (message,) = world.clients.published
    assert "gone now" in message["Message"]


def test_a_redrive_that_fails_again_is_told_again(world: World) -> None:
    end(world)
    alert(world)

    put_result(world.table, a_result("failed", holder=Holder(EXECUTION, 1)))
    alert(world, ended_event(redriveCount=1))

    assert len(subjects(world)) == 2


def test_a_machine_that_cannot_be_given_back_is_told_beside_its_failure_and_once_each_day(world: World) -> None:
    world.hold("stopped")
    alert(world, ended_event("ABORTED"))

    for day in (0, 0, 1, 1):
        alert(world, {**SWEPT, "notGivenBack": "stop-protected", "mayInstall": False, "day": day})

    assert len(subjects(world)) == 3
    assert subjects(world)[1] == f"Drydock, act now: web-1 ({INSTANCE}) could not be given back yet"
