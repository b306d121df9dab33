"""The resources that a task of a maintenance window is run for, found when the window runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MakeClient = Callable[[str], Any]


@dataclass(frozen=True)
class Resource:
    """A resource that a task is run for, once."""

    kind: str
    """INSTANCE or RESOURCE_GROUP."""
    resource_id: str
    arn: str = ""
    window_target_id: str | None = None
    owner: str | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """The pseudo parameters that are about the resource.

        https://docs.aws.amazon.com/systems-manager/latest/userguide/maintenance-window-tasks-pseudo-parameters.html
        """
        return {
            "WINDOW_TARGET_ID": self.window_target_id or "",
            "TARGET_TYPE": self.kind,
            "TARGET_ID": self.arn or self.resource_id,
            "RESOURCE_ID": self.resource_id,
        }


def find_resources(
    client: MakeClient, registered: Mapping[str, Mapping[str, Any]], task: Mapping[str, Any]
) -> list[Resource]:
    """Return the resources of a task's targets, each once; `registered` are the targets of its window by id."""
    found: dict[str, Resource] = {}
    for condition in task["Targets"]:
        if condition["Key"] == "InstanceIds":
            resources = [Resource("INSTANCE", instance_id) for instance_id in condition["Values"]]
        else:
            targets = [registered[target_id] for target_id in condition["Values"] if target_id in registered]
            resources = [resource for target in targets for resource in _resolve(client, target)]
        for resource in resources:
            found.setdefault(resource.resource_id, resource)
    return list(found.values())


def _resolve(client: MakeClient, target: Mapping[str, Any]) -> Iterator[Resource]:
    kind, conditions = target["ResourceType"], target["Targets"]
    if kind == "INSTANCE":
        identified = [(instance_id, "") for instance_id in _find_instances(client, conditions)]
    else:
        identified = [(arn.split("/")[-1], arn) for arn in _find_members(client, conditions)]
    for resource_id, arn in identified:
        yield Resource(kind, resource_id, arn, target["WindowTargetId"], target.get("OwnerInformation"))


def _find_instances(client: MakeClient, conditions: Sequence[Mapping[str, Any]]) -> list[str]:
    if [condition["Key"] for condition in conditions] == ["InstanceIds"]:
        return list(conditions[0]["Values"])
    # By tags, Systems Manager does not find what is stopped:
    # https://repost.aws/knowledge-center/ssm-no-invocations-automation
    filters = [{"Name": "instance-state-name", "Values": ["running"]}]
    filters += [{"Name": condition["Key"], "Values": condition["Values"]} for condition in conditions]
    pages = client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
    return [
        instance["InstanceId"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]


def _find_members(client: MakeClient, conditions: Sequence[Mapping[str, Any]]) -> list[str]:
    values = {condition["Key"]: condition["Values"] for condition in conditions}
    names = values.pop("resource-groups:Name", [])
    kinds = values.pop("resource-groups:ResourceTypeFilters", [])
    if not names or values:
        raise NotImplementedError(f"targets of a resource group without its name are not simulated: {conditions}")
    filters = {"Filters": [{"Name": "resource-type", "Values": kinds}]} if kinds else {}
    paginator = client("resource-groups").get_paginator("list_group_resources")
    return [
        member["Identifier"]["ResourceArn"]
        for name in names
        for page in paginator.paginate(Group=name, **filters)
        for member in page["Resources"]
    ]
