"""The instances of an embedded account, with the images, launch templates and target groups that they need."""

from __future__ import annotations

import hashlib
from typing import Any

from moto.ec2.models import ec2_backends

from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.engine.host import Host
from rehearsal.world.images import Images
from rehearsal.world.launch_templates import LaunchTemplate, LaunchTemplates
from rehearsal.world.load_balancers import LoadBalancers, TargetGroup, TargetGroupSpec
from rehearsal.world.machines import Machine, MachineSpec
from rehearsal.world.root_volumes import RootVolumes


class Instances:
    """The instances of an account."""

    def __init__(self, account: Host) -> None:
        self.account = account
        self.machines: list[Machine] = []
        self.images = Images(account)
        self.root_volumes = RootVolumes(account, self.images)
        self.launch_templates = LaunchTemplates(account)
        self.load_balancers = LoadBalancers(account)
        self._by_id: dict[str, Machine] = {}

    def add(self, spec: MachineSpec) -> str:
        """Add a machine and return its instance id. Raises ValueError for a second machine of one name."""
        return self._add(spec, new=False)

    def launch(self, spec: MachineSpec) -> str:
        """Launch a machine that was not there before and return its instance id. Raises ValueError as `add` does."""
        return self._add(spec, new=True)

    def add_target_group(self, name: str, **settings: Any) -> TargetGroup:
        """Add a target group; `settings` as in TargetGroupSpec."""
        return self.load_balancers.add(TargetGroupSpec(name, **settings))

    def target_group(self, name: str) -> TargetGroup:
        """Return the target group of a name; one that there is not yet comes into being."""
        try:
            return self.load_balancers.named(name)
        except KeyError:
            return self.add_target_group(name)

    def add_launch_template(self, name: str, **data: Any) -> LaunchTemplate:
        """Add a launch template whose first version has this data, as in CreateLaunchTemplate."""
        return self.launch_templates.add(name, **data)

    def knows(self, instance_id: str) -> bool:
        """Say whether there is an instance of this id."""
        return instance_id in self._by_id

    def machine(self, instance_id: str) -> Machine:
        """Return a machine as it really is. Raises KeyError for an unknown id."""
        return self._by_id[instance_id]

    def tags(self, resource_id: str) -> dict[str, str]:
        """Return the live tags of an instance, an image or a snapshot."""
        tags: dict[str, str] = ec2_backends[ACCOUNT][REGION].tags[resource_id]
        return tags

    def stop_behind_the_back(self, instance_id: str) -> None:
        """Stop a running machine as somebody else would."""
        if self.machine(instance_id).state == "running":
            self.machine(instance_id).stop()

    def terminate_behind_the_back(self, instance_id: str) -> None:
        """Terminate a machine as somebody else would."""
        if self.machine(instance_id).state not in ("shutting-down", "terminated"):
            self.machine(instance_id).terminate()

    def _add(self, spec: MachineSpec, *, new: bool) -> str:
        instance_id = "i-" + hashlib.sha256(spec.name.encode()).hexdigest()[:17]
        if instance_id in self._by_id:
            raise ValueError(f"there are two machines called {spec.name!r}")
        machine = Machine(spec, instance_id, self.account, len(self.machines), new=new)
        self.machines.append(machine)
        self._by_id[instance_id] = machine
        tags = {"Name": spec.name, **spec.tags}
        if spec.group:
            tags["aws:autoscaling:groupName"] = spec.group
        machine.tags = self.tags(instance_id)
        self.tags(instance_id).update(tags)
        return instance_id
