"""Following images: their end is written down where people look, whoever dies in between, and told once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from drydock.errors import AwsCallFailedError
from drydock.records.holder import Holder
from drydock.records.image_watches import ImageWatch, addition_of, find_watch
from drydock.records.results import find_result, put_result
from drydock.records.runs import Place, RecordedEnd, end_run, find_place, open_run, put_place
from drydock.subject import Instance
from drydock.telling.details import describe_work
from tests.unit.fakes import START, FunctionDiedError
from tests.unit.records.recorded import RUN_EXECUTION, RUN_ID, a_result, a_watch, recorded_end, some_work
from tests.unit.world import INSTANCE, SUBJECT, World, made_image

IMAGE = "ami-1"
RUN = Holder(RUN_EXECUTION, 0)


def followed(world: World, state: str | None = "pending", **changes: Any) -> ImageWatch:
    """The machine is released, and its image is in this state; None for one that EC2 does not show."""
    watch = a_watch(IMAGE, **changes)
    world.table.write_together([addition_of(world.table, watch)])
    work = some_work(images={watch.moment: made_image(IMAGE, "pending", crash_consistent=True)})
    put_result(world.table, a_result(holder=watch.holder, run_id=watch.run_id or None, work=work))
    if state is not None:
        world.ec2.images[IMAGE] = {"ImageId": IMAGE, "State": state, "Name": "n", "Tags": {}}
    return watch


def follow(world: World) -> str:
    done: dict[str, str] = world.run("follow_image", {"instanceId": INSTANCE, "imageId": IMAGE})
    return done["image"]


def image_in_result(world: World, watch: ImageWatch) -> dict[str, Any]:
    result = find_result(world.table, SUBJECT, watch.holder, watch.started)
    assert result is not None and result.work is not None
    return dict(result.work.images[watch.moment])


def handed_over(world: World) -> list[dict[str, Any]]:
    return [event for function, event in world.clients.invoked if function.endswith("alert_failure")]


def tell(world: World) -> None:
    """`alert_failure` gets what was handed over to it."""
    for event in handed_over(world):
        world.run("alert_failure", event)


def test_an_image_that_is_pending_is_left_alone(world: World) -> None:
    watch = followed(world)

    assert follow(world) == "pending"

    assert find_watch(world.table, INSTANCE, IMAGE) == watch
    assert image_in_result(world, watch)["state"] == "pending"


def test_an_available_image_is_marked_dated_and_followed_no_more(world: World) -> None:
    watch = followed(world, "available", verdict="still_missing")

    assert [follow(world), follow(world)] == ["available", "not_followed"]

    assert image_in_result(world, watch) == made_image(IMAGE, crash_consistent=True)
    assert world.ec2.images[IMAGE]["Tags"] == {"DrydockVerdict": "still_missing"}
    assert world.ec2.deprecated == {IMAGE: START + timedelta(days=90)}
    assert handed_over(world) == []


@pytest.mark.parametrize(
    ("state", "minutes", "ends_as", "says"),
    [
        ("failed", 5, "failed", "is failed"),
        ("deregistered", 5, "failed", "is deregistered"),
        (None, 5, "failed", "is unseen"),
        ("pending", 60, "timed_out", "is still pending at the deadline"),
    ],
    ids=["failed", "deregistered", "gone", "never ends"],
)
def test_a_bad_end_is_written_down_and_told_once(
    world: World, state: str | None, minutes: int, ends_as: str, says: str
) -> None:
    watch = followed(world, state)
    world.clock.move(minutes=minutes)

    assert follow(world) == ends_as
    tell(world)
    tell(world)

    found = image_in_result(world, watch)
    assert (found["state"], says in found["reason"]) == (ends_as, True)
    (message,) = world.clients.published
    assert "an image of web-1" in message["Subject"]
    assert find_watch(world.table, INSTANCE, IMAGE) is None


def test_an_image_that_ec2_does_not_show_yet_is_waited_for(world: World) -> None:
    followed(world, None)
    world.clock.move(minutes=2)

    assert follow(world) == "pending"


@pytest.mark.parametrize("operation", ["set_tags", "deprecate_image"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_function_that_dies_at_a_call_is_carried_on(world: World, operation: str, moment: str) -> None:
    watch = followed(world, "available")
    getattr(world.ec2.faults, moment)[operation] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        follow(world)

    assert follow(world) == "available"

    assert image_in_result(world, watch)["state"] == "available"
    assert find_watch(world.table, INSTANCE, IMAGE) is None


@pytest.mark.parametrize("operation", ["set_tags", "deprecate_image"])
def test_a_tag_or_a_date_that_cannot_be_written_hinders_nothing_and_is_among_the_problems(
    world: World, operation: str
) -> None:
    watch = followed(world, "available", verdict="still_missing")
    world.ec2.faults.before[operation] = AwsCallFailedError("denied")

    assert follow(world) == "available"

    image = image_in_result(world, watch)
    assert (image["state"], image["reason"]) == ("available", "")
    assert [("still_missing" in one or "no deprecation date" in one, "denied" in one) for one in image["problems"]] == [
        (True, True)
    ]
    result = find_result(world.table, SUBJECT, watch.holder, watch.started)
    assert result is not None and result.work is not None
    assert image["problems"][0] in describe_work(result.work)["notes"]


def test_a_machine_whose_backup_fails_later_was_patched_without_one(world: World) -> None:
    watch = followed(world, "failed", moment="before")

    follow(world)
    tell(world)

    result = find_result(world.table, SUBJECT, watch.holder, watch.started)
    assert result is not None and result.work is not None
    assert result.work.verdict == "patched_without_backup"
    assert "patched without a backup" in " ".join(world.clients.published[0]["Message"].split())


def test_the_sweep_hands_over_what_has_ended_and_leaves_what_is_pending(world: World) -> None:
    followed(world)

    world.run("give_back", {})
    assert world.clients.invoked == []
    world.ec2.images[IMAGE]["State"] = "available"
    world.run("give_back", {})

    assert [event for _, event in world.clients.invoked] == [{"instanceId": INSTANCE, "imageId": IMAGE}]


def test_the_event_of_an_image_wakes_whoever_follows_it(world: World) -> None:
    followed(world, "available")

    woken = world.resume(ImageId=IMAGE, State="available")
    world.resume(ImageId="ami-of-somebody-else", State="available")

    assert woken == {"woken": [INSTANCE]}
    assert [event for _, event in world.clients.invoked] == [{"instanceId": INSTANCE, "imageId": IMAGE}]


def test_people_hear_of_a_watch_that_cannot_be_read_and_the_others_go_on(world: World) -> None:
    watch = followed(world, "available")
    world.table.update(watch.key, "SET deadline = :bad", "attribute_exists(pk)", {}, {":bad": 5})

    assert follow(world) == "unreadable"

    (event,) = handed_over(world)
    assert event["unreadable"]["sk"] == f"IMAGE#{IMAGE}"


def in_run(world: World, *, is_ended: bool, failed_images: tuple[str, ...] = ()) -> None:
    run = open_run(world.table, RUN, START)
    put_place(world.table, RUN_ID, Place(Instance(INSTANCE), "web-1"), START)
    if is_ended:
        end: RecordedEnd = replace(recorded_end(), failed_images=failed_images)
        end_run(world.table, run, end)


def test_in_a_run_the_end_of_an_image_stands_in_its_place(world: World) -> None:
    in_run(world, is_ended=True)
    followed(world, "available", run_id=RUN_ID)

    follow(world)

    place = find_place(world.table, RUN_ID, Instance(INSTANCE))
    assert place is not None
    assert place.images == {f"{INSTANCE}/after": made_image(IMAGE, crash_consistent=True)}


@pytest.mark.parametrize(
    ("notify", "is_ended", "in_summary", "is_told"),
    [
        ("failures", False, False, True),
        ("summary", False, False, False),
        ("summary", True, False, True),
        ("summary", True, True, False),
    ],
)
def test_who_hears_by_the_summary_only_hears_of_a_late_failure_all_the_same(
    world: World, notify: str, is_ended: bool, in_summary: bool, is_told: bool
) -> None:
    in_run(world, is_ended=is_ended, failed_images=(IMAGE,) if in_summary else ())
    followed(world, "failed", run_id=RUN_ID, notify=notify)

    follow(world)

    assert bool(handed_over(world)) is is_told
    # Until the summary has told it, somebody has to remember.
    assert (find_watch(world.table, INSTANCE, IMAGE) is None) is in_summary
