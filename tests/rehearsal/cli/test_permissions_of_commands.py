"""docs/security.md has the permissions that the commands need: what they call, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from botocore import xform_name

from tests.rehearsal.cli.at_the_desk import drydock
from tests.rules.project import ROOT
from tests.scenarios.run.scenario import QUICKLY, run_scenario

SECTION = re.search(
    r"^## What the command needs$(.*?)^## ", (ROOT / "docs" / "security.md").read_text(), re.DOTALL | re.MULTILINE
)
assert SECTION is not None
LOOK, START, CHECK, INIT = [
    {
        action
        for statement in json.loads(block)
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    for block in re.findall(r"```json\n(.*?)```", SECTION[1], re.DOTALL)
]
OF_EVERYBODY = {"sts:GetCallerIdentity"}
"""Nobody needs a permission for it, and none can take it away."""
SERVICES = {"stepfunctions": "states"}
OPERATIONS = {"lambda:Invoke": "lambda:InvokeFunction"}
WRITTEN = "\n".join(
    path.read_text()
    for folder in ("drydock_cli", "layers/drydock/drydock/aws")
    for path in (ROOT / folder).glob("*.py")
)


def actions(asked: list[str]) -> set[str]:
    named = {f"{SERVICES.get(one.split(':')[0], one.split(':')[0])}:{one.split(':')[1]}" for one in asked}
    return {OPERATIONS.get(one, one) for one in named} - OF_EVERYBODY


def test_each_command_calls_what_the_page_allows_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with run_scenario() as scene:
        scene.machines("web", 2)
        scene.run("web", QUICKLY, name="night-1")
        scene.approvers("ann")
        policy = json.dumps({"approval": {"required": True}, "maxConcurrency": 2})
        on_web = ("--target", "tag:Patch Group=web", "--minutes", "300", "--policy", policy)
        looks: dict[str, set[str]] = {}

        def ask(allowed: set[str], *arguments: str) -> None:
            shown = drydock(*arguments, sleep=lambda seconds: scene.run_for(2))
            assert shown.code in (0, 2, 4), shown.err
            called = actions(list(shown.asked))
            assert called <= allowed, arguments
            looks.setdefault(arguments[0], set()).update(called)

        ask(LOOK | START, "plan", *on_web)
        ask(LOOK | START, "run", *on_web, "--name", "night-2")
        scene.run_for(1)
        for arguments in (("list",), ("show", "night-1"), ("show", "waiting"), ("show", "web-1"), ("show", "latest")):
            ask(LOOK, *arguments)
        ask(LOOK, "history", "web-1")
        ask(LOOK, "watch", "night-2", "--once")
        ask(LOOK, "report", "night-1", "--json")
        ask(LOOK | START, "stop", "night")  # More than one begins so.
        ask(LOOK | START, "stop", "night-2")
        ask(LOOK | CHECK, "check", "--target", "tag:Patch Group=web")
        ask(INIT, "init", "--mail", "ops@example.com", "--yes")

    assert set().union(*(looks[verb] for verb in ("list", "show", "history", "watch", "report"))) == LOOK
    assert looks["run"] | looks["stop"] >= START


def test_nothing_is_allowed_that_no_command_calls() -> None:
    for action in LOOK | START | CHECK | INIT:
        operation = {after: before for before, after in OPERATIONS.items()}.get(action, action).split(":")[1]
        method = xform_name(operation)
        assert re.search(rf"[\"'.]{method}\b", WRITTEN), action
