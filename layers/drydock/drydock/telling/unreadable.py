"""Telling people of an item of the table that cannot be read, or worked with: daily, until it is mended."""

from __future__ import annotations

import json

from drydock.aws.services import Services
from drydock.aws.table import Key
from drydock.catalogue.saying import knows, say
from drydock.environment import Environment
from drydock.log import logger
from drydock.telling.commands import aws
from drydock.telling.message import Message, steps
from drydock.telling.tell_once import tell_daily
from drydock.telling.text import CAUSE_IN_MAIL, cut


def tell_unreadable(services: Services, key: Key, reason: str) -> None:
    """Tell of an item once a day; the text says what hangs on it, and how to look at it."""
    logger.error("an item cannot be worked with", item=f"{key['pk']} {key['sk']}", reason=reason)
    message = unreadable_message(services.environment, key, reason)
    tell_daily(services, f"{key['pk']} {key['sk']}", message, {"outcome": "unreadable", "kind": "item"})


def unreadable_message(environment: Environment, key: Key, reason: str) -> Message:
    """For an item that cannot be read."""
    wanted = json.dumps({name: {"S": value} for name, value in key.items()})
    item, kind = f"{key['pk']} {key['sk']}", key["sk"].partition("#")[0]
    means = say(f"unreadable.means.{kind}") if knows(f"unreadable.means.{kind}") else say("unreadable.means.others")
    name, read = environment.table, "--consistent-read"
    look = aws(environment, "dynamodb", "get-item", read, "--table-name", name, "--key", wanted)
    return Message(
        urgency="now" if kind == "LEASE" else "tomorrow",
        what=say("unreadable.what"),
        about=item,
        zone=environment.time_zone,
        facts=[
            say("unreadable.reason", reason=cut(reason, CAUSE_IN_MAIL)),
            say("unreadable.where", table=environment.table, item=item),
            means,
        ],
        sections=[steps([say("unreadable.next"), look, say("unreadable.mend")])],
    )
