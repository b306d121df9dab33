from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rules.project import ROOT, parse, relative, source_files

DEPLOYED = ("functions", "layers")
ALLOWED = {*sys.stdlib_module_names, "aws_lambda_powertools", "boto3", "botocore", "drydock"}
MOST_LINES = 10
HANDLERS = sorted((ROOT / "functions").glob("*/app.py"))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "relative imports"
            yield node.module


def test_what_is_deployed_imports_the_standard_library_boto3_powertools_and_the_layer_only() -> None:
    wrong = [
        f"{relative(path)}: {name}"
        for path in source_files(*DEPLOYED)
        for name in _imports(parse(path))
        if name.split(".")[0] not in ALLOWED
    ]
    assert wrong == []


def test_nothing_that_is_deployed_sleeps_or_prints() -> None:
    wrong = [
        f"{relative(path)}:{node.lineno}"
        for path in source_files(*DEPLOYED)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("sleep", "time.sleep", "print")
    ]
    assert wrong == []


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.parent.name)
def test_a_handler_is_thin_and_alone(path: Path) -> None:
    tree = parse(path)
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    (handler,) = defined
    assert isinstance(handler, ast.FunctionDef)
    assert handler.name == "handler"
    assert [ast.unparse(one) for one in handler.decorator_list] == ["logged"]
    assert [argument.arg for argument in handler.args.args] == ["event", "context"]
    assert (handler.end_lineno or 0) - handler.body[0].lineno < MOST_LINES
    assert ast.get_docstring(tree)
    assert [one.name for one in path.parent.iterdir() if one.name != "__pycache__"] == ["app.py"]


def test_what_is_deployed_says_what_it_is_for() -> None:
    silent = [relative(path) for path in source_files(*DEPLOYED) if not ast.get_docstring(parse(path))]
    assert silent == []
