"""Messages as the tests read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drydock.telling.message import Command, Link, Message, Row, Section

STEPS = "What to do next"


def flat(text: str) -> str:
    """A text without its line breaks and indents."""
    return " ".join(text.split())


def rows_of(message: Message, heading: str) -> list[str]:
    """The rows of the section whose heading begins so; those of sections inside it follow theirs."""
    return list(_rows(next(one for one in message.sections if one.heading.startswith(heading)).rows))


def headings_of(message: Message) -> list[str]:
    """The headings of the sections that are shown."""
    return [section.heading for section in message.sections if section.rows]


def _rows(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        match row:
            case Section():
                yield row.heading
                yield from _rows(row.rows)
            case Command():
                yield row.text
            case Link():
                yield f"{row.label}: {row.url}"
            case str():
                yield row
