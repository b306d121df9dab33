"""The process that plays cases of the crash matrix for the tests: it has one thread, so that it can be forked."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from rehearsal.proof.cases import Case, Point
from rehearsal.proof.matrix import SoakOutcome


class Matrix:
    """Asks that process; it makes each flow undisturbed once."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers

    def points(self, flow: str) -> Sequence[Point]:
        """Return the points of a flow."""
        points: Sequence[Point] = self._ask(flow)
        return points

    def play(self, cases: Sequence[Case]) -> list[SoakOutcome]:
        """Return the verdicts on some cases, in their order; each parts from its flow at its point."""
        verdicts: list[SoakOutcome] = self._ask(list(cases))
        return verdicts

    def _ask(self, request: object) -> Any:
        pickle.dump(request, self._requests)
        self._requests.flush()
        return pickle.load(self._answers)


@pytest.fixture(scope="session")
def matrix() -> Iterator[Matrix]:
    command = [sys.executable, "-m", "rehearsal.proof.soak", "--serve"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Matrix(process.stdin, process.stdout)
        process.stdin.close()
