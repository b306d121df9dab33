"""Leases: one holder at a time, and no change without a claimed intent."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drydock.aws.table import Table
from drydock.errors import LeaseLostError, ServiceUnavailableError
from drydock.records.holder import Holder
from drydock.records.leases import (
    ACTIVE,
    ADMITTING,
    FUNCTION_LIFETIME,
    REFUSED,
    RESTORING,
    Lease,
    LeaseSummary,
    all_leases,
    find_lease,
)
from drydock.records.results import find_result
from tests.unit.fakes import START
from tests.unit.records.recorded import a_result
from tests.unit.world import HOLDER, OTHER_EXECUTION, SUBJECT, hold_as

OTHER = Holder(OTHER_EXECUTION, 0)
REDRIVEN = Holder(HOLDER.execution, 1)
LATER = START + timedelta(minutes=5)


def activate(table: Table, holder: Holder = HOLDER) -> None:
    assert hold_as(table, holder, SUBJECT).take(START) is None
    hold_as(table, holder, SUBJECT).activate({"power": "stopped"}, "tag")


def restore(table: Table) -> Lease:
    """The machine is active, then being given back."""
    activate(table)
    lease = find_lease(table, SUBJECT)
    assert lease is not None
    restoring = hold_as(table, lease.holder, lease.subject, START).begin_restoring(lease)
    assert restoring is not None
    return restoring


def phase(table: Table) -> str:
    lease = find_lease(table, SUBJECT)
    return lease.phase if lease else "none"


def test_the_first_execution_takes_the_lease_and_nothing_is_allowed_yet(table: Table) -> None:
    assert hold_as(table, HOLDER, SUBJECT, LATER).take(START) is None

    lease = find_lease(table, SUBJECT)
    assert lease is not None
    assert (lease.holder, lease.phase, lease.intents) == (HOLDER, ADMITTING, {})
    assert (lease.started, lease.since) == (START, LATER)
    with pytest.raises(LeaseLostError):
        hold_as(table, HOLDER, SUBJECT).claim("stop")


def test_taking_the_lease_again_while_admitting_is_taking_it_once(table: Table) -> None:
    hold_as(table, HOLDER, SUBJECT).take(START)

    assert hold_as(table, HOLDER, SUBJECT, LATER).take(START) is None
    assert all_leases(table).read == [LeaseSummary(SUBJECT, HOLDER, ADMITTING)]


@pytest.mark.parametrize("second", [OTHER, REDRIVEN], ids=["another execution", "the same one, redriven"])
def test_a_second_execution_is_told_who_holds_the_machine(table: Table, second: Holder) -> None:
    activate(table)

    standing = hold_as(table, second, SUBJECT, LATER).take(START)

    assert standing is not None
    assert (standing.holder, standing.journal) == (HOLDER, {"power": "stopped"})


def test_the_owner_of_an_active_lease_is_shown_its_own_journal(table: Table) -> None:
    activate(table)

    standing = hold_as(table, HOLDER, SUBJECT, LATER).take(START)

    assert standing is not None
    assert (standing.holder, standing.phase, standing.journal["power"]) == (HOLDER, ACTIVE, "stopped")


def test_the_lease_is_activated_together_with_its_first_intent(table: Table) -> None:
    activate(table)

    lease = find_lease(table, SUBJECT)
    assert lease is not None
    assert (lease.phase, list(lease.intents), lease.newest_intent_at()) == (ACTIVE, ["tag"], START)


def test_activating_twice_is_activating_once(table: Table) -> None:
    activate(table)

    hold_as(table, HOLDER, SUBJECT, LATER).activate({"power": "running"}, "tag")

    lease = find_lease(table, SUBJECT)
    assert lease is not None
    assert (lease.journal, lease.phase_since) == ({"power": "stopped"}, START), "the first journal counts"


@pytest.mark.parametrize("holder", [OTHER, REDRIVEN], ids=["another execution", "another redrive"])
def test_a_lease_of_somebody_else_is_not_activated(table: Table, holder: Holder) -> None:
    activate(table, holder)

    with pytest.raises(LeaseLostError, match="before it had begun"):
        hold_as(table, HOLDER, SUBJECT, LATER).activate({"power": "running"}, "tag")


def test_a_lease_that_is_being_given_back_or_gone_is_not_activated(table: Table) -> None:
    with pytest.raises(LeaseLostError, match="before it had begun"):
        hold_as(table, HOLDER, SUBJECT, LATER).activate({}, "tag")
    restore(table)

    with pytest.raises(LeaseLostError, match="before it had begun"):
        hold_as(table, HOLDER, SUBJECT, LATER).activate({}, "tag")


def test_an_intent_is_claimed_once_and_then_found_again(table: Table) -> None:
    activate(table)

    first = hold_as(table, HOLDER, SUBJECT).claim("install", document="D")
    hold_as(table, HOLDER, SUBJECT).record("install", {"id": "command-1", "expiresAt": "then"})
    again = hold_as(table, HOLDER, SUBJECT, LATER).claim("install", document="another")

    assert (first.is_new, again.is_new) == (True, False)
    assert (first.intent.id, again.intent.id, again.intent.at) == ("", "command-1", START)
    assert again.intent.facts == {"document": "D", "expiresAt": "then"}
    assert first.lease.intents["install"] == first.intent


@pytest.mark.parametrize("holder", [OTHER, REDRIVEN], ids=["another execution", "another redrive"])
def test_only_the_holder_may_claim_or_record(table: Table, holder: Holder) -> None:
    activate(table)
    hold_as(table, HOLDER, SUBJECT).claim("start")

    with pytest.raises(LeaseLostError, match="nothing was touched"):
        hold_as(table, holder, SUBJECT).claim("stop")
    with pytest.raises(LeaseLostError, match="nothing was touched"):
        hold_as(table, holder, SUBJECT).claim("start")
    with pytest.raises(LeaseLostError):
        hold_as(table, holder, SUBJECT).record("start", {"id": "called"})


def test_no_intent_can_be_claimed_where_there_is_no_lease(table: Table) -> None:
    with pytest.raises(LeaseLostError):
        hold_as(table, HOLDER, SUBJECT).claim("stop")
    assert find_lease(table, SUBJECT) is None


def test_from_restoring_on_the_owner_may_change_nothing_but_what_was_done_may_still_be_recorded(table: Table) -> None:
    activate(table)
    hold_as(table, HOLDER, SUBJECT).claim("imageBefore")
    lease = find_lease(table, SUBJECT)
    assert lease is not None

    restoring = hold_as(table, lease.holder, lease.subject, LATER).begin_restoring(lease)

    assert restoring == find_lease(table, SUBJECT)
    assert phase(table) == RESTORING
    with pytest.raises(LeaseLostError):
        hold_as(table, HOLDER, SUBJECT, LATER).claim("stop")
    with pytest.raises(LeaseLostError):
        hold_as(table, HOLDER, SUBJECT, LATER).claim("imageBefore")
    hold_as(table, HOLDER, SUBJECT).record("imageBefore", {"id": "ami-1"})
    found = find_lease(table, SUBJECT)
    assert found is not None and found.intents["imageBefore"].id == "ami-1"


def test_restoring_begins_once_and_its_time_stays(table: Table) -> None:
    activate(table)
    active = find_lease(table, SUBJECT)
    assert active is not None
    hold_as(table, active.holder, active.subject, START).begin_restoring(active)
    restoring = find_lease(table, SUBJECT)
    assert restoring is not None

    assert hold_as(table, restoring.holder, restoring.subject, LATER).begin_restoring(restoring) == restoring

    found = find_lease(table, SUBJECT)
    assert found is not None and found.phase_since == START
    assert hold_as(table, active.holder, active.subject, LATER).begin_restoring(active) is None, (
        "a pass that read the lease before is late"
    )


def test_a_claim_that_was_never_carried_out_is_renewed_by_one_function_only(table: Table) -> None:
    activate(table)
    intent = hold_as(table, HOLDER, SUBJECT).claim("install", document="D").intent

    renewed = hold_as(table, HOLDER, SUBJECT, LATER).renew(intent, LATER)

    assert (renewed.at, renewed.facts) == (LATER, {"document": "D"})
    with pytest.raises(ServiceUnavailableError, match="another function"):
        hold_as(table, HOLDER, SUBJECT, LATER).renew(intent, LATER)


def test_a_claim_that_was_carried_out_is_not_renewed(table: Table) -> None:
    activate(table)
    intent = hold_as(table, HOLDER, SUBJECT).claim("install").intent
    hold_as(table, HOLDER, SUBJECT).record("install", {"id": "command-1"})

    with pytest.raises(ServiceUnavailableError):
        hold_as(table, HOLDER, SUBJECT, LATER).renew(intent, LATER)


@pytest.mark.parametrize("holder", [OTHER, REDRIVEN], ids=["another execution", "another redrive"])
def test_a_claim_of_somebody_else_is_not_renewed(table: Table, holder: Holder) -> None:
    activate(table)
    intent = hold_as(table, HOLDER, SUBJECT).claim("install").intent

    with pytest.raises(LeaseLostError):
        hold_as(table, holder, SUBJECT, LATER).renew(intent, LATER)


def test_a_claim_is_not_renewed_once_the_machine_is_being_given_back(table: Table) -> None:
    activate(table)
    intent = hold_as(table, HOLDER, SUBJECT).claim("start").intent
    lease = find_lease(table, SUBJECT)
    assert lease is not None
    hold_as(table, lease.holder, lease.subject, LATER).begin_restoring(lease)

    with pytest.raises(LeaseLostError):
        hold_as(table, HOLDER, SUBJECT, LATER).renew(intent, LATER)


def test_who_carries_on_a_call_that_may_not_have_happened_is_seen_to_be_alive(table: Table) -> None:
    activate(table)
    hold_as(table, HOLDER, SUBJECT).claim("start")

    again = hold_as(table, HOLDER, SUBJECT, LATER).claim("start")

    assert (again.is_new, again.intent.at) == (False, LATER)
    lease = find_lease(table, SUBJECT)
    assert lease is not None and lease.newest_intent_at() == LATER


def test_a_command_that_may_have_been_sent_is_looked_for_before_it_is_announced_anew(table: Table) -> None:
    activate(table)
    hold_as(table, HOLDER, SUBJECT).claim_or_find("install")

    again = hold_as(table, HOLDER, SUBJECT, LATER).claim_or_find("install")

    assert (again.is_new, again.intent.at) == (False, START)


def test_a_call_that_aws_refused_is_no_longer_called_refused_when_it_is_announced_anew(table: Table) -> None:
    activate(table)
    hold_as(table, HOLDER, SUBJECT).claim_or_find("install", document="D")
    hold_as(table, HOLDER, SUBJECT).record("install", {REFUSED: "throttled"})
    intent = hold_as(table, HOLDER, SUBJECT).claim_or_find("install").intent
    assert REFUSED in intent.facts

    renewed = hold_as(table, HOLDER, SUBJECT, LATER).renew(intent, LATER)

    assert renewed.facts == {"document": "D"}
    assert hold_as(table, HOLDER, SUBJECT, LATER).claim_or_find("install").intent == renewed


def test_of_two_passes_only_one_may_change_the_machine_at_a_time(table: Table) -> None:
    lease = restore(table)

    assert hold_as(table, lease.holder, lease.subject, LATER).claim_giving_back("giveBackStop")
    assert not hold_as(table, lease.holder, lease.subject, LATER + FUNCTION_LIFETIME).claim_giving_back("giveBackStop")
    assert hold_as(
        table, lease.holder, lease.subject, LATER + FUNCTION_LIFETIME + timedelta(seconds=1)
    ).claim_giving_back("giveBackStop")


def test_a_pass_that_comes_when_the_machine_has_a_new_owner_changes_nothing(table: Table) -> None:
    lease = restore(table)
    hold_as(table, HOLDER, SUBJECT).drop(RESTORING)
    assert not hold_as(table, lease.holder, lease.subject, LATER).claim_giving_back("giveBackStop")

    activate(table, OTHER)
    assert not hold_as(table, lease.holder, lease.subject, LATER).claim_giving_back("giveBackStop")

    found = find_lease(table, SUBJECT)
    assert found is not None and list(found.intents) == ["tag"]


def test_a_machine_that_is_not_being_given_back_is_not_changed_by_a_pass(table: Table) -> None:
    activate(table)
    lease = find_lease(table, SUBJECT)
    assert lease is not None

    assert not hold_as(table, lease.holder, lease.subject, LATER).claim_giving_back("giveBackStop")


def test_the_newest_intent_tells_since_when_no_function_can_be_alive(table: Table) -> None:
    activate(table)
    lease = find_lease(table, SUBJECT)
    assert lease is not None and lease.newest_intent_at() == START

    hold_as(table, HOLDER, SUBJECT).claim("start")
    hold_as(table, HOLDER, SUBJECT, LATER).claim("stop")

    lease = find_lease(table, SUBJECT)
    assert lease is not None and lease.newest_intent_at() == LATER


@pytest.mark.parametrize(
    ("holder", "wanted_phase", "goes"),
    [(HOLDER, ACTIVE, True), (HOLDER, ADMITTING, False), (OTHER, ACTIVE, False)],
    ids=["ours", "in another phase", "another's"],
)
def test_a_lease_is_dropped_only_by_its_holder_in_its_phase(
    table: Table, holder: Holder, wanted_phase: str, goes: bool
) -> None:
    activate(table)

    assert hold_as(table, holder, SUBJECT).drop(wanted_phase) is goes
    assert (find_lease(table, SUBJECT) is None) is goes


def test_the_lease_goes_and_the_result_comes_together(table: Table) -> None:
    activate(table)
    result = a_result()

    assert hold_as(table, HOLDER, SUBJECT).finish(ACTIVE, result)

    assert find_lease(table, SUBJECT) is None
    assert find_result(table, SUBJECT, HOLDER, START) == result


def test_a_lease_of_somebody_else_stays_and_no_result_is_written(table: Table) -> None:
    activate(table, OTHER)
    result = a_result()

    assert not hold_as(table, HOLDER, SUBJECT).finish(ACTIVE, result)

    assert phase(table) == ACTIVE
    assert find_result(table, SUBJECT, HOLDER, START) is None


def test_the_first_result_of_an_execution_stands(table: Table) -> None:
    activate(table)
    hold_as(table, HOLDER, SUBJECT).finish(ACTIVE, a_result("failed"))
    activate(table)

    second = a_result()

    assert not hold_as(table, HOLDER, SUBJECT).finish(ACTIVE, second)
    found = find_result(table, SUBJECT, HOLDER, START)
    assert found is not None and found.outcome == "failed"
