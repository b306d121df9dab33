"""Targets: the machines that a run is about, in the grammar of Run Command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from drydock.aws.autoscaling import AutoScaling
from drydock.aws.ec2 import MOST_FILTER_VALUES, Ec2, Instance, escape, name_of, state_of, tags_of
from drydock.aws.resource_groups import INSTANCE_TYPES, ResourceGroups
from drydock.catalogue.saying import say
from drydock.errors import DrydockError, InstanceNotFoundError, InstanceNotPatchableError
from drydock.machine.ownership import Membership
from drydock.plan.near_misses import find_near_tag, spellings
from drydock.request.checking import Check, brief, list_of, spell_out, text
from drydock.tags import GROUP_TAG

INSTANCE_IDS = "InstanceIds"
TAG_KEY = "tag-key"
TAG = "tag:"
GROUP_NAME = "resource-groups:Name"
GROUP_TYPES = "resource-groups:ResourceTypeFilters"

MOST_TARGETS, MOST_VALUES = 5, 50
"""Run Command's own limits."""


_GONE = ("shutting-down", "terminated")
_KEYS = ("key", "values")
_KNOWN = (f"{TAG}<key>", TAG_KEY, INSTANCE_IDS, GROUP_NAME, GROUP_TYPES)

_instance_id = text(r"m?i-[0-9a-f]{17}|i-[0-9a-f]{8}", say("expected.target_id"))
_tag_key = text(r"(?s).{1,128}", say("expected.tag_key"))
_tag_value = text(r"(?s).{0,256}", say("expected.tag_value"))
_group = text(
    r"([a-zA-Z0-9_.\-]{1,300}|[a-zA-Z0-9_.\-]{1,150}/[a-z0-9]{26})"
    r"|arn:aws[a-z\-]*:resource-groups:[a-z0-9\-]+:[0-9]{12}:group/[a-zA-Z0-9_.\-/]{1,300}",
    say("expected.resource_group"),
)
_resource_type = text(r"AWS::[a-zA-Z0-9]+::[a-zA-Z0-9]+", say("expected.resource_type"))


class Target(TypedDict):
    """One condition: `key` says what is compared, one of `values` has to fit."""

    key: str
    values: list[str]


class LeftOut(TypedDict):
    """A machine that the targets mean and that the run does not touch, and why."""

    instanceId: str
    name: str
    error: str
    reason: str


@dataclass(frozen=True)
class Resolved:
    """The machines that targets mean: those that are there, as EC2 describes them, and those that are not."""

    instances: Mapping[str, Instance]
    """By id, in the order of the ids."""
    left_out: Sequence[LeftOut]
    near_misses: Sequence[str]
    """Machines that are no targets because of how a tag of theirs is written, a sentence each."""


def leave_out(instance_id: str, name: str, why: DrydockError) -> LeftOut:
    """A machine that is left out for the reason that an error would give."""
    return {"instanceId": instance_id, "name": name, "error": type(why).__name__, "reason": str(why)}


def check_targets(path: str, value: Any) -> list[str]:
    """The mistakes in a list of targets, each one sentence that names its path."""
    if not isinstance(value, list):
        return [say("request.no_list", path=path, value=brief(value))]
    if not 1 <= len(value) <= MOST_TARGETS:
        return [say("targets.number", path=path, most=MOST_TARGETS, count=len(value))]
    mistakes = [mistake for index, target in enumerate(value) for mistake in _check_target(f"{path}[{index}]", target)]
    keys = [target.get("key") for target in value if isinstance(target, Mapping)]
    if GROUP_TYPES in keys and GROUP_NAME not in keys:
        mistakes.append(say("targets.types_need_group", path=path, types=GROUP_TYPES, group=GROUP_NAME))
    return mistakes


def _check_target(path: str, target: Any) -> list[str]:
    if not isinstance(target, Mapping):
        return [say("request.no_object", path=path, value=brief(target))]
    mistakes = [
        say("request.unknown_key", path=path, key=spell_out(str(key)[:100]), known=_KEYS)
        for key in target
        if key not in _KEYS
    ]
    mistakes += [say("request.required", path=f"{path}.{key}") for key in _KEYS if key not in target]
    of_value = _check_of(target["key"]) if "key" in target else None
    if "key" in target:
        if of_value is None:
            mistakes.append(say("targets.unknown_key", path=path, value=brief(target["key"]), known=_KNOWN))
        elif str(target["key"]).startswith(TAG):
            mistakes += _tag_key(f"{path}.key", str(target["key"]).removeprefix(TAG))
    if "values" in target:
        mistakes += list_of(of_value or (lambda path, value: []), MOST_VALUES)(f"{path}.values", target["values"])
        if target["values"] == []:
            mistakes.append(say("targets.no_value", path=path))
    return mistakes


def _check_of(key: Any) -> Check | None:
    """How the values of a key are checked; None for a key that is not known."""
    if isinstance(key, str) and key.startswith(TAG):
        return _tag_value
    checks = {TAG_KEY: _tag_key, INSTANCE_IDS: _instance_id, GROUP_NAME: _group, GROUP_TYPES: _resource_type}
    return checks.get(key) if isinstance(key, str) else None


def resolve(ec2: Ec2, resource_groups: ResourceGroups, groups: Iterable[Sequence[Target]]) -> Resolved:
    """The machines of all groups together; in a group, every target has to fit.

    The fleet is read once: the tags are asked for with the ways in which people mistype them, and compared here.

    Raises InvalidInputError that names a resource group which is not there.
    """
    found: dict[str, Instance] = {}
    left_out: dict[str, LeftOut] = {}
    nearly: dict[str, str] = {}
    for targets in groups:
        tagged = [target for target in targets if target["key"].startswith(TAG)]
        ids = _wanted_ids(resource_groups, targets)
        if ids is None:
            described = {**_describe_by_tags(ec2, targets), **_describe_nearly(ec2, tagged)}
        else:
            described = ec2.describe_by_id(one for one in ids if one.startswith("i-"))
        for instance_id in sorted((ids or set()) - set(described)):
            left_out[instance_id] = leave_out(instance_id, "", _why_unknown(instance_id))
        for instance_id, instance in described.items():
            if not fits(instance, targets):
                if near := _find_near_miss(instance, targets):
                    nearly[instance_id] = near
                continue
            if state_of(instance) in _GONE:
                gone = InstanceNotFoundError(say("machine.in_state", machine=instance_id, state=state_of(instance)))
                left_out[instance_id] = leave_out(instance_id, name_of(instance), gone)
            else:
                found[instance_id] = instance
    return Resolved(
        instances={instance_id: found[instance_id] for instance_id in sorted(found)},
        left_out=[left_out[instance_id] for instance_id in sorted(left_out) if instance_id not in found],
        near_misses=[nearly[instance_id] for instance_id in sorted(nearly) if instance_id not in found],
    )


def _why_unknown(instance_id: str) -> DrydockError:
    if instance_id.startswith("mi-"):
        return InstanceNotPatchableError(say("targets.hybrid", machine=instance_id))
    return InstanceNotFoundError(say("ec2.unknown_instance", machine=instance_id))


def _wanted_ids(resource_groups: ResourceGroups, targets: Sequence[Target]) -> set[str] | None:
    """The ids that the targets name, in lists or through resource groups; None when they name none."""
    named = [set(target["values"]) for target in targets if target["key"] == INSTANCE_IDS]
    types = set(INSTANCE_TYPES)
    for target in targets:
        if target["key"] == GROUP_TYPES:
            values = {value.lower() for value in target["values"]}
            types = {kind for kind in types if kind.lower() in values}
    named += [
        {member for group in target["values"] for member in resource_groups.list_instances(group, sorted(types))}
        for target in targets
        if target["key"] == GROUP_NAME
    ]
    return set.intersection(*named) if named else None


def _describe_by_tags(ec2: Ec2, targets: Sequence[Target]) -> dict[str, Instance]:
    filters: dict[str, Sequence[str]] = {}
    count = 0
    for target in targets:
        name, values = _filter_of(target)
        # A filter that finds no room, or stands there already, is left to the comparison of what is found.
        if name not in filters and count + len(values) <= MOST_FILTER_VALUES:
            filters[name] = values
            count += len(values)
    room = (MOST_FILTER_VALUES - count) // max(len(filters), 1)
    for target in targets:
        if target["key"].startswith(TAG) and target["key"] in filters:
            nearly = spellings(target["values"], room)
            filters[target["key"]] = [*dict.fromkeys([*filters[target["key"]], *nearly])]
    return {str(instance["InstanceId"]): instance for instance in ec2.describe_instances(filters)}


def _filter_of(target: Target) -> tuple[str, list[str]]:
    values = list(dict.fromkeys(target["values"]))
    if target["key"] == TAG_KEY:
        return TAG_KEY, [escape(value) for value in values]
    if "" in values:
        # How EC2 reads an empty filter value is not documented.
        return TAG_KEY, [escape(target["key"].removeprefix(TAG))]
    return target["key"], [escape(value) for value in values]


def fits(instance: Instance, targets: Sequence[Target]) -> bool:
    """Whether an instance has the tags that the targets want, letter for letter."""
    tags = tags_of(instance)
    for target in targets:
        key, values = target["key"], target["values"]
        if key == TAG_KEY and not tags.keys() & set(values):
            return False
        if key.startswith(TAG) and tags.get(key.removeprefix(TAG)) not in values:
            return False
    return True


def _describe_nearly(ec2: Ec2, tagged: Sequence[Target]) -> dict[str, Instance]:
    """Instances that have a tag whose key is nearly one of these: few, and none that has the very key only."""
    keys = spellings([target["key"].removeprefix(TAG) for target in tagged], MOST_FILTER_VALUES)
    return {str(one["InstanceId"]): one for one in (ec2.describe_instances({TAG_KEY: keys}) if keys else ())}


def _find_near_miss(instance: Instance, targets: Sequence[Target]) -> str:
    """Which tags of a machine that is no target are nearly a target's; empty where another condition is not met."""
    tagged = [target for target in targets if target["key"].startswith(TAG)]
    others = [target for target in targets if target not in tagged]
    if fits(instance, tagged) or not fits(instance, others) or state_of(instance) in _GONE:
        return ""
    hits = [find_near_tag(tags_of(instance), target["key"].removeprefix(TAG), target["values"]) for target in tagged]
    if not all(hits):
        return ""
    name, instance_id = name_of(instance), instance["InstanceId"]
    return say(
        "targets.near_miss",
        machine=say("machine.named", name=name, id=instance_id) if name else instance_id,
        tags=hits,
    )


def memberships_of(autoscaling: AutoScaling, instances: Iterable[Instance]) -> dict[str, Membership]:
    """What those that a tag says to be in an Auto Scaling group are to it, by instance id."""
    named = {one["InstanceId"]: tags_of(one)[GROUP_TAG] for one in instances if GROUP_TAG in tags_of(one)}
    groups = autoscaling.groups(named.values())
    lifecycles = {member.instance_id: member.lifecycle for group in groups.values() for member in group.members}
    # Members of warm pools are shown nowhere else.
    lifecycles |= autoscaling.lifecycles(named.keys() - lifecycles.keys())
    return {
        instance_id: Membership(
            lifecycles.get(instance_id, ""),
            groups[name].tags if name in groups else {},
            is_weighted=name in groups and groups[name].counts_by_weight,
        )
        for instance_id, name in named.items()
    }
