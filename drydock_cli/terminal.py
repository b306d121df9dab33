"""What a command prints and asks: readable in 80 columns, without colours where nobody sees them, or as JSON."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, TextIO

from drydock.times import from_text, to_the_minute

Style = Literal["", "good", "warn", "bad", "strong", "faint"]

_COLUMNS, _FEWEST_COLUMNS, _LINES = 80, 40, 24
_CODES: Mapping[Style, str] = {"good": "32", "warn": "33", "bad": "31", "strong": "1", "faint": "2"}


@dataclass
class Terminal:
    """Where a command reads and writes, and the clock that it waits by."""

    out: TextIO
    err: TextIO
    answers: TextIO
    width: int = _COLUMNS
    has_colours: bool = False
    can_ask: bool = False
    is_json: bool = False
    has_picture: bool = False
    """Whether the last lines may be drawn over."""
    height: int = _LINES
    size: Callable[[], tuple[int, int]] | None = None
    """Columns and lines as they are now: people make their windows smaller. None where they stay as they are."""
    _drawn: Sequence[str] = ()
    zone: tzinfo | None = None
    """None is the zone of the machine that the command runs on."""
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @classmethod
    def of_process(cls) -> Terminal:
        is_terminal = sys.stdout.isatty()
        columns = shutil.get_terminal_size((_COLUMNS, 24)).columns if is_terminal else _COLUMNS
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A name that the terminal cannot show must not end the command.
                stream.reconfigure(errors="replace")
        is_smart = is_terminal and os.environ.get("TERM") != "dumb"
        return cls(
            has_picture=is_smart,
            size=_size if is_smart else None,
            out=sys.stdout,
            err=sys.stderr,
            answers=sys.stdin,
            width=max(columns - 1, _FEWEST_COLUMNS) if is_terminal else _COLUMNS,
            has_colours=is_smart and not os.environ.get("NO_COLOR"),
            can_ask=sys.stdin.isatty() and sys.stderr.isatty(),
        )

    def say(self, text: str = "", style: Style = "") -> None:
        """Print a line for people; with --json they get none."""
        if not self.is_json:
            self.wipe()
            print(self.paint(printable(text), style), file=self.out, flush=True)

    def draw(self, lines: Sequence[str]) -> None:
        """Draw a picture below everything else, in place of the last one."""
        self.wipe()
        if self.has_picture and not self.is_json:
            self._measure()
            self._drawn = [cut(printable(line), self.width) for line in lines]
            print("\n".join(self.paint(line, "faint") for line in self._drawn), file=self.out, flush=True)

    def wipe(self) -> None:
        """Take the picture away. In a window that was made narrower its lines take more rows than they did."""
        if not self._drawn:
            return
        self._measure()
        rows = sum(max(-(-columns(line) // (self.width + 1)), 1) for line in self._drawn)
        self._drawn = ()
        print(f"\x1b[{rows}F\x1b[J", end="", file=self.out, flush=True)

    def _measure(self) -> None:
        if self.size:
            wide, self.height = self.size()
            self.width = max(wide - 1, _FEWEST_COLUMNS)

    def say_wrapped(self, text: str, indent: str = "", style: Style = "", later: str | None = None) -> None:
        """Print a text in lines of the terminal's width; those after the first begin with `later`."""
        for line in wrap(text, self.width, indent, indent if later is None else later):
            self.say(line, style)

    def note(self, text: str) -> None:
        """Print a line that is no result."""
        self.wipe()
        print(printable(f"drydock: {text}"), file=self.err, flush=True)

    def document(self, value: Any) -> None:
        """Print the result as JSON, when that was asked for."""
        if not self.is_json:
            return
        if isinstance(self.out, io.TextIOWrapper):
            self.out.reconfigure(encoding="utf-8")
        print(json.dumps(value, indent=2, ensure_ascii=False), file=self.out, flush=True)

    def problem(self, lines: Sequence[str], exit_code: int) -> None:
        """Print why a command could not do what it was asked for: for people, and as JSON when that was asked for."""
        for line in lines:
            self.note(line)
        self.document({"error": {"messages": list(lines), "exitCode": exit_code}})

    def ask(self, question: str) -> bool:
        """Whether the person at the terminal says yes."""
        print(f"{question} [y/N] ", end="", file=self.err, flush=True)
        return self.answers.readline().strip().lower() in ("y", "yes")

    def ask_text(self, question: str, default: str) -> str:
        """What the person at the terminal answers; the default for nothing."""
        print(f"{question}" + (f" [{default}]" if default else "") + ": ", end="", file=self.err, flush=True)
        answer = self.answers.readline()
        if not answer:
            # The input is over: nobody will ever answer.
            raise KeyboardInterrupt
        return answer.strip() or default

    def paint(self, text: str, style: Style) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.has_colours and style and text else text

    def at(self, moment: datetime) -> str:
        """`2026-01-13 01:40 +09:00`"""
        return to_the_minute(moment.astimezone(self.zone))

    def at_text(self, text: str | None, missing: str = "?") -> str:
        moment = read_time(text)
        return self.at(moment) if moment else missing

    def clock(self, moment: datetime, seconds: bool = False) -> str:
        return f"{moment.astimezone(self.zone):{'%H:%M:%S' if seconds else '%H:%M'}}"


def _size() -> tuple[int, int]:
    found = shutil.get_terminal_size((_COLUMNS, _LINES))
    return found.columns, found.lines


def read_time(text: Any) -> datetime | None:
    """A time as Drydock writes it; None for anything else."""
    if not isinstance(text, str) or not text:
        return None
    try:
        moment = from_text(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def length_of_time(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`"""
    whole = int(timedelta(seconds=seconds).total_seconds())
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(number: int, what: str) -> str:
    """`1 machine`, `1,200 machines`"""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def printable(text: Any) -> str:
    """One line of a text that others wrote, such as a Name tag, without anything that a terminal would obey."""
    return "".join(
        character if character.isprintable() else " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"
        for character in str(text)
    )


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(_columns_of(character) for character in text)


def _columns_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, most: int) -> str:
    """A text in at most so many columns."""
    if columns(text) <= most:
        return text
    taken, room = "", most - 1
    for character in text:
        room -= _columns_of(character)
        if room < 0:
            break
        taken += character
    return f"{taken}\N{HORIZONTAL ELLIPSIS}"


def pad(text: str, width: int, to_the_right: bool = False) -> str:
    """A text in exactly so many columns."""
    fitting = cut(text, width)
    space = " " * (width - columns(fitting))
    return space + fitting if to_the_right else fitting + space


def row(cells: Sequence[tuple[str, int]]) -> str:
    """The cells of a line of a table with their widths; a negative width puts a text to the right."""
    return "  ".join(pad(text, abs(width), width < 0) for text, width in cells).rstrip()


def wrap(text: str, width: int, first: str = "", later: str = "") -> Iterator[str]:
    """The lines of a text. An address or an ARN stays in one piece, however long."""
    line, is_empty = first, True
    for word in _pieces(text, max(width - columns(later), 1)):
        if not is_empty and columns(line) + 1 + columns(word) > width:
            yield line
            line, is_empty = later, True
        line += word if is_empty else f" {word}"
        is_empty = False
    yield line.rstrip()


def _pieces(text: str, width: int) -> Iterator[str]:
    """The words of a text; those of scripts without spaces in pieces that fit."""
    for word in text.split():
        piece = ""
        for character in word:
            if not word.isascii() and columns(piece) + _columns_of(character) > width:
                yield piece
                piece = ""
            piece += character
        yield piece
