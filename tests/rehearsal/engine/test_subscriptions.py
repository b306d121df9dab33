"""Subscriptions by mail, as the account lists them until somebody has confirmed them."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.subscriptions import reaches_somebody, subscribe


@pytest.fixture
def topic(engine: EmbeddedAccount) -> str:
    return str(engine.client("sns").create_topic(Name="Results")["TopicArn"])


def listed(engine: EmbeddedAccount, topic: str) -> list[tuple[str, str]]:
    """The endpoint and the ARN of each subscription."""
    found = engine.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    return sorted((one["Endpoint"], one["SubscriptionArn"]) for one in found)


def test_a_subscription_that_nobody_has_confirmed_is_listed_as_pending(engine: EmbeddedAccount, topic: str) -> None:
    """`aws sns list-subscriptions-by-topic` in the AWS CLI Command Reference."""
    subscribe(topic, "ops@example.com", confirmed=False)
    subscribe(topic, "cab@example.com", confirmed=False)
    arn = subscribe(topic, "team@example.com")

    assert listed(engine, topic) == [
        ("cab@example.com", "PendingConfirmation"),
        ("ops@example.com", "PendingConfirmation"),
        ("team@example.com", arn),
    ]


def test_the_emulator_itself_confirms_every_subscription_at_once() -> None:
    """When this fails, moto has mended it: remove the repair."""
    with mock_aws():
        sns = boto3.client("sns", "ap-northeast-1")
        topic = sns.create_topic(Name="Results")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com")
        (one,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert one["SubscriptionArn"].startswith(topic)


def test_a_message_reaches_somebody_when_one_of_the_subscriptions_is_confirmed(
    engine: EmbeddedAccount, topic: str
) -> None:
    assert reaches_somebody(topic), "who reads it otherwise is not asked"
    subscribe(topic, "ops@example.com", confirmed=False)
    assert not reaches_somebody(topic)
    subscribe(topic, "team@example.com")
    assert reaches_somebody(topic)
    subscribe(topic, "team@example.com", confirmed=False)
    assert not reaches_somebody(topic)


def test_the_subscriptions_of_a_stack_are_there_and_confirmed() -> None:
    with EmbeddedAccount() as account:
        stack = account.deploy({"NotificationEmail": "ops@example.com"})
        ((endpoint, arn),) = listed(account, stack.outputs["ResultsTopicArn"])
        assert endpoint == "ops@example.com"
        assert arn == stack.resource("ResultsSubscription")
