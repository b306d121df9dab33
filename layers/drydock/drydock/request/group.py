"""The input of RollGroup, checked whole before anything is looked at."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drydock.catalogue.saying import say
from drydock.documents import PinnedDocument
from drydock.errors import InvalidInputError
from drydock.request.checking import GUID, INSTANCE_ID, RUN_ID, join_mistakes, list_of, moment, section, text
from drydock.request.documents import check_documents
from drydock.request.policy import Policy, effective_policy, require_no_mistakes
from drydock.subject import Group

_check_input = section(
    {
        "groupName": text(r".{1,255}", say("expected.group_name")),
        "policy": lambda path, value: [],
        "runId": RUN_ID,
        "snapshotId": GUID,
        "documents": check_documents,
        "only": list_of(INSTANCE_ID),
        "first": list_of(INSTANCE_ID),
        "unlessDoneSince": moment,
    }
)


@dataclass(frozen=True)
class GroupRequest:
    """The input of RollGroup, checked."""

    group: Group
    policy: Policy
    run_id: str
    snapshot_id: str
    documents: Mapping[str, PinnedDocument]
    """By name: the versions of hooks and health probe that the run's plan has pinned."""
    only: frozenset[str]
    first: frozenset[str]
    """Members whose turn comes before that of all others."""
    unless_done_since: str
    """A success of the same operation since then is enough for a member; empty for none."""


def read_group_request(given: object, settings: str, settings_name: str, execution: str) -> GroupRequest:
    """Raises InvalidInputError or InvalidPolicyError; either names every mistake."""
    mistakes = _check_input("input", given)
    values: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    if isinstance(given, Mapping) and "groupName" not in given:
        mistakes.append(say("request.group.required"))
    policy, policy_mistakes = effective_policy(settings, settings_name, values.get("policy", {}))
    if mistakes:
        raise InvalidInputError(join_mistakes([*mistakes, *policy_mistakes]))
    require_no_mistakes(policy_mistakes)
    return GroupRequest(
        group=Group(str(values["groupName"])),
        policy=policy,
        run_id=str(values.get("runId", "")),
        documents=values.get("documents", {}),
        snapshot_id=str(values.get("snapshotId") or uuid.uuid5(uuid.NAMESPACE_URL, execution)).lower(),
        only=frozenset(values.get("only", [])),
        first=frozenset(values.get("first", [])),
        unless_done_since=str(values.get("unlessDoneSince") or ""),
    )
