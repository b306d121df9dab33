"""The calls to SNS about who is subscribed to a topic. Messages are sent in `telling/tell_once.py`."""

from __future__ import annotations

from typing import Any

from drydock.aws.calls import call, client

_PENDING = "PendingConfirmation"
"""What stands in place of the ARN of a subscription that its reader has not confirmed."""


class Topics:
    """SNS's topics, and who is subscribed to them."""

    def __init__(self, made: Any = None) -> None:
        """Without a client, with the function's own."""
        self._client = made or client("sns")

    def count_subscriptions(self, topic: str) -> tuple[int, int]:
        """How many of the first hundred subscriptions are confirmed, and how many wait for that."""
        found = call(self._client.list_subscriptions_by_topic, TopicArn=topic).get("Subscriptions", [])
        pending = sum(one["SubscriptionArn"] == _PENDING for one in found)
        return len(found) - pending, pending
