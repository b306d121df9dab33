"""The calls to S3: plans, waves and reports, as JSON in the stack's bucket."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from drydock.aws.calls import call, client
from drydock.errors import RunNotFoundError


class Objects:
    """The JSON objects in one bucket of S3."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self._client = client("s3")

    def write_json(self, key: str, value: Any) -> None:
        """Write a value under a key, over whatever stands there: JSON in UTF-8, compact and with sorted keys."""
        call(
            self._client.put_object,
            Bucket=self.bucket,
            Key=key,
            Body=json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode(),
            ContentType="application/json",
        )

    def read_json(self, key: str) -> Any:
        """Raises RunNotFoundError when there is no such object."""
        try:
            # Without permission to list the bucket, S3 denies what is not there.
            answer = call(self._client.get_object, "NoSuchKey", "AccessDenied", Bucket=self.bucket, Key=key)
        except ClientError as error:
            raise RunNotFoundError(
                f"s3://{self.bucket}/{key}: there is no such object, or it may not be read"
            ) from error
        return json.loads(answer["Body"].read())
