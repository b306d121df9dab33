"""The sample inputs, and the examples that people read, are what Drydock accepts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from drydock.plan.run_request import read_run_request
from drydock.request.group import read_group_request
from drydock.request.instance import read_request
from drydock.request.restoring import read_restore_request
from tests.unit.world import EXECUTION, ROOT

EVENTS = sorted((ROOT / "events").glob("*.json"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = {"targets", "window", "plan", "resume"}


def accept(given: Mapping[str, Any]) -> None:
    """Raises InvalidInputError or InvalidPolicyError for what is no input of a state machine."""
    if {"imageId", "volumeId"} & given.keys():
        read_restore_request(given, "{}", "settings", EXECUTION)
    elif "instanceId" in given:
        read_request(given, "{}", "settings", EXECUTION)
    elif "groupName" in given:
        read_group_request(given, "{}", "settings", EXECUTION)
    else:
        read_run_request(given, "{}", "settings", "sample")


@pytest.mark.parametrize("path", EVENTS, ids=[path.stem for path in EVENTS])
def test_a_sample_input_is_accepted(path: Path) -> None:
    accept(json.loads(path.read_text()))


def test_there_are_samples_for_every_state_machine() -> None:
    given = [json.loads(path.read_text()) for path in EVENTS]

    assert any("instanceId" in sample for sample in given)
    assert any("groupName" in sample for sample in given)
    assert any("targets" in sample for sample in given)


def test_the_list_of_samples_names_each_of_them_once() -> None:
    listed = re.findall(r"^\| \[([a-z_]+\.json)\]\(\1\)", (ROOT / "events/README.md").read_text(), re.MULTILINE)

    assert sorted(listed) == [path.name for path in EVENTS]


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_sample_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"events/[a-z_]+\.json", page.read_text()))

    assert {name for name in named if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_json_example_of_an_input_is_one_that_is_accepted(page: Path) -> None:
    for block in re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL):
        example = json.loads(block)
        if isinstance(example, dict) and example.keys() & {"instanceId", "groupName", *SOURCES}:
            accept(example)
