"""The command: what it loads and needs, and that it declares no fact of the layer a second time."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from tests.rules.project import LAYER, ROOT, parse, relative, source_files, template

OF_THE_REHEARSAL = {"greenlet", "jsonata", "moto", "rehearsal", "samtranslator", "time_machine"}


def _loaded_by(*modules: str) -> set[str]:
    """The packages that are loaded once these modules are imported, in a process of its own."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(shown.stdout.split())


def test_no_module_of_the_command_loads_the_rehearsal() -> None:
    names = [f"drydock_cli.{path.stem}" for path in source_files("drydock_cli") if "__" not in path.stem]
    assert {"drydock_cli.main", "drydock_cli.stack"} <= set(names)
    assert not _loaded_by(*names) & OF_THE_REHEARSAL


def test_help_and_completion_do_not_wait_for_boto3_and_yaml() -> None:
    assert not _loaded_by("drydock_cli.main") & {"boto3", "botocore", "yaml"}


def _constants(folder: Path) -> dict[str, str]:
    """The values of the constants of a folder's modules, as they are written, with where each of them stands.

    Numbers and single words say nothing by themselves: two that are equal need not be one fact.
    """
    found = {}
    for path in sorted(folder.rglob("*.py")):
        for node in parse(path).body:
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            if value is not None and not isinstance(value, ast.Constant | ast.Name | ast.UnaryOp):
                found[ast.unparse(value)] = f"{relative(path)}:{node.lineno}"
    return found


def test_the_command_declares_no_constant_of_the_layer_again() -> None:
    of_the_layer, of_the_command = _constants(LAYER), _constants(ROOT / "drydock_cli")
    assert len(of_the_layer) > 100
    twice = of_the_layer.keys() & of_the_command.keys()
    assert [f"{of_the_command[value]} is {of_the_layer[value]}" for value in sorted(twice)] == []


def test_the_template_names_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert template()["Outputs"]["Version"]["Value"] == project["version"]


def _named(requirements: Iterable[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9_.-]", one.strip())[0].lower().replace("_", "-") for one in requirements}


def _needed(*folders: Path) -> set[str]:
    """The packages, by the names that pip knows, that the modules of these folders import anywhere."""
    known = {*sys.stdlib_module_names, "drydock", "drydock_cli", "drydock_files", "rehearsal"}
    names = set()
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
    installed = metadata.packages_distributions()
    return _named(installed[name][0] for name in names - known)


def test_what_is_installed_names_every_package_that_it_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base, extra = _named(project["dependencies"]), _named(project["optional-dependencies"]["rehearse"])
    layer = _named((ROOT / "requirements" / "layer.in").read_text().splitlines()[1:])

    assert _needed(LAYER, ROOT / "drydock_cli", ROOT / "drydock_files") | layer == base
    assert _needed(ROOT / "rehearsal") - base == extra
