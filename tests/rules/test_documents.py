from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from drydock.environment import Environment
from tests.rules.project import plain, resources

PROBED = {"bootId", "agentVersion", "cloudWatchAgentVersion", "pendingReboot"}
"""What both probes say."""

ACTIONS = {"aws:runShellScript": "Linux", "aws:runPowerShellScript": "Windows"}


def _documents() -> dict[str, dict[str, Any]]:
    """The contents of the stack's SSM documents, by name."""
    found = {
        plain(body["Properties"]["Name"]): body["Properties"]["Content"]
        for body in resources("AWS::SSM::Document").values()
    }
    assert found
    return found


def _platforms(content: dict[str, Any]) -> list[str]:
    return [step["precondition"]["StringEquals"][1] for step in content["mainSteps"]]


def _lines(content: dict[str, Any], platform: str) -> list[str]:
    (step,) = [step for step in content["mainSteps"] if step["precondition"]["StringEquals"][1] == platform]
    lines: list[str] = step["inputs"]["runCommand"]
    return lines


def test_every_step_is_for_one_platform_and_named_after_it() -> None:
    for name, content in _documents().items():
        assert content["schemaVersion"] == "2.2", name
        assert content["description"].endswith("."), name
        for step in content["mainSteps"]:
            platform = ACTIONS[step["action"]]
            assert step["precondition"] == {"StringEquals": ["platformType", platform]}, name
            assert step["name"].endswith(platform), name
            assert int(step["inputs"]["timeoutSeconds"]) > 0, name


def test_the_functions_find_the_documents_of_the_stack() -> None:
    environment = Environment(
        "drydock",
        "drydock-State",
        "logs",
        "arn:aws:sns:ap-northeast-1:123456789012:drydock-Results",
        "Asia/Tokyo",
        "ap-northeast-1",
    )
    assert set(_documents()) == {
        environment.probe_document,
        environment.reboot_document,
        environment.search_document,
    }


def test_windows_and_linux_can_be_probed_and_windows_update_is_searched_on_windows() -> None:
    documents = _documents()
    assert sorted(_platforms(documents["drydock-Probe"])) == ["Linux", "Windows"]
    assert _platforms(documents["drydock-SearchWindowsUpdates"]) == ["Windows"]


def test_both_probes_answer_with_the_same_keys() -> None:
    content = _documents()["drydock-Probe"]
    for platform in ("Linux", "Windows"):
        last = _lines(content, platform)[-1]
        for key in PROBED:
            assert key in last, platform


def test_the_probe_of_linux_prints_one_line_of_json() -> None:
    script = "\n".join(_lines(_documents()["drydock-Probe"], "Linux"))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, timeout=30)
    (line,) = done.stdout.splitlines()
    said = json.loads(line)
    assert set(said) == PROBED
    assert re.fullmatch(r"[0-9a-f-]{36}", said["bootId"])
    assert isinstance(said["pendingReboot"], bool)


def test_powershell_stops_at_the_first_error() -> None:
    for name, content in _documents().items():
        assert _lines(content, "Windows")[0] == "$ErrorActionPreference = 'Stop'", name


def test_parameters_cannot_smuggle_code_into_a_script() -> None:
    for name, content in _documents().items():
        for parameter, body in content.get("parameters", {}).items():
            pattern = body["allowedPattern"]
            assert pattern.startswith("^") and pattern.endswith("$"), f"{name}: {parameter}: not anchored"
            assert not re.search(pattern, "'; Remove-Item C:\\ #"), f"{name}: {parameter}"
            assert re.search(pattern, body.get("default", "4137")), f"{name}: {parameter}"
        used = set(re.findall(r"\{\{ *(\w+) *\}\}", json.dumps(content["mainSteps"])))
        assert used == set(content.get("parameters", {})), name
