"""Simulated images (AMIs) of machines and their snapshots."""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from rehearsal.engine.answers import AWSError
from rehearsal.engine.calls import REGION
from rehearsal.engine.host import Host
from rehearsal.world.machines import Machine, Root

_NAME = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")
_BEGINS_AFTER = 8.0
"""Seconds until the snapshots of an image have begun; assumed."""
_LONGEST_DEPRECATION = timedelta(days=3653)


@dataclass
class Image:
    """One image; `state` is pending, available, failed or disabled."""

    image_id: str
    snapshot_id: str
    name: str
    description: str
    machine: Machine
    no_reboot: bool
    created: datetime
    state: str = "pending"
    state_reason: tuple[str, str] | None = None
    deprecated_at: datetime | None = None
    machine_state: str = ""
    volume_id: str = ""
    begun: datetime | None = None
    """When its snapshot has begun: what is in it is certain from then on."""
    root: Root | None = None
    """What was on the root volume then."""
    protected: bool = False
    """EC2 refuses to deregister it."""
    shared_with: list[str] = field(default_factory=list)
    """Accounts that may launch from it."""
    referred_by: list[tuple[str, str]] = field(default_factory=list)
    """Parameters and recipes that name it: the type of the resource, and its ARN."""


class Images:
    """The images of an account, oldest first."""

    def __init__(self, account: Host) -> None:
        self._account = account
        self.by_id: dict[str, Image] = {}
        self._by_name: defaultdict[str, list[Image]] = defaultdict(list)
        self._by_snapshot: dict[str, Image] = {}
        self._by_machine: defaultdict[str, list[Image]] = defaultdict(list)
        """These three have every image that was ever made."""
        self.left: dict[str, Image] = {}
        """The snapshots whose images are gone, by id."""
        self.pending_snapshots_show = True
        self.snapshots_stay = ""
        """How DeregisterImage says that it deletes no snapshots; empty when it does."""
        self._made = 0

    def create(self, machine: Machine, name: str, description: str, no_reboot: bool) -> Image:
        """Start an image of a machine, which is rebooted for it if it runs and `no_reboot` is false.

        Raises AWSError as CreateImage does.
        """
        if not _NAME.fullmatch(name):
            raise AWSError(
                "InvalidAMIName.Malformed",
                "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, "
                "'(', ')', '.', '-', '/' and '_'",
            )
        for image in self.named(name):
            if image.state in ("pending", "available", "disabled"):
                raise AWSError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image.image_id}")
        if machine.state not in ("running", "stopped"):
            raise AWSError(
                "IncorrectInstanceState",
                f"Instance '{machine.instance_id}' is not in a state from which an image can be created "
                f"({machine.state}).",
            )
        if machine.spec.root_device != "ebs":
            raise AWSError("UnsupportedOperation", "The instance does not have an 'ebs' root device type.")
        self._made = number = self._made + 1
        image = Image(
            image_id=f"ami-{number:017x}",
            snapshot_id=f"snap-{number:017x}",
            name=name,
            description=description,
            machine=machine,
            no_reboot=no_reboot,
            created=self._account.clock.now(),
            machine_state=machine.state,
            volume_id=machine.root_volume,
        )
        self.by_id[image.image_id] = self._by_snapshot[image.snapshot_id] = image
        self._by_name[name].append(image)
        self._by_machine[machine.instance_id].append(image)
        if machine.state == "running" and not no_reboot:
            machine.reboot_for_image()
        self._account.clock.call_later(_BEGINS_AFTER, lambda: self._begin(image))
        self._account.clock.call_later(machine.spec.durations.image, lambda: self._finish(image))
        return image

    def named(self, name: str) -> list[Image]:
        """Return the images of this name, oldest first."""
        return self._that_are_there(self._by_name.get(name, []))

    def of_machine(self, machine: Machine) -> list[Image]:
        """Return the images of a machine, oldest first."""
        return self._that_are_there(self._by_machine.get(machine.instance_id, []))

    def of_snapshot(self, snapshot_id: str) -> Image | None:
        """Return the image that a snapshot belongs to, if it is still there."""
        image = self._by_snapshot.get(snapshot_id)
        return image if image is not None and image.image_id in self.by_id else None

    def _that_are_there(self, images: Sequence[Image]) -> list[Image]:
        return [image for image in images if image.image_id in self.by_id]

    def _begin(self, image: Image) -> None:
        image.begun = self._account.clock.now()
        image.root = image.machine.read_root()

    def shown_snapshots(self) -> list[Image]:
        """Return the images whose snapshot DescribeSnapshots shows."""
        return [
            image
            for image in [*self.by_id.values(), *self.left.values()]
            if image.begun and (self.pending_snapshots_show or image.state != "pending")
        ]

    def deregister(self, image_id: str) -> None:
        """Let an image be deregistered; its snapshot stays. Raises AWSError as DeregisterImage does."""
        image = self.find(image_id)
        if image.protected:
            raise AWSError("OperationNotPermitted", f"The image '{image_id}' is protected against deregistration.")
        del self.by_id[image_id]
        self.left[image.snapshot_id] = image
        self._tell(image, "deregistered")

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Delete a snapshot. Raises AWSError as DeleteSnapshot does."""
        user = self.of_snapshot(snapshot_id)
        if user is not None:
            message = f"The snapshot {snapshot_id} is currently in use by {user.image_id}"
            raise AWSError("InvalidSnapshot.InUse", message)
        if snapshot_id not in self.left:
            raise AWSError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
        del self.left[snapshot_id]

    def set_disabled(self, image_id: str, *, disabled: bool) -> None:
        """Disable an image, which takes all sharing away, or let it be launched from again."""
        image = self.find(image_id)
        before, after = ("available", "disabled") if disabled else ("disabled", "available")
        if image.state == after:
            return
        if image.state != before:
            raise AWSError("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is in the state {image.state}")
        image.state = after
        if disabled:
            image.shared_with.clear()
            self._tell(image, "disabled")

    def find(self, image_id: str) -> Image:
        """Return an image. Raises AWSError as the EC2 calls do when there is none."""
        if not image_id.startswith("ami-"):
            raise AWSError("InvalidAMIID.Malformed", f'Invalid id: "{image_id}" (expecting "ami-...")')
        if image_id not in self.by_id:
            raise AWSError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
        return self.by_id[image_id]

    def deprecate(self, image_id: str, at: datetime) -> None:
        """Store an image's deprecation date, to the minute. Raises AWSError for a date AWS refuses."""
        image = self.find(image_id)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        now = self._account.clock.now()
        if not now <= at <= now + _LONGEST_DEPRECATION:
            raise AWSError("InvalidParameterValue", f"Invalid value '{at}' for DeprecateAt.")
        image.deprecated_at = at.replace(second=0, microsecond=0)

    def _finish(self, image: Image) -> None:
        if image.image_id not in self.by_id or image.machine.goes_wrong("image_hangs"):
            return
        failed = image.machine.goes_wrong("image_fails")
        image.state = "failed" if failed else "available"
        if failed:
            code = "Server.InternalError"
            image.state_reason = (code, f"{code}: Internal error while the image was created")
        self._tell(image, image.state)

    def _tell(self, image: Image, state: str) -> None:
        request = uuid.uuid5(uuid.NAMESPACE_OID, image.image_id)
        self._account.bus.put(
            "aws.ec2",
            "EC2 AMI State Change",
            {
                "RequestId": str(request),
                "ImageId": image.image_id,
                "State": state,
                "ErrorMessage": image.state_reason[1] if image.state_reason else "",
            },
            [f"arn:aws:ec2:{REGION}::image/{image.image_id}"],
        )
