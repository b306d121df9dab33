"""Back Up Before, Take Image …: one image, however often the step runs, and waited for as the step says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drydock.errors import (
    EarlierImageNotReadyError,
    ImageFailedError,
    ImageTimedOutError,
    LeaseLostError,
    SnapshotsNotReadyError,
)
from drydock.records.image_watches import addition_of
from drydock.times import to_text
from tests.unit.fakes import START, FunctionDiedError
from tests.unit.records.recorded import a_watch
from tests.unit.world import INSTANCE, World, hold_as


def back_up(world: World, moment: str = "Before", **more: Any) -> None:
    world.run("back_up", world.event(f"Back Up {moment}", {"moment": moment}, **more))


def take(world: World, moment: str, until: str = "asked", *, reboot: bool = False) -> Any:
    return world.run("take_image", world.event("Take Image", {"moment": moment, "until": until, "reboot": reboot}))


def the_image(world: World) -> dict[str, Any]:
    (image,) = world.ec2.images.values()
    return image


@pytest.mark.parametrize("no_reboot", [True, False])
def test_an_image_is_asked_for_and_waited_for(world: World, no_reboot: bool) -> None:
    world.set_policy(backup={"before": {"reboot": not no_reboot}})
    world.hold()

    back_up(world, token="T")

    image = the_image(world)
    assert image["Name"] == f"{INSTANCE}_UpdateBefore_night-1"
    assert image["NoReboot"] is no_reboot
    assert (image["Tags"]["DrydockInstance"], image["Tags"]["DrydockMoment"]) == (INSTANCE, "Before")
    assert world.intents["imageBefore"] == image["ImageId"]
    assert world.wait is not None
    assert (world.wait.token, world.wait.resource) == ("T", image["ImageId"])
    assert world.wait.deadline == START + timedelta(hours=1)
    assert world.executions.answers == []


def test_running_again_makes_no_second_image_and_the_newer_token_is_answered(world: World) -> None:
    world.hold()
    back_up(world, token="old")
    world.clock.move(minutes=15)
    back_up(world, token="new")
    the_image(world)["State"] = "available"

    world.resume(ImageId=the_image(world)["ImageId"], State="available")

    ((token, output),) = world.executions.answers
    assert token == "new"
    assert (output["imageId"], output["askedAt"]) == (the_image(world)["ImageId"], to_text(START))


def test_an_image_that_became_available_unnoticed_is_found_by_the_next_entry(world: World) -> None:
    world.hold()
    back_up(world)
    the_image(world)["State"] = "available"
    world.clock.move(minutes=15)

    back_up(world, token="retry")

    assert [token for token, _ in world.executions.answers] == ["retry"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_function_that_dies_around_the_call_is_carried_on_without_a_second_image(world: World, moment: str) -> None:
    world.hold()
    getattr(world.ec2.faults, moment)["create_image"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        back_up(world)
    assert world.intents["imageBefore"] == ""

    back_up(world)

    assert world.intents["imageBefore"] == the_image(world)["ImageId"]


@pytest.mark.parametrize("name", ["x" * 256, "基幹サーバー", "Ünïcödé"], ids=["long", "kanji", "umlauts"])
def test_the_description_fits_whatever_the_machine_is_called(world: World, name: str) -> None:
    world.hold()
    event = world.event("Back Up Before", {"moment": "Before"})
    event["machine"]["name"] = name

    world.run("back_up", event)

    image = the_image(world)
    assert image["Description"].isascii() and 0 < len(image["Description"]) <= 255
    assert image["Tags"]["DrydockMachine"] == name


def test_an_image_of_the_same_name_counts_only_if_this_execution_can_have_made_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.hold()
    create_image, since = world.ec2.create_image, []

    def note(*arguments: Any, **more: Any) -> str:
        since.append(more["since"])
        return create_image(*arguments, **more)

    monkeypatch.setattr(world.ec2, "create_image", note)
    world.clock.move(minutes=10)

    back_up(world)

    assert since == [START]


def test_who_carries_on_an_image_is_seen_to_be_alive(world: World) -> None:
    world.hold()
    world.ec2.faults.after["create_image"] = FunctionDiedError()
    with pytest.raises(FunctionDiedError):
        back_up(world)
    world.clock.move(minutes=15)

    back_up(world)

    assert world.lease is not None
    assert world.lease.newest_intent_at() == START + timedelta(minutes=15)


def test_the_image_after_is_another_one(world: World) -> None:
    world.hold()
    back_up(world, "Before")
    take(world, "After")

    assert {image["Name"] for image in world.ec2.images.values()} == {
        f"{INSTANCE}_UpdateBefore_night-1",
        f"{INSTANCE}_UpdateAfter_night-1",
    }


def test_an_image_that_failed_ends_the_state_with_its_error(world: World) -> None:
    world.hold()
    back_up(world)
    the_image(world)["State"] = "failed"

    world.resume(ImageId=the_image(world)["ImageId"], State="failed")

    assert world.refusals == ["ImageFailedError"]


def test_the_deadline_counts_from_the_first_request_and_not_from_the_retry(world: World) -> None:
    world.hold()
    back_up(world)
    world.clock.move(hours=1)

    back_up(world)

    assert world.refusals == ["ImageTimedOutError"]


def test_without_an_active_lease_no_image_is_made(world: World) -> None:
    with pytest.raises(LeaseLostError):
        back_up(world)
    world.hold()
    assert world.lease is not None
    hold_as(world.table, world.lease.holder, world.lease.subject, world.clock()).begin_restoring(world.lease)
    with pytest.raises(LeaseLostError):
        back_up(world)

    assert world.ec2.images == {}


VOLUMES = [{"Ebs": {"VolumeId": "vol-1"}}, {"Ebs": {"VolumeId": "vol-2"}}]


def test_an_image_that_nobody_waits_for_is_asked_for_once_and_its_id_is_kept(world: World) -> None:
    world.hold()

    first = take(world, "After")
    second = take(world, "After")

    assert first["imageId"] == second["imageId"] == the_image(world)["ImageId"] == world.intents["imageAfter"]
    assert (the_image(world)["NoReboot"], the_image(world)["Tags"]["DrydockConsistency"]) == (True, "crash-consistent")


@pytest.mark.parametrize(("power", "reboot"), [("stopped", False), ("running", True)])
def test_an_image_during_which_nothing_is_written_says_so(world: World, power: str, reboot: bool) -> None:
    world.hold(power)

    take(world, "After", reboot=reboot)

    assert the_image(world)["Tags"]["DrydockConsistency"] == "at-rest"


def begun(world: World, **states: str) -> None:
    world.ec2.snapshots[the_image(world)["Name"]] = {f"vol-{number[1:]}": state for number, state in states.items()}


def test_snapshots_have_begun_once_every_volume_of_then_shows_one(world: World) -> None:
    world.ec2.instances[INSTANCE]["BlockDeviceMappings"] = VOLUMES
    world.hold()
    with pytest.raises(SnapshotsNotReadyError):
        take(world, "Before", "begun")
    world.ec2.instances[INSTANCE]["BlockDeviceMappings"] = VOLUMES[:1]

    begun(world, v1="pending")
    with pytest.raises(SnapshotsNotReadyError):
        take(world, "Before", "begun")
    begun(world, v1="pending", v2="completed")
    world.clock.move(seconds=30)

    assert take(world, "Before", "begun")["begunAt"] == to_text(START + timedelta(seconds=30))


def test_where_pending_snapshots_do_not_show_the_whole_image_is_waited_for(world: World) -> None:
    world.ec2.instances[INSTANCE]["BlockDeviceMappings"] = VOLUMES
    world.hold()
    for _ in range(2):
        with pytest.raises(SnapshotsNotReadyError):
            take(world, "Before", "begun")
    the_image(world)["State"] = "available"

    assert take(world, "Before", "begun")["imageId"] == the_image(world)["ImageId"]


def test_a_snapshot_that_failed_fails_its_image(world: World) -> None:
    world.ec2.instances[INSTANCE]["BlockDeviceMappings"] = VOLUMES
    world.hold()
    with pytest.raises(SnapshotsNotReadyError):
        take(world, "Before", "begun")
    begun(world, v1="error", v2="pending")

    with pytest.raises(ImageFailedError, match="vol-1"):
        take(world, "Before", "begun")


def test_snapshots_that_never_begin_are_waited_for_until_the_deadline(world: World) -> None:
    world.hold()
    with pytest.raises(SnapshotsNotReadyError):
        take(world, "Before", "begun")
    world.clock.move(hours=1)

    with pytest.raises(ImageTimedOutError):
        take(world, "Before", "begun")


@pytest.mark.parametrize("after", [timedelta(0), timedelta(hours=1)], ids=["pending", "at its deadline"])
def test_an_earlier_image_of_the_machine_is_waited_for_until_its_own_deadline(world: World, after: timedelta) -> None:
    watch = a_watch()
    world.table.write_together([addition_of(world.table, watch)])
    world.clock.move(seconds=after.total_seconds())
    world.hold()

    if after:
        back_up(world)
        assert len(world.ec2.images) == 1
    else:
        with pytest.raises(EarlierImageNotReadyError):
            back_up(world)
        assert world.ec2.images == {}
