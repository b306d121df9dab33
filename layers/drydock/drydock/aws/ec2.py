"""The calls to EC2."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from drydock.aws.calls import call, client, error_code, error_text, find_first, in_chunks, look_at_once, pages
from drydock.catalogue.saying import say
from drydock.errors import (
    ImageFailedError,
    InstanceNotFoundError,
    InstanceStartFailedError,
    PowerNotRestoredError,
    ServiceUnavailableError,
)
from drydock.texts import cut_bytes
from drydock.times import from_text

Instance = Mapping[str, Any]
Image = Mapping[str, Any]

MOST_FILTER_VALUES = 200
"""As many values one call's filters may have together."""

MOST_NAME = 120
"""Bytes of a tag Name that are kept: 40 characters of Japanese. A tag may have 256 characters, of four bytes each."""

NOT_STARTED = (
    "IncompatibleHostRequirements",
    "IncorrectInstanceState",
    "InstanceLimitExceeded",
    "InsufficientCapacityOnHost",
    "InsufficientHostCapacity",
    "InsufficientInstanceCapacity",
    "InvalidCapacityReservationState.PendingActivation",
    "InvalidHostState",
    "MaxSpotInstanceCountExceeded",
    "ReservationCapacityExceeded",
    "SpotMaxPriceTooLow",
    "UnavailableHostRequirements",
    "UnfulfillableCapacity",
    "UnsupportedOperation",
    "VcpuLimitExceeded",
)
"""How EC2 says that it has no room for an instance, or that its state forbids a start."""

_UNKNOWN_INSTANCE = ("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed")
_NO_IMAGE = ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable")
_PAGE = 1000
_REFERENCES_TOGETHER, _MOST_VERSIONS = 10, 10_000
"""What one call takes (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImageReferences.html)."""


def tags_of(described: Mapping[str, Any]) -> dict[str, str]:
    """The tags of anything that EC2 describes, values by key; empty where it has none."""
    return {tag["Key"]: tag["Value"] for tag in described.get("Tags", [])}


def name_of(described: Mapping[str, Any]) -> str:
    """The tag Name of anything that EC2 describes, as much of it as is kept; empty where it has none."""
    return cut_bytes(tags_of(described).get("Name", ""), MOST_NAME)


def state_of(instance: Instance) -> str:
    """The name of an instance's state: pending, running, stopping, stopped, shutting-down or terminated."""
    return str(instance["State"]["Name"])


def platform_of(instance: Instance) -> str:
    """EC2 names the platform of Windows instances only."""
    return "Windows" if str(instance.get("Platform", "")).lower() == "windows" else "Linux"


def patch_group_of(instance: Instance) -> str:
    """The patch group that an instance's tag names; empty for none. Where its tags are in its metadata, the key has
    no blank."""
    tags = tags_of(instance)
    return tags.get("Patch Group", tags.get("PatchGroup", ""))


def volumes_of(instance: Instance) -> list[str]:
    """The ids of the EBS volumes that are attached to an instance."""
    return sorted(one["Ebs"]["VolumeId"] for one in instance.get("BlockDeviceMappings", []) if "Ebs" in one)


def root_of(instance: Instance) -> str:
    """The id of the EBS volume that is an instance's root; empty while none is attached as that."""
    root = instance.get("RootDeviceName")
    for mapped in instance.get("BlockDeviceMappings", []):
        if "Ebs" in mapped and mapped.get("DeviceName") == root:
            return str(mapped["Ebs"]["VolumeId"])
    return ""


def escape(value: str) -> str:
    """A filter value that stands for itself: `*` and `?` are wildcards to EC2 unless a backslash is before them."""
    return re.sub(r"([\\*?])", r"\\\1", value)


@dataclass(frozen=True)
class LaunchTemplate:
    """A launch template as it is now."""

    default: int
    """The number of its default version."""
    latest: int


class Ec2:
    """EC2's instances, images, launch templates and tags."""

    def __init__(self, made: Any = None) -> None:
        """Without a client, with the function's own."""
        self._client = made or client("ec2")

    def describe_instance(self, instance_id: str) -> Instance:
        """Raises InstanceNotFoundError."""
        try:
            answer = call(self._client.describe_instances, *_UNKNOWN_INSTANCE, InstanceIds=[instance_id])
        except ClientError as error:
            raise InstanceNotFoundError(f"{instance_id}: {error_text(error)}") from error
        for reservation in answer["Reservations"]:
            for instance in reservation["Instances"]:
                found: Instance = instance
                return found
        raise InstanceNotFoundError(say("ec2.unknown_instance", machine=instance_id))

    def describe_instances(self, filters: Mapping[str, Sequence[str]]) -> list[Instance]:
        """All instances that pass every filter. EC2 reads `*`, `?` and a backslash in a value as `escape` says."""
        found = pages(
            self._client.describe_instances,
            Filters=[{"Name": name, "Values": list(values)} for name, values in filters.items()],
            MaxResults=_PAGE,
        )
        return [one for page in found for reservation in page["Reservations"] for one in reservation["Instances"]]

    def describe_by_id(self, instance_ids: Iterable[str]) -> dict[str, Instance]:
        """Those of these instances that EC2 knows, by their ids.

        By filter: asked for by id, one unknown instance would fail the whole call.
        """
        chunks = in_chunks(sorted(instance_ids), MOST_FILTER_VALUES)
        found = look_at_once(lambda some: self.describe_instances({"instance-id": some}), chunks)
        return {str(one["InstanceId"]): one for some in found for one in some}

    def is_stop_protected(self, instance_id: str) -> bool:
        """Whether EC2 refuses to stop the instance, because its attribute DisableApiStop is set."""
        answer = call(self._client.describe_instance_attribute, InstanceId=instance_id, Attribute="disableApiStop")
        return bool(answer.get("DisableApiStop", {}).get("Value", False))

    def look_at_status(self, instance_id: str) -> tuple[str, bool]:
        """The instance's state, and whether its status checks have passed. Raises InstanceNotFoundError."""
        try:
            answer = call(
                self._client.describe_instance_status,
                *_UNKNOWN_INSTANCE,
                InstanceIds=[instance_id],
                IncludeAllInstances=True,
            )
        except ClientError as error:
            raise InstanceNotFoundError(f"{instance_id}: {error_text(error)}") from error
        for status in answer["InstanceStatuses"]:
            checks = (status["InstanceStatus"]["Status"], status["SystemStatus"]["Status"])
            return str(status["InstanceState"]["Name"]), checks == ("ok", "ok")
        raise InstanceNotFoundError(say("ec2.unknown_instance", machine=instance_id))

    def start(self, instance_id: str) -> None:
        """Raises InstanceStartFailedError when EC2 has no room for it or its state forbids it."""
        try:
            call(self._client.start_instances, *NOT_STARTED, InstanceIds=[instance_id])
        except ClientError as error:
            raise InstanceStartFailedError(
                say("ec2.not_started", machine=instance_id, code=error_code(error), message=error_text(error))
            ) from error

    def stop(self, instance_id: str) -> None:
        """Raises PowerNotRestoredError when EC2 refuses, because of stop protection for example."""
        refusals = ("IncorrectInstanceState", "OperationNotPermitted", "UnsupportedOperation")
        try:
            call(self._client.stop_instances, *refusals, InstanceIds=[instance_id])
        except ClientError as error:
            raise PowerNotRestoredError(
                say("ec2.not_stopped", machine=instance_id, code=error_code(error), message=error_text(error))
            ) from error

    def create_image(
        self,
        instance_id: str,
        name: str,
        description: str,
        no_reboot: bool,
        tags: Mapping[str, str],
        since: datetime,
    ) -> str:
        """The id of the image of this name: of the one that exists, when it was asked for since then.

        Raises ImageFailedError when an older image has the name, ServiceUnavailableError while EC2 does not show it.
        """
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        try:
            answer = call(
                self._client.create_image,
                "InvalidAMIName.Duplicate",
                InstanceId=instance_id,
                Name=name,
                Description=description,
                NoReboot=no_reboot,
                TagSpecifications=[
                    {"ResourceType": "image", "Tags": listed},
                    {"ResourceType": "snapshot", "Tags": listed},
                ],
            )
        except ClientError as error:
            existing = self.find_own_image(name)
            if existing is None:
                raise ServiceUnavailableError(say("ec2.image_not_shown", machine=instance_id, name=name)) from error
            if from_text(str(existing["CreationDate"])) < since:
                raise ImageFailedError(
                    say("ec2.image_name_taken", machine=instance_id, name=name, image=existing["ImageId"])
                ) from error
            return str(existing["ImageId"])
        return str(answer["ImageId"])

    def find_own_image(self, name: str) -> Image | None:
        """The account's own image of this name; None when EC2 shows none.

        EC2 reads `*`, `?` and a backslash in the name as `escape` says.
        """
        named = [{"Name": "name", "Values": [name]}]
        return find_first(self._client.describe_images, "Images", Owners=["self"], Filters=named)

    def find_image(self, image_id: str) -> Image | None:
        """None when EC2 does not show it: not yet, or no more."""
        try:
            return find_first(
                self._client.describe_images,
                "Images",
                *_NO_IMAGE,
                ImageIds=[image_id],
            )
        except ClientError:
            return None

    def find_images(self, image_ids: Iterable[str]) -> dict[str, Image]:
        """Those of the account's own images that EC2 shows, by their ids. By filter: an unknown id fails no other."""
        chunks = in_chunks(sorted(image_ids), MOST_FILTER_VALUES)
        found = look_at_once(self._own_images, chunks)
        return {str(one["ImageId"]): one for some in found for one in some}

    def _own_images(self, image_ids: Sequence[str]) -> list[Image]:
        named = [{"Name": "image-id", "Values": list(image_ids)}]
        return [
            image
            for page in pages(self._client.describe_images, Owners=["self"], Filters=named)
            for image in page["Images"]
        ]

    def snapshots_of(self, image_name: str, since: datetime) -> dict[str, str]:
        """The states of the snapshots of an image, by volume: those begun since then that bear its name as `Name`.

        DescribeSnapshots need not show them at once (EC2 is eventually consistent), and whether it shows them while
        they are pending is written nowhere.
        """
        found = pages(
            self._client.describe_snapshots,
            OwnerIds=["self"],
            Filters=[{"Name": "tag:Name", "Values": [escape(image_name)]}],
        )
        return {
            str(one["VolumeId"]): str(one["State"])
            for page in found
            for one in page["Snapshots"]
            if from_text(str(one["StartTime"])) >= since
        }

    def deprecate_image(self, image_id: str, at: datetime) -> None:
        """Let an image count as deprecated from then on; EC2 rounds to the minute and deletes nothing.

        The time may not be past (EnableImageDeprecation in the API reference).
        """
        call(self._client.enable_image_deprecation, ImageId=image_id, DeprecateAt=at)

    def replace_root(
        self, instance_id: str, *, snapshot_id: str, volume_id: str, token: str, tags: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """The task by which a running instance gets another root volume: from a snapshot, or one that is there.

        The same token is the same task. The volume of before is kept. Never from an image: that changes the instance's
        image id, and may change its boot mode (API_CreateReplaceRootVolumeTask).
        """
        source = {"VolumeId": volume_id} if volume_id else {"SnapshotId": snapshot_id}
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        answer = call(
            self._client.create_replace_root_volume_task,
            InstanceId=instance_id,
            ClientToken=token,
            DeleteReplacedRootVolume=False,
            TagSpecifications=[{"ResourceType": "replace-root-volume-task", "Tags": listed}],
            **source,
        )
        task: Mapping[str, Any] = answer["ReplaceRootVolumeTask"]
        return task

    def root_replacements(self, instance_id: str) -> list[Mapping[str, Any]]:
        """All tasks that EC2 shows by which an instance got, or gets, another root volume."""
        found = pages(
            self._client.describe_replace_root_volume_tasks,
            Filters=[{"Name": "instance-id", "Values": [instance_id]}],
        )
        return [task for page in found for task in page["ReplaceRootVolumeTasks"]]

    def volumes(self, volume_ids: Sequence[str], snapshot_id: str) -> list[Mapping[str, Any]]:
        """Those of these volumes that EC2 shows, and those that were made of a snapshot, if one is named."""
        filters = [("volume-id", list(volume_ids)), *([("snapshot-id", [snapshot_id])] if snapshot_id else [])]
        found = {
            str(volume["VolumeId"]): volume
            for name, values in filters
            for page in pages(self._client.describe_volumes, Filters=[{"Name": name, "Values": values}])
            for volume in page["Volumes"]
        }
        return [found[volume_id] for volume_id in sorted(found)]

    def images_with_tag(self, key: str, value: str) -> list[Image]:
        """The account's own images with this tag, those that are disabled, too."""
        found = pages(
            self._client.describe_images,
            Owners=["self"],
            Filters=[{"Name": f"tag:{key}", "Values": [escape(value)]}],
            IncludeDisabled=True,
            MaxResults=_PAGE,
        )
        return [image for page in found for image in page["Images"]]

    def references_to(self, image_ids: Iterable[str]) -> dict[str, list[str]]:
        """The ARNs of what refers to these images, by image: instances, all versions of launch templates, parameters
        and recipes.

        Whoever calls must be allowed to read all of them, or the whole call is refused
        (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html).
        """
        found = look_at_once(self._references, in_chunks(sorted(image_ids), _REFERENCES_TOGETHER))
        references: dict[str, list[str]] = {}
        for one in (reference for some in found for reference in some):
            references.setdefault(str(one["ImageId"]), []).append(str(one["Arn"]))
        return references

    def _references(self, image_ids: Sequence[str]) -> list[Mapping[str, Any]]:
        every_version = {"OptionName": "version-depth", "OptionValues": [str(_MOST_VERSIONS)]}
        found = pages(
            self._client.describe_image_references,
            ImageIds=list(image_ids),
            IncludeAllResourceTypes=True,
            ResourceTypes=[{"ResourceType": "ec2:LaunchTemplate", "ResourceTypeOptions": [every_version]}],
        )
        return [one for page in found for one in page["ImageReferences"]]

    def is_shared(self, image_id: str) -> bool:
        """Whether an image may be launched by anybody else."""
        answer = call(self._client.describe_image_attribute, ImageId=image_id, Attribute="launchPermission")
        return bool(answer.get("LaunchPermissions"))

    def disable_image(self, image_id: str) -> None:
        """Let nobody launch from an image any more; `enable_image` takes that back. Its snapshots stay."""
        call(self._client.disable_image, ImageId=image_id)

    def enable_image(self, image_id: str) -> None:
        """Let an image be launched from again."""
        call(self._client.enable_image, ImageId=image_id)

    def deregister_image(self, image_id: str) -> dict[str, str]:
        """Take an image away with its snapshots; one that is gone already is fine.

        Returns what became of its snapshots, by their ids: `success`, `skipped` (others need it), or a failure
        (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeregisterImage.html).
        """
        try:
            answer = call(self._client.deregister_image, *_NO_IMAGE, ImageId=image_id, DeleteAssociatedSnapshots=True)
        except ClientError:
            return {}
        return {str(one["SnapshotId"]): str(one["ReturnCode"]) for one in answer.get("DeleteSnapshotResults", [])}

    def delete_snapshot(self, snapshot_id: str) -> bool:
        """Delete a snapshot; one that is gone already is fine. False when an image needs it still."""
        try:
            call(
                self._client.delete_snapshot,
                "InvalidSnapshot.NotFound",
                "InvalidSnapshot.InUse",
                SnapshotId=snapshot_id,
            )
        except ClientError as error:
            return error_code(error) == "InvalidSnapshot.NotFound"
        return True

    def launch_template(self, template_id: str) -> LaunchTemplate:
        """A launch template's default and latest version. Raises AwsCallFailedError when there is no such template."""
        answer = call(self._client.describe_launch_templates, LaunchTemplateIds=[template_id])
        found = answer["LaunchTemplates"][0]
        return LaunchTemplate(found["DefaultVersionNumber"], found["LatestVersionNumber"])

    def launch_template_data(self, template_id: str, version: int) -> Mapping[str, Any]:
        """What instances are launched with by one version of a launch template."""
        answer = call(
            self._client.describe_launch_template_versions, LaunchTemplateId=template_id, Versions=[str(version)]
        )
        data: Mapping[str, Any] = answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        return data

    def create_launch_template_version(
        self, template_id: str, source_version: int, image_id: str, description: str, token: str
    ) -> tuple[int, str]:
        """Make a version that differs from another one in its image. The same token is the same version.

        Returns its number, and what EC2 finds wrong with it.
        """
        answer = call(
            self._client.create_launch_template_version,
            ClientToken=token,
            LaunchTemplateId=template_id,
            SourceVersion=str(source_version),
            VersionDescription=description,
            LaunchTemplateData={"ImageId": image_id},
        )
        errors = answer.get("Warning", {}).get("Errors", [])
        found = "; ".join(f"{error.get('Code', '')}: {error.get('Message', '')}" for error in errors)
        return int(answer["LaunchTemplateVersion"]["VersionNumber"]), found

    def set_default_version(self, template_id: str, version: int) -> None:
        """Let whatever follows `$Default` of a launch template launch from this version from now on."""
        call(self._client.modify_launch_template, LaunchTemplateId=template_id, DefaultVersion=str(version))

    def set_tags(self, resource: str, tags: Mapping[str, str]) -> None:
        """Write tags on an instance, image or volume, by key. One of the same key is overwritten; others stay."""
        call(
            self._client.create_tags,
            Resources=[resource],
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )

    def remove_tags(self, instance_id: str, keys: Sequence[str]) -> None:
        """Remove the tags with these keys from an instance, whatever their values. A key that it lacks is fine."""
        call(self._client.delete_tags, Resources=[instance_id], Tags=[{"Key": key} for key in keys])
