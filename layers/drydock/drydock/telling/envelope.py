"""A message as SNS takes it: text for mail, a card for chat."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from drydock.catalogue.saying import say
from drydock.telling.message import Command, Link, Message, Row, Section
from drydock.telling.text import cut

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


_FULL_WIDTH = 0xFEE0
"""So far above a character of ASCII stands its full-width form, which looks like it and means nothing to a client."""

_MARKUP = {ord(character): ord(character) + _FULL_WIDTH for character in "<>[]*`~|@\\"}

_LINK = re.compile(r"://|\bwww\.|(?<![^\W_])_|_(?![^\W_])")
"""What makes a link by itself, and underscores at the edge of a word: those inside, as in `my_host`, mean nothing."""


def _inert(text: str) -> str:
    """Text without what chat clients read as markdown, a mention or a link: look-alikes stand for it.

    Slack and Teams escape differently, so that no escape is safe in both.
    """
    return _LINK.sub(lambda found: _widen(found[0]), text.translate(_MARKUP))


def _widen(text: str) -> str:
    return "".join(character if character.isalpha() else chr(ord(character) + _FULL_WIDTH) for character in text)


def _for_chat(text: str, most: int) -> str:
    """At most so many characters of a line, inert."""
    return cut(_inert(text), most)


def _card_lines(message: Message, rows: Sequence[Row], depth: int) -> Iterator[str]:
    """The rows as markdown. Links and commands are Drydock's own."""
    indent = "  " * depth
    for row in rows:
        match row:
            case Command():
                yield f"{indent}`{row.text.replace('`', '')}`"
            case Link():
                yield f"{indent}{_inert(row.label)}: {row.url}"
            case Section():
                yield f"{indent}{_for_chat(message.localise(row.heading), _MOST_CHAT_TEXT // 2)}"
                yield from _card_lines(message, row.rows, depth + 1)
            case str():
                yield f"{indent}{_for_chat(message.localise(row), _MOST_CHAT_TEXT // 2)}"


def _card_steps(message: Message, rows: Sequence[Row]) -> list[str]:
    """What to do next as a list: a command belongs to the sentence before it."""
    found: list[str] = []
    for line in _card_lines(message, rows, 0):
        if line.startswith("`") and found:
            found[-1] += f" {line}"
        else:
            found.append(line)
    return found


def _fit(lines: Sequence[str]) -> str:
    """The text of a chat message, cut at the end of a line, so that no link is cut in two."""
    if len("\n".join(lines)) <= _MOST_CHAT_TEXT:
        return "\n".join(lines)
    kept: list[str] = []
    left = _MOST_CHAT_TEXT - len(_CUT)
    for line in lines:
        left -= len(line) + 1
        if left < 0:
            break
        kept.append(line)
    return "\n".join([*kept, _CUT])


def _card(message: Message) -> dict[str, Any]:
    """The content of a card. Steps that would be cut stay in the text."""
    listed: list[str] = []
    parts = [[_inert(message.localise(text)) for text in (message.first, *message.intro)]]
    parts.append(list(_card_lines(message, message.facts, 0)))
    for section in message.sections:
        found = _card_steps(message, section.rows) if section.are_steps else []
        if found and len(found) <= _MOST_CHAT_STEPS and all(len(step) <= _MOST_CHAT_STEP for step in found):
            listed = found
        elif section.rows:
            parts.append(list(_card_lines(message, [section], 0)))
    told = [line for part in parts if part for line in ["", *part]]
    return {"description": _fit(told[1:]), **({"nextSteps": listed} if listed else {})}


def _chat_notification(message: Message, *, thread: str, event: str, resources: Sequence[str]) -> dict[str, Any]:
    """A message in the schema of custom notifications (Amazon Q Developer in chat applications).

    Messages of one thread are shown together.
    https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    """
    title = _for_chat(message.subject, _MOST_CHAT_TITLE)
    return {
        "version": "1.0",
        "source": "custom",
        "content": {
            "textType": "client-markdown",
            "title": title,
            **_card(message),
        },
        "metadata": {
            "threadId": thread,
            "summary": title,
            "eventType": event,
            "relatedResources": list(resources),
        },
    }


def wrap_for_protocols(message: Message, *, thread: str, event: str, resources: Sequence[str]) -> str:
    """A message as SNS takes it with MessageStructure=json: text for mail, the schema of chat clients for https."""
    plain = _sendable(message.text)
    chat = _chat_notification(message, thread=thread, event=event, resources=resources)
    return json.dumps(
        {"default": plain, "email": plain, "https": json.dumps(chat, ensure_ascii=False)}, ensure_ascii=False
    )
