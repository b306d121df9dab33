"""The resource groups of an embedded account: by tags, or of instances that were put in one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rehearsal.engine.answers import AWSError, Parameters, take_page
from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.world.instances import Instances

INSTANCES = "AWS::EC2::Instance"

_PAGE = 50


@dataclass(frozen=True)
class ResourceGroup:
    """A group of instances: those that have all of `tags`, or those that are listed in `ids`."""

    name: str
    tags: Mapping[str, Sequence[str]]
    """Allowed values by key; a key without values stands for any value."""
    ids: Sequence[str] | None = None

    @property
    def arn(self) -> str:
        """Return the ARN of the group."""
        return f"arn:aws:resource-groups:{REGION}:{ACCOUNT}:group/{self.name}"

    @property
    def query(self) -> dict[str, str]:
        """Return the resource query of a group by tags."""
        filters = [{"Key": key, "Values": list(values)} for key, values in self.tags.items()]
        query = {"ResourceTypeFilters": [INSTANCES], "TagFilters": filters}
        return {"Type": "TAG_FILTERS_1_0", "Query": json.dumps(query)}


class ResourceGroups:
    """The groups, and one method for each operation on them, named as in boto3."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._groups: dict[str, ResourceGroup] = {}

    def add(
        self,
        name: str,
        tags: Mapping[str, str | Sequence[str]] | None = None,
        ids: Sequence[str] | None = None,
    ) -> str:
        """Add a group by tags or by instance ids, and return its ARN. The ids may be of instances long gone."""
        if (tags is None) == (ids is None):
            raise ValueError(f"the resource group {name!r} needs either tags or ids")
        wanted = {key: [values] if isinstance(values, str) else list(values) for key, values in (tags or {}).items()}
        group = ResourceGroup(name, wanted, None if ids is None else list(ids))
        self._groups[name] = group
        return group.arn

    def remove(self, name: str) -> None:
        """Delete a group; its members stay as they are."""
        del self._groups[name]

    def list_group_resources(self, parameters: Parameters) -> dict[str, Any]:
        """Serve ListGroupResources. An instance that was terminated stays a member as long as its tags are there."""
        group = self._find(parameters)
        _check_page(parameters)
        for condition in parameters.get("Filters", []):
            strange = sorted(set(condition["Values"]) - {INSTANCES})
            if strange:
                raise AWSError(
                    "BadRequestException",
                    f"Resource types {', '.join(strange)} are not among those of the group's query.",
                )
        page, token = take_page(self._members(group), parameters, _PAGE)
        identifiers = [
            {
                "ResourceArn": f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance_id}",
                "ResourceType": INSTANCES,
            }
            for instance_id in page
        ]
        return {
            "Resources": [{"Identifier": identifier} for identifier in identifiers],
            "ResourceIdentifiers": identifiers,
            "QueryErrors": [],
            "NextToken": token,
        }

    def get_group(self, parameters: Parameters) -> dict[str, Any]:
        """Serve GetGroup."""
        return {"Group": _describe(self._find(parameters))}

    def get_group_query(self, parameters: Parameters) -> dict[str, Any]:
        """Serve GetGroupQuery, which only groups by tags have."""
        group = self._find(parameters)
        if group.ids is not None:
            raise AWSError("BadRequestException", f"The group {group.name} has no resource query.")
        return {"GroupQuery": {"GroupName": group.name, "ResourceQuery": group.query}}

    def list_groups(self, parameters: Parameters) -> dict[str, Any]:
        """Serve ListGroups."""
        groups = [self._groups[name] for name in sorted(self._groups)]
        _check_page(parameters)
        for condition in parameters.get("Filters", []):
            if condition["Name"] != "resource-type":
                raise NotImplementedError(f"the filter {condition['Name']} of ListGroups is not simulated")
            if INSTANCES not in condition["Values"]:
                groups = []
        page, token = take_page(groups, parameters, _PAGE)
        return {
            "GroupIdentifiers": [{"GroupName": group.name, "GroupArn": group.arn} for group in page],
            "Groups": [_describe(group) for group in page],
            "NextToken": token,
        }

    def _find(self, parameters: Parameters) -> ResourceGroup:
        given = parameters.get("Group") or parameters.get("GroupName")
        if not given:
            raise AWSError("BadRequestException", "Group must be specified.")
        group = self._groups.get(given.rpartition("group/")[2])
        if group is None or (given.startswith("arn:") and given != group.arn):
            raise AWSError("NotFoundException", f"Group {given} not found.")
        return group

    def _members(self, group: ResourceGroup) -> Sequence[str]:
        if group.ids is not None:
            return group.ids
        return [
            machine.instance_id
            for machine in self._instances.machines
            if _has_tags(self._instances.tags(machine.instance_id), group.tags)
        ]


def _has_tags(tags: Mapping[str, str], wanted: Mapping[str, Sequence[str]]) -> bool:
    return all(key in tags and (not values or tags[key] in values) for key, values in wanted.items())


def _check_page(parameters: Parameters) -> None:
    if not 1 <= parameters.get("MaxResults", _PAGE) <= _PAGE:
        raise AWSError("BadRequestException", f"MaxResults must be between 1 and {_PAGE}.")


def _describe(group: ResourceGroup) -> dict[str, Any]:
    return {"GroupArn": group.arn, "Name": group.name}
