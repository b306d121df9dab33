"""The calls to Auto Scaling, and to the load balancers that its groups stand behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from drydock.aws import call, client, error_code, error_text
from drydock.errors import GroupNotFoundError, GroupNotReadyError, ServiceUnavailableError

AZ_REBALANCE, LAUNCH = "AZRebalance", "Launch"
IN_SERVICE, STANDBY, ENTERING_STANDBY = "InService", "Standby", "EnteringStandby"

_AT_WORK = ("Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking")
"""https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstanceRefresh.html"""


@dataclass(frozen=True)
class Member:
    instance_id: str
    zone: str
    lifecycle: str
    is_healthy: bool

    @property
    def is_leaving(self) -> bool:
        """Whether the group terminates or gives it away."""
        return self.lifecycle.startswith(("Terminat", "Detach"))


@dataclass(frozen=True)
class Group:
    """An Auto Scaling group as it is now."""

    name: str
    min: int
    max: int
    desired: int
    suspended: frozenset[str]
    members: Sequence[Member]
    target_groups: Sequence[str]

    def find(self, instance_id: str) -> Member | None:
        return next((member for member in self.members if member.instance_id == instance_id), None)

    @property
    def healthy_in_service(self) -> int:
        return sum(member.lifecycle == IN_SERVICE and member.is_healthy for member in self.members)


class AutoScaling:
    def __init__(self) -> None:
        self._client = client("autoscaling")
        self._balancers = client("elbv2")

    def group(self, name: str) -> Group:
        """Raises GroupNotFoundError."""
        answer = call(self._client.describe_auto_scaling_groups, AutoScalingGroupNames=[name])
        for found in answer["AutoScalingGroups"]:
            return _read(found)
        raise GroupNotFoundError(f"{name}: there is no such Auto Scaling group here")

    def refresh_at_work(self, name: str) -> str:
        """The id of an instance refresh that is not over; empty for none."""
        answer = call(self._client.describe_instance_refreshes, AutoScalingGroupName=name, MaxRecords=20)
        at_work = (refresh for refresh in answer["InstanceRefreshes"] if refresh["Status"] in _AT_WORK)
        return next((str(refresh["InstanceRefreshId"]) for refresh in at_work), "")

    def suspend(self, name: str, process: str) -> None:
        self._change(self._client.suspend_processes, name, ScalingProcesses=[process])

    def resume(self, name: str, process: str) -> None:
        self._change(self._client.resume_processes, name, ScalingProcesses=[process])

    def set_min(self, name: str, size: int) -> None:
        self._change(self._client.update_auto_scaling_group, name, MinSize=size)

    def set_desired(self, name: str, size: int) -> None:
        self._change(self._client.set_desired_capacity, name, DesiredCapacity=size, HonorCooldown=False)

    def enter_standby(self, name: str, instance_id: str) -> None:
        """Take a member out of service; the group wants one less. Raises GroupNotReadyError when it may not now."""
        self._change(self._client.enter_standby, name, InstanceIds=[instance_id], ShouldDecrementDesiredCapacity=True)

    def exit_standby(self, name: str, instance_id: str) -> None:
        """Give a member back; the group wants one more. Raises GroupNotReadyError when it may not now."""
        self._change(self._client.exit_standby, name, InstanceIds=[instance_id])

    def terminate(self, name: str, instance_id: str) -> None:
        """Terminate a member. Desired capacity stays: a standby has lowered it already."""
        try:
            call(
                self._client.terminate_instance_in_auto_scaling_group,
                "ValidationError",
                InstanceId=instance_id,
                ShouldDecrementDesiredCapacity=False,
            )
        except ClientError as error:
            raise GroupNotReadyError(f"{name}: {instance_id} is not terminated: {error_text(error)}") from error

    def unhealthy_targets(self, target_groups: Sequence[str], instance_id: str) -> list[str]:
        """In which target groups a member is not healthy, and why, a phrase each."""
        phrases = []
        for arn in target_groups:
            answer = call(self._balancers.describe_target_health, TargetGroupArn=arn, Targets=[{"Id": instance_id}])
            for found in answer["TargetHealthDescriptions"]:
                health = found["TargetHealth"]
                if health["State"] != "healthy":
                    phrases.append(f"{arn.split('/')[-2]}: {health['State']} {health.get('Reason', '')}".strip())
        return phrases

    def drain_seconds(self, target_groups: Sequence[str]) -> int:
        """How long the slowest target group lets connections drain."""
        seconds = [0]
        for arn in target_groups:
            answer = call(self._balancers.describe_target_group_attributes, TargetGroupArn=arn)
            seconds += [
                int(attribute["Value"])
                for attribute in answer["Attributes"]
                if attribute["Key"] == "deregistration_delay.timeout_seconds"
            ]
        return max(seconds)

    def _change(self, method: Any, name: str, **parameters: Any) -> None:
        """Raises ServiceUnavailableError while another change is at work, GroupNotReadyError for a refused one."""
        try:
            call(
                method,
                "ResourceContention",
                "ScalingActivityInProgress",
                "ValidationError",
                AutoScalingGroupName=name,
                **parameters,
            )
        except ClientError as error:
            if error_code(error) == "ValidationError":
                raise GroupNotReadyError(f"{name}: {error_text(error)}") from error
            raise ServiceUnavailableError(f"{name}: {error_text(error)}", was_refused=True) from error


def _read(found: Mapping[str, Any]) -> Group:
    return Group(
        name=found["AutoScalingGroupName"],
        min=found["MinSize"],
        max=found["MaxSize"],
        desired=found["DesiredCapacity"],
        suspended=frozenset(process["ProcessName"] for process in found.get("SuspendedProcesses", [])),
        members=[
            Member(
                instance_id=instance["InstanceId"],
                zone=instance["AvailabilityZone"],
                lifecycle=instance["LifecycleState"],
                is_healthy=instance["HealthStatus"].lower() == "healthy",
            )
            for instance in found.get("Instances", [])
        ],
        target_groups=list(found.get("TargetGroupARNs", [])),
    )
