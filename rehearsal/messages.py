"""The messages that the account's topics would send to people."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moto.sns.models import SNSBackend

from rehearsal.clock import VirtualClock
from rehearsal.repairs.errors import service_error
from rehearsal.repairs.patches import Patches

SUBJECT = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,99}")
"""What SNS takes: fewer than 100 characters of UTF-8 text, without line breaks or control characters."""

LONGEST_BODY = 262_144


@dataclass(frozen=True)
class Message:
    """One message published to a topic."""

    topic: str
    subject: str | None
    body: str
    at: datetime
    attributes: Mapping[str, str] = field(default_factory=dict)


def keep_messages(patches: Patches, clock: VirtualClock, keep: Callable[[Message], None]) -> None:
    """Hand every message that is published to `keep`; refuse a subject or body that SNS refuses."""

    def publish(original: Callable[..., Any], self: SNSBackend, message: str, *arguments: Any, **keywords: Any) -> Any:
        subject = keywords.get("subject")
        if subject is not None and not SUBJECT.fullmatch(subject):
            raise service_error("sns", "InvalidParameter", "Invalid parameter: Subject")
        if len(message.encode()) > LONGEST_BODY:
            raise service_error("sns", "InvalidParameter", "Invalid parameter: Message too long")
        if not message:
            raise service_error("sns", "InvalidParameter", "Invalid parameter: Empty message")
        answer = original(self, message, *arguments, **keywords)
        attributes = {
            name: str(value.get("StringValue", value.get("Value", "")))
            for name, value in (keywords.get("message_attributes") or {}).items()
        }
        keep(Message(str(keywords.get("arn")), subject, message, clock.now(), attributes))
        return answer

    patches.wrap(SNSBackend, "publish", publish)
