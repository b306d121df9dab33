"""The simulated machines of an embedded account, and what is around them, as one world on its virtual clock."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rehearsal.engine.host import Host
from rehearsal.world.agents import RunCommand
from rehearsal.world.group_specs import GroupSpec
from rehearsal.world.groups import Group
from rehearsal.world.images import Image
from rehearsal.world.instances import Instances
from rehearsal.world.load_balancers import TargetGroup
from rehearsal.world.machines import WRONGS, Durations, Interruption, Machine, MachineSpec
from rehearsal.world.refreshes import Refreshes
from rehearsal.world.resource_groups import ResourceGroups

__all__ = ["WRONGS", "Durations", "Fleet", "Group", "Image", "Interruption", "Machine", "MachineSpec", "TargetGroup"]


class Fleet(Instances):
    """The machines of an account, and the groups and load balancers that they belong to.

    `connection_lost_after` is the silence in seconds after which SSM calls an agent lost, which AWS does not
    document: a stopped agent still looks Online for a while. `pending_snapshots_show` says whether DescribeSnapshots
    shows a snapshot that is pending, which it does not say either.
    """

    def __init__(
        self, account: Host, *, connection_lost_after: float = 330.0, pending_snapshots_show: bool = True
    ) -> None:
        super().__init__(account)
        self.images.pending_snapshots_show = pending_snapshots_show
        self.connection_lost_after = connection_lost_after
        self.run_command = RunCommand(account)
        self.resource_groups = ResourceGroups(self)
        self.groups: dict[str, Group] = {}
        self.refreshes: dict[str, Refreshes] = {}
        """The instance refreshes of each group, by its name."""

    def add_group(self, name: str, machines: int | Sequence[MachineSpec] = 1, **settings: Any) -> Group:
        """Add an Auto Scaling group of these machines, or of so many like `launched`; `settings` as in GroupSpec."""
        if name in self.groups:
            raise ValueError(f"there are two groups called {name!r}")
        spec = GroupSpec(name, **settings)
        if isinstance(machines, int):
            like = spec.launched or MachineSpec(name=name)
            machines = [replace(like, name=f"{name}-{number + 1}") for number in range(machines)]
        group = Group(spec, self, machines)
        self.groups[name] = group
        self.refreshes[name] = Refreshes(group)
        return group

    def add_document(self, name: str, *, platforms: tuple[str, ...] = ("Linux", "Windows"), step: str = "Run") -> None:
        """Add a Command document to the account, to serve as a hook or a health check.

        `step` begins the names of its steps, one for each platform.
        """
        actions = {"Linux": "aws:runShellScript", "Windows": "aws:runPowerShellScript"}
        steps = [
            {
                "action": actions[platform],
                "name": f"{step}{platform}",
                "precondition": {"StringEquals": ["platformType", platform]},
                "inputs": {"runCommand": ["exit 0"]},
            }
            for platform in platforms
        ]
        content = {"schemaVersion": "2.2", "description": name, "mainSteps": steps}
        self.account.client("ssm").create_document(
            Name=name, Content=json.dumps(content), DocumentType="Command", DocumentFormat="JSON"
        )

    def add_resource_group(
        self,
        name: str,
        tags: Mapping[str, str | Sequence[str]] | None = None,
        ids: Sequence[str] | None = None,
    ) -> str:
        """Add a resource group, of the instances that have these tags or of these instances; return its ARN."""
        return self.resource_groups.add(name, tags, ids)
