"""The messages that the account's topics would send to people."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moto.sns.models import SNSBackend

from rehearsal.engine.clock import VirtualClock
from rehearsal.engine.repairs.errors import service_error
from rehearsal.engine.repairs.patches import Patches

SUBJECT = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,99}")
"""What SNS takes: fewer than 100 characters of UTF-8 text, without line breaks or control characters."""

LONGEST_BODY = 262_144


@dataclass(frozen=True)
class Message:
    """One message published to a topic: `body` is what mail brings, `https` what AWS Chatbot gets."""

    topic: str
    subject: str | None
    body: str
    at: datetime
    attributes: Mapping[str, str] = field(default_factory=dict)
    https: str = ""

    @property
    def said(self) -> str:
        """The mail without its line breaks and indents."""
        return " ".join(self.body.replace("\\\n", "").split())

    @property
    def chat(self) -> dict[str, Any]:
        """The notification that AWS Chatbot shows. Raises ValueError when it would drop the message."""
        return dict(json.loads(self.https))


def _texts(message: str, structure: str | None) -> Mapping[str, str]:
    """What each protocol gets of a message; refuses one that has no structure although it says so."""
    if structure is None:
        return {"default": message}
    try:
        parsed = json.loads(message)
    except ValueError as error:
        reason = "Invalid parameter: Message Structure - JSON message body failed to parse"
        raise service_error("sns", "InvalidParameter", reason) from error
    if not isinstance(parsed, dict) or not isinstance(parsed.get("default"), str):
        reason = "Invalid parameter: Message Structure - No default entry in JSON message body"
        raise service_error("sns", "InvalidParameter", reason)
    return {protocol: text for protocol, text in parsed.items() if isinstance(text, str)}


def _size(message: str, attributes: Mapping[str, Any]) -> int:
    """SNS counts the message and its attributes together."""
    parts = [part for name, value in attributes.items() for part in (name, *(str(each) for each in value.values()))]
    return len("".join([message, *parts]).encode())


def keep_messages(patches: Patches, clock: VirtualClock, keep: Callable[[Message], None]) -> None:
    """Hand every message that is published to `keep`; refuse a subject or body that SNS refuses."""

    def publish(original: Callable[..., Any], self: SNSBackend, message: str, *arguments: Any, **keywords: Any) -> Any:
        subject = keywords.get("subject")
        if subject is not None and not SUBJECT.fullmatch(subject):
            raise service_error("sns", "InvalidParameter", "Invalid parameter: Subject")
        given = keywords.get("message_attributes") or {}
        if _size(message, given) > LONGEST_BODY:
            raise service_error("sns", "InvalidParameter", "Invalid parameter: Message too long")
        if not message:
            raise service_error("sns", "InvalidParameter", "Invalid parameter: Empty message")
        texts = _texts(message, keywords.get("message_structure"))
        answer = original(self, message, *arguments, **keywords)
        attributes = {name: str(value.get("StringValue", value.get("Value", ""))) for name, value in given.items()}
        body = texts.get("email", texts["default"])
        https = texts.get("https", texts["default"])
        keep(Message(str(keywords.get("arn")), subject, body, clock.now(), attributes, https))
        return answer

    patches.wrap(SNSBackend, "publish", publish)
