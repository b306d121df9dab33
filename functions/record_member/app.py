"""Record Member: write down what became of a member, and stop the roll when it failed."""

from __future__ import annotations

from typing import Any

from drydock.aws.services import Services
from drydock.group.member_turns import record_member
from drydock.log import logged
from drydock.request.handling import read_step


@logged
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return record_member(Services(), read_step(event))
