"""docs/code-map.md: what it says about the tree is so."""

import ast
import re
from pathlib import Path

import pytest

from drydock.records import intents
from tests.rules.project import LAYER, ROOT
from tests.rules.test_intents import TABLE

PAGE = (ROOT / "docs" / "code-map.md").read_text(encoding="utf-8")
DRYDOCK = LAYER / "drydock"

PATHS = sorted(
    {
        name
        for name in re.findall(r"`([^`\s]+)`", PAGE)
        if "/" in name or name.endswith((".py", ".md", ".yaml", ".json", ".toml"))
    }
    | set(re.findall(r"\]\(([^)#:]+)", PAGE))
)
PACKAGES = {
    **{f"{path.name}/": path for path in DRYDOCK.iterdir() if (path / "__init__.py").is_file()},
    **{f"rehearsal/{path.name}/": path for path in (ROOT / "rehearsal").iterdir() if (path / "__init__.py").is_file()},
}


def row_of(name: str) -> str:
    """The second column of the row that begins with this path; nothing where there is none."""
    found = re.search(rf"^\| `{re.escape(name)}` \| (.*) \|$", PAGE, re.MULTILINE)
    return found[1] if found else ""


@pytest.mark.parametrize("path", PATHS)
def test_every_path_that_the_code_map_names_exists(path: str) -> None:
    assert any((folder / path).exists() for folder in (ROOT, DRYDOCK, ROOT / "docs"))


@pytest.mark.parametrize("name", PACKAGES)
def test_every_package_is_in_the_code_map_with_its_own_sentence(name: str) -> None:
    sentence = ast.get_docstring(ast.parse((PACKAGES[name] / "__init__.py").read_text(encoding="utf-8")))
    assert row_of(name) == sentence


@pytest.mark.parametrize("folder", sorted(path.name for path in (ROOT / "tests").iterdir() if path.is_dir()))
def test_every_folder_of_tests_is_in_the_code_map(folder: str) -> None:
    assert folder == "__pycache__" or row_of(f"tests/{folder}/")


@pytest.mark.parametrize("app", sorted((ROOT / "functions").glob("*/app.py")), ids=lambda app: app.parent.name)
def test_the_code_map_says_what_each_function_calls(app: Path) -> None:
    """The table is the second of the two steps from a state to its code."""
    called = {
        f"`{alias.name}` in `{node.module.removeprefix('drydock.').replace('.', '/')}.py`"
        for node in ast.walk(ast.parse(app.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("drydock.")
        for alias in node.names
        if alias.name[0].islower() and node.module not in ("drydock.request.handling", "drydock.log")
    }
    assert set(row_of(f"functions/{app.parent.name}/").split(", ")) == called


def test_the_code_map_has_every_intent_of_a_groups_lease_as_their_module_has_it() -> None:
    about_groups = str(intents.__doc__).partition("Of a group's lease")[2]
    told = {
        name: [cell.strip("-") for cell in cells.split(" | ")]
        for name, cells in re.findall(r"^\| `([^`]+)` \| (.* \| .* \| .*) \|$", PAGE, re.MULTILINE)
    }
    assert told == {name: row for name, row in TABLE.items() if f"\n    {name} " in about_groups}


def test_its_last_section_answers_ten_questions_with_a_place_to_look_at() -> None:
    last = PAGE.rpartition("\n## ")[2]
    questions = re.split(r"^\d+\. ", last, flags=re.MULTILINE)[1:]
    assert [bool(re.match(r"\*\*[^*]+\?\*\* .*`[^`]*[/.][^`]*`", one, re.DOTALL)) for one in questions] == [True] * 10
