"""Images before and after: the backup without which nothing is patched."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from drydock.aws.ec2 import Image, volumes_of
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import (
    AwsCallFailedError,
    EarlierImageNotReadyError,
    ImageFailedError,
    ImageTimedOutError,
    ServiceUnavailableError,
    SnapshotsNotReadyError,
)
from drydock.records import intents
from drydock.records.image_watches import ImageWatch, Moment, watches_of
from drydock.records.leases import Hold, Intent, Lease
from drydock.records.results import MadeImage
from drydock.records.waits import Wait, Work
from drydock.request.policy import deadline_of
from drydock.request.step import Step
from drydock.times import from_text, to_text

_MOMENTS = ("Before", "After")

_MOST_NAME = 127
_BAD_CHARACTERS = re.compile(r"[^A-Za-z0-9()._/-]")
_NOT_MADE = "notMade"
"""The fact of an intent whose image EC2 refused, and that nothing waits for: why, for people."""

_SETTLES = timedelta(minutes=2)
"""A new image may be invisible for a while (EC2 is eventually consistent)."""


def image_name(instance_id: str, moment: str, execution_name: str) -> str:
    """`<instance id>_UpdateBefore_<execution name>`; ends in a hash where it had to be cut or cleaned.

    AMI names: 3 to 128 of the letters, digits and ( ) . _ / - that all of EC2's texts agree on.
    """
    wanted = f"{instance_id}_Update{moment}_{execution_name}"
    clean = _BAD_CHARACTERS.sub("-", wanted)
    if clean == wanted and len(wanted) <= _MOST_NAME:
        return wanted
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:16]
    return f"{clean[: _MOST_NAME - len(digest) - 1]}-{digest}"


def begin_image(services: Services, step: Step, moment: str, *, reboot: bool, until: str) -> Work:
    """Ask for the image of this moment (`Before` or `After`), once.

    `until` says what the flow waits for: `available`, `begun` or `asked`. Raises LeaseLostError,
    EarlierImageNotReadyError while another execution's image of the machine is not finished.
    """
    _require_no_earlier_image(services, step)
    name = image_name(step.instance_id, moment, step.holder.name)
    is_crash_consistent = _is_crash_consistent(step, moment, reboot=reboot)
    volumes = volumes_of(services.ec2.describe_instance(step.instance_id)) if until == "begun" else []
    claim = Hold.of(services, step.holder, step.subject).claim(
        intents.image(moment),
        imageName=name,
        volumes=volumes,
        until=until,
        crashConsistent=is_crash_consistent,
        deprecateAfterDays=step.policy["backup"]["deprecateAfterDays"],
        imageSeconds=step.policy["deadlines"]["imageSeconds"],
    )
    image_id = claim.intent.id or services.ec2.create_image(
        step.instance_id,
        name,
        # EC2 takes 255 ASCII characters here: no name that people gave.
        f"{step.instance_id} {moment.lower()} patching by {services.environment.stack}",
        no_reboot=not reboot,
        tags={
            "Name": name,
            "DrydockInstance": step.instance_id,
            "DrydockMachine": step.machine["name"],
            "DrydockExecution": step.holder.name,
            "DrydockMoment": moment,
            "DrydockStack": services.environment.stack,
            "DrydockConsistency": "crash-consistent" if is_crash_consistent else "at-rest",
        },
        since=step.execution_started,
    )
    return Work(
        kind="image",
        begun=claim.intent.at,
        may_be_over=not claim.is_new,
        resource=image_id,
        facts={"imageName": name, "askedAt": to_text(claim.intent.at), "volumes": claim.intent.facts["volumes"]},
        intent=claim.intent.name,
        answer={} if claim.intent.id else {"id": image_id},
    )


def _is_crash_consistent(step: Step, moment: str, *, reboot: bool) -> bool:
    """Whether the machine runs on while its snapshots begin. One found stopped is stopped before and after patching."""
    return step.machine["power"] == "running" and not reboot


def _require_no_earlier_image(services: Services, step: Step) -> None:
    """Raises EarlierImageNotReadyError: a volume takes only so many snapshots at once, some a single one."""
    for watch in watches_of(services.table, step.instance_id):
        if watch.holder.execution != step.holder.execution and services.now() < watch.deadline:
            raise EarlierImageNotReadyError(say("image.not_finished", machine=step.instance_id, image=watch.image_id))


def take_image(services: Services, step: Step) -> dict[str, Any]:
    """Ask for the image of `data.moment`, and for a machine that is to run on wait no longer than `data.until` says.

    `asked` waits for nothing; `begun` until all of its snapshots have begun: what is written later is not in them
    (https://docs.aws.amazon.com/ebs/latest/userguide/ebs-creating-snapshot.html). Returns the image's id, and when that
    was seen; empty where EC2 refuses an image that nothing waits for, which fails nothing: the release tells of it.
    Raises SnapshotsNotReadyError, ImageFailedError, ImageTimedOutError, LeaseLostError, EarlierImageNotReadyError.
    """
    moment, until = str(step.data["moment"]), str(step.data["until"])
    try:
        work = begin_image(services, step, moment, reboot=bool(step.data["reboot"]), until=until)
    except (AwsCallFailedError, ImageFailedError) as error:
        if until != "asked":
            raise
        # The machine is patched and proved: it only lacks the image of what it is now.
        reason = say("image.not_made", reason=str(error))
        Hold.of(services, step.holder, step.subject).record(intents.image(moment), {_NOT_MADE: reason})
        return {"imageId": "", "askedAt": "", "begunAt": ""}
    if work.answer:
        Hold.of(services, step.holder, step.subject).record(work.intent, work.answer)
    if until == "begun":
        _require_begun(services, step, work)
    return {"imageId": work.resource, "askedAt": to_text(work.begun), "begunAt": to_text(services.now())}


def _require_begun(services: Services, step: Step, work: Work) -> None:
    wait = Wait(
        instance_id=step.instance_id,
        token="",
        sequence=step.sequence,
        kind=work.kind,
        resource=work.resource,
        deadline=work.begun + deadline_of(step.policy, "imageSeconds"),
        facts=work.facts,
    )
    if not work.may_be_over or (look_at_image(services, wait) is None and not _have_begun(services, wait, work.begun)):
        raise SnapshotsNotReadyError(say("image.snapshots_not_seen", machine=step.instance_id, image=work.resource))


def _have_begun(services: Services, wait: Wait, asked: datetime) -> bool:
    """Whether every EBS volume that the machine had when the image was asked for has its snapshot.

    One that is not seen may not have begun. Raises ImageFailedError.
    """
    found = services.ec2.snapshots_of(str(wait.facts["imageName"]), asked - _SETTLES)
    failed = sorted(volume for volume, state in found.items() if state == "error")
    if failed:
        raise ImageFailedError(
            say("image.snapshot_failed", machine=wait.instance_id, image=wait.resource, volume=failed[0])
        )
    volumes = set(wait.facts["volumes"])
    return bool(volumes) and volumes <= set(found)


_BAD_STATES = ("failed", "invalid", "error", "deregistered", "disabled")


def look_at_image(services: Services, wait: Wait) -> Mapping[str, Any] | None:
    """Raises ImageFailedError, ImageTimedOutError. An image is made whatever becomes of its instance."""
    image = services.ec2.find_image(wait.resource)
    now = services.now()
    end = judge_image(image, from_text(wait.facts["askedAt"]), wait.deadline, now)
    if end is None:
        return None
    if end.outcome == "available":
        return {
            "imageId": wait.resource,
            "imageName": wait.facts["imageName"],
            "askedAt": wait.facts["askedAt"],
            "availableAt": to_text(now),
        }
    error = ImageFailedError if end.outcome == "failed" else ImageTimedOutError
    name = wait.facts["imageName"]
    raise error(say("image.ended", machine=wait.instance_id, image=wait.resource, name=name, reason=end.reason))


@dataclass(frozen=True)
class EndOfImage:
    """What became of an image, and for a bad end why, in half a sentence."""

    outcome: Literal["available", "failed", "timed_out"]
    reason: str = ""


def judge_image(image: Image | None, asked: datetime, deadline: datetime, now: datetime) -> EndOfImage | None:
    """How an image has ended that EC2 shows like this; None while it has not."""
    state = str(image["State"]) if image else "unseen"
    if state == "available":
        return EndOfImage("available")
    if state in _BAD_STATES or (state == "unseen" and now - asked > _SETTLES):
        reason = (image or {}).get("StateReason", {}).get("Message", "")
        return EndOfImage(
            "failed",
            say("image.end.failed.why", state=state, why=reason) if reason else say("image.end.failed", state=state),
        )
    if now >= deadline:
        return EndOfImage("timed_out", say("image.end.late", state=state))
    return None


def find_images(services: Services, lease: Lease) -> dict[str, str]:
    """The ids of the lease's images by intent, also of one whose function died before it could store the id."""
    found = {}
    for name in map(intents.image, _MOMENTS):
        intent = lease.intents.get(name)
        if intent is None:
            continue
        image_id = intent.id
        if not image_id:
            image = services.ec2.find_own_image(str(intent.facts["imageName"]))
            image_id = str(image["ImageId"]) if image else ""
        if image_id:
            found[name] = image_id
    return found


@dataclass(frozen=True)
class LeftImages:
    """What a lease leaves of its images: what is told of each, by moment, and those that have to be followed."""

    made: Mapping[str, MadeImage]
    watches: list[ImageWatch]
    problems: list[str]
    """What went wrong and fails nothing, a phrase each."""


def leave_images(services: Services, lease: Lease, verdict: str, *, is_waited_for: bool) -> LeftImages:
    """Give the images that the flow has waited for their deprecation dates; all others get a watch.

    `is_waited_for` says that the flow went on after them; when it did not, they are looked at. `verdict` is that on the
    machine, which the image after patching is of.
    """
    made: dict[str, MadeImage] = {}
    watches = list[ImageWatch]()
    problems = [str(one.facts[_NOT_MADE]) for one in lease.intents.values() if _NOT_MADE in one.facts and not one.id]
    for name, image_id in find_images(services, lease).items():
        intent, moment = lease.intents[name], moment_of(name)
        image: MadeImage = {
            "imageId": image_id,
            "state": "pending",
            "crashConsistent": bool(intent.facts["crashConsistent"]),
            "reason": "",
            "problems": [],
        }
        if not is_waited_for:
            image["state"] = _state_of(services, image_id)
        elif intent.facts["until"] == "available":
            image["state"] = "available"
        # People hear of a failure by the machine's own, but for the backup of what was installed.
        is_lost_backup = moment == "before" and intents.INSTALL in lease.intents and image["state"] in _BAD_STATES
        if image["state"] == "available" and is_waited_for:
            problems += deprecate_image(services, image_id, _deprecation(intent))
        elif image["state"] in ("available", "pending") or is_lost_backup:
            watches.append(_watch_of(lease, intent, image_id, moment, verdict))
        made[moment] = image
    return LeftImages(made, watches, problems)


def moment_of(intent: str) -> Moment:
    """The moment of which an intent's image is."""
    return "before" if intent == intents.image("Before") else "after"


def _state_of(services: Services, image_id: str) -> str:
    """The state of an image that has ended; `pending` for any other, and for one that cannot be seen."""
    image = services.ec2.find_image(image_id)
    return str(image["State"]) if image and image["State"] in ("available", *_BAD_STATES) else "pending"


def _deprecation(intent: Intent) -> datetime:
    return intent.at + timedelta(days=int(intent.facts["deprecateAfterDays"]))


def _watch_of(lease: Lease, intent: Intent, image_id: str, moment: Moment, verdict: str) -> ImageWatch:
    journal = lease.journal
    return ImageWatch(
        instance_id=lease.instance_id,
        machine=str(journal["name"]),
        image_id=image_id,
        moment=moment,
        holder=lease.holder,
        started=lease.started,
        asked=intent.at,
        deadline=intent.at + timedelta(seconds=int(intent.facts["imageSeconds"])),
        deprecate_at=_deprecation(intent),
        is_crash_consistent=bool(intent.facts["crashConsistent"]),
        was_installed=intents.INSTALL in lease.intents,
        verdict=verdict,
        run_id=str(journal["runId"]),
        notify=str(journal["notify"]),
        group_name=str((journal["leave"] or {}).get("groupName", "")),
    )


def deprecate_image(services: Services, image_id: str, at: datetime) -> list[str]:
    """Give an image its deprecation date. Returns what went wrong: it fails nothing."""
    try:
        services.ec2.deprecate_image(image_id, at)
    except (AwsCallFailedError, ServiceUnavailableError) as error:
        return [say("image.no_deprecation", image=image_id, reason=str(error))]
    return []
