"""The Auto Scaling calls of the simulated groups."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rehearsal.engine.answers import AWSError, Parameters, take_page
from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.world.group_members import Member
from rehearsal.world.group_specs import PROCESSES, ZONE_IDS, find_subnet
from rehearsal.world.groups import Group
from rehearsal.world.refreshes import SIMULATED_PREFERENCES, Refresh, Refreshes

if TYPE_CHECKING:
    from rehearsal.world.fleet import Fleet

T = TypeVar("T")

_MOST_IN_STANDBY_CALL = 20
_MOST_PROTECTED = 50
_MOST_LAUNCHED = 100
_TOKEN = re.compile(r"[A-Za-z0-9\-_/]{1,64}")
_UPDATES = {
    "AutoScalingGroupName",
    "DefaultCooldown",
    "DesiredCapacity",
    "HealthCheckGracePeriod",
    "HealthCheckType",
    "LaunchTemplate",
    "MaxSize",
    "MinSize",
    "NewInstancesProtectedFromScaleIn",
}


class GroupCalls:
    """One method for each Auto Scaling operation, named as in boto3; each takes the call's parameters."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def describe_auto_scaling_groups(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeAutoScalingGroups: names of no group are left out."""
        names: Sequence[str] = parameters.get("AutoScalingGroupNames", [])
        groups = [group for group in self._groups() if not names or group.name in names]
        for condition in parameters.get("Filters", []):
            groups = [group for group in groups if _passes(group, condition)]
        page, token = _take(groups, parameters, 50, 100)
        instances = parameters.get("IncludeInstances", True)
        return {"AutoScalingGroups": [_describe(group, instances) for group in page], "NextToken": token}

    def describe_auto_scaling_instances(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeAutoScalingInstances, warm pools included: ids of no member are left out."""
        ids: Sequence[str] = parameters.get("InstanceIds", [])
        if len(ids) > 50:
            raise _invalid("The number of instance ids must be at most 50.")
        members = [
            (group, member)
            for group in self._groups()
            for member in group.members.values()
            if not ids or member.instance_id in ids
        ]
        page, token = _take(members, parameters, 50, 50)
        described = [
            {
                **_describe_member(member),
                "AutoScalingGroupName": group.name,
                "HealthStatus": member.health.upper(),
            }
            for group, member in page
        ]
        return {"AutoScalingInstances": described, "NextToken": token}

    def describe_launch_configurations(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeLaunchConfigurations: those that groups launch from."""
        named = {group.spec.launch_configuration: group for group in self._groups() if group.spec.launch_configuration}
        found = [
            {
                "LaunchConfigurationName": name,
                "LaunchConfigurationARN": f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:launchConfiguration:"
                f"{uuid.uuid5(uuid.NAMESPACE_OID, name)}:launchConfigurationName/{name}",
                "ImageId": group.configured_image,
            }
            for name, group in named.items()
        ]
        page, token = take_page(found, parameters, 100)
        return {"LaunchConfigurations": page, "NextToken": token}

    def describe_scaling_activities(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeScalingActivities, newest first."""
        if parameters.get("Filters"):
            raise NotImplementedError("the filters of DescribeScalingActivities are not simulated")
        name, ids = parameters.get("AutoScalingGroupName"), parameters.get("ActivityIds", [])
        groups = [self._find(parameters)] if name else self._groups()
        found = [
            (activity.started, number, group, activity)
            for group in groups
            for number, activity in enumerate(group.activities.all)
            if not ids or activity.activity_id in ids
        ]
        found.sort(key=lambda one: one[:2], reverse=True)
        page, token = _take(found, parameters, 100, 100)
        return {"Activities": [group.activities.describe(one) for _, _, group, one in page], "NextToken": token}

    def describe_instance_refreshes(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeInstanceRefreshes, newest first."""
        group = self._find(parameters)
        ids: Sequence[str] = parameters.get("InstanceRefreshIds", [])
        found = [
            refresh
            for refresh in reversed(self._fleet.refreshes[group.name].all)
            if not ids or refresh.refresh_id in ids
        ]
        page, token = _take(found, parameters, 50, 100)
        return {"InstanceRefreshes": [_describe_refresh(group, refresh) for refresh in page], "NextToken": token}

    def describe_warm_pool(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeWarmPool."""
        group = self._find(parameters)
        warm = [member for member in group.members.values() if member.warm]
        page, token = _take(warm, parameters, 50, 50)
        return {
            "WarmPoolConfiguration": _describe_warm_pool(group),
            "Instances": [_describe_member(member) for member in page],
            "NextToken": token,
        }

    def enter_standby(self, parameters: Parameters) -> dict[str, Any]:
        """Serve EnterStandby."""
        group = self._find_to_change(parameters)
        activities = group.enter_standby(_read_ids(parameters), parameters["ShouldDecrementDesiredCapacity"])
        return {"Activities": [group.activities.describe(activity) for activity in activities]}

    def exit_standby(self, parameters: Parameters) -> dict[str, Any]:
        """Serve ExitStandby."""
        group = self._find_to_change(parameters)
        activities = group.exit_standby(_read_ids(parameters))
        return {"Activities": [group.activities.describe(activity) for activity in activities]}

    def suspend_processes(self, parameters: Parameters) -> dict[str, Any]:
        """Serve SuspendProcesses: all of them when none is named."""
        self._find_to_change(parameters).suspend(parameters.get("ScalingProcesses") or PROCESSES)
        return {}

    def resume_processes(self, parameters: Parameters) -> dict[str, Any]:
        """Serve ResumeProcesses: all of them when none is named."""
        self._find_to_change(parameters).resume(parameters.get("ScalingProcesses") or PROCESSES)
        return {}

    def update_auto_scaling_group(self, parameters: Parameters) -> dict[str, Any]:
        """Serve UpdateAutoScalingGroup."""
        strange = sorted(set(parameters) - _UPDATES)
        if strange:
            raise NotImplementedError(f"UpdateAutoScalingGroup with {', '.join(strange)} is not simulated")
        group = self._find_to_change(parameters)
        version = None
        if "LaunchTemplate" in parameters:
            given = parameters["LaunchTemplate"]
            version = given.get("Version", "$Default")
            template = self._fleet.launch_templates.find(given.get("LaunchTemplateId"), given.get("LaunchTemplateName"))
            template.version(version)
        if {"MinSize", "MaxSize", "DesiredCapacity"} & set(parameters):
            group.update(parameters.get("MinSize"), parameters.get("MaxSize"), parameters.get("DesiredCapacity"))
        if version is not None:
            group.template, group.template_version = template, version
        group.cooldown = parameters.get("DefaultCooldown", group.cooldown)
        group.grace = parameters.get("HealthCheckGracePeriod", group.grace)
        group.health_check_type = parameters.get("HealthCheckType", group.health_check_type)
        group.protect_new = parameters.get("NewInstancesProtectedFromScaleIn", group.protect_new)
        return {}

    def set_desired_capacity(self, parameters: Parameters) -> dict[str, Any]:
        """Serve SetDesiredCapacity."""
        group = self._find_to_change(parameters)
        group.set_desired(parameters["DesiredCapacity"], parameters.get("HonorCooldown", False))
        return {}

    def set_instance_protection(self, parameters: Parameters) -> dict[str, Any]:
        """Serve SetInstanceProtection: all or none."""
        group = self._find_to_change(parameters)
        ids: Sequence[str] = parameters["InstanceIds"]
        if not 1 <= len(ids) <= _MOST_PROTECTED:
            raise _invalid(f"The number of instance ids must be between 1 and {_MOST_PROTECTED}.")
        members = [group.find(instance_id) for instance_id in ids]
        for member in members:
            if member.state not in ("InService", "EnteringStandby", "Standby"):
                raise _invalid(f"The instance {member.instance_id} is not in InService or EnteringStandby or Standby.")
        for member in members:
            member.protected = parameters["ProtectedFromScaleIn"]
        return {}

    def set_instance_health(self, parameters: Parameters) -> dict[str, Any]:
        """Serve SetInstanceHealth, which respects the grace period unless it is told not to."""
        group, member = self._find_member(parameters["InstanceId"])
        if parameters["HealthStatus"] == "Healthy":
            member.health = "Healthy"
            return {}
        age = self._fleet.account.clock.time() - member.in_service_at
        if not parameters.get("ShouldRespectGracePeriod", True) or age >= group.grace:
            group.mark_unhealthy(member)
        return {}

    def terminate_instance_in_auto_scaling_group(self, parameters: Parameters) -> dict[str, Any]:
        """Serve TerminateInstanceInAutoScalingGroup of one instance."""
        if "InstanceIds" in parameters:
            raise NotImplementedError("TerminateInstanceInAutoScalingGroup with InstanceIds is not simulated")
        group, member = self._find_member(parameters["InstanceId"])
        _check_contention(group)
        activity = group.terminate(member, parameters["ShouldDecrementDesiredCapacity"])
        return {"Activity": group.activities.describe(activity)}

    def launch_instances(self, parameters: Parameters) -> dict[str, Any]:
        """Serve LaunchInstances: the ids, or why there are none, at once; a client token is answered the same again."""
        group = self._find_to_change(parameters)
        token = parameters["ClientToken"]
        if not _TOKEN.fullmatch(token):
            raise _invalid("ClientToken has characters that are not allowed.")
        if token in group.tokens:
            request, answer = group.tokens[token]
            if request != parameters:
                raise AWSError(
                    "IdempotentParameterMismatch",
                    "The client token is already used by a request with other parameters.",
                )
            return answer
        zone = _choose_zone(group, parameters)
        count = parameters["RequestedCapacity"]
        _refuse_launch(group, count)
        retry = parameters.get("RetryStrategy", "none") == "retry-with-group-configuration"
        launched, had_capacity = group.launch_now(count, zone, retry)
        chosen = zone or group.zones[0]
        about = {
            "AvailabilityZone": chosen,
            "AvailabilityZoneId": ZONE_IDS[chosen],
            "SubnetId": find_subnet(chosen),
            "MarketType": "OnDemand",
        }
        by_type: dict[str, list[str]] = {}
        for member in launched:
            by_type.setdefault(member.machine.spec.instance_type, []).append(member.instance_id)
        error = {
            **about,
            "ErrorCode": group.launch_error,
            "ErrorMessage": f"There is no capacity in the Availability Zone {chosen}.",
        }
        answer = {
            "AutoScalingGroupName": group.name,
            "ClientToken": token,
            "Instances": [{**about, "InstanceType": kind, "InstanceIds": ids} for kind, ids in by_type.items()],
            "Errors": [] if had_capacity else [error],
        }
        group.tokens[token] = (dict(parameters), answer)
        return answer

    def start_instance_refresh(self, parameters: Parameters) -> dict[str, Any]:
        """Serve StartInstanceRefresh of the rolling kind."""
        strange = {"Strategy", "DesiredConfiguration"} & set(parameters)
        if strange and (strange != {"Strategy"} or parameters["Strategy"] != "Rolling"):
            raise NotImplementedError(f"StartInstanceRefresh with {', '.join(sorted(strange))} is not simulated")
        preferences = parameters.get("Preferences", {})
        if unknown := set(preferences) - set(SIMULATED_PREFERENCES):
            raise NotImplementedError(f"StartInstanceRefresh with {', '.join(sorted(unknown))} is not simulated")
        refresh = self._find_refreshes(parameters).start(preferences)
        return {"InstanceRefreshId": refresh.refresh_id}

    def cancel_instance_refresh(self, parameters: Parameters) -> dict[str, Any]:
        """Serve CancelInstanceRefresh."""
        return {"InstanceRefreshId": self._find_refreshes(parameters).cancel().refresh_id}

    def create_or_update_tags(self, parameters: Parameters) -> dict[str, Any]:
        """Serve CreateOrUpdateTags: members that are there already get nothing of it."""
        for tag in parameters["Tags"]:
            group = self._find({"AutoScalingGroupName": tag.get("ResourceId", "")})
            group.tags[tag["Key"]] = tag.get("Value", "")
        return {}

    def describe_tags(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeTags."""
        tags = [tag for group in self._groups() for tag in _describe_tags(group)]
        keys = {"auto-scaling-group": "ResourceId", "key": "Key", "value": "Value"}
        for condition in parameters.get("Filters", []):
            if condition["Name"] not in keys:
                raise NotImplementedError(f"the filter {condition['Name']} of DescribeTags is not simulated")
            tags = [tag for tag in tags if tag[keys[condition["Name"]]] in condition.get("Values", [])]
        page, token = _take(tags, parameters, 50, 100)
        return {"Tags": page, "NextToken": token}

    def _groups(self) -> list[Group]:
        return [self._fleet.groups[name] for name in sorted(self._fleet.groups)]

    def _find(self, parameters: Parameters) -> Group:
        name = parameters["AutoScalingGroupName"]
        # Like AWS, take the ARN of a group for its name.
        group = self._fleet.groups.get(name.rpartition("autoScalingGroupName/")[2])
        if group is None:
            raise _invalid(f"AutoScalingGroup name not found - AutoScalingGroup {name} not found")
        return group

    def _find_to_change(self, parameters: Parameters) -> Group:
        group = self._find(parameters)
        _check_contention(group)
        return group

    def _find_refreshes(self, parameters: Parameters) -> Refreshes:
        return self._fleet.refreshes[self._find_to_change(parameters).name]

    def _find_member(self, instance_id: str) -> tuple[Group, Member]:
        for group in self._fleet.groups.values():
            if instance_id in group.members:
                return group, group.members[instance_id]
        raise _invalid(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")


def _check_contention(group: Group) -> None:
    if group.contended:
        raise AWSError("ResourceContention", f"You already have a pending update to Auto Scaling group {group.name}.")


def _read_ids(parameters: Parameters) -> Sequence[str]:
    ids: Sequence[str] = parameters.get("InstanceIds", [])
    if not ids:
        raise _invalid("At least one instance ID must be specified.")
    if len(ids) > _MOST_IN_STANDBY_CALL:
        raise _invalid(f"The number of instance ids that may be passed in is limited to {_MOST_IN_STANDBY_CALL}")
    return ids


def _choose_zone(group: Group, parameters: Parameters) -> str | None:
    """Return the one zone that a launch names. Raises AWSError as LaunchInstances does."""
    if "AvailabilityZones" in parameters and "AvailabilityZoneIds" in parameters:
        raise _invalid("You cannot specify both AvailabilityZones and AvailabilityZoneIds.")
    named = {
        *parameters.get("AvailabilityZones", []),
        *(zone for zone in group.zones if ZONE_IDS[zone] in parameters.get("AvailabilityZoneIds", [])),
        *(zone for zone in group.zones if find_subnet(zone) in parameters.get("SubnetIds", [])),
    }
    asked = any(name in parameters for name in ("AvailabilityZones", "AvailabilityZoneIds", "SubnetIds"))
    if len(group.zones) > 1 and not asked:
        raise _invalid(
            f"Auto Scaling group {group.name} is in several Availability Zones: specify one of them, or a subnet."
        )
    if asked and (len(named) != 1 or not named <= set(group.zones)):
        raise _invalid(f"Auto Scaling group {group.name} is not in the Availability Zone or subnet that was specified.")
    return named.pop() if named else None


def _refuse_launch(group: Group, count: int) -> None:
    if group.template is None:
        raise _invalid("LaunchInstances is not supported for Auto Scaling groups that use a launch configuration.")
    if group.spec.mixed is not None and group.spec.mixed.mixes_markets:
        raise _invalid("LaunchInstances is not supported for mixed instances policies with On-Demand and Spot.")
    if group.spec.warm_pool is not None:
        raise _invalid("LaunchInstances is not supported for Auto Scaling groups with a warm pool.")
    if "Launch" in group.suspended:
        raise _invalid(f"The Launch process of Auto Scaling group {group.name} is suspended.")
    if count > _MOST_LAUNCHED:
        raise _invalid(f"At most {_MOST_LAUNCHED} instances can be launched at once.")
    if group.desired + count > group.max:
        raise _invalid(
            f"Launching {count} instances would take the desired capacity {group.desired} above max value {group.max}."
        )


def _take(items: Sequence[T], parameters: Parameters, default: int, largest: int) -> tuple[list[T], str | None]:
    size = parameters.get("MaxRecords", default)
    if not 1 <= size <= largest:
        raise _invalid(f"MaxRecords must be between 1 and {largest}.")
    token = parameters.get("NextToken")
    if token is not None and not token.isdecimal():
        raise AWSError("InvalidNextToken", "The NextToken value is not valid.")
    return take_page(items, {"MaxResults": size, "NextToken": token}, default)


def _passes(group: Group, condition: Mapping[str, Any]) -> bool:
    name, values = condition["Name"], condition.get("Values", [])
    if name == "tag-key":
        return any(key in values for key in group.tags)
    if name == "tag-value":
        return any(value in values for value in group.tags.values())
    if name.startswith("tag:"):
        return group.tags.get(name.removeprefix("tag:")) in values
    raise NotImplementedError(f"the filter {name} of DescribeAutoScalingGroups is not simulated")


def _describe(group: Group, instances: bool) -> dict[str, Any]:
    described: dict[str, Any] = {
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "MinSize": group.min,
        "MaxSize": group.max,
        "DesiredCapacity": group.desired,
        "DefaultCooldown": group.cooldown,
        "AvailabilityZones": list(group.zones),
        "LoadBalancerNames": [],
        "TargetGroupARNs": [one.arn for one in group.target_groups],
        "HealthCheckType": group.health_check_type,
        "HealthCheckGracePeriod": group.grace,
        "CreatedTime": group.created,
        "SuspendedProcesses": [
            {"ProcessName": process, "SuspensionReason": group.suspended[process]}
            for process in sorted(group.suspended)
        ],
        "VPCZoneIdentifier": ",".join(find_subnet(zone) for zone in group.zones),
        "EnabledMetrics": [],
        "Tags": _describe_tags(group),
        "TerminationPolicies": ["Default"],
        "NewInstancesProtectedFromScaleIn": group.protect_new,
    }
    if instances:
        described["Instances"] = [_describe_member(member) for member in group.members.values() if not member.warm]
    if group.spec.warm_pool is not None:
        described["WarmPoolConfiguration"] = _describe_warm_pool(group)
        described["WarmPoolSize"] = sum(member.warm for member in group.members.values())
    if group.template is None:
        return {**described, "LaunchConfigurationName": group.spec.launch_configuration}
    template = {
        "LaunchTemplateId": group.template.template_id,
        "LaunchTemplateName": group.template.name,
        "Version": group.template_version,
    }
    policy = group.spec.mixed
    if policy is None:
        return {**described, "LaunchTemplate": template}
    mixed = {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": template,
            "Overrides": [dict(override) for override in policy.overrides],
        },
        "InstancesDistribution": {
            "OnDemandBaseCapacity": policy.on_demand_base,
            "OnDemandPercentageAboveBaseCapacity": policy.on_demand_percentage,
        },
    }
    return {**described, "MixedInstancesPolicy": mixed}


def _describe_member(member: Member) -> dict[str, Any]:
    source = dict(member.source)
    described: dict[str, Any] = {
        "InstanceId": member.instance_id,
        "InstanceType": member.machine.spec.instance_type,
        "AvailabilityZone": member.zone,
        "LifecycleState": member.state,
        "HealthStatus": member.health,
        "ProtectedFromScaleIn": member.protected,
        **(source if "LaunchConfigurationName" in source else {"LaunchTemplate": source}),
    }
    if member.weight != 1:
        described["WeightedCapacity"] = str(member.weight)
    return described


def _describe_refresh(group: Group, refresh: Refresh) -> dict[str, Any]:
    left = len(refresh.todo)
    done = 100 if refresh.status == "Successful" else 100 * (refresh.total - left) // max(refresh.total, 1)
    described = {
        "InstanceRefreshId": refresh.refresh_id,
        "AutoScalingGroupName": group.name,
        "Status": refresh.status,
        "StatusReason": refresh.reason,
        "StartTime": refresh.started,
        "EndTime": refresh.ended,
        "PercentageComplete": done,
        "InstancesToUpdate": left,
        "Preferences": dict(refresh.preferences),
        "Strategy": "Rolling",
    }
    return {key: value for key, value in described.items() if value is not None}


def _describe_warm_pool(group: Group) -> dict[str, Any]:
    return {"MinSize": group.spec.warm_pool, "PoolState": group.pool_state}


def _describe_tags(group: Group) -> list[dict[str, Any]]:
    return [
        {
            "ResourceId": group.name,
            "ResourceType": "auto-scaling-group",
            "Key": key,
            "Value": group.tags[key],
            "PropagateAtLaunch": True,
        }
        for key in sorted(group.tags)
    ]


def _invalid(message: str) -> AWSError:
    return AWSError("ValidationError", message)
