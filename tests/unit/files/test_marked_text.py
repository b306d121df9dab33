"""Values and lines of the files that people write."""

from __future__ import annotations

import pytest

from drydock_files.marked_text import KeyPath, MarkedText, UnreadableTextError, json_as_yaml, path_of


def test_every_path_of_a_json_text_has_the_line_of_its_key() -> None:
    text = '{\n "a": {"b": [\n  1,\n  {"c,]": "x\\"}"},\n []\n ]},\n\t"d":\n  []}'

    assert MarkedText(json_as_yaml(text), "policy").lines == {
        (): 1,
        ("a",): 2,
        ("a", "b"): 2,
        ("a", "b", 0): 3,
        ("a", "b", 1): 4,
        ("a", "b", 1, "c,]"): 4,
        ("a", "b", 2): 5,
        ("d",): 7,
    }


def test_a_mistake_is_told_with_the_line_of_what_it_is_in() -> None:
    source = MarkedText("a:\n  b: 1\n", "fleet.yaml")

    assert source.at(("a", "b"), "wrong") == "fleet.yaml:2: wrong"
    assert source.at(("a", "c", 1), "missing") == "fleet.yaml:1: missing"


def test_a_key_that_is_given_twice_is_a_mistake() -> None:
    assert MarkedText("a: 1\nb: 2\na: 3\n", "fleet.yaml").mistakes == ["fleet.yaml:3: 'a' is given twice"]


def test_on_is_text_and_a_time_stays_as_it_is_written() -> None:
    assert MarkedText("a: ON\nb: 2026-01-13\nc: true\n", "f").value == {"a": "ON", "b": "2026-01-13", "c": True}


@pytest.mark.parametrize(("text", "line"), [("a: [1\nb: 2\n", 2), ("a: \x07\n", 1)])
def test_what_is_no_yaml_is_told_in_one_line(text: str, line: int) -> None:
    with pytest.raises(UnreadableTextError, match=rf"^fleet\.yaml:{line}: not YAML: [^\n]+$"):
        MarkedText(text, "fleet.yaml")


@pytest.mark.parametrize(
    ("mistake", "path"),
    [
        ("policy.gates.alarms[1]: 4 is not a name", ("policy", "gates", "alarms", 1)),
        ("input.targets[0].values[12]: '' is not: a value", ("input", "targets", 0, "values", 12)),
        ("policy: [] is not an object", ("policy",)),
    ],
)
def test_a_mistake_of_the_layer_begins_with_its_path(mistake: str, path: KeyPath) -> None:
    assert path_of(mistake) == path
