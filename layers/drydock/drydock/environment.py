"""What the template tells a function through its environment."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Environment:
    """The stack that a function belongs to: the names of its resources, its time zone and its Region."""

    stack: str
    table: str
    log_bucket: str
    topic: str
    time_zone: str
    region: str
    guard_tag: str = ""
    """Key of the tag that an instance needs to be changed; empty when none is needed."""

    @classmethod
    def read(cls) -> Environment:
        """Raises KeyError when the template forgot a variable."""
        return cls(
            stack=os.environ["STACK"],
            table=os.environ["TABLE"],
            log_bucket=os.environ["LOG_BUCKET"],
            topic=os.environ["TOPIC"],
            time_zone=os.environ["TIME_ZONE"],
            region=os.environ["AWS_REGION"],
            guard_tag=os.environ["GUARD_TAG_KEY"],
        )

    @property
    def probe_document(self) -> str:
        """The document that tells a machine's boot, agents and need of a reboot, and whether anything installs."""
        return f"{self.stack}-Probe"

    @property
    def search_document(self) -> str:
        """The document that lists what Windows Update still offers, with the filters of AWS-InstallWindowsUpdates."""
        return f"{self.stack}-SearchWindowsUpdates"

    @property
    def reboot_document(self) -> str:
        """The document that lets the agent reboot a machine once, unless something installs."""
        return f"{self.stack}-Reboot"

    def document_version(self, name: str) -> str:
        """Of what is not pinned: the newest of the stack's own documents, of which an update makes no defaults."""
        own = (self.probe_document, self.search_document, self.reboot_document)
        return "$LATEST" if name in own else "$DEFAULT"

    @property
    def policy_parameter(self) -> str:
        """The parameter with the account's policy as JSON; nobody has to make it."""
        return f"/{self.stack}/policy"

    @property
    def topic_parameter(self) -> str:
        """The parameter with the ARN of a topic for messages, instead of the stack's own; nobody has to make it."""
        return f"/{self.stack}/topic"

    @property
    def run_state_machine(self) -> str:
        """The name of the state machine of runs."""
        return f"{self.stack}-MaintenanceRun"

    @property
    def group_machine(self) -> str:
        """The name of the state machine of rolls through groups."""
        return f"{self.stack}-RollGroup"

    def function(self, name: str) -> str:
        """The full name of one of the stack's Lambda functions, by the name of its folder such as `give_back`."""
        return f"{self.stack}-{name}"
