"""Samples of the crash matrix; `make soak` plays all of it."""

from __future__ import annotations

import os
import random
import sys
from functools import cache

import pytest

from rehearsal.proof.soak import (
    FLOWS,
    MODES,
    Case,
    Verdict,
    all_cases,
    choose_cases,
    count_changes,
    describe,
    draw_pair,
    format_table,
    main,
    play,
)

SEED = int(os.environ.get("SOAK_SEED") or random.randrange(1_000_000))
"""Another one each time, unless the environment names it."""

DRAWN = 4
"""Cases of each seeded sample."""


@cache
def changes_of(flow: str) -> list[str]:
    return count_changes(flow)


def case_at(flow: str, mode: str, call: str, *, loses_events: bool = False) -> Case:
    """The case in which something happens at the first changing call that is described so."""
    numbers = [number for number, described in enumerate(changes_of(flow), 1) if described.startswith(call)]
    assert numbers, f"{flow} makes no call {call}"
    return Case(flow, mode, numbers[0], loses_events)


@pytest.mark.parametrize(
    ("flow", "mode", "call", "end"),
    [
        pytest.param("running", "dies_after", "back_up ec2:CreateImage", "finished", id="image-without-reply"),
        pytest.param("running", "dies_after", "install_patches ssm:SendCommand", "finished", id="sent-without-reply"),
        pytest.param("stopped", "dies_after", "start_instance ec2:StartInstances", "finished", id="start-unanswered"),
        pytest.param("stopped", "dies_before", "resume_waiting stepfunctions", "finished", id="answer-never-given"),
        pytest.param("stopped", "dies_after", "release_instance dynamodb:TransactWrite", "finished", id="released"),
        pytest.param("stopped", "stopped", "install_patches ssm:SendCommand", "finished", id="stopped-as-it-installs"),
        pytest.param("stopped", "stopped_hung", "start_instance ec2:StartInstances", "as found", id="started-late"),
        pytest.param("hooked", "throttled", "run_hook ssm:SendCommand", "finished", id="hook-throttled"),
        pytest.param("hooked", "hangs", "check_health ssm:SendCommand", "finished", id="health-check-hangs"),
        pytest.param("stopped", "refused", "restore_power ec2:StopInstances", "finished", id="stop-refused"),
        pytest.param("running", "redriven", "install_patches ssm:SendCommand", "finished", id="redriven-at-once"),
        pytest.param("stopped", "redriven_late", "admit_instance dynamodb:PutItem", "finished", id="redriven-late"),
        pytest.param("aborted", "dies_before", "give_back ec2:StopInstances", "finished", id="giving-back-dies"),
        pytest.param("run", "dies_before", "plan_run dynamodb:UpdateItem", "finished", id="plan-written-not-recorded"),
        pytest.param("run", "dies_after", "admit_machine dynamodb:UpdateItem", "finished", id="counted-without-place"),
        pytest.param("run", "stopped_hung", "admit_machine dynamodb:PutItem", "as found", id="let-in-after-the-stop"),
        pytest.param("run", "hangs", "record_outcome dynamodb:TransactWriteItems", "finished", id="outcome-late"),
        pytest.param("run", "redriven", "check_gates dynamodb:UpdateItem", "as found", id="run-redriven"),
        pytest.param("run", "refused", "summarise_run s3:PutObject", "finished", id="report-refused"),
        pytest.param("run", "dies_after", "summarise_run sns:Publish", "finished", id="told-without-a-note"),
        pytest.param(
            "roll", "dies_after", "enter_standby autoscaling:EnterStandby", "finished", id="standby-unanswered"
        ),
        pytest.param("roll", "hangs", "return_member autoscaling:ExitStandby", "finished", id="return-late"),
        pytest.param(
            "roll", "stopped_hung", "make_room autoscaling:UpdateAuto", "as found", id="min-lowered-after-stop"
        ),
        pytest.param("roll", "redriven_late", "make_room autoscaling:SuspendProcesses", "as found", id="roll-redriven"),
        pytest.param(
            "replaced", "dies_after", "return_member autoscaling:Terminate", "as found", id="replaced-unanswered"
        ),
        pytest.param("replaced", "dies_before", "await_in_service autoscaling:Set", "as found", id="never-asked-for"),
        pytest.param(
            "unrolled", "dies_after", "give_back autoscaling:ExitStandby", "half-way", id="given-back-unanswered"
        ),
    ],
)
def test_a_disturbed_flow_keeps_what_is_promised(flow: str, mode: str, call: str, end: str) -> None:
    verdict = play(case_at(flow, mode, call))

    assert not verdict.violations, describe(verdict)
    assert verdict.end == end


@pytest.mark.parametrize("flow", FLOWS)
def test_a_flow_keeps_what_is_promised_when_every_event_is_lost(flow: str) -> None:
    verdict = play(Case(flow, "clean", 0, loses_events=True))

    assert not verdict.violations, describe(verdict)
    assert verdict.end == FLOWS[flow].end


@pytest.mark.parametrize("sample", range(2))
def test_a_seeded_sample_keeps_what_is_promised(sample: int) -> None:
    sys.stdout.write(f"SOAK_SEED={SEED}\n")
    chance = random.Random(f"{SEED} {sample}")
    changes = {flow: len(changes_of(flow)) for flow in FLOWS}
    cases = [*chance.sample(all_cases(changes), DRAWN), draw_pair(chance, changes)]

    broken = [describe(verdict) for case in cases if (verdict := play(case)).violations]

    assert not broken, f"SOAK_SEED={SEED}\n" + "\n".join(broken)


def test_a_case_reads_what_it_writes_and_refuses_what_is_none() -> None:
    for text in ("running:dies_before:12", "hooked:clean:0:lost", "stopped:hangs:3+stopped:5"):
        assert str(Case.read(text)) == text
    for text in (
        "running:dies:1",
        "walking:hangs:1",
        "running:hangs:1:found",
        "running:hangs",
        "running:hangs:1+dies:2",
    ):
        with pytest.raises(ValueError):
            Case.read(text)


def test_the_matrix_has_every_call_of_every_flow_in_every_mode() -> None:
    cases = all_cases({"running": 3, "aborted": 2})

    assert len(set(cases)) == len(cases) == 3 * len(MODES) + 2 * (len(MODES) - 4)


def test_a_sample_is_the_same_for_the_same_seed_and_has_all_clean_runs() -> None:
    drawn = [choose_cases(["running"], tuple(MODES), 5, 3, 4, seed=7) for _ in range(2)]

    assert drawn[0] == drawn[1]
    assert [case.mode for case in drawn[0][:2]] == ["clean", "clean"]
    assert len(drawn[0]) == 2 + 5 + 3 + 4
    assert sum(case.loses_events for case in drawn[0]) == 1 + 3


def test_the_table_counts_how_machines_ended_and_what_is_wrong() -> None:
    table = format_table(
        [
            Verdict(Case("running", "hangs", 1), "", "finished", ()),
            Verdict(Case("running", "hangs", 2), "", "as found", ("power: wrong",), told_twice=True),
        ]
    )

    assert table.splitlines()[1].split() == ["running", "hangs", "2", "1", "1", "0", "1", "1"]


def test_a_case_is_replayed_with_every_changing_call(capsys: pytest.CaptureFixture[str]) -> None:
    case = case_at("running", "throttled", "announce_success sns:Publish")

    code = main(["--replay", str(case)])

    shown = capsys.readouterr().out
    assert code == 0
    assert "*** throttled" in shown
    assert f"python -m rehearsal.proof.soak --replay {case}" in shown
