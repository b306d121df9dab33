"""AWS's limits on the rate of calls: a token bucket for each API of an account, and AWS's own refusals.

A call that is refused is repeated within the client as botocore's standard mode does it, in virtual time.

Rates of EC2: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html; of Step Functions:
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html, the smaller ones, which hold in most
Regions; of GetParameter: https://docs.aws.amazon.com/general/latest/gr/ssm.html; of load balancers, one bucket for all
that only look: https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-throttling.html. AWS publishes
no others for Systems Manager, and for Auto Scaling only that all its APIs share one bucket: `SSM_RATE` and `GROUP_RATE`
are cautious guesses, and unconfirmed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import ClientError

LONGEST_BACKOFF = 20.0
"""Seconds that botocore waits at most before it repeats a call."""


@dataclass(frozen=True)
class Rate:
    """How many tokens a bucket holds, and how many come back each second."""

    capacity: float
    refill: float


SSM_RATE = Rate(40, 40)
GROUP_RATE = Rate(10, 5)

_SHARED = {"autoscaling": GROUP_RATE, "elbv2": Rate(40, 10)}
"""Services whose calls all take from one bucket."""

_EC2_READ = Rate(100, 20)
_EC2_UNFILTERED = Rate(50, 10)
_EC2_CHANGE = Rate(50, 5)
_RATES = {
    ("ec2", "StartInstances"): Rate(5, 2),
    ("ec2", "CreateTags"): Rate(100, 10),
    ("ssm", "GetParameter"): Rate(40, 40),
    ("stepfunctions", "StartExecution"): Rate(800, 150),
    ("stepfunctions", "StopExecution"): Rate(500, 25),
    ("stepfunctions", "RedriveExecution"): Rate(800, 150),
    ("stepfunctions", "DescribeExecution"): Rate(250, 10),
    ("stepfunctions", "ListExecutions"): Rate(100, 2),
    ("stepfunctions", "GetExecutionHistory"): Rate(400, 20),
    ("stepfunctions", "SendTaskSuccess"): Rate(1500, 300),
    ("stepfunctions", "SendTaskFailure"): Rate(1500, 300),
    ("stepfunctions", "SendTaskHeartbeat"): Rate(1500, 300),
}
_RESOURCE_RATES = {"StartInstances": Rate(1000, 2), "StopInstances": Rate(1000, 20)}
_UNFILTERED = ("DescribeInstances", "DescribeInstanceStatus", "DescribeSnapshots")
_NARROWING = ("InstanceIds", "SnapshotIds", "Filters", "MaxResults")
_REFUSALS = {
    "autoscaling": ("Throttling", "Rate exceeded", 400),
    "elbv2": ("ThrottlingException", "Rate exceeded", 400),
    "ec2": ("RequestLimitExceeded", "Request limit exceeded.", 503),
    "ssm": ("ThrottlingException", "Rate exceeded", 400),
    "stepfunctions": ("ThrottlingException", "Rate exceeded", 400),
}


class LimitedCall(Protocol):
    """What a limit sees of a call."""

    @property
    def service(self) -> str: ...

    @property
    def operation(self) -> str: ...

    @property
    def parameters(self) -> dict[str, Any]: ...


class Bucket:
    """Tokens that come back with time, up to a capacity."""

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.capacity
        self._at = now

    def holds(self, tokens: float, now: float) -> bool:
        """Say whether so many tokens are there."""
        self._tokens = min(self._rate.capacity, self._tokens + (now - self._at) * self._rate.refill)
        self._at = now
        return self._tokens >= tokens

    def take(self, tokens: float) -> None:
        """Take tokens that are there."""
        self._tokens -= tokens


class Limits:
    """The buckets of one account. `refused` counts the attempts that AWS refused, by service and operation."""

    def __init__(self, now: Callable[[], float], chance: random.Random, ssm_rate: Rate = SSM_RATE) -> None:
        self.refused: Counter[tuple[str, str]] = Counter()
        self._now = now
        self._chance = chance
        self._ssm_rate = ssm_rate
        self._buckets: dict[str, Bucket] = {}

    def admit(self, call: LimitedCall, attempts: int, wait: Callable[[float], None]) -> None:
        """Let a call through, after some waiting where its client repeats it.

        Raises the ClientError of the last attempt when AWS refused `attempts` of them.
        """
        attempt = 1
        while not self._take(call):
            self.refused[call.service, call.operation] += 1
            if attempt >= attempts:
                raise _refuse(call, attempts)
            wait(min(self._chance.random() * 2 ** (attempt - 1), LONGEST_BACKOFF))
            attempt += 1

    def _take(self, call: LimitedCall) -> bool:
        prices = list(self._prices(call))
        if not all(bucket.holds(tokens, self._now()) for bucket, tokens in prices):
            return False
        for bucket, tokens in prices:
            bucket.take(tokens)
        return True

    def _prices(self, call: LimitedCall) -> list[tuple[Bucket, float]]:
        """Return the buckets that a call takes from, each with the number of tokens."""
        name = f"{call.service}:{call.operation}"
        rate = _RATES.get((call.service, call.operation))
        if rate is None and call.service == "ssm":
            rate = self._ssm_rate
        elif rate is None and call.service == "ec2":
            rate = _EC2_CHANGE
            if call.operation.startswith(("Describe", "Get", "List", "Search")):
                rate = _EC2_READ
            if call.operation in _UNFILTERED and not any(key in call.parameters for key in _NARROWING):
                name, rate = f"{name} unfiltered", _EC2_UNFILTERED
        elif call.service in _SHARED:
            name, rate = call.service, _SHARED[call.service]
        if rate is None:
            return []
        prices = [(self._bucket(name, rate), 1.0)]
        if call.service == "ec2" and call.operation in _RESOURCE_RATES:
            bucket = self._bucket(f"{name} resources", _RESOURCE_RATES[call.operation])
            prices.append((bucket, float(len(call.parameters["InstanceIds"]))))
        return prices

    def _bucket(self, name: str, rate: Rate) -> Bucket:
        if name not in self._buckets:
            self._buckets[name] = Bucket(rate, self._now())
        return self._buckets[name]


def _refuse(call: LimitedCall, attempts: int) -> ClientError:
    code, message, status = _REFUSALS[call.service]
    about: Any = {
        "RequestId": "",
        "HTTPStatusCode": status,
        "HTTPHeaders": {},
        "RetryAttempts": attempts - 1,
        "MaxAttemptsReached": True,
    }
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": about}, call.operation)
