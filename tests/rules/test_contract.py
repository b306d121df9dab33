"""What a function reads of a state's data is what the state sends, key for key."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.rules.project import LAYER, ROOT, State, parse, states

LOGGING = LAYER / "drydock" / "request" / "handling.py"
"""What every step names in its log where it is there: nothing depends on it."""

TASKS = [state for state in states() if state.invokes]
FOLDERS = sorted({state.function.folder for state in TASKS})


@cache
def defined(path: Path) -> dict[str, list[ast.AST]]:
    """The functions of a module by name; a class by its name is all of its methods."""
    return {
        node.name: [node] if isinstance(node, ast.FunctionDef) else [one for one in ast.walk(node) if one is not node]
        for node in parse(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


@cache
def imported(path: Path) -> dict[str, tuple[Path, str]]:
    """Where the names come from that a module imports from the layer."""
    return {
        alias.asname or alias.name: (LAYER / Path(*node.module.split(".")).with_suffix(".py"), alias.name)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("drydock.")
        for alias in node.names
    }


def reached_from(path: Path, name: str) -> Iterator[ast.AST]:
    """The functions that a function calls, and these, and so on; itself first."""
    seen: set[tuple[Path, str]] = set()
    waiting = [(path, name)]
    while waiting:
        where, what = waiting.pop()
        if (where, what) in seen or where == LOGGING or not where.exists():
            continue
        seen.add((where, what))
        for node in defined(where).get(what, []):
            yield node
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name):
                    waiting.append(imported(where).get(inner.id, (where, inner.id)))


@cache
def keys_read(function: ast.AST) -> set[str]:
    """The keys of `step.data` that a function reads, also where it calls that `data`, and over a row of names."""
    called = {"step.data"} | {
        target.id
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == "step.data"
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    asked: list[ast.expr] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) in called:
            asked.append(node.slice)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {f"{name}.get" for name in called}:
            asked.append(node.args[0])
    rows = {
        ast.unparse(one.target): one.iter
        for node in ast.walk(function)
        if isinstance(node, ast.GeneratorExp | ast.ListComp)
        for one in node.generators
    }
    found: set[str] = set()
    for key in asked:
        values = ast.literal_eval(rows[key.id]) if isinstance(key, ast.Name) else [ast.literal_eval(key)]
        found |= set(values)
    return found


@cache
def reads(folder: str) -> frozenset[str]:
    """The keys that a function reads, from its handler on."""
    if folder == "stop_run":
        # A person hands over as the event what a state hands over as its data.
        return frozenset({"runId", "reason"})
    handler = ROOT / "functions" / folder / "app.py"
    return frozenset(key for function in reached_from(handler, "handler") for key in keys_read(function))


def sends(state: State) -> set[str]:
    return set(state.body["Arguments"]["Payload"].get("data", {}))


@pytest.mark.parametrize("state", TASKS, ids=lambda state: f"{state.flow}: {state.name}")
def test_every_key_that_a_function_reads_of_the_data_is_sent_by_the_states_that_call_it(state: State) -> None:
    assert reads(state.function.folder) - sends(state) == set()


@pytest.mark.parametrize("state", TASKS, ids=lambda state: f"{state.flow}: {state.name}")
def test_every_key_that_a_state_sends_as_data_is_read_by_its_function(state: State) -> None:
    assert sends(state) - reads(state.function.folder) == set()


def test_the_keys_of_a_function_that_has_many_are_found() -> None:
    assert {"failure", "probeBefore", "probeBeforeImage", "runId"} <= reads("release_instance")
