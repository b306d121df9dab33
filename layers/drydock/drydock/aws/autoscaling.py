"""The calls to Auto Scaling, and to the load balancers that its groups stand behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from drydock.aws.calls import call, client, error_code, error_text, find_first, in_chunks, look_at_once, pages
from drydock.catalogue.saying import say
from drydock.errors import (
    GroupNotFoundError,
    GroupNotReadyError,
    OperationUnknownError,
    ServiceUnavailableError,
    SurgeNotPossibleError,
)

AZ_REBALANCE, LAUNCH, ADD_TO_LOAD_BALANCER = "AZRebalance", "Launch", "AddToLoadBalancer"
IN_SERVICE, STANDBY, ENTERING_STANDBY = "InService", "Standby", "EnteringStandby"

_AT_WORK = ("Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking")
"""https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstanceRefresh.html"""

LATEST_VERSION, DEFAULT_VERSION = "$Latest", "$Default"
"""What a group may name instead of the number of a launch template's version."""

_PAGE = 100
_MOST_IDS = 50
"""So many instances DescribeAutoScalingInstances takes, and shows, at once."""

_NO_LAUNCH = ("IdempotentParameterMismatch", "UnsupportedOperation", "ValidationError")

_NOT_IN_USE = "Target.NotInUse"
"""https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html"""


@dataclass(frozen=True)
class Member:
    """An instance of an Auto Scaling group. `lifecycle` is its LifecycleState, as Auto Scaling names it."""

    instance_id: str
    zone: str
    lifecycle: str
    is_healthy: bool
    is_protected: bool = False
    """From scaling in."""
    weight: int = 1

    @property
    def is_outside(self) -> bool:
        """Whether it belongs to the group's instances but not to those in service: in standby, or on its way."""
        return self.lifecycle.startswith(("Standby", "EnteringStandby", "Pending"))

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
    zones: Sequence[str] = ()
    launches_from_template: bool = True
    has_warm_pool: bool = False
    mixes_markets: bool = False
    """Whether it has both On-Demand and Spot instances."""
    is_weighted: bool = False
    """Whether its instances count by a weight, not as one each."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Its own; those of its instances may be fewer, or older."""

    def find(self, instance_id: str) -> Member | None:
        """The member with this instance id; None when the group has none, or no more."""
        return next((member for member in self.members if member.instance_id == instance_id), None)

    @property
    def counts_by_weight(self) -> bool:
        """Whether its sizes do not count the members that it has now."""
        return any(member.weight != 1 for member in self.members)

    @property
    def healthy_in_service(self) -> int:
        """By the group's own health checks."""
        return len(self.serving)

    @property
    def serving(self) -> frozenset[str]:
        """The ids of the members that are in service and healthy, by the group's own health checks."""
        return frozenset(
            member.instance_id for member in self.members if member.lifecycle == IN_SERVICE and member.is_healthy
        )


@dataclass(frozen=True)
class LaunchSource:
    """What a group launches its instances from: a launch template or, of old, a launch configuration."""

    group_name: str
    configuration: str
    """The name of the launch configuration; empty for a group with a launch template."""
    template_id: str
    template_name: str
    version: str
    """A number, `$Latest` or `$Default`."""
    other_templates: Mapping[str, str]
    """The versions of the templates that overrides name for some instance types, by template id."""
    has_own_images: bool
    """Whether overrides name images."""

    def version_of(self, template_id: str) -> str:
        """The version of a template that the group launches from, if it does."""
        return self.version if template_id == self.template_id else self.other_templates.get(template_id, "")


class AutoScaling:
    """Auto Scaling's groups, and the health that Elastic Load Balancing sees in their target groups."""

    def __init__(self) -> None:
        self._client = client("autoscaling")
        self._once = client("autoscaling", attempts=1)
        self._balancers = client("elbv2")

    def group(self, name: str) -> Group:
        """Raises GroupNotFoundError."""
        found = find_first(self._client.describe_auto_scaling_groups, "AutoScalingGroups", AutoScalingGroupNames=[name])
        if found is None:
            raise GroupNotFoundError(say("autoscaling.unknown_group", group=name))
        return _read(found)

    def groups(self, names: Iterable[str]) -> dict[str, Group]:
        """The groups of these names, by name; those that are not there are left out."""
        chunks = in_chunks(sorted(set(names)), _PAGE)
        groups = [group for some in look_at_once(self._some_groups, chunks) for group in some]
        return {group.name: group for group in groups}

    def _some_groups(self, names: Sequence[str]) -> list[Group]:
        found = pages(self._client.describe_auto_scaling_groups, AutoScalingGroupNames=names, MaxRecords=_PAGE)
        return [_read(one) for page in found for one in page["AutoScalingGroups"]]

    def lifecycles(self, instance_ids: Iterable[str]) -> dict[str, str]:
        """What instances are to their groups, by instance id: warm pools too, which no group's description shows.

        Those that are in no group are left out.
        """
        chunks = in_chunks(sorted(set(instance_ids)), _MOST_IDS)
        found = [one for some in look_at_once(self._some_instances, chunks) for one in some]
        return {one["InstanceId"]: one["LifecycleState"] for one in found}

    def _some_instances(self, instance_ids: Sequence[str]) -> list[Mapping[str, Any]]:
        found = pages(self._client.describe_auto_scaling_instances, InstanceIds=instance_ids)
        return [one for page in found for one in page["AutoScalingInstances"]]

    def launch_sources(self) -> list[LaunchSource]:
        """What all groups of the account launch their instances from."""
        found = pages(self._client.describe_auto_scaling_groups, MaxRecords=_PAGE)
        return [_read_source(one) for page in found for one in page["AutoScalingGroups"]]

    def images_of_configurations(self) -> dict[str, str]:
        """The images that launch configurations name, each with the ARN of one that does."""
        found = pages(self._client.describe_launch_configurations)
        return {
            str(one["ImageId"]): str(one["LaunchConfigurationARN"])
            for page in found
            for one in page["LaunchConfigurations"]
        }

    def refresh_at_work(self, name: str) -> str:
        """The id of an instance refresh that is not over; empty for none."""
        found = pages(self._client.describe_instance_refreshes, AutoScalingGroupName=name, MaxRecords=_PAGE)
        refreshes = (refresh for page in found for refresh in page["InstanceRefreshes"])
        return next((str(one["InstanceRefreshId"]) for one in refreshes if one["Status"] in _AT_WORK), "")

    def suspend(self, name: str, process: str) -> None:
        """Keep a group from one of its scaling processes. Raises GroupNotReadyError when that is refused."""
        self._change(self._client.suspend_processes, name, ScalingProcesses=[process])

    def resume(self, name: str, process: str) -> None:
        """Let a suspended scaling process work again. Raises GroupNotReadyError when that is refused."""
        self._change(self._client.resume_processes, name, ScalingProcesses=[process])

    def set_min(self, name: str, size: int) -> None:
        """Set the least size of a group. Raises GroupNotReadyError when that is refused.

        A size above the current one raises desired capacity too (UpdateAutoScalingGroup in the API reference).
        """
        self._change(self._client.update_auto_scaling_group, name, MinSize=size)

    def set_desired(self, name: str, size: int) -> None:
        """Set how many instances a group wants, at once and without a cooldown.

        Raises GroupNotReadyError when that is refused.
        """
        self._change(self._client.set_desired_capacity, name, DesiredCapacity=size, HonorCooldown=False)

    def enter_standby(self, name: str, instance_id: str) -> None:
        """Take a member out of service; the group wants one less. Raises GroupNotReadyError when it may not now."""
        self._change(self._client.enter_standby, name, InstanceIds=[instance_id], ShouldDecrementDesiredCapacity=True)

    def exit_standby(self, name: str, instance_id: str) -> None:
        """Give a member back; the group wants one more. Raises GroupNotReadyError when it may not now."""
        self._change(self._client.exit_standby, name, InstanceIds=[instance_id])

    def terminate(self, name: str, instance_id: str) -> None:
        """Terminate a member. Desired capacity stays: a standby has lowered it already.

        Raises GroupNotReadyError when it may not now.
        """
        self._terminate(name, instance_id, decrement=False)

    def set_max(self, name: str, size: int) -> None:
        """Set the greatest size of a group. Raises GroupNotReadyError when that is refused."""
        self._change(self._client.update_auto_scaling_group, name, MaxSize=size)

    def set_protection(self, name: str, instance_id: str, protected: bool) -> None:
        """Protect a member from scaling in, or no longer. Raises GroupNotReadyError when it may not now."""
        self._change(
            self._client.set_instance_protection, name, InstanceIds=[instance_id], ProtectedFromScaleIn=protected
        )

    def launch_one(self, name: str, zone: str, token: str) -> str:
        """Launch an instance in a zone; the same token launches none twice. Returns its id.

        Raises SurgeNotPossibleError when AWS has launched none and will not, ServiceUnavailableError when it may have.
        """
        try:
            answer = call(
                self._client.launch_instances,
                *_NO_LAUNCH,
                AutoScalingGroupName=name,
                RequestedCapacity=1,
                AvailabilityZones=[zone],
                ClientToken=token,
                RetryStrategy="none",
            )
        except OperationUnknownError as error:
            raise SurgeNotPossibleError(
                say("autoscaling.not_launched", group=name, zone=zone, reason=str(error))
            ) from error
        except ClientError as error:
            raise SurgeNotPossibleError(
                say(
                    "autoscaling.not_launched",
                    group=name,
                    zone=zone,
                    reason=f"{error_code(error)}: {error_text(error)}",
                )
            ) from error
        for launched in answer.get("Instances", []):
            for instance_id in launched["InstanceIds"]:
                return str(instance_id)
        causes = [f"{error['ErrorCode']}: {error['ErrorMessage']}" for error in answer.get("Errors", [])]
        if not causes:
            # https://docs.aws.amazon.com/autoscaling/ec2/userguide/launch-instances-synchronously.html: a launch that
            # takes long is answered with its token only, and asked for again by that.
            raise ServiceUnavailableError(say("autoscaling.launch_unknown", group=name, zone=zone))
        raise SurgeNotPossibleError(say("autoscaling.not_launched", group=name, zone=zone, reason="; ".join(causes)))

    def remove(self, name: str, instance_id: str) -> None:
        """Terminate a member; the group wants one less. Raises GroupNotReadyError when it may not now."""
        self._terminate(name, instance_id, decrement=True)

    def _terminate(self, name: str, instance_id: str, *, decrement: bool) -> None:
        try:
            call(
                # Asked for twice, it might count twice.
                self._once.terminate_instance_in_auto_scaling_group,
                "ValidationError",
                InstanceId=instance_id,
                ShouldDecrementDesiredCapacity=decrement,
            )
        except ClientError as error:
            raise GroupNotReadyError(
                say("autoscaling.not_terminated", group=name, machine=instance_id, message=error_text(error))
            ) from error

    def serving_targets(self, target_groups: Sequence[str]) -> set[str] | None:
        """The instances that are healthy in every target group that a load balancer uses; None where none does.

        Nobody looks at a target in a zone that the load balancer does not use: it is as healthy as its group says.
        """
        serving: set[str] | None = None
        for arn in target_groups:
            found = call(self._balancers.describe_target_health, TargetGroupArn=arn)["TargetHealthDescriptions"]
            unused = {one["Target"]["Id"] for one in found if one["TargetHealth"].get("Reason") == _NOT_IN_USE}
            if unused and len(unused) == len(found):
                continue
            healthy = unused | {one["Target"]["Id"] for one in found if one["TargetHealth"]["State"] == "healthy"}
            serving = healthy if serving is None else serving & healthy
        return serving

    def unhealthy_targets(self, target_groups: Sequence[str], instance_id: str) -> list[str]:
        """In which target groups a member is not healthy, and why, a phrase each."""
        phrases = []
        for arn in target_groups:
            answer = call(self._balancers.describe_target_health, TargetGroupArn=arn, Targets=[{"Id": instance_id}])
            for found in answer["TargetHealthDescriptions"]:
                health = found["TargetHealth"]
                # No load balancer uses the target group: nobody looks at its targets.
                if health["State"] != "healthy" and health.get("Reason") != _NOT_IN_USE:
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
        """Raises GroupNotReadyError for a change that is refused."""
        try:
            call(method, "ValidationError", AutoScalingGroupName=name, **parameters)
        except ClientError as error:
            raise GroupNotReadyError(f"{name}: {error_text(error)}") from error


def _read(found: Mapping[str, Any]) -> Group:
    mixed = found.get("MixedInstancesPolicy", {})
    spread = mixed.get("InstancesDistribution", {})
    share = int(spread.get("OnDemandPercentageAboveBaseCapacity", 100))
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
                is_protected=bool(instance.get("ProtectedFromScaleIn")),
                weight=int(instance.get("WeightedCapacity") or 1),
            )
            for instance in found.get("Instances", [])
        ],
        target_groups=list(found.get("TargetGroupARNs", [])),
        zones=list(found.get("AvailabilityZones", [])),
        launches_from_template=bool(found.get("LaunchTemplate") or mixed),
        has_warm_pool="WarmPoolConfiguration" in found,
        mixes_markets=0 < share < 100 or (share < 100 and int(spread.get("OnDemandBaseCapacity", 0)) > 0),
        is_weighted=any("WeightedCapacity" in one for one in mixed.get("LaunchTemplate", {}).get("Overrides", [])),
        tags={tag["Key"]: tag["Value"] for tag in found.get("Tags", [])},
    )


def _read_source(found: Mapping[str, Any]) -> LaunchSource:
    mixed = found.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    template = found.get("LaunchTemplate") or mixed.get("LaunchTemplateSpecification") or {}
    overrides = mixed.get("Overrides", [])
    others = [
        override["LaunchTemplateSpecification"] for override in overrides if "LaunchTemplateSpecification" in override
    ]
    return LaunchSource(
        group_name=found["AutoScalingGroupName"],
        configuration=found.get("LaunchConfigurationName", ""),
        template_id=template.get("LaunchTemplateId", ""),
        template_name=template.get("LaunchTemplateName", ""),
        version=template.get("Version", DEFAULT_VERSION),
        other_templates={
            str(other.get("LaunchTemplateId") or other.get("LaunchTemplateName")): other.get("Version", DEFAULT_VERSION)
            for other in others
        },
        has_own_images=any("ImageId" in override for override in overrides),
    )
