"""Who is subscribed to the topics of an account by mail, and who has confirmed it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from moto.sns.models import SNSBackend, Subscription, sns_backends

from rehearsal.engine.calls import ACCOUNT, REGION, make_client
from rehearsal.engine.deployment import Make, StackResource
from rehearsal.engine.repairs.patches import Patches

PENDING = "PendingConfirmation"
"""What ListSubscriptionsByTopic has in place of the ARN of a subscription that nobody has confirmed."""


def resource_types() -> Mapping[str, Make]:
    """Return how CloudFormation makes subscriptions, which moto's does not."""

    def make(name: str, logical_id: str, properties: dict[str, Any]) -> StackResource:
        return StackResource(subscribe(properties["TopicArn"], properties["Endpoint"], properties["Protocol"]))

    return {"AWS::SNS::Subscription": make}


def subscribe(topic: str, endpoint: str, protocol: str = "email", *, confirmed: bool = True) -> str:
    """Subscribe an endpoint to a topic, and let its reader confirm that, or not; return the subscription's ARN."""
    client: Any = make_client("sns")
    answer = client.subscribe(TopicArn=topic, Protocol=protocol, Endpoint=endpoint, ReturnSubscriptionArn=True)
    arn = str(answer["SubscriptionArn"])
    sns_backends[ACCOUNT][REGION].subscriptions[arn].attributes[PENDING] = not confirmed
    return arn


def reaches_somebody(topic: str) -> bool:
    """Say whether a message to a topic is brought to anybody; with no subscription at all, it is not asked how."""
    client: Any = make_client("sns")
    found = client.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    return not found or any(one["SubscriptionArn"] != PENDING for one in found)


def repair_pending_subscriptions(patches: Patches) -> None:
    """moto lists every subscription with its ARN.

    AWS has `PendingConfirmation` in its place until the reader of the mail has confirmed (Amazon SNS Developer Guide,
    "Confirming the subscription", and `aws sns list-subscriptions-by-topic`, read in November 2026).
    """

    def listed(
        original: Callable[..., tuple[list[Subscription], Any]], self: SNSBackend, *arguments: Any, **keywords: Any
    ) -> tuple[list[Subscription], Any]:
        subscriptions, token = original(self, *arguments, **keywords)
        return [_as_listed(one) for one in subscriptions], token

    patches.wrap(SNSBackend, "list_subscriptions_by_topic", listed)


def _as_listed(subscription: Subscription) -> Subscription:
    if not subscription.attributes[PENDING]:
        return subscription
    shown = copy.copy(subscription)
    shown.arn = PENDING
    return shown
