"""What a roll through a group may do: who leaves when, how many have to stay, and when it may not begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drydock.aws.autoscaling import Group, Member
from drydock.errors import (
    DrydockError,
    GroupWeightedError,
    InstanceRefreshAtWorkError,
    MemberNotSparedError,
    NoMemberInServiceError,
    ProcessSuspendedError,
)
from drydock.group.rules import in_order, least_healthy, lowered_min, refusal
from drydock.request.policy import DEFAULTS, Policy
from tests.unit.fakes import START
from tests.unit.world import merge

ZONES = "abc"


def policy(**above: Any) -> Policy:
    return cast(Policy, merge(deepcopy(DEFAULTS), above))


def member(number: int, *, zone: str = "a", lifecycle: str = "InService", healthy: bool = True, **more: Any) -> Member:
    return Member(
        **{
            "instance_id": f"i-{number:017x}",
            "zone": f"ap-northeast-1{zone}",
            "lifecycle": lifecycle,
            "is_healthy": healthy,
            **more,
        }
    )


def group(members: Sequence[Member] | int = 4, **more: Any) -> Group:
    found = [member(number) for number in range(1, members + 1)] if isinstance(members, int) else list(members)
    given: dict[str, Any] = {
        "name": "web",
        "min": 1,
        "max": 9,
        "desired": len(found),
        "suspended": frozenset(),
        "members": found,
        "target_groups": [],
    }
    return Group(**{**given, **more})


def ages(*members: Member) -> Mapping[str, datetime]:
    """The first is the oldest."""
    return {one.instance_id: START + timedelta(days=number) for number, one in enumerate(members)}


def numbers(members: Sequence[Member]) -> list[int]:
    return [int(one.instance_id[2:], 16) for one in members]


@pytest.mark.parametrize(
    ("desired", "above", "expected"),
    [
        (4, {}, 3),
        (4, {"batch": 2}, 2),
        (1, {}, 1),
        (2, {"batch": 5}, 1),
        (4, {"minHealthy": 2}, 2),
        (4, {"minHealthy": "2"}, 2),
        (4, {"minHealthy": 0}, 0),
        (4, {"minHealthy": "0"}, 0),
        (4, {"minHealthy": "50%"}, 2),
        (3, {"minHealthy": "50%"}, 2),
        (3, {"minHealthy": "34%"}, 2),
        (3, {"minHealthy": "0%"}, 0),
        (500, {"minHealthy": "99%"}, 495),
        (4, {"minHealthy": "100%"}, 4),
    ],
)
def test_so_many_members_have_to_stay_healthy(desired: int, above: dict[str, Any], expected: int) -> None:
    assert least_healthy(policy(**above), desired) == expected


@pytest.mark.parametrize(
    ("lowest", "desired", "batch", "expected"),
    [(1, 4, 1, None), (3, 4, 1, None), (4, 4, 1, 3), (4, 4, 2, 2), (3, 4, 2, 2), (2, 4, 2, None), (1, 1, 1, 0)],
)
def test_min_is_lowered_by_exactly_what_is_needed(lowest: int, desired: int, batch: int, expected: int | None) -> None:
    assert lowered_min(group(desired, min=lowest), batch) == expected


REFUSED: dict[str, tuple[Group, dict[str, Any], str, type[DrydockError], str]] = {
    "launch": (group(suspended=frozenset({"Launch"})), {}, "", ProcessSuspendedError, "Launch is suspended"),
    "balancer": (
        group(suspended=frozenset({"AddToLoadBalancer"}), target_groups=["arn:tg/web/1"]),
        {},
        "",
        ProcessSuspendedError,
        "AddToLoadBalancer is suspended",
    ),
    "weights": (group([member(1, weight=2), member(2)]), {}, "", GroupWeightedError, "its members have weights"),
    "refresh": (group(), {}, "refresh-1", InstanceRefreshAtWorkError, "instance refresh refresh-1 is at work"),
    "nobody": (group([]), {}, "", NoMemberInServiceError, "no member is in service"),
    "unhealthy": (group([member(1, healthy=False)]), {}, "", NoMemberInServiceError, "no member is in service"),
    "standby": (group([member(1, lifecycle="Standby")]), {}, "", NoMemberInServiceError, "no member is in service"),
    "one": (group(1), {}, "", MemberNotSparedError, "1 member is wanted and 1 has to be healthy"),
    "all": (group(), {"minHealthy": "100%"}, "", MemberNotSparedError, "4 have to be healthy, so 1 cannot be spared"),
    "batch": (group(2), {"batch": 2}, "", MemberNotSparedError, "so 2 cannot be spared"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_group_that_cannot_be_rolled_through_is_refused_with_what_to_do(name: str) -> None:
    found, above, refresh, error, said = REFUSED[name]

    refused = refusal(found, policy(**above), refresh)

    assert type(refused) is error
    assert said in str(refused)


@pytest.mark.parametrize(
    ("found", "above"),
    [
        (group(), {}),
        (group(2), {}),
        (group(1), {"minHealthy": 0}),
        (group(1), {"operation": "Scan"}),
        (group(suspended=frozenset({"AZRebalance", "Terminate"})), {}),
        (group([member(1), member(2, healthy=False)]), {}),
    ],
)
def test_other_groups_are_not_refused(found: Group, above: dict[str, Any]) -> None:
    assert refusal(found, policy(**above), "") is None


def test_the_oldest_member_goes_first() -> None:
    members = [member(1), member(2), member(3)]

    ordered = in_order(group(members), ages(members[2], members[0], members[1]), [])

    assert numbers(ordered) == [3, 1, 2]


def test_members_of_one_age_have_one_order() -> None:
    members = [member(3), member(1), member(2)]

    assert numbers(in_order(group(members), dict.fromkeys(ages(*members), START), [])) == [1, 2, 3]


def test_a_member_whose_age_is_not_known_goes_last() -> None:
    members = [member(1), member(2), member(3)]

    assert numbers(in_order(group(members), ages(members[2], members[1]), [])) == [3, 2, 1]


def test_each_member_is_in_another_zone_than_the_last_where_that_is_possible() -> None:
    members = [member(1, zone="a"), member(2, zone="a"), member(3, zone="a"), member(4, zone="c"), member(5, zone="c")]

    assert numbers(in_order(group(members), ages(*members), [])) == [1, 4, 2, 5, 3]


def test_only_members_in_service_leave_it() -> None:
    members = [member(1), member(2, lifecycle="Standby"), member(3, lifecycle="Terminating"), member(4, healthy=False)]

    assert numbers(in_order(group(members), ages(*members), [])) == [1, 4]


def test_only_the_members_that_are_named_leave() -> None:
    members = [member(1), member(2), member(3)]
    named = [members[1].instance_id, "i-00000000000000099"]

    assert numbers(in_order(group(members), ages(*members), named)) == [2]


@given(st.lists(st.sampled_from(ZONES), max_size=12))
def test_every_member_has_one_turn_whatever_the_zones(zones: list[str]) -> None:
    members = [member(number, zone=zone) for number, zone in enumerate(zones)]

    ordered = in_order(group(members), ages(*members), [])

    assert sorted(numbers(ordered)) == list(range(len(zones)))
    for index, (one, following) in enumerate(pairwise(ordered), 1):
        if one.zone == following.zone:
            assert {left.zone for left in ordered[index:]} == {one.zone}


@given(st.integers(1, 600), st.integers(1, 20), st.sampled_from(["", "0", "1", "50%", "99%"]))
def test_a_group_that_is_not_refused_always_spares_a_batch(desired: int, batch: int, wanted: str) -> None:
    above = policy(batch=batch, minHealthy=wanted)

    if refusal(group(desired), above, "") is None:
        assert desired - batch >= least_healthy(above, desired)
