"""The environment: everything by name, nothing by a default that hides a mistake of the template."""

from __future__ import annotations

import pytest

from drydock.environment import Environment
from tests.unit.world import ENVIRONMENT, read_template

VARIABLES = {
    "STACK": "drydock",
    "TABLE": "drydock-State",
    "LOG_BUCKET": "drydock-logs",
    "TOPIC": "arn:aws:sns:ap-northeast-1:123456789012:drydock-Results",
    "TIME_ZONE": "Asia/Tokyo",
    "GUARD_TAG_KEY": "",
    "AWS_REGION": "ap-northeast-1",
}


def test_the_environment_is_what_the_template_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)

    assert Environment.read() == ENVIRONMENT


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_that_the_template_forgot_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable, value in VARIABLES.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv(name)

    with pytest.raises(KeyError, match=name):
        Environment.read()


def test_the_template_gives_every_variable_that_lambda_does_not() -> None:
    given = read_template()["Globals"]["Function"]["Environment"]["Variables"]

    assert set(VARIABLES) - {"AWS_REGION"} <= set(given)


@pytest.mark.parametrize(
    ("document", "version"),
    [
        ("drydock-Probe", "$LATEST"),
        ("drydock-SearchWindowsUpdates", "$LATEST"),
        ("drydock-Reboot", "$LATEST"),
        ("AWS-RunPatchBaseline", "$DEFAULT"),
        ("My-Hook", "$DEFAULT"),
    ],
)
def test_only_of_the_stacks_own_documents_the_newest_version_is_sent(document: str, version: str) -> None:
    assert ENVIRONMENT.document_version(document) == version


def test_names_are_made_from_the_stacks() -> None:
    assert ENVIRONMENT.probe_document == "drydock-Probe"
    assert ENVIRONMENT.reboot_document == "drydock-Reboot"
    assert ENVIRONMENT.search_document == "drydock-SearchWindowsUpdates"
    assert ENVIRONMENT.policy_parameter == "/drydock/policy"
    assert ENVIRONMENT.topic_parameter == "/drydock/topic"
    assert ENVIRONMENT.function("give_back") == "drydock-give_back"
