"""What people are told of pruning: only what keeps it from going on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.environment import Environment
from drydock.telling.commands import aws, drydock
from drydock.telling.message import Message, steps
from drydock.telling.tell_once import tell_daily
from drydock.telling.text import CAUSE_IN_MAIL, cut


def tell_of_pruning(services: Services, about: Mapping[str, Any]) -> None:
    """Tell once a day of what keeps pruning from going on: `failure`, or the `snapshots` that are left."""
    attributes = {"outcome": "pruning", "kind": "images"}
    if "failure" in about:
        message = unknown_references_message(services.environment, str(about["failure"]))
    else:
        message = left_snapshots_message(services.environment, about["snapshots"])
    tell_daily(services, " ".join(["pruning", *about]), message, attributes)


def unknown_references_message(environment: Environment, reason: str) -> Message:
    """Where it cannot be read what refers to the images."""
    return Message(
        urgency="tomorrow",
        what=say("pruning.unknown.what"),
        zone=environment.time_zone,
        facts=[say("pruning.unknown.reason", reason=cut(reason, CAUSE_IN_MAIL)), say("pruning.unknown.means")],
        sections=[steps([say("pruning.unknown.next"), drydock(environment, "images", "--dry-run")])],
    )


def left_snapshots_message(environment: Environment, snapshots: Sequence[str]) -> Message:
    """Where snapshots of images that are gone cannot be deleted."""
    look = aws(environment, "ec2", "describe-snapshots", "--snapshot-ids", *sorted(snapshots)[:_SHOWN])
    return Message(
        urgency="tomorrow",
        what=say("pruning.left.what", count=len(snapshots)),
        zone=environment.time_zone,
        facts=[say("pruning.left.means"), say("pruning.left.which", snapshots=sorted(snapshots))],
        sections=[steps([say("pruning.left.next"), look])],
    )


_SHOWN = 20
"""Snapshots that a command names."""
