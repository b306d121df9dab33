"""What a launch template may learn from a roll, and what people are told about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from drydock.aws.autoscaling import AutoScaling, Group, LaunchSource
from drydock.aws.ec2 import LaunchTemplate
from drydock.group.golden_images import (
    Donor,
    ImageSituation,
    choose_donor,
    describe_refresh,
    number_of,
    obstacle,
    obstacle_in_source,
)
from drydock.group.member_turns import return_member
from drydock.group.messages import group_message
from drydock.records import intents
from drydock.records.group_leases import claim_member
from drydock.records.holder import Holder
from drydock.records.leases import Lease, find_lease
from drydock.request.policy import DEFAULTS, effective_policy, of_member
from drydock.subject import read_subject
from drydock.telling.text import Location
from tests.unit.fakes import START
from tests.unit.records.recorded import a_group_result, a_member, a_roll
from tests.unit.telling.reading import flat
from tests.unit.world import EXECUTION, INSTANCE, World, hold_as

ROLL = Holder(EXECUTION.replace("PatchInstance", "RollGroup"), 0)
WEB = read_subject("group/web")
BASE, OWN = "ami-0000000000000cafe", "ami-00000000000000001"
SOURCE = LaunchSource(
    group_name="web",
    configuration="",
    template_id="lt-1",
    template_name="web",
    version="$Default",
    other_templates={},
    has_own_images=False,
)
GOOD = ImageSituation(
    source=SOURCE,
    others={"reports": "$Default", "batch": "3"},
    template=LaunchTemplate(default=3, latest=5),
    data={"ImageId": BASE, "BlockDeviceMappings": [{"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 8}}]},
    launched_from=BASE,
    image={"State": "available", "Architecture": "x86_64"},
    present={"State": "available", "Architecture": "x86_64"},
)


@pytest.mark.parametrize(("version", "number"), [("$Default", 3), ("$Latest", 5), ("4", 4)])
def test_what_a_group_names_is_a_number_in_the_end(version: str, number: int) -> None:
    assert number_of(version, GOOD.template) == number


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"configuration": "web-1"}, "launch configuration web-1"),
        ({"other_templates": {"lt-2": "1"}}, "name other launch templates"),
        ({"other_templates": {"lt-1": "$Default", "web": "1"}}, None),
        ({"has_own_images": True}, "name images"),
    ],
)
def test_a_group_that_launches_from_more_than_one_template_is_left(
    change: Mapping[str, Any], reason: str | None
) -> None:
    found = obstacle_in_source(replace(SOURCE, **change))

    assert found is None if reason is None else reason in (found or "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"others": {"reports": "$Latest"}}, "reports would launch from a new version at once"),
        ({"others": {"reports": "$Latest"}, "source": replace(SOURCE, version="$Latest")}, None),
        ({"data": {}}, "version 3 names no image"),
        ({"data": {"ImageId": "resolve:ssm:golden"}}, "but resolve:ssm:golden: change what that stands for"),
        ({"data": {"ImageId": BASE, "BlockDeviceMappings": [{"Ebs": {"SnapshotId": "snap-1"}}]}}, "snapshots"),
        ({"image": None}, "the image of the member failed or is gone"),
        ({"image": {"State": "deregistered"}}, "the image of the member failed or is gone"),
        ({"present": None}, f"{BASE}, the image of version 3, is gone"),
        ({"present": {"Architecture": "arm64"}}, "is for x86_64, that of version 3 for arm64"),
        ({"launched_from": OWN}, f"the member was launched from {OWN}"),
        ({"launched_from": ""}, "nobody knows any more from what the member was launched"),
        (
            {
                "launched_from": OWN,
                "present": {"Architecture": "x86_64", "Tags": [{"Key": "DrydockInstance", "Value": INSTANCE}]},
            },
            None,
        ),
    ],
)
def test_a_version_is_made_only_where_it_differs_in_the_image_and_nobody_else_launches_from_it_unasked(
    change: Mapping[str, Any], reason: str | None
) -> None:
    found = obstacle(replace(GOOD, **change))

    assert found is None if reason is None else reason in (found or "")


def hold_group(world: World, **members: Mapping[str, Any]) -> Lease:
    """A roll holds the group, and these members had their turn."""
    assert hold_as(world.table, ROLL, WEB, world.clock()).take(START) is None
    hold_as(world.table, ROLL, WEB, world.clock()).activate({"runId": ""}, "suspend")
    return replace(lease_of(world), members=members)


def lease_of(world: World) -> Lease:
    lease = find_lease(world.table, WEB)
    assert lease is not None
    return lease


def test_the_golden_image_is_that_of_the_first_member_that_is_compliant(world: World) -> None:
    good = {"outcome": "succeeded", "verdict": "compliant", "imageId": OWN}
    lease = hold_group(
        world,
        first={**good, "outcome": "gone"},
        second={**good, "verdict": "pending_reboot"},
        third={**good, "imageId": ""},
        fourth=good,
        fifth={**good, "imageId": BASE},
    )
    order = [{"instanceId": name} for name in ("never", "first", "second", "third", "fourth", "fifth")]

    assert choose_donor(order, lease) == Donor("fourth", OWN)
    assert choose_donor(order[:4], lease) is None


FACTS = {
    "templateId": "lt-1",
    "templateName": "web",
    "follows": "$Latest",
    "sourceVersion": 5,
    "latestVersion": 5,
    "imageId": OWN,
    "instanceId": INSTANCE,
    "isWindows": False,
    "otherGroups": {"reports": "$Latest"},
}


def test_what_a_died_execution_did_to_the_template_stands_in_its_lease(world: World) -> None:
    hold_group(world)
    assert describe_refresh(lease_of(world)) is None

    hold_as(world.table, ROLL, WEB).claim(intents.TEMPLATE_VERSION, **FACTS)
    asked = describe_refresh(lease_of(world))
    hold_as(world.table, ROLL, WEB).record(intents.TEMPLATE_VERSION, {"id": "6", "wrong": ""})
    hold_as(world.table, ROLL, WEB).claim(intents.TEMPLATE_DEFAULT)
    made = describe_refresh(lease_of(world))
    hold_as(world.table, ROLL, WEB).record(intents.TEMPLATE_DEFAULT, {"id": "6"})
    is_default = describe_refresh(lease_of(world))

    assert asked is not None and made is not None and is_default is not None
    assert (asked["version"], asked["isDefault"]) == ("", False)
    assert (made["version"], made["isDefault"], made["warnings"]) == ("6", False, [])
    assert is_default["isDefault"] is True


@pytest.mark.parametrize(
    ("facts", "version", "warning"),
    [
        ({"isWindows": True}, "6", "not generalised (Sysprep)"),
        ({}, "8", "somebody else made version 6 meanwhile: version 8 is made from 5"),
        ({"wrong": "InvalidParameter: KeyName"}, "6", "EC2 says of version 6: InvalidParameter: KeyName"),
    ],
)
def test_what_is_to_be_known_of_a_version_is_told_with_it(
    world: World, facts: Mapping[str, Any], version: str, warning: str
) -> None:
    hold_group(world)
    hold_as(world.table, ROLL, WEB).claim(intents.TEMPLATE_VERSION, **{**FACTS, **facts})
    hold_as(world.table, ROLL, WEB).record(
        intents.TEMPLATE_VERSION, {"id": version, "wrong": str(facts.get("wrong", ""))}
    )

    found = describe_refresh(lease_of(world))

    assert found is not None
    (told,) = found["warnings"]
    assert warning in told


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({}, f"Version 6 is version 5 with {OWN}, the image of {INSTANCE}. New members are launched from it."),
        ({"follows": "$Default", "isDefault": True}, "It is the default now, so new members are launched from it."),
        ({"follows": "$Default"}, "The group launches from $Default as before: let it use 6 when you want to."),
        ({"follows": "5"}, "The group launches from 5 as before: let it use 6 when you want to."),
        ({"version": ""}, f"A version with {OWN}, the image of {INSTANCE}, was asked for; look whether it was made."),
        ({"otherGroups": {f"g{n:02}": "1" for n in range(22)}}, "g09 (1) and 12 more"),
        ({"warnings": ["the image is of\na running Windows"]}, "Note: the image is of a running Windows"),
    ],
)
def test_people_read_who_launches_from_the_new_version(change: Mapping[str, Any], line: str) -> None:
    refresh: Any = {**FACTS, "version": "6", "isDefault": False, "warnings": [], **change}
    result = a_group_result(roll=a_roll({INSTANCE: a_member()}, launch_template=refresh))
    location = Location("aws", "123456789012", "ap-northeast-1", "Asia/Tokyo")

    text = group_message("web", EXECUTION, None, result, location).text

    assert "\nLaunch template web\n" in text
    assert line in flat(text)


@pytest.mark.parametrize("members", [True, False])
def test_a_member_is_imaged_only_if_the_policy_says_so_and_before_patching_never_with_a_reboot(members: bool) -> None:
    policy, _ = effective_policy("{}", "/drydock/policy", {"backup": {"members": members, "after": {"reboot": True}}})

    backup = of_member(policy)["backup"]

    assert (backup["before"]["take"], backup["before"]["reboot"]) == (members, False)
    assert backup["after"] == {"take": members, "reboot": True}


class EmptyGroup(AutoScaling):
    """A group that has lost its members."""

    def __init__(self) -> None: ...

    def group(self, name: str) -> Group:
        return Group(name, 0, 1, 0, frozenset(), [], [])


def test_the_image_of_a_member_is_found_when_the_end_of_its_execution_was_not_seen(world: World) -> None:
    hold_group(world)
    claim_member(hold_as(world.table, ROLL, WEB), INSTANCE)
    world.services.autoscaling = EmptyGroup()
    child = f"{EXECUTION.rsplit(':', 1)[0]}:night-1-{INSTANCE}"
    world.executions.statuses[child] = "SUCCEEDED"
    world.executions.failures[child] = {
        "output": f'{{"verdict": "compliant", "images": {{"after": {{"imageId": "{OWN}"}}}}}}'
    }
    data = {
        "owner": {"execution": ROLL.execution, "redriveCount": 0},
        "runId": "",
        "failure": {"error": "States.Runtime", "cause": "the engine failed"},
        "output": None,
    }
    world.set_policy(refreshLaunchTemplate={"enabled": True})

    found = return_member(world.services, world.step("Return Member", data, groupName="web"))

    assert DEFAULTS["refreshLaunchTemplate"]["enabled"] is False
    assert found["work"]["imageId"] == OWN


class PagedClient:
    """Auto Scaling's API, that answers a group a page."""

    def __init__(self, *groups: Mapping[str, Any]) -> None:
        self._groups = groups

    def describe_auto_scaling_groups(self, *, MaxRecords: int, NextToken: str = "0") -> dict[str, Any]:
        assert MaxRecords == 100
        number = int(NextToken)
        more = {"NextToken": str(number + 1)} if number + 1 < len(self._groups) else {}
        return {"AutoScalingGroups": [self._groups[number]], **more}


def test_what_groups_launch_from_is_read_page_by_page_in_all_its_forms() -> None:
    named = {"LaunchTemplateId": "lt-1", "LaunchTemplateName": "web", "Version": "7"}
    overrides = [
        {"InstanceType": "t3.large"},
        {"InstanceType": "t4g.large", "LaunchTemplateSpecification": {"LaunchTemplateId": "lt-2"}},
        {"InstanceType": "t3.small", "ImageId": OWN},
    ]
    autoscaling = EmptyGroup()
    autoscaling._client = PagedClient(
        {"AutoScalingGroupName": "plain", "LaunchTemplate": {"LaunchTemplateId": "lt-1"}},
        {"AutoScalingGroupName": "old", "LaunchConfigurationName": "old-1"},
        {
            "AutoScalingGroupName": "mixed",
            "MixedInstancesPolicy": {"LaunchTemplate": {"LaunchTemplateSpecification": named, "Overrides": overrides}},
        },
    )

    plain, old, mixed = autoscaling.launch_sources()

    assert (plain.version, plain.configuration, plain.version_of("lt-1")) == ("$Default", "", "$Default")
    assert (old.configuration, old.version_of("lt-1")) == ("old-1", "")
    assert (mixed.version, mixed.other_templates, mixed.has_own_images) == ("7", {"lt-2": "$Default"}, True)
    assert (mixed.version_of("lt-1"), mixed.version_of("lt-2"), mixed.version_of("lt-3")) == ("7", "$Default", "")
