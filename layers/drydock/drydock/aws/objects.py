"""The calls to S3: plans, waves and reports in the stack's bucket, as JSON and, for people, as a page."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from botocore.exceptions import ClientError

from drydock.aws.calls import call, client
from drydock.catalogue.saying import say
from drydock.errors import RunNotFoundError


class Objects:
    """The objects in one bucket of S3."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self._client = client("s3")

    def write_json(self, key: str, value: Any) -> None:
        """Write a value under a key, over whatever stands there: JSON in UTF-8, compact and with sorted keys."""
        self._write(
            key, json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")), "application/json"
        )

    def write_page(self, key: str, page: str) -> None:
        """Write a page of HTML under a key, over whatever stands there. A browser keeps no copy of it."""
        self._write(key, page, "text/html; charset=utf-8", CacheControl="no-store")

    def _write(self, key: str, text: str, content_type: str, **more: str) -> None:
        call(
            self._client.put_object,
            Bucket=self.bucket,
            Key=key,
            Body=text.encode(),
            ContentType=content_type,
            **more,
        )

    def read_json(self, key: str) -> Any:
        """Raises RunNotFoundError when there is no such object."""
        try:
            # Without permission to list the bucket, S3 denies what is not there.
            answer = call(self._client.get_object, "NoSuchKey", "AccessDenied", Bucket=self.bucket, Key=key)
        except ClientError as error:
            raise RunNotFoundError(say("object.missing", bucket=self.bucket, key=key)) from error
        return json.loads(answer["Body"].read())

    def sign_reading(self, key: str, lives: timedelta) -> str:
        """An address that reads this one object without credentials for so long, or as long as the function's own are.

        It is made here, and nobody is asked: that there is such an object is not looked at. botocore by itself signs
        it the old way, which new Regions and buckets do not take.
        """
        signer = client("s3", signature="s3v4")
        parameters = {"Bucket": self.bucket, "Key": key}
        return str(signer.generate_presigned_url("get_object", parameters, int(lives.total_seconds())))
