"""The members in a group's lease: each has one turn and one outcome, and none begins once the roll is closed."""

from __future__ import annotations

import pytest

from drydock.errors import LeaseLostError
from drydock.records.group_leases import claim_member, close_roll, end_member
from drydock.records.holder import Holder
from drydock.records.leases import Lease, find_lease
from drydock.subject import Group
from tests.unit.fakes import START
from tests.unit.world import OTHER_EXECUTION, World, hold_as

GROUP = "web"
ROLL = Holder(OTHER_EXECUTION.replace("PatchInstance", "RollGroup"), 0)
REDRIVEN = Holder(ROLL.execution, 1)
FIRST, SECOND = "i-0000000000000000a", "i-0000000000000000b"


@pytest.fixture(autouse=True)
def roll(world: World) -> None:
    """A roll that is at work on the group."""
    assert hold_as(world.table, ROLL, Group(GROUP), world.clock()).take(START) is None
    hold_as(world.table, ROLL, Group(GROUP), world.clock()).activate({"runId": "", "desired": 2}, "suspend")


def lease_of(world: World) -> Lease:
    lease = find_lease(world.table, Group(GROUP))
    assert lease is not None
    return lease


def test_a_member_has_one_turn_however_often_it_is_claimed(world: World) -> None:
    first = claim_member(hold_as(world.table, ROLL, Group(GROUP), world.clock()), FIRST)
    again = claim_member(hold_as(world.table, ROLL, Group(GROUP), world.clock()), FIRST)

    assert first is not None and again is not None
    assert set(lease_of(world).members) == {FIRST}
    assert first.members[FIRST] == again.members[FIRST]


def test_no_member_begins_once_the_roll_is_closed_but_one_that_began_goes_on(world: World) -> None:
    claim_member(hold_as(world.table, ROLL, Group(GROUP), world.clock()), FIRST)
    close_roll(hold_as(world.table, ROLL, Group(GROUP)), "AlarmActiveError", "the alarm rings")

    assert claim_member(hold_as(world.table, ROLL, Group(GROUP), world.clock()), SECOND) is None
    assert claim_member(hold_as(world.table, ROLL, Group(GROUP), world.clock()), FIRST) is not None
    assert set(lease_of(world).members) == {FIRST}


def test_the_first_reason_for_which_a_roll_is_closed_stands(world: World) -> None:
    close_roll(hold_as(world.table, ROLL, Group(GROUP)), "AlarmActiveError", "the alarm rings")
    close_roll(hold_as(world.table, ROLL, Group(GROUP)), "RollStoppedError", "another one")

    assert lease_of(world).closed == {"error": "AlarmActiveError", "reason": "the alarm rings"}


def test_the_first_outcome_of_a_member_stands(world: World) -> None:
    claim_member(hold_as(world.table, ROLL, Group(GROUP), world.clock()), FIRST)

    end_member(hold_as(world.table, ROLL, Group(GROUP), world.clock()), FIRST, {"outcome": "succeeded"})
    lease = end_member(hold_as(world.table, ROLL, Group(GROUP), world.clock()), FIRST, {"outcome": "failed"})

    assert lease is not None
    assert lease.members[FIRST]["outcome"] == lease_of(world).members[FIRST]["outcome"] == "succeeded"


def test_a_member_whose_turn_never_came_has_no_outcome(world: World) -> None:
    assert end_member(hold_as(world.table, ROLL, Group(GROUP), world.clock()), FIRST, {"outcome": "failed"}) is None

    assert lease_of(world).members == {}


@pytest.mark.parametrize("holder", [REDRIVEN, Holder(OTHER_EXECUTION, 0)], ids=["redriven", "another"])
def test_nobody_but_the_owner_claims_ends_or_closes(world: World, holder: Holder) -> None:
    claim_member(hold_as(world.table, ROLL, Group(GROUP), world.clock()), FIRST)

    with pytest.raises(LeaseLostError):
        claim_member(hold_as(world.table, holder, Group(GROUP), world.clock()), SECOND)
    with pytest.raises(LeaseLostError):
        end_member(hold_as(world.table, holder, Group(GROUP), world.clock()), FIRST, {"outcome": "failed"})
    close_roll(hold_as(world.table, holder, Group(GROUP)), "RollStoppedError", "no")

    lease = lease_of(world)
    assert (set(lease.members), lease.closed) == ({FIRST}, None)
    assert "outcome" not in lease.members[FIRST]


def test_nothing_is_claimed_or_ended_any_more_while_the_group_is_given_back(world: World) -> None:
    claim_member(hold_as(world.table, ROLL, Group(GROUP), world.clock()), FIRST)
    hold_as(world.table, lease_of(world).holder, lease_of(world).subject, world.clock()).begin_restoring(
        lease_of(world)
    )

    with pytest.raises(LeaseLostError):
        claim_member(hold_as(world.table, ROLL, Group(GROUP), world.clock()), SECOND)
    with pytest.raises(LeaseLostError):
        end_member(hold_as(world.table, ROLL, Group(GROUP), world.clock()), FIRST, {"outcome": "succeeded"})


def test_without_a_lease_no_member_begins(world: World) -> None:
    with pytest.raises(LeaseLostError):
        claim_member(hold_as(world.table, ROLL, Group("another"), world.clock()), FIRST)
