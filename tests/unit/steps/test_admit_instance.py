"""Admit Instance: lease, journal and tag, or nothing at all."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from drydock.aws.table import Table
from drydock.errors import (
    AwsCallFailedError,
    DocumentError,
    DrydockError,
    InstanceBusyError,
    InstanceExcludedError,
    InstanceInGroupError,
    InstanceNotFoundError,
    InstanceNotPatchableError,
    InstanceNotReadyError,
    InstanceNotRunningError,
    InstanceOfOtherStackError,
    InstanceUnmanagedError,
    InvalidInputError,
    InvalidPolicyError,
    NotInRunError,
    ServiceUnavailableError,
    UnreadableItemError,
)
from drydock.machine.evidence import NOTHING_KNOWN
from drydock.records.group_leases import claim_member, end_member
from drydock.records.holder import Holder
from drydock.records.leases import ACTIVE, ADMITTING, find_lease, lease_key
from drydock.records.runs import Place, open_run, put_place
from drydock.request.policy import DEFAULTS
from drydock.subject import Group
from drydock.times import to_text
from tests.unit.fakes import START, FunctionDiedError, agent, patch_state
from tests.unit.world import HOLDER, INSTANCE, OTHER_EXECUTION, STACK, SUBJECT, World, hold_as

OTHER = Holder(OTHER_EXECUTION, 0)
ROLL = Holder(OTHER_EXECUTION.replace("PatchInstance", "RollGroup"), 0)
RUN = Holder(OTHER_EXECUTION.replace("PatchInstance", "MaintenanceRun"), 0)
MEMBER = Holder(f"{OTHER_EXECUTION}-{INSTANCE}", 0)
"""What the roll starts for the member."""


def admit(world: World, *, holder: Holder = HOLDER, **given: Any) -> dict[str, Any]:
    event = world.event("Admit Instance", holder=holder, given={"instanceId": INSTANCE, **given})
    admitted: dict[str, Any] = world.run("admit_instance", event)
    return admitted


def name_tags(**more: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in {"Name": "web-1", **more}.items()]


@pytest.mark.parametrize("power", ["running", "stopped"])
def test_an_admitted_machine_has_a_lease_a_journal_and_a_tag(world: World, power: str) -> None:
    world.ec2.set_state(INSTANCE, power, Tags=name_tags(DrydockState="Completed", PatchGroup="web"))
    world.ssm.patch_states[INSTANCE] = patch_state(missing=2)
    world.ssm.patches = {(INSTANCE, "Missing"): ["KB1", "KB2"]}

    admitted = admit(world)

    assert world.lease is not None
    assert (world.lease.phase, world.lease.holder) == (ACTIVE, HOLDER)
    assert world.lease.journal["power"] == power
    assert world.lease.journal["stateTag"] == "Completed"
    assert world.lease.journal["patchGroup"] == "web"
    assert world.ec2.tags(INSTANCE)["DrydockState"] == "InProgress"
    assert world.ec2.tags(INSTANCE)["DrydockStack"] == STACK
    assert admitted["instanceId"] == INSTANCE
    assert (admitted["machine"]["power"], admitted["machine"]["name"]) == (power, "web-1")
    assert admitted["patchesBefore"]["missingPatches"] == ["KB1", "KB2"]


def test_admitting_twice_is_admitting_once(world: World) -> None:
    first = admit(world)
    world.clock.move(minutes=2)
    world.ec2.set_state(INSTANCE, "stopped")

    second = admit(world)

    assert second == first, "the journal of the first time counts, whatever became of the machine since"
    assert world.lease is not None and world.lease.since == START
    assert world.lease.journal["power"] == "running"


def test_the_state_tag_of_before_survives_a_second_admission(world: World) -> None:
    world.ec2.instances[INSTANCE]["Tags"] = name_tags(DrydockState="Failed")
    admit(world)
    admit(world)

    assert world.lease is not None and world.lease.journal["stateTag"] == "Failed"


@pytest.mark.parametrize(
    ("found", "journaled"),
    [
        ({}, ("", "")),
        ({"DrydockState": "Parked", "DrydockStack": "night"}, ("Parked", "night")),
        ({"DrydockState": "InProgress"}, ("InProgress", "")),
        ({"DrydockState": "InProgress", "DrydockStack": STACK}, ("", "")),
    ],
    ids=["none", "of somebody else", "without a stack", "left over by this stack"],
)
def test_the_tags_of_before_are_journaled_but_not_what_this_stack_has_left_over(
    world: World, found: dict[str, str], journaled: tuple[str, str]
) -> None:
    world.ec2.instances[INSTANCE]["Tags"] = name_tags(**found)

    admit(world)

    assert world.lease is not None
    assert (world.lease.journal["stateTag"], world.lease.journal["stackTag"]) == journaled


@pytest.mark.parametrize("operation", ["describe_instance", "set_tags"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_function_that_dies_in_admission_is_carried_on_by_the_next_one(
    world: World, operation: str, moment: str
) -> None:
    getattr(world.ec2.faults, moment)[operation] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        admit(world)

    admit(world)

    assert world.lease is not None and world.lease.phase == ACTIVE
    assert world.lease.journal["power"] == "running"
    assert world.ec2.tags(INSTANCE)["DrydockState"] == "InProgress"


@pytest.mark.parametrize("error", [AwsCallFailedError("denied"), ServiceUnavailableError("throttled")])
def test_a_tag_that_cannot_be_written_fails_nothing(world: World, error: Exception) -> None:
    world.ec2.faults.before["set_tags"] = error

    assert admit(world)["instanceId"] == INSTANCE
    assert world.lease is not None and world.lease.phase == ACTIVE


def test_a_throttled_call_leaves_no_lease_and_can_be_tried_again(world: World) -> None:
    world.ec2.faults.before["describe_instance"] = ServiceUnavailableError("throttled")
    with pytest.raises(ServiceUnavailableError):
        admit(world)
    assert world.lease is None

    admit(world)
    assert world.lease is not None


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda world: world.ec2.instances.clear(), InstanceNotFoundError),
        (lambda world: world.ec2.set_state(INSTANCE, "terminated"), InstanceNotFoundError),
        (lambda world: world.ec2.set_state(INSTANCE, "stopping"), InstanceNotReadyError),
        (lambda world: world.ec2.set_state(INSTANCE, "pending"), InstanceNotReadyError),
        (lambda world: world.ec2.instances[INSTANCE].update(Tags=name_tags(DrydockExclude="x")), InstanceExcludedError),
        (
            lambda world: world.ec2.put_tags(INSTANCE, DrydockState="InProgress", DrydockStack="night"),
            InstanceOfOtherStackError,
        ),
        (
            lambda world: world.ec2.instances[INSTANCE].update(Tags=name_tags(**{"aws:autoscaling:groupName": "g"})),
            InstanceInGroupError,
        ),
        (lambda world: world.ec2.set_state(INSTANCE, "running", RootDeviceType="store"), InstanceNotPatchableError),
        (
            lambda world: world.ec2.set_state(INSTANCE, "running", PlatformDetails="macOS"),
            InstanceNotPatchableError,
        ),
        (lambda world: world.ssm.agents.clear(), InstanceUnmanagedError),
        (lambda world: world.ssm.agents.update({INSTANCE: agent(START, online=False)}), InstanceUnmanagedError),
        (
            lambda world: (world.ec2.set_state(INSTANCE, "stopped"), world.ec2.stop_protected.add(INSTANCE)),
            InstanceNotPatchableError,
        ),
    ],
    ids=[
        "unknown",
        "terminated",
        "stopping",
        "pending",
        "excluded",
        "in work elsewhere",
        "in a group",
        "instance store",
        "macOS",
        "unmanaged",
        "agent not online",
        "stop-protected and stopped",
    ],
)
def test_a_machine_that_is_refused_is_not_touched(world: World, spoil: Any, error: type[DrydockError]) -> None:
    spoil(world)

    with pytest.raises(error):
        admit(world)

    assert world.lease is None
    assert set(world.ec2.faults.made) <= {"describe_instance"}
    assert world.ssm.sent == []


def test_a_stop_protected_machine_that_runs_need_not_be_stopped(world: World) -> None:
    world.ec2.stop_protected.add(INSTANCE)

    assert admit(world)["machine"]["power"] == "running"


def test_a_stopped_machine_need_not_be_known_to_systems_manager_yet(world: World) -> None:
    world.ec2.set_state(INSTANCE, "stopped")
    world.ssm.agents.clear()

    assert admit(world)["machine"]["power"] == "stopped"


def test_what_was_missing_before_windows_update_is_not_known_from_the_patch_baseline(world: World) -> None:
    world.ec2.set_state(INSTANCE, "running", Platform="windows")
    world.ssm.patch_states[INSTANCE] = patch_state(missing=2)

    admitted = admit(world, policy={"document": "AWS-InstallWindowsUpdates"})

    assert admitted["patchesBefore"] == NOTHING_KNOWN


@pytest.mark.parametrize(
    ("tags", "admitted"),
    [({"Patching": "true"}, True), ({"Patching": "no"}, False), ({}, False)],
    ids=["tagged", "tagged otherwise", "not tagged"],
)
def test_a_stack_with_a_guard_tag_admits_only_what_has_it(world: World, tags: dict[str, str], admitted: bool) -> None:
    world.services.environment = replace(world.services.environment, guard_tag="Patching")
    world.ec2.put_tags(INSTANCE, **tags)

    if admitted:
        admit(world)
    else:
        with pytest.raises(InstanceNotPatchableError, match="the tag Patching = true"):
            admit(world)

    assert (world.lease is not None) is admitted


def test_the_answer_of_the_activation_may_be_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    update = Table.update

    def update_twice(self: Table, *arguments: Any) -> Any:
        update(self, *arguments)
        return update(self, *arguments)

    monkeypatch.setattr(Table, "update", update_twice)

    assert admit(world)["instanceId"] == INSTANCE
    assert world.lease is not None and world.lease.phase == ACTIVE


def test_a_scan_does_not_start_a_stopped_machine_unless_told_to(world: World) -> None:
    world.ec2.set_state(INSTANCE, "stopped")
    with pytest.raises(InstanceNotRunningError):
        admit(world, policy={"operation": "Scan"})
    assert world.lease is None

    admit(world, policy={"operation": "Scan", "startForScan": True})
    assert world.lease is not None


@pytest.mark.parametrize(
    ("given", "settings", "error"),
    [
        ({"policy": {"reboot": "maybe"}}, "{}", InvalidPolicyError),
        ({}, '{"reboot": "maybe"}', InvalidPolicyError),
        ({}, "not JSON", InvalidPolicyError),
        ({"instanceID": "x"}, "{}", InvalidInputError),
    ],
    ids=["policy", "settings", "settings that are not JSON", "input"],
)
def test_a_wrong_input_takes_no_lease_and_asks_ec2_nothing(
    world: World, given: dict[str, Any], settings: str, error: type[DrydockError]
) -> None:
    world.ssm.parameters["/drydock/policy"] = settings

    with pytest.raises(error):
        admit(world, **given)

    assert world.lease is None
    assert world.ec2.faults.made == []


def test_without_settings_the_defaults_count(world: World) -> None:
    assert world.ssm.parameters == {}

    assert admit(world)["policy"] == DEFAULTS


def test_the_settings_of_the_account_count(world: World) -> None:
    world.ssm.parameters["/drydock/policy"] = json.dumps({"notify": "each", "backup": {"after": {"take": False}}})

    policy = admit(world, policy={"notify": "summary"})["policy"]

    assert (policy["notify"], policy["backup"]["after"]["take"], policy["backup"]["before"]["take"]) == (
        "summary",
        False,
        True,
    )


def test_every_document_that_cannot_run_is_named_before_the_lease_is_active(world: World) -> None:
    world.ssm.bad_documents = {"Hook-A": "Hook-A: does not exist", "Probe-B": "Probe-B: is for Windows"}

    with pytest.raises(DocumentError) as refused:
        admit(world, policy={"hooks": {"preInstall": "Hook-A", "onExit": "Good"}, "healthProbe": "Probe-B"})

    assert "Hook-A" in str(refused.value) and "Probe-B" in str(refused.value)
    assert world.lease is None


@pytest.mark.parametrize("operation", ["Scan", "UpdateAgents"])
def test_hooks_are_for_installations_so_otherwise_their_documents_do_not_matter(world: World, operation: str) -> None:
    world.ssm.bad_documents = {"Hook-A": "document Hook-A: does not exist"}

    admit(world, policy={"operation": operation, "hooks": {"preInstall": "Hook-A"}})

    assert world.lease is not None


def test_the_health_probe_of_an_update_of_agents_has_to_be_there(world: World) -> None:
    world.ssm.bad_documents = {"Probe-B": "document Probe-B: does not exist"}

    with pytest.raises(DocumentError, match="Probe-B"):
        admit(world, policy={"operation": "UpdateAgents", "healthProbe": "Probe-B"})


def test_patches_are_not_looked_at_where_agents_are_updated(world: World) -> None:
    admitted = admit(world, policy={"operation": "UpdateAgents"})

    assert admitted["patchesBefore"] == NOTHING_KNOWN
    assert "find_patch_state" not in world.ssm.faults.made


def test_a_machine_in_work_is_refused_and_its_lease_stays(world: World) -> None:
    world.hold(holder=OTHER)

    with pytest.raises(InstanceBusyError, match="night-2 has held it since 2026-01-13 01:00 UTC"):
        admit(world)

    assert world.lease is not None and world.lease.holder == OTHER
    assert world.clients.invoked == []
    assert "set_tags" not in world.ec2.faults.made


def test_a_machine_whose_owner_is_over_is_refused_and_given_back(world: World) -> None:
    world.hold(holder=OTHER)
    world.executions.statuses[OTHER_EXECUTION] = "ABORTED"

    with pytest.raises(InstanceBusyError, match="try again later"):
        admit(world)

    assert world.clients.invoked == [("drydock-give_back", {"subject": INSTANCE})]
    assert world.lease is not None and world.lease.holder == OTHER


def test_an_owner_that_step_functions_does_not_show_yet_is_not_taken_for_over(world: World) -> None:
    world.hold(holder=OTHER)
    world.executions.unknown.add(OTHER_EXECUTION)
    world.clock.move(minutes=15)
    with pytest.raises(InstanceBusyError):
        admit(world)
    assert world.clients.invoked == []

    world.clock.move(seconds=1)
    with pytest.raises(InstanceBusyError):
        admit(world)
    assert world.clients.invoked == [("drydock-give_back", {"subject": INSTANCE})]


def test_of_two_executions_that_admit_at_once_one_is_refused(world: World) -> None:
    hold_as(world.table, OTHER, SUBJECT).take(START)

    with pytest.raises(InstanceBusyError):
        admit(world)

    assert world.lease is not None
    assert (world.lease.holder, world.lease.phase) == (OTHER, ADMITTING)


def lease_group(world: World, *, named: str | None) -> None:
    """A roll holds the group, and has come to this member."""
    assert hold_as(world.table, ROLL, Group("web"), world.clock()).take(START) is None
    hold_as(world.table, ROLL, Group("web"), world.clock()).activate({"runId": ""}, "suspend")
    if named is not None:
        claim_member(hold_as(world.table, ROLL, Group("web"), world.clock()), named)


@pytest.mark.parametrize(("named", "admitted"), [(INSTANCE, True), ("i-another", False), (None, False)])
def test_a_member_of_a_group_needs_the_groups_lease(world: World, named: str | None, admitted: bool) -> None:
    world.ec2.instances[INSTANCE]["Tags"] = name_tags(**{"aws:autoscaling:groupName": "web"})
    lease_group(world, named=named)

    if admitted:
        admit(world, holder=MEMBER, group="web", runId="a-roll-by-hand")
    else:
        with pytest.raises(InstanceInGroupError):
            admit(world, holder=MEMBER, group="web")

    assert (world.lease is not None) is admitted


def test_a_member_whose_groups_lease_says_of_no_run_is_not_patched_and_the_item_is_named(world: World) -> None:
    world.ec2.instances[INSTANCE]["Tags"] = name_tags(**{"aws:autoscaling:groupName": "web"})
    lease_group(world, named=INSTANCE)
    world.table.update(lease_key(Group("web")), "REMOVE journal.runId", "attribute_exists(pk)", {}, {})

    with pytest.raises(UnreadableItemError, match="GROUP#web LEASE is not as Drydock writes it"):
        admit(world, holder=MEMBER, group="web")

    assert world.lease is None


def test_a_member_whose_turn_is_over_is_not_patched_again(world: World) -> None:
    world.ec2.instances[INSTANCE]["Tags"] = name_tags(**{"aws:autoscaling:groupName": "web"})
    lease_group(world, named=INSTANCE)
    end_member(hold_as(world.table, ROLL, Group("web"), world.clock()), INSTANCE, {"outcome": "failed"})

    with pytest.raises(InstanceInGroupError):
        admit(world, holder=MEMBER, group="web")


def test_a_member_of_a_group_that_is_being_given_back_is_not_patched(world: World) -> None:
    world.ec2.instances[INSTANCE]["Tags"] = name_tags(**{"aws:autoscaling:groupName": "web"})
    lease_group(world, named=INSTANCE)
    lease = find_lease(world.table, Group("web"))
    assert lease is not None
    hold_as(world.table, lease.holder, lease.subject, world.clock()).begin_restoring(lease)

    with pytest.raises(InstanceInGroupError):
        admit(world, holder=MEMBER, group="web")


def test_a_member_in_turn_is_not_patched_by_an_execution_that_the_roll_has_not_started(world: World) -> None:
    world.ec2.instances[INSTANCE]["Tags"] = name_tags(**{"aws:autoscaling:groupName": "web"})
    lease_group(world, named=INSTANCE)

    with pytest.raises(InstanceInGroupError):
        admit(world, group="web", runId=ROLL.name)

    assert world.lease is None


PLACES = {
    "none": None,
    "of another execution": Place(SUBJECT, "web-1", execution=OTHER_EXECUTION, admitted=START),
    "that was not let in": Place(SUBJECT, "web-1", ended=START, outcome="not_attempted"),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("group", [{}, {"group": "web"}], ids=["machine", "of a group it says"])
def test_what_a_run_has_not_let_in_is_refused_and_told_although_it_names_the_run(
    world: World, place: Place | None, group: dict[str, str]
) -> None:
    given: dict[str, Any] = {"runId": RUN.name, **group}
    open_run(world.table, RUN, START)
    if place is not None:
        put_place(world.table, RUN.name, place, START)

    with pytest.raises(NotInRunError, match=f"{INSTANCE}: run {RUN.name} has not let this execution in") as refused:
        admit(world, **given)

    assert (world.lease, world.ec2.faults.made) == (None, ["describe_instance"])
    failure = {"error": "NotInRunError", "cause": str(refused.value)}
    world.run(
        "release_instance",
        world.event("Release", {"failure": failure, "runId": RUN.name}, machine={}, policy={"notify": "summary"}),
    )
    alert = {"subject": INSTANCE, "execution": HOLDER.execution, "redriveCount": 0, "startedAt": to_text(START)}
    world.run("alert_failure", alert)
    (message,) = world.clients.published
    assert "has not let this execution in" in message["Message"]


def test_an_id_of_no_run_opens_nothing(world: World) -> None:
    with pytest.raises(NotInRunError):
        admit(world, runId="nobodys-run")


def test_what_a_run_has_let_in_is_admitted(world: World) -> None:
    open_run(world.table, RUN, START)
    put_place(world.table, RUN.name, Place(SUBJECT, "web-1", execution=HOLDER.execution, admitted=START), START)

    assert admit(world, runId=RUN.name)["machine"]["runId"] == RUN.name


def test_a_redrive_does_not_take_over_the_lease_of_the_execution_before(world: World) -> None:
    admit(world)
    world.clock.move(minutes=5)

    with pytest.raises(InstanceBusyError):
        admit(world, holder=Holder(HOLDER.execution, 1))
