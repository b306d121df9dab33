"""What the code of a function reads of the step that its state hands it: found in the code, not by running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.rules.project import LAYER, ROOT, parse

PASSED_ON = ("instance_id", "policy", "machine")
"""The attributes of a step that a state has to send; all others come from the context object."""


@dataclass(frozen=True)
class Read:
    """A key of `step.data` that the code reads, and whether it can do without."""

    key: str
    is_optional: bool


@dataclass(frozen=True)
class _Place:
    """A function, or a class's method, of the layer or of a handler."""

    path: Path
    body: ast.FunctionDef

    @property
    def steps(self) -> set[str]:
        """The names by which it knows a step."""
        arguments = self.body.args
        named = {
            argument.arg
            for argument in (*arguments.args, *arguments.kwonlyargs)
            if isinstance(argument.annotation, ast.Name) and argument.annotation.id == "Step"
        }
        for node in ast.walk(self.body):
            if isinstance(node, ast.Assign) and _is_call_of(node.value, "read_step"):
                named |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        return named


def _is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


@cache
def _definitions(path: Path) -> dict[str, ast.FunctionDef]:
    """The functions of a module, and the methods of its classes as `Class.method`."""
    found: dict[str, ast.FunctionDef] = {}
    for node in parse(path).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{method.name}": method for method in node.body if isinstance(method, ast.FunctionDef)
            }
    return found


@cache
def _imports(path: Path) -> dict[str, tuple[Path, str]]:
    """Where the names come from that a module imports from the layer."""
    return {
        alias.asname or alias.name: (LAYER / Path(*node.module.split(".")).with_suffix(".py"), alias.name)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("drydock.")
        for alias in node.names
    }


def _resolve(path: Path, called: ast.expr) -> _Place | None:
    if isinstance(called, ast.Name):
        name, rest = called.id, ""
    elif isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        name, rest = called.value.id, f".{called.attr}"
    else:
        return None
    home, original = _imports(path).get(name, (path, name))
    body = _definitions(home).get(original + rest) if home.exists() else None
    return _Place(home, body) if body is not None else None


def _called(place: _Place) -> Iterator[_Place]:
    """What it calls with the step, or with what is a step at once."""
    steps = place.steps
    for node in ast.walk(place.body):
        if not isinstance(node, ast.Call):
            continue
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        if any((isinstance(one, ast.Name) and one.id in steps) or _is_call_of(one, "read_step") for one in given):
            target = _resolve(place.path, node.func)
            if target is not None:
                yield target


def _places(folder: str) -> list[_Place]:
    path = ROOT / "functions" / folder / "app.py"
    todo, seen = [_Place(path, _definitions(path)["handler"])], []
    while todo:
        place = todo.pop()
        if place not in seen:
            seen.append(place)
            todo += _called(place)
    return seen


def _is_data(node: ast.AST, place: _Place) -> bool:
    """Whether an expression is the step's data, or a name that was given them."""
    if isinstance(node, ast.Attribute) and node.attr == "data":
        return isinstance(node.value, ast.Name) and node.value.id in place.steps
    return isinstance(node, ast.Name) and node.id in _aliases(place)


def _aliases(place: _Place) -> set[str]:
    return {
        target.id
        for node in ast.walk(place.body)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute) and _is_data(node.value, place)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _keys(place: _Place) -> Iterator[Read]:
    for node in ast.walk(place.body):
        if isinstance(node, ast.Subscript) and _is_data(node.value, place):
            assert isinstance(node.slice, ast.Constant), f"{place.path}:{node.lineno}: the key is not written out"
            yield Read(str(node.slice.value), is_optional=False)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
            and _is_data(node.func.value, place)
        ):
            assert isinstance(node.args[0], ast.Constant), f"{place.path}:{node.lineno}: the key is not written out"
            yield Read(str(node.args[0].value), is_optional=True)


@cache
def reads_of(folder: str) -> frozenset[Read]:
    """The keys of `step.data` that a function reads, whoever reads them for it."""
    return frozenset(read for place in _places(folder) for read in _keys(place))


@cache
def attributes_of(folder: str) -> frozenset[str]:
    """Which of `PASSED_ON` a function reads of its step."""
    return frozenset(
        node.attr
        for place in _places(folder)
        for node in ast.walk(place.body)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in place.steps
        and node.attr in PASSED_ON
    )
