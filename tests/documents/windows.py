"""A Windows for the stack's PowerShell scripts, under pwsh: functions and files in place of what only Windows has.

Functions come before cmdlets of the same name. Event log, CIM, COM objects and the registry are functions; programs and
files are those of a folder that stands for %ProgramFiles%; mutexes are .NET's own, under a name of the test's.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import uuid
from pathlib import Path
from typing import Any

from tests.documents.scripts import require, script

NEEDED = "DRYDOCK_NEEDS_PWSH"
"""Set where a missing pwsh is a mistake, as in the public continuous integration."""

RECORD = 4137
"""The record of the event log in which the operating system started."""
COMPONENTS = r"HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending"
UPDATES = r"HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired"
"""Keys that are there while a reboot is pending."""

_STAND_INS = r"""
$world = Get-Content -Raw '{world}' | ConvertFrom-Json
function Get-WinEvent {
  [CmdletBinding()] param($MaxEvents, $FilterHashtable)
  if ($world.record) { [pscustomobject]@{RecordId = $world.record} }
}
function Get-CimInstance {
  [CmdletBinding()] param([Parameter(Position = 0)] [string] $ClassName)
  if ($ClassName -eq 'Win32_OperatingSystem') {
    [pscustomobject]@{LastBootUpTime = [datetime]::new(2026, 11, 30, 1, 2, 3, [System.DateTimeKind]::Utc)}
  } elseif ($ClassName -eq 'Win32_Process') {
    foreach ($one in $world.processes) {
      $began = if ($null -eq $one.age) { $null } else { (Get-Date).AddSeconds(-$one.age) }
      [pscustomobject]@{
        Name = $one.name; ProcessId = $one.id; CommandLine = $one.commandLine; CreationDate = $began
      }
    }
  } else {
    throw "Invalid class $ClassName"
  }
}
function New-Object {
  [CmdletBinding()] param([string] $ComObject)
  if ($world.comError) { throw $world.comError }
  if ($ComObject -eq 'Microsoft.Update.Installer') { return [pscustomobject]@{IsBusy = [bool]$world.isBusy} }
  if ($ComObject -ne 'Microsoft.Update.Session') { throw "Class $ComObject is not registered" }
  $searcher = [pscustomobject]@{Found = [pscustomobject]@{Updates = @($world.updates)}}
  Add-Member -InputObject $searcher -MemberType ScriptMethod -Name Search -Value {
    param($criteria)
    if ($criteria -ne 'IsInstalled=0 and IsHidden=0') { throw "unexpected criteria $criteria" }
    $this.Found
  }
  $session = [pscustomobject]@{Searcher = $searcher}
  Add-Member -InputObject $session -MemberType ScriptMethod -Name CreateUpdateSearcher -Value { $this.Searcher }
  $session
}
function Test-Path {
  [CmdletBinding()] param([Parameter(Position = 0)] [string] $Path)
  if ($Path.StartsWith('HKLM:')) { $world.keys -contains $Path } else { [System.IO.File]::Exists($Path) }
}
function Get-ItemProperty {
  [CmdletBinding()] param([Parameter(Position = 0)] [string] $Path, [string] $Name)
  if ($world.registryError) { throw $world.registryError }
  $value = $world.values.$Name
  if ($null -eq $value) { Write-Error "Property $Name does not exist"; return }
  [pscustomobject]@{$Name = $value}
}
if ($world.msiexec) { $held = [System.Threading.Mutex]::new($true, 'Global\{mutex}') }
"""


class WindowsMachine:
    """A Windows that boots, is updated and installs as it is told."""

    def __init__(self, folder: Path) -> None:
        self._pwsh = require("pwsh", NEEDED)
        self._folder = folder
        self._programs = folder / "Program Files"
        self.world: dict[str, Any] = {
            "record": RECORD,
            "keys": [],
            "values": {},
            "processes": [],
            "updates": [],
        }

    def file(self, path: str, text: str) -> Path:
        """Write a file below %ProgramFiles%."""
        file = self._programs / path.replace("\\", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def agent(self, output: str, code: int = 0) -> None:
        """Install an SSM Agent that says this of its version."""
        file = self.file(
            r"Amazon\SSM\amazon-ssm-agent.exe", f"#!/bin/sh\nprintf %s {shlex.quote(output)}\nexit {code}\n"
        )
        file.chmod(0o755)

    def run(self, document: str, **parameters: str) -> subprocess.CompletedProcess[str]:
        """Run the part of a document that is for Windows."""
        world = self._folder / "world.json"
        world.write_text(json.dumps(self.world))
        mutex = f"drydock-{uuid.uuid4()}"
        text = script(document, "Windows", **parameters).replace("_MSIExecute'", f"{mutex}'")
        text = re.sub(
            r"\$env:ProgramFiles(\\[^\"]+)", lambda path: f"{self._programs}" + path[1].replace("\\", "/"), text
        )
        file = self._folder / "_script.ps1"
        file.write_text(_STAND_INS.replace("{world}", str(world)).replace("{mutex}", mutex) + text)
        return subprocess.run(
            [str(self._pwsh), "-NoLogo", "-NoProfile", "-NonInteractive", "-File", str(file)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def answer(self, document: str, **parameters: str) -> dict[str, Any]:
        """What it answers: one line of JSON, and nothing else."""
        done = self.run(document, **parameters)
        assert done.returncode == 0, done.stderr
        (line,) = done.stdout.splitlines()
        said: dict[str, Any] = json.loads(line)
        return said
