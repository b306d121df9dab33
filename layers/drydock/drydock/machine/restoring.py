"""Restoring: which earlier root volume a machine is given, what cannot be restored, and what proves that it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from drydock.aws.ec2 import Image, Instance, tags_of
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import (
    DrydockError,
    InstanceDoneError,
    InstanceNotRestorableError,
    NothingToRestoreError,
    RestoreUnprovedError,
)
from drydock.machine.admission import admit
from drydock.records.results import Result, results_of
from drydock.request.restoring import RestoreRequest, read_restore_request
from drydock.request.step import RootSource, Step
from drydock.tags import KEEP_STATE_TAG
from drydock.times import from_text, to_text


def admit_restore(services: Services, step: Step) -> dict[str, Any]:
    """Take the lease, write the journal, and return what later steps rely on, with the root that is wanted.

    Raises what `admit_instance` does, InstanceNotRestorableError, NothingToRestoreError, InstanceDoneError; then
    nothing is touched and no lease is left behind.
    """
    return admit(services, step, read_restore_request, _find_source)


def _find_source(services: Services, request: RestoreRequest, instance: Instance) -> Mapping[str, Any]:
    """What the journal and all later steps know besides."""
    reason = refusal_to_restore(instance)
    if reason is not None:
        raise reason
    results = results_of(services.table, request.subject)
    if request.volume_id:
        return {"source": _source_of_volume(services, request, instance, results)}
    image_id = request.image_id or default_image(request.instance_id, results)
    image = services.ec2.find_image(image_id)
    oldest = services.now() - timedelta(days=request.policy["undo"]["maxAgeDays"])
    reason = refusal_of_image(request.instance_id, image_id, image, oldest)
    if reason is not None:
        raise reason
    assert image is not None
    return {
        "source": RootSource(
            imageId=image_id,
            snapshotId=root_snapshot(image),
            volumeId="",
            takenAt=to_text(from_text(str(image["CreationDate"]))),
            agentVersion=_agent_version(image_id, results),
        )
    }


def refusal_to_restore(instance: Instance) -> DrydockError | None:
    """Why an instance cannot be given an earlier root volume, by its nature or its owner's wish, or None."""
    instance_id, tags = instance["InstanceId"], tags_of(instance)
    if KEEP_STATE_TAG in tags:
        return InstanceNotRestorableError(say("restore.keeps_state", id=instance_id, said=tags[KEEP_STATE_TAG]))
    if ".metal" in str(instance.get("InstanceType", "")):
        return InstanceNotRestorableError(say("restore.bare_metal", id=instance_id, type=instance["InstanceType"]))
    return None


def default_image(instance_id: str, results: Sequence[Result]) -> str:
    """The image before of the last execution that made one. Raises NothingToRestoreError, InstanceDoneError.

    What was brought back since is not brought back again: what was written meanwhile would be lost.
    """
    for result in sorted(results, key=lambda one: one.started, reverse=True):
        work = result.work
        if work is not None and work.restored is not None and work.restored["state"] == "replaced":
            kept = work.restored["keptVolumeId"]
            raise InstanceDoneError(say("restore.done", id=instance_id, by=result.holder.name, volume=kept))
        if "before" in result.images:
            return result.images["before"]["imageId"]
    raise NothingToRestoreError(say("restore.no_image", id=instance_id))


def refusal_of_image(
    instance_id: str, image_id: str, image: Image | None, oldest: datetime
) -> NothingToRestoreError | None:
    """Why an image is not what a machine is brought back to, or None."""
    if image is None:
        return NothingToRestoreError(say("restore.image_gone", id=instance_id, image=image_id))
    of = image.get("SourceInstanceId") or tags_of(image).get("DrydockInstance", "")
    if of != instance_id:
        return NothingToRestoreError(say("restore.image_of_other", id=instance_id, image=image_id, other=of or "?"))
    if image["State"] != "available":
        return NothingToRestoreError(
            say("restore.image_not_available", id=instance_id, image=image_id, state=str(image["State"]))
        )
    if from_text(str(image["CreationDate"])) < oldest:
        made = from_text(str(image["CreationDate"]))
        return NothingToRestoreError(say("restore.image_too_old", id=instance_id, image=image_id, made=made))
    if not root_snapshot(image):
        return NothingToRestoreError(say("restore.image_without_root", id=instance_id, image=image_id))
    return None


def root_snapshot(image: Image) -> str:
    """The snapshot of an image's root volume; empty where it shows none."""
    root = image.get("RootDeviceName")
    for mapped in image.get("BlockDeviceMappings", []):
        if mapped.get("DeviceName") == root and "Ebs" in mapped:
            return str(mapped["Ebs"].get("SnapshotId", ""))
    return ""


def _source_of_volume(
    services: Services, request: RestoreRequest, instance: Instance, results: Sequence[Result]
) -> RootSource:
    """A root volume that an earlier undo has kept. Raises NothingToRestoreError."""
    names = {"id": request.instance_id, "volume": request.volume_id}
    kept = [
        result.ended
        for result in results
        if result.work is not None
        and result.work.restored is not None
        and result.work.restored["keptVolumeId"] == request.volume_id
    ]
    if not kept:
        raise NothingToRestoreError(say("restore.volume_of_nobody", **names))
    found = services.ec2.volumes([request.volume_id], "")
    if not found or found[0]["State"] != "available":
        state = str(found[0]["State"]) if found else "gone"
        raise NothingToRestoreError(say("restore.volume_not_available", state=state, **names))
    if found[0]["AvailabilityZone"] != instance["Placement"]["AvailabilityZone"]:
        raise NothingToRestoreError(say("restore.volume_elsewhere", **names))
    return RootSource(
        imageId="", snapshotId="", volumeId=request.volume_id, takenAt=to_text(max(kept)), agentVersion=""
    )


def _agent_version(image_id: str, results: Sequence[Result]) -> str:
    """The version of the SSM Agent when an image before was made; empty where that is not known."""
    for result in results:
        work, made = result.work, result.images.get("before")
        if work is not None and work.findings is not None and made is not None and made["imageId"] == image_id:
            return work.findings.agent_before
    return ""


def verify_restore(step: Step) -> dict[str, Any]:
    """What proves that the machine runs from the root that was wanted. Raises RestoreUnprovedError.

    The boot is another one than before, where that is known; another version of the agent than before is told.
    """
    before, after, source = step.data.get("probeBefore"), step.data["probeAfter"], step.machine["source"]
    if before and before["bootId"] == after["bootId"]:
        raise RestoreUnprovedError(say("restore.same_boot", id=step.instance_id))
    replaced = step.data["replaced"]
    hours = (step.entered - from_text(source["takenAt"])).total_seconds() / 3600
    notes = [*replaced["problems"], say("restore.age", hours=round(hours))]
    if replaced["dataVolumes"]:
        notes.append(say("restore.data_volumes", volumes=replaced["dataVolumes"]))
    if source["agentVersion"] and source["agentVersion"] != after["agentVersion"]:
        notes.append(say("restore.agent", before=source["agentVersion"], after=after["agentVersion"]))
    return {"verdict": "restored", "rebooted": True, "patches": None, "notes": notes, "failure": None}
