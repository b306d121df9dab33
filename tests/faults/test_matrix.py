"""Samples of the crash matrix, a fixed and a seeded one; `make soak` plays all of it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rehearsal.proof.cases import (
    AT_CALLS,
    AT_READS,
    AT_STATES,
    MODES,
    STOPS,
    Case,
    Point,
    all_cases,
    choose_cases,
    cover,
    draw_pair,
)
from rehearsal.proof.flows import FLOWS
from rehearsal.proof.forks import Forks
from rehearsal.proof.matrix import SoakOutcome, play
from rehearsal.proof.soak import describe, format_table, main
from tests.faults.conftest import Matrix
from tests.proved import proved
from tests.rules.project import states

SEED = int(os.environ.get("SOAK_SEED") or random.randrange(1_000_000))
"""Another one each time, unless the environment names it."""

ROOT = Path(__file__).parents[2]

DRAWN = 1
"""Cases by chance for each flow, besides one that is disturbed twice."""

STOPPED_AT = 3
"""Where something gets lost, every so many-th of the states is drawn to be stopped in."""

DIES = ("dies_before", "dies_after")
OF_A_MACHINE = ("dies_after", "throttled", "answer_lost")
"""What happens to a step of a machine; whatever dies before a call has died after the one before it."""

OF_A_RUN = OF_A_ROLL = (*DIES, "times_out", "throttled", "answer_lost")


@dataclass(frozen=True)
class Share:
    """What happens in the fixed sample to each kind of call that these functions make in a flow.

    What is only read counts for functions that change nothing in the flow, and for all with `reads`.
    """

    flow: str
    modes: tuple[str, ...]
    functions: tuple[str, ...]
    reads: bool = False


SHARES = (
    Share(
        "stopped",
        OF_A_MACHINE,
        (
            "admit_instance",
            "back_up",
            "install_patches",
            "probe_instance",
            "release_instance",
            "restore_power",
            "scan_patches",
            "start_instance",
            "verify_patches",
            "wait_until_reachable",
        ),
    ),
    Share("stopped", OF_A_MACHINE, ("take_image",)),
    Share("stopped", DIES, ("follow_image",), reads=True),
    Share("nothing-missing", DIES, ("read_patches", "release_instance")),
    Share("stopped", DIES, ("resume_waiting",), reads=True),
    Share("hooked", OF_A_MACHINE, ("check_health", "finish_install", "read_patches", "run_hook")),
    Share("failing", OF_A_MACHINE, ("settle_commands",)),
    Share("failing", DIES, ("alert_failure",), reads=True),
    Share("updated", DIES, ("update_agent",), reads=True),
    Share("aborted", DIES, ("give_back",), reads=True),
    Share("run", OF_A_RUN, ("plan_run", "check_gates", "admit_machine", "record_outcome", "summarise_run")),
    Share("spent", (*DIES, "times_out"), ("admit_machine", "record_outcome")),
    Share("spent", ("throttled", "answer_lost"), ("record_outcome",)),
    Share("unanswered", ("dies_after",), ("ask_for_approval",)),
    Share("halted", ("dies_after",), ("give_back",), reads=True),
    Share("halted", ("dies_after",), ("summarise_run",)),
    Share(
        "roll",
        OF_A_ROLL,
        (
            "admit_group",
            "enter_standby",
            "make_room",
            "record_member",
            "release_group",
            "restore_group",
            "return_member",
            "take_turn",
        ),
    ),
    Share("roll", ("dies_after",), ("await_standby",)),
    Share("surged", DIES, ("launch_surge", "remove_surge"), reads=True),
    Share("grown", DIES, ("plan_launched_members",), reads=True),
    Share("golden", DIES, ("refresh_launch_template",), reads=True),
    Share("replaced", OF_A_ROLL, ("await_in_service", "return_member")),
    Share("recounted", DIES, ("await_in_service", "return_member")),
    Share("unrolled", (*DIES, "times_out"), ("give_back",)),
)

STOPPED_AGAIN = {"replaced": ("Return Member", "Await In Service")}
"""States that an earlier flow comes through, too, but does something else in."""

KNOWN = {
    # flow, mode, the first call that begins so: how it ends
    ("running", "dies_after", "back_up ec2:CreateImage"): "finished",
    ("running", "dies_after", "install_patches ssm:SendCommand"): "finished",
    ("running", "redriven", "install_patches ssm:SendCommand"): "finished",
    ("stopped", "dies_before", "resume_waiting stepfunctions"): "finished",
    ("stopped", "stopped", "install_patches ssm:SendCommand"): "finished",
    ("stopped", "stopped_hung", "start_instance ec2:StartInstances"): "as found",
    ("stopped", "refused", "restore_power ec2:StopInstances"): "finished",
    ("stopped", "redriven_late", "admit_instance dynamodb:PutItem"): "finished",
    ("hooked", "throttled", "run_hook ssm:SendCommand"): "finished",
    ("hooked", "hangs", "check_health ssm:SendCommand"): "finished",
    ("aborted", "dies_before", "give_back ec2:StopInstances"): "finished",
    ("run", "stopped_hung", "admit_machine dynamodb:PutItem"): "as found",
    ("run", "hangs", "record_outcome dynamodb:UpdateItem"): "finished",
    ("run", "redriven", "check_gates dynamodb:UpdateItem"): "as found",
    ("run", "refused", "summarise_run s3:PutObject"): "finished",
    ("run", "dies_after", "summarise_run sns:Publish"): "finished",
    ("roll", "hangs", "return_member autoscaling:ExitStandby"): "finished",
    ("roll", "stopped_hung", "make_room autoscaling:UpdateAuto"): "as found",
    ("roll", "redriven_late", "make_room autoscaling:SuspendProcesses"): "as found",
    ("replaced", "dies_after", "return_member autoscaling:Terminate"): "as found",
    ("replaced", "dies_before", "await_in_service autoscaling:Set"): "as found",
    ("unrolled", "dies_after", "give_back autoscaling:ExitStandby"): "half-way",
    ("stopped", "hangs", "start_instance ec2:StartInstances"): "finished",
    ("run", "hangs", "admit_machine dynamodb:PutItem"): "finished",
    ("spent", "hangs", "record_outcome dynamodb:TransactWriteItems"): "half-way",
    ("roll", "hangs", "make_room autoscaling:UpdateAuto"): "finished",
    ("roll", "refused", "admit_group dynamodb:PutItem"): "as found",
    ("roll", "refused", "admit_group dynamodb:UpdateItem"): "as found",
    ("roll", "refused", "enter_standby dynamodb:UpdateItem"): "as found",
    ("roll", "refused", "record_member dynamodb:UpdateItem"): "half-way",
    ("replaced", "throttled", "await_in_service autoscaling:Describe"): "as found",
}
"""What was trouble once, or is in no share."""


def at(points: Sequence[Point], flow: str, mode: str, text: str, *, loses_events: bool = False) -> Case:
    """The case in which something happens at the first point that is described so."""
    numbers = [number for number, point in enumerate(points, 1) if point.text.startswith(text)]
    assert numbers, f"{flow} does not come to {text}"
    return Case(flow, mode, numbers[0], loses_events)


def fixed_sample(flow: str, points: Sequence[Point]) -> Iterator[Case]:
    """What the shares say, and each function dies before its first call."""
    changing = {point.function for point in points if point.kind == "change"}
    for share in SHARES:
        begun: set[str] = set()
        for case in cover({flow: points}, ("dies_before", *share.modes)) if share.flow == flow else ():
            point = points[case.number - 1]
            counts = point.kind == "change" or share.reads or point.function not in changing
            if point.function in share.functions and counts:
                if case.mode in share.modes or point.function not in begun:
                    yield case
                begun.add(point.function)


def seeded_sample(flow: str, points: Sequence[Point]) -> list[Case]:
    sys.stdout.write(f"SOAK_SEED={SEED}\n")
    chance = random.Random(f"{SEED} {flow}")
    return [*chance.sample(all_cases({flow: points}), DRAWN), draw_pair({flow: points}, chance)]


def assert_kept(verdicts: Iterable[SoakOutcome]) -> None:
    broken = [describe(verdict) for verdict in verdicts if verdict.violations]
    assert not broken, f"SOAK_SEED={SEED}\n" + "\n".join(broken)


@pytest.mark.parametrize("flow", FLOWS)
def test_whatever_happens_to_a_call_what_is_promised_is_kept(flow: str, matrix: Matrix) -> None:
    points = matrix.points(flow)
    known = {at(points, *place): end for place, end in KNOWN.items() if place[0] == flow}
    cases = [Case(flow), *fixed_sample(flow, points), *known, *seeded_sample(flow, points)]

    verdicts = matrix.play(list(dict.fromkeys(cases)))

    assert_kept(verdicts)
    ends = {verdict.case: verdict.end for verdict in verdicts}
    assert {case: ends[case] for case in known} == known


LOSSES = {"nothing": (False, False), "events": (True, False), "cancellations": (False, True), "both": (True, True)}


@pytest.mark.parametrize("loses_something", [False, True], ids=["nothing is lost", "something is lost"])
@pytest.mark.parametrize("flow", [flow.name for flow in FLOWS.values() if flow.stopped_in is None])
def test_wherever_an_execution_is_stopped_what_is_promised_is_kept(
    flow: str, loses_something: bool, matrix: Matrix
) -> None:
    loses = choose_loss(flow) if loses_something else "nothing"
    events, cancellations = LOSSES[loses]
    clean = Case(flow, loses_events=events, loses_cancellations=cancellations)
    cases = [
        replace(case, mode=mode, loses_events=events, loses_cancellations=cancellations)
        for case, kind in choose_states(list(states_first_come_to(flow, matrix)), flow, loses)
        for mode in choose_stops(case, kind, loses)
    ]

    verdicts = matrix.play([clean, *cases])

    assert_kept(verdicts)
    assert verdicts[0].end == FLOWS[flow].end


def states_first_come_to(flow: str, matrix: Matrix) -> Iterator[tuple[Case, str]]:
    """The states that no flow before this one comes through, each as a case, with whose state it is."""
    earlier = list(FLOWS)[: list(FLOWS).index(flow)]
    seen = {
        point.function for one in earlier if FLOWS[one].machine == FLOWS[flow].machine for point in matrix.points(one)
    }
    points = matrix.points(flow)
    for case in cover({flow: points}, ("stopped_soon",)):
        point = points[case.number - 1]
        if point.function not in seen or point.function in STOPPED_AGAIN.get(flow, ()):
            yield case, point.kind


def choose_loss(flow: str) -> str:
    """What gets lost, by chance; cancellations where the flow starts something that could run on."""
    return random.Random(f"{SEED} {flow}").choice([*LOSSES][1:] if FLOWS[flow].starts_others else ["events"])


def choose_states(states: Sequence[tuple[Case, str]], flow: str, loses: str) -> Sequence[tuple[Case, str]]:
    """All of them when nothing is lost, and otherwise some by chance."""
    if loses == "nothing":
        return states
    return random.Random(f"{SEED} {flow} {loses}").sample(states, -(-len(states) // STOPPED_AT))


def choose_stops(case: Case, kind: str, loses: str) -> Iterator[str]:
    """In the function when nothing is lost, and otherwise an instant by chance; what else there is to stop there."""
    chance = random.Random(f"{SEED} {case} {loses}")
    yield "stopped_soon" if loses == "nothing" else chance.choice(["stopped_at_once", "stopped_soon", "stopped_later"])
    if FLOWS[case.flow].starts_others and loses in ("nothing", "events"):
        yield chance.choice(["redriven_soon", "redriven_after"])
    if kind == "child" and loses in ("nothing", "cancellations"):
        yield "child_stopped"


RESTORING = {"admit_restore", "replace_root_volume", "verify_restore"}
"""RestoreInstance has no flow of its own here: it is killed in its tasks in tests/scenarios/machine/test_restore.py."""


def test_every_function_and_every_state_that_takes_time_is_put_to_the_test(matrix: Matrix) -> None:
    functions = {function for share in SHARES for function in share.functions}
    stopped = {point.function for flow in FLOWS for point in matrix.points(flow) if point.kind in ("state", "child")}

    # What people, other machines and a schedule start is no part of a flow.
    assert (
        functions
        == {path.name for path in (ROOT / "functions").iterdir()}
        - {
            "decide_run",
            "prune_images",
            "stop_run",
        }
        - RESTORING
    )
    machines = {flow.machine for flow in FLOWS.values()}
    lasting = {
        state.name
        for state in states()
        if state.type in ("Task", "Wait", "Map") and state.flow.partition("/")[0] in machines
    }
    # A run that rolls through a group is stopped in test_run_groups.
    assert stopped == lasting - {"Roll Group", "Stop Run"}


@pytest.mark.parametrize(
    ("flow", "mode", "text"),
    [
        ("stopped", "dies_after", "install_patches ssm:SendCommand"),
        proved("run", "stopped_hung", "admit_machine dynamodb:PutItem"),
        ("roll", "stopped_later", "Patch Member"),
    ],
)
def test_a_case_that_is_forked_ends_as_from_its_beginning(flow: str, mode: str, text: str, matrix: Matrix) -> None:
    case = at(matrix.points(flow), flow, mode, text)
    cases = [case, replace(case, loses_events=True)]

    forked = matrix.play(cases)

    assert forked == [play(case) for case in cases]
    assert all(verdict.log and verdict.calls and verdict.told for verdict in forked)


def test_a_process_with_several_threads_is_not_forked() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        with Forks(1) as forks, pytest.raises(RuntimeError, match="one thread"):
            forks.fork("anything")
    finally:
        over.set()
        thread.join()


def test_what_came_of_each_fork_is_known_even_when_it_died() -> None:
    program = """if True:
        import os
        from rehearsal.proof.forks import Forks
        with Forks(2) as forks:
            for name in ("answers", "dies", "fails"):
                if forks.fork(name):
                    if name == "answers":
                        forks.answer(name.upper())
                    if name == "dies":
                        os._exit(3)
                    raise ValueError(name)
        print(forks.is_child, sorted((name, str(answer)) for name, answer in forks.results.items()))
        """

    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    died = [("dies", "the process ended with 3"), ("fails", "the process ended with 1")]
    assert ran.stdout.strip() == f"False {[('answers', 'ANSWERS'), *died]}"


def test_a_case_reads_what_it_writes_and_refuses_what_is_none() -> None:
    for text in (
        "running:dies_before:12",
        "nothing-missing:clean:0",
        "hooked:clean:0:lost",
        "roll:hangs:3+stopped:5:lost:uncancelled",
    ):
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


CHANGE = Point("change", "back_up", "ec2:CreateImage", "back_up ec2:CreateImage")
READ = Point("read", "back_up", "ec2:DescribeImages", "back_up ec2:DescribeImages")
STATE = Point("state", "Back Up Before", "", "Back Up Before")
CHILD = Point("child", "Patch Machine", "", "Patch Machine")


def test_the_matrix_has_every_change_in_every_mode_and_each_kind_of_read_and_state_once() -> None:
    points = [STATE, READ, CHANGE, READ, CHANGE, CHILD, STATE]

    cases = all_cases({"running": points})

    states = len(AT_STATES)
    assert len(set(cases)) == len(cases) == 2 * len(AT_CALLS) + len(AT_READS) + (states - 1) + states
    assert {case.number for case in cases} == {1, 2, 3, 5, 6}
    stopped = [case for case in all_cases({"aborted": points}) if case.mode in STOPS]
    assert stopped == []


def test_a_sample_is_the_same_for_the_same_seed_and_has_all_clean_runs() -> None:
    points = {"running": [CHANGE, READ, CHANGE, STATE]}

    drawn = [choose_cases(points, MODES, 5, 3, 4, seed=7) for _ in range(2)]

    assert drawn[0] == drawn[1]
    assert [case.mode for case in drawn[0][:2]] == ["clean", "clean"]
    assert len(drawn[0]) == 2 + 5 + 3 + 4
    assert sum(case.loses_events or case.loses_cancellations for case in drawn[0]) == 1 + 3
    assert sum(case.then is not None for case in drawn[0]) == 4


def test_the_table_counts_how_machines_ended_and_what_is_wrong() -> None:
    table = format_table(
        [
            SoakOutcome(Case("running", "hangs", 1), "", "finished", ()),
            SoakOutcome(Case("running", "hangs", 2), "", "as found", ("power: wrong",), told_twice=True),
        ]
    )

    assert table.splitlines()[1].split() == ["running", "hangs", "2", "1", "1", "0", "1", "1"]


def test_a_case_is_replayed_with_every_point_that_it_comes_to(
    capsys: pytest.CaptureFixture[str], matrix: Matrix
) -> None:
    case = at(matrix.points("running"), "running", "throttled", "alert_failure sns:Publish")

    code = main(["--replay", str(case)])

    shown = capsys.readouterr().out
    assert code == 0
    assert "Install Patches" in shown
    assert "*** throttled" in shown
    assert f"python -m rehearsal.proof.soak --replay {case}" in shown
