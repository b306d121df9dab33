"""The input of PatchInstance, checked whole before anything is looked at."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from drydock.catalogue.saying import say
from drydock.documents import PinnedDocument
from drydock.errors import InvalidInputError
from drydock.request.checking import GUID, INSTANCE_ID, RUN_ID, join_mistakes, moment, section, text
from drydock.request.documents import check_documents
from drydock.request.policy import Policy, effective_policy, require_no_mistakes
from drydock.subject import Group, Instance
from drydock.times import from_text

_check_input = section(
    {
        "instanceId": INSTANCE_ID,
        "policy": lambda path, value: [],
        "runId": RUN_ID,
        "snapshotId": GUID,
        "documents": check_documents,
        "group": text(r".{1,255}", say("expected.group_name")),
        "unlessDoneSince": moment,
    }
)


@dataclass(frozen=True)
class InstanceRequest:
    """The input of PatchInstance, checked."""

    instance_id: str
    policy: Policy
    run_id: str
    snapshot_id: str
    documents: Mapping[str, PinnedDocument]
    """By name: the versions of hooks and health probe that the run's plan has pinned."""
    group: Group | None
    """The Auto Scaling group whose roll patches the instance, if one does."""
    unless_done_since: datetime | None
    """A success of the same operation since then is enough."""

    @property
    def subject(self) -> Instance:
        """The instance as leases, places and results name it."""
        return Instance(self.instance_id)


def read_request(given: object, settings: str, settings_name: str, execution: str) -> InstanceRequest:
    """Check input and settings together.

    Raises InvalidInputError or InvalidPolicyError; either names every mistake. Without a snapshot id of the
    run, the execution has its own: the same one however often the step runs.
    """
    mistakes = _check_input("input", given)
    values: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    if isinstance(given, Mapping) and "instanceId" not in given:
        mistakes.append(say("request.instance.required"))
    policy, policy_mistakes = effective_policy(settings, settings_name, values.get("policy", {}))
    if mistakes:
        raise InvalidInputError(join_mistakes([*mistakes, *policy_mistakes]))
    require_no_mistakes(policy_mistakes)
    return InstanceRequest(
        instance_id=str(values["instanceId"]),
        policy=policy,
        run_id=str(values.get("runId", "")),
        documents=values.get("documents", {}),
        snapshot_id=str(values.get("snapshotId") or uuid.uuid5(uuid.NAMESPACE_URL, execution)).lower(),
        group=Group(str(values["group"])) if values.get("group") else None,
        unless_done_since=from_text(values["unlessDoneSince"]) if values.get("unlessDoneSince") else None,
    )
