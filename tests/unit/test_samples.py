"""The sample inputs, and the examples that people read, are what Drydock accepts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from drydock.admission import read_request
from tests.unit.world import EXECUTION, ROOT

EVENTS = sorted((ROOT / "events").glob("*.json"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", EVENTS, ids=[path.stem for path in EVENTS])
def test_a_sample_input_is_accepted(path: Path) -> None:
    request = read_request(json.loads(path.read_text()), "{}", "settings", EXECUTION)

    assert request.instance_id.startswith("i-")


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_sample_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"events/[a-z_]+\.json", page.read_text()))

    assert {name for name in named if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_json_example_with_an_instance_is_an_input_that_is_accepted(page: Path) -> None:
    for block in re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL):
        example = json.loads(block)
        if "instanceId" in example:
            read_request(example, "{}", "settings", EXECUTION)
