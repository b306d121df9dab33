"""The simulated machines of an embedded account, and what is around them, as one world on its virtual clock."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore import xform_name
from moto import settings
from moto.ec2.models import ec2_backends

from rehearsal.agents import RunCommand
from rehearsal.answers import Answer, answer_calls
from rehearsal.calls import ACCOUNT, REGION
from rehearsal.ec2_calls import EC2Calls
from rehearsal.group_calls import GroupCalls
from rehearsal.group_specs import GroupSpec
from rehearsal.groups import Group
from rehearsal.images import Image, Images
from rehearsal.launch_templates import LaunchTemplate, LaunchTemplates
from rehearsal.load_balancers import LoadBalancers, TargetGroup, TargetGroupSpec
from rehearsal.machines import WRONGS, Durations, Interruption, Machine, MachineSpec
from rehearsal.repairs.patches import Patches
from rehearsal.resource_groups import ResourceGroups
from rehearsal.ssm_calls import SSMCalls

if TYPE_CHECKING:
    from rehearsal.account import EmbeddedAccount

__all__ = ["WRONGS", "Durations", "Fleet", "Group", "Image", "Interruption", "Machine", "MachineSpec", "TargetGroup"]


class Fleet:
    """The machines of an account, and the groups and load balancers that they belong to.

    While the fleet is open, it answers the account's calls of EC2, SSM, Auto Scaling and load balancers.

    `connection_lost_after` is the silence in seconds after which SSM calls an agent lost, which AWS does not
    document: a stopped agent still looks Online for a while.
    """

    def __init__(self, account: EmbeddedAccount, *, connection_lost_after: float = 330.0) -> None:
        self.account = account
        self.connection_lost_after = connection_lost_after
        self.machines: list[Machine] = []
        self.images = Images(account)
        self.run_command = RunCommand(account)
        self._by_id: dict[str, Machine] = {}
        self.resource_groups = ResourceGroups(self)
        self.launch_templates = LaunchTemplates(self)
        self.load_balancers = LoadBalancers(self)
        self.groups: dict[str, Group] = {}
        self._calls: dict[str, tuple[object, ...]] = {
            "autoscaling": (GroupCalls(self),),
            "ec2": (EC2Calls(self), self.launch_templates),
            "elbv2": (self.load_balancers,),
            "resource-groups": (self.resource_groups,),
            "ssm": (SSMCalls(self),),
        }
        self._patches = Patches()
        # Making moto's own images would take longer than a small rehearsal.
        self._patches.replace(settings, "ec2_load_default_amis", lambda: False)
        answer_calls(self._patches, self._find_answer)

    def add(self, spec: MachineSpec) -> str:
        """Add a machine and return its instance id. Raises ValueError for a second machine of one name."""
        return self._add(spec, new=False)

    def launch(self, spec: MachineSpec) -> str:
        """Launch a machine that was not there before and return its instance id. Raises ValueError as `add` does."""
        return self._add(spec, new=True)

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
        return group

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

    def close(self) -> None:
        """Leave the account's calls to others again; harmless when done before."""
        self._patches.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

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
        self.tags(instance_id).update(tags)
        return instance_id

    def _find_answer(self, service: str, operation: str) -> Answer | None:
        name = xform_name(operation)
        for calls in self._calls.get(service, ()):
            answer: Answer | None = getattr(calls, name, None)
            if answer is not None:
                return answer
        if service in ("autoscaling", "ec2", "elbv2"):
            raise NotImplementedError(f"{operation} of {service} is not simulated")
        return None
