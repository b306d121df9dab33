"""Root volumes: replaced once, looked at until that is over, and the volume of before kept.

EC2 reports the end of a replacement by no event: whoever waits for it looks. A machine whose root volume is being
replaced, or that has none, is neither stopped, nor terminated, nor returned to service.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/replace-root.html
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from drydock.aws.ec2 import Instance, root_of, state_of, tags_of, volumes_of
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import (
    AwsCallFailedError,
    RootVolumeDetachedError,
    RootVolumeNotReadyError,
    RootVolumeNotReplacedError,
    RootVolumeTimedOutError,
    ServiceUnavailableError,
)
from drydock.records import intents
from drydock.records.holder import Holder
from drydock.records.leases import REFUSED, Hold, Intent, Lease
from drydock.records.results import RestoredRoot
from drydock.request.policy import deadline_of
from drydock.request.step import Step
from drydock.times import to_text

RootState = Literal["untouched", "at_work", "replaced", "kept", "detached"]
"""It was never begun; it may go on; the machine has the new volume, its old one, or none."""

_SETTLES = timedelta(minutes=3)
"""A new task may be invisible for a while (EC2 is eventually consistent); longer than any function runs, too."""

_ENDS: Mapping[str, RootState] = {"succeeded": "replaced", "failed": "kept", "failed-detached": "detached"}
"""The states of a task that are ends. All others, also unknown ones, go on: `failing-detached` is documented in
API_ReplaceRootVolumeTask and is in no enumeration."""


def judge_task(
    intent: Intent | None, task: Mapping[str, Any] | None, instance: Instance | None, now: datetime
) -> RootState:
    """What came of the replacement that an intent announced, by its task as EC2 shows it.

    A task that was seen and is shown no more is judged by the root volume that the machine has.
    """
    if intent is None or REFUSED in intent.facts:
        return "untouched"
    if task is not None:
        return _ENDS.get(str(task["TaskState"]), "at_work")
    if not intent.id:
        return "untouched" if now - intent.at > _SETTLES else "at_work"
    root = root_of(instance) if instance is not None else ""
    return "replaced" if root not in ("", intent.facts["keptVolumeId"]) else "at_work"


def token_of(holder: Holder, instance_id: str) -> str:
    """The client token of an execution's replacement: the same one however often a function runs."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{holder.execution}/{holder.redrive_count}/{instance_id}/root"))


def _find_task(services: Services, instance_id: str, intent: Intent) -> Mapping[str, Any] | None:
    """The task of an intent, also of one whose function died before it could store the id."""
    for task in services.ec2.root_replacements(instance_id):
        if task["ReplaceRootVolumeTaskId"] == intent.id or (
            not intent.id and tags_of(task).get("DrydockToken") == intent.facts["clientToken"]
        ):
            return task
    return None


@dataclass(frozen=True)
class RootLook:
    """What came of a lease's replacement, and what is attached where, for people."""

    state: RootState
    said: str = ""


def look_at_root(services: Services, lease: Lease, instance: Instance | None) -> RootLook:
    """What came of the replacement of a lease; `untouched` where it has announced none.

    A machine that was left without a root volume counts as `kept` once somebody has given it one, and its status checks
    pass if it runs.
    """
    intent = lease.intents.get(intents.REPLACE_ROOT)
    if intent is None or REFUSED in intent.facts:
        return RootLook("untouched")
    state = judge_task(intent, _find_task(services, lease.instance_id, intent), instance, services.now())
    if instance is None or state != "detached":
        return RootLook("kept" if instance is None else state, say("root.at_work") if state == "at_work" else "")
    is_at_rest = state_of(instance) not in ("pending", "running")
    if root_of(instance) and (is_at_rest or services.ec2.look_at_status(lease.instance_id)[1]):
        return RootLook("kept")
    return RootLook(state, _describe_detached(services, intent))


def replace_root_volume(services: Services, step: Step) -> dict[str, Any]:
    """Ask for the replacement of the root volume, once, and see whether it is over; then tag the volume of before.

    Returns `seenAt`, when it was seen to be over, `dataVolumes`, which nothing brings back, and `problems`, what went
    wrong on the way and failed nothing. Raises RootVolumeNotReadyError while it goes on, RootVolumeTimedOutError at the
    deadline, RootVolumeNotReplacedError, RootVolumeDetachedError, LeaseLostError.
    """
    hold = Hold.of(services, step.holder, step.subject)
    instance = services.ec2.describe_instance(step.instance_id)
    source = step.machine["source"]
    claim = hold.claim(
        intents.REPLACE_ROOT,
        clientToken=token_of(step.holder, step.instance_id),
        keptVolumeId=root_of(instance),
        dataVolumes=data_volumes_of(instance),
        device=str(instance.get("RootDeviceName", "")),
        **source,
    )
    intent = claim.intent
    task = None if claim.is_new else _find_task(services, step.instance_id, intent)
    if task is None and not intent.id:
        task = _ask(services, step, hold, intent)
    if task is not None and not intent.id:
        hold.record(intent.name, {"id": str(task["ReplaceRootVolumeTaskId"])})
    state = judge_task(intent, task, instance, services.now())
    if state == "at_work":
        if services.now() >= intent.at + deadline_of(step.policy, "replaceSeconds"):
            raise RootVolumeTimedOutError(say("root.timed_out", id=step.instance_id, task=intent.id))
        raise RootVolumeNotReadyError(say("root.not_ready", id=step.instance_id))
    if state == "detached":
        raise RootVolumeDetachedError(f"{step.instance_id}: {_describe_detached(services, intent)}")
    if state != "replaced":
        raise RootVolumeNotReplacedError(say("root.not_replaced", id=step.instance_id, task=intent.id))
    problems = tag_kept_volume(services, step.instance_id, step.holder, intent)
    return {
        "problems": problems,
        "dataVolumes": list(intent.facts["dataVolumes"]),
        "seenAt": to_text(services.now()),
    }


def _ask(services: Services, step: Step, hold: Hold, intent: Intent) -> Mapping[str, Any]:
    """The task that EC2 makes, or has made for the same token. Raises RootVolumeNotReplacedError when it refuses."""
    facts = intent.facts
    try:
        return services.ec2.replace_root(
            step.instance_id,
            snapshot_id=str(facts["snapshotId"]),
            volume_id=str(facts["volumeId"]),
            token=str(facts["clientToken"]),
            tags={
                "DrydockInstance": step.instance_id,
                "DrydockExecution": step.holder.name,
                "DrydockStack": services.environment.stack,
                "DrydockToken": str(facts["clientToken"]),
            },
        )
    except AwsCallFailedError as refused:
        hold.record(intent.name, {REFUSED: str(refused)})
        raise RootVolumeNotReplacedError(say("root.refused", id=step.instance_id, reason=str(refused))) from refused


def data_volumes_of(instance: Instance) -> list[str]:
    """The ids of the volumes of an instance that are not its root: nothing brings them back."""
    root = root_of(instance)
    return [volume for volume in volumes_of(instance) if volume != root]


def tag_kept_volume(services: Services, instance_id: str, holder: Holder, intent: Intent) -> list[str]:
    """Mark the root volume of before, so that people know whose it was. Returns what went wrong: it fails nothing."""
    kept = str(intent.facts["keptVolumeId"])
    tags = {
        "DrydockReplacedRoot": instance_id,
        "DrydockExecution": holder.name,
        "DrydockStack": services.environment.stack,
    }
    try:
        services.ec2.set_tags(kept, tags)
    except (AwsCallFailedError, ServiceUnavailableError) as error:
        return [say("root.not_tagged", volume=kept, reason=str(error))]
    return []


def restored_root(lease: Lease, look: RootLook, instance: Instance | None) -> RestoredRoot | None:
    """What a result says of the replacement of a lease; None where none was begun."""
    intent = lease.intents.get(intents.REPLACE_ROOT)
    if intent is None:
        return None
    facts = intent.facts
    return {
        "state": look.state,
        "imageId": str(facts["imageId"]),
        "snapshotId": str(facts["snapshotId"]),
        "sourceVolumeId": str(facts["volumeId"]),
        "takenAt": str(facts["takenAt"]),
        "keptVolumeId": str(facts["keptVolumeId"]) if look.state == "replaced" else "",
        "volumeId": root_of(instance) if instance is not None else "",
        "dataVolumes": list(facts["dataVolumes"]),
    }


def _describe_detached(services: Services, intent: Intent) -> str:
    """What is attached where, of the volumes that may be the root."""
    facts = intent.facts
    found = services.ec2.volumes([str(facts["keptVolumeId"])], str(facts["snapshotId"]))
    places = [_place_of(volume) for volume in found]
    return say("root.detached", device=str(facts["device"]), kept=str(facts["keptVolumeId"]), places=places)


def _place_of(volume: Mapping[str, Any]) -> str:
    attachments: Sequence[Mapping[str, Any]] = volume.get("Attachments", [])
    where = ", ".join(str(one["InstanceId"]) for one in attachments)
    return f"{volume['VolumeId']} ({volume['State']}{': ' + where if where else ''})"
