"""Surge instances: where they can be launched, what min and max come to, and when one of them may go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from drydock.aws.autoscaling import AutoScaling, Group
from drydock.errors import DrydockError, GroupNotReadyError, ServiceUnavailableError, SurgeNotPossibleError
from drydock.group.rules import least_healthy, refusal
from drydock.group.surging import (
    SurgeMove,
    choose_capacity,
    count_surge,
    describe_surge,
    judge,
    lowers_min_to,
    obstacle,
    plan_capacity,
    policy_of,
    undo_max,
    wanted_without_surge,
)
from drydock.records.leases import Intent, Lease
from drydock.subject import read_subject
from tests.unit.fakes import START
from tests.unit.group.test_rules import group, member, policy
from tests.unit.world import HOLDER, World

ONE, TWO = (f"i-{number:017x}" for number in (91, 92))
"""Surge instances."""


def with_surge(members: int, *surge: str, **more: Any) -> Group:
    found = [*group(members).members, *(member(int(one[2:], 16)) for one in surge)]
    return group(found, **{"desired": len(found), **more})


def lease(journal: Mapping[str, Any] | None = None, **intents: Mapping[str, Any]) -> Lease:
    """A group's lease; two underscores in the name of an intent stand for a colon."""
    facts = {name.replace("__", ":"): dict(more) for name, more in intents.items()}
    return Lease(
        subject=read_subject("group/web"),
        holder=HOLDER,
        phase="ACTIVE",
        started=START,
        since=START,
        phase_since=START,
        journal={"capacity": "surge", "surges": 1, "desired": 2, "lowersMinTo": -1, "fallback": {}, **(journal or {})},
        intents={name: Intent(name, START, str(more.pop("id", "")), more) for name, more in facts.items()},
        wait=None,
        members={},
        closed=None,
    )


LAUNCHED = {"surge__0__a": {"id": ONE}}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"launches_from_template": False}, "launch configuration"),
        ({"mixes_markets": True}, "On-Demand and Spot"),
        ({"has_warm_pool": True}, "warm pool"),
        ({"is_weighted": True}, "weights"),
        ({"suspended": frozenset({"AddToLoadBalancer"}), "target_groups": ["arn"]}, "AddToLoadBalancer"),
    ],
)
def test_what_stands_in_the_way_of_a_launch_is_named_and_decides_what_the_policy_says(
    settings: dict[str, Any], said: str
) -> None:
    found = group(2, **settings)

    assert said in obstacle(found)
    with pytest.raises(SurgeNotPossibleError, match=said):
        choose_capacity(found, policy(capacity="surge"))
    carried_out, why = choose_capacity(found, policy(capacity="surge", surgeFallback="reduce"))
    assert (carried_out["capacity"], said in why) == ("reduce", True)
    assert choose_capacity(found, policy())[1] == ""


def test_nothing_stands_in_the_way_of_an_ordinary_group() -> None:
    assert obstacle(group(2)) == ""
    assert obstacle(group(2, suspended=frozenset({"AddToLoadBalancer"}))) == ""


def test_all_that_are_wanted_have_to_serve_where_there_are_instances_more() -> None:
    assert least_healthy(policy(capacity="surge"), 1) == 1
    assert least_healthy(policy(capacity="surge", batch=3), 4) == 4
    assert least_healthy(policy(capacity="surge", minHealthy="50%"), 4) == 2
    assert refusal(group(1), policy(capacity="surge"), "") is None
    assert "so 0 cannot be spared" in str(refusal(group(1), policy(capacity="surge", minHealthy=2), ""))


@pytest.mark.parametrize(
    ("above", "leaving", "surges", "lowers", "fallback"),
    [
        ({}, 2, 0, 1, {}),
        ({}, 0, 0, -1, {}),
        ({"capacity": "surge"}, 2, 1, -1, {}),
        ({"capacity": "surge", "surgeFallback": "reduce"}, 2, 1, -1, {"lowersMinTo": 1}),
        ({"capacity": "surge", "batch": 2}, 1, 1, -1, {}),
        ({"capacity": "surge", "batch": 2, "surgeFallback": "reduce"}, 2, 2, -1, {}),
    ],
)
def test_the_journal_says_how_many_more_there_are_or_how_many_less(
    above: dict[str, Any], leaving: int, surges: int, lowers: int, fallback: dict[str, int]
) -> None:
    plan = plan_capacity(group(2, min=2), policy(**above), "", leaving)

    assert (plan["surges"], plan["lowersMinTo"], plan["fallback"]) == (surges, lowers, fallback)


def test_the_fallback_changes_what_is_carried_out() -> None:
    surging = policy(capacity="surge")
    before = lease({"fallback": {"lowersMinTo": 1}})
    after = lease({"fallback": {"lowersMinTo": 1}}, surgeFallback={"why": "no capacity"})

    assert (policy_of(before, surging)["capacity"], lowers_min_to(before)) == ("surge", -1)
    assert (policy_of(after, surging)["capacity"], lowers_min_to(after)) == ("reduce", 1)
    assert describe_surge(after) == ["the roll went on with fewer members: no capacity"]


@pytest.mark.parametrize(
    ("found", "intents", "expected"),
    [
        (with_surge(2, ONE), {}, "remove"),
        (with_surge(2, ONE, desired=4), {}, "wait"),
        (with_surge(2, ONE, min=3), {}, "keep"),
        (with_surge(0, ONE, min=0), {}, "remove"),
        (group(2), {}, "over"),
        (group(3), {}, "keep"),
        (group(3), {f"removeSurge__{ONE}": {}}, "over"),
        (group([member(91, lifecycle="Terminating"), member(1), member(2)], desired=2), {}, "over"),
    ],
)
def test_an_instance_more_goes_when_the_others_are_as_many_as_the_group_wants(
    found: Group, intents: dict[str, dict[str, Any]], expected: str
) -> None:
    verdict = judge(lease(**LAUNCHED, **intents), found, ONE, [ONE], None)

    assert verdict.move == expected, verdict.why


def test_members_that_get_no_traffic_do_not_count() -> None:
    found = with_surge(1, ONE)
    (other,) = group(1).members

    assert judge(lease(**LAUNCHED), found, ONE, [ONE], {ONE}).move == "wait"
    assert judge(lease(**LAUNCHED), found, ONE, [ONE], {ONE, other.instance_id}) == SurgeMove("remove")


def test_of_two_instances_more_one_stays_for_a_member_that_is_held() -> None:
    held = member(1, lifecycle="Standby")
    standby: dict[str, dict[str, Any]] = {f"standby__{held.instance_id}": {}}
    both = group([held, member(2), member(91), member(92)], desired=3)
    one = group([held, member(2), member(91)], desired=2)

    assert judge(lease(**LAUNCHED, **standby), both, TWO, [ONE, TWO], None).move == "remove"
    verdict = judge(lease(**LAUNCHED, **standby), one, ONE, [ONE, TWO], None)
    assert (verdict.move, held.instance_id in verdict.why) == ("keep", True)


def test_what_the_group_wants_without_the_roll_counts_no_instance_more() -> None:
    own = lease(**LAUNCHED)

    assert count_surge(own, with_surge(2, ONE)) == 1
    assert wanted_without_surge(own, with_surge(2, ONE), 0) == 2
    assert wanted_without_surge(own, with_surge(3, ONE), 0) == 3
    assert wanted_without_surge(own, group(3), 0) == 2, "another stands in the place of the one that is gone"


class SetMax:
    def __init__(self) -> None:
        self.sizes: list[int] = []

    def set_max(self, name: str, size: int) -> None:
        self.sizes.append(size)


@pytest.mark.parametrize(
    ("largest", "desired", "set_to", "said"),
    [(3, 2, [2], ""), (3, 3, [3], "max is 3, not 2"), (2, 2, [], ""), (7, 2, [], "max is 7: somebody else")],
)
def test_a_raised_max_is_undone_where_it_still_stands(
    world: World, largest: int, desired: int, set_to: list[int], said: str
) -> None:
    fake: Any = SetMax()
    world.services.autoscaling = fake
    raised = lease(raiseMax__3={"from": 2, "to": 3})

    problems = undo_max(world.services, raised, group(2, max=largest, desired=desired))

    assert fake.sizes == set_to
    assert said in "; ".join(problems)
    assert bool(problems) == bool(said)
    assert undo_max(world.services, lease(), group(2, max=largest)) == []


# The calls


class Answering:
    """A client whose calls end in one way."""

    def __init__(self, answer: Mapping[str, Any] | str) -> None:
        self.answer = answer
        self.calls: list[dict[str, Any]] = []

    def launch_instances(self, **parameters: Any) -> Mapping[str, Any]:
        self.calls.append(parameters)
        if isinstance(self.answer, str):
            error: Any = {"Error": {"Code": self.answer, "Message": "why"}}
            raise ClientError(error, "LaunchInstances")
        return self.answer

    terminate_instance_in_auto_scaling_group = launch_instances


def answering(answer: Mapping[str, Any] | str) -> tuple[AutoScaling, Answering]:
    calls = Answering(answer)
    autoscaling = AutoScaling()
    autoscaling._client = autoscaling._once = calls
    return autoscaling, calls


def test_a_launch_names_one_zone_and_its_token(world: World) -> None:
    autoscaling, client = answering({"Instances": [{"InstanceIds": [ONE]}], "Errors": []})

    assert autoscaling.launch_one("web", "ap-northeast-1a", "token") == ONE

    (parameters,) = client.calls
    assert parameters["AvailabilityZones"] == ["ap-northeast-1a"]
    assert (parameters["RequestedCapacity"], parameters["ClientToken"]) == (1, "token")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("ValidationError", SurgeNotPossibleError),
        ("UnsupportedOperation", SurgeNotPossibleError),
        ("IdempotentParameterMismatch", SurgeNotPossibleError),
        ("IdempotentCallInProgress", ServiceUnavailableError),
        ("ResourceContention", ServiceUnavailableError),
        ({"Instances": [], "Errors": [{"ErrorCode": "Capacity", "ErrorMessage": "none"}]}, SurgeNotPossibleError),
        ({"Instances": [], "Errors": []}, ServiceUnavailableError),
        ({"ClientToken": "token"}, ServiceUnavailableError),
    ],
)
def test_a_launch_without_instance_is_over_or_asked_for_again(
    world: World, answer: Mapping[str, Any] | str, error: type[DrydockError]
) -> None:
    autoscaling, _ = answering(answer)

    with pytest.raises(error):
        autoscaling.launch_one("web", "ap-northeast-1a", "token")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("ValidationError", GroupNotReadyError),
        ("ScalingActivityInProgress", ServiceUnavailableError),
        ("ResourceContention", ServiceUnavailableError),
    ],
)
def test_a_removal_that_is_refused_may_succeed_later(world: World, answer: str, error: type[DrydockError]) -> None:
    autoscaling, client = answering(answer)

    with pytest.raises(error):
        autoscaling.remove("web", ONE)

    assert client.calls == [{"InstanceId": ONE, "ShouldDecrementDesiredCapacity": True}]
