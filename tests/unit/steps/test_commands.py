"""The steps that run a command: each sends its own document once, and ends with the command."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from drydock.errors import CommandNotDeliveredError, CommandNotReadyError, LeaseLostError, ServiceUnavailableError
from tests.unit.fakes import START, FunctionDiedError, patch_state
from tests.unit.world import INSTANCE, SNAPSHOT, World

HOOKS = {"preInstall": "LeaveCluster", "postInstall": "CheckConfiguration", "onExit": "JoinCluster"}
PROBED = json.dumps(
    {
        "bootId": "boot-1",
        "agentVersion": "3.3",
        "reboot": "not_needed",
        "rebootReasons": [],
        "installing": False,
        "installer": "",
    }
)


@dataclass(frozen=True)
class Case:
    function: str
    data: dict[str, Any]
    intent: str
    document: str
    policy: dict[str, Any] = field(default_factory=dict)
    output: str = ""
    minutes: int = 60
    error: str = ""
    """With which the state ends when the command fails; empty where the verdict is left to later."""


CASES = {
    "probe before": Case(
        "probe_instance", {"moment": "Before"}, "probeBefore", "drydock-Probe", {}, PROBED, 10, "ProbeFailedError"
    ),
    "probe after": Case(
        "probe_instance", {"moment": "After"}, "probeAfter", "drydock-Probe", {}, PROBED, 10, "ProbeFailedError"
    ),
    "install": Case("install_patches", {"reboot": True}, "install", "AWS-RunPatchBaseline"),
    "finish install": Case(
        "finish_install", {"moment": "After", "bootId": "boot-1"}, "installFinish", "AWS-RunPatchBaseline"
    ),
    "finish install with Windows Update": Case(
        "finish_install",
        {"moment": "After", "bootId": "boot-1"},
        "installFinish",
        "drydock-Reboot",
        {"document": "AWS-InstallWindowsUpdates"},
    ),
    "install with Windows Update": Case(
        "install_patches",
        {"reboot": True},
        "install",
        "AWS-InstallWindowsUpdates",
        {"document": "AWS-InstallWindowsUpdates"},
    ),
    "scan before": Case("scan_patches", {"moment": "Before"}, "scanBefore", "AWS-RunPatchBaseline"),
    "scan after": Case("scan_patches", {"moment": "After"}, "scanAfter", "AWS-RunPatchBaseline"),
    "search": Case(
        "scan_patches",
        {"moment": "After"},
        "scanAfter",
        "drydock-SearchWindowsUpdates",
        {"document": "AWS-InstallWindowsUpdates"},
        '{"missingCount": 0, "missing": []}',
    ),
    "hook before": Case(
        "run_hook",
        {"hook": "preInstall"},
        "preInstallHook",
        "LeaveCluster",
        {"hooks": HOOKS},
        "",
        10,
        "HookFailedError",
    ),
    "hook after": Case(
        "run_hook",
        {"hook": "postInstall"},
        "postInstallHook",
        "CheckConfiguration",
        {"hooks": HOOKS},
        "",
        10,
        "HookFailedError",
    ),
    "hook on exit": Case(
        "run_hook", {"hook": "onExit"}, "onExitHook", "JoinCluster", {"hooks": HOOKS}, "", 10, "HookFailedError"
    ),
    "update of the SSM Agent": Case(
        "update_agent", {"agent": "AmazonSSMAgent"}, "updateAmazonSSMAgent", "AWS-UpdateSSMAgent", minutes=10
    ),
    "update of the CloudWatch Agent": Case(
        "update_agent",
        {"agent": "AmazonCloudWatchAgent"},
        "updateAmazonCloudWatchAgent",
        "AWS-ConfigureAWSPackage",
        minutes=10,
    ),
    "health": Case(
        "check_health",
        {"moment": "Patching"},
        "healthProbePatching",
        "IsWell",
        {"healthProbe": "IsWell"},
        "",
        10,
        "HealthCheckFailedError",
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)

KINDS = {case.function: name for name, case in reversed(CASES.items())}
each_function = pytest.mark.parametrize("case", [CASES[name] for name in KINDS.values()], ids=KINDS)
"""One case of each: what happens to a command is the same for all that a function sends."""


@pytest.fixture
def held(world: World) -> World:
    world.hold()
    return world


def run(world: World, case: Case, **more: Any) -> None:
    world.set_policy(**case.policy)
    world.run(case.function, world.event("Some State", case.data, **more))


@every_case
def test_the_command_is_sent_once_and_its_end_wakes_the_newest_entry(held: World, case: Case) -> None:
    run(held, case, token="old")
    held.clock.move(minutes=5)
    run(held, case, token="new")
    command = held.command
    assert command.document == case.document
    assert held.intents[case.intent] == command.command_id
    assert held.wait is not None
    assert held.wait.deadline == START + timedelta(minutes=case.minutes)
    assert held.executions.answers == []
    held.ssm.end(command, output=case.output)

    held.resume(**{"instance-id": INSTANCE, "command-id": command.command_id, "status": "Success"})

    ((token, output),) = held.executions.answers
    assert token == "new"
    assert (output["commandId"], output["status"]) == (command.command_id, "Success")


@each_function
def test_a_function_that_dies_after_sending_is_carried_on_without_sending_again(held: World, case: Case) -> None:
    held.ssm.faults.after["send_command"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        run(held, case)

    run(held, case)

    assert held.intents[case.intent] == held.command.command_id


@each_function
def test_a_function_that_dies_before_sending_is_carried_on_once_that_is_certain(held: World, case: Case) -> None:
    held.ssm.faults.before["send_command"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        run(held, case)
    with pytest.raises(CommandNotReadyError):
        run(held, case)
    assert held.ssm.sent == []
    held.clock.move(minutes=2)

    run(held, case)

    assert held.intents[case.intent] == held.command.command_id


@each_function
def test_a_command_that_ended_unnoticed_is_found_by_the_next_entry(held: World, case: Case) -> None:
    run(held, case)
    held.ssm.end(held.command, output=case.output)

    run(held, case, token="retry", retry_count=1)

    assert [token for token, _ in held.executions.answers] == ["retry"]


@every_case
def test_a_command_that_fails_ends_the_state_as_its_purpose_says(held: World, case: Case) -> None:
    run(held, case)
    held.ssm.end(held.command, "Failed")

    held.resume()

    assert held.refusals == ([case.error] if case.error else [])
    assert [output["succeeded"] for _, output in held.executions.answers] == ([] if case.error else [False])


@each_function
def test_a_command_that_never_ends_is_given_up_at_its_deadline(held: World, case: Case) -> None:
    run(held, case)
    held.clock.move(minutes=case.minutes)

    run(held, case)

    assert held.refusals == ["CommandTimedOutError"]


@each_function
def test_without_the_lease_nothing_is_sent(world: World, case: Case) -> None:
    with pytest.raises(LeaseLostError):
        run(world, case)

    assert world.ssm.sent == []


def test_a_machine_that_cannot_be_reached_fails_the_step(held: World) -> None:
    held.ssm.faults.before["send_command"] = CommandNotDeliveredError("InvalidInstanceId")

    with pytest.raises(CommandNotDeliveredError):
        run(held, CASES["install"])


@pytest.mark.parametrize(("seconds", "noticed"), [(3, True), (1, False)], ids=["slow", "quick"])
def test_a_command_that_ended_before_its_wait_was_filed_is_noticed_at_once(
    held: World, monkeypatch: pytest.MonkeyPatch, seconds: int, noticed: bool
) -> None:
    send = held.ssm.send_command

    def send_slowly(*given: Any) -> Any:
        sent = send(*given)
        held.ssm.end(held.command)
        held.clock.move(seconds=seconds)
        return sent

    monkeypatch.setattr(held.ssm, "send_command", send_slowly)

    run(held, CASES["install"], token="T")

    assert [token for token, _ in held.executions.answers] == (["T"] if noticed else [])


def test_a_send_without_an_answer_is_tried_again_once_it_is_certain_that_it_never_happened(held: World) -> None:
    held.ssm.faults.before["send_command"] = ServiceUnavailableError("no answer")
    with pytest.raises(ServiceUnavailableError):
        run(held, CASES["install"])
    with pytest.raises(CommandNotReadyError):
        run(held, CASES["install"])
    assert held.ssm.sent == []
    held.clock.move(minutes=2)

    run(held, CASES["install"])

    assert held.intents["install"] == held.command.command_id


def test_a_send_whose_answer_was_lost_is_found_and_not_repeated(held: World) -> None:
    held.ssm.faults.after["send_command"] = ServiceUnavailableError("no answer")
    with pytest.raises(ServiceUnavailableError):
        run(held, CASES["install"])

    run(held, CASES["install"])

    assert held.intents["install"] == held.command.command_id


def test_a_throttled_send_is_repeated_at_once(held: World) -> None:
    for _ in range(3):
        held.ssm.faults.before["send_command"] = ServiceUnavailableError("throttled", was_refused=True)
        with pytest.raises(ServiceUnavailableError):
            run(held, CASES["install"])

    run(held, CASES["install"])

    assert held.intents["install"] == held.command.command_id


def test_a_send_that_got_no_answer_after_one_that_was_throttled_is_looked_for(held: World) -> None:
    held.ssm.faults.before["send_command"] = ServiceUnavailableError("throttled", was_refused=True)
    with pytest.raises(ServiceUnavailableError):
        run(held, CASES["install"])
    held.ssm.faults.after["send_command"] = ServiceUnavailableError("no answer")
    with pytest.raises(ServiceUnavailableError):
        run(held, CASES["install"])

    run(held, CASES["install"])

    assert held.intents["install"] == held.command.command_id, "the refusal of before says nothing any more"


@every_case
def test_of_the_stacks_own_documents_the_newest_is_sent(held: World, case: Case) -> None:
    run(held, case)

    assert held.command.version == ("$LATEST" if case.document.startswith("drydock-") else "$DEFAULT")


def test_before_a_post_install_hook_nothing_reboots_and_after_it_the_agent_may(held: World) -> None:
    held.run("install_patches", held.event("Install Patches", {"reboot": False}))
    held.ssm.end(held.ssm.sent[0])
    held.run("finish_install", held.event("Finish Install", {"moment": "After", "bootId": "boot-1"}))

    assert [command.parameters["RebootOption"] for command in held.ssm.sent] == ["NoReboot", "RebootIfNeeded"]
    assert {command.parameters["SnapshotId"] for command in held.ssm.sent} == {SNAPSHOT}


def test_after_windows_update_the_reboot_document_is_told_of_which_boot_it_shall_be_the_end(held: World) -> None:
    run(held, CASES["finish install with Windows Update"])

    assert held.command.parameters == {"BootId": "boot-1"}


@each_function
def test_a_command_that_never_reached_the_machine_ends_the_state(held: World, case: Case) -> None:
    run(held, case)
    held.clock.move(minutes=5)
    run(held, case)
    held.ssm.end(held.command, "TimedOut", status_details="DeliveryTimedOut")

    held.resume()

    assert held.refusals == ["CommandNotDeliveredError"]


@each_function
def test_a_command_that_systems_manager_gave_up_at_its_expiry_may_still_be_at_work(held: World, case: Case) -> None:
    run(held, case)
    held.clock.at = held.command.expires
    held.ssm.end(held.command, "TimedOut", status_details="DeliveryTimedOut")

    held.resume()

    assert held.refusals == ["CommandTimedOutError"]


def test_a_scan_remembers_the_patch_state_of_the_time_when_it_was_first_sent(held: World) -> None:
    held.ssm.patch_states[INSTANCE] = patch_state(ended="then")
    run(held, CASES["scan after"])
    held.ssm.patch_states[INSTANCE] = patch_state(ended="now")
    run(held, CASES["scan after"])
    held.ssm.end(held.command)

    held.resume()

    ((_, output),) = held.executions.answers
    assert output["operationEndedBefore"] == "then"


def test_of_a_machine_that_was_never_scanned_any_patch_state_is_new(held: World) -> None:
    run(held, CASES["scan after"])
    held.ssm.end(held.command)

    held.resume()

    assert held.executions.answers[0][1]["operationEndedBefore"] == ""


@pytest.mark.parametrize("name", ["install", "hook before", "probe after"])
def test_a_machine_that_somebody_stops_in_the_middle_is_noticed_at_its_event(held: World, name: str) -> None:
    run(held, CASES[name])
    held.ec2.set_state(INSTANCE, "stopping")

    held.resume(**{"instance-id": INSTANCE, "state": "stopping"})

    assert held.refusals == ["InstanceStoppedError"]
