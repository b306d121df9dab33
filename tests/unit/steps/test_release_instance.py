"""Release Instance: tags, dates, result, end of the lease; well or badly, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from drydock.aws.table import Table
from drydock.errors import AwsCallFailedError, LeaseLostError
from drydock.machine.release import hook_outcomes
from drydock.records.holder import Holder
from drydock.records.image_watches import watches_of
from drydock.records.leases import RESTORING
from drydock.records.results import put_result, untold_results
from tests.unit.fakes import START, FunctionDiedError
from tests.unit.records.recorded import a_result, some_patches
from tests.unit.world import HOLDER, INSTANCE, OTHER_EXECUTION, STACK, SUBJECT, World, hold_as, image_facts, made_image

FAILURE = {"error": "ImageFailedError", "cause": '{"errorMessage": "image ami-1 is failed"}'}
INSTALL = {
    "commandId": "c-1",
    "status": "Success",
    "statusDetails": "Success",
    "responseCode": 0,
    "endedAt": "2026-01-13T02:00:00+00:00",
    "logKey": "key/",
    "succeeded": True,
}
GOOD = {
    "failure": None,
    "patchesBefore": some_patches(missing=2),
    "probeBefore": {"agentVersion": "3.1", "bootId": "a", "reboot": "not_needed", "rebootReasons": []},
    "probeAfter": {"agentVersion": "3.3", "bootId": "b", "reboot": "not_needed", "rebootReasons": []},
    "installs": [INSTALL, None],
    "verified": {
        "verdict": "compliant",
        "rebooted": True,
        "isRebootPending": False,
        "patches": some_patches(missing=0),
        "installed": ["KB1", "KB2"],
    },
    "hooks": {},
    "isPatching": True,
}


def release(world: World, **data: Any) -> dict[str, Any]:
    released: dict[str, Any] = world.run("release_instance", world.event("Release Instance", {**GOOD, **data}))
    return released


def with_image(world: World) -> None:
    hold_as(world.table, HOLDER, SUBJECT, world.clock()).claim("imageBefore", imageName="n", **image_facts(90))
    hold_as(world.table, HOLDER, SUBJECT).record("imageBefore", {"id": "ami-1"})


def test_a_machine_that_went_well_is_released_with_all_that_was_found(world: World) -> None:
    world.hold()
    with_image(world)
    world.clock.move(hours=1)

    released = release(world)

    assert (released["outcome"], released["failure"], released["verdict"]) == ("succeeded", None, "compliant")
    assert released["images"] == {"before": made_image("ami-1")}
    assert world.lease is None
    assert world.ec2.deprecated == {"ami-1": START + timedelta(days=90)}
    tags = world.ec2.tags(INSTANCE)
    assert (tags["DrydockState"], tags["DrydockCompleted"]) == ("Completed", "2026-01-13")
    result = world.result
    assert result is not None
    assert (result["verdict"], result["rebooted"], result["outcome"]) == ("compliant", True, "succeeded")
    assert result["patches"]["installed"] == ["KB1", "KB2"]
    assert result["agentVersions"] == {"before": "3.1", "after": "3.3"}
    assert result["images"] == {"before": made_image("ami-1")}
    assert (result["powerBefore"], result["powerAfter"]) == ("running", "running")
    assert [outcome["commandId"] for outcome in result["outcomes"]] == ["c-1"]
    assert len(untold_results(world.table).read) == 1


def test_updated_agents_are_in_the_result_and_the_machine_is_not_called_patched(world: World) -> None:
    world.set_policy(operation="UpdateAgents", hooks={"onExit": "JoinCluster"})
    world.hold()
    agents = [{"agent": "AmazonSSMAgent", "name": "SSM Agent", "before": "3.1", "after": "3.3", "verdict": "updated"}]
    verified = {"verdict": "updated", "rebooted": False, "agents": agents}

    released = release(world, installs=[], updates={"AmazonSSMAgent": INSTALL}, verified=verified)

    assert (released["outcome"], released["verdict"]) == ("succeeded", "updated")
    result = world.result
    assert result is not None
    assert (result["agents"], result["hooks"], result["patches"]["installed"]) == (agents, {}, [])
    assert [outcome["commandId"] for outcome in result["outcomes"]] == ["c-1"]
    assert "DrydockCompleted" not in world.ec2.tags(INSTANCE)


def test_the_day_of_completion_is_that_of_the_people_who_read_it(world: World) -> None:
    world.hold()
    world.clock.at = START.replace(hour=16)

    release(world)

    assert world.ec2.tags(INSTANCE)["DrydockCompleted"] == "2026-01-14"


def test_every_command_has_its_log_key(world: World) -> None:
    world.hold()
    world.run("install_patches", world.event("Install Patches", {"reboot": True}))

    release(world, failure=FAILURE, verified=None)

    assert world.result is not None
    (command,) = world.result["commands"]
    sent = world.command
    assert command["logKey"] == f"drydock/{INSTANCE}/night-1/{sent.command_id}/{INSTANCE}/"
    assert (command["step"], command["document"], command["parameters"]) == (
        "install",
        sent.document,
        sent.parameters,
    )


def test_releasing_twice_is_releasing_once(world: World) -> None:
    world.hold()
    first = release(world)
    told = world.result
    world.clock.move(minutes=5)
    world.ec2.faults.made.clear()

    second = release(world)

    assert second == first
    assert world.result == told
    assert world.ec2.faults.made == []


@pytest.mark.parametrize(
    ("operation", "failure"),
    [("deprecate_image", None), ("describe_instance", None), ("describe_instance", FAILURE)],
    ids=str,
)
def test_a_function_that_dies_in_the_middle_is_carried_on(world: World, operation: str, failure: Any) -> None:
    world.hold()
    with_image(world)
    world.ec2.faults.after[operation] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        release(world, failure=failure)
    assert world.lease is not None, "the lease goes last"

    release(world, failure=failure)

    assert world.lease is None
    assert world.result is not None and world.result["outcome"] == ("failed" if failure else "succeeded")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_function_that_dies_around_the_end_of_the_lease_is_carried_on(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    world.hold()
    end = Table.write_together

    def die(self: Table, *arguments: Any) -> None:
        monkeypatch.setattr(Table, "write_together", end)
        if moment == "after":
            end(self, *arguments)
        raise FunctionDiedError

    monkeypatch.setattr(Table, "write_together", die)
    with pytest.raises(FunctionDiedError):
        release(world)

    released = release(world)

    assert (released["outcome"], released["failure"]) == ("succeeded", None)
    assert world.lease is None
    assert world.result is not None and world.result["outcome"] == "succeeded"


@pytest.mark.parametrize("journaled", ["", "Completed"])
def test_after_a_failure_the_state_tag_is_what_it_was_and_the_result_waits_to_be_told(
    world: World, journaled: str
) -> None:
    world.hold(stateTag=journaled)

    released = release(world, failure=FAILURE, verified=None, isPatching=False, probeAfter=None, installs=[])

    assert released["outcome"] == "failed"
    assert released["failure"] == {"error": "ImageFailedError", "cause": "image ami-1 is failed"}
    assert world.ec2.tags(INSTANCE).get("DrydockState", "") == journaled
    assert "DrydockCompleted" not in world.ec2.tags(INSTANCE)
    assert len(untold_results(world.table).read) == 1
    assert world.result is not None
    assert (world.result["outcome"], world.result["verdict"]) == ("failed", "not_patched")


@pytest.mark.parametrize("failure", [None, FAILURE], ids=["well", "badly"])
@pytest.mark.parametrize(
    ("journaled", "found", "left"),
    [("", STACK, ""), ("before", STACK, "before"), ("", "night", "night"), ("", "", "")],
    ids=["none before", "another before", "changed meanwhile", "removed meanwhile"],
)
def test_the_tag_of_the_stack_is_what_it_was_unless_somebody_has_changed_it(
    world: World, failure: Any, journaled: str, found: str, left: str
) -> None:
    world.hold(stackTag=journaled)
    world.ec2.put_tags(INSTANCE, DrydockStack=found)

    release(world, failure=failure)

    assert world.ec2.tags(INSTANCE).get("DrydockStack", "") == left


def test_after_a_failure_in_the_middle_of_patching_the_verdict_is_unknown(world: World) -> None:
    world.hold()

    release(world, failure=FAILURE, verified=None)

    assert world.result is not None and world.result["verdict"] == "unknown"


def test_a_scan_does_not_call_the_machine_completed(world: World) -> None:
    world.set_policy(operation="Scan")
    world.hold(stateTag="")

    release(world)

    assert "DrydockState" not in world.ec2.tags(INSTANCE)
    assert "DrydockCompleted" not in world.ec2.tags(INSTANCE)


@pytest.mark.parametrize("failure", [None, FAILURE], ids=["well", "badly"])
@pytest.mark.parametrize("tag", ["Quarantine", "Failed"])
def test_a_state_tag_that_somebody_has_changed_meanwhile_is_theirs(world: World, failure: Any, tag: str) -> None:
    world.hold(stateTag="before")
    world.ec2.put_tags(INSTANCE, DrydockState=tag)

    release(world, failure=failure)

    assert world.ec2.tags(INSTANCE)["DrydockState"] == tag
    assert "DrydockCompleted" not in world.ec2.tags(INSTANCE)


def test_a_zone_that_is_not_known_fails_no_release(world: World) -> None:
    world.services.environment = replace(world.services.environment, time_zone="Asia/Tokio")
    world.hold()
    world.clock.at = START.replace(hour=16)

    assert release(world)["outcome"] == "succeeded"
    assert world.ec2.tags(INSTANCE)["DrydockCompleted"] == "2026-01-13"


def test_an_image_whose_id_could_not_be_stored_is_told_and_followed(world: World) -> None:
    world.hold()
    world.ec2.faults.after["create_image"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        world.run("back_up", world.event("Back Up Before", {"moment": "Before"}))

    released = release(world, failure=FAILURE)

    (image_id,) = world.ec2.images
    assert released["images"] == {"before": made_image(image_id, "pending")}
    assert [watch.image_id for watch in watches_of(world.table, INSTANCE)] == [image_id]


def test_an_execution_whose_name_was_used_before_is_released_with_a_result_of_its_own(world: World) -> None:
    in_autumn = START - timedelta(days=91)
    put_result(world.table, a_result("failed", started=in_autumn, ended=in_autumn))
    world.hold()

    released = release(world)

    assert released["outcome"] == "succeeded"
    assert world.lease is None
    assert world.result is not None and world.result["outcome"] == "succeeded"


@pytest.mark.parametrize(
    ("outcome", "released_as"), [("succeeded", "succeeded"), ("failed", "refused")], ids=["well", "badly"]
)
def test_a_redrive_of_an_execution_that_released_its_machine_well_succeeds(
    world: World, outcome: str, released_as: str
) -> None:
    world.hold()
    release(world, failure=None if outcome == "succeeded" else FAILURE)
    event = world.event("Release Instance", {**GOOD, "failure": FAILURE}, holder=Holder(HOLDER.execution, 1))

    released = world.run("release_instance", event)

    assert released["outcome"] == released_as
    outcomes = sorted(item["outcome"] for item in world.table.query(SUBJECT.partition, "RESULT#"))
    assert outcomes == (["succeeded"] if outcome == "succeeded" else ["failed", "refused"])
    assert len(untold_results(world.table).read) == len(outcomes)


def test_a_tag_that_cannot_be_written_is_reported_and_fails_nothing(world: World) -> None:
    world.hold()
    world.ec2.faults.before["set_tags"] = AwsCallFailedError("denied")

    assert release(world)["outcome"] == "succeeded"
    assert world.result is not None
    (problem,) = world.result["problems"]
    assert "denied" in problem


def test_a_machine_that_was_refused_has_a_result_and_is_not_touched(world: World) -> None:
    event = world.event("Release Instance", {"failure": FAILURE, "runId": "run-7"})
    event.update(policy={}, machine={})

    released = world.run("release_instance", event)

    assert released["outcome"] == "refused"
    assert world.result is not None
    assert (world.result["outcome"], world.result["runId"]) == ("refused", "run-7")
    assert world.ec2.faults.made == []
    assert world.run("release_instance", event) == released


def test_a_refused_execution_leaves_the_lease_and_tags_of_the_other_alone(world: World) -> None:
    world.hold(holder=Holder(OTHER_EXECUTION, 0))

    released = release(world, failure={"error": "InstanceBusyError", "cause": "busy"})

    assert released["outcome"] == "refused"
    assert world.lease is not None and world.lease.holder.execution == OTHER_EXECUTION
    assert world.ec2.faults.made == []


def test_an_execution_whose_admission_died_reports_a_refusal_and_leaves_the_lease_to_give_back(world: World) -> None:
    hold_as(world.table, HOLDER, SUBJECT).take(START)

    released = release(world, failure={"error": "States.Timeout", "cause": ""})

    assert released["outcome"] == "refused"
    assert world.lease is not None
    assert world.ec2.faults.made == []


def test_a_result_that_stands_already_does_not_keep_the_lease(world: World) -> None:
    put_result(world.table, a_result("refused", ended=world.clock()))
    world.hold()
    world.end_execution("ABORTED")
    world.clock.move(seconds=76)

    world.run("give_back", {"subject": INSTANCE})

    assert world.lease is None


def test_a_machine_that_is_being_given_back_is_not_released_by_the_flow(world: World) -> None:
    world.hold()
    assert world.lease is not None
    hold_as(world.table, world.lease.holder, world.lease.subject, world.clock()).begin_restoring(world.lease)

    with pytest.raises(LeaseLostError, match="given back"):
        release(world, failure=FAILURE)

    assert world.lease is not None and world.lease.phase == RESTORING
    assert world.ec2.faults.made == []
    world.end_execution("ABORTED")
    world.clock.move(seconds=76)
    world.run("give_back", {"subject": INSTANCE})
    assert world.lease is None
    assert world.result is not None and world.result["outcome"] == "failed", "it was touched, so it was not refused"


HOOKS = {"preInstall": "A", "postInstall": "", "onExit": "C"}


@pytest.mark.parametrize(
    ("policy", "reported", "outcomes"),
    [
        ({"operation": "Install", "hooks": HOOKS}, {}, {"preInstall": "failed", "onExit": "failed"}),
        (
            {"operation": "Install", "hooks": HOOKS},
            {"preInstall": "ran", "onExit": "failed"},
            {"preInstall": "ran", "onExit": "failed"},
        ),
        (
            {"operation": "Install", "hooks": HOOKS},
            {"preInstall": "not_needed", "postInstall": "not_needed", "onExit": "ran"},
            {"preInstall": "not_needed", "onExit": "ran"},
        ),
        ({"operation": "Scan", "hooks": HOOKS}, {}, {}),
        ({}, {}, {}),
    ],
    ids=["none ran", "one ran", "not needed", "scan", "refused"],
)
def test_every_hook_that_was_asked_for_has_an_outcome(policy: Any, reported: Any, outcomes: dict[str, str]) -> None:
    assert hook_outcomes(policy, reported) == outcomes
