"""Failures as people read them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drydock.subject import Group, Instance, Subject
from drydock.telling.failures import readable_cause, readable_failure, subject_of
from tests.unit.world import INSTANCE


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (json.dumps({"errorMessage": "no agent", "errorType": "E", "stackTrace": ["x"]}), "no agent"),
        ("plain words", "plain words"),
        ("", ""),
        ("null", "null"),
        ("[1]", "[1]"),
        ('{"other": 1}', '{"other": 1}'),
        ("{", "{"),
    ],
)
def test_a_functions_error_is_read_and_everything_else_stays(cause: str, text: str) -> None:
    assert readable_cause(cause) == text


@pytest.mark.parametrize("nothing", [None, {}], ids=["none", "empty"])
def test_no_failure_is_none(nothing: Any) -> None:
    assert readable_failure(nothing) is None


def test_a_failure_without_a_cause_is_read() -> None:
    assert readable_failure({"error": "States.Timeout", "cause": None}) == {"error": "States.Timeout", "cause": ""}


@pytest.mark.parametrize(
    ("detail", "subject"),
    [
        ({"input": json.dumps({"instanceId": INSTANCE})}, Instance(INSTANCE)),
        ({"input": json.dumps({"groupName": "web"})}, Group("web")),
        ({"input": json.dumps({"groupName": "w" * 300})}, Group("w" * 255)),
        ({"input": json.dumps({})}, Instance("")),
        ({"input": "[]"}, Instance("")),
        ({"input": "{"}, Instance("")),
        ({"input": None}, Instance("")),
        ({}, Instance("")),
    ],
)
def test_the_machine_or_group_of_an_execution_is_read_from_its_input_where_that_is_given(
    detail: dict[str, Any], subject: Subject
) -> None:
    assert subject_of(detail) == subject
