"""Reading what stands in the table: an item that is not as Drydock writes it has a name, and hinders no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any, Generic, TypeVar

from drydock.aws.table import Item, Key
from drydock.catalogue.saying import say
from drydock.errors import UnreadableItemError
from drydock.log import logger
from drydock.times import from_text

_Read = TypeVar("_Read")

_NOT_AS_WRITTEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading ends with where something is missing, or is of another type."""


@dataclass(frozen=True)
class Unreadable:
    """An item that cannot be read, and why."""

    key: Key
    reason: str


@dataclass(frozen=True)
class Readings(Generic[_Read]):
    """What was found together: the items that can be read, and the others."""

    read: list[_Read]
    unreadable: list[Unreadable]


def readable(read: Callable[[Item], _Read]) -> Callable[[Item], _Read]:
    """Every reader of a whole item is made with this. Raises UnreadableItemError, which names the item."""

    @wraps(read)
    def read_item(item: Item) -> _Read:
        try:
            return read(item)
        except _NOT_AS_WRITTEN as error:
            raise UnreadableItemError(
                say(
                    "item.unreadable",
                    item=f"{item.get('pk')} {item.get('sk')}",
                    kind=type(error).__name__,
                    reason=str(error),
                ),
                (str(item.get("pk")), str(item.get("sk"))),
            ) from error

    return read_item


@contextmanager
def working_with(what: str = "") -> Iterator[None]:
    """Work with an item that could be read: what stumbles over it all the same raises UnreadableItemError, too.

    The error begins with `what`. All of Drydock's own errors pass.
    """
    try:
        yield
    except _NOT_AS_WRITTEN as error:
        logger.exception("an item cannot be worked with")
        raise UnreadableItemError(f"{f'{what}: ' if what else ''}{type(error).__name__}: {error}") from error


def read_all(items: Iterable[Item], read: Callable[[Item], _Read]) -> Readings[_Read]:
    """Read one item after the other; what cannot be read is set aside, and logged."""
    found: Readings[_Read] = Readings([], [])
    for item in items:
        try:
            found.read.append(read(item))
        except UnreadableItemError as error:
            logger.error("an item cannot be read", reason=str(error))
            found.unreadable.append(Unreadable({"pk": item["pk"], "sk": item["sk"]}, str(error)))
    return found


def text(value: object) -> str:
    """A value that has to be text. Raises TypeError."""
    if not isinstance(value, str):
        raise TypeError(say("item.no_text", value=f"{value!r:.80}"))
    return value


def number(value: object) -> int:
    """A value that has to be a whole number. Raises TypeError."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(say("item.no_number", value=f"{value!r:.80}"))
    return value


def moment(value: object) -> datetime:
    """A value that has to be a time with its zone. Raises TypeError, ValueError."""
    found = from_text(text(value))
    if found.tzinfo is None:
        raise ValueError(say("item.no_zone", value=f"{value!r:.80}"))
    return found


def mapping(value: object) -> Mapping[str, Any]:
    """A value that has to be a map. Raises TypeError."""
    if not isinstance(value, Mapping):
        raise TypeError(say("item.no_map", value=f"{value!r:.80}"))
    return value


def maps(value: object) -> Mapping[str, Mapping[str, Any]]:
    """A value that has to be a map of maps. Raises TypeError."""
    return {key: mapping(element) for key, element in mapping(value).items()}
