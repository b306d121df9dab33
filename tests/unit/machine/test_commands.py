"""Commands: sent once, found again after a death, and read by their purpose."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from drydock.errors import (
    CommandCancelledError,
    CommandNotDeliveredError,
    CommandNotReadyError,
    CommandTimedOutError,
    HealthCheckFailedError,
    HookFailedError,
    InstanceNotFoundError,
    InstanceStoppedError,
    InstanceTerminatedError,
    LeaseLostError,
    ProbeFailedError,
    ServiceUnavailableError,
)
from drydock.machine.commands import Command, begin_command, look_at_command
from drydock.records.waits import Wait, Work
from tests.unit.fakes import START, FunctionDiedError
from tests.unit.world import HOLDER, INSTANCE, SUBJECT, World, hold_as

INSTALL = Command("install", "install", "AWS-RunPatchBaseline", {"Operation": "Install"}, {"kept": "fact"})
DEADLINE = START + timedelta(hours=1)


def send(world: World, command: Command = INSTALL) -> Work:
    """One function of the step: sends, and files its wait."""
    step = world.step("Install Patches")
    work = begin_command(world.services, step, command)
    wait = Wait(INSTANCE, step.token, step.sequence, work.kind, work.resource, DEADLINE, work.facts)
    hold_as(world.table, HOLDER, SUBJECT).file(wait, work)
    return work


def test_a_command_is_sent_with_a_comment_of_its_own_and_its_id_is_kept(world: World) -> None:
    world.hold()

    work = send(world)

    command = world.command
    assert (command.document, command.parameters) == ("AWS-RunPatchBaseline", {"Operation": "Install"})
    assert command.comment.startswith("drydock: Install Patches ") and len(command.comment) <= 100
    assert command.log_prefix == f"drydock/{INSTANCE}/night-1"
    assert world.intents["install"] == work.resource == command.command_id
    assert work.facts["kept"] == "fact"
    assert work.facts["logKey"] == f"drydock/{INSTANCE}/night-1/{command.command_id}/{INSTANCE}/"


def test_a_long_state_name_leaves_room_for_the_mark(world: World) -> None:
    world.hold()

    begin_command(world.services, world.step("S" * 80), INSTALL)

    assert len(world.command.comment) <= 100
    assert world.command.comment.endswith(world.step().holder.mark("install"))


def test_sending_twice_is_sending_once(world: World) -> None:
    world.hold()

    first, second = send(world), send(world)

    assert len(world.ssm.sent) == 1
    assert (first.resource, first.facts, first.begun) == (second.resource, second.facts, second.begun)
    assert (first.may_be_over, second.may_be_over) == (False, True)


def test_a_function_that_dies_after_sending_does_not_make_the_next_one_send_again(world: World) -> None:
    world.hold()
    world.ssm.faults.after["send_command"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        send(world)
    assert world.intents["install"] == ""
    world.clock.move(minutes=1)

    work = send(world)

    assert work.resource == world.command.command_id
    assert world.intents["install"] == world.command.command_id
    assert work.begun == START


def test_while_it_cannot_be_told_whether_a_command_was_sent_nothing_is_sent(world: World) -> None:
    world.hold()
    world.ssm.faults.after["send_command"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        send(world)
    world.ssm.sent[0].is_visible = False
    world.clock.move(seconds=119)

    with pytest.raises(CommandNotReadyError):
        send(world)

    world.ssm.sent[0].is_visible = True
    assert send(world).resource == world.command.command_id


def test_a_command_that_was_announced_and_never_sent_is_sent_after_two_minutes(world: World) -> None:
    world.hold()
    world.ssm.faults.before["send_command"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        send(world)
    world.clock.move(seconds=60)
    with pytest.raises(CommandNotReadyError):
        send(world)
    assert world.ssm.sent == []

    world.clock.move(seconds=60)
    work = send(world)

    assert work.begun == START + timedelta(minutes=2)
    assert world.intents["install"] == world.command.command_id


def test_a_command_of_another_machine_or_intent_is_not_taken_for_this_one(world: World) -> None:
    world.hold()
    send(world)

    send(world, Command("scanAfter", "scan", "AWS-RunPatchBaseline", {"Operation": "Scan"}))

    assert len({command.comment for command in world.ssm.sent}) == 2


def test_without_the_lease_nothing_is_sent(world: World) -> None:
    with pytest.raises(LeaseLostError):
        send(world)

    assert world.ssm.sent == []


def a_wait(world: World, purpose: str = "install") -> Wait:
    world.hold()
    command = Command(purpose, purpose, "Some-Document", {}, {"operationEndedBefore": "then"})
    work = begin_command(world.services, world.step(), command)
    return Wait(INSTANCE, "token", "1", "command", work.resource, DEADLINE, work.facts)


def test_a_command_at_work_is_waited_for_until_the_deadline(world: World) -> None:
    wait = a_wait(world)
    world.clock.at = DEADLINE - timedelta(seconds=1)
    assert look_at_command(world.services, wait) is None

    world.clock.at = DEADLINE
    with pytest.raises(CommandTimedOutError, match="InProgress"):
        look_at_command(world.services, wait)


def test_a_command_that_is_not_seen_yet_is_waited_for(world: World) -> None:
    wait = a_wait(world)
    world.ssm.invocations.clear()

    assert look_at_command(world.services, wait) is None


@pytest.mark.parametrize(
    ("power", "error"),
    [
        ("stopping", InstanceStoppedError),
        ("stopped", InstanceStoppedError),
        ("shutting-down", InstanceTerminatedError),
        ("terminated", InstanceTerminatedError),
    ],
)
def test_a_machine_that_somebody_takes_away_ends_the_wait(world: World, power: str, error: type[Exception]) -> None:
    wait = a_wait(world)
    world.ec2.set_state(INSTANCE, power)

    with pytest.raises(error):
        look_at_command(world.services, wait)


def test_a_machine_that_ec2_has_forgotten_ends_the_wait(world: World) -> None:
    wait = a_wait(world)
    world.ec2.instances.clear()

    with pytest.raises(InstanceNotFoundError):
        look_at_command(world.services, wait)


def test_a_command_that_ended_counts_although_the_machine_was_stopped_since(world: World) -> None:
    wait = a_wait(world)
    world.ssm.end(world.command)
    world.ec2.set_state(INSTANCE, "stopped")

    assert look_at_command(world.services, wait) is not None


@pytest.mark.parametrize(
    ("status", "details", "error"),
    [
        ("Failed", "Undeliverable", CommandNotDeliveredError),
        ("TimedOut", "DeliveryTimedOut", CommandNotDeliveredError),
        ("TimedOut", "Delivery Timed Out", CommandNotDeliveredError),
        ("Failed", "Terminated", CommandNotDeliveredError),
        ("Failed", "Access Denied", CommandNotDeliveredError),
        ("Failed", "InvalidPlatform", CommandNotDeliveredError),
        ("Cancelled", "Cancelled", CommandCancelledError),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
@pytest.mark.parametrize("purpose", ["install", "scan", "probe", "hook", "health"])
def test_a_command_that_never_ran_ends_every_step(
    world: World, purpose: str, status: str, details: str, error: type[Exception]
) -> None:
    wait = a_wait(world, purpose)
    world.ssm.end(world.command, status, status_details=details)

    with pytest.raises(error):
        look_at_command(world.services, wait)


@pytest.mark.parametrize("details", ["ExecutionTimedOut", "Execution Timed Out"])
@pytest.mark.parametrize("purpose", ["install", "update"])
def test_an_installation_that_its_agent_has_cut_short_may_still_be_at_work(
    world: World, purpose: str, details: str
) -> None:
    wait = a_wait(world, purpose)
    world.ssm.end(world.command, "TimedOut", status_details=details)

    with pytest.raises(CommandTimedOutError, match="may still be at work"):
        look_at_command(world.services, wait)


@pytest.mark.parametrize("status", ["Success", "Failed", "TimedOut"])
@pytest.mark.parametrize("purpose", ["install", "scan"])
def test_the_status_of_an_installation_or_a_scan_is_reported_and_not_believed(
    world: World, purpose: str, status: str
) -> None:
    wait = a_wait(world, purpose)
    world.clock.move(minutes=10)
    world.ssm.end(world.command, status)

    output = look_at_command(world.services, wait)

    assert output is not None
    assert (output["status"], output["succeeded"]) == (status, status == "Success")
    assert output["endedAt"] == "2026-01-13T01:10:00.000Z"
    assert output.get("operationEndedBefore") == ("then" if purpose == "scan" else None)


@pytest.mark.parametrize(("purpose", "error"), [("hook", HookFailedError), ("health", HealthCheckFailedError)])
def test_a_hook_or_health_probe_that_fails_ends_its_step(world: World, purpose: str, error: type[Exception]) -> None:
    wait = a_wait(world, purpose)
    world.ssm.end(world.command, "Failed", response_code=7)

    with pytest.raises(error, match="exit code 7") as failed:
        look_at_command(world.services, wait)
    assert wait.facts["logKey"] in str(failed.value)


@pytest.mark.parametrize("purpose", ["hook", "health"])
def test_a_hook_or_health_probe_that_succeeds_is_evidence(world: World, purpose: str) -> None:
    wait = a_wait(world, purpose)
    world.ssm.end(world.command)

    output = look_at_command(world.services, wait)

    assert output is not None and output["commandId"] == wait.resource


PROBED = {
    "bootId": "boot-1",
    "agentVersion": "3.3",
    "reboot": "needed",
    "rebootReasons": [],
    "installing": True,
    "installer": "dnf (812) holds /var/lib/rpm/.rpm.lock",
}


@pytest.mark.parametrize(
    ("purpose", "said", "expected"),
    [
        ("probe", json.dumps(PROBED), PROBED),
        ("probe", "a banner\n" + json.dumps({**PROBED, "more": 1}) + "\r\n", PROBED),
        ("probe", json.dumps(PROBED) + "\n----------ERROR-------\n{ a warning }", PROBED),
        ("probe", json.dumps(PROBED) + "\nneeds-restarting: a warning", PROBED),
        ("probe", json.dumps({**PROBED, "agentVersion": 3.3}), {**PROBED, "agentVersion": "3.3"}),
        ("probe", json.dumps(PROBED), {"cloudWatchAgentVersion": ""}),
        ("probe", json.dumps({**PROBED, "cloudWatchAgentVersion": "1.3"}), {"cloudWatchAgentVersion": "1.3"}),
        ("search", '{"missingCount": 1, "missing": ["KB1"]}', {"missingCount": 1, "missing": ["KB1"]}),
    ],
    ids=[
        "probe",
        "with a banner",
        "with standard error",
        "with a last word",
        "with a number",
        "no CloudWatch Agent",
        "CloudWatch Agent",
        "search",
    ],
)
def test_what_a_machine_says_of_itself_is_read_from_its_last_line_of_json(
    world: World, purpose: str, said: str, expected: dict[str, Any]
) -> None:
    wait = a_wait(world, purpose)
    world.ssm.end(world.command, output=said)

    output = look_at_command(world.services, wait)

    assert output is not None
    assert {key: output[key] for key in expected} == expected


@pytest.mark.parametrize("said", ["", "\n", "%%garbage", "[]", "null", "5", '"text"', '{"bootId": "x"}', "{" * 3])
def test_what_cannot_be_read_fails_the_probe(world: World, said: str) -> None:
    wait = a_wait(world, "probe")
    world.ssm.end(world.command, output=said)

    with pytest.raises(ProbeFailedError):
        look_at_command(world.services, wait)


def test_a_probe_that_failed_is_not_read(world: World) -> None:
    wait = a_wait(world, "probe")
    world.ssm.end(world.command, "Failed", output=json.dumps(PROBED))

    with pytest.raises(ProbeFailedError, match="ended as Failed"):
        look_at_command(world.services, wait)


@pytest.mark.parametrize(
    ("status", "said"),
    [("Failed", ""), ("Success", ""), ("Success", "%%garbage"), ("Success", '{"missingCount": "many"}')],
    ids=["failed", "nothing said", "garbage", "no number"],
)
def test_a_search_that_did_not_answer_has_found_nothing_out(world: World, status: str, said: str) -> None:
    wait = a_wait(world, "search")
    world.ssm.end(world.command, status, output=said)

    output = look_at_command(world.services, wait)

    assert output is not None
    assert (output["missingCount"], output["succeeded"]) == (-1, status == "Success")


def test_a_throttled_look_says_nothing_about_the_command(world: World) -> None:
    wait = a_wait(world)
    world.ssm.faults.before["find_invocation"] = ServiceUnavailableError("throttled")

    with pytest.raises(ServiceUnavailableError):
        look_at_command(world.services, wait)


def test_an_intent_of_another_kind_is_no_command(world: World) -> None:
    world.hold()
    hold_as(world.table, HOLDER, SUBJECT, world.clock()).claim("stop")

    send(world)

    assert set(world.intents) == {"tag", "stop", "install"}
