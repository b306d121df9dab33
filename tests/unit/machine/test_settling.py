"""Settled: no command of Drydock, and nothing that one has begun, can be at work on the machine any more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from drydock.aws.ssm import Agent, Invocation
from drydock.errors import CommandNotDeliveredError, CommandsNotSettledError
from drydock.machine.commands import Command, begin_command
from drydock.machine.settling import (
    PROOF,
    SETTLE_LIMIT,
    Answer,
    CommandAtWork,
    Ending,
    Settlement,
    judge,
    judge_end,
    look_at_commands,
    look_at_settled_commands,
)
from drydock.records.leases import Intent
from drydock.records.waits import Wait
from tests.unit.fakes import START, FunctionDiedError, SentCommand, agent
from tests.unit.world import HOLDER, INSTANCE, SUBJECT, World, hold_as


def send(world: World, intent: str = "install", purpose: str = "install") -> SentCommand:
    step = world.step("Install Patches")
    work = begin_command(world.services, step, Command(intent, purpose, "AWS-RunPatchBaseline", {}))
    wait = Wait(INSTANCE, step.token, step.sequence, "command", work.resource, START, work.facts)
    hold_as(world.table, HOLDER, SUBJECT).file(wait, work)
    return world.ssm.sent[-1]


def look(world: World) -> Settlement:
    assert world.lease is not None
    return look_at_commands(world.services, world.lease)


def test_where_no_command_was_sent_all_is_settled(world: World) -> None:
    world.hold()
    hold_as(world.table, HOLDER, SUBJECT, world.clock()).claim("stop")

    assert look(world).is_settled


def test_a_command_at_work_is_not_settled_and_is_named(world: World) -> None:
    world.hold()
    command = send(world)

    settlement = look(world)

    assert settlement.at_work == (CommandAtWork("install", command.command_id, False),)
    assert not settlement.is_settled
    assert command.command_id in str(settlement)


@pytest.mark.parametrize("purpose", ["install", "update"])
@pytest.mark.parametrize("status", ["Success", "Failed"])
def test_an_installation_that_ended_by_itself_is_settled(world: World, purpose: str, status: str) -> None:
    world.hold()
    world.ssm.end(send(world, purpose=purpose), status)

    assert look(world).is_settled


@pytest.mark.parametrize("purpose", ["hook", "health", "probe", "scan", "search"])
@pytest.mark.parametrize("status", ["Success", "Failed", "TimedOut", "Cancelled"])
def test_a_command_that_installs_nothing_is_settled_once_it_is_over(world: World, purpose: str, status: str) -> None:
    world.hold()
    world.ssm.end(send(world, purpose=purpose), status)

    assert look(world).is_settled


CUT_SHORT = [
    ("Cancelled", "Cancelled"),
    ("TimedOut", "ExecutionTimedOut"),
    ("TimedOut", "Execution Timed Out"),
]


@pytest.mark.parametrize("purpose", ["install", "update"])
@pytest.mark.parametrize(("status", "details"), CUT_SHORT)
def test_an_installation_that_was_cut_short_is_not_settled_by_its_status(
    world: World, purpose: str, status: str, details: str
) -> None:
    world.hold()
    command = send(world, purpose=purpose)
    world.ssm.end(command, status, status_details=details)

    settlement = look(world)

    assert not settlement.is_settled
    assert settlement.is_to_be_asked
    assert command.command_id in str(settlement)
    assert "was not asked yet" in str(settlement)


def ask(world: World, *, status: str = "Success", output: str | None = None, **said: Any) -> SentCommand:
    """A probe that asks whether anything installs, and what came of it."""
    world.clock.move(minutes=1)
    answer = {
        "bootId": "1",
        "agentVersion": "3",
        "reboot": "not_needed",
        "rebootReasons": [],
        "installing": False,
        "installer": "",
        **said,
    }
    number = len(world.ssm.sent)
    command = send(world, f"proof{number}", PROOF)
    world.ssm.end(command, status, output=json.dumps(answer) if output is None else output)
    return command


def test_an_installation_that_was_cut_short_is_settled_by_a_probe_that_nothing_installs(world: World) -> None:
    world.hold()
    world.ssm.end(send(world), "Cancelled")

    ask(world)

    assert look(world).is_settled


@pytest.mark.parametrize(
    ("came", "told"),
    [
        ({"installing": True, "installer": "dnf (812) holds a lock"}, "dnf (812) holds a lock"),
        ({"installing": True, "installer": "cannot be told: no /proc/locks"}, "cannot be told"),
        ({"status": "Failed"}, "ended as Failed"),
        ({"output": "%%garbage"}, "not the JSON it should"),
        (
            {"output": '{"bootId": "1", "agentVersion": "3", "reboot": "not_needed", "rebootReasons": []}'},
            "not the JSON it should",
        ),
    ],
    ids=["installing", "cannot be told", "failed", "garbage", "an older document"],
)
def test_a_probe_that_does_not_say_that_nothing_installs_proves_nothing(
    world: World, came: dict[str, Any], told: str
) -> None:
    world.hold()
    world.ssm.end(send(world), "Cancelled")

    ask(world, **came)

    assert not look(world).is_settled
    assert look(world).is_to_be_asked
    assert told in str(look(world))


def test_one_probe_is_at_work_at_a_time(world: World) -> None:
    world.hold()
    world.ssm.end(send(world), "Cancelled")
    world.clock.move(minutes=1)
    send(world, "proof1", PROOF)

    assert not look(world).is_to_be_asked
    assert not look(world).is_settled


def test_a_probe_that_has_not_begun_is_left_to_begin(world: World) -> None:
    world.hold()
    world.ssm.end(send(world), "Cancelled")
    world.clock.move(minutes=1)
    world.ssm.end(send(world, "proof1", PROOF), "Pending")

    assert [work.is_undelivered for work in look(world).at_work] == [False]


def test_what_was_installed_after_the_proof_needs_another(world: World) -> None:
    world.hold()
    world.ssm.end(send(world), "Cancelled")
    ask(world)
    world.clock.move(minutes=1)
    world.ssm.end(send(world, "installFinish"), "Cancelled")

    assert [ending.intent for ending in look(world).unproved] == ["installFinish"]


@pytest.mark.parametrize("state", ["offline", "unknown"])
def test_a_machine_whose_agent_is_not_online_is_not_asked(world: World, state: str) -> None:
    world.hold()
    world.ssm.end(send(world), "Cancelled")
    if state == "offline":
        world.ssm.agents[INSTANCE] = agent(START, online=False)
    else:
        del world.ssm.agents[INSTANCE]

    assert not look(world).is_to_be_asked
    assert not look(world).is_settled
    assert "the agent is not online" in str(look(world))


def an_ending(state: Any = "unproved", sent: datetime = START, **more: Any) -> Ending:
    return Ending("install", "c-1", sent, state, **more)


ASKED = START + timedelta(minutes=5)
ONLINE = agent(START + timedelta(minutes=4))


@pytest.mark.parametrize(
    ("endings", "answer", "heard", "is_settled"),
    [
        ([], None, None, True),
        ([an_ending("over")], None, None, True),
        ([an_ending("at_work")], None, ONLINE, False),
        ([an_ending("undelivered")], None, ONLINE, False),
        ([an_ending()], None, ONLINE, False),
        ([an_ending()], Answer(ASKED, True, "dnf"), ONLINE, False),
        ([an_ending()], Answer(ASKED, False, ""), ONLINE, True),
        ([an_ending()], Answer(ASKED, False, ""), None, True),
        ([an_ending(), an_ending("at_work")], Answer(ASKED, False, ""), ONLINE, False),
        ([an_ending(sent=ASKED + timedelta(seconds=1))], Answer(ASKED, False, ""), ONLINE, False),
        ([an_ending(expired=START)], None, ONLINE, False),
        ([an_ending(expired=START)], Answer(ASKED, False, ""), None, True),
        ([an_ending("over", expired=START)], None, ONLINE, True),
        ([an_ending("over", expired=ASKED)], None, ONLINE, False),
        ([an_ending("over", expired=START)], None, agent(ASKED, online=False), False),
    ],
)
@pytest.mark.parametrize("power", ["running", "pending", "stopping"])
def test_only_ends_that_are_certain_and_a_fresh_answer_settle_a_machine(
    endings: Sequence[Ending], answer: Answer | None, heard: Agent | None, is_settled: bool, power: str
) -> None:
    settlement = judge(endings, answer, heard, power)

    assert settlement.is_settled is is_settled
    assert (str(settlement) == "") is is_settled


@pytest.mark.parametrize("power", ["pending", "stopping"])
def test_a_machine_whose_power_changes_is_not_asked(power: str) -> None:
    settlement = judge([an_ending()], None, ONLINE, power)

    assert not settlement.is_to_be_asked
    assert f"the machine is {power}" in str(settlement)


@pytest.mark.parametrize("purpose", ["install", "update", "hook", "scan", "probe", PROOF])
@pytest.mark.parametrize("status", ["Success", "Failed", "Cancelled", "ExecutionTimedOut", "DeliveryTimedOut"])
@pytest.mark.parametrize("has_expired", [False, True])
def test_the_end_of_what_may_install_is_certain_only_where_the_agent_has_told_it(
    purpose: str, status: str, has_expired: bool
) -> None:
    over = Invocation("c-1", status if "TimedOut" not in status else "TimedOut", status, 1, "")
    now = START + timedelta(hours=2 if has_expired else 1)

    ending = judge_end(Intent("name", START, "c-1", {"purpose": purpose}), "c-1", over, START + timedelta(hours=2), now)

    is_cut_short = status in ("Cancelled", "ExecutionTimedOut") or (status == "DeliveryTimedOut" and has_expired)
    assert (ending.state == "unproved") is (purpose in ("install", "update") and is_cut_short)
    assert (ending.expired is not None) is (status == "DeliveryTimedOut" and has_expired)


@pytest.mark.parametrize(
    ("status", "is_undelivered"), [("Pending", True), ("Delayed", True), ("InProgress", False), ("Cancelling", False)]
)
def test_only_a_command_that_has_not_begun_can_be_cancelled_safely(
    world: World, status: str, is_undelivered: bool
) -> None:
    world.hold()
    world.ssm.end(send(world), status)

    (work,) = look(world).at_work

    assert work.is_undelivered is is_undelivered


def test_a_command_that_is_over_does_not_hide_one_that_is_not(world: World) -> None:
    world.hold()
    world.ssm.end(send(world, "probeBefore"))
    send(world, "install")

    assert [work.intent for work in look(world).at_work] == ["install"]


@pytest.mark.parametrize("power", ["stopped", "shutting-down", "terminated"])
def test_on_a_machine_that_is_at_rest_nothing_is_at_work(world: World, power: str) -> None:
    world.hold()
    send(world)
    world.ec2.set_state(INSTANCE, power)

    assert look(world).is_settled


@pytest.mark.parametrize("power", ["pending", "stopping"])
@pytest.mark.parametrize("status", ["InProgress", "Cancelled"])
def test_a_machine_whose_power_changes_may_have_to_finish_what_was_begun(world: World, power: str, status: str) -> None:
    world.hold()
    world.ssm.end(send(world), status)
    world.ec2.set_state(INSTANCE, power)

    assert not look(world).is_settled
    assert power in str(look(world))


@pytest.mark.parametrize("power", ["pending", "stopping"])
def test_a_machine_whose_power_changes_is_settled_once_all_its_commands_are_over(world: World, power: str) -> None:
    world.hold()
    world.ssm.end(send(world))
    world.ec2.set_state(INSTANCE, power)

    assert look(world).is_settled


def test_an_expired_command_is_settled_only_after_a_sign_of_life_since(world: World) -> None:
    world.hold()
    command = send(world, "hook", "hook")
    world.clock.at = command.expires
    assert look(world).silent_since == command.expires
    assert "silent" in str(look(world))

    world.ssm.agents[INSTANCE] = agent(command.expires)
    assert not look(world).is_settled
    world.ssm.agents[INSTANCE] = agent(command.expires + timedelta(seconds=1), online=False)
    assert not look(world).is_settled
    world.ssm.agents[INSTANCE] = agent(command.expires + timedelta(seconds=1))
    assert look(world).is_settled


def test_an_installation_that_has_expired_is_asked_about_once_the_agent_gave_a_sign_of_life(world: World) -> None:
    world.hold()
    command = send(world)
    world.clock.at = command.expires
    assert (look(world).silent_since, look(world).is_to_be_asked) == (command.expires, False)

    world.ssm.agents[INSTANCE] = agent(command.expires + timedelta(seconds=1))
    assert (look(world).is_settled, look(world).is_to_be_asked) == (False, True)

    ask(world)
    assert look(world).is_settled


def test_what_systems_manager_gave_up_at_its_expiry_is_settled_only_after_a_sign_of_life(world: World) -> None:
    world.hold()
    command = send(world, "hook", "hook")
    world.ssm.end(command, "TimedOut", status_details="DeliveryTimedOut")
    assert look(world).is_settled, "before its expiry this means that it never began"

    world.clock.at = command.expires
    assert look(world).silent_since == command.expires
    world.ssm.agents[INSTANCE] = agent(command.expires + timedelta(seconds=1))
    assert look(world).is_settled


@pytest.mark.parametrize("details", ["Undeliverable", "AccessDenied", "InvalidPlatform", "Terminated"])
def test_what_surely_never_began_is_settled_without_a_sign_of_life(world: World, details: str) -> None:
    world.hold()
    command = send(world)
    world.ssm.end(command, "Failed", status_details=details)
    world.clock.at = command.expires

    assert look(world).is_settled


def test_a_command_that_aws_refused_is_settled_at_once(world: World) -> None:
    world.hold()
    world.ssm.faults.before["send_command"] = CommandNotDeliveredError("InvalidInstanceId")
    with pytest.raises(CommandNotDeliveredError):
        send(world)

    assert look(world).is_settled


def test_a_command_of_which_only_the_intent_is_known_may_be_at_work_until_it_could_be_seen(world: World) -> None:
    world.hold()
    world.ssm.faults.before["send_command"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        send(world)
    assert not look(world).is_settled

    world.clock.move(minutes=2)
    assert look(world).is_settled


def test_a_command_that_was_sent_by_a_function_that_died_is_found(world: World) -> None:
    world.hold()
    world.ssm.faults.after["send_command"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        send(world)
    world.clock.move(minutes=5)

    assert [work.command_id for work in look(world).at_work] == [world.command.command_id]


def test_what_is_not_settled_at_the_deadline_leaves_the_machine_as_it_is(world: World) -> None:
    world.hold()
    command = send(world)
    wait = Wait(INSTANCE, "token", "1", "settled", "", START + SETTLE_LIMIT, {})
    assert look_at_settled_commands(world.services, wait) is None

    world.clock.at = START + SETTLE_LIMIT
    with pytest.raises(CommandsNotSettledError, match="left as it is"):
        look_at_settled_commands(world.services, wait)
    world.ssm.end(command)
    assert look_at_settled_commands(world.services, wait) == {}


def test_the_limit_is_longer_than_any_command_lives() -> None:
    assert timedelta(seconds=600 + 3600 * 3) < SETTLE_LIMIT
