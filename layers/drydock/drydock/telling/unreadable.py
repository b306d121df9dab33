"""Telling people of an item of the table that cannot be read, or worked with: daily, until it is mended."""

from __future__ import annotations

import json

from drydock.aws.services import Services
from drydock.aws.table import Key
from drydock.catalogue.saying import knows, say
from drydock.log import logger
from drydock.telling.tell_once import tell_daily
from drydock.telling.text import CAUSE_IN_MAIL, NEXT_STEPS, cut, subject_line


def tell_unreadable(services: Services, key: Key, reason: str) -> None:
    """Tell of an item once a day; the text says what hangs on it, and how to look at it."""
    logger.error("an item cannot be worked with", item=f"{key['pk']} {key['sk']}", reason=reason)
    subject, text = unreadable_message(services.environment.table, key, reason)
    tell_daily(services, f"{key['pk']} {key['sk']}", subject, text, {"outcome": "unreadable", "kind": "item"})


def unreadable_message(table: str, key: Key, reason: str) -> tuple[str, str]:
    """Subject and text for an item that cannot be read."""
    wanted = json.dumps({name: {"S": value} for name, value in key.items()}).replace("'", "'\\''")
    item, kind = f"{key['pk']} {key['sk']}", key["sk"].partition("#")[0]
    means = say(f"unreadable.means.{kind}") if knows(f"unreadable.means.{kind}") else say("unreadable.means.others")
    lines = [
        say("unreadable.first", reason=cut(reason, CAUSE_IN_MAIL)),
        "",
        f"  {say('unreadable.where', table=table, item=item)}",
        f"  {means}",
        "",
        NEXT_STEPS,
        f"  {say('unreadable.next')}",
        f"  aws dynamodb get-item --consistent-read --table-name {table} --key '{wanted}'",
        f"  {say('unreadable.mend')}",
    ]
    return subject_line(say("unreadable.subject", item=item)), "\n".join(lines)
