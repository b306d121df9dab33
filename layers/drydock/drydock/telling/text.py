"""Messages as people read them: what happened, to which machine, what state it is in, what to do, where to look."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from drydock.environment import Environment
from drydock.errors import DrydockError, error_named
from drydock.records.holder import Holder

_MOST_SUBJECT = 99
"""SNS: fewer than 100 characters, no line breaks or control characters."""

# How many characters of a cause are kept, by where it is told.
CAUSE_IN_MAIL = 240
CAUSE_IN_REPORT = 2_000


_CUT = "… (cut: the message is longer than can be sent)"


NEXT_STEPS = "What to do next"
"""The heading of what people should do: indented lines follow, and an empty line ends them."""


VERDICTS = {
    "compliant": "nothing is missing",
    "failed": "the installation failed; patches are missing",
    "non_compliant": "patches are installed that the baseline rejects",
    "not_patched": "nothing was installed",
    "patched_reported_failed": "nothing is missing, although the installation reported failure",
    "pending_reboot": "installed; a reboot is still pending",
    "scanned": "looked at only",
    "still_missing": "patches are still missing",
    "unknown": "it is not known what is installed",
    "unpatchable": "the operating system gets no more updates, so that nothing is ever missing",
    "up_to_date": "its agents were up to date already",
    "updated": "agents were updated",
    "updated_reported_failed": "agents were updated, although a command reported failure",
}


DONE = {"Install": "patched", "Scan": "scanned", "UpdateAgents": "brought up to date"}
"""What was done to machines, by the operation."""


WANTED = {"Install": "patch", "Scan": "scan", "UpdateAgents": "update the agents of"}
"""What is to be done to them."""


_ADVICE = {
    "ABORTED": "Somebody stopped it. Start it again when that suits you.",
    "TIMED_OUT": "It took longer than it may. Look at its history for what it waited for.",
}
"""How executions end without an error of Drydock's."""


@dataclass(frozen=True)
class Location:
    """Where the machine is, and in which zone people read times."""

    partition: str
    account: str
    region: str
    time_zone: str


def location_of(holder: Holder, environment: Environment, time_zone: str = "") -> Location:
    """Where an execution is at work. Without a zone, times are read in the stack's own."""
    return Location(holder.partition, holder.account, environment.region, time_zone or environment.time_zone)


def one_line(text: str) -> str:
    """Text of others, such as a Name tag, as it may stand inside a line."""
    return "".join(character if character.isprintable() else " " for character in text)


def cut(text: str, most: int) -> str:
    """At most so many characters; an ellipsis stands for the rest."""
    return text if len(text) <= most else text[: most - 1] + "…"


def subject_line(text: str) -> str:
    """A subject that SNS takes."""
    return cut(one_line(text), _MOST_SUBJECT)


def advice_for(error: str) -> str:
    """What to do next about an error, by the name of its class or the status of an execution."""
    return _ADVICE.get(error) or (error_named(error) or DrydockError).advice


def machine_text(instance_id: str, name: str) -> str:
    """`web-1 (i-…)`; the id alone for an instance without a name."""
    return f"{name} ({instance_id})" if name else instance_id


_CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}


def _console(location: Location) -> str:
    return f"https://{location.region}.{_CONSOLES.get(location.partition, 'console.aws.amazon.com')}"


def console_link(execution: str, location: Location) -> str:
    """Where the console shows an execution, which is named by its ARN, in the partition and Region of the location."""
    return f"{_console(location)}/states/home?region={location.region}#/v2/executions/details/{execution}"


def object_link(bucket: str, key: str, location: Location) -> str:
    """Where the console shows an object of S3. Without an ampersand, which chat clients may spoil."""
    return f"{_console(location)}/s3/object/{bucket}?prefix={quote(key)}"


def windows_link(location: Location) -> str:
    """Where the console lists the maintenance windows."""
    return f"{_console(location)}/systems-manager/maintenance-windows?region={location.region}"


def _where(location: Location, execution: str) -> list[str]:
    return ["", "Where to look", f"  Execution: {console_link(execution, location)}"]
