"""What the world needs of the account that it is in."""

from __future__ import annotations

from typing import Any, Protocol

from rehearsal.engine.bus import EventBus
from rehearsal.engine.clock import VirtualClock


class Host(Protocol):
    """An account, as its machines, groups and windows see it."""

    @property
    def clock(self) -> VirtualClock:
        """Return the one clock of the account."""

    @property
    def bus(self) -> EventBus:
        """Return what takes the account's events."""

    def make_uuid(self) -> str:
        """Return a UUID that depends on the account's seed alone."""

    def client(self, service: str) -> Any:
        """Return a boto3 client of AWS itself: no virtual time, no permissions."""

    def status_of(self, execution: str) -> str:
        """Return the status of an execution by its ARN, without a call; raises KeyError when there is none."""

    def run_until_quiet(self) -> None:
        """Run until nothing but schedules is left."""
