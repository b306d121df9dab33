"""A monitor of an Auto Scaling group: what a roll through it may never do, at every moment of virtual time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rehearsal.world.group_members import Change
from rehearsal.world.groups import Group

if TYPE_CHECKING:
    from rehearsal.account import EmbeddedAccount


@dataclass
class Outage:
    """One time that a member was out of service, by way of standby; what has not happened is None."""

    instance_id: str
    left: datetime
    standby: datetime | None = None
    returned: datetime | None = None
    """When the way back began."""
    in_service: datetime | None = None
    healthy: datetime | None = None
    gone: datetime | None = None

    @property
    def ended(self) -> datetime | None:
        """Return when the member was healthy in service again, or gone."""
        return self.healthy or self.gone


class GroupMonitor:
    """Watches a group from now on.

    Never may more than `batch` members be out by way of standby, until they are healthy in all target groups again.
    Each time that one leaves, at least `min_healthy` must be left healthy in service; by default, what is wanted at
    that moment (the desired capacity, and those who are out) less the batch.
    """

    def __init__(
        self, account: EmbeddedAccount, group: Group, *, batch: int = 1, min_healthy: int | None = None
    ) -> None:
        self.group = group
        self.batch = batch
        self.min_healthy = min_healthy
        self.outages: list[Outage] = []
        self.violations: list[str] = []
        self.most_out = 0
        self.fewest_healthy: int | None = None
        """The fewest that were left healthy in service when a member left."""
        self._clock = account.clock
        self._out: dict[str, Outage] = {}
        group.listeners.append(self._notice)

    @property
    def out(self) -> list[str]:
        """Return the ids of the members that are out now."""
        return list(self._out)

    def outages_of(self, instance_id: str) -> list[Outage]:
        """Return the times that a member was out, in order."""
        return [outage for outage in self.outages if outage.instance_id == instance_id]

    def check(self) -> None:
        """Raise AssertionError, with all that was wrong, unless nothing ever was."""
        assert not self.violations, "\n".join(self.violations)

    def close(self) -> None:
        """Watch no longer."""
        self.group.listeners.remove(self._notice)

    def _notice(self, change: Change) -> None:
        if change.what == "EnteringStandby":
            self._leave(change)
        outage = self._out.get(change.instance_id)
        if outage is not None:
            self._follow(outage, change)

    def _leave(self, change: Change) -> None:
        outage = Outage(change.instance_id, left=change.at)
        self.outages.append(outage)
        self._out[change.instance_id] = outage
        healthy = self.group.count_healthy()
        self.most_out = max(self.most_out, len(self._out))
        self.fewest_healthy = healthy if self.fewest_healthy is None else min(self.fewest_healthy, healthy)
        if len(self._out) > self.batch:
            self._violate(change, f"{len(self._out)} are out of service ({', '.join(self._out)}), not {self.batch}")
        floor = self.min_healthy
        if floor is None:
            # Whoever is on the way back is wanted again already.
            floor = self.group.desired + sum(one.returned is None for one in self._out.values()) - self.batch
        if healthy < floor:
            self._violate(change, f"{healthy} are left healthy in service, not {floor}")

    def _follow(self, outage: Outage, change: Change) -> None:
        if change.what == "Standby":
            outage.standby = change.at
        elif change.what == "Pending":
            outage.returned = change.at
        elif change.what == "InService":
            outage.in_service = change.at
        elif change.what == "Terminated":
            outage.gone = change.at
        member = self.group.members.get(change.instance_id)
        if member is not None and outage.in_service is not None and self.group.is_healthy(member):
            outage.healthy = change.at
        if outage.ended is not None:
            del self._out[change.instance_id]

    def _violate(self, change: Change, what: str) -> None:
        self.violations.append(f"{change.at:%H:%M:%S} {self.group.name}: {change.instance_id} left, and {what}")
