"""What waves cost: `python -m benchmarks.waves`. How much longer a run takes than if no place in it were ever free.

Machines take times that are spread log-normally; the plan's own forecast says when the last one is done, in its own
order (the longest first) and in any. The seed is printed, and the same on every computer.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import mean

from drydock.plan.estimates import Estimate
from drydock.plan.plans import Candidate, DraftWave, predict
from drydock.subject import Instance

MACHINES, AT_ONCE, SIGMA, DRAWS, SEED = 100, 10, 0.4, 200, 1
WAVES = (1, 2, 4)
_MEDIAN_SECONDS = 1800
_START = datetime(2026, 1, 13, tzinfo=UTC)


def measure(waves: int, *, longest_first: bool, draws: int = DRAWS) -> float:
    """How much longer a run in so many waves takes than its work would with all places always in use, on average."""
    chance = random.Random(SEED)
    return mean(_measure_one(_draw(chance), waves, longest_first=longest_first) for _ in range(draws))


def _draw(chance: random.Random) -> list[int]:
    return [round(_MEDIAN_SECONDS * chance.lognormvariate(0, SIGMA)) for _ in range(MACHINES)]


def _measure_one(seconds: Sequence[int], waves: int, *, longest_first: bool) -> float:
    ordered = [_candidate(number, one) for number, one in enumerate(seconds)]
    if longest_first:
        ordered.sort(key=lambda machine: -machine.seconds)
    size = MACHINES // waves
    drafts = [DraftWave(tuple(ordered[at : at + size]), False) for at in range(0, MACHINES, size)]
    schedule = predict(drafts, _START, AT_ONCE, timedelta(), None, None)
    return (schedule.predicted_end - _START).total_seconds() / (sum(seconds) / AT_ONCE) - 1


def _candidate(number: int, seconds: int) -> Candidate:
    return Candidate(
        subject=Instance(f"i-{number:017x}"),
        name="",
        platform="Linux",
        patch_group="",
        power="running",
        managed="yes",
        tags={},
        estimate=Estimate(seconds, "own history", 1),
        not_attempted=False,
    )


def main() -> int:
    """Print the table."""
    argparse.ArgumentParser(prog="python -m benchmarks.waves", description=__doc__).parse_args()
    print(f"{MACHINES} machines, {AT_ONCE} at once, sigma {SIGMA}, mean of {DRAWS} draws, seed {SEED}")
    print(f"{'waves':>5}  {'longest first':>13}  {'any order':>9}")
    for waves in WAVES:
        first, other = (measure(waves, longest_first=longest_first) for longest_first in (True, False))
        print(f"{waves:>5}  {first:>13.0%}  {other:>9.0%}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
