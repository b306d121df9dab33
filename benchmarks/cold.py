"""A window in which every function is cold: the first invocation in each execution begins with an import."""

from __future__ import annotations

from collections.abc import Callable

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.functions import FunctionHost, Outcome
from rehearsal.engine.repairs.patches import Patches

COLD_SECONDS = 3.0
"""Assumed: 0.35 s of processor time, which the table of cold starts shows, at the seventh of a processor that 256 MB
have, and half a second for the sandbox. Lambda gives more while a function is imported, and does not say how much."""


def chill(account: EmbeddedAccount, patches: Patches) -> None:
    """Make every function cold in each execution, and once for events, until the patches are closed."""
    warm: set[tuple[str, str | None]] = set()

    def invoke(
        original: Callable[..., Outcome], host: FunctionHost, name: str, payload: str, execution: str | None = None
    ) -> Outcome:
        key = (host.find(name).name, execution)
        if key not in warm:
            warm.add(key)
            account.clock.sleep(COLD_SECONDS)
        return original(host, name, payload, execution)

    patches.wrap(FunctionHost, "invoke", invoke)
