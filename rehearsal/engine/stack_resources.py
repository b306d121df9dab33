"""What stacks of the account have made: nothing of a name that exists, and what goes and what stays when a stack goes.

A deployment that fails is rolled back: what it made is deleted in reverse order, except what `DeletionPolicy` retains.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from moto.cloudformation import parsing
from moto.core.exceptions import ServiceException
from moto.iam.models import ManagedPolicy, Role, iam_backends
from moto.s3.models import FakeBucket, s3_backends

from rehearsal.engine.calls import ACCOUNT, REGION
from rehearsal.engine.repairs.patches import Patches


class ResourceFailedError(Exception):
    """Raised when CloudFormation cannot make or delete a resource."""


class StackResource:
    """A resource of a type that moto lacks, in the shape its CloudFormation expects."""

    def __init__(
        self,
        physical_id: str,
        attributes: Mapping[str, str] | None = None,
        delete: Callable[[], object] = lambda: None,
    ) -> None:
        self.physical_resource_id = physical_id
        self.attributes = attributes or {}
        self.remove = delete
        """What CloudFormation does to delete it."""
        self.cf_resource_type = ""
        self.logical_resource_id = ""

    def get_cfn_attribute(self, name: str) -> str:
        """Return the value of a Fn::GetAtt."""
        return self.attributes[name]

    def is_created(self) -> bool:
        """CloudFormation asks; there is nothing to wait for."""
        return True


@dataclass(frozen=True)
class Made:
    """A resource that stands in the account because a stack made it."""

    logical_id: str
    name: tuple[str, str]
    """Its type, and the name that its template gives it; empty when CloudFormation makes one up."""
    body: Mapping[str, Any]
    resource: Any

    def is_retained(self, *, on_create: bool) -> bool:
        """Say whether it stays: when the creation of its stack is rolled back, or when the stack is deleted later."""
        policy = self.body.get("DeletionPolicy", "Delete")
        return policy == "Retain" or (policy == "RetainExceptOnCreate" and not on_create)

    def delete(self) -> None:
        """Delete it; raises ResourceFailedError, or what moto raises, when that is not possible."""
        if isinstance(self.resource, StackResource):
            self.resource.remove()
            return
        if hasattr(self.resource, "delete"):
            self.resource.delete(ACCOUNT, REGION)
            return
        delete = type(self.resource).delete_from_cloudformation_json
        if hasattr(delete, "__isabstractmethod__"):
            raise NotImplementedError(f"moto's CloudFormation does not delete resources of type {self.name[0]}")
        delete(self.resource.physical_resource_id, dict(self.body), ACCOUNT, REGION)


class StackResources:
    """The resources of all stacks, in the order in which they were made."""

    def __init__(self) -> None:
        self.before_each: Callable[[str], object] = lambda logical_id: None
        """Hears of each resource before it is made, by its logical id; whatever it raises fails the deployment."""
        self._standing: dict[str, list[Made]] = {}
        self._names: set[tuple[str, str]] = set()

    def install(self, patches: Patches) -> None:
        """Watch what moto's CloudFormation makes, and mend how it deletes."""
        patches.wrap(parsing, "parse_and_create_resource", self._create)
        repair_deletion_of_full_buckets(patches)
        repair_deletion_of_roles(patches)
        repair_deletion_of_managed_policies(patches)

    def delete_all(self, stack: str, *, on_create: bool) -> dict[str, str]:
        """Delete what a stack made, last first, and return what could not be deleted, with the reasons.

        `on_create` says that the stack's creation is rolled back.
        """
        failed: dict[str, str] = {}
        left = []
        for made in reversed(self._standing.pop(stack, [])):
            if made.is_retained(on_create=on_create):
                continue
            try:
                made.delete()
            except NotImplementedError:
                raise
            except Exception as error:  # each service of moto has errors of its own
                failed[made.logical_id] = str(error)
                left.append(made)
            else:
                self._names.discard(made.name)
        if left:
            self._standing[stack] = left[::-1]
        return failed

    def _create(
        self, original: Callable[..., Any], logical_id: str, body: dict[str, Any], resources: Any, **keywords: Any
    ) -> Any:
        condition = body.get("Condition")
        if condition and not resources.lazy_condition_map[condition]:
            return None
        # What it refers to is made first.
        resolved = parsing.clean_json(body, resources)
        kind = body["Type"]
        name = resolved.get("Properties", {}).get(parsing.resource_name_property_from_type(kind) or "", "")
        self.before_each(logical_id)
        if name and (kind, name) in self._names:
            raise ResourceFailedError(f"{logical_id}: resource of type {kind} with identifier {name} already exists")
        try:
            resource = original(logical_id, body, resources, **keywords)
        except ServiceException as refused:
            raise ResourceFailedError(f"{logical_id}: {refused}") from refused
        self._names.add((kind, name))
        self._standing.setdefault(str(resources["AWS::StackName"]), []).append(
            Made(logical_id, (kind, name), resolved, resource)
        )
        return resource


def repair_deletion_of_full_buckets(patches: Patches) -> None:
    """moto's CloudFormation leaves a bucket that is not empty, and says that it deleted it. AWS fails.

    "For Amazon S3 buckets, you must delete all objects in the bucket for deletion to succeed": DeletionPolicy options
    in the CloudFormation Template Reference, read in November 2026. Versions and delete markers count.
    """

    def delete(cls: Any, name: str, body: Any, account: str, region: str) -> None:
        backend = s3_backends[ACCOUNT]["aws"]
        if any(backend.list_object_versions(name)[:2]):
            raise ResourceFailedError("The bucket you tried to delete is not empty")
        backend.delete_bucket(name)

    patches.replace(FakeBucket, "delete_from_cloudformation_json", classmethod(delete))


def repair_deletion_of_roles(patches: Patches) -> None:
    """moto's CloudFormation does not detach the managed policies of a role before it deletes it. AWS's does."""
    original = Role.delete_from_cloudformation_json

    def delete(cls: Any, name: str, body: Any, account: str, region: str) -> None:
        backend = iam_backends[ACCOUNT]["aws"]
        for arn in list(backend.get_role(name).managed_policies):
            backend.detach_role_policy(arn, name)
        original(name, body, account, region)

    patches.replace(Role, "delete_from_cloudformation_json", classmethod(delete))


def repair_deletion_of_managed_policies(patches: Patches) -> None:
    """moto's CloudFormation does not delete managed policies. AWS's does, once they are attached to nothing."""

    def delete(cls: Any, arn: str, body: Any, account: str, region: str) -> None:
        iam_backends[ACCOUNT]["aws"].delete_policy(arn)

    patches.replace(ManagedPolicy, "delete_from_cloudformation_json", classmethod(delete))
