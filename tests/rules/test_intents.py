"""Intents are named in one module, and its table says of each who writes it, who reads it, and what a sweep does."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from drydock.records import intents
from tests.rules.project import LAYER, parse, relative, source_files

MODULE = LAYER / "drydock" / "records" / "intents.py"
OTHERS = [path for path in source_files("functions", "layers", "drydock_cli") if path != MODULE]
COLUMNS = (4, 31, 51, 83)
"""Where the columns of the table begin: intent, written by, read by, a sweep."""

KINDS = {name: value for name, value in vars(intents).items() if isinstance(value, str) and name.isupper()}
CONSTRUCTORS = {
    name: function(*[7 if one.annotation == "int" else "X" for one in inspect.signature(function).parameters.values()])
    for name, function in vars(intents).items()
    if inspect.isfunction(function) and name not in ("kind_of", "member_of", "zone_of")
}
NAMES = {**{name: value for name, value in KINDS.items() if not name.startswith("_")}, **CONSTRUCTORS}
"""What other modules call intents by: constants and functions, with the name of the intent, or how that begins."""


def read_table() -> dict[str, list[str]]:
    """The rows of the table by intent: written by, read by, a sweep."""
    rows: dict[str, list[str]] = {}
    current = ""
    for line in str(intents.__doc__).splitlines():
        cells = [line[begin:end].strip() for begin, end in zip(COLUMNS, (*COLUMNS[1:], None), strict=True)]
        if not line.startswith("    ") or cells[0] == "intent":
            continue
        if cells[0]:
            current, rows[cells[0]] = cells[0], cells[1:]
        else:
            rows[current] = [" ".join(pair).strip() for pair in zip(rows[current], cells[1:], strict=True)]
    return rows


TABLE = read_table()


def row_of(name: str) -> str:
    """The row for a name; for the beginning of names, that of those which begin so."""
    fitting = [row for row in TABLE if re.fullmatch(re.sub("<[a-z]+>", ".+", row), name)]
    return fitting[0] if len(fitting) == 1 else next(row for row in TABLE if re.fullmatch(f"{name}<[a-z]+>.*", row))


@cache
def mentions(path: Path) -> frozenset[str]:
    return frozenset(
        node.attr
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute) and node.attr in NAMES and ast.unparse(node.value) == "intents"
    )


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a module by line, and the beginnings of those that are put together; no docstrings."""
    tree = parse(path)
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values[1:]}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said | inside:
            yield node.lineno, node.value


def test_every_intent_has_a_row_and_every_row_an_intent() -> None:
    assert {row_of(name) for name in NAMES.values()} == set(TABLE)
    assert all(written_by and swept for written_by, _, swept in TABLE.values())


@pytest.mark.parametrize("row", sorted(TABLE))
def test_the_table_names_exactly_the_modules_that_have_to_do_with_an_intent(row: str) -> None:
    told = {name for cell in TABLE[row][:2] for name in cell.split(", ") if name}
    found = {path.stem for path in OTHERS for mentioned in mentions(path) if row_of(NAMES[mentioned]) == row}
    assert found == told


def test_no_other_module_puts_the_name_of_an_intent_together() -> None:
    kinds = {intents.kind_of(name) for name in NAMES.values()}
    beginnings = tuple(kind for kind in kinds if kind.endswith(":"))
    wrong = [f"{relative(path)}:{line}" for path in OTHERS for line, text in texts(path) if text.startswith(beginnings)]
    assert wrong == []


def test_no_other_module_looks_an_intent_up_by_a_text() -> None:
    wrong = []
    for path in OTHERS:
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith(".intents"):
                asked = node.slice
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".intents.get"):
                asked = node.args[0]
            elif isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]).endswith(".intents"):
                asked = node.left
            else:
                continue
            if isinstance(asked, ast.Constant | ast.JoinedStr):
                wrong.append(f"{relative(path)}:{node.lineno}")
    assert wrong == []


@pytest.mark.parametrize(("name", "value"), sorted(item for item in CONSTRUCTORS.items() if item[0] != "again"))
def test_the_kind_of_an_intent_and_what_it_is_about_can_be_told_from_its_name(name: str, value: str) -> None:
    kind = intents.kind_of(value)
    assert kind in set(KINDS.values()), name
    is_of_instance = "instance_id" in inspect.signature(getattr(intents, name)).parameters
    assert intents.member_of(value) == ("X" if is_of_instance else "")


def test_the_kind_of_an_intent_that_is_about_nothing_more_is_its_name() -> None:
    fixed = [row for row in TABLE if "<" not in row]
    assert [intents.kind_of(name) for name in fixed] == fixed
    assert [intents.member_of(name) for name in fixed] == ["" for _ in fixed]


def test_a_command_that_is_sent_again_is_of_the_same_kind() -> None:
    for command in (intents.INSTALL, intents.FINISH_INSTALL, intents.scan("After")):
        assert intents.kind_of(intents.again(command, 12)) == intents.kind_of(command)
        assert intents.again(command, 1) == command


def test_a_zone_is_read_from_the_launch_in_it() -> None:
    assert intents.zone_of(intents.launch(0, "ap-northeast-1a")) == "ap-northeast-1a"
