"""The golden image: after a good roll, the group's launch template learns the image of a member that verified.

The image is the one that PatchInstance makes after patching, with a reboot, of the member in standby. A version of
the template that differs in the image only is made once all members are done, because groups that follow `$Latest`
launch from it at once. What follows `$Default` gets it only where the policy allows that. A group that names a number
is left at its number, whatever the policy allows: who pins a version wants to choose it, and changing the group's own
template would need the right to launch anything from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drydock.aws.autoscaling import DEFAULT_VERSION, LATEST_VERSION, LaunchSource
from drydock.aws.ec2 import Image, LaunchTemplate, tags_of
from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.errors import GroupNotFoundError, ImageNotReadyError, InstanceNotFoundError, LeaseLostError
from drydock.records import intents
from drydock.records.image_watches import watches_of
from drydock.records.leases import ACTIVE, Hold, Intent, Lease, find_lease
from drydock.records.results import RefreshedTemplate
from drydock.request.step import Step
from drydock.subject import Subject

_DONE = ("succeeded", "already_compliant", "gone", "busy", "skipped")
"""Outcomes of members with which a roll has succeeded."""
_MOST_OTHERS = 50


@dataclass(frozen=True)
class Donor:
    """The member whose image is the golden one."""

    instance_id: str
    image_id: str


@dataclass(frozen=True)
class ImageSituation:
    """What is known about a group's launch template and the image that it may learn."""

    source: LaunchSource
    others: Mapping[str, str]
    """Which versions other groups launch from, by group."""
    template: LaunchTemplate
    data: Mapping[str, Any]
    """The version that the group launches from."""
    launched_from: str
    """The image that the member itself was launched from; empty when the member is gone."""
    image: Image | None
    """The member's image."""
    present: Image | None
    """The image that the version names."""

    @property
    def number(self) -> int:
        """The number of the version that the group launches from."""
        return number_of(self.source.version, self.template)


def number_of(version: str, template: LaunchTemplate) -> int:
    """The number that a group's version stands for: of `$Latest` and `$Default`, what the template says now."""
    named = {LATEST_VERSION: template.latest, DEFAULT_VERSION: template.default}
    return named[version] if version in named else int(version)


def choose_donor(members: Sequence[Mapping[str, Any]], lease: Lease) -> Donor | None:
    """The first planned member that verified, if an image was made of it."""
    for member in members:
        found = lease.members.get(str(member["instanceId"]), {})
        if found.get("outcome") == "succeeded" and found.get("verdict") == "compliant" and found.get("imageId"):
            return Donor(str(member["instanceId"]), str(found["imageId"]))
    return None


def obstacle_in_source(source: LaunchSource) -> str | None:
    """Why what a group launches from cannot learn an image, or None."""
    if source.configuration:
        return say("template.configuration", configuration=source.configuration)
    if set(source.other_templates) - {source.template_id, source.template_name}:
        return say("template.other_templates")
    if source.has_own_images:
        return say("template.own_images")
    return None


def obstacle(situation: ImageSituation) -> str | None:
    """Why no version is made, or None."""
    source, number, data = situation.source, situation.number, situation.data
    followers = sorted(name for name, version in situation.others.items() if version == LATEST_VERSION)
    if followers and source.version != LATEST_VERSION:
        return say(
            "template.others_follow", groups=followers[:_MOST_OTHERS], follow=LATEST_VERSION, version=source.version
        )
    named = str(data.get("ImageId", ""))
    if not named.startswith("ami-"):
        if not named:
            return say("template.no_image", version=str(number))
        return say("template.other_image", version=str(number), named=named)
    if any("SnapshotId" in mapping.get("Ebs", {}) for mapping in data.get("BlockDeviceMappings", [])):
        # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplateVersion.html
        return say("template.snapshots", version=str(number))
    if situation.image is None or situation.image["State"] != "available":
        return say("template.image_gone")
    if situation.present is None:
        return say("template.present_gone", image=named, version=str(number))
    architectures = tuple(str(one.get("Architecture")) for one in (situation.image, situation.present))
    if architectures[0] != architectures[1]:
        return say("template.architectures", architecture=architectures[0], version=str(number), other=architectures[1])
    if situation.launched_from != named and "DrydockInstance" not in tags_of(situation.present):
        if not situation.launched_from:
            return say("template.launched_from_unknown", version=str(number), image=named)
        return say("template.goes_back", version=str(number), image=named, other=situation.launched_from)
    return None


def refresh_launch_template(services: Services, step: Step) -> dict[str, Any]:
    """Make the version, once, and the template's default where the group follows that and the policy allows it.

    Returns why the template was left as it is, if it was. Raises LeaseLostError, GroupNotFoundError,
    ImageNotReadyError while the image is not finished.
    """
    subject = step.subject
    lease = find_lease(services.table, subject)
    if lease is None or lease.holder != step.holder or lease.phase != ACTIVE:
        raise LeaseLostError(say("held.lost", subject=subject.key))
    standing = lease.intents.get(intents.TEMPLATE_VERSION)
    facts = standing.facts if standing is not None else _plan(services, lease, step.data["members"])
    if isinstance(facts, str):
        return {"problems": [say("template.untouched", reason=facts)]}
    intent = Hold.of(services, step.holder, subject).claim(intents.TEMPLATE_VERSION, **facts).intent
    number = int(intent.id) if intent.id else _make_version(services, step, subject, intent)
    if intent.facts["follows"] == DEFAULT_VERSION and step.policy["refreshLaunchTemplate"]["allowDefault"]:
        _make_default(services, step, subject, intent, number)
    return {"problems": []}


def _plan(services: Services, lease: Lease, members: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | str:
    """The facts of the version that is to be made, or why none is."""
    outcomes = [lease.members.get(str(member["instanceId"]), {}).get("outcome") for member in members]
    if lease.closed or any(outcome not in _DONE for outcome in outcomes):
        return say("template.roll_failed")
    donor = choose_donor(members, lease)
    if donor is None:
        return say("template.no_member")
    if any(watch.image_id == donor.image_id for watch in watches_of(services.table, donor.instance_id)):
        raise ImageNotReadyError(say("template.image_unfinished", image=donor.image_id, machine=donor.instance_id))
    sources = {source.group_name: source for source in services.autoscaling.launch_sources()}
    source = sources.pop(lease.group_name, None)
    if source is None:
        raise GroupNotFoundError(say("autoscaling.unknown_group", group=lease.group_name))
    reason = obstacle_in_source(source)
    if reason is not None:
        return reason
    others = {name: version for name, other in sources.items() if (version := other.version_of(source.template_id))}
    situation = _look(services, source, others, donor)
    reason = obstacle(situation)
    if reason is not None:
        return reason
    return {
        "templateId": source.template_id,
        "templateName": source.template_name,
        "follows": source.version,
        "sourceVersion": situation.number,
        "latestVersion": situation.template.latest,
        "imageId": donor.image_id,
        "instanceId": donor.instance_id,
        "isWindows": str((situation.image or {}).get("Platform", "")).lower() == "windows",
        "otherGroups": dict(sorted(others.items())[:_MOST_OTHERS]),
    }


def _look(services: Services, source: LaunchSource, others: Mapping[str, str], donor: Donor) -> ImageSituation:
    template = services.ec2.launch_template(source.template_id)
    data = services.ec2.launch_template_data(source.template_id, number_of(source.version, template))
    named = str(data.get("ImageId", ""))
    try:
        launched_from = str(services.ec2.describe_instance(donor.instance_id).get("ImageId", ""))
    except InstanceNotFoundError:
        launched_from = ""
    return ImageSituation(
        source=source,
        others=others,
        template=template,
        data=data,
        launched_from=launched_from,
        image=services.ec2.find_image(donor.image_id),
        present=services.ec2.find_image(named) if named.startswith("ami-") else None,
    )


def _make_version(services: Services, step: Step, subject: Subject, intent: Intent) -> int:
    facts = intent.facts
    number, wrong = services.ec2.create_launch_template_version(
        str(facts["templateId"]),
        int(facts["sourceVersion"]),
        str(facts["imageId"]),
        f"Image of {facts['instanceId']}, patched by {step.holder.name}",
        step.holder.mark(intents.TEMPLATE_VERSION),
    )
    Hold.of(services, step.holder, subject).record(intent.name, {"id": str(number), "wrong": wrong})
    return number


def _make_default(services: Services, step: Step, subject: Subject, intent: Intent, number: int) -> None:
    """What somebody else has made the default meanwhile stays."""
    template_id, before = str(intent.facts["templateId"]), int(intent.facts["sourceVersion"])
    if Hold.of(services, step.holder, subject).claim(intents.TEMPLATE_DEFAULT).intent.id:
        return
    default = services.ec2.launch_template(template_id).default
    if default == before:
        services.ec2.set_default_version(template_id, number)
    if default in (before, number):
        Hold.of(services, step.holder, subject).record(intents.TEMPLATE_DEFAULT, {"id": str(number)})


def describe_refresh(lease: Lease) -> RefreshedTemplate | None:
    """What a group's lease tells of its launch template: None when no version of it was to be made."""
    intent = lease.intents.get(intents.TEMPLATE_VERSION)
    if intent is None:
        return None
    made_default = lease.intents.get(intents.TEMPLATE_DEFAULT)
    facts = intent.facts
    return {
        "templateId": facts["templateId"],
        "templateName": facts["templateName"],
        "follows": facts["follows"],
        "sourceVersion": facts["sourceVersion"],
        "imageId": facts["imageId"],
        "instanceId": facts["instanceId"],
        "otherGroups": facts["otherGroups"],
        "version": intent.id,
        "isDefault": made_default is not None and bool(made_default.id),
        "warnings": _warnings(intent),
    }


def _warnings(intent: Intent) -> list[str]:
    facts = intent.facts
    warnings = []
    if facts["isWindows"]:
        warnings.append(say("template.not_generalised"))
    first = int(facts["latestVersion"]) + 1
    if facts["follows"] == LATEST_VERSION and intent.id and int(intent.id) > first:
        warnings.append(say("template.made_meanwhile", other=first, version=intent.id, source=facts["sourceVersion"]))
    if facts.get("wrong"):
        warnings.append(say("template.wrong", version=intent.id, said=facts["wrong"]))
    return warnings
