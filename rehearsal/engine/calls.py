"""Every AWS call that functions and state machines make: counted, delayed, checked, and failed on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Literal, TypeVar

import boto3
from botocore.client import BaseClient
from botocore.config import Config
from botocore.useragent import UserAgentString

from rehearsal.engine.charges import charge_of
from rehearsal.engine.clock import VirtualClock
from rehearsal.engine.limits import Limits
from rehearsal.engine.repairs.patches import Patches

REGION = "ap-northeast-1"
ACCOUNT = "123456789012"

Result = TypeVar("Result")


class FunctionKilled(BaseException):
    """Raised in a function to end it on the spot, as when its sandbox dies."""


@dataclass(frozen=True)
class Caller:
    """On whose behalf a call is made."""

    kind: Literal["function", "machine", "person", "aws"]
    name: str
    """Folder name of a function, or name of a state machine."""
    role: str | None = None
    execution: str | None = None
    """ARN of the execution, when it is known."""


@dataclass(frozen=True)
class Call:
    """One AWS call: `service` as boto3 names its client, `operation` as the API names it."""

    caller: Caller
    service: str
    operation: str
    parameters: dict[str, Any]
    number: int
    at: datetime


@dataclass(frozen=True)
class Interception:
    """What becomes of a call: an exception before or after it took effect, seconds of delay before it."""

    before: BaseException | None = None
    after: BaseException | None = None
    delay: float = 0


DirectCall = Callable[[BaseClient, str, dict[str, Any]], Any]
"""Carries out a call of a client: by operation and parameters, with boto3's answer and errors."""
Interceptor = Callable[[Call], Interception | None]

current_caller: ContextVar[Caller | None] = ContextVar("current_caller", default=None)
"""Who makes the calls of the current task. A person's, and AWS's own, calls have no caller here."""


class CallLog:
    """The log of calls, and the one way through which they go.

    A call takes `seconds` of virtual time, half of it before and half of it after its effect, and gives way to other
    tasks at both. A large answer takes longer: see `charges`.
    """

    heard: ClassVar[list[Callable[[Call, Interception], None]]] = []
    """Who hears of every call with which something is done, in all accounts of the process."""

    def __init__(self, clock: VirtualClock, seconds: float) -> None:
        self.calls: list[Call] = []
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.interceptors: list[Interceptor] = []
        self.checks: list[Callable[[Call], None]] = []
        self.observers: list[Callable[[Call], None]] = []
        self.seconds = seconds
        self.limits: Limits | None = None
        """AWS's limits on the rate of calls, when they are rehearsed."""
        self.spend: Callable[[float], None] = lambda seconds: None
        """Lets the caller work for so many seconds of a whole processor."""
        self.check_alive: Callable[[], None] = lambda: None
        """Raises in a caller that may not do anything any more."""
        self._made = 0
        self.immediate = False
        """While true, calls take no time: a module that is being imported must not give way."""
        self._clock = clock

    def perform(
        self,
        service: str,
        operation: str,
        parameters: dict[str, Any],
        act: Callable[[], Result],
        attempts: int = 1,
    ) -> Result:
        """Make a call by `act`; raises what a check or an interceptor says, or what `act` raises.

        `attempts` is how often the caller's client makes a call that is throttled.
        """
        caller = current_caller.get()
        if caller is None:
            return act()
        self.check_alive()
        self._made += 1
        call = Call(caller, service, operation, parameters, self._made, self._clock.now())
        self.calls.append(call)
        self.counts[caller.name, service, operation] += 1
        for observe in self.observers:
            observe(call)
        for check in self.checks:
            check(call)
        interceptions = [found for intercept in self.interceptors if (found := intercept(call)) is not None]
        for found in interceptions:
            for hear in self.heard:
                hear(call, found)
        self._pass(self.seconds / 2 + sum(found.delay for found in interceptions))
        for found in interceptions:
            if found.before is not None:
                raise found.before
        if self.limits is not None and not self.immediate:
            self.limits.admit(call, attempts, self._repeat)
        # What the account does for a call is not done by the caller.
        token = current_caller.set(None)
        try:
            result = act()
        finally:
            current_caller.reset(token)
        waits, works = charge_of(service, operation, parameters, result)
        self._pass(self.seconds / 2 + waits)
        if works and not self.immediate:
            self.spend(works)
        for found in interceptions:
            if found.after is not None:
                raise found.after
        return result

    def _repeat(self, backoff: float) -> None:
        self._pass(self.seconds + backoff)

    def _pass(self, seconds: float) -> None:
        if not self.immediate:
            self._clock.sleep(seconds)


_clients: dict[tuple[Any, ...], BaseClient] = {}
_shared: set[BaseClient] = set()
"""The same clients: those that take and give what the API does."""


def make_client(service: str, region: str | None = None, config: Config | None = None) -> BaseClient:
    """Return the process's client for a service; making one takes longer than hundreds of calls."""
    options = repr(sorted(getattr(config, "_user_provided_options", {}).items())) if config else ""
    key = (service, region or REGION, options)
    client = _clients.get(key)
    if client is None:
        client = _create_client(_session(), service, region_name=region or REGION, config=config)
        _clients[key] = client
        _shared.add(client)
    return client


@cache
def _session() -> boto3.Session:
    """The session of all of them: each reads the list of all endpoints anew."""
    return boto3.Session(aws_access_key_id="rehearsal", aws_secret_access_key="rehearsal", region_name=REGION)


_create_client: Callable[..., BaseClient] = boto3.Session.client


def is_shared(client: BaseClient) -> bool:
    """Whether a client takes and gives what the API does: one of a resource has Python's own types."""
    return client in _shared


def route_calls(
    patches: Patches, log: CallLog, find_direct_call: Callable[[BaseClient, str], DirectCall | None]
) -> None:
    """Send every call of every botocore client through `log`, and give out cached clients.

    What `find_direct_call(client, operation)` returns carries a call out instead of botocore.
    """

    def call(original: DirectCall, self: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        act = find_direct_call(self, operation) or original
        retries: dict[str, Any] = self.meta.config.retries or {}  # type: ignore[attr-defined]
        attempts = retries.get("total_max_attempts", 1)
        service = self.meta.service_model.service_name
        return log.perform(service, operation, parameters, lambda: act(self, operation, parameters), attempts)

    def client(
        self: boto3.Session,
        service_name: str,
        region_name: str | None = None,
        config: Config | None = None,
        **options: Any,
    ) -> BaseClient:
        return make_client(service_name, region_name, config)

    def resource(original: Callable[..., Any], self: boto3.Session, *arguments: Any, **keywords: Any) -> Any:
        # Its client takes and gives Python's own types: it is nobody else's, and its calls go the whole way.
        with Patches() as own:
            own.replace(boto3.Session, "client", _create_client)
            return original(self, *arguments, **keywords)

    patches.wrap(BaseClient, "_make_api_call", call)
    # Composed anew for every call, which takes longer than most answers.
    patches.replace(UserAgentString, "to_string", lambda user_agent: "rehearsal")
    patches.replace(boto3.Session, "client", client)
    patches.wrap(boto3.Session, "resource", resource)
