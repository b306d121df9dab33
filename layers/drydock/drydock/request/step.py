"""A step: which execution asks, in which state, about which instance or group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NotRequired, TypedDict, cast

from drydock.documents import PinnedDocument
from drydock.records.holder import Holder
from drydock.request.policy import Policy
from drydock.subject import Group, Instance, Subject, read_subject
from drydock.times import from_text


class RootSource(TypedDict):
    """What a machine's root volume is replaced from: the root snapshot of an image, or a volume that was kept.

    What does not hold is empty. `takenAt` is when the image was made, or the volume was last in use: ISO 8601 in UTC.
    """

    imageId: str
    snapshotId: str
    volumeId: str
    takenAt: str
    agentVersion: str
    """Of the SSM Agent on it, where that is known."""


class Machine(TypedDict):
    """What admission found out about an instance; later steps rely on it."""

    name: str
    platform: str
    power: str
    account: str
    patchGroup: str
    snapshotId: str
    runId: str
    owedBootId: str
    """The boot out of which it owes a reboot, by what was written down; empty for none."""
    source: NotRequired[RootSource]
    """Of a machine that is brought back."""
    outlivedReasons: list[str]
    """The reasons to reboot that a reboot has not removed, by what was written down."""
    documents: NotRequired[Mapping[str, PinnedDocument]]
    """By name: the versions of hooks and health probe that the run's plan has pinned. Others are sent as they are."""


@dataclass(frozen=True)
class Step:
    """One entry of an execution into a state, as the state machine reports it."""

    holder: Holder
    given: object
    """The execution's input."""
    execution_started: datetime
    state: str
    entered: datetime
    retry_count: int
    sequence: str
    """Grows with every entry into a state and every retry, within an execution."""
    token: str
    subject: Subject
    """What the state is about; an instance without an id where that is a whole run."""
    group: Group
    """The group that the state's roll goes through; without a name in other flows."""
    policy: Policy
    machine: Machine
    data: Mapping[str, Any]
    """What else the state passes on."""

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> Step:
        """Read the payload of a state.

        `instanceId` names an instance, `groupName` the group of a roll, `subject` what may be either: a place in a run.
        `context` is the context object of Step Functions. Its RedriveCount is 0 until there is a redrive.
        """
        context = event["context"]
        execution, state = context["Execution"], context["State"]
        holder = Holder(execution["Id"], int(execution.get("RedriveCount") or 0))
        entered = from_text(state["EnteredTime"])
        milliseconds = int(entered.timestamp() * 1000)
        return cls(
            holder=holder,
            given=execution.get("Input"),
            execution_started=from_text(execution["StartTime"]),
            state=state["Name"],
            entered=entered,
            retry_count=int(state["RetryCount"]),
            sequence=f"{holder.redrive_count:04d}-{milliseconds:015d}-{int(state['RetryCount']):06d}",
            token=(context.get("Task") or {}).get("Token") or "",
            subject=_subject_of(event),
            group=Group(event.get("groupName") or ""),
            policy=cast(Policy, event.get("policy") or {}),
            machine=cast(Machine, event.get("machine") or {}),
            data=event.get("data") or {},
        )

    @property
    def instance_id(self) -> str:
        """The instance of a state that is about one; otherwise empty."""
        return self.subject.id if isinstance(self.subject, Instance) else ""


def _subject_of(event: Mapping[str, Any]) -> Subject:
    key = event.get("subject") or event.get("instanceId")
    if not key and "groupName" in event:
        return Group(event["groupName"])
    return read_subject(key or "")
