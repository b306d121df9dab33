"""Images that nobody needs go, in two steps and by themselves where the policy says so; and no other ever goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta

import pytest

from rehearsal.play.faults import FailCall, KillFunction
from rehearsal.world.images import Image
from rehearsal.world.machines import Machine
from rehearsal.world.patch_states import parse_patch
from tests.proved import proved
from tests.rehearsal.cli.at_the_desk import drydock
from tests.scenarios.machine.scenario import Scenario, scenario

PRUNE = {"backup": {"prune": {"enabled": True, "afterDays": 30, "keep": 1}}}
ALL = [f"{number} {moment}" for number in (1, 2, 3) for moment in ("before", "after")]
"""The images of a machine, in the order in which they were made."""
OLD = timedelta(days=100)


class Pruned:
    """A machine that was patched three times a hundred days ago, so that it has six images, and what prunes them."""

    def __init__(self, scene: Scenario, machine: Machine) -> None:
        self.scene = scene
        self.machine = machine
        self.images: dict[str, Image] = dict(zip(ALL, scene.images(machine), strict=True))

    @property
    def states(self) -> dict[str, str]:
        """Of the images that are there."""
        there = self.scene.fleet.images.by_id
        return {name: image.state for name, image in self.images.items() if image.image_id in there}

    def reasons(self) -> dict[str, str]:
        """What is said of every image of the account, by its id."""
        return {one["imageId"]: one["reason"] for one in self.scene.prune(dryRun=True)["judged"]}

    def disable(self) -> None:
        """The first step, whose days of grace pass."""
        self.scene.prune()
        self.scene.end_days_of_grace()

    def left(self) -> list[str]:
        """The images that are on their way out still."""
        return [item["sk"].removeprefix("PRUNING#") for item in self.scene.prunings()]


@pytest.fixture
def pruned() -> Iterator[Pruned]:
    with scenario() as scene:
        yield patched(scene, scene.machine())[0]


def patched(scene: Scenario, *machines: Machine) -> list[Pruned]:
    scene.settings(PRUNE)
    for number in range(3):
        for machine in machines:
            misses(machine, number)
            scene.start(machine)
        scene.settle()
    for image in scene.fleet.images.by_id.values():
        image.created -= OLD
    return [Pruned(scene, machine) for machine in machines]


def misses(machine: Machine, number: int) -> None:
    machine.missing = [parse_patch(f"openssl-3.0.{number}", "Linux", date(2026, 1, 1))]


def test_an_image_that_nobody_needs_is_disabled_and_goes_with_its_snapshots_a_week_later(pruned: Pruned) -> None:
    pruned.scene.prune()
    first = pruned.states
    pruned.scene.prune()
    same_day = pruned.states
    pruned.disable()
    gone = [pruned.images[name] for name in ALL[:4]]
    pruned.scene.prune()

    assert first == same_day == {name: "disabled" if name in ALL[:4] else "available" for name in ALL}
    assert pruned.states == {"3 before": "available", "3 after": "available"}
    assert pruned.scene.fleet.images.left == {}
    assert pruned.left() == []
    results = [item for item in pruned.scene.items() if item["sk"].startswith("RESULT#")]
    states = {made["imageId"]: made["state"] for item in results for made in item["images"].values()}
    assert {states[image.image_id] for image in gone} == {"deregistered"}


def test_nothing_goes_unless_the_policy_says_so_and_a_dry_run_changes_nothing(pruned: Pruned) -> None:
    pruned.scene.prune(dryRun=True)
    pruned.scene.settings(None)
    pruned.scene.prune()

    assert set(pruned.states.values()) == {"available"}
    assert pruned.left() == []


def test_what_a_person_asks_for_once_needs_no_policy(pruned: Pruned) -> None:
    pruned.scene.settings({"backup": {"prune": {"afterDays": 30, "keep": 1}}})
    pruned.scene.prune(byHand=True)

    assert [name for name, state in pruned.states.items() if state == "disabled"] == ALL[:4]


Way = Callable[[Pruned, Image], None]


def _is_tagged(pruned: Pruned, image: Image) -> None:
    pruned.scene.fleet.tags(image.image_id)["DrydockKeep"] = ""


def _is_protected(pruned: Pruned, image: Image) -> None:
    image.protected = True


def _is_shared(pruned: Pruned, image: Image) -> None:
    image.shared_with.append("210987654321")


def _is_public(pruned: Pruned, image: Image) -> None:
    image.shared_with.append("all")


def _is_young(pruned: Pruned, image: Image) -> None:
    image.created += OLD


def _launched_an_instance(pruned: Pruned, image: Image) -> None:
    pruned.scene.machine("restored", image_id=image.image_id)


def _is_in_an_old_version_of_a_template(pruned: Pruned, image: Image) -> None:
    template = pruned.scene.fleet.launch_templates.add("web", ImageId=image.image_id)
    for _ in range(20):
        template.versions.append(template.versions[0].__class__(len(template.versions) + 1, {}, None, image.created))


def _is_in_a_parameter(pruned: Pruned, image: Image) -> None:
    image.referred_by.append(("ssm:Parameter", "arn:aws:ssm:ap-northeast-1:123456789012:parameter/golden"))


def _is_in_a_recipe(pruned: Pruned, image: Image) -> None:
    arn = "arn:aws:imagebuilder:ap-northeast-1:123456789012:image-recipe/web/1.0.0"
    image.referred_by.append(("imagebuilder:ImageRecipe", arn))


def _is_not_of_this_record(pruned: Pruned, image: Image) -> None:
    for item in pruned.scene.items():
        if item["sk"].startswith("RESULT#") and any(
            made["imageId"] == image.image_id for made in item["images"].values()
        ):
            pruned.scene.account.client("dynamodb").delete_item(
                TableName=pruned.scene.stack.outputs["StateTableName"],
                Key={"pk": {"S": item["pk"]}, "sk": {"S": item["sk"]}},
            )


WAYS: dict[Way, str] = {
    _is_tagged: "bears the tag DrydockKeep",
    _is_protected: "protected against being deregistered",
    _is_shared: "others may launch from it",
    _is_public: "others may launch from it",
    _is_young: "younger than 30 days",
    _launched_an_instance: "used by arn:aws:ec2:ap-northeast-1:123456789012:instance/",
    _is_in_an_old_version_of_a_template: "used by arn:aws:ec2:ap-northeast-1:123456789012:launch-template/",
    _is_in_a_parameter: "parameter/golden",
    _is_in_a_recipe: "image-recipe/web",
    _is_not_of_this_record: "no result of Drydock names it",
}


@pytest.fixture
def in_every_way() -> Iterator[dict[Way, Pruned]]:
    """A machine for each way in which an image is needed, in one account."""
    with scenario() as scene:
        machines = [scene.machine(f"web-{number}") for number in range(len(WAYS))]
        yield dict(zip(WAYS, patched(scene, *machines), strict=True))


def test_an_image_that_is_needed_is_not_disabled(in_every_way: dict[Way, Pruned]) -> None:
    for make, pruned in in_every_way.items():
        make(pruned, pruned.images["1 before"])
    reasons = next(iter(in_every_way.values())).reasons()
    next(iter(in_every_way.values())).scene.prune()

    for make, pruned in in_every_way.items():
        image = pruned.images["1 before"]
        assert image.state == "available", make.__name__
        assert WAYS[make] in reasons[image.image_id], make.__name__
        assert pruned.states["1 after"] in ("disabled", "available"), make.__name__


def test_a_disabled_image_that_is_needed_after_all_is_enabled_again(in_every_way: dict[Way, Pruned]) -> None:
    first = next(iter(in_every_way.values()))
    first.disable()
    # What is disabled is shared with nobody, and cannot be.
    needed = {make: pruned for make, pruned in in_every_way.items() if make not in (_is_shared, _is_public)}
    for make, pruned in needed.items():
        make(pruned, pruned.images["1 before"])
    first.scene.prune()

    for make, pruned in needed.items():
        image = pruned.images["1 before"]
        assert image.state == "available", make.__name__
        assert image.image_id not in first.left(), make.__name__


def test_the_newest_image_and_the_one_before_the_last_work_stay_and_no_image_of_a_machine_in_work_goes(
    pruned: Pruned,
) -> None:
    reasons = pruned.reasons()
    pruned.disable()
    misses(pruned.machine, 3)
    execution = pruned.scene.start(pruned.machine)
    pruned.scene.run_until(execution, "Install Patches")
    pruned.scene.prune()

    assert reasons[pruned.images["3 after"].image_id] == "it is among the newest 1 of its machine"
    assert reasons[pruned.images["3 before"].image_id] == "it is the one from before its machine was worked on last"
    assert set(pruned.states.values()) == {"available"}
    assert len(pruned.states) == len(ALL)


def test_where_it_cannot_be_read_what_uses_images_none_goes_and_people_hear_of_it(pruned: Pruned) -> None:
    pruned.scene.given(FailCall("ec2:DescribeImageReferences", "UnauthorizedOperation", times=10))
    pruned.scene.prune()
    pruned.scene.prune()
    pruned.scene.settle()

    assert set(pruned.states.values()) == {"available"}
    (message,) = [one for one in pruned.scene.account.messages if one.attributes.get("kind") == "images"]
    assert message.subject == "Drydock, look tomorrow: images were not pruned, because it cannot be read what uses them"


def test_snapshots_that_stay_are_told_and_tried_again(pruned: Pruned) -> None:
    pruned.disable()
    pruned.scene.fleet.images.snapshots_stay = "missing-permissions"
    pruned.scene.prune()
    pruned.scene.settle()
    left = dict(pruned.scene.fleet.images.left)
    pruned.scene.fleet.images.snapshots_stay = ""
    pruned.scene.prune()

    assert len(left) == 4
    assert pruned.scene.fleet.images.left == {}
    assert pruned.left() == []
    (message,) = [one for one in pruned.scene.account.messages if one.attributes.get("kind") == "images"]
    assert message.subject == "Drydock, look tomorrow: 4 snapshots of pruned images could not be deleted"
    assert all(snapshot in message.said for snapshot in left)


@pytest.mark.parametrize("call", [number if number % 5 == 0 else proved(number) for number in range(1, 16)])
def test_a_function_that_dies_anywhere_leaves_nothing_that_the_next_does_not_finish(call: int) -> None:
    with scenario() as scene:
        (pruned,) = patched(scene, scene.machine())
        (first,) = scene.given(KillFunction("prune_images", call=10 + call))
        pruned.scene.prune()
        pruned.disable()
        (second,) = scene.given(KillFunction("prune_images", call=10 + call))
        pruned.scene.prune()
        pruned.scene.prune()

        assert (first.count, second.count) == (1, 1)
        assert pruned.states == {"3 before": "available", "3 after": "available"}
        assert scene.fleet.images.left == {}
        assert pruned.left() == []


def test_the_command_shows_what_would_go_and_prunes_only_what_somebody_agrees_to(pruned: Pruned) -> None:
    shown = drydock("images")
    states = dict(pruned.states)
    refused = drydock("images", "--prune")
    done = drydock("images", "--prune", "--yes", "--json")

    assert shown.code == 0
    assert "go in a week (4)" in shown.out
    assert "at most $6.00 a month" in shown.words
    assert set(states.values()) == {"available"}
    assert refused.code == 2
    assert {one["action"] for one in done.document["images"]} == {"disable", "keep"}
    assert [name for name, state in pruned.states.items() if state == "disabled"] == ALL[:4]


@pytest.mark.parametrize("number", [0, 1])
def test_a_result_that_cannot_be_read_keeps_no_snapshots_of_other_machines(number: int) -> None:
    with scenario() as scene:
        pruned = patched(scene, scene.machine("web-1"), scene.machine("web-2"))
        pruned[0].disable()
        scene.fleet.images.snapshots_stay = "missing-permissions"
        scene.prune()
        scene.fleet.images.snapshots_stay = ""
        spoilt = scene.results(pruned[number].machine)[0]
        scene.account.client("dynamodb").update_item(
            TableName=scene.stack.outputs["StateTableName"],
            Key={"pk": {"S": spoilt["pk"]}, "sk": {"S": spoilt["sk"]}},
            UpdateExpression="SET startedAt = :nonsense",
            ExpressionAttributeValues={":nonsense": {"S": "yesterday"}},
        )
        left = {item["pk"] for item in scene.prunings()}
        done = scene.prune()

        assert len(left) == 2
        assert len(done["judged"]) == 4
        assert {item["pk"] for item in scene.prunings()} == {spoilt["pk"]}
        scene.settle()
        (told,) = [one for one in scene.messages if one.attributes.get("kind") == "item"]
        assert f"{spoilt['pk']} {spoilt['sk']}" in told.said
