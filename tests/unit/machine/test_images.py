"""Image names, and what a look at an image concludes."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from drydock.errors import AwsCallFailedError, ImageFailedError, ImageTimedOutError, ServiceUnavailableError
from drydock.machine.images import find_images, image_name, leave_images, look_at_image
from drydock.records.waits import Wait
from drydock.times import to_text
from tests.unit.fakes import START
from tests.unit.world import HOLDER, INSTANCE, SUBJECT, World, hold_as, image_facts

ALLOWED = re.compile(r"[A-Za-z0-9()./_-]{3,128}")


def test_a_usual_name_says_machine_moment_and_execution() -> None:
    assert image_name(INSTANCE, "Before", "night-1") == f"{INSTANCE}_UpdateBefore_night-1"
    assert image_name(INSTANCE, "After", "night-1") == f"{INSTANCE}_UpdateAfter_night-1"


@pytest.mark.parametrize(
    "execution",
    ["x" * 81, "x" * 300, "two words", "a:b@c", "夜間-1", "tab\there"],
    ids=["long", "very long", "space", "signs", "kanji", "tab"],
)
def test_a_name_that_was_cut_or_cleaned_is_allowed_and_ends_in_a_hash(execution: str) -> None:
    name = image_name(INSTANCE, "Before", execution)

    assert ALLOWED.fullmatch(name)
    if len(execution) > 81 or not execution.isalnum() or not execution.isascii():
        assert re.search(r"-[0-9a-f]{16}$", name)


def test_names_that_clean_to_the_same_text_stay_apart() -> None:
    names = {image_name(INSTANCE, moment, name) for moment in ("Before", "After") for name in ("a b", "a:b", "a-b")}

    assert len(names) == 6


def test_names_that_are_cut_at_the_same_place_stay_apart() -> None:
    assert image_name(INSTANCE, "Before", "x" * 200) != image_name(INSTANCE, "Before", "x" * 201)


def a_wait(world: World, image_id: str) -> Wait:
    facts = {"imageName": "name", "askedAt": to_text(START)}
    return Wait(INSTANCE, "token", "1", "image", image_id, START + timedelta(hours=1), facts)


def an_image(world: World, state: str, reason: str = "") -> str:
    image_id = world.ec2.create_image(INSTANCE, "name", "", no_reboot=False, tags={}, since=START)
    world.ec2.images[image_id].update({"State": state, "StateReason": {"Message": reason}})
    return image_id


def test_an_available_image_is_the_backup(world: World) -> None:
    image_id = an_image(world, "available")
    world.clock.move(minutes=5)

    output = look_at_image(world.services, a_wait(world, image_id))

    assert output is not None
    assert (output["imageId"], output["askedAt"]) == (image_id, to_text(START))
    assert output["availableAt"] == to_text(START + timedelta(minutes=5))


@pytest.mark.parametrize("state", ["failed", "invalid", "error", "deregistered"])
def test_an_image_that_went_wrong_fails_with_ec2s_reason(world: World, state: str) -> None:
    wait = a_wait(world, an_image(world, state, "snapshot limit"))

    with pytest.raises(ImageFailedError, match=f"is {state}: snapshot limit"):
        look_at_image(world.services, wait)


def test_a_pending_image_is_waited_for_until_the_deadline(world: World) -> None:
    wait = a_wait(world, an_image(world, "pending"))

    assert look_at_image(world.services, wait) is None
    world.clock.move(hours=1)
    with pytest.raises(ImageTimedOutError, match="still pending"):
        look_at_image(world.services, wait)


def test_an_image_that_is_available_at_the_deadline_still_counts(world: World) -> None:
    wait = a_wait(world, an_image(world, "available"))
    world.clock.move(hours=2)

    assert look_at_image(world.services, wait) is not None


def test_an_image_may_be_invisible_for_two_minutes_only(world: World) -> None:
    wait = a_wait(world, "ami-unseen")
    world.clock.move(minutes=2)
    assert look_at_image(world.services, wait) is None

    world.clock.move(seconds=1)
    with pytest.raises(ImageFailedError, match="unseen"):
        look_at_image(world.services, wait)


def with_images(world: World) -> None:
    world.hold()
    for intent, image_id in (("imageBefore", "ami-1"), ("imageAfter", "ami-2")):
        hold_as(world.table, HOLDER, SUBJECT, world.clock()).claim(intent, imageName=intent, **image_facts(30))
        hold_as(world.table, HOLDER, SUBJECT).record(intent, {"id": image_id})


def deprecate(world: World) -> list[str]:
    assert world.lease is not None
    return leave_images(world.services, world.lease, "compliant", is_waited_for=True).problems


def test_images_whose_ids_are_stored_are_not_asked_for(world: World) -> None:
    with_images(world)
    assert world.lease is not None

    assert find_images(world.services, world.lease) == {"imageBefore": "ami-1", "imageAfter": "ami-2"}


def test_where_no_image_was_announced_none_is_looked_for(world: World) -> None:
    world.hold()
    assert world.lease is not None

    assert find_images(world.services, world.lease) == {}


def test_images_are_deprecated_the_days_of_the_policy_after_they_were_made(world: World) -> None:
    with_images(world)
    world.clock.move(hours=3)

    assert deprecate(world) == []
    assert world.ec2.deprecated == {image: START + timedelta(days=30) for image in ("ami-1", "ami-2")}


@pytest.mark.parametrize("error", [AwsCallFailedError("denied"), ServiceUnavailableError("throttled")])
def test_a_date_that_cannot_be_set_is_reported_and_the_next_image_gets_its_own(world: World, error: Exception) -> None:
    with_images(world)
    world.ec2.faults.before["deprecate_image"] = error

    (problem,) = deprecate(world)

    assert "ami-1" in problem and str(error) in problem
    assert list(world.ec2.deprecated) == ["ami-2"]


def test_an_image_whose_id_could_not_be_stored_is_found_by_its_name_and_dated(world: World) -> None:
    world.hold()
    image_id = world.ec2.create_image(INSTANCE, "n", "", no_reboot=False, tags={}, since=START)
    hold_as(world.table, HOLDER, SUBJECT, world.clock()).claim("imageBefore", imageName="n", **image_facts(30))

    assert deprecate(world) == []
    assert world.ec2.deprecated == {image_id: START + timedelta(days=30)}


def test_an_image_that_was_never_made_gets_no_date(world: World) -> None:
    world.hold()
    hold_as(world.table, HOLDER, SUBJECT, world.clock()).claim("imageBefore", imageName="n", **image_facts(30))

    assert deprecate(world) == []
    assert world.ec2.deprecated == {}
