"""What is remembered of a machine: its successes, and after which time it failed since the last of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from drydock.aws.table import Table
from drydock.records.history import all_histories, find_history, history_change, note_failure
from drydock.records.results import Result, Work
from tests.unit.fakes import START
from tests.unit.records.recorded import a_result, some_work
from tests.unit.world import SUBJECT


def ended_after(seconds: int, outcome: str = "succeeded") -> tuple[Result, Work]:
    work = some_work()
    return replace(a_result(outcome, work=work), started=START, ended=START + timedelta(seconds=seconds)), work


def succeed(table: Table, seconds: int) -> None:
    result, work = ended_after(seconds)
    table.write_together([history_change(table, result, work, START, left_service=False)])


def fail(table: Table, seconds: int) -> None:
    result, work = ended_after(seconds, "failed")
    note_failure(table, result, work, START)


def test_a_failure_teaches_a_lower_bound_that_the_next_success_forgets(table: Table) -> None:
    succeed(table, 600)
    fail(table, 4000)
    fail(table, 90)

    known = find_history(table, "Install", SUBJECT.id)
    assert known is not None
    assert (known.seconds, known.failed_after) == ((600,), 4000)

    succeed(table, 1200)

    known = find_history(table, "Install", SUBJECT.id)
    assert known is not None
    assert (known.seconds, known.failed_after) == ((1200, 600), 0)


def test_a_machine_that_never_succeeded_has_a_history_too(table: Table) -> None:
    fail(table, 4000)

    (known,) = all_histories(table, "Install").values()
    assert (known.done, known.seconds, known.failed_after) == (None, (), 4000)
