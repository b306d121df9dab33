"""Messages in the embedded account: what mail and chat get of one, and what SNS refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.messages import Message
from tests.scenarios.machine.scenario import Scenario


def publish(account: EmbeddedAccount, message: str, **more: Any) -> Message:
    """Publish to a topic of the account; returns what was kept."""
    sns = account.client("sns")
    sns.publish(TopicArn=sns.create_topic(Name="results")["TopicArn"], Message=message, **more)
    return account.messages[-1]


def test_each_protocol_gets_its_own_text(engine: EmbeddedAccount) -> None:
    texts = {"default": "for all", "email": "for mail", "https": json.dumps({"version": "1.0"})}

    message = publish(engine, json.dumps(texts), MessageStructure="json", Subject="A subject")

    assert message.body == "for mail"
    assert message.chat == {"version": "1.0"}


def test_without_a_text_of_its_own_a_protocol_gets_the_default(engine: EmbeddedAccount) -> None:
    message = publish(engine, json.dumps({"default": "for all", "email": 7}), MessageStructure="json")

    assert (message.body, message.https) == ("for all", "for all")


def test_without_a_structure_everybody_gets_the_message_as_it_is(engine: EmbeddedAccount) -> None:
    message = publish(engine, '{"default": "not read"}')

    assert message.body == message.https == '{"default": "not read"}'


def test_a_message_that_is_no_notification_is_nothing_for_chat(engine: EmbeddedAccount) -> None:
    message = publish(engine, "plain words")

    with pytest.raises(ValueError, match="Expecting value"):
        assert message.chat


@pytest.mark.parametrize(
    ("message", "more", "says"),
    [
        ("no JSON", {"MessageStructure": "json"}, "failed to parse"),
        ('["default"]', {"MessageStructure": "json"}, "No default entry"),
        ('{"email": "x"}', {"MessageStructure": "json"}, "No default entry"),
        ('{"default": 7}', {"MessageStructure": "json"}, "No default entry"),
        ("x", {"Subject": "x" * 100}, "Subject"),
        ("x", {"Subject": "a\nb"}, "Subject"),
        ("x" * 262_145, {}, "Message too long"),
        (
            "x" * 262_000,
            {"MessageAttributes": {"run": {"DataType": "String", "StringValue": "x" * 200}}},
            "Message too long",
        ),
    ],
)
def test_what_sns_refuses_is_refused(engine: EmbeddedAccount, message: str, more: dict[str, Any], says: str) -> None:
    with pytest.raises(ClientError, match=says) as refused:
        publish(engine, message, **more)

    assert refused.value.response["Error"]["Code"] == "InvalidParameter"
    assert engine.messages == []


@pytest.mark.parametrize(("wrong", "steps"), [((), 0), (("image_fails",), 1)], ids=["success", "failure"])
def test_chat_is_told_what_mail_is_told_with_what_to_do_next_as_a_list(
    scene: Scenario, wrong: tuple[str, ...], steps: int
) -> None:
    machine = scene.machine(f"chat-{steps}", wrong=wrong)

    execution = scene.patch(machine)

    (message,) = scene.told(machine)
    assert (message.chat["version"], message.chat["source"]) == ("1.0", "custom")
    content, metadata = message.chat["content"], message.chat["metadata"]
    assert content["title"] == message.subject
    assert content["description"].splitlines()[0] == message.body.splitlines()[0]
    assert len(content.get("nextSteps", [])) == steps
    assert metadata["threadId"] == execution.arn.rpartition(":")[2]
    assert metadata["relatedResources"] == [execution.arn]
