"""The members of Auto Scaling groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rehearsal.engine.clock import Timer
from rehearsal.world.machines import Machine
from rehearsal.world.scaling_activities import Activity


@dataclass(frozen=True)
class Change:
    """Something that happened to a member, or to the group itself when there is no instance id."""

    at: datetime
    instance_id: str
    what: str


@dataclass
class Member:
    """An instance in a group."""

    machine: Machine
    state: str
    source: Mapping[str, str]
    """LaunchTemplateId, LaunchTemplateName and Version, or LaunchConfigurationName."""
    weight: int = 1
    health: str = "Healthy"
    protected: bool = False
    in_service_at: float = 0.0
    activity: Activity | None = None
    check: Timer | None = None

    @property
    def instance_id(self) -> str:
        """Return the id of the instance."""
        return self.machine.instance_id

    @property
    def zone(self) -> str:
        """Return the Availability Zone of the instance."""
        return self.machine.spec.zone

    @property
    def warm(self) -> bool:
        """Say whether the member waits in the warm pool."""
        return self.state.startswith("Warmed:")

    @property
    def leaving(self) -> bool:
        """Say whether the member is being terminated."""
        return self.state.startswith("Terminating") and not self.retained

    @property
    def retained(self) -> bool:
        """Say whether the group keeps the member, whose termination was abandoned, without counting it.

        "Control instance retention with instance lifecycle policies" in the EC2 Auto Scaling User Guide.
        """
        return self.state.endswith(":Retained")
