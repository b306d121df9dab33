"""Whether an image may go: pure decisions, each with its reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from drydock.aws.ec2 import Image, tags_of
from drydock.catalogue.saying import say
from drydock.records.prunings import Pruning
from drydock.records.results import Result
from drydock.request.policy import PrunePolicy
from drydock.times import from_text

KEEP_TAG = "DrydockKeep"
"""An image with this tag stays, whatever its value."""

GRACE = timedelta(days=7)
"""So long an image is disabled before it goes: whatever still asks for it fails meanwhile, and can be mended."""

Action = Literal["keep", "disable", "wait", "deregister", "enable"]
"""`wait`: it is disabled already, and its days of grace are not over. `enable`: it was disabled, and is needed."""


@dataclass(frozen=True)
class OwnImage:
    """An image that a tag of the stack names."""

    image_id: str
    instance_id: str
    """The machine that it is of, by its tag."""
    machine: str
    moment: str
    created: datetime
    state: str
    gib: int
    """The sizes of its volumes together: its snapshots take no more."""
    snapshots: Sequence[str]
    is_kept_by_tag: bool
    is_protected: bool
    """EC2 refuses to deregister it."""
    is_public: bool

    @classmethod
    def of(cls, image: Image) -> OwnImage:
        """Out of EC2's description."""
        tags = tags_of(image)
        disks = [mapping["Ebs"] for mapping in image.get("BlockDeviceMappings", []) if "Ebs" in mapping]
        protection = str(image.get("DeregistrationProtection", "disabled"))
        return cls(
            image_id=str(image["ImageId"]),
            instance_id=tags.get("DrydockInstance", ""),
            machine=tags.get("DrydockMachine", ""),
            moment=tags.get("DrydockMoment", "").lower(),
            created=from_text(str(image["CreationDate"])),
            state=str(image["State"]),
            gib=sum(int(disk.get("VolumeSize", 0)) for disk in disks),
            snapshots=sorted(str(disk["SnapshotId"]) for disk in disks if "SnapshotId" in disk),
            is_kept_by_tag=KEEP_TAG in tags,
            is_protected=protection != "disabled",
            is_public=bool(image.get("Public")),
        )


@dataclass(frozen=True)
class MachineRecord:
    """What Drydock's table knows of a machine that matters to its images."""

    results: Sequence[Result]
    is_in_work: bool
    """Somebody holds its lease."""
    followed: Collection[str] = field(default_factory=list)
    """The images that a watch waits for."""


@dataclass(frozen=True)
class Judgement:
    """What becomes of an image, and why: a sentence for people."""

    image: OwnImage
    action: Action
    reason: str

    @property
    def may_go(self) -> bool:
        """Whether the image is, or stays, on its way out."""
        return self.action not in ("keep", "enable")


def judge_by_age(
    images: Sequence[OwnImage], prunings: Mapping[str, Pruning], policy: PrunePolicy, now: datetime
) -> list[Judgement]:
    """Judge all images of one machine by what EC2 tells of them. Who is not kept is judged by the record next."""
    ordered = sorted(images, key=lambda image: (image.created, image.image_id), reverse=True)
    counted = [image.image_id for image in ordered if image.state == "available" or image.image_id in prunings]
    newest = set(counted[: policy["keep"]])
    return [
        judge(image, prunings.get(image.image_id), _why_kept(image, prunings, newest, policy, now), now)
        for image in ordered
    ]


def _why_kept(
    image: OwnImage, prunings: Mapping[str, Pruning], newest: Collection[str], policy: PrunePolicy, now: datetime
) -> str:
    if image.state != "available" and not (image.state == "disabled" and image.image_id in prunings):
        return say("pruning.kept.state", state=image.state)
    if image.is_kept_by_tag:
        return say("pruning.kept.tag", tag=KEEP_TAG)
    if image.is_protected:
        return say("pruning.kept.protected")
    if image.is_public:
        return say("pruning.kept.shared")
    if now - image.created < timedelta(days=policy["afterDays"]):
        return say("pruning.kept.young", days=policy["afterDays"])
    if image.image_id in newest:
        return say("pruning.kept.newest", count=policy["keep"])
    return ""


def judge(image: OwnImage, pruning: Pruning | None, why_kept: str, now: datetime) -> Judgement:
    """What is done next with an image that is kept for a reason, or for none."""
    if pruning is None or image.state == "available":
        # One that is available and on its way out: the function died before EC2 had disabled it.
        return Judgement(image, "keep" if why_kept else "disable", why_kept or say("pruning.disabled"))
    if image.state != "disabled":
        return Judgement(image, "keep", why_kept)
    if why_kept:
        return Judgement(image, "enable", why_kept)
    if now - pruning.begun < GRACE:
        return Judgement(image, "wait", say("pruning.waits", until=pruning.begun + GRACE))
    return Judgement(image, "deregister", say("pruning.gone"))


def why_kept_by_record(image: OwnImage, record: MachineRecord) -> str:
    """Why Drydock's own records forbid that an image goes; empty where they do not."""
    named = {made["imageId"]: result for result in record.results for made in result.images.values()}
    if image.image_id not in named:
        return say("pruning.kept.not_recorded")
    if record.is_in_work:
        return say("pruning.kept.in_work")
    if image.image_id in record.followed:
        return say("pruning.kept.followed")
    ordered = sorted(record.results, key=lambda result: result.started, reverse=True)
    befores = [result.images["before"]["imageId"] for result in ordered if "before" in result.images]
    if befores and befores[0] == image.image_id:
        return say("pruning.kept.undo")
    if not ordered[0].went_well and image.image_id == _newest_good(ordered):
        return say("pruning.kept.only_good")
    return ""


def _newest_good(ordered: Sequence[Result]) -> str:
    """The newest image of a machine that was well when it was made: before an installation, or after one that went
    well."""
    for result in ordered:
        for moment in ("after", "before") if result.went_well else ("before",):
            made = result.images.get(moment)
            if made and made["state"] == "available":
                return made["imageId"]
    return ""
