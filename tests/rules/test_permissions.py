from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from tests.rules.project import LAYER, TEMPLATE, Statement, statements

METHODS = {"lambda:InvokeFunction": "invoke"}
"""The names of client methods that are not those of their actions."""


@cache
def _table() -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "permissions.yaml").read_text())
    return table


def _actions() -> dict[str, dict[str, Any]]:
    return _table()["actions"]


def _granted() -> set[str]:
    return {action for statement in _allowing() for action in statement.actions}


def _allowing() -> list[Statement]:
    found = [statement for statement in statements() if statement.effect == "Allow"]
    assert found
    return found


def test_every_action_is_named_in_full_and_only_what_is_in_the_table_is_granted() -> None:
    assert [action for action in _granted() if "*" in action] == []
    assert _granted() == set(_actions())


def test_anything_is_granted_only_where_resources_cannot_be_named() -> None:
    wrong = [
        f"{statement.owner}: {action}"
        for statement in _allowing()
        if "*" in statement.resources
        for action in statement.actions
        if _actions()[action]["resources"] and not _actions()[action].get("anywhere")
    ]
    assert wrong == []


def test_resources_are_named_only_where_every_action_knows_them() -> None:
    patterns = _table()["resource_types"]
    for statement in _allowing():
        for resource in statement.resources:
            for action in statement.actions if resource != "*" else ():
                known = [patterns[kind] for kind in _actions()[action]["resources"]]
                assert any(fnmatchcase(resource, pattern) for pattern in known), f"{statement.owner}: {action}"


def test_every_exception_of_the_table_is_used() -> None:
    for action, entry in _actions().items():
        anywhere = any("*" in one.resources for one in _allowing() if action in one.actions)
        assert not entry.get("anywhere") or (anywhere and entry["resources"]), action


def test_the_table_agrees_with_the_service_authorization_reference() -> None:
    reference = json.loads((files("cfnlint.data.AdditionalSpecs") / "Policies.json").read_text())
    for action, entry in _actions().items():
        service, name = action.split(":")
        known = {key.lower(): value for key, value in reference[service]["Actions"].items()}[name.lower()]
        named = set(known.get("Resources", []))
        assert set(entry["resources"]) <= named, action
        assert bool(entry["resources"]) == bool(named), action


def test_what_is_granted_is_called_somewhere() -> None:
    code = "\n".join(path.read_text() for path in sorted((LAYER / "drydock").glob("*.py")))
    for action, entry in _actions().items():
        method = METHODS.get(action) or re.sub(r"(?<!^)(?=[A-Z])", "_", action.split(":")[1]).lower()
        called = re.search(rf"\.{method}\b|[\"']{method}[\"']", code) is not None
        assert called != bool(entry.get("without")), action


def test_every_statement_says_in_a_comment_what_it_allows() -> None:
    lines = TEMPLATE.read_text().splitlines()
    found, wrong = 0, []
    for number, line in enumerate(lines):
        if not re.match(r"\s*- Effect: ", line):
            continue
        found += 1
        above = number - 1
        while re.match(r"\s*- (!If|Has\w+|Makes\w+)$", lines[above]):
            above -= 1
        if not re.match(r"\s*# (Allows|Refuses) ", lines[above]):
            wrong.append(number + 1)
    assert found > len(statements())
    assert wrong == []
