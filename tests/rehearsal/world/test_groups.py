"""Auto Scaling groups of the embedded account: standby, capacity, balance, health, launches and refreshes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.permissions import find_needs
from rehearsal.play.faults import Moment, describe
from rehearsal.play.group_faults import (
    ChangeGroup,
    Contend,
    FailHealthChecks,
    GroupFault,
    LoseCapacity,
    ScalingPolicy,
    ScheduledAction,
    StartRefresh,
    TerminateMember,
)
from rehearsal.play.group_monitor import GroupMonitor
from rehearsal.services.group_calls import GroupCalls
from rehearsal.world.fleet import Fleet, Group, MachineSpec
from rehearsal.world.group_specs import MixedPolicy, Unconfirmed
from rehearsal.world.launch_templates import LaunchTemplates
from rehearsal.world.load_balancers import LoadBalancers
from tests.rehearsal.conftest import ENGINE_PROJECT

WEB = "web"


class World:
    """An account without a stack, and what a person does to its groups."""

    def __init__(self, account: EmbeddedAccount, fleet: Fleet) -> None:
        self.account = account
        self.fleet = fleet

    def group(self, machines: int = 4, name: str = WEB, **settings: Any) -> Group:
        """A group behind a target group, which may grow by two and shrink by two."""
        bounds = {"min": max(machines - 2, 0), "max": machines + 2}
        return self.fleet.add_group(name, machines, **{"target_group": name, **bounds, **settings})

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        named = {"AutoScalingGroupName": WEB} if "AutoScalingGroupName" not in parameters else {}
        answer: dict[str, Any] = getattr(self.account.client("autoscaling"), operation)(**named, **parameters)
        return answer

    def enter(self, *ids: str, decrement: bool = True) -> dict[str, Any]:
        return self.call("enter_standby", InstanceIds=list(ids), ShouldDecrementDesiredCapacity=decrement)

    def exit(self, *ids: str) -> dict[str, Any]:
        return self.call("exit_standby", InstanceIds=list(ids))

    def terminate(self, instance_id: str, decrement: bool = True) -> dict[str, Any]:
        activity: dict[str, Any] = self.account.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=instance_id, ShouldDecrementDesiredCapacity=decrement
        )["Activity"]
        return activity

    def update(self, **bounds: int) -> None:
        self.call("update_auto_scaling_group", **bounds)

    def describe(self, name: str = WEB) -> dict[str, Any]:
        client = self.account.client("autoscaling")
        (group,) = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        found: dict[str, Any] = group
        return found

    def size(self) -> tuple[int, int, int]:
        group = self.describe()
        return group["MinSize"], group["DesiredCapacity"], group["MaxSize"]

    def state(self, instance_id: str) -> str:
        client = self.account.client("autoscaling")
        found = client.describe_auto_scaling_instances(InstanceIds=[instance_id])["AutoScalingInstances"]
        return str(found[0]["LifecycleState"]) if found else "none"

    def states(self) -> list[str]:
        return sorted(instance["LifecycleState"] for instance in self.describe()["Instances"])

    def target(self, instance_id: str) -> str:
        answer = self.account.client("elbv2").describe_target_health(
            TargetGroupArn=self.describe()["TargetGroupARNs"][0], Targets=[{"Id": instance_id}]
        )
        return str(answer["TargetHealthDescriptions"][0]["TargetHealth"]["State"])

    def activities(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("describe_scaling_activities")["Activities"]
        return found

    def events(self) -> list[str]:
        return [event["detail-type"] for event in self.account.bus.events if event["source"] == "aws.autoscaling"]

    def given(self, *faults: GroupFault) -> None:
        for fault in faults:
            fault.arm(self.account, self.fleet)

    def pass_time(self, seconds: float) -> None:
        end = self.account.clock.now() + timedelta(seconds=seconds)
        self.account.clock.call_at(end, lambda: None)
        self.account.clock.run(until=lambda: self.account.clock.now() >= end)

    def settle(self) -> None:
        self.account.run_until_quiet()

    def roll(self, group: Group, members: list[str], standby: float = 600) -> None:
        """Take each member out, for so long, and wait until it is healthy again."""
        for instance_id in members:
            self.enter(instance_id)
            self.wait_for(instance_id, "Standby")
            self.pass_time(standby)
            self.exit(instance_id)
            member = group.members[instance_id]
            self.account.clock.run(until=lambda one=member: group.is_healthy(one))  # type: ignore[misc]

    def wait_for(self, instance_id: str, state: str) -> None:
        self.account.clock.run(until=lambda: self.state(instance_id) == state, limit=timedelta(hours=1))


@pytest.fixture
def world() -> Iterator[World]:
    with EmbeddedAccount(project=ENGINE_PROJECT) as account, account.open_fleet() as fleet:
        yield World(account, fleet)


def ids(group: Group) -> list[str]:
    return list(group.members)


def refusal(call: Any, *given: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(*given, **parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


# What there is


def test_a_group_is_described_with_its_members_over_two_zones(world: World) -> None:
    group = world.group(4, suspended=["AZRebalance"], tags={"Stage": "prod"})

    described = world.describe()

    assert world.size() == (2, 4, 6)
    assert [one["InstanceId"] for one in described["Instances"]] == ids(group)
    zones = [one["AvailabilityZone"] for one in described["Instances"]]
    assert zones == ["ap-northeast-1a", "ap-northeast-1c"] * 2 == [*described["AvailabilityZones"] * 2]
    assert described["SuspendedProcesses"][0]["ProcessName"] == "AZRebalance"
    assert described["LaunchTemplate"]["Version"] == "$Default"
    assert {one["LaunchTemplate"]["Version"] for one in described["Instances"]} == {"1"}
    assert {world.target(instance_id) for instance_id in ids(group)} == {"healthy"}


def test_members_are_instances_with_the_tag_and_the_zone_of_the_group(world: World) -> None:
    world.group(2, tags={"Stage": "prod"})

    filters = [{"Name": "tag:aws:autoscaling:groupName", "Values": [WEB]}]
    answer = world.account.client("ec2").describe_instances(Filters=filters)

    found = [reservation["Instances"][0] for reservation in answer["Reservations"]]
    assert [one["Placement"]["AvailabilityZone"] for one in found] == ["ap-northeast-1a", "ap-northeast-1c"]
    assert {"Key": "Stage", "Value": "prod"} in found[0]["Tags"]


def test_descriptions_come_in_pages(world: World) -> None:
    group = world.group(120, min=0)
    client = world.account.client("autoscaling")

    pages = list(client.get_paginator("describe_auto_scaling_instances").paginate())

    found = [one for page in pages for one in page["AutoScalingInstances"]]
    assert [len(page["AutoScalingInstances"]) for page in pages] == [50, 50, 20]
    assert [one["InstanceId"] for one in found] == ids(group)
    assert {one["HealthStatus"] for one in found} == {"HEALTHY"}
    assert refusal(client.describe_auto_scaling_groups, MaxRecords=101)[0] == "ValidationError"
    assert refusal(client.describe_auto_scaling_groups, NextToken="?")[0] == "InvalidNextToken"


def test_an_unknown_group_is_left_out_of_descriptions_and_refused_otherwise(world: World) -> None:
    client = world.account.client("autoscaling")

    assert client.describe_auto_scaling_groups(AutoScalingGroupNames=["none"])["AutoScalingGroups"] == []
    assert client.describe_auto_scaling_instances(InstanceIds=["i-0123456789abcdef0"])["AutoScalingInstances"] == []
    code, message = refusal(client.suspend_processes, AutoScalingGroupName="none")
    assert (code, message) == ("ValidationError", "AutoScalingGroup name not found - AutoScalingGroup none not found")


def test_an_operation_that_is_not_simulated_is_told(world: World) -> None:
    world.group()

    with pytest.raises(NotImplementedError, match="DetachInstances"):
        world.call("detach_instances", InstanceIds=[], ShouldDecrementDesiredCapacity=True)
    with pytest.raises(NotImplementedError, match="DescribeLoadBalancers"):
        world.account.client("elbv2").describe_load_balancers()


# Standby


def test_a_member_drains_before_it_is_in_standby(world: World) -> None:
    first, *_ = ids(world.group())

    (activity,) = world.enter(first)["Activities"]

    assert (activity["StatusCode"], activity["Progress"]) == ("InProgress", 50)
    assert activity["Description"] == f"Moving EC2 instance to Standby: {first}"
    assert activity["Cause"].endswith(
        "was moved to standby in response to a user request, shrinking the capacity from 4 to 3."
    )
    assert (world.state(first), world.target(first)) == ("EnteringStandby", "draining")
    assert world.activities()[0]["StatusCode"] == "WaitingForELBConnectionDraining"
    assert world.size() == (2, 3, 6)
    world.pass_time(299)
    assert world.state(first) == "EnteringStandby"
    world.pass_time(2)
    assert (world.state(first), world.target(first)) == ("Standby", "unused")
    assert world.activities()[0]["StatusCode"] == "Successful"


def test_a_member_without_a_load_balancer_is_in_standby_soon(world: World) -> None:
    first, *_ = ids(world.group(target_group=()))

    world.enter(first)
    world.pass_time(6)

    assert world.state(first) == "Standby"


def test_a_member_comes_back_by_way_of_the_load_balancer(world: World) -> None:
    group = world.group()
    first, *_ = ids(group)
    world.enter(first)
    world.wait_for(first, "Standby")

    (activity,) = world.exit(first)["Activities"]

    assert (activity["StatusCode"], activity["Progress"]) == ("PreInService", 30)
    assert "increasing the capacity from 3 to 4" in activity["Cause"]
    assert world.size() == (2, 4, 6)
    world.pass_time(11)
    assert (world.state(first), world.target(first)) == ("InService", "initial")
    world.pass_time(30)
    assert world.target(first) == "healthy"
    assert len(group.members) == 4


@pytest.mark.parametrize("told", [False, True])
def test_nothing_is_told_of_a_standby_unless_aws_turns_out_to_tell_of_its_end(world: World, told: bool) -> None:
    group = world.group(unconfirmed=Unconfirmed(standby_events=told))

    world.roll(group, ids(group)[:1])

    assert world.events() == (["EC2 Instance Launch Successful"] if told else [])


def test_only_members_in_service_enter_standby(world: World) -> None:
    group = world.group()
    first, *_ = ids(group)
    world.enter(first)

    assert refusal(world.enter, first) == ("ValidationError", f"The instance {first} is not in InService.")
    assert refusal(world.exit, first) == ("ValidationError", f"The instance {first} is not in Standby.")
    world.wait_for(first, "Standby")
    assert refusal(world.enter, first)[1] == f"The instance {first} is not in InService."


def test_no_more_than_twenty_ids_go_at_once_and_all_of_the_group(world: World) -> None:
    group = world.group(30, min=0)
    world.fleet.add(MachineSpec(name="other"))
    other = world.fleet.machines[-1].instance_id

    assert refusal(world.enter, *ids(group)[:21])[0] == "ValidationError"
    assert "is not part of Auto Scaling group web" in refusal(world.enter, ids(group)[0], other)[1]
    assert refusal(world.enter)[0] == "ValidationError"
    assert set(world.states()) == {"InService"}, "all or none"
    world.enter(*ids(group)[:20])
    assert world.size()[1] == 10


def test_desired_capacity_may_not_fall_below_the_minimum(world: World) -> None:
    first, second, *_ = ids(world.group(4, min=3))

    code, message = refusal(world.enter, first, second)

    assert code == "ValidationError"
    assert "violate group's min size constraint" in message
    assert world.size() == (3, 4, 6)
    world.update(MinSize=2)
    world.enter(first, second)
    assert world.size() == (2, 2, 6)


def test_without_decrement_a_replacement_is_launched(world: World) -> None:
    first, *_ = ids(world.group(4, max=5, suspended=["AZRebalance"]))

    world.enter(first, decrement=False)
    world.settle()

    assert world.states() == ["InService"] * 4 + ["Standby"]
    assert world.size()[1] == 4
    world.exit(first)
    assert world.size()[1] == 5


def test_desired_capacity_may_not_rise_above_the_maximum(world: World) -> None:
    first, *_ = ids(world.group(4, max=4))
    world.enter(first)
    world.wait_for(first, "Standby")
    world.call("set_desired_capacity", DesiredCapacity=4)

    code, message = refusal(world.exit, first)

    assert code == "ValidationError"
    assert "violate group's max size constraint" in message
    world.update(MaxSize=5)
    world.exit(first)
    assert world.size() == (2, 5, 5)


def test_nobody_comes_back_while_launches_are_suspended(world: World) -> None:
    first, *_ = ids(world.group())
    world.enter(first)
    world.wait_for(first, "Standby")
    world.call("suspend_processes", ScalingProcesses=["Launch"])

    assert refusal(world.exit, first)[0] == "ValidationError"

    world.call("resume_processes", ScalingProcesses=["Launch"])
    world.exit(first)
    world.wait_for(first, "InService")


@pytest.mark.parametrize("registers", [False, True])
def test_a_member_may_come_back_without_the_load_balancer_while_that_is_suspended(
    world: World, registers: bool
) -> None:
    first, *_ = ids(world.group(suspended=["AddToLoadBalancer"], unconfirmed=Unconfirmed(exit_registers=registers)))
    world.enter(first)
    world.wait_for(first, "Standby")

    world.exit(first)
    world.settle()

    assert (world.state(first), world.target(first)) == ("InService", "healthy" if registers else "unused")


@pytest.mark.parametrize(("at_once", "state"), [(True, "Standby"), (False, "EnteringStandby")])
def test_a_member_without_connections_may_be_in_standby_while_its_target_drains(
    world: World, at_once: bool, state: str
) -> None:
    first, *_ = ids(world.group(unconfirmed=Unconfirmed(standby_when_idle=at_once)))
    world.enter(first)

    world.pass_time(60)

    assert (world.state(first), world.target(first)) == (state, "draining")


def test_a_pending_update_refuses_changes(world: World) -> None:
    first, *_ = ids(world.group())
    world.given(Contend(group=WEB, moment=Moment(10), seconds=20))
    world.pass_time(11)

    assert refusal(world.enter, first)[0] == "ResourceContention"

    world.pass_time(20)
    world.enter(first)


@pytest.mark.parametrize(("in_units", "left"), [(True, 4), (False, 7)])
def test_a_member_with_a_weight_may_take_it_along(world: World, in_units: bool, left: int) -> None:
    overrides = [{"InstanceType": "c5.xlarge", "WeightedCapacity": "4"}]
    group = world.group(
        2, desired=8, max=8, mixed=MixedPolicy(overrides), unconfirmed=Unconfirmed(standby_in_units=in_units)
    )
    first, *_ = ids(group)

    world.enter(first)

    assert world.size()[1] == left
    described = world.describe()
    assert described["Instances"][0]["WeightedCapacity"] == "4"
    assert described["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"] == overrides


# Capacity


def test_a_group_with_too_few_members_launches_others_without_what_is_wrong_with_the_first(world: World) -> None:
    group = world.fleet.add_group(WEB, [MachineSpec("first", wrong=("install_error",))], desired=2, max=2)

    world.settle()

    assert [member.machine.spec.wrong for member in group.in_service] == [("install_error",), ()]


def test_a_new_minimum_above_the_desired_capacity_takes_it_along(world: World) -> None:
    world.group(4)

    world.update(MinSize=6)
    world.settle()

    assert world.size() == (6, 6, 6)
    assert world.states() == ["InService"] * 6
    assert world.events() == ["EC2 Instance Launch Successful"] * 2
    assert {world.target(one["InstanceId"]) for one in world.describe()["Instances"]} == {"healthy"}
    assert "update of AutoScalingGroup constraints to min: 6" in world.activities()[-1]["Cause"]


def test_a_new_maximum_below_the_desired_capacity_takes_it_along(world: World) -> None:
    group = world.group(4)

    world.update(MaxSize=3)
    world.settle()

    assert world.size() == (2, 3, 3)
    assert len(group.members) == 3
    assert world.events() == ["EC2 Instance Terminate Successful"]


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"MinSize": 7}, "Max bound, 6, must be greater than or equal to min bound, 7"),
        ({"DesiredCapacity": 7}, "Desired capacity:7 must be between the specified min size:2 and max size:6"),
    ],
)
def test_bounds_that_cannot_be_are_refused(world: World, bounds: dict[str, int], message: str) -> None:
    world.group(4)

    assert refusal(world.update, **bounds) == ("ValidationError", message)
    assert world.size() == (2, 4, 6)


@pytest.mark.parametrize(
    ("desired", "message"),
    [
        (7, "New SetDesiredCapacity value 7 is above max value 6 for the AutoScalingGroup."),
        (1, "New SetDesiredCapacity value 1 is below min value 2 for the AutoScalingGroup."),
    ],
)
def test_a_desired_capacity_out_of_bounds_is_refused(world: World, desired: int, message: str) -> None:
    world.group(4)

    assert refusal(world.call, "set_desired_capacity", DesiredCapacity=desired) == ("ValidationError", message)


def test_scaling_in_takes_the_oldest_of_the_fullest_zone_that_is_not_protected(world: World) -> None:
    group = world.group(5, min=0)
    first, _, third, _, fifth = ids(group)
    world.call("set_instance_protection", InstanceIds=[first], ProtectedFromScaleIn=True)

    world.call("set_desired_capacity", DesiredCapacity=4)
    world.settle()

    assert third not in group.members
    assert {first, fifth} < set(group.members)


def test_nothing_is_scaled_in_where_all_are_protected(world: World) -> None:
    group = world.group(3, min=0, protect_new=True)

    world.call("set_desired_capacity", DesiredCapacity=1)
    world.settle()

    assert len(group.members) == 3
    assert world.activities()[0]["StatusCode"] == "Cancelled"


def test_members_in_standby_are_not_scaled_in(world: World) -> None:
    group = world.group(4, min=0, suspended=["AZRebalance"])
    first, *_ = ids(group)
    world.enter(first)
    world.wait_for(first, "Standby")

    world.call("set_desired_capacity", DesiredCapacity=1)
    world.settle()

    assert world.states() == ["InService", "Standby"]
    assert world.state(first) == "Standby"


def test_a_group_that_is_out_of_balance_launches_before_it_terminates(world: World) -> None:
    group = world.group(4, min=0)
    first, _, third, _ = ids(group)

    world.enter(first, third)
    world.settle()

    assert world.states() == ["InService"] * 2 + ["Standby"] * 2
    in_service = {member.zone for member in group.in_service}
    assert in_service == {"ap-northeast-1a", "ap-northeast-1c"}
    assert world.events() == ["EC2 Instance Launch Successful", "EC2 Instance Terminate Successful"]


def test_a_group_that_may_not_rebalance_stays_as_it_is(world: World) -> None:
    group = world.group(4, min=0, suspended=["AZRebalance"])
    first, second, third, fourth = ids(group)

    world.enter(first, third)
    world.settle()

    assert [member.instance_id for member in group.in_service] == [second, fourth]
    assert world.events() == []


EMITTED: dict[str, tuple[Callable[[World, Group], Any], list[str]]] = {
    "launch by somebody": (
        lambda world, group: world.call(
            "launch_instances",
            RequestedCapacity=1,
            AvailabilityZones=["ap-northeast-1a"],
            ClientToken="once",
            RetryStrategy="none",
        ),
        ["EC2 Instance Launch Successful"],
    ),
    "scale-out": (
        lambda world, group: world.call("set_desired_capacity", DesiredCapacity=4),
        ["EC2 Instance Launch Successful"],
    ),
    "scale-in": (
        lambda world, group: world.call("set_desired_capacity", DesiredCapacity=2),
        ["EC2 Instance Terminate Successful"],
    ),
    "termination": (
        lambda world, group: world.terminate(ids(group)[0]),
        ["EC2 Instance Terminate Successful"],
    ),
    "replacement": (
        lambda world, group: world.terminate(ids(group)[0], decrement=False),
        ["EC2 Instance Terminate Successful", "EC2 Instance Launch Successful"],
    ),
    "protection": (
        lambda world, group: world.call(
            "set_instance_protection", InstanceIds=ids(group)[:1], ProtectedFromScaleIn=True
        ),
        [],
    ),
    "processes": (lambda world, group: world.call("suspend_processes", ScalingProcesses=["AZRebalance"]), []),
    "sizes": (lambda world, group: world.update(MinSize=1, MaxSize=5), []),
}


@pytest.mark.parametrize("name", EMITTED)
def test_these_events_are_told_and_no_others(world: World, name: str) -> None:
    act, expected = EMITTED[name]
    group = world.group(3, min=0, max=6, zones=1)

    act(world, group)
    world.settle()

    assert sorted(world.events()) == sorted(expected)


def test_an_event_says_which_instance_came_or_went_and_why(world: World) -> None:
    group = world.group(2, min=0, zones=1)
    first, _ = ids(group)

    world.terminate(first, decrement=False)
    world.settle()

    told = {
        event["detail-type"]: event["detail"]
        for event in world.account.bus.events
        if event["source"] == "aws.autoscaling"
    }
    gone = told["EC2 Instance Terminate Successful"]
    assert (gone["EC2InstanceId"], gone["AutoScalingGroupName"]) == (first, group.name)
    assert (gone["Origin"], gone["Destination"]) == ("AutoScalingGroup", "EC2")
    came = told["EC2 Instance Launch Successful"]
    assert came["EC2InstanceId"] in group.members
    assert came["EC2InstanceId"] != first
    assert (came["Origin"], came["Destination"]) == ("EC2", "AutoScalingGroup")
    assert gone["Cause"]
    assert came["Cause"]


def test_a_refresh_that_is_told_what_is_not_simulated_is_refused(world: World) -> None:
    world.group(2)

    with pytest.raises(NotImplementedError, match="CheckpointPercentages"):
        world.call("start_instance_refresh", Preferences={"CheckpointPercentages": [50]})


def test_lifecycle_hooks_hold_up_launches_and_terminations_but_no_standby(world: World) -> None:
    group = world.group(1, min=0, max=2, hooks={"launching": 120, "terminating": 60}, suspended=["AZRebalance"])
    (first,) = ids(group)

    world.call("set_desired_capacity", DesiredCapacity=2)
    world.pass_time(60)
    waiting = world.states()
    world.settle()
    world.enter(first)
    world.settle()
    world.terminate(first, decrement=False)
    world.pass_time(30)

    assert waiting == ["InService", "Pending:Wait"]
    assert world.state(first) == "Terminating:Wait"
    world.settle()
    assert world.events() == [
        "EC2 Instance-launch Lifecycle Action",
        "EC2 Instance Launch Successful",
        "EC2 Instance-terminate Lifecycle Action",
        "EC2 Instance Terminate Successful",
    ]


def test_a_warm_pool_is_not_in_service_and_is_used_first(world: World) -> None:
    group = world.group(2, warm_pool=1)
    (warm,) = [member.instance_id for member in group.members.values() if member.warm]

    assert world.describe()["WarmPoolSize"] == 1
    assert len(world.describe()["Instances"]) == 2
    assert world.state(warm) == "Warmed:Stopped"
    assert refusal(world.enter, warm)[1] == f"The instance {warm} is not in InService."
    world.call("set_desired_capacity", DesiredCapacity=3)
    world.settle()
    assert world.state(warm) == "InService"
    assert world.describe()["WarmPoolSize"] == 1, "the pool is filled up again"


@pytest.mark.parametrize("state", ["Warmed:Running", "Warmed:Hibernated"])
def test_a_warm_pool_may_keep_its_members_running_or_hibernated(world: World, state: str) -> None:
    """ "Warm pool instance state" in the EC2 Auto Scaling User Guide."""
    sleeps = state == "Warmed:Hibernated"
    warm = MachineSpec("warm", lifecycle_state=state, power="stopped" if sleeps else "running", hibernated=sleeps)
    group = world.fleet.add_group(WEB, [MachineSpec("first"), warm], max=2, warm_pool=1)
    (member,) = [member for member in group.members.values() if member.warm]
    boots = member.machine.boots

    assert world.size() == (0, 1, 2)
    assert world.call("describe_warm_pool")["WarmPoolConfiguration"]["PoolState"] == state.removeprefix("Warmed:")
    world.call("set_desired_capacity", DesiredCapacity=2)
    world.settle()
    assert world.state(member.instance_id) == "InService"
    assert member.machine.boots == boots, "it was running, or went on with its memory"


def test_a_retained_member_is_listed_but_counts_for_nothing_and_a_refresh_leaves_it(world: World) -> None:
    """ "Control instance retention with instance lifecycle policies" in the EC2 Auto Scaling User Guide."""
    kept = MachineSpec("kept", lifecycle_state="Terminating:Retained")
    group = world.fleet.add_group(WEB, [MachineSpec("first"), kept], min=0, max=2, target_group=WEB)
    retained = next(member for member in group.members.values() if member.retained)

    assert world.size() == (0, 1, 2)
    assert [one["LifecycleState"] for one in world.describe()["Instances"]] == ["InService", "Terminating:Retained"]
    assert retained.instance_id not in group.target_groups[0].targets
    world.call("start_instance_refresh")
    world.settle()
    assert world.state(retained.instance_id) == "Terminating:Retained"
    assert retained.machine.state == "running"

    world.terminate(retained.instance_id, decrement=True)
    world.settle()
    assert retained.instance_id not in group.members
    assert world.size() == (0, 1, 2)


def test_the_members_of_a_mixed_group_are_of_its_types_in_turn(world: World) -> None:
    overrides = [{"InstanceType": "c5.xlarge", "WeightedCapacity": "4"}, {"InstanceType": "c5.large"}]
    machines = [MachineSpec(f"web-{number}") for number in range(3)]
    group = world.fleet.add_group(WEB, machines, min=1, mixed=MixedPolicy(overrides))

    types = [one["InstanceType"] for one in world.describe()["Instances"]]
    assert types == ["c5.xlarge", "c5.large", "c5.xlarge"]
    assert group.desired == group.capacity == 9
    world.settle()
    assert len(group.in_service) == 3


# Termination


def test_a_member_is_terminated_with_decrement_after_it_has_drained(world: World) -> None:
    group = world.group(4)
    first, *_ = ids(group)

    activity = world.terminate(first)

    assert world.state(first) == "Terminating"
    assert world.fleet.machine(first).power == "running"
    world.settle()
    assert activity["StatusCode"] == "InProgress"
    assert world.fleet.machine(first).power == "terminated"
    assert (world.state(first), len(group.members), world.size()[1]) == ("none", 3, 3)


def test_a_termination_may_not_go_below_the_minimum_without_a_replacement(world: World) -> None:
    group = world.group(2, min=2)
    first, *_ = ids(group)

    code, message = refusal(world.terminate, first)

    assert code == "ValidationError"
    assert message.startswith("Currently, desiredSize equals minSize (2).")
    world.terminate(first, decrement=False)
    world.settle()
    assert len(group.members) == 2
    assert first not in group.members
    assert refusal(world.terminate, first)[1].startswith("Instance Id not found")


@pytest.mark.parametrize(("counts", "desired"), [(True, 2), (False, 3)])
def test_a_termination_from_standby_may_lower_the_desired_capacity_again(
    world: World, counts: bool, desired: int
) -> None:
    group = world.group(4, min=0, unconfirmed=Unconfirmed(standby_counts_when_terminated=counts))
    first, *_ = ids(group)
    world.enter(first)
    world.wait_for(first, "Standby")

    world.terminate(first)
    world.settle()

    assert world.size()[1] == desired == len(group.members)


# Health


def test_a_member_that_stops_in_service_is_terminated_and_replaced(world: World) -> None:
    group = world.group(4)
    first, *_ = ids(group)

    world.fleet.stop_behind_the_back(first)
    world.settle()

    assert world.states() == ["InService"] * 4
    assert first not in group.members
    assert world.fleet.machine(first).power == "terminated"
    assert any("EC2 health check" in one["Cause"] for one in world.activities())


def test_a_member_in_standby_may_stop(world: World) -> None:
    group = world.group(4)
    first, *_ = ids(group)
    world.enter(first)
    world.wait_for(first, "Standby")

    world.fleet.stop_behind_the_back(first)
    world.settle()

    assert (world.state(first), group.members[first].health) == ("Standby", "Healthy")
    assert world.events() == []


def test_a_member_that_comes_back_without_running_is_replaced_at_once(world: World) -> None:
    group = world.group(4, grace=600)
    first, *_ = ids(group)
    world.enter(first)
    world.wait_for(first, "Standby")
    world.fleet.stop_behind_the_back(first)
    world.pass_time(60)

    world.exit(first)
    world.pass_time(30)

    assert world.state(first) == "Terminating"
    world.settle()
    assert world.states() == ["InService"] * 4
    assert first not in group.members


def test_a_member_that_is_terminated_in_standby_stays_one_until_it_comes_back(world: World) -> None:
    group = world.group(4)
    first, *_ = ids(group)
    world.enter(first)
    world.wait_for(first, "Standby")

    world.fleet.terminate_behind_the_back(first)
    world.settle()
    before = (world.state(first), group.members[first].health, world.events())
    world.exit(first)
    world.settle()

    assert before == ("Standby", "Healthy", [])
    assert first not in group.members
    assert world.states() == ["InService"] * 4


@pytest.mark.parametrize("process", ["HealthCheck", "ReplaceUnhealthy"])
def test_nobody_is_replaced_while_that_is_suspended(world: World, process: str) -> None:
    group = world.group(4, suspended=[process])
    first, *_ = ids(group)

    world.fleet.stop_behind_the_back(first)
    world.settle()
    before = world.state(first)
    world.call("resume_processes", ScalingProcesses=[process])
    world.settle()

    assert before == "InService"
    assert first not in group.members


@pytest.mark.parametrize(("kind", "replaced"), [("EC2", False), ("ELB", True)])
def test_the_load_balancer_decides_over_life_only_where_it_is_asked(world: World, kind: str, replaced: bool) -> None:
    group = world.group(4, health_check_type=kind)
    first, *_ = ids(group)
    name = world.fleet.machine(first).name

    world.given(FailHealthChecks(group=WEB, instance=name, moment=Moment(5)))
    world.pass_time(400)

    assert (world.state(first) != "InService") == replaced


def test_the_load_balancer_has_to_wait_for_the_end_of_the_grace_period(world: World) -> None:
    group = world.group(4, health_check_type="ELB", grace=900)
    first, *_ = ids(group)
    world.roll(group, [first])

    group.target_groups[0].fail_checks(first)
    world.pass_time(600)
    before = world.state(first)
    world.pass_time(600)

    assert (before, world.state(first)) == ("InService", "Terminating")


def test_a_reboot_makes_a_target_unhealthy_for_a_while(world: World) -> None:
    group = world.group(4)
    first, *_ = ids(group)

    world.account.client("ec2").create_image(InstanceId=first, Name="reboots")
    world.pass_time(61)
    down = world.target(first)
    world.settle()

    assert (down, world.target(first)) == ("unhealthy", "healthy")


def test_a_target_may_never_turn_healthy(world: World) -> None:
    group = world.group(4)
    first, *_ = ids(group)
    world.given(FailHealthChecks(group=WEB, moment=Moment(5)))
    world.pass_time(200)

    assert world.target(first) == "unhealthy"
    group.target_groups[0].pass_checks()
    world.settle()
    assert world.target(first) == "healthy"


def test_target_groups_tell_of_their_draining_and_of_nobody_they_do_not_know(world: World) -> None:
    world.fleet.add_target_group(WEB, deregistration_delay=60)
    world.fleet.add_target_group("idle", load_balancer=False)
    group = world.group(2, target_group=[WEB, "idle"])
    client = world.account.client("elbv2")
    arn, idle = world.describe()["TargetGroupARNs"]

    attributes = client.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
    health = client.describe_target_health(TargetGroupArn=idle)["TargetHealthDescriptions"]

    assert {"Key": "deregistration_delay.timeout_seconds", "Value": "60"} in attributes
    assert [one["TargetHealth"]["Reason"] for one in health] == ["Target.NotInUse"] * 2
    assert client.describe_target_groups(Names=[WEB])["TargetGroups"][0]["TargetGroupArn"] == arn
    assert refusal(client.describe_target_health, TargetGroupArn=arn + "0")[0] == "TargetGroupNotFound"
    world.enter(ids(group)[0])
    world.pass_time(61)
    assert world.state(ids(group)[0]) == "Standby"


# Launches


def test_a_launch_for_one_zone_answers_with_the_ids_at_once(world: World) -> None:
    group = world.group(4)

    answer = world.call(
        "launch_instances", RequestedCapacity=1, ClientToken="surge", AvailabilityZones=["ap-northeast-1c"]
    )

    (launched,) = answer["Instances"]
    (surge,) = launched["InstanceIds"]
    assert answer["Errors"] == []
    assert (world.state(surge), world.size()[1]) == ("Pending", 5)
    world.wait_for(surge, "InService")
    world.call("set_instance_protection", InstanceIds=[surge], ProtectedFromScaleIn=True)
    world.settle()
    assert group.members[surge].protected
    assert (group.members[surge].zone, world.target(surge)) == ("ap-northeast-1c", "healthy")
    assert world.fleet.machine(surge).agent_online


def test_a_launch_is_answered_the_same_when_it_is_asked_for_again(world: World) -> None:
    group = world.group(4)
    request = {"RequestedCapacity": 1, "ClientToken": "surge", "AvailabilityZones": ["ap-northeast-1a"]}

    first = world.call("launch_instances", **request)
    again = world.call("launch_instances", **request)

    assert first["Instances"] == again["Instances"]
    assert len(group.members) == 5
    other = {**request, "RequestedCapacity": 2}
    assert refusal(world.call, "launch_instances", **other)[0] == "IdempotentParameterMismatch"


@pytest.mark.parametrize(
    ("settings", "request_"),
    [
        pytest.param({}, {}, id="several zones and none named"),
        pytest.param({}, {"AvailabilityZones": ["ap-northeast-1d"]}, id="a zone the group is not in"),
        pytest.param({"zones": 1, "launch_configuration": "old"}, {}, id="a launch configuration"),
        pytest.param({"zones": 1, "warm_pool": 1}, {}, id="a warm pool"),
        pytest.param({"zones": 1, "mixed": MixedPolicy(on_demand_percentage=50)}, {}, id="On-Demand and Spot"),
        pytest.param({"zones": 1, "max": 4}, {}, id="no room below the maximum"),
        pytest.param({"zones": 1, "suspended": ["Launch"]}, {}, id="launches suspended"),
    ],
)
def test_a_launch_is_not_possible_with(world: World, settings: dict[str, Any], request_: dict[str, Any]) -> None:
    group = world.group(4, **settings)

    code, _ = refusal(world.call, "launch_instances", RequestedCapacity=1, ClientToken="surge", **request_)

    assert code == "ValidationError"
    assert group.desired == 4


@pytest.mark.parametrize(("retry", "desired"), [("none", 4), ("retry-with-group-configuration", 5)])
def test_a_launch_without_capacity_says_so(world: World, retry: str, desired: int) -> None:
    group = world.group(4)
    group.zones_without_capacity = {"ap-northeast-1a"}

    answer = world.call(
        "launch_instances",
        RequestedCapacity=1,
        ClientToken="surge",
        AvailabilityZones=["ap-northeast-1a"],
        RetryStrategy=retry,
    )
    world.settle()

    assert answer["Instances"] == []
    assert answer["Errors"][0]["ErrorCode"] == "InsufficientInstanceCapacity"
    assert world.size()[1] == desired == len(group.in_service)


def test_a_launch_that_fails_is_tried_again_until_there_is_capacity(world: World) -> None:
    group = world.group(4)
    world.given(LoseCapacity(group=WEB, moment=Moment(0), seconds=300))
    world.pass_time(1)

    world.call("set_desired_capacity", DesiredCapacity=5)
    world.pass_time(200)
    failed = [one for one in world.activities() if one["StatusCode"] == "Failed"]
    world.pass_time(400)

    assert failed
    assert "sufficient t3.medium capacity" in failed[0]["StatusMessage"]
    assert "EC2 Instance Launch Unsuccessful" in world.events()
    assert len(group.in_service) == 5


def test_a_new_version_of_the_template_is_for_the_next_launches_only(world: World) -> None:
    template = world.fleet.add_launch_template("golden", UserData="aGVsbG8=")
    like = MachineSpec(name="like", missing=("openssl-3.0.8",))
    group = world.group(2, launch_template="golden", template_version="$Latest", launched=like)
    first, *_ = ids(group)
    world.fleet.machine(first).missing.clear()
    ec2 = world.account.client("ec2")
    image = ec2.create_image(InstanceId=first, Name="golden", NoReboot=True)["ImageId"]
    request = {
        "LaunchTemplateId": template.template_id,
        "SourceVersion": "1",
        "LaunchTemplateData": {"ImageId": image},
        "ClientToken": "run",
    }

    version = ec2.create_launch_template_version(**request)["LaunchTemplateVersion"]
    again = ec2.create_launch_template_version(**request)["LaunchTemplateVersion"]
    world.call("set_desired_capacity", DesiredCapacity=3)
    world.settle()

    assert version["VersionNumber"] == again["VersionNumber"] == 2
    assert version["LaunchTemplateData"] == {"ImageId": image, "InstanceType": "t3.medium", "UserData": "aGVsbG8="}
    assert [member.source["Version"] for member in group.members.values()] == ["1", "1", "2"]
    assert group.in_service[-1].machine.spec.image_id == image
    assert group.in_service[-1].machine.missing == [], "the image was of a patched machine"


def test_the_default_version_of_a_template_is_chosen_by_its_number(world: World) -> None:
    template = world.fleet.add_launch_template("golden")
    ec2 = world.account.client("ec2")
    name = {"LaunchTemplateName": "golden"}
    ec2.create_launch_template_version(**name, LaunchTemplateData={"ImageId": "ami-00000000000000002"})

    before = ec2.describe_launch_template_versions(**name, Versions=["$Default"])["LaunchTemplateVersions"]
    ec2.modify_launch_template(**name, DefaultVersion="2")
    after = ec2.describe_launch_template_versions(**name)["LaunchTemplateVersions"]

    assert [one["VersionNumber"] for one in before] == [1]
    assert [(one["VersionNumber"], one["DefaultVersion"]) for one in after] == [(2, True), (1, False)]
    (described,) = ec2.describe_launch_templates(LaunchTemplateIds=[template.template_id])["LaunchTemplates"]
    assert (described["DefaultVersionNumber"], described["LatestVersionNumber"]) == (2, 2)
    unknown = "InvalidLaunchTemplateId.VersionNotFound"
    assert refusal(ec2.modify_launch_template, **name, DefaultVersion="3")[0] == unknown
    missing = refusal(ec2.describe_launch_template_versions, LaunchTemplateName="none")
    assert missing[0] == "InvalidLaunchTemplateName.NotFoundException"


def test_an_override_may_launch_from_another_template(world: World) -> None:
    world.fleet.add_launch_template("arm", ImageId="ami-0000000000000a4a4")
    other = {"LaunchTemplateSpecification": {"LaunchTemplateName": "arm"}, "InstanceType": "m7g.large"}
    group = world.group(2, mixed=MixedPolicy([other]))

    assert {member.source["LaunchTemplateName"] for member in group.members.values()} == {"arm"}
    assert {member.machine.spec.image_id for member in group.members.values()} == {"ami-0000000000000a4a4"}


def test_images_of_others_are_described_where_they_are_named(world: World) -> None:
    world.fleet.add_launch_template("arm", ImageId="ami-0000000000000a4a4", InstanceType="m7g.large")
    world.group(1, min=0)
    ec2 = world.account.client("ec2")

    first = world.fleet.machines[0].spec.image_id
    found = ec2.describe_images(ImageIds=[first, "ami-0000000000000a4a4"])["Images"]

    assert [(one["ImageId"], one["Architecture"]) for one in found] == [
        (first, "x86_64"),
        ("ami-0000000000000a4a4", "arm64"),
    ]
    assert ec2.describe_images(Owners=["self"])["Images"] == []
    assert refusal(ec2.describe_images, ImageIds=["ami-00000000000000bad"])[0] == "InvalidAMIID.NotFound"


def test_every_call_that_is_simulated_has_its_permissions_in_the_table(world: World) -> None:
    served = {"autoscaling": GroupCalls, "ec2": LaunchTemplates, "elbv2": LoadBalancers}

    for service, calls in served.items():
        operations = {
            xform_name(name): name for name in world.account.client(service).meta.service_model.operation_names
        }
        simulated = [operations[name] for name in dir(calls) if name in operations]
        assert simulated
        for operation in simulated:
            assert find_needs(service, operation), operation


# Others in the middle of it


def test_a_policy_and_a_scheduled_action_scale_unless_they_are_suspended(world: World) -> None:
    group = world.group(4, cooldown=0)
    world.given(
        ScalingPolicy(group=WEB, moment=Moment(10), adjustment=1),
        ScheduledAction(group=WEB, moment=Moment(60), desired=6),
        ChangeGroup(group=WEB, moment=Moment(600), suspend=["AlarmNotification", "ScheduledActions"]),
        ScalingPolicy(group=WEB, moment=Moment(700), adjustment=-3),
        ScheduledAction(group=WEB, moment=Moment(800), desired=3),
    )

    world.settle()

    assert world.size()[1] == 6 == len(group.in_service)


def test_somebody_interferes_when_an_execution_for_the_group_enters_a_state(world: World) -> None:
    world.account.deploy()
    world.group(4)
    other = world.group(4, "other")
    at_work = Moment(after=5, state="Echo")
    world.given(
        ChangeGroup(group=WEB, moment=at_work, max=9),
        ChangeGroup(group="other", moment=at_work, max=9),
    )

    world.account.start_execution("Machine", {"groupName": WEB})
    world.settle()
    before = (world.size()[2], other.max)
    world.account.start_execution("Machine", {"instanceId": ids(other)[0]})
    world.settle()

    assert before == (9, 6)
    assert other.max == 9


def test_a_change_that_is_refused_has_not_struck(world: World) -> None:
    world.group(4)
    strikes = ChangeGroup(group=WEB, moment=Moment(10), min=9).arm(world.account, world.fleet)

    world.settle()

    assert strikes.count == 0
    assert world.size() == (2, 4, 6)


def test_a_fault_of_a_group_tells_what_it_is() -> None:
    fault = ScheduledAction(group=WEB, moment=Moment(60), desired=6)

    assert describe(fault) == "web: scaled by a scheduled action after 60 s"


def test_a_policy_stays_within_the_bounds_and_waits_for_the_cooldown(world: World) -> None:
    group = world.group(4, cooldown=300)

    assert group.follow_policy(5)
    assert group.desired == 6
    assert not group.follow_policy(-1)
    world.pass_time(301)
    assert group.follow_policy(-1)


def test_somebody_changes_the_bounds_and_terminates_a_member(world: World) -> None:
    group = world.group(4)
    world.given(
        ChangeGroup(group=WEB, moment=Moment(10), min=1, max=9),
        TerminateMember(group=WEB, moment=Moment(20), instance="web-2", decrement=True),
    )

    world.settle()

    assert world.size() == (1, 3, 9)
    assert "web-2" not in [member.machine.name for member in group.members.values()]


@pytest.mark.parametrize(
    ("behaviour", "state", "status"),
    [("Terminate", "none", "Successful"), ("Ignore", "Standby", "Successful"), ("Wait", "Standby", "Failed")],
)
def test_an_instance_refresh_does_with_members_in_standby_as_it_was_told(
    world: World, behaviour: str, state: str, status: str
) -> None:
    group = world.group(4, min=0, suspended=["AZRebalance"])
    first, *others = ids(group)
    world.enter(first)
    world.wait_for(first, "Standby")

    world.call("start_instance_refresh", Preferences={"StandbyInstances": behaviour})
    world.pass_time(60)
    (during,) = world.call("describe_instance_refreshes")["InstanceRefreshes"]
    world.settle()

    (refresh,) = world.call("describe_instance_refreshes")["InstanceRefreshes"]
    assert (during["Status"], refresh["Status"]) == ("InProgress", status)
    assert world.state(first) == state
    assert not set(others) & set(group.members)
    assert len(group.in_service) == 3
    end = {"Successful": "Succeeded", "Failed": "Failed"}[status]
    refreshes = [event for event in world.events() if "Refresh" in event]
    assert refreshes == [f"EC2 Auto Scaling Instance Refresh {what}" for what in ("Started", end)]


def test_an_instance_refresh_can_be_cancelled_and_there_is_only_one(world: World) -> None:
    group = world.group(4)
    world.given(StartRefresh(group=WEB, moment=Moment(5)))
    world.pass_time(30)

    assert refusal(world.call, "start_instance_refresh")[0] == "InstanceRefreshInProgress"
    world.call("cancel_instance_refresh")
    world.settle()

    (refresh,) = world.call("describe_instance_refreshes")["InstanceRefreshes"]
    assert refresh["Status"] == "Cancelled"
    assert len(group.in_service) == 4
    assert refusal(world.call, "cancel_instance_refresh")[0] == "ActiveInstanceRefreshNotFound"


@pytest.mark.parametrize("process", ["InstanceRefresh", "Terminate"])
def test_an_instance_refresh_rests_while_it_is_suspended(world: World, process: str) -> None:
    group = world.group(3)
    before = ids(group)
    world.call("start_instance_refresh")
    world.pass_time(5)
    world.call("suspend_processes", ScalingProcesses=[process])
    world.pass_time(600)
    during = ids(group)

    world.call("resume_processes", ScalingProcesses=[process])
    world.settle()

    assert during == before
    assert not set(before) & set(group.members)


@pytest.mark.parametrize("refuses", [False, True])
def test_a_refresh_may_keep_members_from_standby(world: World, refuses: bool) -> None:
    group = world.group(4, unconfirmed=Unconfirmed(refresh_refuses_standby=refuses))
    last = ids(group)[-1]
    world.call("start_instance_refresh")

    if refuses:
        assert refusal(world.enter, last)[0] == "ValidationError"
    else:
        world.enter(last)


# The monitor


def test_the_monitor_is_content_with_a_roll_one_by_one(world: World) -> None:
    group = world.group(4)
    monitor = GroupMonitor(world.account, group)

    world.roll(group, ids(group))

    monitor.check()
    assert (monitor.most_out, monitor.fewest_healthy, monitor.out) == (1, 3, [])
    (outage,) = monitor.outages_of(ids(group)[0])
    assert None not in (outage.standby, outage.returned, outage.in_service, outage.healthy)
    assert outage.ended is not None
    assert outage.ended - outage.left == timedelta(seconds=300 + 600 + 10 + 30)


def test_a_group_of_one_is_never_without_a_healthy_member_when_another_is_launched_first(world: World) -> None:
    group = world.group(1, min=1, max=1)
    monitor = GroupMonitor(world.account, group, min_healthy=1)
    (only,) = ids(group)

    world.update(MaxSize=2)
    zone = {"AvailabilityZones": ["ap-northeast-1c"]}
    answer = world.call("launch_instances", RequestedCapacity=1, ClientToken="surge", **zone)
    (surge,) = answer["Instances"][0]["InstanceIds"]
    world.account.clock.run(until=lambda: group.count_healthy() == 2)
    world.call("set_instance_protection", InstanceIds=[surge], ProtectedFromScaleIn=True)
    world.roll(group, [only])
    world.terminate(surge)
    world.settle()
    world.update(MaxSize=1)
    world.settle()

    monitor.check()
    assert monitor.fewest_healthy == 1
    assert ids(group) == [only]
    assert world.size() == (1, 1, 1)


def test_the_monitor_complains_when_two_are_out(world: World) -> None:
    group = world.group(4)
    monitor = GroupMonitor(world.account, group)
    first, second, *_ = ids(group)

    world.enter(first)
    world.enter(second)

    with pytest.raises(AssertionError, match=r"(?s)2 are out of service .*2 are left healthy in service, not 3"):
        monitor.check()


def test_the_monitor_complains_when_the_others_are_not_healthy(world: World) -> None:
    group = world.group(4)
    monitor = GroupMonitor(world.account, group)
    first, second, *_ = ids(group)
    group.target_groups[0].fail_checks(second)
    world.pass_time(61)

    world.enter(first)

    with pytest.raises(AssertionError, match="2 are left healthy in service, not 3"):
        monitor.check()


def test_a_member_that_is_not_healthy_again_is_still_out(world: World) -> None:
    group = world.group(4)
    monitor = GroupMonitor(world.account, group, batch=1)
    first, *_ = ids(group)
    world.enter(first)
    world.wait_for(first, "Standby")
    group.target_groups[0].fail_checks(first)

    world.exit(first)
    world.settle()

    assert monitor.out == [first]
    monitor.check()


# Size


def test_a_roll_through_five_hundred_members_is_quick(world: World) -> None:
    group = world.group(500, min=0)
    monitor = GroupMonitor(world.account, group, batch=20)
    everybody = ids(group)
    begun = time.process_time()

    for first in range(0, 500, 20):
        batch = everybody[first : first + 20]
        world.enter(*batch)
        world.wait_for(batch[-1], "Standby")
        world.exit(*batch)
        world.account.clock.run(until=lambda: not monitor.out)

    monitor.check()
    assert len(monitor.outages) == 500
    assert world.states() == ["InService"] * 500
    assert time.process_time() - begun < 20
