"""What EC2 answers, read; and what its refusals mean."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from drydock.aws.ec2 import Ec2, platform_of, state_of, tags_of
from drydock.errors import (
    AwsCallFailedError,
    ImageFailedError,
    InstanceNotFoundError,
    InstanceStartFailedError,
    PowerNotRestoredError,
    ServiceUnavailableError,
)
from tests.unit.fakes import START
from tests.unit.world import INSTANCE


def refusing(code: str) -> Callable[..., None]:
    def refuse(**request: Any) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "said AWS"}}, "Call")

    return refuse


def answering(monkeypatch: pytest.MonkeyPatch, **calls: Any) -> Ec2:
    monkeypatch.setattr("drydock.aws.ec2.client", lambda service: SimpleNamespace(**calls))
    return Ec2()


def test_an_instance_is_described_with_state_platform_and_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"State": {"Name": "running"}, "Tags": [{"Key": "Name", "Value": "web-1"}]}
    ec2 = answering(
        monkeypatch, describe_instances=lambda **request: {"Reservations": [{"Instances": []}, {"Instances": [found]}]}
    )

    instance = ec2.describe_instance(INSTANCE)

    assert (state_of(instance), platform_of(instance), tags_of(instance)) == ("running", "Linux", {"Name": "web-1"})


def forgotten(**request: Any) -> dict[str, Any]:
    return {"Reservations": []}


@pytest.mark.parametrize(
    "answer",
    [refusing("InvalidInstanceID.NotFound"), refusing("InvalidInstanceID.Malformed"), forgotten],
    ids=["not there", "malformed", "forgotten"],
)
def test_an_instance_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Any]) -> None:
    with pytest.raises(InstanceNotFoundError, match=INSTANCE):
        answering(monkeypatch, describe_instances=answer).describe_instance(INSTANCE)


@pytest.mark.parametrize(
    "answer",
    [refusing("InvalidAMIID.NotFound"), refusing("InvalidAMIID.Unavailable"), lambda **request: {"Images": []}],
    ids=["not found", "unavailable", "not listed"],
)
def test_an_image_that_ec2_does_not_show_is_none(monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Any]) -> None:
    assert answering(monkeypatch, describe_images=answer).find_image("ami-1") is None


def test_an_image_and_its_snapshots_get_the_same_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def create_image(**request: Any) -> dict[str, str]:
        asked.update(request)
        return {"ImageId": "ami-1"}

    ec2 = answering(monkeypatch, create_image=create_image)

    assert ec2.create_image(INSTANCE, "backup", "text", True, {"DrydockMoment": "Before"}, START) == "ami-1"
    assert asked["NoReboot"] is True
    assert {tags["ResourceType"]: tags["Tags"] for tags in asked["TagSpecifications"]} == {
        "image": [{"Key": "DrydockMoment", "Value": "Before"}],
        "snapshot": [{"Key": "DrydockMoment", "Value": "Before"}],
    }


def shows(created: str) -> Callable[..., dict[str, Any]]:
    return lambda **request: {"Images": [{"ImageId": "ami-1", "CreationDate": created}]}


def test_a_name_that_is_taken_is_the_image_that_was_asked_for_before(monkeypatch: pytest.MonkeyPatch) -> None:
    ec2 = answering(
        monkeypatch,
        create_image=refusing("InvalidAMIName.Duplicate"),
        describe_images=shows("2026-01-13T01:00:00.000Z"),
    )

    assert ec2.create_image(INSTANCE, "backup", "text", False, {}, START) == "ami-1"


def test_an_older_image_of_the_same_name_is_not_taken_for_the_backup(monkeypatch: pytest.MonkeyPatch) -> None:
    ec2 = answering(
        monkeypatch,
        create_image=refusing("InvalidAMIName.Duplicate"),
        describe_images=shows("2025-10-13T01:00:00.000Z"),
    )

    with pytest.raises(ImageFailedError, match="taken by an older image, ami-1"):
        ec2.create_image(INSTANCE, "backup", "text", False, {}, START)


def test_an_image_whose_name_is_taken_but_which_is_not_shown_yet_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ec2 = answering(
        monkeypatch,
        create_image=refusing("InvalidAMIName.Duplicate"),
        describe_images=lambda **request: {"Images": []},
    )

    with pytest.raises(ServiceUnavailableError, match="not shown yet"):
        ec2.create_image(INSTANCE, "backup", "text", False, {}, START)


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "IncorrectInstanceState", "UnsupportedOperation"])
def test_a_start_that_ec2_refuses_is_a_failed_start(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    with pytest.raises(InstanceStartFailedError, match=code):
        answering(monkeypatch, start_instances=refusing(code)).start(INSTANCE)


@pytest.mark.parametrize("code", ["OperationNotPermitted", "IncorrectInstanceState"])
def test_a_stop_that_ec2_refuses_leaves_the_power_unrestored(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    with pytest.raises(PowerNotRestoredError, match=code):
        answering(monkeypatch, stop_instances=refusing(code)).stop(INSTANCE)


@pytest.mark.parametrize("call", ["start", "stop"])
def test_a_missing_permission_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    ec2 = answering(monkeypatch, **{f"{call}_instances": refusing("UnauthorizedOperation")})

    with pytest.raises(AwsCallFailedError, match="UnauthorizedOperation"):
        getattr(ec2, call)(INSTANCE)


@pytest.mark.parametrize(
    ("statuses", "passes"),
    [
        ([("ok", "ok")], True),
        ([("initializing", "ok")], False),
        ([("ok", "impaired")], False),
    ],
    ids=["both", "initializing", "impaired"],
)
def test_both_status_checks_have_to_pass(
    monkeypatch: pytest.MonkeyPatch, statuses: list[tuple[str, str]], passes: bool
) -> None:
    listed = [
        {
            "InstanceState": {"Name": "running"},
            "InstanceStatus": {"Status": own},
            "SystemStatus": {"Status": system},
        }
        for own, system in statuses
    ]
    ec2 = answering(monkeypatch, describe_instance_status=lambda **request: {"InstanceStatuses": listed})

    assert ec2.look_at_status(INSTANCE) == ("running", passes)


def test_the_status_of_a_machine_that_does_not_run_is_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    def describe_instance_status(**request: Any) -> dict[str, Any]:
        if not request.get("IncludeAllInstances"):
            return {"InstanceStatuses": []}
        unknown = {"Status": "not-applicable"}
        found = {"InstanceState": {"Name": "stopped"}, "InstanceStatus": unknown, "SystemStatus": unknown}
        return {"InstanceStatuses": [found]}

    ec2 = answering(monkeypatch, describe_instance_status=describe_instance_status)

    assert ec2.look_at_status(INSTANCE) == ("stopped", False)


@pytest.mark.parametrize(
    "answer",
    [refusing("InvalidInstanceID.NotFound"), lambda **request: {"InstanceStatuses": []}],
    ids=["not there", "forgotten"],
)
def test_an_instance_without_a_status_is_not_there(monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Any]) -> None:
    with pytest.raises(InstanceNotFoundError, match=INSTANCE):
        answering(monkeypatch, describe_instance_status=answer).look_at_status(INSTANCE)


@pytest.mark.parametrize(
    ("described", "platform"), [({"Platform": "windows"}, "Windows"), ({"Platform": ""}, "Linux"), ({}, "Linux")]
)
def test_only_windows_is_named(described: dict[str, str], platform: str) -> None:
    assert platform_of(described) == platform


def test_the_date_of_deprecation_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    answering(monkeypatch, enable_image_deprecation=lambda **request: asked.update(request)).deprecate_image(
        "ami-1", START
    )

    assert asked == {"ImageId": "ami-1", "DeprecateAt": START}
