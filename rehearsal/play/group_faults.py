"""What goes wrong around an Auto Scaling group: somebody changes it, it scales, it gets no machines, nobody is healthy.

A moment's state is one that an execution enters which works on the group or on a member of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

from rehearsal.account import EmbeddedAccount, Observer
from rehearsal.engine.answers import AWSError
from rehearsal.play.faults import Moment, Strikes
from rehearsal.world.fleet import Fleet, Group


@dataclass(frozen=True, kw_only=True)
class GroupFault:
    """A fault that strikes a group once, at some moment."""

    what: ClassVar[str]
    group: str
    moment: Moment

    def arm(self, account: EmbeddedAccount, fleet: Fleet) -> Strikes:
        """Strike when the moment comes."""
        strikes = Strikes(self)
        group = fleet.groups[self.group]

        def strike() -> None:
            # Somebody whose call is refused has done nothing.
            with suppress(AWSError):
                if self.strike(group, fleet):
                    strikes.add()

        if self.moment.state is None:
            account.clock.call_later(self.moment.after, strike)
            return strikes
        account.observers.append(_StateObserver(account, group, self.moment, strike))
        return strikes

    def strike(self, group: Group, fleet: Fleet) -> bool:
        """Do it; false when it cannot be done any more. Raises AWSError where AWS would refuse it."""
        raise NotImplementedError

    def __str__(self) -> str:
        return f"{self.group}: {self.what} {self.moment}"


@dataclass(frozen=True, kw_only=True)
class ChangeGroup(GroupFault):
    """Somebody changes the bounds, the desired capacity or the suspended processes of a group."""

    what: ClassVar[str] = "changed by somebody"

    min: int | None = None
    max: int | None = None
    desired: int | None = None
    suspend: Sequence[str] = ()
    resume: Sequence[str] = ()

    def strike(self, group: Group, fleet: Fleet) -> bool:
        """Change what is given."""
        if (self.min, self.max, self.desired) != (None, None, None):
            group.update(self.min, self.max, self.desired)
        if self.suspend:
            group.suspend(self.suspend)
        if self.resume:
            group.resume(self.resume)
        return True


@dataclass(frozen=True, kw_only=True)
class ScheduledAction(GroupFault):
    """A scheduled action of a group comes due."""

    what: ClassVar[str] = "scaled by a scheduled action"

    min: int | None = None
    max: int | None = None
    desired: int | None = None

    def strike(self, group: Group, fleet: Fleet) -> bool:
        """Change what the action changes."""
        return group.follow_schedule(self.min, self.max, self.desired)


@dataclass(frozen=True, kw_only=True)
class ScalingPolicy(GroupFault):
    """An alarm makes a scaling policy add members, or take some away."""

    what: ClassVar[str] = "scaled by a policy"

    adjustment: int

    def strike(self, group: Group, fleet: Fleet) -> bool:
        """Scale within the bounds of the group."""
        return group.follow_policy(self.adjustment)


@dataclass(frozen=True, kw_only=True)
class StartRefresh(GroupFault):
    """Somebody starts an instance refresh."""

    what: ClassVar[str] = "refreshed by somebody"

    preferences: Mapping[str, Any] = field(default_factory=dict)

    def strike(self, group: Group, fleet: Fleet) -> bool:
        """Start it, which is refused when there is one."""
        fleet.refreshes[group.name].start(self.preferences)
        return True


@dataclass(frozen=True, kw_only=True)
class TerminateMember(GroupFault):
    """Somebody has the group terminate a member, by the machine's name."""

    what: ClassVar[str] = "a member terminated by somebody"

    instance: str
    decrement: bool = False

    def strike(self, group: Group, fleet: Fleet) -> bool:
        """Terminate the member if it still is one."""
        for member in group.members.values():
            if member.machine.name == self.instance and not member.leaving:
                group.terminate(member, self.decrement)
                return True
        return False


@dataclass(frozen=True, kw_only=True)
class LoseCapacity(GroupFault):
    """EC2 has no capacity for the group's launches, in these zones or in all, for some seconds or for ever."""

    what: ClassVar[str] = "no capacity"

    zones: Sequence[str] = ()
    seconds: float | None = None

    def strike(self, group: Group, fleet: Fleet) -> bool:
        """Let launches fail until it is over."""
        group.zones_without_capacity.update(self.zones or group.zones)
        if self.seconds is not None:
            group.instances.account.clock.call_later(self.seconds, group.zones_without_capacity.clear)
        return True


@dataclass(frozen=True, kw_only=True)
class FailHealthChecks(GroupFault):
    """A machine of this name, or every target of the group, fails the load balancer's checks from then on."""

    what: ClassVar[str] = "unhealthy for the load balancer"

    instance: str | None = None

    def strike(self, group: Group, fleet: Fleet) -> bool:
        """Let the checks fail in all target groups."""
        named = [member.instance_id for member in group.members.values() if member.machine.name == self.instance]
        if self.instance is not None and not named:
            return False
        for target_group in group.target_groups:
            target_group.fail_checks(named[0] if named else None)
        return True


@dataclass(frozen=True, kw_only=True)
class Contend(GroupFault):
    """Whoever changes the group finds a pending update, for some seconds."""

    what: ClassVar[str] = "a pending update"

    seconds: float

    def strike(self, group: Group, fleet: Fleet) -> bool:
        """Let calls be refused until it is over."""
        group.contended = True

        def end() -> None:
            group.contended = False

        group.instances.account.clock.call_later(self.seconds, end)
        return True


class _StateObserver(Observer):
    """Waits for the first time that a state is entered on behalf of a group."""

    def __init__(self, account: EmbeddedAccount, group: Group, moment: Moment, action: Callable[[], None]) -> None:
        self._account = account
        self._group = group
        self._moment = moment
        self._action = action
        self._armed = True

    def state_entered(self, execution_arn: str, state: str) -> None:
        """Begin to count the moment's seconds."""
        if self._armed and state == self._moment.state and self._is_meant(execution_arn):
            self._armed = False
            self._account.clock.call_later(self._moment.after, self._action)

    def _is_meant(self, execution_arn: str) -> bool:
        given = self._account.execution(execution_arn).input
        if not isinstance(given, dict):
            return False
        # A child of a Map has the group, or the instance, further in.
        parts = [given, *(given[key] for key in ("item", "member", "roll") if isinstance(given.get(key), dict))]
        return any(
            part.get("groupName") == self._group.name or part.get("instanceId") in self._group.members for part in parts
        )
