from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.documents.windows import COMPONENTS, RECORD, UPDATES, WindowsMachine

PROBE, SEARCH, REBOOT = "drydock-Probe", "drydock-SearchWindowsUpdates", "drydock-Reboot"
COMMAND = "e8d3a1f0-6c2b-4d5e-9f70-1a2b3c4d5e6f"
SYSTEM_FILE = r"C:\Windows\System32\drivers\tcpip.sys"
NO_KB = "c0ffee00-0000-4000-8000-000000000000"
SECURITY, DRIVERS = "0fa1201d-4330-4fa8-8ae9-b877473b6441", "ebfc1fc5-71a4-4f7b-9aca-3b9a503104a0"


@pytest.fixture
def machine(tmp_path: Path) -> WindowsMachine:
    found = WindowsMachine(tmp_path)
    found.agent("SSM Agent version: 3.1.804.0\n")
    return found


def process(name: str, pid: int = 4711, age: float | None = 120, command_line: str = "") -> dict[str, Any]:
    return {"name": name, "id": pid, "age": age, "commandLine": command_line or name}


def update(
    kb: str | None, *, severity: str = "Critical", category: str = SECURITY, changed: str = "2026-01-01T00:00:00Z"
) -> dict[str, Any]:
    return {
        "KBArticleIDs": [] if kb is None else [kb],
        "MsrcSeverity": severity,
        "Categories": [{"CategoryID": category}],
        "LastDeploymentChangeTime": changed,
        "Identity": {"UpdateID": NO_KB},
    }


def test_windows_is_probed(machine: WindowsMachine) -> None:
    machine.file(r"Amazon\AmazonCloudWatchAgent\CWAGENT_VERSION", "1.300049.1b929\r\n")

    assert machine.answer(PROBE) == {
        "bootId": str(RECORD),
        "agentVersion": "3.1.804.0",
        "cloudWatchAgentVersion": "1.300049.1b929",
        "reboot": "not_needed",
        "rebootReasons": [],
        "bootsOldKernel": False,
        "installing": False,
        "installer": "",
    }


@pytest.mark.parametrize(
    ("world", "reason"),
    [
        ({"keys": [COMPONENTS]}, "registry: RebootPending"),
        ({"keys": [UPDATES]}, "registry: RebootRequired"),
        ({"values": {"UpdateExeVolatile": 1}}, "registry: UpdateExeVolatile"),
        (
            {
                "values": {
                    "PendingFileRenameOperations": [r"\??\C:\Temp\a.tmp", "", rf"\??\{SYSTEM_FILE}.new", SYSTEM_FILE]
                }
            },
            rf"file to be replaced: \??\{SYSTEM_FILE}.new",
        ),
    ],
    ids=["components", "windows-update", "hotfix", "system-file"],
)
def test_a_reboot_that_is_needed_stands_in_the_registry(
    machine: WindowsMachine, world: dict[str, Any], reason: str
) -> None:
    machine.world |= world

    said = machine.answer(PROBE)

    assert (said["reboot"], said["rebootReasons"]) == ("needed", [reason])


@pytest.mark.parametrize(
    "values",
    [
        {"UpdateExeVolatile": 0},
        {"PendingFileRenameOperations": [r"\??\C:\Windows\Temp\x.tmp", "", r"\??\C:\Program Files\Av\old.dll", ""]},
        {"PendingFileRenameOperations": [r"\??\C:\Windows\System32\spool\PRTPROCS\x64\1_a.dll", ""]},
    ],
    ids=["no-hotfix", "programs-clean-up", "spooler"],
)
def test_what_programs_leave_for_the_next_boot_needs_no_reboot(machine: WindowsMachine, values: dict[str, Any]) -> None:
    machine.world["values"] = values

    assert machine.answer(PROBE)["reboot"] == "not_needed"


def test_a_registry_that_does_not_tell_leaves_it_unknown(machine: WindowsMachine) -> None:
    machine.world["registryError"] = "Requested registry access is not allowed"

    assert machine.answer(PROBE)["reboot"] == "unknown"


def test_where_the_event_log_has_lost_the_start_the_time_of_the_boot_names_it(machine: WindowsMachine) -> None:
    machine.world["record"] = None

    assert machine.answer(PROBE)["bootId"] == "2026113001"


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("2026-11-30 10.0.0.1 WARN no metadata\r\nSSM Agent version: 3.3.2299.0\r\n", "3.3.2299.0"),
        ("flag provided but not defined: -version\r\nUsage of agent:\r\n", ""),
        ("", ""),
    ],
    ids=["log-before", "old-agent", "nothing"],
)
def test_the_version_is_read_out_of_whatever_the_agent_says(machine: WindowsMachine, said: str, version: str) -> None:
    machine.agent(said, code=int(not version))

    assert machine.answer(PROBE)["agentVersion"] == version


def test_a_missing_agent_program_has_no_version_and_the_answer_stands(tmp_path: Path) -> None:
    assert WindowsMachine(tmp_path).answer(PROBE)["agentVersion"] == ""


def test_a_busy_windows_update_installs(machine: WindowsMachine) -> None:
    machine.world["isBusy"] = True

    said = machine.answer(PROBE)

    assert (said["installing"], said["installer"]) == (True, "Windows Update installs")


def test_the_lock_of_windows_installer_is_seen(machine: WindowsMachine) -> None:
    machine.world["msiexec"] = True

    assert machine.answer(PROBE)["installing"] is True


def test_what_our_command_has_left_at_work_installs(machine: WindowsMachine) -> None:
    path = rf"C:\ProgramData\Amazon\SSM\InstanceData\i-1\document\orchestration\{COMMAND}\PatchWindows\_script.ps1"
    machine.world["processes"] = [
        process("System", 4, None, ""),
        process("powershell.exe", 98, 9000, f"powershell.exe -f {path}"),
    ]

    said = machine.answer(PROBE, CommandIds=f"00000000-0000-4000-8000-000000000007,{COMMAND}")

    assert said["installer"] == f"powershell.exe (98) works for command {COMMAND}"
    assert machine.answer(PROBE)["installing"] is False


@pytest.mark.parametrize("name", ["TiWorker.exe", "wusa.exe", "msiexec.exe", "DismHost.exe"])
def test_an_installer_installs_if_it_began_since_our_command(machine: WindowsMachine, name: str) -> None:
    machine.world["processes"] = [process(name)]

    assert machine.answer(PROBE, SecondsSince="300")["installer"] == f"{name} (4711) began in the last 300 seconds"
    assert machine.answer(PROBE, SecondsSince="60")["installing"] is False
    assert machine.answer(PROBE)["installing"] is False


def test_where_windows_update_does_not_answer_nothing_is_proved_and_the_rest_stands(machine: WindowsMachine) -> None:
    machine.world["comError"] = 'The service "wuauserv" is disabled'

    said = machine.answer(PROBE)

    assert said["installing"] is True
    assert said["installer"] == 'cannot be told: The service "wuauserv" is disabled'
    assert said["agentVersion"] == "3.1.804.0"


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["KB5034439", "KB5035857", "KB890830", NO_KB]),
        ({"SeverityLevels": "Critical"}, ["KB5034439", NO_KB]),
        ({"SeverityLevels": "Unspecified"}, ["KB890830"]),
        ({"Categories": "Drivers"}, ["KB5035857"]),
        ({"Categories": "Drivers,SecurityUpdates", "ExcludeKbs": "KB5034439,890830"}, ["KB5035857", NO_KB]),
        ({"IncludeKbs": "5034439"}, ["KB5034439"]),
        ({"PublishedDaysOld": "30", "IncludeKbs": "KB890830"}, []),
    ],
)
def test_windows_update_is_searched_with_the_filters(
    machine: WindowsMachine, filters: dict[str, str], found: list[str]
) -> None:
    machine.world["updates"] = [
        update("5034439"),
        update("5035857", severity="Important", category=DRIVERS),
        update("890830", severity="", changed="2999-01-01T00:00:00Z"),
        update(None),
    ]

    assert machine.answer(SEARCH, **filters) == {"missingCount": len(found), "missing": found}


def test_no_update_and_many_are_lists_too(machine: WindowsMachine) -> None:
    assert machine.answer(SEARCH) == {"missingCount": 0, "missing": []}
    machine.world["updates"] = [update(str(5_000_000 + number)) for number in range(45)]

    said = machine.answer(SEARCH)

    assert (said["missingCount"], len(said["missing"])) == (45, 40)


@pytest.mark.parametrize(
    ("boot", "is_busy", "code"),
    [(str(RECORD), False, 3010), (str(RECORD), True, 1), ("4000", False, 0)],
    ids=["asked", "installs", "another-boot"],
)
def test_a_reboot_is_asked_for_once_and_only_if_nothing_installs(
    machine: WindowsMachine, boot: str, is_busy: bool, code: int
) -> None:
    machine.world["isBusy"] = is_busy

    done = machine.run(REBOOT, BootId=boot)

    # Only the last eight bits of an exit code reach Linux.
    assert done.returncode == code % 256, done.stderr
