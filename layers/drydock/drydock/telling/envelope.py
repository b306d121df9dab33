"""A message as SNS takes it: text for mail, a card for chat."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from drydock.catalogue.saying import say
from drydock.telling.text import NEXT_STEPS

_CUT = say("cut")

_MOST_TEXT = 80_000
"""Bytes of JSON. SNS takes 262,144 for all protocols and the attributes together; the text goes into it twice."""


_MOST_CHAT_TITLE, _MOST_CHAT_TEXT, _MOST_CHAT_STEP, _MOST_CHAT_STEPS = 250, 8_000, 350, 10
"""AWS Chatbot: so many characters; the number of steps is ours."""


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _json_bytes(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())


def _sendable(text: str) -> str:
    """What SNS takes: UTF-8 without control characters, short enough. Lines that do not fit are left out."""
    clean = _CONTROL.sub(" ", text.encode(errors="replace").decode())
    if _json_bytes(clean) <= _MOST_TEXT:
        return clean
    kept: list[str] = []
    left = _MOST_TEXT - _json_bytes(_CUT)
    for line in clean.split("\n"):
        size = _json_bytes(line)
        if size > left:
            # No character is longer than four bytes.
            kept.append(line[: left // 4])
            break
        kept.append(line)
        left -= size
    return "\n".join([*kept, _CUT])


def _escape(text: str) -> str:
    """Text of others without the mentions and links of Slack's markdown. An ampersand is left alone: it is in links."""
    return text.replace("<", "&lt;").replace(">", "&gt;")


def _for_chat(text: str, most: int) -> str:
    """At most so many characters of a line; no escape is cut in two."""
    escaped = _escape(text)
    return escaped if len(escaped) <= most else re.sub(r"&[lg]?t?$", "", escaped[: most - 1]) + "…"


def _description(lines: Sequence[str]) -> str:
    """The text of a chat message, cut at the end of a line, so that no link is cut in two."""
    shown = [_for_chat(line, _MOST_CHAT_TEXT // 2) for line in lines]
    if len("\n".join(shown)) <= _MOST_CHAT_TEXT:
        return "\n".join(shown)
    kept: list[str] = []
    left = _MOST_CHAT_TEXT - len(_CUT)
    for line in shown:
        left -= len(line) + 1
        if left < 0:
            break
        kept.append(line)
    return "\n".join([*kept, _CUT])


def _part_next_steps(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """What to do next, and the other lines. Steps that a chat message would cut stay where they are."""
    if NEXT_STEPS not in lines:
        return [], list(lines)
    begin = lines.index(NEXT_STEPS)
    end = next((number for number in range(begin, len(lines)) if not lines[number].strip()), len(lines))
    steps = [line.strip() for line in lines[begin + 1 : end]]
    if len(steps) > _MOST_CHAT_STEPS or any(len(_escape(step)) > _MOST_CHAT_STEP for step in steps):
        return [], list(lines)
    return steps, [*lines[:begin], *lines[end + 1 :]]


def _chat_notification(subject: str, text: str, *, thread: str, event: str, resources: Sequence[str]) -> dict[str, Any]:
    """A message in the schema of AWS Chatbot's custom notifications (Amazon Q Developer in chat applications).

    Messages of one thread are shown together.
    """
    steps, lines = _part_next_steps(text.split("\n"))
    content: dict[str, Any] = {
        "textType": "client-markdown",
        "title": _for_chat(subject, _MOST_CHAT_TITLE),
        "description": _description(lines),
    }
    if steps:
        content["nextSteps"] = [_escape(step) for step in steps]
    return {
        "version": "1.0",
        "source": "custom",
        "content": content,
        "metadata": {
            "threadId": thread,
            "summary": content["title"],
            "eventType": event,
            "relatedResources": list(resources),
        },
    }


def wrap_for_protocols(subject: str, text: str, *, thread: str, event: str, resources: Sequence[str]) -> str:
    """A message as SNS takes it with MessageStructure=json: text for mail, AWS Chatbot's schema for https."""
    plain = _sendable(text)
    chat = _chat_notification(subject, plain, thread=thread, event=event, resources=resources)
    return json.dumps(
        {"default": plain, "email": plain, "https": json.dumps(chat, ensure_ascii=False)}, ensure_ascii=False
    )
