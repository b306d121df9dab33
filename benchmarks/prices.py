"""What AWS bills for a run: list prices in US dollars of us-east-1, free tiers left out."""

from __future__ import annotations

from benchmarks.flows import OWN_SECONDS, Cost

TRANSITION = 0.025 / 1000
INVOCATION = 0.20 / 1_000_000
GIGABYTE_SECOND = 0.0000133334
"""Of Lambda on arm64."""
WRITE_UNIT = 0.625 / 1_000_000
WRITE_UNITS = 2
"""Taken for a write to the table: the item, and its copy in an index."""

FORMULA = (
    "cost = transitions x $0.025/1,000 + invocations x $0.20/1,000,000 + GB-s x $0.0000133334"
    f" + table writes x {WRITE_UNITS} x $0.625/1,000,000\n"
    f"GB-s = memory x ({OWN_SECONDS} s an invocation + 0.05 s an AWS call)"
)


def price(cost: Cost) -> float:
    """Return the price of patching 1,000 machines."""
    return 1000 * (
        cost.average("transitions") * TRANSITION
        + cost.average("invocations") * INVOCATION
        + cost.average("gigabyte_seconds") * GIGABYTE_SECOND
        + cost.average("table_writes") * WRITE_UNITS * WRITE_UNIT
    )
