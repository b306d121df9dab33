"""Results: one for each execution of a machine, found by the sweep until it was told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drydock.aws.table import Table
from drydock.records.holder import Holder
from drydock.records.results import (
    Result,
    UntoldResult,
    find_result,
    mark_result_told,
    put_result,
    result_key,
    untold_results,
)
from tests.unit.fakes import START
from tests.unit.records.recorded import a_group_result, a_member, a_result, a_roll, some_findings, some_work
from tests.unit.world import HOLDER, SUBJECT

LATER = START + timedelta(hours=1)
OF_A_RUN: dict[str, Any] = {"run_id": "run-7", "notify": "failures"}


AGENT: Any = {"agent": "AmazonSSMAgent", "name": "SSM Agent", "before": "1", "after": "2", "verdict": "updated"}
TEMPLATE: Any = {
    "templateId": "lt-0123456789abcdef0",
    "templateName": "web",
    "follows": "$Default",
    "sourceVersion": "3",
    "version": "4",
    "isDefault": True,
    "imageId": "ami-1",
    "instanceId": "i-1",
    "otherGroups": {"api": "$Latest"},
    "warnings": [],
}
MEMBERS = {
    "i-1": a_member(name="web-1", error="", cause="", verdict="compliant", move="exit", note="", image_id="ami-1"),
    "i-2": a_member("failed", error="ImageFailedError", cause="no image", move="hold"),
    "i-3": a_member("not_attempted", error="RollStoppedError", cause="1 failed", began=None, ended=None),
}
WHOLE = {
    "a success": a_result(run_id="run-7", notify="each"),
    "a failure": a_result("failed", work=some_work(problems=["the tag could not be written"])),
    "a Scan": a_result(work=some_work(findings=some_findings(patches_before=None, installed=[]))),
    "an update of agents": a_result(work=some_work(findings=some_findings(agents=[AGENT], patches_after=None))),
    "a machine that was given back": a_result("failed", work=some_work(findings=None), given_back=True),
    "a refusal": a_result("refused"),
    "a refusal by nobody": a_result("refused", run_id=None, notify=None),
    "a roll": a_group_result("failed", a_roll(MEMBERS, launch_template=TEMPLATE, problems=["min is 1"])),
    "a group that was given back": a_group_result("failed", given_back=True),
    "a group that was refused": a_group_result("refused", run_id=None, notify=None),
}


@pytest.mark.parametrize("result", WHOLE.values(), ids=WHOLE.keys())
def test_a_result_is_read_as_it_was_written(table: Table, result: Result) -> None:
    put_result(table, result)

    assert find_result(table, result.subject, result.holder, result.started) == result


@pytest.mark.parametrize("outcome", ["failed", "refused"])
@pytest.mark.parametrize("notify", ["each", "failures", "summary"])
@pytest.mark.parametrize("run", ["", "run-7"], ids=["by hand", "in a run"])
def test_what_did_not_succeed_waits_to_be_told(table: Table, outcome: str, notify: str, run: str) -> None:
    put_result(table, a_result(outcome, run_id=run, notify=notify))

    assert untold_results(table).read == [UntoldResult(SUBJECT, HOLDER, START, LATER, None)]


@pytest.mark.parametrize(
    ("run", "notify", "untold"),
    [("", "failures", 1), ("", "summary", 1), ("run-7", "each", 1), ("run-7", "failures", 0), ("run-7", "summary", 0)],
)
def test_a_success_waits_to_be_told_where_it_is_announced(table: Table, run: str, notify: str, untold: int) -> None:
    put_result(table, a_result(run_id=run, notify=notify))

    assert len(untold_results(table).read) == untold


def test_a_result_that_was_told_is_kept_and_waits_no_more(table: Table) -> None:
    result = a_result("failed")
    put_result(table, result)

    for _ in range(2):
        mark_result_told(table, result)

    assert untold_results(table).read == []
    assert find_result(table, SUBJECT, HOLDER, START) == result


def test_marking_what_does_not_exist_makes_nothing(table: Table) -> None:
    mark_result_told(table, a_result())

    assert find_result(table, SUBJECT, HOLDER, START) is None


def test_the_first_result_stands(table: Table) -> None:
    put_result(table, a_result("failed"))
    put_result(table, a_result(**OF_A_RUN))

    found = find_result(table, SUBJECT, HOLDER, START)
    assert found is not None and found.outcome == "failed"


def test_every_redrive_has_its_own_result(table: Table) -> None:
    again = Holder(HOLDER.execution, 1)
    put_result(table, a_result("failed"))
    put_result(table, a_result(holder=again, **OF_A_RUN))

    found = find_result(table, SUBJECT, again, START)
    assert found is not None and found.outcome == "succeeded"
    assert len(untold_results(table).read) == 1


def test_a_result_is_kept_for_a_year() -> None:
    result = a_result(ended=LATER).to_item()

    assert result["ttl"] == int((LATER + timedelta(days=365)).timestamp())
    assert (result["startedAt"], result["endedAt"]) == ("2026-01-13T01:00:00.000Z", "2026-01-13T02:00:00.000Z")


def test_an_execution_whose_name_was_used_before_has_a_result_of_its_own(table: Table) -> None:
    in_spring = START + timedelta(days=91)
    put_result(table, a_result("failed"))
    assert find_result(table, SUBJECT, HOLDER, in_spring) is None

    put_result(table, a_result(started=in_spring, ended=in_spring))

    outcomes = [find_result(table, SUBJECT, HOLDER, started) for started in (START, in_spring)]
    assert [result and result.outcome for result in outcomes] == ["failed", "succeeded"]


def test_executions_of_the_same_name_and_second_but_of_another_machine_have_results_of_their_own() -> None:
    other = Holder(HOLDER.execution.replace("drydock-PatchInstance", "drydock-RestoreInstance"), 0)

    assert result_key(SUBJECT, other, START) != result_key(SUBJECT, HOLDER, START)


def test_results_of_a_machine_sort_by_the_start_of_their_executions() -> None:
    starts = [START + timedelta(seconds=seconds) for seconds in (0, 1, 3600, 86_400, 400 * 86_400)]

    keys = [result_key(SUBJECT, HOLDER, started)["sk"] for started in starts]

    assert keys == sorted(keys)
