"""The input of RestoreInstance, checked whole before anything is looked at."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drydock.catalogue.saying import say
from drydock.errors import InvalidInputError
from drydock.request.checking import INSTANCE_ID, RUN_ID, join_mistakes, section, text
from drydock.request.instance import InstanceRequest
from drydock.request.policy import RESTORE, effective_policy, require_no_mistakes

_check_input = section(
    {
        "instanceId": INSTANCE_ID,
        "policy": lambda path, value: [],
        "runId": RUN_ID,
        "imageId": text(r"ami-[0-9a-f]{8}([0-9a-f]{9})?", say("request.image_id")),
        "volumeId": text(r"vol-?[0-9a-f]{8,17}", say("request.volume_id")),
    }
)


@dataclass(frozen=True)
class RestoreRequest(InstanceRequest):
    """The input of RestoreInstance, checked."""

    image_id: str = ""
    """The image that is wanted; empty for that of before the last run."""
    volume_id: str = ""
    """The root volume, kept by an earlier undo, that is wanted back; empty for an image."""


def read_restore_request(given: object, settings: str, settings_name: str, execution: str) -> RestoreRequest:
    """Check input and settings together.

    Raises InvalidInputError or InvalidPolicyError; either names every mistake.
    """
    mistakes = _check_input("input", given)
    values: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    if isinstance(given, Mapping) and "instanceId" not in given:
        mistakes.append(say("input.instance_required"))
    if values.get("imageId") and values.get("volumeId"):
        mistakes.append(say("restore.image_and_volume"))
    policy, policy_mistakes = effective_policy(settings, settings_name, values.get("policy", {}))
    if mistakes:
        raise InvalidInputError(join_mistakes([*mistakes, *policy_mistakes]))
    require_no_mistakes(policy_mistakes)
    return RestoreRequest(
        instance_id=str(values["instanceId"]),
        policy={**policy, "operation": RESTORE},
        run_id=str(values.get("runId", "")),
        documents={},
        snapshot_id=str(uuid.uuid5(uuid.NAMESPACE_URL, execution)),
        group=None,
        unless_done_since=None,
        image_id=str(values.get("imageId", "")),
        volume_id=str(values.get("volumeId", "")),
    )
