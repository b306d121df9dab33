from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drydock.plan.run_request import read_run_request
from drydock.request.group import read_group_request
from drydock.request.instance import read_request
from drydock.request.restoring import read_restore_request
from tests.rules.project import ROOT, machines

MADE = {"__pycache__", ".git", ".hypothesis", ".venv", ".venv-scan", ".aws-sam", "build", "node_modules"}
WORDS = {
    "a folder of some machine": re.compile(r"/wo" r"rk/|(?<!layers/)\bshared" r"/"),
    "work left for later": re.compile(r"\bTO" r"DO\b|\bFIX" r"ME\b"),
    "a package index": re.compile(r"py" r"pi\.org|python" r"hosted\.org|--(extra-)?index" r"-url[= ]+\S*:/"),
}
EVENTS = sorted((ROOT / "events").glob("*.json"))


def _files() -> Iterator[Path]:
    """The project's own text files: not what make, Python and its tools have made."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        made = any(part in MADE or part.endswith("_cache") or part.endswith(".egg-info") for part in parts)
        if path.is_file() and not made:
            yield path


@pytest.mark.parametrize("what", WORDS)
def test_no_file_mentions(what: str) -> None:
    wrong = []
    for path in _files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        wrong += [
            f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"
            for match in WORDS[what].finditer(text)
        ]
    assert wrong == []


def test_requirements_name_no_place_to_download_from() -> None:
    lines = [line for path in (ROOT / "requirements").iterdir() for line in path.read_text().splitlines()]
    assert lines
    assert [line for line in lines if "://" in line] == []


def test_the_layer_brings_its_own_time_zones() -> None:
    """Not every image of the runtime has them."""
    for path in (ROOT / "requirements" / "layer.in", ROOT / "layers" / "drydock" / "requirements.txt"):
        assert re.search(r"(?m)^tzdata\b", path.read_text()), path


def _entry_point(given: dict[str, Any]) -> str:
    """What a sample input is for, by what it names."""
    if {"imageId", "volumeId"} & set(given):
        return "RestoreInstance"
    if "instanceId" in given:
        return "PatchInstance"
    if "groupName" in given:
        return "RollGroup"
    return "MaintenanceRun" if {"targets", "window", "plan", "resume"} & set(given) else "stop_run"


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_a_sample_input_is_accepted_as_it_is(path: Path) -> None:
    given = json.loads(path.read_text())
    settings = ("{}", "/drydock/policy")
    match _entry_point(given):
        case "PatchInstance":
            execution = "arn:aws:states:ap-northeast-1:123456789012:execution:x:y"
            assert read_request(given, *settings, execution).instance_id == given["instanceId"]
        case "RestoreInstance":
            execution = "arn:aws:states:ap-northeast-1:123456789012:execution:x:y"
            assert read_restore_request(given, *settings, execution).instance_id == given["instanceId"]
        case "RollGroup":
            execution = "arn:aws:states:ap-northeast-1:123456789012:execution:x:y"
            assert read_group_request(given, *settings, execution).group.name == given["groupName"]
        case "MaintenanceRun":
            assert read_run_request(given, *settings, "run-1").source in given
        case "stop_run":
            assert set(given) <= {"runId", "reason"}
            assert isinstance(given["runId"], str)


def test_every_machine_has_sample_inputs() -> None:
    entry_points = {_entry_point(json.loads(path.read_text())) for path in EVENTS}
    assert entry_points >= {machine.logical_id for machine in machines()}
