from __future__ import annotations

import json
import re

import pytest

from drydock.environment import Environment
from tests.documents.scripts import documents, platforms, script

ACTIONS = {"aws:runShellScript": "Linux", "aws:runPowerShellScript": "Windows"}
PARAMETERS = {"drydock-Reboot": {"BootId": "4137"}}
"""What has to be given to a document."""

KNOWN_CMDLETS = {
    # Microsoft.PowerShell.Core, Management, Utility, Diagnostics and CimCmdlets of Windows PowerShell 5.1:
    # https://learn.microsoft.com/powershell/module/?view=powershell-5.1
    "ConvertTo-Json",
    "ForEach-Object",
    "Get-CimInstance",
    "Get-Content",
    "Get-Date",
    "Get-ItemProperty",
    "Get-WinEvent",
    "New-Object",
    "Select-Object",
    "Split-Path",
    "Test-Path",
    "Where-Object",
}
NEWER_THAN_5_1 = {
    # https://learn.microsoft.com/powershell/scripting/whats-new/differences-from-windows-powershell
    "pipeline chain operators": r"&&|\|\|",
    "null-coalescing operators": r"\?\?",
    "null-conditional operators": r"\$\{\w+\}\?[.\[]",
    "the ternary operator, or Where-Object in short": r"\s\?\s",
    "the background operator": r"&\s*$",
    "parallel ForEach-Object": r"-Parallel\b",
    "hashtables from JSON": r"-AsHashtable\b",
    "bytes as a stream": r"-AsByteStream\b",
    "the clean block": r"\bclean\s*\{",
    "variables of PowerShell 6 and 7": r"\$(?:Is(?:Windows|Linux|MacOS|CoreCLR)|PSStyle|PSNativeCommand\w+)\b",
    # Under ErrorActionPreference Stop, 5.1 makes an error of every line that a program writes there.
    "a redirected standard error of a program": r"2>",
}

BOOT = re.compile(r"^(\$started = .*\n\$boot = .*)$", re.MULTILINE)


def windows_scripts() -> dict[str, str]:
    """The PowerShell scripts of the documents, by the document's name."""
    return {
        name: script(name, "Windows", **PARAMETERS.get(name, {}))
        for name, content in documents().items()
        if "Windows" in platforms(content)
    }


def code_of(text: str) -> str:
    """A PowerShell script without its comments and the texts that nothing is put into."""
    return re.sub(r"(?m)^\s*#.*$|'[^']*'", "", text)


def test_every_step_is_for_one_platform_and_named_after_it() -> None:
    for name, content in documents().items():
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
    assert set(documents()) == {
        environment.probe_document,
        environment.reboot_document,
        environment.search_document,
    }


def test_windows_and_linux_can_be_probed_and_windows_update_is_searched_on_windows() -> None:
    assert sorted(platforms(documents()["drydock-Probe"])) == ["Linux", "Windows"]
    assert platforms(documents()["drydock-SearchWindowsUpdates"]) == ["Windows"]


def test_powershell_stops_at_the_first_error() -> None:
    for name, text in windows_scripts().items():
        first = next(line for line in text.splitlines() if not line.startswith("#"))
        assert first == "$ErrorActionPreference = 'Stop'", name


def test_powershell_keeps_to_what_windows_powershell_5_1_knows() -> None:
    for name, text in windows_scripts().items():
        code = code_of(text)
        own = set(re.findall(r"function (\w+-\w+)", code))
        assert set(re.findall(r"(?<![\w-])[A-Z][a-z]+-[A-Z]\w+", code)) <= KNOWN_CMDLETS | own, name
        for what, pattern in NEWER_THAN_5_1.items():
            assert not re.search(pattern, code, re.MULTILINE), f"{name}: {what}"
        # Without a mark of its encoding, 5.1 reads a script in the machine's code page.
        assert text.isascii(), name


@pytest.mark.parametrize(
    "line",
    [
        "$a = $b ? 1 : 2",
        "$a = $b ?? 2",
        "$a ??= 2",
        "Get-Date && Get-Date",
        "Get-Date || exit 1",
        "${a}?.Length",
        "$a | ForEach-Object -Parallel { $_ }",
        "Start-Job &",
        "if ($IsWindows) { }",
        '& "$env:ProgramFiles\\x.exe" 2>$null',
    ],
)
def test_the_rule_knows_what_windows_powershell_5_1_does_not(line: str) -> None:
    assert any(re.search(pattern, code_of(line), re.MULTILINE) for pattern in NEWER_THAN_5_1.values())


def test_a_reboot_is_for_the_boot_that_the_probe_names() -> None:
    scripts = windows_scripts()
    (probed,) = BOOT.findall(scripts["drydock-Probe"])
    assert BOOT.findall(scripts["drydock-Reboot"]) == [probed]


def test_parameters_cannot_smuggle_code_into_a_script() -> None:
    for name, content in documents().items():
        for parameter, body in content.get("parameters", {}).items():
            pattern = body["allowedPattern"]
            assert pattern.startswith("^") and pattern.endswith("$"), f"{name}: {parameter}: not anchored"
            assert not re.search(pattern, "'; Remove-Item C:\\ #"), f"{name}: {parameter}"
            assert not re.search(pattern, "$(reboot)"), f"{name}: {parameter}"
            assert re.search(pattern, body.get("default", "4137")), f"{name}: {parameter}"
        used = set(re.findall(r"\{\{ *(\w+) *\}\}", json.dumps(content["mainSteps"])))
        assert used == set(content.get("parameters", {})), name
