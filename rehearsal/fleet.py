"""The simulated machines of an embedded account: EC2, images and SSM as one world on its virtual clock."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from botocore import xform_name
from moto import settings
from moto.ec2.models import ec2_backends

from rehearsal.agents import RunCommand
from rehearsal.answers import Answer, answer_calls
from rehearsal.calls import ACCOUNT, REGION
from rehearsal.ec2_calls import EC2Calls
from rehearsal.images import Image, Images
from rehearsal.machines import WRONGS, Durations, Interruption, Machine, MachineSpec
from rehearsal.repairs.patches import Patches
from rehearsal.ssm_calls import SSMCalls

if TYPE_CHECKING:
    from rehearsal.account import EmbeddedAccount

__all__ = ["WRONGS", "Durations", "Fleet", "Image", "Interruption", "Machine", "MachineSpec"]


class Fleet:
    """The machines of an account. While the fleet is open, it answers the account's EC2 and SSM calls.

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
        self._calls = {"ec2": EC2Calls(self), "ssm": SSMCalls(self)}
        self._patches = Patches()
        # Making moto's own images would take longer than a small rehearsal.
        self._patches.replace(settings, "ec2_load_default_amis", lambda: False)
        answer_calls(self._patches, self._find_answer)

    def add(self, spec: MachineSpec) -> str:
        """Add a machine and return its instance id. Raises ValueError for a second machine of one name."""
        instance_id = "i-" + hashlib.sha256(spec.name.encode()).hexdigest()[:17]
        if instance_id in self._by_id:
            raise ValueError(f"there are two machines called {spec.name!r}")
        machine = Machine(spec, instance_id, self.account, len(self.machines))
        self.machines.append(machine)
        self._by_id[instance_id] = machine
        tags = {"Name": spec.name, **spec.tags}
        if spec.group:
            tags["aws:autoscaling:groupName"] = spec.group
        self.tags(instance_id).update(tags)
        return instance_id

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
        """Leave the account's EC2 and SSM calls to others again; harmless when done before."""
        self._patches.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _find_answer(self, service: str, operation: str) -> Answer | None:
        calls = self._calls.get(service)
        answer: Answer | None = getattr(calls, xform_name(operation), None)
        if answer is None and service == "ec2":
            raise NotImplementedError(f"{operation} of EC2 is not simulated")
        return answer
