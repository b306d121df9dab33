"""What a plan needs and what is not there: every mistake at once, and nothing about what is well."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest

from drydock.errors import AwsCallFailedError, CalendarClosedError
from drydock.plan.plans import Plan
from drydock.plan.window import WindowFacts
from drydock.request.policy import DEFAULTS
from drydock.run.needs import Needs, look_for_needs
from drydock.times import to_text
from tests.unit.fakes import START, a_document
from tests.unit.world import TOPIC, World, merge

ROLE = "arn:aws:iam::123456789012:role/Approver"
APPROVALS = "arn:aws:sns:ap-northeast-1:123456789012:drydock-Approvals"
WINDOW = WindowFacts(
    window_id="mw-0123456789abcdef0",
    execution_id="1",
    name="night",
    start=START,
    end=START + timedelta(hours=4),
    last_admission=START + timedelta(hours=3),
    time_zone="UTC",
    targets=[],
    warnings=[],
    next_start=START + timedelta(days=7),
)


@dataclass
class FakeCloudWatch:
    known: Sequence[str] = ()

    def alarm_states(self, names: Sequence[str]) -> dict[str, str]:
        return {name: "OK" for name in names if name in self.known}


@dataclass
class FakeTopics:
    """Confirmed and pending subscriptions, by topic."""

    counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def count_subscriptions(self, topic: str) -> tuple[int, int]:
        if topic not in self.counts:
            raise AwsCallFailedError("list_subscriptions_by_topic: AuthorizationError: no")
        return self.counts[topic]


@pytest.fixture
def night(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """An account in which all is well."""
    monkeypatch.setenv("APPROVAL_AUTH", "IAM")
    monkeypatch.setenv("APPROVALS_TOPIC", APPROVALS)
    vars(world.services)["cloudwatch"] = FakeCloudWatch(["busy"])
    vars(world.services)["topics"] = FakeTopics({TOPIC: (1, 0), APPROVALS: (1, 1)})
    world.ssm.parameters["/drydock/approvers"] = ROLE
    world.ssm.calendar_state = lambda calendars: ("OPEN", "")  # type: ignore[method-assign]
    return world


def machine(name: str, **more: Any) -> dict[str, Any]:
    return {"instanceId": name, "name": name, "platform": "Linux", "patchGroup": "", "wave": 0, **more}


def a_plan(*machines: dict[str, Any], left_out: Sequence[str] = (), targets: Sequence[Any] = (), **policy: Any) -> Plan:
    waves = [{"key": "", "count": 1, "isCanary": number == 0} for number in range(2)]
    gone = [{"instanceId": one, "name": "", "error": "InstanceNotFoundError", "reason": "gone"} for one in left_out]
    plan = {
        "createdAt": to_text(START),
        "operation": "Install",
        "policy": merge(deepcopy(dict(DEFAULTS)), policy),
        "machines": list(machines),
    }
    return cast(Plan, {**plan, "waves": waves, "leftOut": gone, "targets": list(targets), "resumes": ""})


def needs(world: World, plan: Plan, window: WindowFacts | None = None, *, is_asked: bool = False) -> Needs:
    return look_for_needs(world.services, plan, window, is_asked=is_asked)


def test_a_plan_that_has_all_it_needs_needs_nothing(night: World) -> None:
    plan = a_plan(machine("i-1"), gates={"alarms": ["busy"], "calendars": ["freeze"]}, healthProbe="Probe")

    assert needs(night, plan, WINDOW, is_asked=True) == Needs([], [])


def test_every_mistake_is_said_at_once(night: World) -> None:
    def refuse(calendars: Sequence[str]) -> tuple[str, str]:
        raise CalendarClosedError(f"Change Calendar {calendars[0]} cannot be read: InvalidDocument: no")

    night.ssm.calendar_state = refuse  # type: ignore[method-assign]
    night.ssm.documents = {"Drain": None, "Probe": a_document("Probe", platforms=["Windows"])}
    night.ssm.parameters["/drydock/approvers"] = "ann, bob"
    vars(night.services)["topics"] = FakeTopics({TOPIC: (0, 2), APPROVALS: (0, 1)})
    plan = a_plan(
        machine("i-1"),
        machine("i-2", patchGroup="B", wave=1),
        left_out=["i-9"],
        targets=[{"key": "InstanceIds", "values": ["i-1", "i-2", "i-9"]}],
        gates={"alarms": ["busy", "gone"], "calendars": ["freeze", "holidays"]},
        hooks={"preInstall": "Drain"},
        healthProbe="Probe",
    )
    window = replace(WINDOW, next_start=START + timedelta(minutes=5))

    found = needs(night, plan, window, is_asked=True)

    said = "\n".join([*found.missing, "--", *found.to_do])
    for word in (
        "document Drain: does not exist",
        "document Probe: is for Windows",
        "there is no alarm gone",
        "Change Calendar freeze cannot be read",
        "Change Calendar holidays cannot be read",
        "/drydock/approvers: ann, bob: not the ARN of a role or a user",
        "/drydock/approvers: names nobody",
    ):
        assert word in said.partition("--")[0]
    for word in (
        "i-9: named as targets and gone",
        f"nobody hears of results: 2 subscriptions of {TOPIC} are not confirmed",
        f"1 subscription of {APPROVALS}",
        "window night opens again at 2026-01-13 01:05 +00:00 (UTC), before it closes at 2026-01-13 05:00",
    ):
        assert word in said.partition("--")[2]
    assert len(found.missing) + len(found.to_do) == 11


def test_documents_are_looked_at_for_each_platform_and_not_for_a_scan(night: World) -> None:
    night.ssm.documents["Probe"] = a_document("Probe", platforms=["MacOS"])
    both = (machine("i-1"), machine("i-2", platform="Windows"), machine("i-3"))

    found = needs(night, a_plan(*both, healthProbe="Probe"))

    assert found.missing == [
        "document Probe: is for MacOS, not for Linux",
        "document Probe: is for MacOS, not for Windows",
    ]
    assert needs(night, a_plan(*both, healthProbe="Probe", operation="Scan")) == Needs([], [])


@pytest.mark.parametrize(
    ("now", "version", "missing", "to_do"),
    [
        ("1", "1", "", ""),
        (
            "2",
            "1",
            "document Probe: version 1, which the plan names, is not there any more",
            "is 2 now; this run sends 1",
        ),
    ],
    ids=["the same", "the version is gone"],
)
def test_a_pinned_document_has_to_be_there_in_its_version(
    night: World, now: str, version: str, missing: str, to_do: str
) -> None:
    night.ssm.documents["Probe"] = a_document("Probe", now)
    plan = a_plan(machine("i-1"), healthProbe="Probe")
    plan["documents"] = {"Probe": a_document("Probe", version).pinned}

    found = needs(night, plan)

    assert found.missing == ([missing] if missing else [])
    assert [one for one in found.to_do if to_do in one] == found.to_do


def test_a_pinned_document_has_to_have_the_same_content(night: World) -> None:
    plan = a_plan(machine("i-1"), healthProbe="Probe")
    plan["documents"] = {"Probe": {**a_document("Probe").pinned, "hash": "cd" * 32}}

    assert needs(night, plan).missing == ["document Probe: version 1 has another content than the plan's"]


@pytest.mark.parametrize(
    ("approvers", "wanted", "said"),
    [
        ("", 1, "names nobody"),
        (ROLE, 2, "names 1 person, and the policy wants 2"),
        (f"{ROLE},arn:aws:iam::123456789012:user/ann", 2, None),
        ("arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Ops_0", 2, None),
    ],
)
def test_there_have_to_be_as_many_approvers_as_approvals_are_wanted(
    night: World, approvers: str, wanted: int, said: str | None
) -> None:
    night.ssm.parameters["/drydock/approvers"] = approvers

    found = needs(night, a_plan(machine("i-1"), approval={"minApprovals": wanted}), is_asked=True)

    assert [bool(said) and str(said) in one for one in found.missing] == ([True] if said else [])


def test_where_links_are_sent_whoever_has_one_may_approve(night: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPROVAL_AUTH", "LINK")
    night.ssm.parameters["/drydock/approvers"] = ""

    assert needs(night, a_plan(machine("i-1")), is_asked=True) == Needs([], [])


@pytest.mark.parametrize(("left_out", "missing", "to_do"), [(["i-9"], 1, 0), ([], 0, 1)], ids=["gone", "none"])
def test_targets_of_which_nothing_is_left_are_something_to_do(
    night: World, left_out: list[str], missing: int, to_do: int
) -> None:
    found = needs(night, a_plan(left_out=left_out))

    assert (len(found.missing), len(found.to_do)) == (missing, to_do)


def test_a_topic_that_cannot_be_looked_at_is_said(night: World) -> None:
    vars(night.services)["topics"] = FakeTopics()

    (said,) = needs(night, a_plan(machine("i-1"))).to_do

    assert said.startswith("whether anybody hears of results is not known")
