"""The calls to Resource Groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from drydock.aws.calls import client, error_text, pages
from drydock.catalogue.saying import say
from drydock.errors import InvalidInputError

INSTANCE_TYPES = ("AWS::EC2::Instance", "AWS::SSM::ManagedInstance")
"""A machine may be a member as one or as the other; the last part of its ARN is its id either way."""


class ResourceGroups:
    """Resource Groups, which a run's targets may name."""

    def __init__(self, made: Any = None) -> None:
        """Without a client, with the function's own."""
        self._client = made or client("resource-groups")

    def list_instances(self, group: str, types: Sequence[str] = INSTANCE_TYPES) -> list[str]:
        """The ids (`i-…`, `mi-…`) of a group's members of these types, sorted. A name or an ARN says which group.

        Raises InvalidInputError when there is no such group, or its query cannot be carried out.
        """
        # No filter by type: the call refuses types that do not stand in the group's own query. AWS's examples
        # write the same type as Instance and as INSTANCE.
        wanted = {kind.lower() for kind in types} & {kind.lower() for kind in INSTANCE_TYPES}
        found = pages(self._client.list_group_resources, "NotFoundException", "BadRequestException", Group=group)
        ids: set[str] = set()
        try:
            for page in found:
                for problem in page.get("QueryErrors", []):
                    raise InvalidInputError(
                        say(
                            "resource_group.unreadable",
                            group=group,
                            code=problem.get("ErrorCode", ""),
                            message=problem.get("Message", ""),
                        )
                    )
                members = [resource["Identifier"] for resource in page.get("Resources", [])]
                ids |= {
                    str(member["ResourceArn"]).rpartition("/")[2]
                    for member in members
                    if str(member["ResourceType"]).lower() in wanted
                }
        except ClientError as error:
            raise InvalidInputError(say("resource_group.refused", group=group, message=error_text(error))) from error
        return sorted(ids)
