"""What Drydock remembers, read from its table; whether anything in it asks for more; and time until nothing does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.deployment import Stack

SETTLING = timedelta(hours=12)
"""How long Drydock's schedules get to find what no event told them about."""

_LOOK_AGAIN = timedelta(seconds=150)
"""Longer than the schedule of `give_back`, so that each look is after another pass."""

_OPEN = ("RUNS", "UNTOLD", "IMAGES", "UNFINISHED_REPORTS")


def read_items(account: EmbeddedAccount, stack: Stack) -> list[dict[str, Any]]:
    """Return every item of the table: whole numbers as int, sets as sorted lists, keys in order."""
    deserialize = TypeDeserializer().deserialize
    return [_plain({key: deserialize(value) for key, value in item.items()}) for item in _scan(account, stack)]


def find_unfinished(items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Say which items still ask for something: a lease, an open run, a result that nobody was told of, an image."""
    for item in items:
        if item["sk"] == "LEASE":
            yield f"lease of {item['pk']} is left"
        if item.get("lookup", "").startswith(_OPEN):
            yield f"{item['pk']} {item['sk']} still stands under {item['lookup']}"


def settle(account: EmbeddedAccount, stack: Stack, limit: timedelta = timedelta(hours=48)) -> None:
    """Let everything happen, sweeps included, until no item asks for more or `SETTLING` is over.

    Raises TimeLimitError when the account is not quiet after `limit` of virtual time.
    """
    account.run_until_quiet(limit)
    end = account.clock.now() + SETTLING
    while account.clock.now() < end and any(find_unfinished(_read_keys(account, stack))):
        account.clock.call_later(_LOOK_AGAIN.total_seconds(), lambda: None)
        account.run_until_quiet(limit)
    # Until what is eventually consistent is so: who looks now sees what has come of all.
    account.clock.call_later(account.late_seconds, lambda: None)
    account.run_until_quiet(limit)


def _read_keys(account: EmbeddedAccount, stack: Stack) -> Iterator[dict[str, str]]:
    """Every item's keys and what it stands under: to read all of each would take longer than a pass of sweeps."""
    for item in _scan(account, stack):
        yield {name: item[name]["S"] for name in ("pk", "sk", "lookup") if name in item}


def _scan(account: EmbeddedAccount, stack: Stack) -> Iterator[dict[str, Any]]:
    for page in account.client("dynamodb").get_paginator("scan").paginate(TableName=stack.resource("StateTable")):
        yield from page["Items"]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
