"""Event patterns are refused, and match, as EventBridge's do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from moto.events.exceptions import InvalidEventPatternException
from moto.events.models import EventPattern

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.patterns import PatternError, check_pattern

EMPTY: tuple[dict[str, Any], ...] = {"time": []}, {"time": {}}, {}
NO_ARRAYS = {"int": 42}, {"string": "my-value"}, {"none": None}
NO_OPERATORS: tuple[Any, ...] = (
    {"EXISTS": True},
    {"NUMERIC": ["=", 5]},
    {"like": "a"},
    {},
    {"prefix": "a", "suffix": "b"},
    [1],
)
TEXTS = (
    *({operator: 123} for operator in ("prefix", "suffix", "equals-ignore-case", "wildcard", "cidr")),
    *({operator: ["a"]} for operator in ("prefix", "suffix", "equals-ignore-case", "wildcard", "cidr")),
    {"equals-ignore-case": {"prefix": "ec2"}},
    {"exists": "yes"},
)
NETWORKS = tuple({"cidr": text} for text in ("bad-filter", "xx.11.xx/8", "bad-/64filter", "xxxx:db8:1234:1a00::/64"))
NUMBERS = tuple(
    {"numeric": value} for value in (10, [], [">", 0, ">", 0], [">", 0, "<"], [">", "0"], ["!", 1], [">", 3, "<", 2])
)
WILDCARDS = {"wildcard": "a:**:b/*"}, {"wildcard": "*:*:*:*:*:event-bus/*"}
BUT = tuple(
    {"anything-but": value}
    for value in (
        None,
        ["stopped", None],
        ["stopped", 1],
        {"equals-ignore-case": 123},
        {"equals-ignore-case": ["a", 456]},
        {"prefix": ""},
        {"prefix": [123, "test"]},
        {"prefix": {"equals-ignore-case": "file"}},
        {"suffix": ""},
        {"suffix": [None, ".txt"]},
        {"wildcard": [123, "*/dir/*"]},
        {"numeric": [">", 1]},
        {"prefix": "a", "suffix": "b"},
    )
)


@pytest.mark.parametrize(
    "pattern",
    [
        *EMPTY,
        *NO_ARRAYS,
        *({"detail": {"a": [value]}} for value in (*NO_OPERATORS, *TEXTS, *NETWORKS, *NUMBERS, *WILDCARDS, *BUT)),
        {"detail": {"$or": [{"a": [1]}]}},
        {"detail": {"$or": [{"a": [1]}, {"b": []}]}},
        {"detail": {"$or": {"a": [1]}}},
        [],
    ],
    ids=json.dumps,
)
def test_a_malformed_pattern_is_refused(pattern: Any) -> None:
    # LocalStack's snapshot of March 2026; what is not in it: aws/event-ruler, JsonRuleCompiler, 2026-07-21.
    with pytest.raises(PatternError):
        check_pattern(pattern)


@pytest.mark.parametrize(
    "value",
    [
        "pending",
        3,
        None,
        True,
        *({operator: "a"} for operator in ("prefix", "suffix", "equals-ignore-case", "wildcard")),
        {"prefix": {"equals-ignore-case": "a"}},
        {"suffix": {"equals-ignore-case": "a"}},
        {"exists": False},
        {"cidr": "10.0.0.0/24"},
        {"cidr": "2001:db8:1234:1a00::/64"},
        *({"numeric": numbers} for numbers in (["=", 3.018e2], ["<=", 5], [">", 0, "<=", 5], [">=", -1, "<", 1])),
        {"wildcard": "arn:aws:events:us-east-1:*:event-bus/*"},
        {"wildcard": r"two \*\* stars"},
        *({"anything-but": but} for but in ("a", 123, ["a", "b"], [100, 200], {"prefix": "init"})),
        {"anything-but": {"suffix": [".txt", ".jpg"]}},
        {"anything-but": {"wildcard": ["*/init/*", "*/dir/*"]}},
        {"anything-but": {"equals-ignore-case": ["a", "b"]}},
    ],
    ids=json.dumps,
)
def test_a_pattern_of_the_documentation_is_taken(value: Any) -> None:
    check_pattern({"source": ["a"], "detail": {"a": [value], "$or": [{"b": [value]}, {"c": {"d": [value]}}]}})


def test_a_rule_with_a_malformed_pattern_is_refused_and_not_made(engine: EmbeddedAccount) -> None:
    client = engine.client("events")
    with pytest.raises(client.exceptions.InvalidEventPatternException, match="must be an object or an array"):
        client.put_rule(Name="r", EventPattern='{"source": "aws.ec2"}')
    assert client.list_rules()["Rules"] == []


def test_a_template_with_such_a_rule_is_not_deployed(engine: EmbeddedAccount, tmp_path: Path) -> None:
    rule = {"Type": "AWS::Events::Rule", "Properties": {"EventPattern": {"detail": {"state": [{"like": "a"}]}}}}
    template = tmp_path / "template.yaml"
    template.write_text(json.dumps({"Transform": "AWS::Serverless-2016-10-31", "Resources": {"Rule": rule}}))
    with pytest.raises(InvalidEventPatternException, match="Unrecognized match type like"):
        engine.deploy(template=template)


@pytest.mark.parametrize(
    ("pattern", "event", "matches"),
    [
        ({"resources": [{"exists": True}]}, {"resources": []}, False),
        ({"detail": {"items": {"id": [{"exists": True}]}}}, {"detail": {"items": [{"a": 1}, {"id": "b"}]}}, True),
        ({"detail": {"items": {"id": ["b"]}}}, {"detail": {"items": [{"id": "a"}, {"id": "b"}]}}, True),
        ({"detail": {"items": {"id": ["c"]}}}, {"detail": {"items": [{"id": "a"}, {"id": "b"}]}}, False),
        ({"detail": {"items": [{"exists": True}]}}, {"detail": {"items": {"id": "b"}}}, False),
        ({"resources": ["a"]}, {"resources": ["b", "a"]}, True),
        ({"detail": {"state": [None]}}, {"detail": {"state": None}}, True),
    ],
)
def test_a_pattern_looks_into_arrays(
    engine: EmbeddedAccount, pattern: dict[str, Any], event: dict[str, Any], matches: bool
) -> None:
    # LocalStack's snapshot of March 2026.
    assert EventPattern.load(json.dumps(pattern)).matches_event(event) is matches
