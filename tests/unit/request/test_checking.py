"""Checks of JSON values: every mistake, each with its path."""

from __future__ import annotations

from typing import Any

import pytest

from drydock.request.checking import Check, flag, list_of, one_of, section, text, whole_number


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (one_of("a", "b"), "b"),
        (flag, False),
        (whole_number(1, 3), 1),
        (whole_number(1, 3), 3),
        (text("[a-z]+", "small letters"), "abc"),
        (list_of(flag), []),
        (list_of(flag), [True, False]),
        (section({"a": flag}), {}),
        (section({"a": flag}), {"a": True}),
    ],
    ids=["choice", "flag", "least", "most", "text", "empty list", "list", "empty object", "object"],
)
def test_a_right_value_has_no_mistakes(check: Check, value: Any) -> None:
    assert check("here", value) == []


@pytest.mark.parametrize(
    ("check", "value", "mistake"),
    [
        (one_of("a", "b"), "c", "here: 'c' is not one of a, b"),
        (one_of("a", "b"), ["a"], "here: ['a'] is not one of a, b"),
        (flag, 0, "here: 0 is not true or false"),
        (flag, "true", "here: 'true' is not true or false"),
        (whole_number(1, 3), 0, "here: 0 is not a whole number from 1 to 3"),
        (whole_number(1, 3), 4, "here: 4 is not a whole number from 1 to 3"),
        (whole_number(1, 3), 2.0, "here: 2.0 is not a whole number from 1 to 3"),
        (whole_number(0, 3), True, "here: True is not a whole number from 0 to 3"),
        (text("[a-z]+", "small letters"), "abc\n", "here: 'abc\\n' is not small letters"),
        (text("[a-z]+", "small letters"), 5, "here: 5 is not small letters"),
        (list_of(flag), "xy", "here: 'xy' is not a list"),
        (section({"a": flag}), [], "here: [] is not an object"),
    ],
    ids=[
        "not a choice",
        "list for a choice",
        "number for a flag",
        "text for a flag",
        "too small",
        "too large",
        "fraction",
        "flag for a number",
        "line break",
        "number for a text",
        "text for a list",
        "list for an object",
    ],
)
def test_a_wrong_value_is_one_sentence_with_path_and_value(check: Check, value: Any, mistake: str) -> None:
    assert check("here", value) == [mistake]


def test_mistakes_of_lists_and_objects_are_collected_with_their_paths() -> None:
    check = section({"flags": list_of(flag), "inner": section({"size": whole_number(1, 9)})})

    assert check("top", {"flags": [True, 1, 0], "inner": {"size": 10, "sizes": 3}, "more": 1}) == [
        "top.flags[1]: 1 is not true or false",
        "top.flags[2]: 0 is not true or false",
        "top.inner.size: 10 is not a whole number from 1 to 9",
        "top.inner.sizes: unknown; did you mean size?",
        "top.more: unknown; known are flags, inner",
    ]
