"""Plays the crash matrix, or some of it, and prints how it went: `python -m rehearsal.proof.soak`.

`rehearsal.proof.matrix` says what that is.
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import typer

from rehearsal.proof.cases import MODES, Case, choose_cases
from rehearsal.proof.flows import FLOWS
from rehearsal.proof.matrix import ENDS, SoakOutcome, find_undisturbed, play, play_all
from rehearsal.proof.pairs import record


def format_table(verdicts: Sequence[SoakOutcome]) -> str:
    """Flow by mode: runs, how the machines ended, messages repeated, runs with violations."""
    rows: list[tuple[str, ...]] = [("flow", "mode", "runs", *ENDS, "twice", "wrong")]
    groups: dict[tuple[str, str], list[SoakOutcome]] = {}
    for verdict in verdicts:
        case = verdict.case
        loses = case.loses_events or case.loses_cancellations
        mode = "two of them" if case.then else case.mode
        groups.setdefault((case.flow, mode + (" *" if loses else "")), []).append(verdict)
    for flow, mode in sorted(groups, key=_place_in_table):
        group = groups[flow, mode]
        ends = Counter(verdict.end for verdict in group)
        wrong = sum(bool(verdict.violations) for verdict in group)
        twice = sum(verdict.told_twice for verdict in group)
        counts = (len(group), *(ends[end] for end in ENDS), twice, wrong)
        rows.append((flow, mode, *(str(count) for count in counts)))
    lines = [f"{flow:<11}{mode:<18}" + "".join(f"{cell:>10}" for cell in cells) for flow, mode, *cells in rows]
    if any(mode.endswith("*") for _, mode in groups):
        lines.append("* events, cancellations or both are lost")
    return "\n".join(lines)


def _place_in_table(row: tuple[str, str]) -> tuple[int, bool, int]:
    """Flow by flow, those that lose nothing first, in the order of the modes."""
    flow, mode = row
    modes = ["clean", *MODES, "two of them"]
    return list(FLOWS).index(flow), mode.endswith("*"), modes.index(mode.removesuffix(" *"))


def replay_command(case: Case) -> str:
    """The command that plays one case again and tells all about it."""
    return f"python -m rehearsal.proof.soak --replay {case}"


def describe(verdict: SoakOutcome) -> str:
    """A case with what is wrong about it, and how to see it again."""
    wrong = "".join(f"\n    {violation}" for violation in verdict.violations)
    return f"{verdict.case}  at {verdict.what}  {verdict.end}{wrong}\n    {replay_command(verdict.case)}"


def main(arguments: list[str]) -> int:
    """Print the table; the exit code is 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m rehearsal.proof.soak", description=__doc__)
    parser.add_argument("--sample", type=int, metavar="N", help="only N cases, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--lost", type=int, default=200, metavar="N", help="how many cases also lose events")
    parser.add_argument("--pairs", type=int, default=200, metavar="N", help="how many cases disturb twice")
    parser.add_argument("--flow", choices=FLOWS, action="append", help="only this flow (may be repeated)")
    parser.add_argument("--mode", choices=MODES, action="append", help="only this mode (may be repeated)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--replay", type=Case.read, metavar="FLOW:MODE:K", help="play one case and show it in detail")
    parser.add_argument("--serve", action="store_true", help="play what the tests ask for on the standard input")
    options = parser.parse_args(arguments)
    record()
    if options.serve:
        _serve()
        return 0
    if options.replay:
        verdict = play(options.replay)
        typer.echo("\n".join(verdict.log))
        typer.echo(describe(verdict))
        return int(bool(verdict.violations))
    return _soak(options)


def _soak(options: argparse.Namespace) -> int:
    began = time.perf_counter()
    points = {flow: find_undisturbed(flow).points for flow in options.flow or FLOWS}
    cases = choose_cases(points, options.mode or MODES, options.sample, options.lost, options.pairs, options.seed)
    done = 0

    def hear(verdict: SoakOutcome) -> None:
        nonlocal done
        done += 1
        if verdict.violations:
            typer.echo(describe(verdict))
        if done % 100 == 0:
            typer.echo(f"{done} of {len(cases)} after {time.perf_counter() - began:.0f} s", err=True)

    verdicts = play_all(cases, options.processes, hear)
    typer.echo(format_table(verdicts))
    wrong = sum(bool(verdict.violations) for verdict in verdicts)
    typer.echo(
        f"{len(verdicts)} runs, {wrong} with violations, {time.perf_counter() - began:.0f} s, seed {options.seed}"
    )
    return int(wrong > 0)


def _serve() -> None:
    """Answer requests until there are none: the name of a flow with its points, cases with their verdicts."""
    answers: dict[type, Callable[[Any], object]] = {
        str: lambda flow: find_undisturbed(flow).points,
        list: lambda cases: play_all(cases, processes=1),
    }
    answer_to, sys.stdout = sys.stdout.buffer, sys.stderr
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(answers[type(request)](request), answer_to)
        answer_to.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
