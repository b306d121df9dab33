"""Telling people: each cause once, to the topic of the account's settings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from drydock.aws.calls import call, client
from drydock.aws.services import Services
from drydock.aws.table import ConditionFailedError, Key, Table
from drydock.catalogue.saying import say
from drydock.errors import AwsCallFailedError, DrydockError, ServiceUnavailableError
from drydock.log import logger
from drydock.records.holder import Holder
from drydock.records.leases import FUNCTION_LIFETIME
from drydock.telling.envelope import wrap_for_protocols
from drydock.telling.message import Message
from drydock.times import from_text, to_text

_MOST_ATTEMPTS = 3
"""So many functions may die, or fail to note that they have told, before a cause counts as told."""


_KEPT = timedelta(days=60)
"""Shorter than the 90 days after which Step Functions gives an execution's name out again."""


@dataclass(frozen=True)
class _About:
    """What a message is about, for chat clients: messages of one thread belong together."""

    thread: str
    resources: Sequence[str]


def _with_urgency(attributes: Mapping[str, str], message: Message) -> Mapping[str, str]:
    """By this a subscription takes only what somebody has to be woken for."""
    return {**attributes, "urgency": message.urgency}


def _mark_key(holder: Holder, cause: str) -> Key:
    return {"pk": f"TOLD#{holder.execution}#{holder.redrive_count}", "sk": cause}


def _begin_telling(services: Services, key: Key) -> str | None:
    """Take it on to tell this cause: returns when that was, or None when it has been told.

    Raises ServiceUnavailableError while another function is at it.
    """
    now = services.now()
    begun = to_text(now)
    try:
        services.table.update(
            key,
            "SET begun = :begun, told = :no, #schema = :schema, #ttl = :ttl ADD attempts :one",
            "attribute_not_exists(pk) OR (told = :no AND begun < :before AND attempts < :most)",
            {"#ttl": "ttl"},
            {
                ":begun": begun,
                ":no": False,
                ":ttl": int((now + _KEPT).timestamp()),
                ":one": 1,
                ":before": to_text(now - FUNCTION_LIFETIME),
                ":most": _MOST_ATTEMPTS,
            },
        )
    except ConditionFailedError as refused:
        found = refused.found or {}
        if found.get("told") or found.get("attempts", 0) >= _MOST_ATTEMPTS:
            return None
        raise ServiceUnavailableError(say("telling.others", item=f"{key['pk']} {key['sk']}")) from refused
    return begun


def _publish(
    services: Services, about: _About, message: Message, attributes: Mapping[str, str], topic: str | None
) -> None:
    environment = services.environment
    chosen = topic or _topic_of_settings(services) or environment.topic
    try:
        _publish_to(chosen, about, message, attributes)
    except AwsCallFailedError as error:
        # What goes to approvers is for nobody else.
        if topic or chosen == environment.topic:
            raise
        # A misspelt setting must not keep everybody from hearing.
        note = say("topic.refused", topic=chosen, reason=str(error))
        _publish_to(environment.topic, about, _with_note(message, note), attributes)


def _with_note(message: Message, note: str) -> Message:
    return replace(message, intro=[*message.intro, note])


def _topic_of_settings(services: Services) -> str | None:
    try:
        return services.ssm.parameter(services.environment.topic_parameter)
    except AwsCallFailedError as error:
        logger.error("the setting of the topic cannot be read", reason=str(error))
        return None


def _publish_to(topic: str, about: _About, message: Message, attributes: Mapping[str, str]) -> None:
    wrapped = wrap_for_protocols(
        message,
        thread=about.thread,
        event=".".join(["drydock", *(attributes[name] for name in ("kind", "outcome") if attributes.get(name))]),
        resources=about.resources,
    )
    call(
        client("sns").publish,
        TopicArn=topic,
        Subject=message.subject,
        Message=wrapped,
        MessageStructure="json",
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items() if value
        },
    )


def tell_once(
    services: Services,
    holder: Holder,
    cause: str,
    message: Message,
    attributes: Mapping[str, str],
    topic: str | None = None,
) -> None:
    """Returns once this cause has been told, by this function or by another. Raises what kept it from being told.

    Without a topic, to that of the account's settings, or else to the stack's.
    """
    about = _About(attributes.get("run") or holder.name, [holder.execution])
    _tell(services, _mark_key(holder, cause), about, message, attributes, topic)


def was_told(services: Services, holder: Holder, cause: str) -> bool:
    """Whether this cause of an execution has been told, or is known to be nothing to tell."""
    found = services.table.get(_mark_key(holder, cause))
    return bool(found and found.get("told"))


@dataclass(frozen=True)
class Told:
    """A message that people got about an execution: when, about which cause, and its subject."""

    at: datetime
    cause: str
    subject: str


def told_of(table: Table, holder: Holder) -> list[Told]:
    """The messages of the last sixty days about an execution, in order; not those that another message has said."""
    items = table.query(str(_mark_key(holder, "")["pk"]))
    told = [Told(from_text(one["begun"]), one["sk"], one["subject"]) for one in items if one.get("subject")]
    return sorted(told, key=lambda one: one.at)


def note_told(services: Services, holder: Holder, cause: str) -> None:
    """Let nobody tell this cause any more: another message says it, or nobody has to hear of it by itself."""
    now = services.now()
    services.table.update(
        _mark_key(holder, cause),
        "SET begun = :begun, told = :yes, #schema = :schema, #ttl = :ttl",
        "attribute_not_exists(told) OR told = :no",
        {"#ttl": "ttl"},
        {":begun": to_text(now), ":yes": True, ":no": False, ":ttl": int((now + _KEPT).timestamp())},
    )


def tell_daily(services: Services, what: str, message: Message, attributes: Mapping[str, str]) -> None:
    """As `tell_once`, but once on each day in UTC, about something that has no execution."""
    mark = hashlib.sha256(what.encode(errors="replace")).hexdigest()
    key: Key = {"pk": f"TOLD#{mark}", "sk": f"{services.now():%Y-%m-%d}"}
    _tell(services, key, _About(mark[:32], []), message, attributes, None)


def _tell(
    services: Services,
    key: Key,
    about: _About,
    message: Message,
    attributes: Mapping[str, str],
    topic: str | None,
) -> None:
    begun = _begin_telling(services, key)
    if begun is None:
        return
    try:
        _publish(services, about, message, _with_urgency(attributes, message), topic)
    except DrydockError:
        services.table.delete(key, "begun = :begun", {}, {":begun": begun})
        raise
    said = {":yes": True, ":subject": message.subject}
    services.table.update(key, "SET told = :yes, subject = :subject", "attribute_exists(pk)", {}, said)
