"""The simulated machines behave as EC2 and SSM do, failures included."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.s3.models import s3_backends

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.answers import check_shape
from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.world.fleet import Durations, Fleet, MachineSpec
from rehearsal.world.machines import InstallFailure

SNAPSHOT = "11111111-2222-4333-8444-555555555555"


class World:
    """An account with one machine or more, and the events that AWS put about them."""

    def __init__(self, account: EmbeddedAccount, fleet: Fleet) -> None:
        self.account = account
        self.fleet = fleet
        self.ec2 = account.client("ec2")
        self.ssm = account.client("ssm")
        self.events: list[dict[str, Any]] = []
        account.bus.interceptors.append(self._note)

    def _note(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def add(self, name: str = "web-1", **settings: Any) -> str:
        return self.fleet.add(MachineSpec(name, **settings))

    def wait(self, seconds: float) -> None:
        over: list[bool] = []
        self.account.clock.call_later(seconds, lambda: over.append(True))
        self.account.clock.run(until=lambda: bool(over))

    def instance(self, instance_id: str) -> dict[str, Any]:
        answer = self.ec2.describe_instances(InstanceIds=[instance_id])
        instance: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
        return instance

    def state(self, instance_id: str) -> str:
        name: str = self.instance(instance_id)["State"]["Name"]
        return name

    def agents(self) -> dict[str, dict[str, Any]]:
        answer = self.ssm.describe_instance_information()
        return {agent["InstanceId"]: agent for agent in answer["InstanceInformationList"]}

    def send(self, instance_id: str, document: str = "AWS-RunPatchBaseline", **parameters: str) -> str:
        answer = self.ssm.send_command(
            DocumentName=document,
            InstanceIds=[instance_id],
            Parameters={name: [value] for name, value in parameters.items()},
            TimeoutSeconds=600,
            Comment="a comment",
        )
        command_id: str = answer["Command"]["CommandId"]
        return command_id

    def scan(self, instance_id: str) -> str:
        command_id = self.send(instance_id, Operation="Scan", SnapshotId=SNAPSHOT)
        self.wait(100)
        return self.invocation(command_id)["Status"]  # type: ignore[no-any-return]

    def install(self, instance_id: str, reboot: str = "RebootIfNeeded", seconds: float = 1000) -> str:
        command_id = self.send(instance_id, Operation="Install", SnapshotId=SNAPSHOT, RebootOption=reboot)
        self.wait(seconds)
        return self.invocation(command_id)["Status"]  # type: ignore[no-any-return]

    def invocation(self, command_id: str) -> dict[str, Any]:
        answer = self.ssm.list_command_invocations(CommandId=command_id, Details=True)
        invocation: dict[str, Any] = answer["CommandInvocations"][0]
        return invocation

    def patches(self, instance_id: str) -> dict[str, Any]:
        answer = self.ssm.describe_instance_patch_states(InstanceIds=[instance_id])
        state: dict[str, Any] = answer["InstancePatchStates"][0]
        return state

    def statuses(self, detail_type: str, key: str = "status") -> list[str]:
        return [event["detail"][key] for event in self.events if event["detail-type"] == detail_type]


@pytest.fixture
def world() -> Iterator[World]:
    with EmbeddedAccount() as account, account.open_fleet() as fleet:
        yield World(account, fleet)


def _error_code(error: pytest.ExceptionInfo[ClientError]) -> str:
    code: str = error.value.response["Error"]["Code"]
    return code


# Power


def test_a_started_instance_boots_and_its_agent_pings_after_the_start(world: World) -> None:
    machine = world.add(power="stopped")
    before = world.fleet.machine(machine).boot_id
    assert world.agents() == {}
    started = world.account.clock.now()

    answer = world.ec2.start_instances(InstanceIds=[machine])
    assert answer["StartingInstances"][0]["PreviousState"]["Name"] == "stopped"
    assert world.state(machine) == "pending"
    world.wait(25)
    assert world.state(machine) == "running"
    assert _status(world, machine) == "initializing"
    assert world.agents()[machine]["PingStatus"] == "ConnectionLost"
    world.wait(60)

    assert _status(world, machine) == "ok"
    agent = world.agents()[machine]
    assert agent["PingStatus"] == "Online"
    assert agent["LastPingDateTime"] > world.instance(machine)["LaunchTime"] >= started
    assert world.fleet.machine(machine).boot_id != before
    states = world.statuses("EC2 Instance State-change Notification", "state")
    assert states == ["pending", "running"]


def test_a_stopped_instance_says_who_stopped_it_and_leaves_the_managed_nodes(world: World) -> None:
    machine = world.add()
    world.ec2.stop_instances(InstanceIds=[machine])
    assert world.state(machine) == "stopping"
    world.wait(50)
    assert world.state(machine) == "stopped"
    assert world.instance(machine)["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert world.agents() == {}


def test_a_start_can_fall_back_to_stopped_with_its_reason(world: World) -> None:
    machine = world.add(power="stopped", wrong=("start_falls_back",))
    world.ec2.start_instances(InstanceIds=[machine])
    world.wait(60)
    assert world.state(machine) == "stopped"
    assert world.instance(machine)["StateReason"]["Code"] == "Client.InternalError"
    states = world.statuses("EC2 Instance State-change Notification", "state")
    assert states == ["pending", "stopped"]


def test_a_protected_instance_is_not_stopped(world: World) -> None:
    machine = world.add(stop_protection=True)
    with pytest.raises(ClientError) as refused:
        world.ec2.stop_instances(InstanceIds=[machine])
    assert _error_code(refused) == "OperationNotPermitted"
    assert world.state(machine) == "running"


def test_what_is_running_already_is_not_started_again(world: World) -> None:
    machine = world.add()
    launched = world.instance(machine)["LaunchTime"]
    answer = world.ec2.start_instances(InstanceIds=[machine])
    assert answer["StartingInstances"][0]["CurrentState"]["Name"] == "running"
    assert world.instance(machine)["LaunchTime"] == launched
    assert world.statuses("EC2 Instance State-change Notification", "state") == []


def test_a_machine_terminated_by_somebody_is_gone_for_good(world: World) -> None:
    machine = world.add()
    world.fleet.terminate_behind_the_back(machine)
    world.wait(40)
    assert world.state(machine) == "terminated"
    with pytest.raises(ClientError) as refused:
        world.ec2.start_instances(InstanceIds=[machine])
    assert _error_code(refused) == "IncorrectInstanceState"
    with pytest.raises(ClientError) as refused:
        world.send(machine, Operation="Scan")
    assert _error_code(refused) == "InvalidInstanceId"


def test_an_instance_in_between_can_be_neither_started_nor_stopped(world: World) -> None:
    machine = world.add()
    world.ec2.stop_instances(InstanceIds=[machine])
    with pytest.raises(ClientError) as refused:
        world.ec2.start_instances(InstanceIds=[machine])
    assert _error_code(refused) == "IncorrectInstanceState"
    world.wait(50)
    world.ec2.start_instances(InstanceIds=[machine])
    with pytest.raises(ClientError) as refused:
        world.ec2.stop_instances(InstanceIds=[machine])
    assert _error_code(refused) == "IncorrectInstanceState"


def test_unknown_and_malformed_instances_are_refused_by_name(world: World) -> None:
    with pytest.raises(ClientError) as refused:
        world.ec2.describe_instances(InstanceIds=["i-0123456789abcdef0"])
    assert _error_code(refused) == "InvalidInstanceID.NotFound"
    with pytest.raises(ClientError) as refused:
        world.ec2.start_instances(InstanceIds=["web-1"])
    assert _error_code(refused) == "InvalidInstanceID.Malformed"


def test_what_a_fleet_says_of_a_machine_is_what_ec2_shows(world: World) -> None:
    machine = world.add(platform="Windows", lifecycle="spot", root_device="instance-store", tags={"WinUpdate": "ON"})
    shown = world.instance(machine)
    assert shown["Platform"] == "windows"
    assert shown["InstanceLifecycle"] == "spot"
    assert shown["RootDeviceType"] == "instance-store"
    assert {"Key": "Name", "Value": "web-1"} in shown["Tags"]
    attribute = world.ec2.describe_instance_attribute(InstanceId=machine, Attribute="disableApiStop")
    assert attribute["DisableApiStop"]["Value"] is False
    assert "Platform" not in world.instance(world.add("db-1"))


def test_tags_are_written_and_taken_away(world: World) -> None:
    machine = world.add()
    world.ec2.create_tags(Resources=[machine], Tags=[{"Key": "DrydockState", "Value": "InProgress"}])
    found = world.ec2.describe_instances(Filters=[{"Name": "tag:DrydockState", "Values": ["In*"]}])
    assert len(found["Reservations"]) == 1
    world.ec2.delete_tags(Resources=[machine], Tags=[{"Key": "DrydockState"}])
    assert world.instance(machine)["Tags"] == [{"Key": "Name", "Value": "web-1"}]


def _status(world: World, machine: str) -> str:
    answer = world.ec2.describe_instance_status(InstanceIds=[machine], IncludeAllInstances=True)
    status: str = answer["InstanceStatuses"][0]["InstanceStatus"]["Status"]
    return status


def test_a_hibernated_instance_says_so_and_goes_on_with_its_memory(world: World) -> None:
    """Reason and state: API_StateReason and "How Amazon EC2 instance hibernation works" in the EC2 User Guide."""
    machine = world.add(power="stopped", hibernated=True, pending_reboot=True)
    described = world.instance(machine)
    assert described["HibernationOptions"] == {"Configured": True}
    assert described["State"]["Name"] == "stopped"
    assert described["StateReason"]["Code"] == "Client.UserInitiatedHibernate"
    before = world.fleet.machine(machine).boot_id

    world.ec2.start_instances(InstanceIds=[machine])
    world.wait(200)

    woken = world.fleet.machine(machine)
    assert (woken.serves, woken.agent_online, woken.boot_id) == (True, True, before)
    assert woken.pending_reboot, "nothing was booted"
    assert not woken.lost_memory


def test_a_hibernated_instance_that_is_started_and_stopped_has_lost_its_memory(world: World) -> None:
    machine = world.add(power="stopped", hibernated=True)
    world.ec2.start_instances(InstanceIds=[machine])
    world.wait(200)

    world.ec2.stop_instances(InstanceIds=[machine])
    world.wait(200)
    assert world.fleet.machine(machine).lost_memory
    assert world.instance(machine)["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


def test_an_instance_that_a_service_owns_is_changed_by_nobody_but_for_its_tags(world: World) -> None:
    """ "Amazon EC2 managed instances" in the EC2 User Guide."""
    machine = world.add(operator="eks.amazonaws.com")
    assert world.instance(machine)["Operator"] == {"Managed": True, "Principal": "eks.amazonaws.com"}
    assert world.instance(world.add("mine"))["Operator"] == {"Managed": False}

    for change in (world.ec2.start_instances, world.ec2.stop_instances, world.ec2.terminate_instances):
        with pytest.raises(ClientError, match=r"is managed by eks\.amazonaws\.com"):
            change(InstanceIds=[machine])
    with pytest.raises(ClientError, match=r"is managed by eks\.amazonaws\.com"):
        world.ec2.create_image(InstanceId=machine, Name="image-of-it")
    world.ec2.create_tags(Resources=[machine], Tags=[{"Key": "Owner", "Value": "platform"}])
    assert {"Key": "Owner", "Value": "platform"} in world.instance(machine)["Tags"]


# Images


def _image(world: World, machine: str, name: str = "web-1_before", no_reboot: bool = False) -> str:
    tags = [{"Key": "DrydockKeep", "Value": "yes"}]
    answer = world.ec2.create_image(
        InstanceId=machine,
        Name=name,
        NoReboot=no_reboot,
        TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")],
    )
    image_id: str = answer["ImageId"]
    return image_id


def test_an_image_takes_time_and_reboots_the_running_machine(world: World) -> None:
    machine = world.add()
    before = world.fleet.machine(machine).boot_id
    image_id = _image(world, machine)
    (image,) = world.ec2.describe_images(ImageIds=[image_id])["Images"]
    assert image["State"] == "pending"
    assert not world.fleet.machine(machine).agent_online
    assert world.state(machine) == "running"
    world.wait(301)

    (image,) = world.ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": ["web-1_before"]}])[
        "Images"
    ]
    assert image["State"] == "available"
    assert image["Tags"] == [{"Key": "DrydockKeep", "Value": "yes"}]
    snapshot = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    assert world.fleet.tags(snapshot) == {"DrydockKeep": "yes"}
    assert world.fleet.machine(machine).agent_online
    assert world.fleet.machine(machine).boot_id != before
    assert world.statuses("EC2 AMI State Change", "State") == ["available"]
    assert world.statuses("EC2 Instance State-change Notification", "state") == []


def test_an_image_without_reboot_leaves_the_machine_alone(world: World) -> None:
    machine = world.add()
    before = world.fleet.machine(machine).boot_id
    _image(world, machine, no_reboot=True)
    world.wait(301)
    assert world.fleet.machine(machine).boot_id == before


def test_a_failed_image_says_why(world: World) -> None:
    machine = world.add(wrong=("image_fails",))
    image_id = _image(world, machine)
    world.wait(301)
    (image,) = world.ec2.describe_images(ImageIds=[image_id])["Images"]
    assert image["State"] == "failed"
    assert image["StateReason"]["Message"]
    assert world.statuses("EC2 AMI State Change", "State") == ["failed"]


def test_an_image_name_is_used_once(world: World) -> None:
    machine = world.add(power="stopped")
    _image(world, machine)
    with pytest.raises(ClientError) as refused:
        _image(world, machine)
    assert _error_code(refused) == "InvalidAMIName.Duplicate"
    with pytest.raises(ClientError) as refused:
        _image(world, machine, name="a:b:c")
    assert _error_code(refused) == "InvalidAMIName.Malformed"


def test_an_image_gets_a_deprecation_date_that_is_not_in_the_past(world: World) -> None:
    image_id = _image(world, world.add())
    now = world.account.clock.now()
    world.ec2.enable_image_deprecation(ImageId=image_id, DeprecateAt=now + timedelta(days=30))
    (image,) = world.ec2.describe_images(ImageIds=[image_id])["Images"]
    assert datetime.fromisoformat(image["DeprecationTime"].replace("Z", "+00:00")) > now + timedelta(days=29)
    with pytest.raises(ClientError):
        world.ec2.enable_image_deprecation(ImageId=image_id, DeprecateAt=now - timedelta(days=1))
    with pytest.raises(ClientError) as refused:
        world.ec2.describe_images(ImageIds=["ami-0123456789abcdef0"])
    assert _error_code(refused) == "InvalidAMIID.NotFound"


# Agents


def test_an_agent_pings_every_five_minutes_and_is_lost_after_a_while(world: World) -> None:
    machine = world.add()
    pinged = world.agents()[machine]["LastPingDateTime"]
    assert world.account.clock.now() - pinged < timedelta(minutes=5)
    world.wait(301)
    again = world.agents()[machine]["LastPingDateTime"]
    assert again - pinged == timedelta(minutes=5)
    world.fleet.machine(machine).agent.disconnect()
    assert world.agents()[machine]["PingStatus"] == "Online"
    world.wait(600)
    assert world.agents()[machine]["PingStatus"] == "ConnectionLost"


def test_unmanaged_and_unknown_nodes_differ(world: World) -> None:
    machine = world.add(managed=False)
    ask = world.ssm.describe_instance_information
    found = ask(Filters=[{"Key": "InstanceIds", "Values": [machine]}])
    assert found["InstanceInformationList"] == []
    with pytest.raises(ClientError) as refused:
        ask(InstanceInformationFilterList=[{"key": "InstanceIds", "valueSet": ["i-0123456789abcdef0"]}])
    assert _error_code(refused) == "InvalidInstanceId"
    with pytest.raises(ClientError) as refused:
        world.send(machine, Operation="Scan")
    assert _error_code(refused) == "InvalidInstanceId"


def test_an_agent_that_never_comes_online_stays_lost(world: World) -> None:
    machine = world.add(power="stopped", wrong=("agent_never_online",))
    world.ec2.start_instances(InstanceIds=[machine])
    world.wait(600)
    assert world.state(machine) == "running"
    agent = world.agents()[machine]
    assert agent["PingStatus"] == "ConnectionLost"
    assert agent["LastPingDateTime"] < world.instance(machine)["LaunchTime"]


def test_an_agent_is_updated(world: World) -> None:
    machine = world.add(agent_version="3.2.0.0")
    world.send(machine, "AWS-UpdateSSMAgent", version="3.3.1611.0")
    world.wait(60)
    assert world.agents()[machine]["AgentVersion"] == "3.3.1611.0"


# Commands


def test_a_command_is_unseen_for_a_moment_then_runs_and_is_told_by_events(world: World) -> None:
    machine = world.add()
    world.fleet.add_document("drydock-Probe", step="Probe")
    command_id = world.send(machine, "drydock-Probe")
    assert world.ssm.list_command_invocations(CommandId=command_id)["CommandInvocations"] == []
    world.wait(10)
    invocation = world.invocation(command_id)
    assert (invocation["Status"], invocation["Comment"]) == ("Success", "a comment")
    linux, windows = invocation["CommandPlugins"]
    assert json.loads(linux["Output"])["bootId"] == world.fleet.machine(machine).boot_id
    assert (windows["Status"], windows["Output"]) == ("Success", "")
    for kind in ("EC2 Command Invocation", "EC2 Command"):
        assert world.statuses(f"{kind} Status-change Notification") == ["InProgress", "Success"]


def test_commands_of_an_instance_are_found_by_when_they_were_sent(world: World) -> None:
    machine, other = world.add(), world.add("db-1")
    world.scan(machine)
    since = world.account.clock.now()
    world.scan(other)
    command_id = world.send(machine, Operation="Scan")
    world.wait(5)
    after = [{"key": "InvokedAfter", "value": since.strftime("%Y-%m-%dT%H:%M:%SZ")}]
    found = world.ssm.list_commands(InstanceId=machine, Filters=after)["Commands"]
    assert [command["CommandId"] for command in found] == [command_id]
    assert found[0]["ExpiresAfter"] - found[0]["RequestedDateTime"] == timedelta(seconds=600 + 3600)


def test_a_command_waits_for_an_agent_that_is_away(world: World) -> None:
    machine = world.add()
    _image(world, machine)
    command_id = world.send(machine, Operation="Scan")
    world.wait(80)
    assert world.invocation(command_id)["Status"] == "Delayed"
    world.wait(100)
    assert world.invocation(command_id)["Status"] == "Success"


def test_a_command_that_is_not_fetched_in_time_was_not_delivered(world: World) -> None:
    machine = world.add(wrong=("delivery_timeout",))
    command_id = world.send(machine, Operation="Scan")
    world.wait(601)
    invocation = world.invocation(command_id)
    assert (invocation["Status"], invocation["StatusDetails"]) == ("TimedOut", "DeliveryTimedOut")
    assert world.statuses("EC2 Command Invocation Status-change Notification") == ["TimedOut"]


def test_an_undelivered_command_is_cancelled_and_a_running_installation_is_not(world: World) -> None:
    machine = world.add(missing=("KB5073001",), platform="Windows")
    held = world.add("web-2", wrong=("delivery_timeout",))
    waiting = world.send(held, Operation="Scan")
    running = world.send(machine, Operation="Install")
    world.wait(30)
    for command_id in (waiting, running):
        world.ssm.cancel_command(CommandId=command_id)
    assert world.invocation(waiting)["Status"] == "Cancelled"
    assert world.statuses("EC2 Command Invocation Status-change Notification")[-1] == "Cancelled"
    assert world.invocation(running)["Status"] == "Cancelling"
    world.wait(1000)
    assert world.invocation(running)["Status"] == "Success"
    assert world.fleet.machine(machine).interrupted == []


def test_a_running_hook_is_cancelled(world: World) -> None:
    machine = world.add(durations=Durations(command=100))
    world.fleet.add_document("hook-preInstall")
    command_id = world.send(machine, "hook-preInstall")
    world.wait(10)
    world.ssm.cancel_command(CommandId=command_id)
    world.wait(5)
    assert world.invocation(command_id)["Status"] == "Cancelled"


def test_a_hook_fails_by_the_comment_it_is_sent_with(world: World) -> None:
    machine = world.add(wrong=("hook_fails:onExit", "health_fails"))
    world.fleet.add_document("Join-Cluster")
    for comment, status in (
        ("drydock: Run Hook Before Install 1a2b", "Success"),
        ("drydock: Run Hook On Exit 1a2b", "Failed"),
        ("drydock: Check Health 1a2b", "Failed"),
    ):
        answer = world.ssm.send_command(DocumentName="Join-Cluster", InstanceIds=[machine], Comment=comment)
        world.wait(10)
        assert world.invocation(answer["Command"]["CommandId"])["Status"] == status


def test_a_hook_fails_by_its_name(world: World) -> None:
    machine = world.add(wrong=("hook_fails:postInstall",))
    for name, status in (("hook-preInstall", "Success"), ("hook-postInstall", "Failed")):
        world.fleet.add_document(name)
        command_id = world.send(machine, name)
        world.wait(10)
        assert world.invocation(command_id)["Status"] == status


def test_documents_are_checked_before_anything_is_sent(world: World) -> None:
    machine = world.add()
    world.fleet.add_document("windows-hook", platforms=("Windows",))
    for document, parameters, code in (
        ("no-such-document", {}, "InvalidDocument"),
        ("AWS-RunPatchBaseline", {"Operation": "Remove"}, "InvalidParameters"),
        ("AWS-RunPatchBaseline", {}, "InvalidParameters"),
        ("AWS-RunPatchBaseline", {"Operation": "Scan", "SnapshotId": "today"}, "InvalidParameters"),
        ("AWS-InstallWindowsUpdates", {"Action": "Scan"}, "UnsupportedPlatformType"),
        ("windows-hook", {}, "UnsupportedPlatformType"),
    ):
        with pytest.raises(ClientError) as refused:
            world.send(machine, document, **parameters)
        assert _error_code(refused) == code
    described = world.ssm.describe_document(Name="windows-hook")["Document"]
    assert (described["DocumentType"], described["PlatformTypes"]) == ("Command", ["Windows"])
    described = world.ssm.describe_document(Name="AWS-RunPatchBaseline")["Document"]
    assert described["PlatformTypes"] == ["Windows", "Linux", "MacOS"]


def test_power_taken_from_under_a_command_is_remembered(world: World) -> None:
    machine = world.add(missing=("kernel",))
    command_id = world.send(machine, Operation="Install")
    world.wait(60)
    world.fleet.stop_behind_the_back(machine)
    (cut,) = world.fleet.machine(machine).interrupted_installs
    assert (cut.command_id, cut.document) == (command_id, "AWS-RunPatchBaseline")
    world.wait(60)
    assert world.invocation(command_id)["Status"] == "InProgress"
    world.wait(5000)
    assert world.invocation(command_id)["Status"] == "TimedOut"
    assert [patch.name for patch in world.fleet.machine(machine).missing] == ["kernel"]


def test_a_garbled_probe_is_not_json(world: World) -> None:
    machine = world.add(wrong=("probe_garbage",))
    world.fleet.add_document("drydock-Probe", step="Probe")
    command_id = world.send(machine, "drydock-Probe")
    world.wait(10)
    with pytest.raises(json.JSONDecodeError):
        json.loads(world.invocation(command_id)["CommandPlugins"][0]["Output"])


# Patches


def test_an_installation_reboots_reports_nothing_missing_and_a_scan_agrees(world: World) -> None:
    machine = world.add(missing=("kernel", "bash"), tags={"PatchGroup": "web"})
    before = world.fleet.machine(machine).boot_id
    assert world.patches(machine)["MissingCount"] == 2
    assert world.install(machine) == "Success"
    assert world.fleet.machine(machine).boot_id != before
    state = world.patches(machine)
    assert (state["Operation"], state["MissingCount"], state["PatchGroup"]) == ("Install", 0, "web")
    world.wait(120)
    assert world.scan(machine) == "Success"
    state = world.patches(machine)
    assert (state["Operation"], state["MissingCount"], state["SnapshotId"]) == ("Scan", 0, SNAPSHOT)
    listed = world.ssm.describe_instance_patches(
        InstanceId=machine, Filters=[{"Key": "State", "Values": ["INSTALLED"]}]
    )["Patches"]
    assert len(listed) == 5


def test_patches_are_listed_page_by_page(world: World) -> None:
    machine = world.add(missing=tuple(f"package-{number}" for number in range(12)))
    pages = world.ssm.get_paginator("describe_instance_patches").paginate(
        InstanceId=machine, PaginationConfig={"PageSize": 10}
    )
    assert [len(page["Patches"]) for page in pages] == [10, 5]


def test_a_scan_tells_what_the_installation_hid(world: World) -> None:
    machine = world.add(missing=("kernel", "bash"), wrong=("success_but_missing",))
    assert world.install(machine) == "Success"
    assert world.patches(machine)["MissingCount"] == 0
    world.wait(120)
    world.scan(machine)
    assert world.patches(machine)["MissingCount"] == 1


def test_a_failed_installation_leaves_its_patches_missing(world: World) -> None:
    machine = world.add(missing=("kernel",), wrong=("install_error",))
    assert world.install(machine) == "Failed"
    assert world.patches(machine)["FailedCount"] == 1
    world.wait(120)
    world.scan(machine)
    assert world.patches(machine)["MissingCount"] == 1


def test_a_failure_can_be_reported_after_a_good_reboot(world: World) -> None:
    machine = world.add(missing=("kernel",), wrong=("failed_after_reboot",))
    before = world.fleet.machine(machine).boot_id
    assert world.install(machine) == "Failed"
    assert world.fleet.machine(machine).boot_id != before
    world.wait(120)
    world.scan(machine)
    assert world.patches(machine)["MissingCount"] == 0


def test_a_lost_agent_leaves_its_command_open_until_it_expires(world: World) -> None:
    machine = world.add(missing=("kernel",), wrong=("agent_lost",))
    assert world.install(machine, seconds=2000) == "InProgress"
    assert world.agents()[machine]["PingStatus"] == "ConnectionLost"
    world.wait(2300)
    (command,) = world.ssm.list_commands(InstanceId=machine)["Commands"]
    assert (command["Status"], command["StatusDetails"]) == ("TimedOut", "DeliveryTimedOut")


def test_a_command_that_never_ends_expires(world: World) -> None:
    machine = world.add(missing=("kernel",), wrong=("never_ends",))
    assert world.install(machine, seconds=4000) == "InProgress"
    world.wait(300)
    assert world.ssm.list_commands(InstanceId=machine)["Commands"][0]["Status"] == "TimedOut"


def test_without_reboot_patches_wait_for_one(world: World) -> None:
    machine = world.add(missing=("kernel",))
    world.fleet.add_document("drydock-Probe", step="Probe")
    before = world.fleet.machine(machine).boot_id
    assert world.install(machine, reboot="NoReboot") == "Success"
    assert world.fleet.machine(machine).boot_id == before
    assert world.patches(machine)["InstalledPendingRebootCount"] == 1
    assert world.fleet.machine(machine).pending_reboot
    assert world.install(machine) == "Success"
    assert world.fleet.machine(machine).boot_id != before
    assert not world.fleet.machine(machine).pending_reboot


def test_two_baseline_runs_close_together_collide(world: World) -> None:
    machine = world.add()
    first = world.send(machine, Operation="Scan")
    second = world.send(machine, Operation="Scan")
    world.wait(70)
    assert [world.invocation(each)["Status"] for each in (first, second)] == ["Success", "Failed"]
    assert world.scan(machine) == "Failed"
    world.wait(120)
    assert world.scan(machine) == "Success"


def test_a_scan_can_fail_or_report_nothing(world: World) -> None:
    stale = world.add("web-2", missing=("kernel",), wrong=("stale_patch_state",))
    ended = world.patches(stale)["OperationEndTime"]
    assert world.scan(stale) == "Success"
    assert world.patches(stale)["OperationEndTime"] == ended
    assert world.scan(world.add("web-3", wrong=("scan_fails",))) == "Failed"


def test_patch_times_are_those_of_a_wrong_clock(world: World) -> None:
    machine = world.add(clock_skew_seconds=-7200)
    world.scan(machine)
    assert world.patches(machine)["OperationEndTime"] < world.account.clock.now() - timedelta(hours=1)


def test_a_machine_that_never_reported_has_no_patch_state(world: World) -> None:
    machine = world.add(managed=False)
    assert world.ssm.describe_instance_patch_states(InstanceIds=[machine])["InstancePatchStates"] == []


def test_windows_update_installs_by_its_filters_and_searches_again(world: World) -> None:
    machine = world.add(
        platform="Windows", missing=("KB5073001", "KB5073002 Low", "KB5073003"), tags={"WinUpdate": "ON"}
    )
    before = world.patches(machine)
    filters = {"SeverityLevels": "Critical,Important", "ExcludeKbs": "5073003"}
    command_id = world.send(machine, "AWS-InstallWindowsUpdates", Action="Install", AllowReboot="True", **filters)
    world.wait(1000)
    output = world.invocation(command_id)["CommandPlugins"][0]["Output"]
    assert "Found 3 available Windows Updates." in output
    assert "(KB5073001) - Published date: " in output
    assert "(KB5073002) - Published date: " not in output
    missing = [patch.name for patch in world.fleet.machine(machine).missing]
    assert missing == ["KB5073002", "KB5073003"]
    assert world.patches(machine) == before

    command_id = world.send(machine, "AWS-InstallWindowsUpdates", Action="Scan", **filters)
    world.wait(100)
    output = world.invocation(command_id)["CommandPlugins"][0]["Output"]
    assert "Published date" not in output


def test_a_search_of_windows_updates_is_json(world: World) -> None:
    machine = world.add(platform="Windows", missing=("KB5073001", "KB5073002 Low"))
    world.fleet.add_document("drydock-SearchWindowsUpdates", platforms=("Windows",), step="Search")
    command_id = world.send(machine, "drydock-SearchWindowsUpdates")
    world.wait(100)
    (step,) = world.invocation(command_id)["CommandPlugins"]
    assert json.loads(step["Output"]) == {"missingCount": 2, "missing": ["KB5073001", "KB5073002"]}


def test_a_reboot_that_does_not_help_leaves_the_machine_pending(world: World) -> None:
    machine = world.add(missing=("kernel",), wrong=("stays_pending_reboot",))
    before = world.fleet.machine(machine).boot_id
    assert world.install(machine) == "Success"
    assert world.fleet.machine(machine).boot_id != before
    assert world.fleet.machine(machine).pending_reboot


def test_a_pending_reboot_is_seen_before_anything_is_installed(world: World) -> None:
    machine = world.add(pending_reboot=True)
    assert world.patches(machine)["InstalledPendingRebootCount"] == 1
    before = world.fleet.machine(machine).boot_id
    world.install(machine)
    assert world.fleet.machine(machine).boot_id != before


def test_an_answer_that_the_api_model_does_not_know_is_refused(world: World) -> None:
    shape = world.ec2.meta.service_model.operation_model("DescribeInstances").output_shape
    with pytest.raises(TypeError, match="has no Colour"):
        check_shape({"Reservations": [{"Colour": "red"}]}, shape, "DescribeInstances")
    with pytest.raises(TypeError, match="is not a string"):
        check_shape({"Reservations": [{"OwnerId": 1}]}, shape, "DescribeInstances")


def test_a_call_that_is_not_simulated_fails_loudly(world: World) -> None:
    with pytest.raises(NotImplementedError, match="RebootInstances"):
        world.ec2.reboot_instances(InstanceIds=[world.add()])
    with pytest.raises(NotImplementedError, match="GetCommandInvocation"):
        world.ssm.get_command_invocation(CommandId="c" * 36, InstanceId="i-0123456789abcdef0")


def test_a_fleet_has_no_two_machines_of_one_name_and_knows_what_can_go_wrong(world: World) -> None:
    world.add("web-1")
    with pytest.raises(ValueError, match="two machines"):
        world.add("web-1")
    with pytest.raises(ValueError, match="'explodes' is not one of"):
        world.add("web-2", wrong=("explodes",))


def test_the_same_seed_gives_the_same_events() -> None:
    def run() -> list[dict[str, Any]]:
        with EmbeddedAccount(seed=7) as account, account.open_fleet() as fleet:
            world = World(account, fleet)
            world.install(world.add(missing=("kernel",)))
            return [{"type": event["detail-type"], **event["detail"]} for event in world.events]

    assert run() == run()


def test_rejected_patches_count_against_a_machine_and_others_do_not(world: World) -> None:
    """The counts of InstancePatchState in the API model."""
    machine = world.add(installed_rejected=("badlib", "worse Important"), installed_other=("htop", "jq", "tmux"))
    world.scan(machine)

    state = world.patches(machine)
    assert (state["InstalledRejectedCount"], state["InstalledOtherCount"]) == (2, 3)
    assert (state["MissingCount"], state["InstalledCount"]) == (0, 3)
    assert (state["CriticalNonCompliantCount"], state["SecurityNonCompliantCount"]) == (1, 1)
    answer = world.ssm.describe_instance_patches(
        InstanceId=machine, Filters=[{"Key": "State", "Values": ["INSTALLED_REJECTED"]}]
    )
    assert [patch["KBId"] for patch in answer["Patches"]] == ["badlib.x86_64", "worse.x86_64"]


def test_an_installation_fails_with_the_text_and_the_exit_code_that_the_fleet_gives(world: World) -> None:
    failure = InstallFailure(
        156, "Unable to download payload: https://s3.example.com/payload.tar.gz.\n", "curl: (28)\n"
    )
    machine = world.add(missing=("openssl",), install_failure=failure)
    command = world.send(machine, Operation="Install", SnapshotId=SNAPSHOT, RebootOption="RebootIfNeeded")
    world.wait(1000)

    (step,) = [one for one in world.invocation(command)["CommandPlugins"] if one["Name"] == "PatchLinux"]
    assert (step["Status"], step["ResponseCode"]) == ("Failed", 156)
    assert step["Output"] == (
        "Unable to download payload: https://s3.example.com/payload.tar.gz.\n\n----------ERROR-------\n"
        "curl: (28)\nfailed to run commands: exit status 156"
    )
    assert world.patches(machine)["FailedCount"] == 1


@pytest.mark.parametrize(
    ("platform", "text", "end"),
    [
        ("Linux", "root [ERROR]: yum update failed with result code: 1, message: ", "exit status 1"),
        ("Windows", "Exception from HRESULT: 0x80070643", "exit status 0xffffffff"),
    ],
)
def test_a_failed_installation_looks_like_one_of_its_platform(world: World, platform: Any, text: str, end: str) -> None:
    machine = world.add(platform=platform, missing=("KB5034439",), wrong=("install_error",))
    command = world.send(machine, Operation="Install", SnapshotId=SNAPSHOT, RebootOption="RebootIfNeeded")
    world.wait(1000)

    outputs = [step["Output"] for step in world.invocation(command)["CommandPlugins"] if step["Output"]]
    assert text in outputs[0]
    assert outputs[0].endswith(f"failed to run commands: {end}")


def test_two_patch_operations_at_once_end_with_code_4_for_the_second(world: World) -> None:
    """ "Cannot acquire lock" in "Troubleshooting Patch Manager", Systems Manager User Guide."""
    machine = world.add()
    world.send(machine, Operation="Scan", SnapshotId=SNAPSHOT)
    second = world.send(machine, Operation="Scan", SnapshotId=SNAPSHOT)
    world.wait(100)

    (step,) = [one for one in world.invocation(second)["CommandPlugins"] if one["Name"] == "PatchLinux"]
    assert (step["Status"], step["ResponseCode"]) == ("Failed", 4)
    assert "Another patching operation is in progress." in step["Output"]


@pytest.mark.parametrize("document", ["AWS-RunPatchBaseline", "AWS-InstallWindowsUpdates"])
def test_a_windows_that_waits_for_a_reboot_may_refuse_to_install_until_it_is_rebooted(
    world: World, document: str
) -> None:
    """WU_E_INSTALL_NOT_ALLOWED in Microsoft's "Windows Update error codes by component"."""
    wrong = ("refuses_while_reboot_pending",)
    machine = world.add(platform="Windows", missing=("KB5034439",), pending_reboot=True, wrong=wrong)
    parameters = {"Operation": "Install", "SnapshotId": SNAPSHOT} if document == "AWS-RunPatchBaseline" else {}
    refused = world.send(machine, document, **parameters)
    world.wait(1500)
    assert world.invocation(refused)["Status"] == "Failed"
    assert "0x80240016" in world.invocation(refused)["CommandPlugins"][0]["Output"]
    assert world.fleet.machine(machine).boots == 1
    assert len(world.fleet.machine(machine).missing) == 1

    world.fleet.machine(machine).reboot_for_image()
    world.wait(300)
    installed = world.send(machine, document, **parameters)
    world.wait(1500)
    assert world.invocation(installed)["Status"] == "Success"
    assert world.fleet.machine(machine).missing == []


def test_a_reboot_loop_begins_with_an_installation_and_lets_no_longer_command_end(world: World) -> None:
    machine = world.add(missing=("kernel",), wrong=("reboot_loop",))
    assert world.install(machine) == "Success"
    boots = world.fleet.machine(machine).boots
    assert boots > 2

    assert world.scan(machine) != "Success"
    world.wait(3600)
    assert world.fleet.machine(machine).boots > boots + 10
    assert world.state(machine) == "running"
    world.account.run_until_quiet()


@pytest.mark.parametrize(("allowed", "files"), [(True, ["stdout"]), (False, [])])
def test_the_output_of_a_command_is_in_the_bucket_unless_the_role_may_not_put_it_there(
    world: World, allowed: bool, files: list[str]
) -> None:
    """Where: amazon-ssm-agent, issue 164; that nobody is told when it fails: issue 106."""
    buckets = s3_backends[ACCOUNT]["aws"]
    buckets.create_bucket("logs", REGION)
    machine = world.add(may_write_logs=allowed)
    answer = world.ssm.send_command(
        DocumentName="AWS-RunPatchBaseline",
        InstanceIds=[machine],
        Parameters={"Operation": ["Scan"]},
        OutputS3BucketName="logs",
        OutputS3KeyPrefix="drydock/here",
    )
    world.wait(100)

    command = answer["Command"]["CommandId"]
    assert world.invocation(command)["Status"] == "Success"
    folder = f"drydock/here/{command}/{machine}/awsrunShellScript/PatchLinux"
    assert list(buckets.buckets["logs"].keys) == [f"{folder}/{name}" for name in files]


def test_the_patch_group_of_a_report_is_the_one_in_which_the_operation_began(world: World) -> None:
    machine = world.add(tags={"Patch Group": "web"})
    command = world.send(machine, Operation="Scan", SnapshotId=SNAPSHOT)
    world.wait(30)
    world.ec2.create_tags(Resources=[machine], Tags=[{"Key": "Patch Group", "Value": "database"}])
    world.wait(300)
    assert world.invocation(command)["Status"] == "Success"
    assert world.patches(machine)["PatchGroup"] == "web"

    world.scan(machine)
    assert world.patches(machine)["PatchGroup"] == "database"


def test_an_association_scans_with_a_snapshot_of_its_own_and_run_command_knows_nothing_of_it(world: World) -> None:
    machine = world.add(missing=("kernel",))
    world.fleet.run_command.associate(world.fleet.machine(machine), "Scan")
    world.wait(100)

    assert world.ssm.list_commands()["Commands"] == []
    assert world.statuses("EC2 Command Status-change Notification") == []
    state = world.patches(machine)
    assert (state["Operation"], state["MissingCount"]) == ("Scan", 1)
    assert state["SnapshotId"] not in ("", SNAPSHOT)


def test_a_command_that_patches_beside_an_association_cannot_have_the_lock(world: World) -> None:
    machine = world.add(missing=("kernel",))
    world.fleet.run_command.associate(world.fleet.machine(machine), "Scan")
    world.wait(10)
    command = world.send(machine, Operation="Install", SnapshotId=SNAPSHOT)
    world.wait(100)

    assert world.invocation(command)["Status"] == "Failed"
    assert world.invocation(command)["CommandPlugins"][1]["ResponseCode"] == 4
