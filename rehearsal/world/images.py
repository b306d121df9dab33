"""Simulated images (AMIs) of machines and their snapshots."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
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
    """One image; `state` is pending, available or failed."""

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


class Images:
    """The images of an account, oldest first."""

    def __init__(self, account: Host) -> None:
        self._account = account
        self.by_id: dict[str, Image] = {}
        self.pending_snapshots_show = True

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
        for image in self.by_id.values():
            if image.name == name and image.state in ("pending", "available"):
                raise AWSError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image.image_id}")
        if machine.state not in ("running", "stopped"):
            raise AWSError(
                "IncorrectInstanceState",
                f"Instance '{machine.instance_id}' is not in a state from which an image can be created "
                f"({machine.state}).",
            )
        if machine.spec.root_device != "ebs":
            raise AWSError("UnsupportedOperation", "The instance does not have an 'ebs' root device type.")
        number = len(self.by_id) + 1
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
        self.by_id[image.image_id] = image
        if machine.state == "running" and not no_reboot:
            machine.reboot_for_image()
        self._account.clock.call_later(_BEGINS_AFTER, lambda: self._begin(image))
        self._account.clock.call_later(machine.spec.durations.image, lambda: self._finish(image))
        return image

    def _begin(self, image: Image) -> None:
        image.begun = self._account.clock.now()
        image.root = image.machine.read_root()

    def shown_snapshots(self) -> list[Image]:
        """Return the images whose snapshot DescribeSnapshots shows."""
        return [
            image
            for image in self.by_id.values()
            if image.begun and (self.pending_snapshots_show or image.state != "pending")
        ]

    def deregister(self, image_id: str) -> None:
        """Let somebody deregister an image."""
        self.find(image_id)
        image = self.by_id.pop(image_id)
        self._tell(image, "deregistered")

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
