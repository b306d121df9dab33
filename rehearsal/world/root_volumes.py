"""Simulated root volumes of machines, and the tasks that replace them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rehearsal.engine.answers import AWSError
from rehearsal.engine.host import Host
from rehearsal.world.images import Image, Images
from rehearsal.world.machines import Machine, Root

_CREATING_SHARE = 0.25
"""What part of a replacement is the making of the new volume, while the machine runs on; assumed."""

IN_PROGRESS = ("pending", "in-progress", "failing", "failing-detached")
"""The states of a task that goes on, as API_ReplaceRootVolumeTask names them; botocore's enumeration lacks one."""


@dataclass
class Volume:
    """A root volume of a machine, attached or not. Without a `root` it is that which the machine runs from."""

    volume_id: str
    machine: Machine
    created: datetime
    snapshot_id: str = ""
    root: Root | None = None

    @property
    def is_attached(self) -> bool:
        """Say whether the machine runs from it."""
        return self.machine.root_volume == self.volume_id


@dataclass
class Replacement:
    """A root volume replacement task."""

    task_id: str
    machine: Machine
    token: str
    source: Mapping[str, str]
    """SnapshotId or VolumeId, as the request named it."""
    started: datetime
    state: str = "pending"
    completed: datetime | None = None


class RootVolumes:
    """The root volumes of an account's machines, by id, and the tasks that replaced them, oldest first."""

    def __init__(self, account: Host, images: Images) -> None:
        self._account = account
        self._images = images
        self._kept: dict[str, Volume] = {}
        self.tasks: list[Replacement] = []

    def find(self, volume_id: str) -> Volume | None:
        """Return a volume that a replacement has made or kept; None for any other."""
        return self._kept.get(volume_id)

    def all_of(self, machines: Sequence[Machine]) -> list[Volume]:
        """Return the root volumes of these machines, and those that replacements have made or kept."""
        roots = {
            machine.root_volume: Volume(machine.root_volume, machine, machine.launch_time)
            for machine in machines
            if machine.root_volume and machine.spec.root_device == "ebs" and machine.state != "terminated"
        }
        return list({**roots, **self._kept}.values())

    def replace(self, machine: Machine, token: str, source: Mapping[str, str]) -> Replacement:
        """Begin to replace the root volume of a machine; the same token is the same task.

        Raises AWSError. Which codes AWS answers with is written nowhere but for the state of the instance; what is
        refused is what the guide says (replace-root, API_CreateReplaceRootVolumeTask).
        """
        for task in self.tasks:
            if task.token == token:
                if (task.machine, task.source) != (machine, source):
                    raise AWSError("IdempotentParameterMismatch", f"The token {token} was used with other parameters.")
                return task
        self._refuse(machine)
        image, volume = self._find_image(machine, source), self._find_volume(machine, source)
        number = f"{machine.instance_id}/{len(self.tasks) + 1}"
        task = Replacement(
            task_id="replacevol-" + hashlib.sha256(number.encode()).hexdigest()[:17],
            machine=machine,
            token=token,
            source=source,
            started=self._account.clock.now(),
        )
        self.tasks.append(task)
        if volume is None:
            assert image is not None
            new_id = "vol-" + hashlib.sha256(f"new {number}".encode()).hexdigest()[:17]
            volume = Volume(new_id, machine, self._account.clock.now(), image.snapshot_id, image.root)
            self._kept[new_id] = volume
        seconds = machine.spec.durations.replace_root
        self._account.clock.call_later(seconds * _CREATING_SHARE, lambda: self._exchange(task, volume))
        return task

    def _refuse(self, machine: Machine) -> None:
        name = machine.instance_id
        if machine.state != "running":
            raise AWSError("IncorrectInstanceState", f"The instance '{name}' is not in the 'running' state.")
        if machine.spec.root_device != "ebs":
            raise AWSError("UnsupportedOperation", f"The instance '{name}' does not have an 'ebs' root device type.")
        if ".metal" in machine.spec.instance_type:
            raise AWSError("UnsupportedOperation", f"The instance type {machine.spec.instance_type} is not supported.")
        if any(task.machine is machine and task.state in IN_PROGRESS for task in self.tasks):
            raise AWSError("IncorrectState", f"The root volume of '{name}' is being replaced.")

    def _find_image(self, machine: Machine, source: Mapping[str, str]) -> Image | None:
        """Return the image whose snapshot is named: it has to be of this machine's root volume, and complete."""
        if "SnapshotId" not in source:
            return None
        wanted = source["SnapshotId"]
        for image in self._images.by_id.values():
            if image.snapshot_id == wanted and image.machine is machine:
                if image.state != "available":
                    raise AWSError("IncorrectState", f"Snapshot is in invalid state - {image.state}")
                return image
            if image.snapshot_id == wanted:
                raise AWSError("InvalidParameterValue", f"{wanted} is not of the instance's root volume.")
        raise AWSError("InvalidSnapshot.NotFound", f"The snapshot '{wanted}' does not exist.")

    def _find_volume(self, machine: Machine, source: Mapping[str, str]) -> Volume | None:
        """Return the volume that is named: it has to be available."""
        if "VolumeId" not in source:
            return None
        volume = self._kept.get(source["VolumeId"])
        if volume is None:
            raise AWSError("InvalidVolume.NotFound", f"The volume '{source['VolumeId']}' does not exist.")
        if volume.is_attached or volume.root is None:
            raise AWSError("IncorrectState", f"Volume '{volume.volume_id}' is in the 'in-use' state.")
        return volume

    def _exchange(self, task: Replacement, volume: Volume) -> None:
        machine = task.machine
        seconds = machine.spec.durations.replace_root * (1 - _CREATING_SHARE)
        if machine.state != "running":
            self._end(task, "failed")
            return
        if machine.goes_wrong("replace_fails"):
            task.state = "failing"
            machine.reboot_for_root(machine.read_root(), seconds, lambda: self._end(task, "failed"))
            return
        old_id = machine.root_volume
        old = self._kept.setdefault(old_id, Volume(old_id, machine, machine.launch_time))
        old.root = machine.detach_root()
        if machine.goes_wrong("replace_detaches"):
            task.state = "failing-detached"
            self._account.clock.call_later(seconds, lambda: self._end(task, "failed-detached"))
            return
        task.state = "in-progress"
        assert volume.root is not None
        machine.root_volume = volume.volume_id
        machine.reboot_for_root(volume.root, seconds, lambda: self._end(task, "succeeded"))
        volume.root = None

    def _end(self, task: Replacement, state: str) -> None:
        task.state, task.completed = state, self._account.clock.now()

    def attach_behind_the_back(self, machine: Machine, volume_id: str) -> None:
        """Attach a volume as the root of a machine that has none, and boot it, as somebody else would."""
        volume = self._kept[volume_id]
        assert volume.root is not None and not machine.root_volume
        machine.root_volume = volume_id
        machine.reboot_for_root(volume.root, 0, lambda: None)
        volume.root = None
