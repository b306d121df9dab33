"""`drydock list`, `show` and `history`: what an operator finds out about runs, machines and groups."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.rehearsal.cli.at_the_desk import drydock
from tests.scenarios.run.scenario import FAILING, run_scenario


@pytest.fixture(scope="module")
def night() -> Iterator[SimpleNamespace]:
    """A run that has ended, one that waits for the operator, and one that is at work."""
    with run_scenario() as scene:
        web = scene.machines("web", 2)
        bad = scene.member("web", "web-9", **FAILING)
        scene.run("web", {"maxErrors": 3, "maxConcurrency": 3}, name="night-1")
        scene.approvers("ann")
        scene.start_run("web", {"approval": {"required": True}}, name="night-2")
        scene.run_for(3)
        scene.start_run("web", {"whenCompliant": "proceed", "maxConcurrency": 3}, name="day-1")
        scene.run_for(4)
        yield SimpleNamespace(scene=scene, web=web, bad=bad)


@pytest.mark.usefixtures("night")
def test_the_list_says_how_each_run_is_and_which_waits_for_whoever_looks() -> None:
    shown, document = drydock("list"), drydock("list", "--json").document

    assert (shown.code, shown.err) == (0, "")
    assert [line.split()[0] for line in shown.lines[1:4]] == ["day-1", "night-2", "night-1"]
    assert "in work: 3 of 3 machines begun" in shown.lines[1]
    assert "waits for you until 01:" in shown.lines[2]
    assert shown.lines[3].endswith("failed: 2 succeeded, 1 failed")
    assert shown.lines[-1] == "  drydock approve night-2"
    assert [run["waitsForMe"] for run in document["runs"]] == [False, True, False]
    assert max(map(len, shown.lines)) <= 80


@pytest.mark.usefixtures("night")
def test_the_list_goes_on_where_a_page_has_ended() -> None:
    first = drydock("list", "--most", "2")
    second = drydock("list", "--older-than", drydock("list", "--most", "2", "--json").document["olderThan"])
    last = drydock("list", "--older-than", "night-1")

    assert "  drydock list --older-than night-2" in first.lines
    assert [line.split()[0] for line in second.lines[1:]] == ["night-1"]
    assert (last.code, last.out) == (0, "The stack drydock has had no run before that.\n")


def test_a_page_of_the_list_costs_the_same_however_many_runs_there_are(night: SimpleNamespace) -> None:
    before = drydock("list", "--most", "2", "--json")
    client, table = night.scene.account.client("dynamodb"), night.scene.stack.outputs["StateTableName"]
    for number in range(60):
        started = f"2025-{1 + number // 6:02d}-01T0{number % 6}:00:00.000Z"
        old = {"pk": f"RUN#old-{number}", "sk": "RUN", "month": started[:7], "startedAt": started}
        client.put_item(TableName=table, Item={key: {"S": value} for key, value in old.items()})
    # The index lags a little.
    night.scene.run_for(0.1)

    after = drydock("list", "--most", "2", "--json")
    old_ones = drydock("list", "--most", "5", "--older-than", "night-1", "--json")

    assert after.asked == before.asked
    assert [after.asked.count(f"dynamodb:{one}") for one in ("Query", "BatchGetItem")] == [1, 1]
    assert old_ones.document["olderThan"] == "old-55"
    assert len(old_ones.document["unreadable"]) == 5


def test_a_run_is_shown_with_its_machines_messages_and_the_next_step(night: SimpleNamespace) -> None:
    shown, document = drydock("show", "night-1"), drydock("show", "night-1", "--json").document

    assert shown.lines[0] == "Run night-1: failed: 2 succeeded, 1 failed"
    assert f"web-9 ({night.bad.instance_id}): failed, 19 min: PatchingFailedError" in shown.words
    assert "look tomorrow: 1 of 3 machines failed (run night-1)" in shown.words
    assert "  Report: drydock report night-1 --open" in shown.lines
    assert document["report"]["outcome"] == "failed"
    assert [one["cause"] for one in document["messages"]][-1:] == ["outcome"]


def test_what_is_at_work_is_shown_with_what_it_waits_for(night: SimpleNamespace) -> None:
    run, machine = drydock("show", "latest"), drydock("show", "web-1")
    document = drydock("show", night.web[0].instance_id, "--json").document

    assert "in work" in run.words and "waits for image ami-" in run.words
    assert "In work by day-1-" in machine.words and "the image before" in machine.words
    assert document["lease"]["expectedSeconds"] == 300
    assert document["pace"]["Install"]["seconds"]
    assert [result["runId"] for result in document["results"]] == ["night-1"]


@pytest.mark.usefixtures("night")
def test_the_run_that_waits_is_found_by_that() -> None:
    shown = drydock("show", "waiting")

    assert shown.lines[0].startswith("Run night-2: waits for you until 01:")
    assert "    drydock approve night-2" in shown.lines


def test_a_machine_that_failed_is_shown_with_its_output_and_its_history(night: SimpleNamespace) -> None:
    shown, history = drydock("show", "web-9"), drydock("history", "web-9")

    assert shown.lines[0] == f"web-9 ({night.bad.instance_id}): Linux, running"
    assert "Still missing: openssl-3.0.8.x86_64, kernel-6.1.90.x86_64" in shown.words
    assert "the installation: Failed, exit code 1" in shown.words
    assert "Install: failed, 19 min, missing 2 → 2, run night-1: PatchingFailedError" in history.words
    assert drydock("history", "web-9", "--json").document["results"][0]["outcome"] == "failed"


@pytest.mark.usefixtures("night")
def test_what_nobody_knows_is_one_line_and_a_document() -> None:
    shown, document = drydock("show", "nobody"), drydock("show", "nobody", "--json").document
    wrong = drydock("list", "--most", "none", "--json")

    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("drydock: the stack drydock in ap-northeast-1 knows no run, machine or group nobody")
    assert document["error"]["exitCode"] == 2
    assert (wrong.code, wrong.document["error"]["exitCode"]) == (2, 2)
