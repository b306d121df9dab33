"""The EC2 calls that replace root volumes, and that look at volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rehearsal.engine.answers import AWSError, Parameters, take_page
from rehearsal.world.root_volumes import Replacement, Volume

if TYPE_CHECKING:
    from rehearsal.world.fleet import Fleet


class VolumeCalls:
    """One method for each EC2 operation, named as in boto3; each takes the call's parameters."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def create_replace_root_volume_task(self, parameters: Parameters) -> dict[str, Any]:
        """Serve CreateReplaceRootVolumeTask from a snapshot, or with a volume that is there."""
        if "ImageId" in parameters or parameters.get("DeleteReplacedRootVolume"):
            raise NotImplementedError("only a snapshot or a volume replaces a root volume here, and the old one stays")
        instance_id = parameters["InstanceId"]
        if not self._fleet.knows(instance_id):
            raise AWSError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
        source = {key: parameters[key] for key in ("SnapshotId", "VolumeId") if key in parameters}
        if len(source) != 1:
            raise NotImplementedError("a root volume is replaced by one snapshot or one volume here")
        machine = self._fleet.machine(instance_id)
        task = self._fleet.root_volumes.replace(machine, parameters["ClientToken"], source)
        for specification in parameters.get("TagSpecifications", []):
            if specification["ResourceType"] != "replace-root-volume-task":
                raise AWSError("InvalidParameterValue", "only the task can be tagged by this operation.")
            tags = {tag["Key"]: tag.get("Value", "") for tag in specification.get("Tags", [])}
            self._fleet.tags(task.task_id).update(tags)
        return {"ReplaceRootVolumeTask": self._describe(task)}

    def describe_replace_root_volume_tasks(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeReplaceRootVolumeTasks by instance: its only filter."""
        tasks = self._fleet.root_volumes.tasks
        for condition in parameters.get("Filters", []):
            if condition["Name"] != "instance-id":
                raise AWSError("InvalidParameterValue", f"The filter '{condition['Name']}' is invalid")
            tasks = [task for task in tasks if task.machine.instance_id in condition["Values"]]
        page, token = take_page(tasks, parameters, 50)
        return {"ReplaceRootVolumeTasks": [self._describe(task) for task in page], "NextToken": token}

    def describe_volumes(self, parameters: Parameters) -> dict[str, Any]:
        """Serve DescribeVolumes: machines' root volumes, and those that replacements have kept. None is encrypted."""
        volumes = self._fleet.root_volumes.all_of(self._fleet.machines)
        for condition in parameters.get("Filters", []):
            if condition["Name"] not in ("attachment.instance-id", "snapshot-id", "volume-id"):
                raise NotImplementedError(f"the filter {condition['Name']} of DescribeVolumes is not simulated")
            volumes = [volume for volume in volumes if _value_of(volume, condition["Name"]) in condition["Values"]]
        page, token = take_page(volumes, parameters, 500)
        return {
            "Volumes": [
                {
                    "VolumeId": volume.volume_id,
                    "SnapshotId": volume.snapshot_id,
                    "State": "in-use" if volume.is_attached else "available",
                    "CreateTime": volume.created,
                    "AvailabilityZone": volume.machine.spec.zone,
                    "Encrypted": False,
                    "Attachments": [{"InstanceId": volume.machine.instance_id, "State": "attached"}]
                    if volume.is_attached
                    else [],
                }
                for volume in page
            ],
            "NextToken": token,
        }

    def _describe(self, task: Replacement) -> dict[str, Any]:
        # What StartTime and CompleteTime look like is not said: they are texts.
        completed = {"CompleteTime": task.completed.isoformat()} if task.completed else {}
        tags = self._fleet.tags(task.task_id)
        return {
            "ReplaceRootVolumeTaskId": task.task_id,
            "InstanceId": task.machine.instance_id,
            "TaskState": task.state,
            "StartTime": task.started.isoformat(),
            **completed,
            **({"SnapshotId": task.source["SnapshotId"]} if "SnapshotId" in task.source else {}),
            "DeleteReplacedRootVolume": False,
            "Tags": [{"Key": key, "Value": tags[key]} for key in sorted(tags)],
        }


def _value_of(volume: Volume, name: str) -> str:
    """Return what a filter of this name looks at; empty where a volume has none."""
    attached = volume.machine.instance_id if volume.is_attached else ""
    values = {"attachment.instance-id": attached, "snapshot-id": volume.snapshot_id, "volume-id": volume.volume_id}
    return values[name]
