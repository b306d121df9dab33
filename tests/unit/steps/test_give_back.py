"""Give Back: passes that converge, over one machine or all."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from drydock.aws.table import Key
from drydock.errors import AwsCallFailedError, CommandNotDeliveredError, DocumentError, PowerNotRestoredError
from drydock.records.holder import Holder
from drydock.records.image_watches import watches_of
from drydock.records.leases import ACTIVE, RESTORING
from drydock.records.results import put_result
from drydock.subject import Instance
from drydock.times import to_text
from tests.unit.fakes import START, FunctionDiedError, agent
from tests.unit.records.recorded import a_result
from tests.unit.world import EXECUTION, HOLDER, INSTANCE, OTHER_EXECUTION, SUBJECT, World, hold_as, image_facts

LIFETIME = timedelta(seconds=75)
ABORTED = {
    "detail-type": "Step Functions Execution Status Change",
    "detail": {"executionArn": EXECUTION, "status": "ABORTED", "input": json.dumps({"instanceId": INSTANCE})},
}


def give_back(world: World, event: dict[str, Any] | None = None) -> str:
    done: dict[str, Any] = world.run("give_back", event or {"subject": INSTANCE})
    return str(done["move"])


@pytest.fixture
def started(world: World) -> World:
    """A machine that came stopped and runs since Drydock started it; its execution is over, no function lives."""
    world.hold("stopped")
    world.run("start_instance", world.event("Start Instance"))
    world.ec2.set_state(INSTANCE, "running")
    world.end_execution("ABORTED", cause="by hand")
    world.clock.move(seconds=76)
    return world


def test_a_machine_whose_execution_runs_is_left_alone(world: World) -> None:
    world.hold()
    world.clock.move(hours=30)

    assert give_back(world) == "nothing"
    assert world.lease is not None and world.lease.phase == ACTIVE


def test_a_machine_that_nobody_holds_is_left_alone(world: World) -> None:
    assert give_back(world) == "nothing"
    assert give_back(world, ABORTED) == "nothing"
    assert world.ec2.faults.made == []


def test_the_end_of_another_execution_does_not_end_this_one(world: World) -> None:
    world.hold(holder=Holder(OTHER_EXECUTION, 0))

    assert give_back(world, ABORTED) == "nothing"


@pytest.mark.parametrize("detail", [{}, {"input": None}, {"input": "[]"}])
def test_an_event_without_its_input_does_nothing_and_leaves_it_to_the_sweep(
    world: World, detail: dict[str, Any]
) -> None:
    assert give_back(world, {"detail": {"executionArn": EXECUTION, "status": "ABORTED", **detail}}) == "nothing"


def test_while_a_function_may_be_alive_nothing_is_done_but_the_owner_is_fenced_off(world: World) -> None:
    world.hold("stopped")
    world.run("start_instance", world.event("Start Instance"))
    world.ec2.set_state(INSTANCE, "running")
    world.end_execution()
    world.clock.move(seconds=74)

    assert give_back(world, ABORTED) == "wait_for_functions"

    assert world.lease is not None
    assert (world.lease.phase, world.lease.wait) == (RESTORING, None)
    assert world.ec2.state(INSTANCE) == "running"


def test_a_machine_that_drydock_started_is_stopped_and_then_released(started: World) -> None:
    assert give_back(started) == "stop"
    assert give_back(started) == "wait_for_functions"
    started.clock.move(seconds=75)
    assert give_back(started) == "wait_until_stopped"
    started.ec2.set_state(INSTANCE, "stopped")
    assert give_back(started) == "release"

    assert started.lease is None
    assert started.result is not None
    assert (started.result["outcome"], started.result["powerBefore"], started.result["powerAfter"]) == (
        "failed",
        "stopped",
        "stopped",
    )
    assert started.result["failure"] == {"error": "ABORTED", "cause": "by hand"}
    assert give_back(started) == "nothing"


def test_a_machine_that_came_running_is_never_stopped(world: World) -> None:
    world.hold("running")
    world.end_execution("TIMED_OUT")
    world.clock.move(seconds=76)

    assert give_back(world) == "release"
    assert world.ec2.state(INSTANCE) == "running"
    assert world.result is not None and world.result["failure"]["error"] == "TIMED_OUT"


def test_a_machine_that_somebody_started_before_drydock_did_is_left_running(world: World) -> None:
    world.hold("stopped")
    world.end_execution()
    world.ec2.set_state(INSTANCE, "running")
    world.clock.move(seconds=76)

    assert give_back(world) == "release"
    assert world.ec2.state(INSTANCE) == "running"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_pass_that_dies_around_the_stop_is_followed_by_one_that_ends_it(started: World, moment: str) -> None:
    getattr(started.ec2.faults, moment)["stop"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        give_back(started)
    assert give_back(started) == "wait_for_functions", "nobody knows yet whether the other pass is dead"
    started.clock.move(seconds=76)

    assert give_back(started) == ("stop" if moment == "before" else "wait_until_stopped")
    assert started.ec2.state(INSTANCE) == "stopping"


def test_of_two_passes_at_once_only_one_stops_the_machine(started: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, moves = started.ec2.stop, []

    def another_pass_meanwhile(instance_id: str) -> None:
        moves.append(give_back(started))
        stop(instance_id)

    monkeypatch.setattr(started.ec2, "stop", another_pass_meanwhile)

    assert give_back(started) == "stop"
    assert moves == ["wait_for_functions"]
    assert started.ec2.faults.made.count("stop") == 1


def test_a_slow_pass_does_not_stop_a_machine_that_has_a_new_owner_meanwhile(
    started: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = started.ec2.describe_instance

    def given_back_and_taken_meanwhile(instance_id: str) -> Any:
        monkeypatch.setattr(started.ec2, "describe_instance", describe)
        found = dict(describe(instance_id))
        hold_as(started.table, HOLDER, SUBJECT).drop(RESTORING)
        started.hold("running", holder=Holder(OTHER_EXECUTION, 0))
        return found

    monkeypatch.setattr(started.ec2, "describe_instance", given_back_and_taken_meanwhile)

    give_back(started)

    assert started.ec2.state(INSTANCE) == "running"
    assert "stop" not in started.ec2.faults.made


def test_a_machine_that_somebody_started_just_before_drydock_did_is_left_running(world: World) -> None:
    world.hold("stopped")
    world.ec2.set_state(INSTANCE, "running")
    world.run("start_instance", world.event("Start Instance"))
    world.end_execution()
    world.clock.move(seconds=76)

    assert give_back(world) == "release"
    assert world.ec2.state(INSTANCE) == "running"


def test_an_intent_that_is_claimed_while_a_pass_begins_is_waited_for(
    started: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = started.executions.find

    def claim_meanwhile(execution: str) -> Any:
        monkeypatch.setattr(started.executions, "find", find)
        hold_as(started.table, HOLDER, SUBJECT, started.clock()).claim("stop")
        return find(execution)

    monkeypatch.setattr(started.executions, "find", claim_meanwhile)

    assert give_back(started) == "wait_for_functions"


def test_a_start_that_is_carried_on_while_the_execution_is_killed_is_undone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.hold("stopped")
    world.ec2.faults.before["start"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        world.run("start_instance", world.event("Start Instance"))
    world.clock.move(minutes=3)
    start, moves = world.ec2.start, []

    def kill_meanwhile(instance_id: str) -> None:
        world.end_execution("ABORTED")
        moves.append(give_back(world))
        start(instance_id)

    monkeypatch.setattr(world.ec2, "start", kill_meanwhile)
    world.run("start_instance", world.event("Start Instance", retry_count=1))

    assert moves == ["wait_for_functions"]
    world.ec2.set_state(INSTANCE, "running")
    world.clock.move(seconds=76)
    assert give_back(world) == "stop"


NOTHING_INSTALLS = json.dumps(
    {
        "bootId": "1",
        "agentVersion": "3",
        "reboot": "not_needed",
        "rebootReasons": [],
        "installing": False,
        "installer": "",
    }
)


def install(world: World) -> None:
    world.run("install_patches", world.event("Install Patches", {"reboot": True}))
    world.clock.move(seconds=76)


def test_no_power_is_cut_under_an_installation(started: World) -> None:
    started.end_execution("RUNNING")
    install(started)
    started.end_execution("ABORTED")
    for _ in range(3):
        assert give_back(started) == "wait_for_commands"
        started.clock.move(minutes=10)
    assert (started.ec2.state(INSTANCE), started.ssm.cancelled) == ("running", [])

    started.ssm.end(started.command, "Success")

    assert give_back(started) == "stop"


def test_an_installation_that_has_not_begun_is_cancelled(started: World) -> None:
    started.end_execution("RUNNING")
    install(started)
    started.end_execution("ABORTED")
    started.ssm.end(started.command, "Pending")

    assert give_back(started) == "wait_for_commands"

    assert started.ssm.cancelled == [started.command.command_id]
    assert started.ec2.state(INSTANCE) == "running"


def test_an_installation_that_never_ends_is_waited_for_until_it_expired_and_the_agent_is_back(started: World) -> None:
    started.end_execution("RUNNING")
    install(started)
    started.end_execution("ABORTED")
    started.clock.at = started.command.expires
    assert give_back(started) == "wait_for_commands"

    started.ssm.agents[INSTANCE] = agent(started.clock() + timedelta(seconds=1))
    assert give_back(started) == "wait_for_commands"
    started.ssm.end(started.ssm.sent[-1], output=NOTHING_INSTALLS)
    assert give_back(started) == "stop"


def test_a_pass_asks_the_machine_and_a_later_one_reads_its_answer(started: World) -> None:
    started.end_execution("RUNNING")
    install(started)
    started.end_execution("ABORTED")
    started.ssm.end(started.command, "Cancelled")

    assert give_back(started) == "wait_for_commands"
    assert give_back(started) == "wait_for_commands"
    installation, probe = started.ssm.sent
    assert (probe.document, probe.version) == ("drydock-Probe", "$LATEST")
    assert probe.parameters["CommandIds"] == installation.command_id
    assert 60 <= int(probe.parameters["SecondsSince"]) < 600
    assert started.intents["giveBackProof"] == probe.command_id

    started.ssm.end(probe, output=NOTHING_INSTALLS)
    assert give_back(started) == "stop"


def test_as_long_as_something_installs_the_sweeps_go_on_asking_with_other_words_each_time(started: World) -> None:
    started.end_execution("RUNNING")
    install(started)
    started.end_execution("ABORTED")
    started.ssm.end(started.command, "Cancelled")

    for _ in range(5):
        assert give_back(started) == "wait_for_commands"
        started.ssm.end(started.ssm.sent[-1], output=NOTHING_INSTALLS.replace("false", "true"))
        started.clock.move(minutes=2)

    probes = started.ssm.sent[1:]
    assert len({probe.comment for probe in probes}) == len(probes) == 5
    assert started.ec2.state(INSTANCE) == "running"
    assert list(started.intents).count("giveBackProof") == 1, "the lease does not grow"


def test_two_passes_ask_once(started: World) -> None:
    started.end_execution("RUNNING")
    install(started)
    started.end_execution("ABORTED")
    started.ssm.end(started.command, "Cancelled")

    assert give_back(started) == "wait_for_commands"
    started.ssm.end(started.ssm.sent[-1], "Failed")
    assert give_back(started) == "wait_for_commands"

    assert len(started.ssm.sent) == 2


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_pass_that_dies_while_it_asks_is_carried_on(started: World, moment: str) -> None:
    started.end_execution("RUNNING")
    install(started)
    started.end_execution("ABORTED")
    started.ssm.end(started.command, "Cancelled")
    getattr(started.ssm.faults, moment)["send_command"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        give_back(started)
    assert give_back(started) == "wait_for_commands"
    assert len(started.ssm.sent) == (1 if moment == "before" else 2)

    started.clock.move(minutes=3)
    assert give_back(started) == "wait_for_commands"
    started.ssm.end(started.ssm.sent[-1], output=NOTHING_INSTALLS)

    assert len(started.ssm.sent) == 2
    assert give_back(started) == "stop"


@pytest.mark.parametrize(
    "error", [AwsCallFailedError("AccessDenied"), CommandNotDeliveredError("InvalidInstanceId"), DocumentError("gone")]
)
def test_a_machine_that_cannot_be_asked_keeps_its_power_and_is_asked_again(started: World, error: Exception) -> None:
    started.end_execution("RUNNING")
    install(started)
    started.end_execution("ABORTED")
    started.ssm.end(started.command, "Cancelled")
    started.ssm.faults.before["send_command"] = error

    assert give_back(started) == "wait_for_commands"
    started.clock.move(minutes=2)
    assert give_back(started) == "wait_for_commands"

    started.ssm.end(started.ssm.sent[-1], output=NOTHING_INSTALLS)
    assert give_back(started) == "stop"


@pytest.mark.parametrize(
    ("function", "data", "verdict"),
    [
        pytest.param("install_patches", {"reboot": True}, "unknown", id="patches"),
        pytest.param("update_agent", {"agent": "AmazonSSMAgent"}, "unknown", id="SSM Agent"),
        pytest.param("update_agent", {"agent": "AmazonCloudWatchAgent"}, "unknown", id="CloudWatch Agent"),
        pytest.param("", {}, "not_patched", id="nothing"),
    ],
)
def test_the_verdict_is_unknown_once_something_was_begun_that_installs(
    world: World, function: str, data: dict[str, Any], verdict: str
) -> None:
    world.hold()
    if function:
        world.run(function, world.event("Some State", data))
        world.ssm.end(world.command)
    world.end_execution()
    world.clock.move(seconds=76)

    give_back(world)

    assert world.result is not None
    assert world.result["verdict"] == verdict


@pytest.mark.parametrize("journaled", ["", "Failed"])
def test_the_state_tag_returns_to_what_the_journal_says(world: World, journaled: str) -> None:
    world.hold(stateTag=journaled)
    world.end_execution()
    world.clock.move(seconds=76)

    give_back(world)

    assert world.ec2.tags(INSTANCE).get("DrydockState", "") == journaled
    assert "DrydockStack" not in world.ec2.tags(INSTANCE)


def test_a_state_tag_that_somebody_has_changed_meanwhile_is_theirs(world: World) -> None:
    world.hold(stateTag="Failed")
    world.ec2.put_tags(INSTANCE, DrydockState="Quarantine")
    world.end_execution()
    world.clock.move(seconds=76)

    give_back(world)

    assert world.ec2.tags(INSTANCE)["DrydockState"] == "Quarantine"


def test_a_completed_that_a_release_wrote_before_it_was_overtaken_is_taken_back(world: World) -> None:
    world.hold(stateTag="Failed")
    hold_as(world.table, HOLDER, SUBJECT, world.clock()).claim("release")
    world.ec2.put_tags(INSTANCE, DrydockState="Completed")
    world.end_execution()
    world.clock.move(seconds=76)

    give_back(world)

    assert world.ec2.tags(INSTANCE)["DrydockState"] == "Failed"


def test_a_machine_that_was_terminated_is_released(started: World) -> None:
    started.ec2.set_state(INSTANCE, "terminated")

    assert give_back(started) == "release"
    assert started.lease is None
    assert started.result is not None and started.result["powerAfter"] == "terminated"


def test_a_machine_that_ec2_has_forgotten_is_released(started: World) -> None:
    started.ec2.instances.clear()

    assert give_back(started) == "release"
    assert started.result is not None and started.result["powerAfter"] == "gone"


def test_the_images_that_were_made_are_told_and_get_their_dates(world: World) -> None:
    world.hold()
    hold_as(world.table, HOLDER, SUBJECT, world.clock()).claim("imageBefore", imageName="n", **image_facts(30))
    hold_as(world.table, HOLDER, SUBJECT).record("imageBefore", {"id": "ami-1"})
    world.end_execution()
    world.clock.move(seconds=76)

    give_back(world)

    assert world.result is not None and world.result["images"]["before"]["imageId"] == "ami-1"
    (watch,) = watches_of(world.table, INSTANCE)
    assert (watch.image_id, watch.deprecate_at) == ("ami-1", START + timedelta(days=30))


def test_an_image_whose_id_could_not_be_stored_is_told_and_gets_its_date(world: World) -> None:
    world.hold()
    world.ec2.faults.after["create_image"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        world.run("back_up", world.event("Back Up Before", {"moment": "Before"}))
    world.end_execution()
    world.clock.move(seconds=76)

    give_back(world)

    (image_id,) = world.ec2.images
    assert world.result is not None and world.result["images"]["before"]["imageId"] == image_id
    assert [watch.image_id for watch in watches_of(world.table, INSTANCE)] == [image_id]


def test_an_execution_that_died_in_admission_loses_its_lease_and_is_told(world: World) -> None:
    hold_as(world.table, HOLDER, SUBJECT).take(START)
    world.end_execution("ABORTED")
    assert give_back(world) == "wait_for_functions"
    world.clock.move(seconds=75)

    assert give_back(world) == "release"

    assert world.lease is None
    assert world.result is not None and world.result["outcome"] == "refused"
    assert world.ec2.faults.made == [], "nothing was touched, so nothing is"


def test_a_machine_that_must_not_be_stopped_is_told_after_six_hours_and_tried_again(started: World) -> None:
    started.ec2.stop_protected.add(INSTANCE)
    for _ in range(2):
        with pytest.raises(PowerNotRestoredError):
            give_back(started)
        started.clock.move(hours=3)
    assert started.clients.invoked == []
    started.clock.move(minutes=2)

    with pytest.raises(PowerNotRestoredError):
        give_back(started)

    ((function, alert),) = started.clients.invoked
    assert function == "drydock-alert_failure"
    assert (alert["subject"], alert["execution"]) == (INSTANCE, EXECUTION)
    assert alert["startedAt"] == to_text(START)
    assert "OperationNotPermitted" in alert["notGivenBack"]
    assert (alert["day"], alert["mayInstall"]) == (0, False)
    started.ec2.stop_protected.clear()
    started.clock.move(minutes=2)
    assert give_back(started) == "stop"
    assert started.ec2.state(INSTANCE) == "stopping"


def test_an_owner_that_step_functions_does_not_know_is_over_after_a_quarter_of_an_hour(world: World) -> None:
    world.hold()
    world.executions.unknown.add(EXECUTION)
    world.clock.move(minutes=15)
    assert give_back(world) == "nothing"

    world.clock.move(seconds=1)
    assert give_back(world) == "release"
    assert world.result is not None and world.result["failure"]["error"] == "UNKNOWN"


def sweep(world: World) -> list[str]:
    world.clients.invoked.clear()
    world.run("give_back", {"time": "2026-01-13T01:00:00Z"})
    return [f"{function} {payload['subject']}" for function, payload in world.clients.invoked]


def test_the_sweep_finds_machines_whose_executions_do_not_run_and_only_these(world: World) -> None:
    world.hold()
    assert sweep(world) == []

    world.end_execution("ABORTED")
    assert sweep(world) == [f"drydock-give_back {INSTANCE}"]

    give_back(world)
    assert world.lease is not None and world.lease.phase == RESTORING
    assert sweep(world) == [f"drydock-give_back {INSTANCE}"]


def untold(world: World) -> Key:
    result = a_result("failed", ended=world.clock())
    put_result(world.table, result)
    return result.key


def test_the_sweep_finds_results_that_nobody_was_told_of_for_two_minutes(world: World) -> None:
    untold(world)
    world.clock.move(minutes=2)
    assert sweep(world) == []

    world.clock.move(seconds=1)
    assert sweep(world) == [f"drydock-alert_failure {INSTANCE}"]
    assert world.clients.invoked[0][1] == {
        "subject": INSTANCE,
        "execution": EXECUTION,
        "redriveCount": 0,
        "startedAt": to_text(START),
    }


def test_while_nobody_can_be_told_a_sweep_asks_for_a_limited_number_of_messages(world: World) -> None:
    for number in range(25):
        put_result(world.table, a_result("failed", subject=Instance(f"i-{number:017x}"), ended=START))
    world.clock.move(minutes=3)

    assert len(sweep(world)) <= 20


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({"run_id": "", "notify": "failures"}, True),
        ({"run_id": "run-7", "notify": "each"}, True),
        ({"run_id": "run-7", "notify": "failures"}, False),
        ({"run_id": "run-7", "notify": "summary"}, False),
    ],
    ids=["by hand", "in a run with each", "in a run with failures", "in a run with a summary"],
)
def test_the_sweep_finds_successes_that_should_have_been_announced(
    world: World, facts: dict[str, Any], found: bool
) -> None:
    put_result(world.table, a_result(ended=world.clock(), **facts))
    world.clock.move(minutes=3)

    assert sweep(world) == ([f"drydock-alert_failure {INSTANCE}"] if found else [])


def test_a_tag_or_date_that_cannot_be_written_keeps_no_machine(world: World) -> None:
    world.hold()
    world.ec2.faults.before["remove_tags"] = AwsCallFailedError("denied")
    world.end_execution()
    world.clock.move(seconds=76)

    assert give_back(world) == "release"
    assert world.result is not None
    (problem,) = world.result["problems"]
    assert "DrydockState" in problem and "denied" in problem
