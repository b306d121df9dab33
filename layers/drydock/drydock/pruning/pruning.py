"""Pruning: images that nobody needs are disabled, and go some days later if still nobody needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drydock.aws.executions import invoke_later
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import AwsCallFailedError, DrydockError, ServiceUnavailableError, UnreadableItemError
from drydock.log import logger
from drydock.pruning.judging import (
    Judgement,
    MachineRecord,
    OwnImage,
    judge_by_age,
    why_kept_by_record,
)
from drydock.records.image_watches import watches_of
from drydock.records.leases import find_lease
from drydock.records.prunings import (
    Pruning,
    all_prunings,
    begin_pruning,
    end_pruning,
    find_left,
    go_on_pruning,
    note_left,
)
from drydock.records.reading import working_with
from drydock.records.results import MadeImage, note_image, results_of
from drydock.request.policy import PrunePolicy, account_policy
from drydock.subject import Instance
from drydock.tags import STACK_TAG
from drydock.telling.handing_over import alert_later, alert_stumble
from drydock.times import TimeBudget, to_text

_MACHINES_TOGETHER = 20
"""Machines that are judged before anything is done to their images."""

_DONE = ("success", "skipped")
"""How DeregisterImage says of a snapshot that nothing is left to do: it is deleted, or other images need it."""


def prune_images(services: Services, event: Mapping[str, Any]) -> dict[str, Any]:
    """Judge the images that the stack has made, and let go those that nobody needs.

    `dryRun` changes nothing, whatever the policy says; `byHand` prunes although the policy does not ask for it;
    `after` goes on behind that machine. Returns `judged`, an entry an image, and `after` where time was up before all
    machines were looked at: those that a person has not asked for are handed to the next function.
    """
    settings = services.ssm.parameter(services.environment.policy_parameter) or "{}"
    policy = account_policy(settings)["backup"]["prune"]
    dry, by_hand = bool(event.get("dryRun")), bool(event.get("byHand"))
    if not (policy["enabled"] or dry or by_hand):
        return {"policy": dict(policy), "judged": [], "after": ""}
    budget = TimeBudget.begin(services.now)
    judged, after = list[Judgement](), str(event.get("after", ""))
    try:
        for machines in _in_turn(services, after):
            found = _judge(services, machines, policy)
            judged += found
            for judgement in () if dry else found:
                _carry_out(services, judgement, machines.prunings)
            after = max(machines.images)
            if budget.is_spent:
                break
        else:
            after = ""
            if not dry:
                _delete_left(services, budget)
    except _UnknownReferencesError as error:
        alert_later(services, {"pruning": {"failure": str(error)}})
        return {"policy": dict(policy), "judged": [], "after": "", "failure": str(error)}
    if after and not (dry or by_hand):
        invoke_later(services.environment.function("prune_images"), {"after": after})
    return {"policy": dict(policy), "judged": [_for_people(one) for one in judged], "after": after}


_MOST_TOLD = 1_000
"""Snapshots that are handed on to those who tell of them."""


class _UnknownReferencesError(Exception):
    """Raised when it cannot be known what refers to an image: then none goes."""


@dataclass(frozen=True)
class _Machines:
    """Some machines with the images that the stack has made of them."""

    images: Mapping[str, Sequence[OwnImage]]
    """By machine."""
    prunings: Mapping[str, Pruning]
    """By image."""


def _in_turn(services: Services, after: str) -> Iterator[_Machines]:
    images: dict[str, list[OwnImage]] = {}
    for described in services.ec2.images_with_tag(STACK_TAG, services.environment.stack):
        image = OwnImage.of(described)
        images.setdefault(image.instance_id, []).append(image)
    prunings = {pruning.image_id: pruning for pruning in all_prunings(services.table).read}
    names = sorted(name for name in images if name > after)
    for first in range(0, len(names), _MACHINES_TOGETHER):
        some = names[first : first + _MACHINES_TOGETHER]
        yield _Machines({name: images[name] for name in some}, prunings)


def _judge(services: Services, machines: _Machines, policy: PrunePolicy) -> list[Judgement]:
    """Raises _UnknownReferencesError."""
    judged = [
        again
        for images in machines.images.values()
        for again in _judge_by_record(services, judge_by_age(images, machines.prunings, policy, services.now()))
    ]
    going = [one.image.image_id for one in judged if one.may_go]
    references = _references_to(services, going) if going else {}
    return [
        _judge_by_use(services, one, references.get(one.image.image_id, "")) if one.may_go else one for one in judged
    ]


def _judge_by_record(services: Services, judged: Sequence[Judgement]) -> list[Judgement]:
    """All images of one machine. The table is read only where one of them may go."""
    if not any(one.may_go for one in judged):
        return list(judged)
    instance_id = judged[0].image.instance_id
    try:
        record = _read_record(services, instance_id)
    except UnreadableItemError as error:
        logger.error("what is written of a machine cannot be read", reason=str(error))
        record = None
    return [
        _kept(one, why_kept_by_record(one.image, record) if record else say("pruning.kept.unreadable"))
        if one.may_go
        else one
        for one in judged
    ]


def _read_record(services: Services, instance_id: str) -> MachineRecord:
    """Raises UnreadableItemError where any result cannot be read: it might name an image."""
    with working_with(instance_id):
        subject = Instance(instance_id)
        return MachineRecord(
            results=results_of(services.table, subject),
            is_in_work=find_lease(services.table, subject) is not None,
            followed=[watch.image_id for watch in watches_of(services.table, instance_id)],
        )


def _references_to(services: Services, image_ids: Sequence[str]) -> dict[str, str]:
    """What refers to these images, for people. Raises _UnknownReferencesError."""
    try:
        found = {image: say("names", names=arns) for image, arns in services.ec2.references_to(image_ids).items()}
        return {**services.autoscaling.images_of_configurations(), **found}
    except (AwsCallFailedError, ServiceUnavailableError) as error:
        raise _UnknownReferencesError(str(error)) from error


def _judge_by_use(services: Services, judgement: Judgement, references: str) -> Judgement:
    """Raises _UnknownReferencesError."""
    if references:
        return _kept(judgement, say("pruning.kept.referred", references=references))
    try:
        is_shared = judgement.action == "disable" and services.ec2.is_shared(judgement.image.image_id)
    except (AwsCallFailedError, ServiceUnavailableError) as error:
        raise _UnknownReferencesError(str(error)) from error
    return _kept(judgement, say("pruning.kept.shared") if is_shared else "")


def _kept(judgement: Judgement, why: str) -> Judgement:
    """The judgement, unless there is a reason to keep the image: then one that is disabled is enabled again."""
    if not why:
        return judgement
    return Judgement(judgement.image, "keep" if judgement.action == "disable" else "enable", why)


def _carry_out(services: Services, judgement: Judgement, prunings: Mapping[str, Pruning]) -> None:
    """One image that fails keeps none of the others; it is tried again the next day."""
    try:
        _move(services, judgement, prunings.get(judgement.image.image_id))
    except DrydockError as error:
        logger.error("an image was not pruned", image=judgement.image.image_id, reason=str(error))


def _move(services: Services, judgement: Judgement, pruning: Pruning | None) -> None:
    """Each step can be done twice: what a function leaves that dies is done by the next one."""
    image = judgement.image
    if judgement.action == "disable":
        if pruning is None and not begin_pruning(
            services.table, Pruning(image.instance_id, image.image_id, services.now())
        ):
            return
        services.ec2.disable_image(image.image_id)
    elif pruning is not None and judgement.action == "enable":
        services.ec2.enable_image(image.image_id)
        end_pruning(services.table, pruning)
    elif pruning is not None and judgement.action == "deregister":
        if not go_on_pruning(services.table, pruning, image.snapshots):
            return
        became = services.ec2.deregister_image(image.image_id)
        _end(services, pruning, [one for one in image.snapshots if became.get(one) not in _DONE])


def _end(services: Services, pruning: Pruning, left: Sequence[str]) -> None:
    """An image is gone: let its results say so, and remember the snapshots that are left, if any are."""
    reason = say("pruning.gone_on", day=services.now())
    for result in results_of(services.table, Instance(pruning.instance_id)):
        for moment, made in result.images.items():
            if made["imageId"] == pruning.image_id:
                gone: MadeImage = {**made, "state": "deregistered", "reason": reason}
                note_image(services.table, result.key, moment, gone, "")
    if left:
        note_left(services.table, pruning, left)
    else:
        end_pruning(services.table, pruning)


def _delete_left(services: Services, budget: TimeBudget) -> None:
    """Delete the snapshots that stayed when their images went, and have people told of those that stay still."""
    # Listed anew: those that went just now are gone, and those that EC2 refused to deregister are not.
    images = {str(one["ImageId"]) for one in services.ec2.images_with_tag(STACK_TAG, services.environment.stack)}
    stay = list[str]()
    for pruning in all_prunings(services.table).read:
        if pruning.image_id in images or budget.is_spent:
            continue
        try:
            stay += _delete_left_of(services, pruning)
        except UnreadableItemError as error:
            alert_stumble(services, pruning.key, error)
    if stay:
        alert_later(services, {"pruning": {"snapshots": sorted(stay)[:_MOST_TOLD]}})


def _delete_left_of(services: Services, pruning: Pruning) -> list[str]:
    """The snapshots of one image; those that stay still. Raises UnreadableItemError."""
    left = find_left(services.table, pruning)
    if left is None:
        return []
    stay = [snapshot for snapshot in left if not _is_deleted(services, snapshot)]
    _end(services, pruning, stay)
    return stay


def _is_deleted(services: Services, snapshot: str) -> bool:
    try:
        return services.ec2.delete_snapshot(snapshot)
    except (AwsCallFailedError, ServiceUnavailableError) as error:
        logger.error("a snapshot was not deleted", snapshot=snapshot, reason=str(error))
        return False


def _for_people(judgement: Judgement) -> dict[str, Any]:
    image = judgement.image
    return {
        "imageId": image.image_id,
        "instanceId": image.instance_id,
        "machine": image.machine,
        "moment": image.moment,
        "createdAt": to_text(image.created),
        "gib": image.gib,
        "action": judgement.action,
        "reason": judgement.reason,
    }
