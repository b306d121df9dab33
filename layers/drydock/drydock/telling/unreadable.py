"""Telling people of an item of the table that cannot be read, or worked with: daily, until it is mended."""

from __future__ import annotations

import json

from drydock.aws.services import Services
from drydock.aws.table import Key
from drydock.log import logger
from drydock.telling.tell_once import tell_daily
from drydock.telling.text import CAUSE_IN_MAIL, NEXT_STEPS, cut, one_line, subject_line

_MEANS = {
    "LEASE": "What it is about is not given back: nothing is started, stopped or put into service there.",
    "RUN": "The run is neither ended nor reported.",
    "RESULT": "What became of the machine or group may not have been told.",
}
"""What it means that an item cannot be read, by how its sort key begins."""


def tell_unreadable(services: Services, key: Key, reason: str) -> None:
    """Tell of an item once a day; the text says what hangs on it, and how to look at it."""
    logger.error("an item cannot be worked with", item=f"{key['pk']} {key['sk']}", reason=reason)
    subject, text = unreadable_message(services.environment.table, key, reason)
    tell_daily(services, f"{key['pk']} {key['sk']}", subject, text, {"outcome": "unreadable", "kind": "item"})


def unreadable_message(table: str, key: Key, reason: str) -> tuple[str, str]:
    """Subject and text for an item that cannot be read."""
    wanted = json.dumps({name: {"S": value} for name, value in key.items()}).replace("'", "'\\''")
    lines = [
        f"An item of Drydock's table cannot be worked with: {one_line(cut(reason, CAUSE_IN_MAIL))}",
        "",
        f"  Table {table}, item {one_line(key['pk'])} {one_line(key['sk'])}",
        f"  {_MEANS.get(key['sk'].partition('#')[0], 'Others are not hindered by it.')}",
        "",
        NEXT_STEPS,
        "  Look at what it is about first: a machine's power, a group's members and sizes. Then look at the item:",
        f"  aws dynamodb get-item --consistent-read --table-name {table} --key '{wanted}'",
        "  Mend it, or delete it once nothing is held by it. You hear of it daily until then.",
    ]
    return subject_line(f"Drydock: item {key['pk']} {key['sk']} cannot be read"), "\n".join(lines)
