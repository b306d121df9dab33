"""docs/fidelity.md: every behaviour that the rehearsal simulates has a row, and no row is about something else."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name

from rehearsal.account import EmbeddedAccount
from rehearsal.engine.calls import make_client
from rehearsal.services.ec2_calls import EC2Calls
from rehearsal.services.group_calls import GroupCalls
from rehearsal.services.ssm_calls import SSMCalls
from rehearsal.services.volume_calls import VolumeCalls
from rehearsal.services.window_calls import WindowCalls
from rehearsal.world.gates import Alarms, Gates
from rehearsal.world.group_specs import Unconfirmed
from rehearsal.world.launch_templates import LaunchTemplates
from rehearsal.world.load_balancers import LoadBalancers
from rehearsal.world.resource_groups import ResourceGroups
from tests.rules.project import ROOT, machines
from tools import fidelity

KNOWN = fidelity.read_known()
ROWS = [row for rows in KNOWN["behaviours"].values() for row in rows]
ANSWERING: list[tuple[str, type]] = [
    ("ec2", EC2Calls),
    ("ec2", VolumeCalls),
    ("ec2", LaunchTemplates),
    ("autoscaling", GroupCalls),
    ("elbv2", LoadBalancers),
    ("ssm", SSMCalls),
    ("ssm", WindowCalls),
    ("ssm", Gates),
    ("cloudwatch", Alarms),
    ("resource-groups", ResourceGroups),
]
OF_THE_PLAY = {"seed", "start", "project"}
"""What an account is opened with that says nothing of AWS."""


def _changes_moto() -> Iterator[str]:
    """The functions that put something in the place of moto's: those that are given the patches."""
    for path in sorted((ROOT / "rehearsal").rglob("*.py")):
        if {"play", "proof"} & set(path.relative_to(ROOT / "rehearsal").parts):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        scopes = [("", tree.body), *((f"{n.name}.", n.body) for n in tree.body if isinstance(n, ast.ClassDef))]
        for prefix, body in scopes:
            for node in body:
                if isinstance(node, ast.FunctionDef) and any(
                    isinstance(one.annotation, ast.Name) and one.annotation.id == "Patches" for one in node.args.args
                ):
                    yield prefix + node.name


def _answered() -> Iterator[str]:
    for service, calls in ANSWERING:
        names = {xform_name(name): name for name in make_client(service).meta.service_model.operation_names}
        yield from (f"{service}:{names[name]}" for name in vars(calls) if name in names)


def _knobs() -> set[str]:
    account = set(inspect.signature(EmbeddedAccount).parameters) - OF_THE_PLAY
    fleet = set(inspect.signature(EmbeddedAccount.open_fleet).parameters) - {"self"}
    return account | fleet | {field.name for field in dataclasses.fields(Unconfirmed)}


CODE = sorted({*_changes_moto(), *_answered()})


@pytest.mark.parametrize("name", CODE)
def test_every_behaviour_that_is_simulated_has_a_row(name: str) -> None:
    named = [row for row in ROWS if any(fnmatchcase(name, pattern) for pattern in row.get("code", []))]
    assert named, f"{name} has no row in rehearsal/fidelity.yaml"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["behaviour"][:40])
def test_a_row_is_about_something_that_exists(row: Mapping[str, Any]) -> None:
    assert row["sure"] in fidelity.SURE
    assert row["rests"]
    for pattern in row.get("code", []):
        assert any(fnmatchcase(name, pattern) for name in CODE), pattern
    assert row.get("knob", next(iter(_knobs()))) in _knobs()
    assert row.get("asks", next(iter(KNOWN["questions"]))) in KNOWN["questions"]
    # What AWS does not say, a knob or a question says of it.
    assert row["sure"] != "assumed" or {"knob", "asks"} & set(row), row["behaviour"]


def test_every_knob_stands_in_one_row() -> None:
    assert sorted(row["knob"] for row in ROWS if "knob" in row) == sorted(_knobs())


def test_a_row_has_the_dates_of_the_recordings_that_its_code_names() -> None:
    seen = 0
    for path in sorted((ROOT / "rehearsal" / "engine" / "repairs").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            told = (ast.get_docstring(node) or "") if isinstance(node, ast.FunctionDef) else ""
            dates = re.findall(r"recordings?\s+of\s+(\d{4}-\d\d-\d\d)", told)
            for row in ROWS if dates else ():
                if isinstance(node, ast.FunctionDef) and node.name in row.get("code", []):
                    seen += 1
                    assert row["sure"] in ("recorded", "answered"), node.name
                    first, last = min(dates), max(dates)
                    spans = re.findall(r"\d{4}-\d\d-\d\d", row["rests"])
                    assert min(spans) <= first and last <= max(spans), f"{node.name}: {dates}"
    assert seen


@pytest.mark.parametrize("page", list(fidelity.pages()), ids=lambda page: page.name)
def test_the_pages_are_as_they_are_written_from_what_is_known(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == fidelity.fill(text, KNOWN), "run make fidelity"


def test_every_question_says_why_it_matters_and_who_answers_it() -> None:
    for name, row in KNOWN["questions"].items():
        assert row["question"].endswith("?") and row["why"].endswith("."), name
        assert row["asked"] in fidelity.ASKED, name
        assert (row["asked"] == "document") <= ("answer" in row), f"{name}: what does the document say?"


def test_other_pages_lead_to_this_one() -> None:
    for page in ("README.md", "docs/code-map.md", "CONTRIBUTING.md"):
        assert "fidelity.md" in (ROOT / page).read_text(encoding="utf-8"), page


def _states(body: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Every state, and whether it is a Distributed Map."""
    for state in body["States"].values():
        yield state, state.get("ItemProcessor", {}).get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED"
        if "ItemProcessor" in state:
            yield from _states(state["ItemProcessor"])


def _is_expression(value: object) -> bool:
    return isinstance(value, str) and value.startswith("{%")


def _has_constant(values: Mapping[str, Any]) -> bool:
    return any(value in ({}, [], None, False) or isinstance(value, int) for value in values.values())


Look = Callable[[Mapping[str, Any], bool], object]
OF_A_STATE: Mapping[str, Look] = {
    "token-arguments": lambda s, _: s.get("Resource", "").endswith("lambda:invoke.waitForTaskToken"),
    "nested-arguments": lambda s, _: s.get("Resource", "").endswith("states:startExecution.sync:2"),
    "task-timeout": lambda s, _: isinstance(s.get("TimeoutSeconds"), int),
    "heartbeat": lambda s, _: isinstance(s.get("HeartbeatSeconds"), int),
    "backoff-fraction": lambda s, _: any(isinstance(one.get("BackoffRate"), float) for one in s.get("Retry", [])),
    "many-attempts": lambda s, _: any(one.get("MaxAttempts", 3) > 99 for one in s.get("Retry", [])),
    "catch-assign-output": lambda s, _: any({"Assign", "Output"} <= set(one) for one in s.get("Catch", [])),
    "catch-assign-constants": lambda s, _: any(_has_constant(one.get("Assign", {})) for one in s.get("Catch", [])),
    "fail-expressions": lambda s, _: s["Type"] == "Fail" and _is_expression(s["Error"]),
    "distributed-concurrency": lambda s, far: far and _is_expression(s.get("MaxConcurrency")),
    "tolerated-percentage": lambda s, _: isinstance(s.get("ToleratedFailurePercentage"), int),
    "distributed-selector": lambda s, far: far and "ItemSelector" in s,
    "distributed-items": lambda s, far: far and _is_expression(s.get("Items")),
    "map-catch-assign": lambda s, _: s["Type"] == "Map" and any("Assign" in one for one in s.get("Catch", [])),
    "map-assign": lambda s, _: s["Type"] == "Map" and "Assign" in s,
    "map-output": lambda s, _: s["Type"] == "Map" and "Output" in s,
    "output-of-others": lambda s, _: s["Type"] in ("Wait", "Pass", "Succeed") and "Output" in s,
    "delay-of-the-interval": lambda s, _: any(
        one.get("MaxDelaySeconds", 0) == one.get("IntervalSeconds", 1) for one in s.get("Retry", [])
    ),
}


def test_what_no_recording_proves_of_the_machines_stands_there_with_its_documentation() -> None:
    found = {"machine-timeout"} if all("TimeoutSeconds" in one.definition for one in machines()) else set()
    for machine in machines():
        for state, distributed in _states(machine.definition):
            found |= {name for name, look in OF_A_STATE.items() if look(state, distributed)}
    assert found == set(KNOWN["constructs"])
    for row in KNOWN["constructs"].values():
        assert row["documented"].startswith("https://docs.aws.amazon.com/step-functions/latest/dg/")


SMOKE = {
    "date": "2026-12-01T10:00:00Z",
    "region": "eu-west-1",
    "answers": {
        "entered-time": {"answer": "yes", "because": "three attempts told one time"},
        "image-visible": {"answer": None, "because": "no image was made"},
    },
}


def test_an_answer_of_a_real_account_is_taken_up_where_it_was_asked(tmp_path: Path) -> None:
    for name in (fidelity.KNOWN, *(page.relative_to(ROOT) for page in fidelity.pages())):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    smoke = tmp_path / "smoke.json"
    smoke.write_text(json.dumps(SMOKE))

    assert fidelity.main([str(smoke)], tmp_path) == 0

    known = fidelity.read_known(tmp_path)
    assert known["questions"]["entered-time"]["answer"] == "yes (2026-12-01, eu-west-1)"
    sure = {row["behaviour"]: row["sure"] for rows in known["behaviours"].values() for row in rows}
    before = {row["behaviour"]: row["sure"] for row in ROWS}
    changed = {name for name in sure if sure[name] != before[name]}
    assert {sure[name] for name in changed} == {"answered"}
    assert len(changed) == 1 and "EnteredTime" in changed.pop()
    # What is not answered stays open, and all else is as it was.
    assert set(fidelity.open_questions(known)) == set(fidelity.open_questions(KNOWN)) - {"entered-time"}
    assert "EnteredTime" not in (tmp_path / fidelity.LIST).read_text(encoding="utf-8")
    assert fidelity.take_up((tmp_path / fidelity.KNOWN).read_text(encoding="utf-8"), SMOKE) == (
        tmp_path / fidelity.KNOWN
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize("answers", [None, [], {"no-such": {"answer": "yes"}}, {"sizes-only": {}}])
def test_a_file_that_is_none_is_refused_and_changes_nothing(
    answers: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rehearsal").mkdir()
    (tmp_path / fidelity.KNOWN).write_text((ROOT / fidelity.KNOWN).read_text(encoding="utf-8"), encoding="utf-8")
    smoke = tmp_path / "smoke.json"
    smoke.write_text(json.dumps({"answers": answers}))
    assert fidelity.main([str(smoke)], tmp_path) == 1
    assert "cannot be taken up" in capsys.readouterr().err
    assert fidelity.read_known(tmp_path) == KNOWN
