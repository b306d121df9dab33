"""Auto Scaling groups as a fleet describes them.

What AWS does not document, or only for other calls, is a field of `Unconfirmed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rehearsal.engine.calls import REGION
from rehearsal.world.machines import MachineSpec

PROCESSES = (
    "AddToLoadBalancer",
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "Launch",
    "ReplaceUnhealthy",
    "ScheduledActions",
    "Terminate",
)
ZONES = ("a", "c", "d")
ZONE_IDS = {f"{REGION}a": "apne1-az4", f"{REGION}c": "apne1-az1", f"{REGION}d": "apne1-az2"}


@dataclass(frozen=True)
class Pace:
    """How long a group takes for things, in seconds."""

    reaction: float = 10
    """Until it acts on a difference between desired and actual capacity."""
    standby: float = 5
    """From EnteringStandby to Standby when nothing has to drain."""
    in_service: float = 10
    """From Pending to InService after a standby."""
    health_check: float = 60
    """Between two checks of a member's health."""
    retry: float = 60
    """Until a launch that failed is tried again."""


@dataclass(frozen=True)
class Unconfirmed:
    """What AWS does not say: both answers must do."""

    standby_events: bool = False
    """The end of a standby is told as a launch."""
    standby_in_units: bool = True
    """A member with a weight takes its weight, not 1, out of desired capacity and back."""
    standby_counts_when_terminated: bool = True
    """Terminating a member in standby, with decrement, lowers desired capacity although it was lowered before."""
    refresh_refuses_standby: bool = False
    """No member enters standby during an instance refresh."""
    standby_when_idle: bool = False
    """A member whose targets have no connections is in standby at once, although they drain by their status."""
    exit_registers: bool = False
    """The end of a standby registers with the load balancer even while AddToLoadBalancer is suspended."""


@dataclass(frozen=True)
class MixedPolicy:
    """A mixed instances policy: overrides as in the API, and how much of the capacity is On-Demand."""

    overrides: Sequence[Mapping[str, Any]] = ()
    on_demand_base: int = 0
    on_demand_percentage: int = 100

    @property
    def mixes_markets(self) -> bool:
        """Say whether the group has both On-Demand and Spot instances."""
        return 0 < self.on_demand_percentage < 100 or (self.on_demand_base > 0 and self.on_demand_percentage < 100)


@dataclass(frozen=True)
class GroupSpec:
    """An Auto Scaling group as its fleet describes it; times in seconds.

    Without a launch template or a launch configuration it gets a template of its own name. `hooks` are lifecycle
    hooks, by transition (`launching`, `terminating`): how long somebody takes to complete them.
    """

    name: str
    min: int = 0
    max: int | None = None
    desired: int | None = None
    zones: int | Sequence[str] = 2
    target_group: str | Sequence[str] = ()
    launch_template: str | None = None
    template_version: str = "$Default"
    launch_configuration: str | None = None
    mixed: MixedPolicy | None = None
    health_check_type: str = "EC2"
    grace: int = 300
    cooldown: int = 300
    protect_new: bool = False
    suspended: Sequence[str] = ()
    warm_pool: int | None = None
    hooks: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    launched: MachineSpec | None = None
    """What a machine that the group launches is like, but for its name; by default, like the first member."""
    pace: Pace = field(default_factory=Pace)
    unconfirmed: Unconfirmed = field(default_factory=Unconfirmed)


def find_subnet(zone: str) -> str:
    """Return the one subnet of a zone."""
    return f"subnet-{(*ZONES, zone[-1]).index(zone[-1]) + 1:017x}"
