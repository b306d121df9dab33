"""Following images: what is done once an image has ended for which nobody has waited. No machine is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drydock.aws.ec2 import Image
from drydock.aws.executions import hand_over
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import AwsCallFailedError, ServiceUnavailableError, UnreadableItemError
from drydock.machine.images import deprecate_image, judge_image
from drydock.records.image_watches import (
    TELL_AGAIN,
    ImageWatch,
    WatchSummary,
    all_watches,
    drop_watch,
    end_watch,
    find_watch,
    note_telling,
    watch_key,
)
from drydock.records.reading import Unreadable, working_with
from drydock.records.results import MadeImage, note_image, result_key
from drydock.records.runs import find_run, note_image_of_place
from drydock.subject import Instance
from drydock.telling.handing_over import alert_later, alert_stumble
from drydock.times import TimeBudget

WITHOUT_BACKUP = "patched_without_backup"
"""The verdict on a machine whose image before patching failed after the installation had begun."""


def follow_image(services: Services, instance_id: str, image_id: str) -> dict[str, Any]:
    """Look at an image that has a watch, and do what is left to do. Returns how the image stands.

    Of a watch that cannot be read, people hear.
    """
    try:
        with working_with():
            return {"image": _follow(services, instance_id, image_id)}
    except UnreadableItemError as error:
        alert_stumble(services, watch_key(instance_id, image_id), error)
    return {"image": "unreadable"}


def _follow(services: Services, instance_id: str, image_id: str) -> str:
    """Once an image has ended: its tags, the result, the place in the run, and then whoever is to be told.

    Each step can be done twice; the watch goes last, so that what a function leaves that dies is done by the next.
    """
    watch = find_watch(services.table, instance_id, image_id)
    if watch is None:
        return "not_followed"
    if not watch.end:
        image = services.ec2.find_image(image_id)
        end = judge_image(image, watch.asked, watch.deadline, services.now())
        if end is None:
            return "pending"
        watch = end_watch(services.table, watch, end.outcome, end.reason)
    problems = _mark_image(services, watch)
    made: MadeImage = {
        "imageId": watch.image_id,
        "state": watch.end,
        "crashConsistent": watch.is_crash_consistent,
        "reason": watch.reason,
        "problems": problems,
    }
    verdict = WITHOUT_BACKUP if watch.is_lost_backup else ""
    result = result_key(Instance(instance_id), watch.holder, watch.started)
    note_image(services.table, result, watch.moment, made, verdict)
    if watch.run_id:
        note_image_of_place(services.table, watch.run_id, watch.place, f"{instance_id}/{watch.moment}", made, verdict)
    if watch.end == "available":
        drop_watch(services.table, watch)
    else:
        _have_told(services, watch)
    return watch.end


def _mark_image(services: Services, watch: ImageWatch) -> list[str]:
    """Show on the image what its machine was found to be, and give it its deprecation date.

    Returns what went wrong: it fails nothing.
    """
    problems: list[str] = []
    try:
        services.ec2.set_tags(watch.image_id, {"DrydockVerdict": watch.verdict})
    except (AwsCallFailedError, ServiceUnavailableError) as error:
        problems.append(say("image.not_marked", image=watch.image_id, verdict=watch.verdict, reason=str(error)))
    if watch.end != "failed":
        problems += deprecate_image(services, watch.image_id, watch.deprecate_at)
    return problems


def _have_told(services: Services, watch: ImageWatch) -> None:
    """Hand a bad end over to those who tell of it, unless the summary of its run will."""
    run = find_run(services.table, watch.run_id) if watch.run_id else None
    if run is not None and watch.notify == "summary" and not run.is_ended:
        return
    if run is not None and run.ended is not None and watch.image_id in run.ended.failed_images:
        drop_watch(services.table, watch)
        return
    if watch.told_at is None or services.now() - watch.told_at > TELL_AGAIN:
        note_telling(services.table, watch, services.now())
        alert_later(services, {"image": {"instanceId": watch.instance_id, "imageId": watch.image_id}})


@dataclass(frozen=True)
class SweptImages:
    """How many image watches a sweep has handed over, and what it could not read."""

    due: int
    unreadable: Sequence[Unreadable]


def sweep_images(services: Services, budget: TimeBudget) -> SweptImages:
    """Hand over every image watch whose image is not pending any more, or whose deadline is over."""
    watches = all_watches(services.table)
    if not watches.read:
        return SweptImages(0, watches.unreadable)
    images = services.ec2.find_images({watch.image_id for watch in watches.read})
    due = [watch for watch in watches.read if _is_due(services, watch, images)]
    events = [{"instanceId": watch.instance_id, "imageId": watch.image_id} for watch in due]
    hand_over(services.environment.function("follow_image"), events, budget)
    return SweptImages(len(due), watches.unreadable)


def _is_due(services: Services, watch: WatchSummary, images: Mapping[str, Image]) -> bool:
    image = images.get(watch.image_id)
    is_pending = image is not None and image["State"] == "pending"
    return not is_pending or services.now() >= watch.deadline
