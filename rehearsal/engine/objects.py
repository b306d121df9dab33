"""S3 as a function meets it: an object that is not there looks forbidden to those who may not list its bucket."""

from __future__ import annotations

from botocore.exceptions import ClientError
from moto.s3.models import s3_backends

from rehearsal.engine.calls import ACCOUNT, Call
from rehearsal.engine.permissions import Permissions, Request, is_allowed

_READS = ("GetObject", "HeadObject")


class MissingObjects:
    """The check of reads of objects that are not there."""

    def __init__(self, permissions: Permissions) -> None:
        self._permissions = permissions

    def check(self, call: Call) -> None:
        """Raise AccessDenied where S3 does not say that there is no such object."""
        role = call.caller.role
        if call.service != "s3" or call.operation not in _READS or role is None or not self._permissions.enforce:
            return
        bucket, key = call.parameters["Bucket"], call.parameters["Key"]
        buckets = s3_backends[ACCOUNT]["aws"].buckets
        if bucket not in buckets or buckets[bucket].keys.get(key) is not None:
            return
        name = role.split("/")[-1]
        request = Request(call.caller.name, name, "s3:ListBucket", f"arn:aws:s3:::{bucket}", ())
        statements = [statement for policy in self._permissions.policies(name).values() for statement in policy]
        if not is_allowed(statements, request):
            raise _forbid(call)


def _forbid(call: Call) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": "AccessDenied", "Message": "Access Denied"},
            "ResponseMetadata": {
                "HTTPStatusCode": 403,
                "RequestId": "",
                "HostId": "",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        call.operation,
    )
