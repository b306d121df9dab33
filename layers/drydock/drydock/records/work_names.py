"""What the intents of a lease, and the commands that they stand for, are called when people read of them."""

from __future__ import annotations

from drydock.catalogue.saying import knows, say
from drydock.records.intents import kind_of

_PROOF = "proof"


def name_work(intent: str) -> str:
    """`the installation`, `the hook onExit`; what has no name is called as it is written down."""
    kind = kind_of(intent)
    what = kind if kind == _PROOF else intent.partition(":")[0]
    return say(f"work.{what}") if knows(f"work.{what}") else what
