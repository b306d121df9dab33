"""What a call takes: the service's time to answer it, and a processor's time to write the request and read the answer.

Time is charged on the virtual clock by what a call asks for and gets, so it is the same on every computer. A function
has the share of a processor that its memory buys: all of one at 1,769 MB
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).

Processor time: `python -m benchmarks.processor` on an AMD EPYC with Python 3.11, November 2026; Graviton, which the
stack runs on, is taken to be as fast. AWS publishes no latencies but for S3, "roughly 100-200 milliseconds", and 85 to
90 MB a second for one request (https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html):
all others are assumed. Every call takes 0.05 s by assumption, which covers a small answer, of S3 as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

WHOLE_PROCESSOR = 1769
"""Megabytes of memory at which a function has one."""


@dataclass(frozen=True)
class Charge:
    """What each item of a large answer, or of a large request, takes beyond the first `free` ones, in seconds.

    For objects of S3 an item is a byte.
    """

    service: float
    """Of the service's own time."""
    processor: float
    """Of a whole processor of the caller's."""
    free: int = 10


_BYTES_A_SECOND = 85e6

_LISTED = Charge(service=0.0005, processor=50e-6)
"""Of what is not named below."""

_CHARGES = {
    # 1,000 instances in two seconds.
    ("ec2", "DescribeInstances"): Charge(service=0.002, processor=870e-6),
    # 50 nodes in 0.2 seconds.
    ("ssm", "DescribeInstanceInformation"): Charge(service=0.003, processor=50e-6),
    ("ssm", "DescribeInstancePatchStates"): Charge(service=0.003, processor=50e-6),
    # 1,000 executions in 0.3 seconds.
    ("stepfunctions", "ListExecutions"): Charge(service=0.00025, processor=15e-6),
    # A page of a megabyte, of 3,000 places of a run, in 0.1 seconds.
    ("dynamodb", "Query"): Charge(service=0.00002, processor=51e-6),
    ("dynamodb", "BatchWriteItem"): Charge(service=0.0002, processor=114e-6),
    # With what is computed: plans and reports are made of what was read, hashed and written.
    ("s3", "PutObject"): Charge(service=1 / _BYTES_A_SECOND, processor=250e-9, free=10_000),
    ("s3", "GetObject"): Charge(service=1 / _BYTES_A_SECOND, processor=25e-9, free=10_000),
}


def charge_of(service: str, operation: str, parameters: Mapping[str, Any], answer: object) -> tuple[float, float]:
    """Seconds of the service's time and of a whole processor that a call takes because of what it is about."""
    charge = _CHARGES.get((service, operation), _LISTED)
    items = max(0, _count(operation, parameters, answer) - charge.free)
    return items * charge.service, items * charge.processor


def _count(operation: str, parameters: Mapping[str, Any], answer: object) -> int:
    if operation == "PutObject":
        body = parameters["Body"]
        # botocore makes a file of what it is given.
        return body.getbuffer().nbytes if isinstance(body, BytesIO) else len(body)
    if operation == "BatchWriteItem":
        return sum(len(writes) for writes in parameters["RequestItems"].values())
    if not isinstance(answer, Mapping):
        return 0
    if operation == "GetObject":
        return int(answer.get("ContentLength", 0))
    if operation == "DescribeInstances":
        return sum(len(reservation["Instances"]) for reservation in answer["Reservations"])
    return max((len(value) for value in answer.values() if isinstance(value, list)), default=0)
