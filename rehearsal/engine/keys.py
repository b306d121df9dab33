"""The KMS keys of a stack: of the kind that the template asks for, and with a secret that depends on the seed alone."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from moto.kms import models
from moto.kms.models import kms_backends

from rehearsal.engine.calls import ACCOUNT, REGION, make_client
from rehearsal.engine.deployment import Make
from rehearsal.engine.repairs.patches import Patches
from rehearsal.engine.stack_resources import StackResource

_PROPERTIES = ("Description", "KeySpec", "KeyUsage")


def resource_types(make_uuid: Callable[[], str]) -> Mapping[str, Make]:
    """Return how CloudFormation makes keys; moto's makes all of them symmetric ones, of chance."""

    def make(name: str, logical_id: str, properties: dict[str, Any]) -> StackResource:
        given = {key: properties[key] for key in _PROPERTIES if key in properties}
        client: Any = make_client("kms")
        answer = client.create_key(**given, Policy=json.dumps(properties["KeyPolicy"]))
        key_id, arn = answer["KeyMetadata"]["KeyId"], answer["KeyMetadata"]["Arn"]
        secret = b"".join(uuid.UUID(make_uuid()).bytes for _ in range(2))
        kms_backends[ACCOUNT][REGION].keys[key_id].key_material = secret
        # A key is deleted a month later (PendingWindowInDays), and has no name.
        return StackResource(key_id, {"Arn": arn, "KeyId": key_id}, lambda: client.schedule_key_deletion(KeyId=key_id))

    return {"AWS::KMS::Key": make}


def repair_symmetric_keys(patches: Patches) -> None:
    """moto makes a pair of RSA keys for a symmetric key as well, which takes longer than all the rest of a table.

    AWS keeps 256 bits for it and nothing else (CreateKey in the KMS API Reference, KeySpec, read in November 2026).
    """

    def generate(original: Callable[[str], Any], key_spec: str) -> Any:
        return None if key_spec == "SYMMETRIC_DEFAULT" else original(key_spec)

    patches.wrap(models, "generate_private_key", generate)
