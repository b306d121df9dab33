"""A message: how urgent it is, what happened, what is known, what to do, and where to look. As a mail reads it."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from drydock.catalogue.saying import one_line, say
from drydock.telling.text import Location, console_link, subject_line
from drydock.times import from_text, in_zone

WIDTH = 72
"""Columns of a mail. Links, and words that are longer, stand alone on their line, whole."""

_STEP = "  "

_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00(?! \()| UTC| [+-]\d\d:\d\d \([A-Za-z0-9_+/-]+\))"
)
"""A time in UTC, as Drydock and AWS write it into the reason of an error; or in the zone of a plan, which it names."""

Urgency = Literal["now", "tomorrow", "nothing"]
"""What somebody who is woken has to do: act now, look tomorrow, or nothing."""


@dataclass(frozen=True)
class Command:
    """A line that works in a shell when it is pasted."""

    text: str


@dataclass(frozen=True)
class Link:
    """Where a browser shows something."""

    label: str
    url: str


@dataclass(frozen=True)
class Section:
    """Rows under a heading. Those of steps say what to do next."""

    heading: str
    rows: Sequence[Row]
    are_steps: bool = False


Row = str | Command | Link | Section


def steps(rows: Sequence[Row]) -> Section:
    """The section of what to do next."""
    return Section(say("heading.next"), rows, are_steps=True)


def where(links: Sequence[Row], execution: str, location: Location) -> Section:
    """The section of where to look: the execution comes last."""
    shown = [Link(say("where.execution"), console_link(execution, location))] if execution else []
    return Section(say("heading.where"), [*links, *shown])


def place(location: Location) -> str:
    """The line that says where it was, and names the zone of all times."""
    return say("where.place", account=location.account, region=location.region, zone=location.time_zone)


@dataclass(frozen=True)
class Message:
    """What people are told. `what` is half a sentence: it makes the subject and the first line.

    `about` ends the subject, such as the name of a window; `zone` is that of all times, named once.
    """

    urgency: Urgency
    what: str
    facts: Sequence[Row]
    sections: Sequence[Section]
    zone: str
    about: str = ""
    intro: Sequence[str] = field(default_factory=list)
    """Sentences that follow the first."""

    @property
    def subject(self) -> str:
        """One line that SNS takes. It begins with what to do about it."""
        subject = say(f"subject.{self.urgency}", what=self.what)
        return subject_line(say("subject_about", subject=subject, about=self.about) if self.about else subject)

    @property
    def first(self) -> str:
        """The first sentence: whether somebody has to get up, and for what."""
        return say(f"first.{self.urgency}", what=self.what)

    @property
    def text(self) -> str:
        """The mail."""
        sections = [section for section in self.sections if section.rows]
        parts = [[self.first, *self.intro], self.facts, *[[section] for section in sections]]
        depths = [0, 1, *[0] * len(sections)]
        told = [list(self._lines(part, depth)) for part, depth in zip(parts, depths, strict=True)]
        return "\n\n".join("\n".join(lines) for lines in told if lines)

    def localise(self, text: str) -> str:
        """Text of others on one line; its times are those of the reader's zone."""
        return _MOMENT.sub(lambda found: self._local(found[0]), one_line(text))

    def _local(self, moment: str) -> str:
        try:
            return say("moment", moment=in_zone(_read(moment), self.zone))
        except (OverflowError, ValueError):
            return moment

    def _lines(self, rows: Sequence[Row], depth: int) -> Iterator[str]:
        indent = _STEP * depth
        for row in rows:
            match row:
                case Command():
                    yield from _broken(row.text, indent)
                case Link():
                    yield f"{indent}{row.label}:"
                    yield f"{indent}{_STEP}{row.url}"
                case Section():
                    yield from self._wrapped(row.heading, indent)
                    yield from self._lines(row.rows, depth + 1)
                case str():
                    yield from self._wrapped(row, indent)

    def _wrapped(self, text: str, indent: str) -> list[str]:
        return textwrap.wrap(
            self.localise(text),
            WIDTH,
            initial_indent=indent,
            subsequent_indent=f"{indent}{_STEP}" if indent else "",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _read(moment: str) -> datetime:
    plain = moment.partition(" (")[0].replace(" UTC", "Z")
    # An offset follows without a blank in ISO 8601.
    return from_text(re.sub(r" ([+-]\d\d:\d\d)$", r"\1", plain))


def _broken(command: str, indent: str) -> Iterator[str]:
    """A command in as many lines as it needs. A shell takes a line that ends with a backslash with the next one."""
    line = indent
    for word in map(shlex.quote, shlex.split(command)):
        if line.strip() and len(line) + len(word) + 3 > WIDTH:
            yield f"{line}\\"
            line = f"{indent}{_STEP}"
        line += f"{word} "
    yield line.rstrip()
