"""Waits stand in the lease: the newest entry of the holder waits, and a machine that is given back wakes nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from drydock.aws.table import AWAITED_INDEX, Table
from drydock.errors import LeaseLostError
from drydock.records.holder import Holder
from drydock.records.leases import (
    ACTIVE,
    activate_lease,
    begin_restoring,
    claim_intent,
    drop_lease,
    file_wait,
    find_lease,
    find_leases_that_await,
    take_lease,
)
from drydock.records.waits import Wait, Work, read_wait
from tests.unit.fakes import START
from tests.unit.world import HOLDER, INSTANCE, OTHER_EXECUTION, SUBJECT

DEADLINE = START + timedelta(hours=1)


def a_wait(number: int = 1, resource: str = "ami-1", **more: Any) -> Wait:
    given = {"kind": "image", "deadline": DEADLINE, "facts": {"name": "x", "seconds": 5}, **more}
    return Wait(instance_id=INSTANCE, token=f"token-{number}", sequence=f"{number:04}", resource=resource, **given)


def a_work(answer: dict[str, str] | None = None) -> Work:
    return Work("image", START, True, resource="ami-1", intent="imageBefore", answer=answer or {})


@pytest.fixture
def held(table: Table) -> Table:
    """A table in which the machine's lease is active and an image was announced."""
    take_lease(table, HOLDER, SUBJECT, START, START)
    activate_lease(table, HOLDER, SUBJECT, {"power": "running"}, "tag", START)
    claim_intent(table, HOLDER, SUBJECT, "imageBefore", START)
    return table


def token(table: Table) -> str:
    lease = find_lease(table, SUBJECT)
    return lease.wait.token if lease and lease.wait else ""


def restore(table: Table) -> None:
    lease = find_lease(table, SUBJECT)
    assert lease is not None and begin_restoring(table, lease, START)


def test_a_wait_is_read_as_it_was_written() -> None:
    wait = a_wait()

    assert read_wait(INSTANCE, wait.to_item()) == wait


def test_a_wait_is_filed_together_with_what_aws_answered(held: Table) -> None:
    assert file_wait(held, HOLDER, a_wait(), a_work({"id": "ami-1", "expiresAt": "then"}))

    lease = find_lease(held, SUBJECT)
    assert lease is not None
    assert lease.wait == a_wait()
    assert (lease.intents["imageBefore"].id, lease.intents["imageBefore"].facts) == ("ami-1", {"expiresAt": "then"})


@pytest.mark.parametrize(
    ("first", "second", "stands"),
    [(1, 2, "token-2"), (2, 1, "token-2")],
    ids=["newer", "older"],
)
def test_the_newest_entry_of_the_holder_waits(held: Table, first: int, second: int, stands: str) -> None:
    file_wait(held, HOLDER, a_wait(first), a_work())

    assert file_wait(held, HOLDER, a_wait(second), a_work()) is (second > first)
    assert token(held) == stands


def test_an_entry_that_cannot_be_told_from_the_one_before_waits_with_its_own_token(held: Table) -> None:
    file_wait(held, HOLDER, a_wait(1), a_work())

    assert file_wait(held, HOLDER, replace(a_wait(1), token="another"), a_work())

    assert token(held) == "another"


def test_an_older_entry_does_not_wait_but_its_answer_is_kept(held: Table) -> None:
    file_wait(held, HOLDER, a_wait(2), a_work())

    assert not file_wait(held, HOLDER, a_wait(1), a_work({"id": "ami-1"}))

    lease = find_lease(held, SUBJECT)
    assert lease is not None and lease.intents["imageBefore"].id == "ami-1"
    assert token(held) == "token-2"


@pytest.mark.parametrize("holder", [Holder(OTHER_EXECUTION, 0), Holder(HOLDER.execution, 1)], ids=["other", "redrive"])
def test_only_the_holder_waits_for_its_machine(held: Table, holder: Holder) -> None:
    assert not file_wait(held, holder, a_wait(), a_work())
    with pytest.raises(LeaseLostError):
        file_wait(held, holder, a_wait(), a_work({"id": "ami-9"}))

    lease = find_lease(held, SUBJECT)
    assert lease is not None
    assert (lease.wait, lease.intents["imageBefore"].id) == (None, "")


def test_the_next_intent_forgets_what_was_waited_for(held: Table) -> None:
    file_wait(held, HOLDER, a_wait(), a_work())

    claim_intent(held, HOLDER, SUBJECT, "start", START)

    assert token(held) == ""
    assert find_leases_that_await(held, "ami-1") == []


@pytest.mark.parametrize("kind", ["command", "settled", "start", "stop"])
def test_only_images_are_looked_up_by_what_is_waited_for(held: Table, kind: str) -> None:
    file_wait(held, HOLDER, a_wait(1, "some-id", kind=kind), Work(kind, START, True))

    assert token(held) == "token-1"
    assert find_leases_that_await(held, "some-id") == []


def test_an_intent_that_is_found_again_leaves_the_wait(held: Table) -> None:
    file_wait(held, HOLDER, a_wait(), a_work())

    claim_intent(held, HOLDER, SUBJECT, "imageBefore", START)

    assert token(held) == "token-1"


def test_a_machine_that_is_being_given_back_wakes_nobody_any_more(held: Table) -> None:
    file_wait(held, HOLDER, a_wait(), a_work())

    restore(held)

    assert token(held) == ""
    assert not file_wait(held, HOLDER, a_wait(2), a_work())


def test_an_image_asked_for_while_giving_back_began_is_still_known(held: Table) -> None:
    restore(held)

    assert not file_wait(held, HOLDER, a_wait(), a_work({"id": "ami-1"}))

    lease = find_lease(held, SUBJECT)
    assert lease is not None and lease.intents["imageBefore"].id == "ami-1"


def test_the_index_is_only_a_hint_and_the_lease_is_read_as_it_is_now(
    held: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_wait(held, HOLDER, a_wait(1), a_work())
    stale = held.look_up(AWAITED_INDEX, "ami-1")
    monkeypatch.setattr(held, "look_up", lambda index, value: stale)

    file_wait(held, HOLDER, a_wait(2), a_work())
    (lease,) = find_leases_that_await(held, "ami-1")
    assert lease.wait is not None and lease.wait.token == "token-2"

    drop_lease(held, HOLDER, SUBJECT, ACTIVE)
    assert find_leases_that_await(held, "ami-1") == []


def test_a_lease_is_found_by_what_its_owner_waits_for(held: Table) -> None:
    file_wait(held, HOLDER, a_wait(1, "ami-1"), a_work())

    assert [lease.instance_id for lease in find_leases_that_await(held, "ami-1")] == [INSTANCE]
    assert find_leases_that_await(held, "ami-2") == []
