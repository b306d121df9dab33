"""Messages as people read them: what happened, to which machine, what state it is in, what to do, where to look."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from drydock.catalogue.saying import knows, one_line, say
from drydock.environment import Environment
from drydock.records.holder import Holder

_MOST_SUBJECT = 99
"""SNS: fewer than 100 characters, no line breaks or control characters."""

# How many characters of a cause are kept, by where it is told.
CAUSE_IN_MAIL = 240
CAUSE_IN_REPORT = 2_000


@dataclass(frozen=True)
class Location:
    """Where the machine is, in which zone people read times, and which stack works on it."""

    partition: str
    account: str
    region: str
    time_zone: str
    stack: str = "drydock"


def location_of(holder: Holder, environment: Environment, time_zone: str = "") -> Location:
    """Where an execution is at work. Without a zone, times are read in the stack's own."""
    return Location(
        holder.partition, holder.account, environment.region, time_zone or environment.time_zone, environment.stack
    )


def cut(text: str, most: int) -> str:
    """At most so many characters; an ellipsis stands for the rest."""
    return text if len(text) <= most else text[: most - 1] + "…"


def subject_line(text: str) -> str:
    """A subject that SNS takes."""
    return cut(one_line(text), _MOST_SUBJECT)


def advice_for(error: str) -> str:
    """What to do next about an error, by the name of its class or the status of an execution."""
    return say(f"advice.{error}") if knows(f"advice.{error}") else say("advice.others")


def machine_text(instance_id: str, name: str) -> str:
    """`web-1 (i-…)`; the id alone for an instance without a name."""
    return say("machine.named", name=name, id=instance_id) if name else instance_id


_CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}


def _console(location: Location) -> str:
    return f"https://{location.region}.{_CONSOLES.get(location.partition, 'console.aws.amazon.com')}"


def console_link(execution: str, location: Location) -> str:
    """Where the console shows an execution, which is named by its ARN, in the partition and Region of the location."""
    return f"{_console(location)}/states/home?region={location.region}#/v2/executions/details/{execution}"


def object_link(bucket: str, key: str, location: Location) -> str:
    """Where the console shows an object of S3. Without an ampersand, which chat clients may spoil."""
    return f"{_console(location)}/s3/object/{bucket}?prefix={quote(key)}"


def folder_link(bucket: str, prefix: str, location: Location) -> str:
    """Where the console lists the objects of S3 whose keys begin so, as a folder."""
    return f"{_console(location)}/s3/buckets/{bucket}?prefix={quote(prefix.rstrip('/') + '/')}"


def windows_link(location: Location) -> str:
    """Where the console lists the maintenance windows."""
    return f"{_console(location)}/systems-manager/maintenance-windows?region={location.region}"
