"""Instance refreshes of an Auto Scaling group: its members are replaced, some at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rehearsal.engine.answers import AWSError
from rehearsal.engine.clock import Timer
from rehearsal.world.group_members import Change, Member
from rehearsal.world.groups import Group

_OPEN = ("Pending", "InProgress", "Cancelling")
_STANDBY_WAIT = 3600.0
"""Seconds that a refresh waits for members to come back from standby, or to lose their protection."""
_PROCESSES = {"InstanceRefresh", "Launch", "Terminate"}
_EVENT = "EC2 Auto Scaling Instance Refresh"


SIMULATED_PREFERENCES = ("MinHealthyPercentage", "ScaleInProtectedInstances", "StandbyInstances")
"""Of StartInstanceRefresh: what else a refresh may be told is refused, checkpoints for instance."""


@dataclass
class Refresh:
    """One instance refresh; `todo` are the ids of the members that are still to be replaced."""

    refresh_id: str
    preferences: Mapping[str, Any]
    started: datetime
    todo: list[str]
    total: int
    status: str = "Pending"
    reason: str | None = None
    ended: datetime | None = None
    deadline: Timer | None = None


class Refreshes:
    """The instance refreshes of one group, oldest first."""

    def __init__(self, group: Group) -> None:
        self.all: list[Refresh] = []
        self._group = group
        self._clock = group.instances.account.clock
        group.listeners.append(self._notice)

    @property
    def at_work(self) -> Refresh | None:
        """Return the refresh that is not over, if there is one."""
        return self.all[-1] if self.all and self.all[-1].status in _OPEN else None

    def start(self, preferences: Mapping[str, Any]) -> Refresh:
        """Start a refresh. Raises AWSError when there is one at work."""
        group = self._group
        if self.at_work is not None:
            raise AWSError(
                "InstanceRefreshInProgress",
                "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh: "
                f"{self.at_work.refresh_id}",
            )
        todo = [
            member.instance_id
            for member in group.members.values()
            if not (member.leaving or member.retained or member.warm)
        ]
        refresh = Refresh(group.instances.account.make_uuid(), dict(preferences), self._clock.now(), todo, len(todo))
        self.all.append(refresh)
        group.refreshing = True

        def begin() -> None:
            if refresh.status == "Pending":
                refresh.status = "InProgress"
                self._tell(refresh, "Started")
            self._advance()

        self._clock.call_later(group.spec.pace.reaction, begin)
        return refresh

    def cancel(self) -> Refresh:
        """Cancel the refresh at work. Raises AWSError when there is none."""
        refresh = self.at_work
        if refresh is None or refresh.status == "Cancelling":
            raise AWSError(
                "ActiveInstanceRefreshNotFound",
                f"No in progress or pending Instance Refresh found for Auto Scaling group {self._group.name}",
            )
        refresh.status, refresh.reason = "Cancelling", "Cancelled due to user request."
        self._clock.call_later(self._group.spec.pace.reaction, self._advance)
        return refresh

    def _notice(self, change: Change) -> None:
        moves = change.what in ("InService", "Standby", "Terminated", "processes") or change.what.startswith("target")
        if moves and self.at_work is not None:
            self._clock.call_later(1, self._advance)

    def _advance(self) -> None:
        """Replace as many members as can be spared now, and end when nothing is left to do."""
        refresh, group = self.at_work, self._group
        if refresh is None or refresh.status == "Pending":
            return
        busy = group.capacity < group.desired or any(
            member.leaving or member.state.startswith("Pending") for member in group.members.values()
        )
        if refresh.status == "Cancelling":
            if not busy:
                self._end(refresh, "Cancelled")
            return
        if _PROCESSES & set(group.suspended):
            return
        ready = self._choose(refresh)
        smallest = math.ceil(group.desired * refresh.preferences.get("MinHealthyPercentage", 90) / 100)
        spare = group.count_healthy() - smallest
        for member in ready:
            if member.state == "InService":
                if spare <= 0 and busy:
                    break
                spare, busy = spare - 1, True
            refresh.todo.remove(member.instance_id)
            cause = "an instance was taken out of service in response to an instance refresh."
            group.take_out(member, group.activities.explain(cause))
        if not refresh.todo and not busy:
            self._end(refresh, "Successful")
        elif refresh.todo and not ready and refresh.deadline is None:
            refresh.deadline = self._clock.call_later(_STANDBY_WAIT, lambda: self._give_up(refresh))

    def _choose(self, refresh: Refresh) -> list[Member]:
        """Return the members that may be replaced now; forget those that need not be."""
        members = self._group.members
        ready, left = [], []
        for member in (members[instance_id] for instance_id in refresh.todo if instance_id in members):
            wanted = refresh.preferences.get("ScaleInProtectedInstances", "Wait") if member.protected else "Refresh"
            if member.state in ("Standby", "EnteringStandby"):
                wanted = refresh.preferences.get("StandbyInstances", "Wait")
            if wanted == "Ignore" or member.leaving:
                continue
            left.append(member.instance_id)
            if wanted in ("Refresh", "Terminate") and member.state in ("InService", "Standby"):
                ready.append(member)
        refresh.todo[:] = left
        return ready

    def _give_up(self, refresh: Refresh) -> None:
        refresh.deadline = None
        if refresh.status == "InProgress" and not self._choose(refresh) and refresh.todo:
            refresh.reason = "Instances in Standby, or protected from scale in, did not come back within an hour."
            self._end(refresh, "Failed")

    def _end(self, refresh: Refresh, status: str) -> None:
        refresh.status, refresh.ended = status, self._clock.now()
        self._group.refreshing = False
        if refresh.deadline is not None:
            refresh.deadline.cancel()
        self._tell(refresh, "Succeeded" if status == "Successful" else status)

    def _tell(self, refresh: Refresh, what: str) -> None:
        self._group.activities.announce(f"{_EVENT} {what}", {"InstanceRefreshId": refresh.refresh_id})
