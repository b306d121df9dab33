"""Counts all that AWS bills for while something is patched, and what that costs.

Capacity units are those of DynamoDB's rules, by the real sizes of items and with the indexes of the template:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html and GSI.html there. An
index is written when what it holds of an item changes; a changed key of it is two writes. A transaction writes twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from rehearsal.account import EmbeddedAccount, Observer
from rehearsal.engine.calls import CallLog, current_caller
from rehearsal.engine.deployment import Stack
from rehearsal.engine.dynamodb.items import Index, Items, Key, Version
from rehearsal.engine.dynamodb.values import size_of
from rehearsal.engine.functions import Outcome
from rehearsal.engine.repairs.patches import Patches

OWN_SECONDS = 0.1
"""What an invocation is taken to last besides its AWS calls."""
SWEEP = "give_back"
"""The one function of Drydock's that runs by schedule; in a clean run it finds nothing to do."""

_PLATFORM_BYTES = 300
"""Of Lambda's own lines START, END and REPORT of an invocation, as its guide shows them."""
_EVENT_BYTES = 26
"""What CloudWatch Logs counts for each line besides its text."""
_WRITE_BYTES, _READ_BYTES = 1024, 4096
_WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem")

Write = tuple[Version | None, Version | None]
"""An item before it was written, and after."""


@dataclass(frozen=True)
class Price:
    """What AWS asks for one of something: the list price of us-east-1 in US dollars, free tiers left out."""

    of: str
    dollars: float
    per: int
    source: str
    compared: str = "2026-12-01"
    """When it was held against copies of that page or what others say of it; there is no way to the page from here."""

    @property
    def each(self) -> float:
        """Return the price of one."""
        return self.dollars / self.per


_PRICING = "https://aws.amazon.com/{}/pricing/"
PRICES: Mapping[str, Price] = {
    "transitions": Price("state transition", 0.025, 1_000, _PRICING.format("step-functions")),
    "invocations": Price("invocation", 0.20, 1_000_000, _PRICING.format("lambda")),
    "gigabyte_seconds": Price("GB-s of arm64", 13.3334, 1_000_000, _PRICING.format("lambda")),
    "write_units": Price("write unit on demand", 0.625, 1_000_000, _PRICING.format("dynamodb/on-demand")),
    "read_units": Price("read unit on demand", 0.125, 1_000_000, _PRICING.format("dynamodb/on-demand")),
    "puts": Price("PUT and LIST of S3", 0.005, 1_000, _PRICING.format("s3")),
    "gets": Price("GET of S3", 0.0004, 1_000, _PRICING.format("s3"), compared="not"),
    "log_bytes": Price("byte of logs", 0.50, 1_000_000_000, _PRICING.format("cloudwatch")),
    "mails": Price("message, with a mail of it", 20.5, 1_000_000, _PRICING.format("sns"), compared="not"),
}


@dataclass(frozen=True)
class Bill:
    """What was counted, by the names of the prices."""

    transitions: float = 0
    invocations: float = 0
    gigabyte_seconds: float = 0
    write_units: float = 0
    read_units: float = 0
    puts: float = 0
    gets: float = 0
    log_bytes: float = 0
    mails: float = 0

    @property
    def dollars(self) -> float:
        """Return what all of it costs."""
        return sum((getattr(self, one.name) * PRICES[one.name].each for one in fields(self)), start=0.0)

    def share(self, parts: int) -> Bill:
        """Return an even share of it."""
        return Bill(**{one.name: getattr(self, one.name) / parts for one in fields(self)})


def describe_prices() -> str:
    """Return how a price comes about, for a terminal."""
    terms = " + ".join(f"{one.of} x ${one.dollars:g}/{one.per:,}" for one in PRICES.values())
    return f"cost = {terms}\nGB-s = memory x ({OWN_SECONDS} s an invocation + 0.05 s an AWS call)"


def units_of(size: int) -> int:
    """Return the write units of an item of so many bytes."""
    return max(1, math.ceil(size / _WRITE_BYTES))


def index_units(index: Index, before: Version | None, after: Version | None) -> int:
    """Return the write units of an index when an item changes."""
    old, new = (_held(index, version) for version in (before, after))
    if old is None or new is None:
        return units_of((old or new).size) if old or new else 0  # type: ignore[union-attr]
    if old.attributes == new.attributes:
        return 0
    if any(old.attributes[key] != new.attributes[key] for key in index.keys):
        return units_of(old.size) + units_of(new.size)
    return max(units_of(old.size), units_of(new.size))


def _held(index: Index, version: Version | None) -> Version | None:
    if version is None or any(key not in version.attributes for key in index.keys):
        return None
    return index.show(version)


class Meter(Observer):
    """Counts in an account from when it is opened until it is closed. `sweeps` says whether the schedule's are counted.

    `writes` are all changes of items that were counted, `indexes` those of the table that was written last.
    """

    def __init__(self, account: EmbeddedAccount, *, sweeps: bool) -> None:
        self.writes: list[Write] = []
        self.indexes: Mapping[str, Index] = {}
        self._account = account
        self._sweeps = sweeps
        self._patches = Patches()
        self._units = {"write_units": 0.0, "read_units": 0.0}
        self._names: list[str] = []
        self._mails = 0
        self._factor = 0
        """How often each write of the call at work counts; 0 while none is."""

    def __enter__(self) -> Meter:
        self._patches.wrap(CallLog, "perform", self._perform)
        self._patches.wrap(Items, "write", self._write)
        self._account.observers.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()

    def function_invoked(self, name: str, event: Any, outcome: Outcome) -> None:
        """Note which function ran."""
        if self._sweeps or name != SWEEP:
            self._names.append(name)

    def message_published(self, message: object) -> None:
        """Count a message."""
        self._mails += 1

    def bill(self, stack: Stack) -> Bill:
        """Return what was counted; what agents have put into the bucket of the stack is counted now."""
        memory = {one.folder: one.memory / 1024 for one in self._account.functions.functions.values()}
        calls = [one for one in self._account.calls.calls if self._sweeps or one.caller.name != SWEEP]
        of_functions = [one for one in calls if one.caller.kind == "function"]
        to_bucket = [one.operation for one in calls if one.service == "s3"]
        lines = [text for name, _, text in self._account.functions.logs if self._sweeps or name != SWEEP]
        outputs = sum(key.endswith(("/stdout", "/stderr")) for key in self._list_bucket(stack))
        return Bill(
            transitions=sum(view.transitions for view in self._account.executions()),
            invocations=len(self._names),
            gigabyte_seconds=sum(memory[name] * OWN_SECONDS for name in self._names)
            + sum(memory[one.caller.name] * self._account.calls.seconds for one in of_functions),
            puts=outputs + sum(one.startswith(("Put", "List", "Create", "Complete", "Upload")) for one in to_bucket),
            gets=sum(one.startswith(("Get", "Head")) for one in to_bucket),
            log_bytes=sum(len(text.encode()) + _EVENT_BYTES * text.count("\n") for text in lines)
            + len(self._names) * (_PLATFORM_BYTES + 3 * _EVENT_BYTES),
            mails=self._mails,
            **self._units,
        )

    def _list_bucket(self, stack: Stack) -> list[str]:
        """Return what is in the bucket of a stack that has one."""
        bucket = stack.resources.get("LogBucket")
        pages = self._account.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket) if bucket else ()
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def _perform(
        self,
        original: Callable[..., Any],
        log: CallLog,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        act: Callable[[], Any],
        *more: Any,
    ) -> Any:
        caller = current_caller.get()
        if service == "dynamodb" and caller is not None and (self._sweeps or caller.name != SWEEP):
            act = partial(self._meter, operation, parameters, act)
        return original(log, service, operation, parameters, act, *more)

    def _meter(self, operation: str, parameters: Mapping[str, Any], act: Callable[[], Any]) -> Any:
        if operation not in _WRITES:
            answer = act()
            items = answer["Items"] if "Items" in answer else [answer.get("Item", {})]
            units = max(1, math.ceil(sum(map(size_of, items)) / _READ_BYTES))
            self._units["read_units"] += units if parameters.get("ConsistentRead") else units / 2
            return answer
        self._factor = 2 if operation == "TransactWriteItems" else 1
        try:
            return act()
        except ClientError as error:
            # A write whose condition does not hold costs what it would have, by what stands there.
            found: Mapping[str, Any] = error.response.get("Item") or {}  # type: ignore[assignment]
            self._units["write_units"] += self._factor * units_of(size_of(found))
            raise
        finally:
            self._factor = 0

    def _write(self, original: Callable[..., None], items: Items, key: Key, version: Version | None) -> None:
        if self._factor:
            before = items.find(key)
            own = max(units_of(one.size) for one in (before, version) if one) if before or version else 1
            more = sum(index_units(index, before, version) for index in items.indexes.values())
            self._units["write_units"] += self._factor * own + more
            self.writes.append((before, version))
            self.indexes = items.indexes
        original(items, key, version)
