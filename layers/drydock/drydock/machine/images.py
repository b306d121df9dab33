"""Images before and after: the backup without which nothing is patched."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from drydock.aws.services import Services
from drydock.errors import AwsCallFailedError, ImageFailedError, ImageTimedOutError, ServiceUnavailableError
from drydock.records import intents
from drydock.records.leases import Hold, Lease
from drydock.records.waits import Wait, Work
from drydock.request.policy import Policy
from drydock.request.step import Step
from drydock.times import from_text, to_text

_MOMENTS = ("Before", "After")

_MOST_NAME = 127
_BAD_CHARACTERS = re.compile(r"[^A-Za-z0-9()._/-]")
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


def begin_image(services: Services, step: Step, moment: str) -> Work:
    """Ask for the image of this moment (`Before` or `After`), once. Raises LeaseLostError."""
    name = image_name(step.instance_id, moment, step.holder.name)
    claim = Hold.of(services, step.holder, step.subject).claim(
        intents.image(moment), imageName=name, deprecateAfterDays=step.policy["backup"]["deprecateAfterDays"]
    )
    image_id = claim.intent.id or services.ec2.create_image(
        step.instance_id,
        name,
        # EC2 takes 255 ASCII characters here: no name that people gave.
        f"{step.instance_id} {moment.lower()} patching by {services.environment.stack}",
        no_reboot=not _with_reboot(step.policy, moment),
        tags={
            "Name": name,
            "DrydockInstance": step.instance_id,
            "DrydockMachine": step.machine["name"],
            "DrydockExecution": step.holder.name,
            "DrydockMoment": moment,
            "DrydockStack": services.environment.stack,
        },
        since=step.execution_started,
    )
    return Work(
        kind="image",
        begun=claim.intent.at,
        may_be_over=not claim.is_new,
        resource=image_id,
        facts={"imageName": name, "askedAt": to_text(claim.intent.at)},
        intent=claim.intent.name,
        answer={} if claim.intent.id else {"id": image_id},
    )


def _with_reboot(policy: Policy, moment: str) -> bool:
    """Whether a running machine is rebooted for its image, so that nothing is written meanwhile."""
    backup = policy["backup"]
    return backup["before"]["reboot"] if moment == "Before" else backup["after"]["reboot"]


def look_at_image(services: Services, wait: Wait) -> Mapping[str, Any] | None:
    """Raises ImageFailedError, ImageTimedOutError. An image is made whatever becomes of its instance."""
    image = services.ec2.find_image(wait.resource)
    now = services.now()
    asked_at = from_text(wait.facts["askedAt"])
    state = str(image["State"]) if image else "unseen"
    if state == "available":
        return {
            "imageId": wait.resource,
            "imageName": wait.facts["imageName"],
            "askedAt": wait.facts["askedAt"],
            "availableAt": to_text(now),
        }
    if state in ("failed", "invalid", "error", "deregistered", "disabled") or (
        state == "unseen" and now - asked_at > _SETTLES
    ):
        reason = (image or {}).get("StateReason", {}).get("Message", "")
        raise ImageFailedError(
            f"{wait.instance_id}: image {wait.resource} ({wait.facts['imageName']}) is {state}"
            + (f": {reason}" if reason else "")
        )
    if now >= wait.deadline:
        raise ImageTimedOutError(
            f"{wait.instance_id}: image {wait.resource} is still {state} at the deadline; EC2 may yet finish it"
        )
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


def deprecate_images(services: Services, lease: Lease, images: Mapping[str, str]) -> list[str]:
    """Give the lease's images their deprecation dates. Returns what went wrong: it fails nothing."""
    problems = []
    for name, image_id in images.items():
        intent = lease.intents[name]
        at = intent.at + timedelta(days=int(intent.facts["deprecateAfterDays"]))
        try:
            services.ec2.deprecate_image(image_id, at)
        except (AwsCallFailedError, ServiceUnavailableError) as error:
            problems.append(f"image {image_id} got no deprecation date: {error}")
    return problems
