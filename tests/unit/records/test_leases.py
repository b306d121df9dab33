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
    activate_lease,
    all_leases,
    begin_restoring,
    claim_giving_back,
    claim_intent,
    claim_or_find_intent,
    drop_lease,
    end_lease_with_result,
    find_lease,
    record_intent,
    renew_intent,
    take_lease,
)
from drydock.records.results import find_result, make_result
from tests.unit.fakes import START
from tests.unit.world import HOLDER, OTHER_EXECUTION, SUBJECT

OTHER = Holder(OTHER_EXECUTION, 0)
REDRIVEN = Holder(HOLDER.execution, 1)
LATER = START + timedelta(minutes=5)
FACTS = {"runId": "run-7", "notify": "failures"}


def activate(table: Table, holder: Holder = HOLDER) -> None:
    assert take_lease(table, holder, SUBJECT, START, START) is None
    activate_lease(table, holder, SUBJECT, {"power": "stopped"}, "tag", START)


def restore(table: Table) -> Lease:
    """The machine is active, then being given back."""
    activate(table)
    lease = find_lease(table, SUBJECT)
    assert lease is not None
    restoring = begin_restoring(table, lease, START)
    assert restoring is not None
    return restoring


def phase(table: Table) -> str:
    lease = find_lease(table, SUBJECT)
    return lease.phase if lease else "none"


def test_the_first_execution_takes_the_lease_and_nothing_is_allowed_yet(table: Table) -> None:
    assert take_lease(table, HOLDER, SUBJECT, START, LATER) is None

    lease = find_lease(table, SUBJECT)
    assert lease is not None
    assert (lease.holder, lease.phase, lease.intents) == (HOLDER, ADMITTING, {})
    assert (lease.started, lease.since) == (START, LATER)
    with pytest.raises(LeaseLostError):
        claim_intent(table, HOLDER, SUBJECT, "stop", START)


def test_taking_the_lease_again_while_admitting_is_taking_it_once(table: Table) -> None:
    take_lease(table, HOLDER, SUBJECT, START, START)

    assert take_lease(table, HOLDER, SUBJECT, START, LATER) is None
    assert all_leases(table) == [LeaseSummary(SUBJECT, HOLDER, ADMITTING)]


@pytest.mark.parametrize("second", [OTHER, REDRIVEN], ids=["another execution", "the same one, redriven"])
def test_a_second_execution_is_told_who_holds_the_machine(table: Table, second: Holder) -> None:
    activate(table)

    standing = take_lease(table, second, SUBJECT, START, LATER)

    assert standing is not None
    assert (standing.holder, standing.journal) == (HOLDER, {"power": "stopped"})


def test_the_owner_of_an_active_lease_is_shown_its_own_journal(table: Table) -> None:
    activate(table)

    standing = take_lease(table, HOLDER, SUBJECT, START, LATER)

    assert standing is not None
    assert (standing.holder, standing.phase, standing.journal["power"]) == (HOLDER, ACTIVE, "stopped")


def test_the_lease_is_activated_together_with_its_first_intent(table: Table) -> None:
    activate(table)

    lease = find_lease(table, SUBJECT)
    assert lease is not None
    assert (lease.phase, list(lease.intents), lease.newest_intent_at()) == (ACTIVE, ["tag"], START)


def test_activating_twice_is_activating_once(table: Table) -> None:
    activate(table)

    activate_lease(table, HOLDER, SUBJECT, {"power": "running"}, "tag", LATER)

    lease = find_lease(table, SUBJECT)
    assert lease is not None
    assert (lease.journal, lease.phase_since) == ({"power": "stopped"}, START), "the first journal counts"


@pytest.mark.parametrize("holder", [OTHER, REDRIVEN], ids=["another execution", "another redrive"])
def test_a_lease_of_somebody_else_is_not_activated(table: Table, holder: Holder) -> None:
    activate(table, holder)

    with pytest.raises(LeaseLostError, match="before it was active"):
        activate_lease(table, HOLDER, SUBJECT, {"power": "running"}, "tag", LATER)


def test_a_lease_that_is_being_given_back_or_gone_is_not_activated(table: Table) -> None:
    with pytest.raises(LeaseLostError, match="before it was active"):
        activate_lease(table, HOLDER, SUBJECT, {}, "tag", LATER)
    restore(table)

    with pytest.raises(LeaseLostError, match="before it was active"):
        activate_lease(table, HOLDER, SUBJECT, {}, "tag", LATER)


def test_an_intent_is_claimed_once_and_then_found_again(table: Table) -> None:
    activate(table)

    first = claim_intent(table, HOLDER, SUBJECT, "install", START, document="D")
    record_intent(table, HOLDER, SUBJECT, "install", {"id": "command-1", "expiresAt": "then"})
    again = claim_intent(table, HOLDER, SUBJECT, "install", LATER, document="another")

    assert (first.is_new, again.is_new) == (True, False)
    assert (first.intent.id, again.intent.id, again.intent.at) == ("", "command-1", START)
    assert again.intent.facts == {"document": "D", "expiresAt": "then"}
    assert first.lease.intents["install"] == first.intent


@pytest.mark.parametrize("holder", [OTHER, REDRIVEN], ids=["another execution", "another redrive"])
def test_only_the_holder_may_claim_or_record(table: Table, holder: Holder) -> None:
    activate(table)
    claim_intent(table, HOLDER, SUBJECT, "start", START)

    with pytest.raises(LeaseLostError, match="nothing was touched"):
        claim_intent(table, holder, SUBJECT, "stop", START)
    with pytest.raises(LeaseLostError, match="nothing was touched"):
        claim_intent(table, holder, SUBJECT, "start", START)
    with pytest.raises(LeaseLostError):
        record_intent(table, holder, SUBJECT, "start", {"id": "called"})


def test_no_intent_can_be_claimed_where_there_is_no_lease(table: Table) -> None:
    with pytest.raises(LeaseLostError):
        claim_intent(table, HOLDER, SUBJECT, "stop", START)
    assert find_lease(table, SUBJECT) is None


def test_from_restoring_on_the_owner_may_change_nothing_but_what_was_done_may_still_be_recorded(table: Table) -> None:
    activate(table)
    claim_intent(table, HOLDER, SUBJECT, "imageBefore", START)
    lease = find_lease(table, SUBJECT)
    assert lease is not None

    restoring = begin_restoring(table, lease, LATER)

    assert restoring == find_lease(table, SUBJECT)
    assert phase(table) == RESTORING
    with pytest.raises(LeaseLostError):
        claim_intent(table, HOLDER, SUBJECT, "stop", LATER)
    with pytest.raises(LeaseLostError):
        claim_intent(table, HOLDER, SUBJECT, "imageBefore", LATER)
    record_intent(table, HOLDER, SUBJECT, "imageBefore", {"id": "ami-1"})
    found = find_lease(table, SUBJECT)
    assert found is not None and found.intents["imageBefore"].id == "ami-1"


def test_restoring_begins_once_and_its_time_stays(table: Table) -> None:
    activate(table)
    active = find_lease(table, SUBJECT)
    assert active is not None
    begin_restoring(table, active, START)
    restoring = find_lease(table, SUBJECT)
    assert restoring is not None

    assert begin_restoring(table, restoring, LATER) == restoring

    found = find_lease(table, SUBJECT)
    assert found is not None and found.phase_since == START
    assert begin_restoring(table, active, LATER) is None, "a pass that read the lease before is late"


def test_a_claim_that_was_never_carried_out_is_renewed_by_one_function_only(table: Table) -> None:
    activate(table)
    intent = claim_intent(table, HOLDER, SUBJECT, "install", START, document="D").intent

    renewed = renew_intent(table, HOLDER, SUBJECT, intent, LATER)

    assert (renewed.at, renewed.facts) == (LATER, {"document": "D"})
    with pytest.raises(ServiceUnavailableError, match="another function"):
        renew_intent(table, HOLDER, SUBJECT, intent, LATER)


def test_a_claim_that_was_carried_out_is_not_renewed(table: Table) -> None:
    activate(table)
    intent = claim_intent(table, HOLDER, SUBJECT, "install", START).intent
    record_intent(table, HOLDER, SUBJECT, "install", {"id": "command-1"})

    with pytest.raises(ServiceUnavailableError):
        renew_intent(table, HOLDER, SUBJECT, intent, LATER)


@pytest.mark.parametrize("holder", [OTHER, REDRIVEN], ids=["another execution", "another redrive"])
def test_a_claim_of_somebody_else_is_not_renewed(table: Table, holder: Holder) -> None:
    activate(table)
    intent = claim_intent(table, HOLDER, SUBJECT, "install", START).intent

    with pytest.raises(LeaseLostError):
        renew_intent(table, holder, SUBJECT, intent, LATER)


def test_a_claim_is_not_renewed_once_the_machine_is_being_given_back(table: Table) -> None:
    activate(table)
    intent = claim_intent(table, HOLDER, SUBJECT, "start", START).intent
    lease = find_lease(table, SUBJECT)
    assert lease is not None
    begin_restoring(table, lease, LATER)

    with pytest.raises(LeaseLostError):
        renew_intent(table, HOLDER, SUBJECT, intent, LATER)


def test_who_carries_on_a_call_that_may_not_have_happened_is_seen_to_be_alive(table: Table) -> None:
    activate(table)
    claim_intent(table, HOLDER, SUBJECT, "start", START)

    again = claim_intent(table, HOLDER, SUBJECT, "start", LATER)

    assert (again.is_new, again.intent.at) == (False, LATER)
    lease = find_lease(table, SUBJECT)
    assert lease is not None and lease.newest_intent_at() == LATER


def test_a_command_that_may_have_been_sent_is_looked_for_before_it_is_announced_anew(table: Table) -> None:
    activate(table)
    claim_or_find_intent(table, HOLDER, SUBJECT, "install", START)

    again = claim_or_find_intent(table, HOLDER, SUBJECT, "install", LATER)

    assert (again.is_new, again.intent.at) == (False, START)


def test_a_call_that_aws_refused_is_no_longer_called_refused_when_it_is_announced_anew(table: Table) -> None:
    activate(table)
    claim_or_find_intent(table, HOLDER, SUBJECT, "install", START, document="D")
    record_intent(table, HOLDER, SUBJECT, "install", {REFUSED: "throttled"})
    intent = claim_or_find_intent(table, HOLDER, SUBJECT, "install", START).intent
    assert REFUSED in intent.facts

    renewed = renew_intent(table, HOLDER, SUBJECT, intent, LATER)

    assert renewed.facts == {"document": "D"}
    assert claim_or_find_intent(table, HOLDER, SUBJECT, "install", LATER).intent == renewed


def test_of_two_passes_only_one_may_change_the_machine_at_a_time(table: Table) -> None:
    lease = restore(table)

    assert claim_giving_back(table, lease, "giveBackStop", LATER)
    assert not claim_giving_back(table, lease, "giveBackStop", LATER + FUNCTION_LIFETIME)
    assert claim_giving_back(table, lease, "giveBackStop", LATER + FUNCTION_LIFETIME + timedelta(seconds=1))


def test_a_pass_that_comes_when_the_machine_has_a_new_owner_changes_nothing(table: Table) -> None:
    lease = restore(table)
    drop_lease(table, HOLDER, SUBJECT, RESTORING)
    assert not claim_giving_back(table, lease, "giveBackStop", LATER)

    activate(table, OTHER)
    assert not claim_giving_back(table, lease, "giveBackStop", LATER)

    found = find_lease(table, SUBJECT)
    assert found is not None and list(found.intents) == ["tag"]


def test_a_machine_that_is_not_being_given_back_is_not_changed_by_a_pass(table: Table) -> None:
    activate(table)
    lease = find_lease(table, SUBJECT)
    assert lease is not None

    assert not claim_giving_back(table, lease, "giveBackStop", LATER)


def test_the_newest_intent_tells_since_when_no_function_can_be_alive(table: Table) -> None:
    activate(table)
    lease = find_lease(table, SUBJECT)
    assert lease is not None and lease.newest_intent_at() == START

    claim_intent(table, HOLDER, SUBJECT, "start", START)
    claim_intent(table, HOLDER, SUBJECT, "stop", LATER)

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

    assert drop_lease(table, holder, SUBJECT, wanted_phase) is goes
    assert (find_lease(table, SUBJECT) is None) is goes


def test_the_lease_goes_and_the_result_comes_together(table: Table) -> None:
    activate(table)
    result = make_result(SUBJECT, HOLDER, START, "succeeded", LATER, {**FACTS, "verdict": "compliant"})

    assert end_lease_with_result(table, HOLDER, SUBJECT, ACTIVE, result)

    assert find_lease(table, SUBJECT) is None
    found = find_result(table, SUBJECT, HOLDER, START)
    assert found is not None and found["verdict"] == "compliant"


def test_a_lease_of_somebody_else_stays_and_no_result_is_written(table: Table) -> None:
    activate(table, OTHER)
    result = make_result(SUBJECT, HOLDER, START, "succeeded", LATER, FACTS)

    assert not end_lease_with_result(table, HOLDER, SUBJECT, ACTIVE, result)

    assert phase(table) == ACTIVE
    assert find_result(table, SUBJECT, HOLDER, START) is None


def test_the_first_result_of_an_execution_stands(table: Table) -> None:
    activate(table)
    end_lease_with_result(table, HOLDER, SUBJECT, ACTIVE, make_result(SUBJECT, HOLDER, START, "failed", START, {}))
    activate(table)

    second = make_result(SUBJECT, HOLDER, START, "succeeded", LATER, FACTS)

    assert not end_lease_with_result(table, HOLDER, SUBJECT, ACTIVE, second)
    found = find_result(table, SUBJECT, HOLDER, START)
    assert found is not None and found["outcome"] == "failed"
