"""The golden image: after a good roll the launch template learns the image of a member, and nothing else changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from rehearsal.engine.calls import Call
from rehearsal.play.faults import FailCall, KillFunction
from rehearsal.world.fleet import Group, Image
from rehearsal.world.group_specs import MixedPolicy
from rehearsal.world.launch_templates import LaunchTemplate
from rehearsal.world.machines import FIRST_IMAGE, Durations
from tests.scenarios.group.scenario import (
    FAILING,
    RollScenario,
    RollView,
    assert_group_given_back,
    assert_members_patched,
    roll_scenario,
)

REFRESH: Mapping[str, Any] = {"backup": {"before": {"take": False}}, "refreshLaunchTemplate": {"enabled": True}}
ALONE: Mapping[str, Any] = {**REFRESH, "minHealthy": 0}
"""For a group of one, which nobody can stand in for."""
ALLOWED: Mapping[str, Any] = {**ALONE, "refreshLaunchTemplate": {"enabled": True, "allowDefault": True}}
LEFT = "the launch template was left as it is: "
FUNCTION = "refresh_launch_template"
ARM, NEWER = "ami-00000000000000a2d", "ami-0000000000000beef"


@pytest.fixture
def scene() -> Iterator[RollScenario]:
    with roll_scenario() as scene:
        yield scene


def one_machine(scene: RollScenario, name: str = "web", **settings: Any) -> Group:
    """A group of one without a load balancer."""
    particulars = settings.pop("particulars", {})
    group, _ = scene.group(name, [particulars], min_healthy=0, target_group=(), **settings)
    return group


def template_of(group: Group) -> LaunchTemplate:
    assert group.template is not None
    return group.template


def add_version(scene: RollScenario, group: Group, **data: Any) -> None:
    """Somebody makes a version of a group's template that differs in this data."""
    scene.fleet.launch_templates.create_launch_template_version(
        {"LaunchTemplateId": template_of(group).template_id, "SourceVersion": "1", "LaunchTemplateData": data}
    )


def image_after(scene: RollScenario, group: Group, name: str) -> Image:
    """The one image of a member that was made after patching."""
    (member,) = [one for one in group.members.values() if one.machine.name == name]
    (image,) = scene.images(member.machine)
    return image


def refreshed(view: RollView) -> Mapping[str, Any]:
    found: Mapping[str, Any] = view.result["launchTemplate"]
    return found


def test_a_group_that_follows_the_latest_version_launches_from_a_patched_member_after_the_roll(
    scene: RollScenario,
) -> None:
    scene.fleet.add_launch_template("web", UserData="aGVsbG8=", InstanceType="t3.large")
    machines = [{"durations": Durations(install=seconds)} for seconds in (900, 60)]
    group, monitor = scene.group(members=machines, launch_template="web", template_version="$Latest")

    view = scene.roll(group, REFRESH)

    monitor.check()
    assert view.status == "SUCCEEDED", view.execution.cause
    first, second = template_of(group).versions
    image = image_after(scene, group, "web-1")
    assert second.data == {**first.data, "ImageId": image.image_id}
    assert image.no_reboot is False
    (outage,) = monitor.outages_of(image.machine.instance_id)
    assert outage.standby is not None and outage.returned is not None
    assert outage.standby <= image.created <= outage.returned
    assert second.created >= max(child.stopped for child in view.children if child.stopped)
    assert template_of(group).default == 1
    assert refreshed(view)["version"] == "2"
    assert "Version 2 is version 1 with" in view.summary.said
    assert "New members are launched from it." in view.summary.said
    assert_group_given_back(scene, group, sizes=(1, 2, 4))

    group.set_desired(3)
    scene.run_for(10)

    assert [one.machine.spec.image_id for one in group.in_service] == [FIRST_IMAGE, FIRST_IMAGE, image.image_id]


def test_the_next_roll_makes_a_version_of_that_version(scene: RollScenario) -> None:
    group = one_machine(scene, template_version="$Latest")
    scene.roll(group, ALONE)
    scene.run_for(24 * 60)

    view = scene.roll(group, {**ALONE, "whenCompliant": "proceed"})

    assert view.status == "SUCCEEDED", view.execution.cause
    assert [refreshed(view)[key] for key in ("version", "sourceVersion")] == ["3", 2]
    assert len({version.image_id for version in template_of(group).versions}) == 3


def test_a_roll_in_which_a_member_failed_leaves_the_template_alone(scene: RollScenario) -> None:
    group, _ = scene.group(members=[{}, FAILING], template_version="$Latest")

    view = scene.roll(group, REFRESH)

    assert view.outcomes == {"web-1": "succeeded", "web-2": "failed"}
    assert len(template_of(group).versions) == 1
    assert f"{LEFT}the roll did not succeed" in view.problems
    assert view.result["launchTemplate"] is None


def test_a_member_that_is_ill_after_its_image_gives_the_template_nothing(scene: RollScenario) -> None:
    scene.fleet.add_document("Is-Well")
    group, _ = scene.group(members=[{"wrong": ("health_fails_after_image",)}, {}], template_version="$Latest")

    view = scene.roll(group, {**REFRESH, "healthProbe": "Is-Well"})

    assert view.outcomes == {"web-1": "failed", "web-2": "not_attempted"}
    assert (view.errors["web-1"], view.moves) == ("HealthCheckFailedError", {"web-1": "replace"})
    assert len(template_of(group).versions) == 1


def test_without_the_policy_no_template_is_touched(scene: RollScenario) -> None:
    group = one_machine(scene, template_version="$Latest")

    view = scene.roll(group, {"minHealthy": 0, "backup": {"before": {"take": False}}})

    assert view.status == "SUCCEEDED"
    assert "Refresh Launch Template" not in scene.states(view.arn)
    assert len(template_of(group).versions) == 1


@pytest.mark.parametrize("operation", ["Scan", "UpdateAgents"])
def test_what_installs_no_patches_makes_no_golden_image(scene: RollScenario, operation: str) -> None:
    group = one_machine(scene, template_version="$Latest")

    view = scene.roll(
        group, {**ALONE, "operation": operation, "backup": {"before": {"take": False}, "after": {"take": False}}}
    )

    assert view.status == "SUCCEEDED", view.execution.cause
    assert len(template_of(group).versions) == 1


def test_the_default_version_stays_where_the_policy_does_not_allow_it(scene: RollScenario) -> None:
    group = one_machine(scene)

    view = scene.roll(group, ALONE)

    assert view.status == "SUCCEEDED", view.execution.cause
    template = template_of(group)
    assert (len(template.versions), template.default) == (2, 1)
    assert refreshed(view)["isDefault"] is False
    assert "The group launches from $Default as before: let it use 2" in view.summary.said


def test_the_default_version_moves_where_the_policy_allows_it_and_who_else_uses_it_is_told(
    scene: RollScenario,
) -> None:
    group = one_machine(scene)
    one_machine(scene, "reports", launch_template="web")
    one_machine(scene, "batch", launch_template="web", template_version="1")
    one_machine(scene, "other")

    view = scene.roll(group, ALLOWED)

    assert view.status == "SUCCEEDED", view.execution.cause
    assert template_of(group).default == 2
    assert refreshed(view)["isDefault"] is True
    assert refreshed(view)["otherGroups"] == {"batch": "1", "reports": "$Default"}
    assert "It is the default now" in view.summary.said
    assert "Other groups that use it: batch (1), reports ($Default)" in view.summary.said


def test_a_default_that_somebody_else_chose_meanwhile_stays(scene: RollScenario) -> None:
    group = one_machine(scene)
    template = template_of(group)
    arn = scene.start_roll(group, ALLOWED)
    scene.account.clock.run(until=lambda: len(template.versions) == 2, limit=timedelta(days=1))
    add_version(scene, group, UserData="bmV3")
    template.default = 3
    scene.settle()

    view = scene.view(arn)

    assert view.status == "SUCCEEDED", view.execution.cause
    assert template.default == 3
    assert refreshed(view)["isDefault"] is False


def test_a_group_that_is_pinned_to_a_version_stays_there(scene: RollScenario) -> None:
    group = one_machine(scene, template_version="1")

    view = scene.roll(group, ALLOWED)

    assert view.status == "SUCCEEDED", view.execution.cause
    assert (group.template_version, template_of(group).default, len(template_of(group).versions)) == ("1", 1, 2)
    assert "The group launches from 1 as before: let it use 2" in view.summary.said


def test_what_cannot_learn_an_image_is_left_and_the_reason_told(scene: RollScenario) -> None:
    templates: dict[str, dict[str, Any]] = {
        "shared": {},
        "parameter": {"ImageId": "resolve:ssm:/golden/web"},
        "volumes": {"BlockDeviceMappings": [{"DeviceName": "/dev/sdb", "Ebs": {"SnapshotId": "snap-1"}}]},
        "arm": {},
    }
    for name, data in templates.items():
        scene.fleet.add_launch_template(name, **data)
    other = {"InstanceType": "t4g.medium", "LaunchTemplateSpecification": {"LaunchTemplateName": "arm"}}
    moved = {"template_version": "$Latest"}
    groups = {
        "only a launch template has versions": one_machine(scene, "old", launch_configuration="old-1"),
        "overrides of the group name other launch templates": one_machine(
            scene, "mixed", mixed=MixedPolicy([{"InstanceType": "t3.large"}, other])
        ),
        "overrides of the group name images": one_machine(
            scene, "images", mixed=MixedPolicy([{"InstanceType": "t3.large", "ImageId": FIRST_IMAGE}])
        ),
        "follower would launch from a new version at once": one_machine(scene, "web", launch_template="shared"),
        "is for x86_64, that of version 2 for arm64": (arms := one_machine(scene, "arms", **moved)),
        f"version 2 names {NEWER}, and the member was launched from": (base := one_machine(scene, "base", **moved)),
        "does not name an image but resolve:ssm:/golden/web": one_machine(scene, "named", launch_template="parameter"),
        "version 1 names snapshots of volumes": one_machine(scene, "disks", launch_template="volumes"),
    }
    one_machine(scene, "follower", launch_template="shared", template_version="$Latest")
    add_version(scene, arms, ImageId=ARM, InstanceType="t4g.medium")
    add_version(scene, base, ImageId=NEWER)
    before = [len(template.versions) for template in scene.fleet.launch_templates.all()]

    rolls = {reason: scene.start_roll(group, ALLOWED) for reason, group in groups.items()}
    scene.settle()

    for reason, arn in rolls.items():
        view = scene.view(arn)
        assert view.status == "SUCCEEDED", (reason, view.execution.cause)
        assert len(view.problems) == 1, reason
        assert view.problems[0].startswith(LEFT) and reason in view.problems[0]
        assert view.result["launchTemplate"] is None
    assert [len(template.versions) for template in scene.fleet.launch_templates.all()] == before


def test_overrides_that_name_instance_types_only_launch_from_the_new_version_too(scene: RollScenario) -> None:
    mixed = MixedPolicy([{"InstanceType": "t3.large"}, {"InstanceType": "t3.xlarge"}])
    group = one_machine(scene, template_version="$Latest", mixed=mixed)

    view = scene.roll(group, ALONE)

    assert view.status == "SUCCEEDED", view.execution.cause
    assert refreshed(view)["version"] == "2"


def test_the_image_of_a_windows_member_is_told_not_to_be_generalised(scene: RollScenario) -> None:
    group = one_machine(
        scene, template_version="$Latest", particulars={"platform": "Windows", "missing": ("KB5034439",)}
    )

    view = scene.roll(group, ALONE)

    assert view.status == "SUCCEEDED", view.execution.cause
    assert len(template_of(group).versions) == 2
    assert "was not generalised (Sysprep): where the member is joined to a domain" in view.summary.said


CALLS = {
    "autoscaling:DescribeAutoScalingGroups": "AccessDenied",
    "ec2:CreateLaunchTemplateVersion": "UnauthorizedOperation",
    "ec2:DescribeImages": "UnauthorizedOperation",
    "ec2:DescribeInstances": "UnauthorizedOperation",
    "ec2:DescribeLaunchTemplateVersions": "UnauthorizedOperation",
    "ec2:DescribeLaunchTemplates": "UnauthorizedOperation",
    "ec2:ModifyLaunchTemplate": "UnauthorizedOperation",
}
"""All that the function calls outside Drydock, and how AWS says that it may not."""


def test_without_any_of_its_permissions_the_roll_fails_and_the_group_is_given_back(scene: RollScenario) -> None:
    groups = {f"web-{number}": one_machine(scene, f"web-{number}", min=1) for number in range(len(CALLS))}
    denied = dict(zip(groups, CALLS.items(), strict=True))
    for name, (call, error) in denied.items():
        scene.given(FailCall(call, error, caller=FUNCTION, run=name))

    rolls = {name: scene.start_roll(name, ALLOWED, name=name) for name in groups}
    scene.settle()

    asked = {
        f"{call.service}:{call.operation}"
        for call in scene.account.calls.calls
        if call.caller.name == FUNCTION and call.service != "dynamodb"
    }
    assert asked == set(CALLS)
    for name, arn in rolls.items():
        view = scene.view(arn)
        assert (view.status, view.error) == ("FAILED", "AwsCallFailedError"), denied[name]
        assert list(view.outcomes.values()) == ["succeeded"], denied[name]
        assert_group_given_back(scene, groups[name], sizes=(1, 1, 3))
        assert_members_patched(groups[name])
        assert template_of(groups[name]).default == 1, denied[name]


def test_a_version_that_somebody_else_makes_meanwhile_is_told(scene: RollScenario) -> None:
    group = one_machine(scene, template_version="$Latest")
    template = template_of(group)

    def make_another(call: Call) -> None:
        if call.operation == "DescribeLaunchTemplateVersions" and len(template.versions) == 1:
            add_version(scene, group, UserData="bmV3")

    scene.account.calls.observers.append(make_another)
    view = scene.roll(group, ALONE)

    assert view.status == "SUCCEEDED", view.execution.cause
    assert [version.data.get("UserData") for version in template.versions] == [None, "bmV3", None]
    assert "somebody else made version 2 meanwhile: version 3 is made from 1" in view.summary.said


@pytest.fixture(scope="module")
def calls() -> int:
    """How many calls the function makes for a group whose template's default moves."""
    made: list[Call] = []
    with roll_scenario() as scene:
        scene.account.calls.observers.append(made.append)
        scene.roll(one_machine(scene), ALLOWED)
    return sum(call.caller.name == FUNCTION for call in made)


@pytest.mark.prove
def test_a_function_that_dies_at_any_call_makes_one_version(calls: int, scene: RollScenario) -> None:
    deaths = [(number, after) for number in range(1, calls + 1) for after in (False, True)]
    groups = {f"web-{number}-{'after' if after else 'before'}": (number, after) for number, after in deaths}
    templates = {name: template_of(one_machine(scene, name)) for name in groups}
    strikes = scene.given(
        *(KillFunction(FUNCTION, call=number, after_effect=after, run=name) for name, (number, after) in groups.items())
    )

    rolls = {name: scene.start_roll(name, ALLOWED, name=name) for name in groups}
    scene.settle()

    assert len(deaths) > 20
    assert [one.count for one in strikes] == [1] * len(deaths)
    for name, arn in rolls.items():
        view = scene.view(arn)
        assert view.status == "SUCCEEDED", (name, view.execution.cause)
        assert (len(templates[name].versions), templates[name].default) == (2, 2), name
        assert (refreshed(view)["version"], refreshed(view)["isDefault"]) == ("2", True), name
        assert view.problems == [], name


@pytest.mark.prove
def test_a_roll_that_is_stopped_at_any_call_makes_nothing_after_it_and_tells_what_was_made(
    calls: int, scene: RollScenario
) -> None:
    groups = {f"web-{number}": (number, one_machine(scene, f"web-{number}", min=1)) for number in range(1, calls + 1)}
    rolls = {name: scene.start_roll(name, ALLOWED, name=name) for name in groups}
    seen: Counter[str] = Counter()

    def stop(call: Call) -> None:
        execution = call.caller.execution or ""
        name = execution.rsplit(":", 1)[-1]
        if call.caller.name != FUNCTION:
            return
        seen[name] += 1
        if seen[name] == groups[name][0]:
            client = scene.account.client("stepfunctions")
            scene.account.clock.call_later(0, lambda: client.stop_execution(executionArn=execution))

    scene.account.calls.observers.append(stop)
    scene.settle()

    for name, arn in rolls.items():
        group = groups[name][1]
        view = scene.view(arn)
        assert view.status == "ABORTED", name
        assert_group_given_back(scene, group, sizes=(1, 1, 3))
        told = view.result["launchTemplate"]
        template = template_of(group)
        if told is None:
            assert len(template.versions) == 1, name
        elif told["version"]:
            assert (told["version"], len(template.versions)) == ("2", 2), name
            assert template.default == 2 or not told["isDefault"], name
        else:
            assert len(template.versions) <= 2, name
            assert "look whether it was made" in view.summary.said, name
