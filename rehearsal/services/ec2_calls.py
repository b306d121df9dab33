"""The EC2 calls of the simulated machines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rehearsal.engine.answers import AWSError, Parameters, take_page
from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.world.group_specs import find_subnet
from rehearsal.world.images import Image
from rehearsal.world.machines import STATE_CODES, Machine

if TYPE_CHECKING:
    from rehearsal.world.fleet import Fleet

_INSTANCE_ID = re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_SMALLEST_PAGE, _LARGEST_PAGE = 5, 1000
_MOST_FILTER_VALUES = 200
_MOST_IMAGES_ASKED, _VERSIONS_LOOKED_AT = 10, 10
"""Of DescribeImageReferences: images in one call, and versions of each launch template unless more are asked for."""
_WILD = ("*", "?", "\\")
"""What makes a value of a filter a pattern."""
_AMAZON = "137112412989"
_ARM = re.compile(r"(?:[a-z]+\d+g|a1)[a-z]*\.")
"""The types of instances with a processor of Amazon's own."""


class EC2Calls:
    """One method for each EC2 operation, named as in boto3; each takes the call's parameters."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def describe_instances(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeInstances: instances that are named come on one page, all others on as many as it takes."""
        ids, conditions = parameters.get("InstanceIds", []), parameters.get("Filters", [])
        _check_page(parameters, "instancesSet", ids)
        _check_filters(conditions)
        machines = self._find_machines(ids)
        for condition in conditions:
            machines = [machine for machine in machines if self._passes(machine, condition)]
        page, token = take_page(machines, parameters, len(ids) or _LARGEST_PAGE)
        reservations = [
            {
                "ReservationId": "r" + machine.instance_id[1:],
                "OwnerId": ACCOUNT,
                "Instances": [self._describe(machine)],
            }
            for machine in page
        ]
        return {"Reservations": reservations, "NextToken": token}

    def describe_instance_status(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeInstanceStatus: running instances only, unless all are asked for."""
        if parameters.get("Filters"):
            raise NotImplementedError("the filters of DescribeInstanceStatus are not simulated")
        ids = parameters.get("InstanceIds", [])
        _check_page(parameters, "instancesSet", ids)
        machines = self._find_machines(ids)
        if not parameters.get("IncludeAllInstances"):
            machines = [machine for machine in machines if machine.state == "running"]
        page, token = take_page(machines, parameters, len(ids) or _LARGEST_PAGE)
        statuses = []
        for machine in page:
            check = {"Status": machine.status_check}
            statuses.append(
                {
                    "AvailabilityZone": machine.spec.zone,
                    "InstanceId": machine.instance_id,
                    "InstanceState": _describe_state(machine.state),
                    "InstanceStatus": check,
                    "SystemStatus": check,
                }
            )
        return {"InstanceStatuses": statuses, "NextToken": token}

    def describe_instance_attribute(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeInstanceAttribute for the attributes that matter here."""
        (machine,) = self._find_machines([parameters["InstanceId"]])
        attribute = parameters.get("Attribute")
        if attribute == "disableApiStop":
            value: Any = {"DisableApiStop": {"Value": machine.spec.stop_protection}}
        elif attribute == "rootDeviceName":
            value = {"RootDeviceName": {"Value": "/dev/xvda"}}
        else:
            raise NotImplementedError(f"DescribeInstanceAttribute of {attribute} is not simulated")
        return {"InstanceId": machine.instance_id, **value}

    def start_instances(self, parameters: Parameters) -> dict[str, Any]:
        """Serve StartInstances: all or none."""
        machines = self._find_machines(parameters.get("InstanceIds", []))
        _refuse_managed(machines)
        self._refuse_states(machines, ("stopping", "shutting-down", "terminated"), "started")
        changes = []
        for machine in machines:
            before = machine.state
            if before == "stopped":
                machine.start()
            changes.append(_describe_change(machine, before))
        return {"StartingInstances": changes}

    def stop_instances(self, parameters: Parameters) -> dict[str, Any]:
        """Serve StopInstances: all or none."""
        if parameters.get("Hibernate"):
            raise NotImplementedError("StopInstances with Hibernate is not simulated")
        machines = self._find_machines(parameters.get("InstanceIds", []))
        _refuse_managed(machines)
        self._refuse_states(machines, ("pending", "shutting-down", "terminated"), "stopped")
        for machine in machines:
            if machine.spec.stop_protection:
                raise AWSError(
                    "OperationNotPermitted",
                    f"The instance '{machine.instance_id}' may not be stopped. Modify its 'disableApiStop' "
                    "instance attribute and try again.",
                )
            if machine.spec.root_device != "ebs":
                raise AWSError(
                    "UnsupportedOperation",
                    f"The instance '{machine.instance_id}' does not have an 'ebs' root device type and "
                    "cannot be stopped.",
                )
        changes = []
        for machine in machines:
            before = machine.state
            if before == "running":
                machine.stop()
            changes.append(_describe_change(machine, before))
        return {"StoppingInstances": changes}

    def terminate_instances(self, parameters: Parameters) -> dict[str, Any]:
        """Serve TerminateInstances."""
        changes = []
        machines = self._find_machines(parameters.get("InstanceIds", []))
        _refuse_managed(machines)
        for machine in machines:
            before = machine.state
            if before not in ("shutting-down", "terminated"):
                machine.terminate()
            changes.append(_describe_change(machine, before))
        return {"TerminatingInstances": changes}

    def create_image(self, parameters: Parameters) -> dict[str, Any]:
        """Serve CreateImage."""
        (machine,) = self._find_machines([parameters["InstanceId"]])
        _refuse_managed([machine])
        specifications = parameters.get("TagSpecifications", [])
        for specification in specifications:
            kind = specification["ResourceType"]
            if kind not in ("image", "snapshot"):
                raise AWSError(
                    "InvalidParameterValue",
                    f"'{kind}' is not a valid taggable resource type for this operation.",
                )
        image = self._fleet.images.create(
            machine,
            parameters["Name"],
            parameters.get("Description", ""),
            bool(parameters.get("NoReboot")),
        )
        for specification in specifications:
            tagged = image.image_id if specification["ResourceType"] == "image" else image.snapshot_id
            tags = {tag["Key"]: tag.get("Value", "") for tag in specification.get("Tags", [])}
            self._fleet.tags(tagged).update(tags)
        return {"ImageId": image.image_id}

    def describe_images(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeImages for the account's own images, and for those of others that machines came from by id."""
        owners = parameters.get("Owners", [])
        foreign = [] if owners else self._describe_foreign_images(parameters.get("ImageIds", []))
        known = [image["ImageId"] for image in foreign]
        ids = [image_id for image_id in parameters.get("ImageIds", []) if image_id not in known]
        images = [self._fleet.images.find(image_id) for image_id in ids] or (
            [] if ids or foreign else self._find_images(parameters.get("Filters", []))
        )
        if owners and not {"self", ACCOUNT} & set(owners):
            images = []
        if not parameters.get("IncludeDisabled"):
            images = [image for image in images if image.state != "disabled"]
        for condition in parameters.get("Filters", []):
            images = [image for image in images if self._image_passes(image, condition)]
        page, token = take_page(images, parameters, 1000)
        return {"Images": [*foreign, *(self._describe_image(image) for image in page)], "NextToken": token}

    def _find_images(self, conditions: Sequence[Mapping[str, Any]]) -> list[Image]:
        """Return at least the images that pass: there may be many, and most are looked for by what tells them apart."""
        images = self._fleet.images
        for condition in conditions:
            values: list[str] = condition.get("Values", [])
            if any(wild in value for value in values for wild in _WILD):
                continue
            if condition["Name"] == "image-id":
                # Their ids are numbered in the order in which they were made.
                return [images.by_id[value] for value in sorted(set(values)) if value in images.by_id]
            if condition["Name"] == "name":
                found = [image for value in set(values) for image in images.named(value)]
                return sorted(found, key=lambda image: image.image_id)
        return list(images.by_id.values())

    def describe_snapshots(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeSnapshots for the snapshots of images. Whether it shows those that are pending is a knob."""
        images = self._fleet.images.shown_snapshots()
        for condition in parameters.get("Filters", []):
            key = condition["Name"].removeprefix("tag:")
            if key == condition["Name"]:
                raise NotImplementedError(f"the filter {key} of DescribeSnapshots is not simulated")
            images = [
                image
                for image in images
                if _matches(self._fleet.tags(image.snapshot_id).get(key, ""), condition.get("Values", []))
            ]
        page, token = take_page(images, parameters, 1000)
        return {"Snapshots": [self._describe_snapshot(image) for image in page], "NextToken": token}

    def _describe_snapshot(self, image: Image) -> dict[str, Any]:
        states = {"pending": "pending", "available": "completed", "disabled": "completed"}
        return {
            "SnapshotId": image.snapshot_id,
            "VolumeId": image.volume_id,
            "State": states.get(image.state, "error"),
            "StartTime": image.begun,
            "OwnerId": ACCOUNT,
            "Description": f"Created by CreateImage({image.machine.instance_id}) for {image.image_id}",
            "Tags": _describe_tags(self._fleet.tags(image.snapshot_id)),
        }

    def describe_image_references(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeImageReferences: instances, as many versions of each template as are asked for, and others."""
        ids = parameters["ImageIds"]
        if len(ids) > _MOST_IMAGES_ASKED:
            raise AWSError("InvalidParameterValue", "ImageId takes 10 items at most.")
        wanted = parameters.get("ResourceTypes", [])
        if not parameters.get("IncludeAllResourceTypes"):
            raise NotImplementedError("DescribeImageReferences of some types only is not simulated")
        options = [option for one in wanted for option in one.get("ResourceTypeOptions", [])]
        depths = [int(option["OptionValues"][0]) for option in options if option["OptionName"] == "version-depth"]
        found = [
            {"ImageId": image_id, "ResourceType": kind, "Arn": arn}
            for image_id in ids
            for kind, arn in self._find_references(image_id, (depths or [_VERSIONS_LOOKED_AT])[0])
        ]
        page, token = take_page(found, parameters, _LARGEST_PAGE)
        return {"ImageReferences": page, "NextToken": token}

    def _find_references(self, image_id: str, depth: int) -> list[tuple[str, str]]:
        arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}"
        instances = [machine.instance_id for machine in self._fleet.machines if machine.spec.image_id == image_id]
        templates = [
            template.template_id
            for template in self._fleet.launch_templates.all()
            if any(version.image_id == image_id for version in template.versions[-depth:])
        ]
        image = self._fleet.images.by_id.get(image_id)
        return [
            *(("ec2:Instance", f"{arn}:instance/{one}") for one in instances),
            *(("ec2:LaunchTemplate", f"{arn}:launch-template/{one}") for one in templates),
            *(image.referred_by if image else []),
        ]

    def describe_image_attribute(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeImageAttribute for who may launch from an image."""
        if parameters.get("Attribute") != "launchPermission":
            raise NotImplementedError(f"DescribeImageAttribute of {parameters.get('Attribute')} is not simulated")
        image = self._fleet.images.find(parameters["ImageId"])
        return {"ImageId": image.image_id, "LaunchPermissions": [{"UserId": one} for one in image.shared_with]}

    def disable_image(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DisableImage."""
        self._fleet.images.set_disabled(parameters["ImageId"], disabled=True)
        return {"Return": True}

    def enable_image(self, parameters: Parameters) -> dict[str, Any]:
        """Serve EnableImage."""
        self._fleet.images.set_disabled(parameters["ImageId"], disabled=False)
        return {"Return": True}

    def deregister_image(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DeregisterImage, which says of each snapshot what became of it."""
        images = self._fleet.images
        image = images.find(parameters["ImageId"])
        images.deregister(image.image_id)
        if not parameters.get("DeleteAssociatedSnapshots"):
            return {"Return": True}
        code = images.snapshots_stay or "success"
        if code == "success":
            images.delete_snapshot(image.snapshot_id)
        return {"Return": True, "DeleteSnapshotResults": [{"SnapshotId": image.snapshot_id, "ReturnCode": code}]}

    def delete_snapshot(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DeleteSnapshot."""
        if self._fleet.images.snapshots_stay == "missing-permissions":
            raise AWSError("UnauthorizedOperation", "You are not authorized to perform this operation.")
        self._fleet.images.delete_snapshot(parameters["SnapshotId"])
        return {}

    def enable_image_deprecation(self, parameters: Parameters) -> dict[str, Any]:
        """Serve EnableImageDeprecation."""
        at = parameters.get("DeprecateAt")
        when = at if isinstance(at, datetime) else datetime.fromisoformat(str(at).replace("Z", "+00:00"))
        self._fleet.images.deprecate(parameters["ImageId"], when)
        return {"Return": True}

    def create_tags(self, parameters: Parameters) -> dict[str, Any]:
        """Serve CreateTags."""
        tags = {tag["Key"]: tag.get("Value", "") for tag in parameters.get("Tags", [])}
        for resource in self._find_resources(parameters):
            if len({**self._fleet.tags(resource), **tags}) > 50:
                raise AWSError("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
            self._fleet.tags(resource).update(tags)
        return {}

    def delete_tags(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DeleteTags: a tag given with a value goes only if it has that value."""
        for resource in self._find_resources(parameters):
            tags = self._fleet.tags(resource)
            for tag in parameters.get("Tags", []):
                if tag.get("Value") in (None, tags.get(tag["Key"])):
                    tags.pop(tag["Key"], None)
        return {}

    def _find_resources(self, parameters: Parameters) -> list[str]:
        resources: list[str] = parameters.get("Resources", [])
        for resource in resources:
            if resource.startswith("i-"):
                self._find_machines([resource])
            elif resource.startswith("ami-"):
                self._fleet.images.find(resource)
            elif self._fleet.images.of_snapshot(resource) is None and self._fleet.root_volumes.find(resource) is None:
                raise NotImplementedError(f"tags of {resource} are not simulated")
        return resources

    def _find_machines(self, ids: Sequence[str]) -> list[Machine]:
        for instance_id in ids:
            if not _INSTANCE_ID.fullmatch(instance_id):
                raise AWSError("InvalidInstanceID.Malformed", f'Invalid id: "{instance_id}"')
        unknown = [instance_id for instance_id in ids if not self._fleet.knows(instance_id)]
        if unknown:
            noun = "IDs" if len(unknown) > 1 else "ID"
            verb = "do" if len(unknown) > 1 else "does"
            raise AWSError("InvalidInstanceID.NotFound", f"The instance {noun} '{', '.join(unknown)}' {verb} not exist")
        if not ids:
            return list(self._fleet.machines)
        return [self._fleet.machine(instance_id) for instance_id in ids]

    def _refuse_states(self, machines: Sequence[Machine], states: Sequence[str], what: str) -> None:
        for machine in machines:
            if machine.state in states:
                raise AWSError(
                    "IncorrectInstanceState",
                    f"The instance '{machine.instance_id}' is not in a state from which it can be {what}.",
                )

    def _passes(self, machine: Machine, condition: Mapping[str, Any]) -> bool:
        name, values = condition["Name"], condition.get("Values", [])
        tags = self._fleet.tags(machine.instance_id)
        if name == "tag-key":
            return any(_matches(key, values) for key in tags)
        if name.startswith("tag:"):
            key = name.removeprefix("tag:")
            return key in tags and _matches(tags[key], values)
        if name == "instance-state-name":
            return _matches(machine.state, values)
        if name == "instance-id":
            return _matches(machine.instance_id, values)
        if name == "client-token":
            return any(_matches(token, values) for token in self._tokens_of(machine))
        raise NotImplementedError(f"the filter {name} of DescribeInstances is not simulated")

    def _tokens_of(self, machine: Machine) -> list[str]:
        """Return the client tokens that the machine was launched by."""
        return [
            token
            for group in self._fleet.groups.values()
            for token, (_, answer) in group.tokens.items()
            if any(machine.instance_id in launched["InstanceIds"] for launched in answer["Instances"])
        ]

    def _image_passes(self, image: Image, condition: Mapping[str, Any]) -> bool:
        name, values = condition["Name"], condition.get("Values", [])
        tags = self._fleet.tags(image.image_id)
        if name == "name":
            return _matches(image.name, values)
        if name == "state":
            return _matches(image.state, values)
        if name == "image-id":
            return _matches(image.image_id, values)
        if name.startswith("tag:"):
            key = name.removeprefix("tag:")
            return key in tags and _matches(tags[key], values)
        raise NotImplementedError(f"the filter {name} of DescribeImages is not simulated")

    def _describe(self, machine: Machine) -> dict[str, Any]:
        windows = machine.spec.platform == "Windows"
        gone = machine.state == "terminated"
        address = f"10.0.{machine.number // 250}.{machine.number % 250 + 4}"
        instance: dict[str, Any] = {
            "InstanceId": machine.instance_id,
            "ImageId": machine.spec.image_id,
            "State": _describe_state(machine.state),
            "StateTransitionReason": machine.transition_reason,
            "InstanceType": machine.spec.instance_type,
            "LaunchTime": machine.launch_time,
            "Placement": {"AvailabilityZone": machine.spec.zone, "GroupName": "", "Tenancy": "default"},
            "Architecture": _find_architecture(machine.spec.instance_type),
            "RootDeviceType": machine.spec.root_device,
            "RootDeviceName": "/dev/sda1" if windows else "/dev/xvda",
            "PlatformDetails": "Windows" if windows else "Linux/UNIX",
            "HibernationOptions": {"Configured": machine.spec.hibernated},
            "Operator": _describe_operator(machine.spec.operator),
            "BlockDeviceMappings": []
            if gone or machine.spec.root_device != "ebs" or not machine.root_volume
            else [
                {
                    "DeviceName": "/dev/sda1" if windows else "/dev/xvda",
                    "Ebs": {
                        "VolumeId": machine.root_volume,
                        "Status": "attached",
                        "DeleteOnTermination": True,
                    },
                }
            ],
            "Tags": _describe_tags(self._fleet.tags(machine.instance_id)),
        }
        if not gone:
            instance["PrivateIpAddress"] = address
            instance["SubnetId"] = find_subnet(machine.spec.zone)
        if windows:
            instance["Platform"] = "windows"
        if machine.spec.lifecycle:
            instance["InstanceLifecycle"] = machine.spec.lifecycle
        if machine.state_reason:
            code, message = machine.state_reason
            instance["StateReason"] = {"Code": code, "Message": message}
        return instance

    def _describe_foreign_images(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the images among these that are not the account's own, but that machines or templates name."""
        named = {machine.spec.image_id: machine.spec.instance_type for machine in self._fleet.machines}
        windows = {machine.spec.image_id for machine in self._fleet.machines if machine.spec.platform == "Windows"}
        for template in self._fleet.launch_templates.all():
            for version in template.versions:
                named.setdefault(version.image_id, version.instance_type)
        return [
            {
                "ImageId": image_id,
                "Name": f"from-elsewhere-{image_id}",
                "OwnerId": _AMAZON,
                "State": "available",
                "Public": True,
                "Architecture": _find_architecture(named[image_id]),
                "ImageType": "machine",
                "RootDeviceType": "ebs",
                **({"Platform": "windows"} if image_id in windows else {}),
            }
            for image_id in ids
            if image_id in named and image_id not in self._fleet.images.by_id
        ]

    def _describe_image(self, image: Image) -> dict[str, Any]:
        windows = image.machine.spec.platform == "Windows"
        answer: dict[str, Any] = {
            "ImageId": image.image_id,
            "Name": image.name,
            "Description": image.description,
            "OwnerId": ACCOUNT,
            "State": image.state,
            "CreationDate": image.created.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "Public": "all" in image.shared_with,
            "DeregistrationProtection": "enabled" if image.protected else "disabled",
            "Architecture": _find_architecture(image.machine.spec.instance_type),
            "ImageType": "machine",
            "RootDeviceType": "ebs",
            "RootDeviceName": "/dev/sda1" if windows else "/dev/xvda",
            "SourceInstanceId": image.machine.instance_id,
            "BlockDeviceMappings": [
                {
                    "DeviceName": "/dev/sda1" if windows else "/dev/xvda",
                    "Ebs": {"SnapshotId": image.snapshot_id, "VolumeSize": 30, "DeleteOnTermination": True},
                }
            ],
            "Tags": _describe_tags(self._fleet.tags(image.image_id)),
        }
        if windows:
            answer["Platform"] = "windows"
        if image.deprecated_at:
            answer["DeprecationTime"] = image.deprecated_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        if image.state_reason:
            answer["StateReason"] = {"Code": image.state_reason[0], "Message": image.state_reason[1]}
        return answer


def _refuse_managed(machines: Sequence[Machine]) -> None:
    """Refuse what changes an instance that a service owns; only its tags are the account's.

    "You can't directly modify the settings of a managed instance or terminate it" (EC2 User Guide, "Amazon EC2 managed
    instances"). With which error it does not say.
    """
    for machine in machines:
        if machine.spec.operator:
            raise AWSError(
                "OperationNotPermitted",
                f"The instance '{machine.instance_id}' is managed by {machine.spec.operator}.",
            )


def _describe_operator(operator: str) -> dict[str, Any]:
    return {"Managed": True, "Principal": operator} if operator else {"Managed": False}


def _check_page(parameters: Parameters, ids_name: str, ids: Sequence[str]) -> None:
    size = parameters.get("MaxResults")
    if size is None:
        return
    if ids:
        raise AWSError(
            "InvalidParameterCombination",
            f"The parameter {ids_name} cannot be used with the parameter maxResults",
        )
    if not _SMALLEST_PAGE <= size <= _LARGEST_PAGE:
        raise AWSError(
            "InvalidParameterValue",
            f"Value ( {size} ) for parameter maxResults is invalid. "
            f"Expecting a value between {_SMALLEST_PAGE} and {_LARGEST_PAGE}.",
        )


def _check_filters(conditions: Sequence[Mapping[str, Any]]) -> None:
    if sum(len(condition.get("Values", [])) for condition in conditions) > _MOST_FILTER_VALUES:
        raise AWSError(
            "FilterLimitExceeded",
            f"The maximum number of filter values specified on a single call is {_MOST_FILTER_VALUES}",
        )


def _matches(text: str, patterns: Sequence[str]) -> bool:
    """Say whether some filter value matches: `*` and `?` are wildcards, a backslash makes them ordinary."""
    return any(pattern == text or _compile(pattern).fullmatch(text) for pattern in patterns)


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> re.Pattern[str]:
    wildcards = {"*": ".*", "?": "."}
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    return re.compile("".join(wildcards.get(part) or re.escape(part[-1]) for part in parts), re.DOTALL)


def _find_architecture(instance_type: str) -> str:
    return "arm64" if _ARM.match(instance_type) else "x86_64"


def _describe_state(state: str) -> dict[str, Any]:
    return {"Code": STATE_CODES[state], "Name": state}


def _describe_change(machine: Machine, before: str) -> dict[str, Any]:
    return {
        "InstanceId": machine.instance_id,
        "CurrentState": _describe_state(machine.state),
        "PreviousState": _describe_state(before),
    }


def _describe_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]
