"""Gathering what a plan is made of. What took long to read is kept, so that a retry goes on where the last one stopped.

Instances and agents are kept, of more machines than a portion has: a smaller fleet is read in a few seconds. All that
decides whether a machine may be touched is read anew by every attempt, and again when its turn comes. The stack's
bucket forgets what is kept after a day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from drydock.aws.calls import in_chunks
from drydock.aws.ec2 import Instance
from drydock.aws.objects import Objects
from drydock.aws.services import Services
from drydock.aws.ssm import Agent
from drydock.errors import RunNotFoundError
from drydock.log import logger
from drydock.plan.targets import Resolved, Target, resolve
from drydock.records.runs import Run
from drydock.request.step import Step
from drydock.times import from_text, to_text

KEPT_FACTS = "facts/"
"""How the keys of kept facts begin."""

PORTION = 1_000
"""So many machines' facts are kept together."""

_NOT_NEEDED = ("BlockDeviceMappings", "CpuOptions", "MetadataOptions", "NetworkInterfaces", "SecurityGroups")
"""What is most of an instance's description, and tells a plan nothing."""


@dataclass(frozen=True)
class Gathering:
    """The facts of one run, as far as they are read and kept."""

    services: Services
    folder: str
    is_retry: bool
    """Only then something may have been kept."""

    @classmethod
    def of(cls, services: Services, run: Run, step: Step) -> Gathering:
        """The gathering of a run. Names of executions are given out again, so its start is part of the key."""
        folder = f"{KEPT_FACTS}{run.run_id}/{run.started:%Y%m%dT%H%M%S}"
        return cls(services, folder, step.retry_count > 0)

    @property
    def _objects(self) -> Objects:
        return self.services.objects

    def find_machines(self, groups: Sequence[Sequence[Target]]) -> Resolved:
        """The machines that the targets mean. Raises InvalidInputError for a resource group which is not there."""
        kept = self._recall("machines")
        if kept is not None:
            instances = {str(one["InstanceId"]): one for one in kept["instances"]}
            return Resolved(instances, kept["leftOut"], kept["nearMisses"])
        found = resolve(self.services.ec2, self.services.resource_groups, groups)
        resolved = Resolved(
            {key: _plain(one) for key, one in found.instances.items()}, found.left_out, found.near_misses
        )
        if len(resolved.instances) > PORTION:
            facts = {
                "instances": list(resolved.instances.values()),
                "leftOut": resolved.left_out,
                "nearMisses": resolved.near_misses,
            }
            self._keep("machines", facts)
        return resolved

    def find_agents(self, instance_ids: Iterable[str]) -> dict[str, Agent]:
        """The agents of those instances that Systems Manager knows and that run, by instance id."""
        portions = in_chunks(sorted(set(instance_ids)), PORTION)
        return {key: agent for some in portions for key, agent in self._find_portion(some, len(portions) > 1).items()}

    def _find_portion(self, instance_ids: Sequence[str], is_one_of_many: bool) -> dict[str, Agent]:
        name = f"agents-{hashlib.sha256(' '.join(instance_ids).encode()).hexdigest()[:16]}"
        kept = self._recall(name) if is_one_of_many else None
        if kept is not None:
            return {
                key: Agent(one["online"], from_text(one["lastPing"]), one["system"], one["systemVersion"])
                for key, one in kept.items()
            }
        found = self.services.ssm.find_agents(instance_ids)
        if is_one_of_many:
            facts = {
                key: {
                    "online": one.online,
                    "lastPing": to_text(one.last_ping),
                    "system": one.system,
                    "systemVersion": one.system_version,
                }
                for key, one in found.items()
            }
            self._keep(name, facts)
        return found

    def _recall(self, name: str) -> Any | None:
        if not self.is_retry:
            return None
        try:
            facts = self._objects.read_json(f"{self.folder}/{name}.json")
        except RunNotFoundError:
            return None
        logger.info("read by an earlier attempt", facts=name)
        return facts

    def _keep(self, name: str, facts: Any) -> None:
        self._objects.write_json(f"{self.folder}/{name}.json", facts)


def _plain(instance: Instance) -> Mapping[str, Any]:
    """What JSON can hold of an instance, and a plan can be made of."""
    return {key: value for key, value in instance.items() if key not in _NOT_NEEDED and not isinstance(value, datetime)}
