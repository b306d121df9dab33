"""The simulated machines answer the stack's documents as the documents' own scripts do."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from rehearsal.account import EmbeddedAccount
from rehearsal.world.fleet import Fleet
from rehearsal.world.machines import Machine, MachineSpec
from rehearsal.world.patch_states import Patch
from rehearsal.world.software import Software
from rehearsal.world.ssm_documents import CommandDocument, check_parameters, read_account_document
from tests.documents.linux import DISTRIBUTIONS, DNF_QUIET, PROBE, LinuxMachine
from tests.documents.scripts import Platform, documents, script
from tests.documents.windows import WindowsMachine

SEARCH = "drydock-SearchWindowsUpdates"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
COMMAND = "e8d3a1f0-6c2b-4d5e-9f70-1a2b3c4d5e6f"

FORMATS: Mapping[Platform, Mapping[str, str]] = {
    "Linux": {
        "bootId": UUID,
        "agentVersion": r"\d+(\.\d+){3}",
        "cloudWatchAgentVersion": r"|\d+\.\d+\.\w+",
        "reboot": "needed|unknown|would_not_help|not_needed",
        "rebootReasons": r"\[('[\w ,.:()/+-]{1,120}'(, )?){0,5}\]",
        "bootsOldKernel": "True|False",
        "installing": "True|False",
        "installer": rf"|\S+ \(\d+\) (holds /[\w./-]+|works for command {UUID})",
    },
    "Windows": {
        "bootId": r"\d+",
        "agentVersion": r"\d+(\.\d+){3}",
        "cloudWatchAgentVersion": r"|\d+\.\d+\.\w+",
        "reboot": "needed|unknown|would_not_help|not_needed",
        "rebootReasons": r"\[('[\w ,.:()/+-]{1,120}'(, )?){0,5}\]",
        "bootsOldKernel": "True|False",
        "installing": "True|False",
        "installer": rf"|Windows Update installs|\S+ \(\d+\) works for command {UUID}",
    },
}
"""What each value of the probe's answer looks like."""


class Job:
    """A command at work on a simulated machine."""

    document = "AWS-RunPatchBaseline"

    def __init__(self, command_id: str, *, installs: bool) -> None:
        self.command_id = command_id
        self.installs = installs

    def interrupt(self) -> None:
        raise NotImplementedError


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with EmbeddedAccount(seed=0) as account, account.open_fleet() as opened:
        yield opened


def simulated(fleet: Fleet, platform: Platform, **spec: Any) -> Machine:
    return fleet.machine(fleet.add(MachineSpec(name=f"m-{len(fleet.machines)}", platform=platform, **spec)))


def say(machine: Machine, name: str, **parameters: str) -> str:
    """What a simulated machine prints for a document of the stack."""
    document: CommandDocument = read_account_document(name, documents()[name], "123456789012", "Command")
    values = check_parameters(document, {key: [value] for key, value in parameters.items()})
    behaviour = document.run(machine, values, "")
    try:
        while True:
            next(behaviour)
    except StopIteration as stop:
        output: str = stop.value.output
        return output


def answers(fleet: Fleet, platform: Platform) -> list[str]:
    """What the simulated probe prints: nothing special, a pending reboot, an installation, another command at work."""
    quiet = simulated(fleet, platform, cloudwatch_agent_version="")
    pending = simulated(fleet, platform, pending_reboot=True)
    installing = simulated(fleet, platform)
    installing.jobs.append(Job(COMMAND, installs=True))
    working = simulated(fleet, platform)
    working.jobs.append(Job(COMMAND, installs=False))
    machines = (quiet, pending, installing, working)
    return [say(machine, PROBE, CommandIds=COMMAND, SecondsSince="60") for machine in machines]


def check_shape(platform: Platform, line: str) -> dict[str, Any]:
    assert line.endswith("}\n") and line.count("\n") == 1
    said: dict[str, Any] = json.loads(line)
    assert json.dumps(said, separators=(",", ":")) + "\n" == line, "compact, in the keys' order"
    assert list(said) == list(FORMATS[platform])
    for key, value in said.items():
        assert re.fullmatch(FORMATS[platform][key], str(value), re.ASCII), (key, value)
        assert isinstance(value, {"installing": bool, "bootsOldKernel": bool, "rebootReasons": list}.get(key, str)), (
            key,
            value,
        )
    assert said["installing"] is bool(said["installer"])
    return said


@pytest.mark.parametrize("platform", FORMATS)
def test_the_simulated_probe_tells_what_the_machine_really_does(fleet: Fleet, platform: Platform) -> None:
    quiet, pending, installing, working = (check_shape(platform, line) for line in answers(fleet, platform))

    assert (quiet["reboot"], quiet["installing"], quiet["cloudWatchAgentVersion"]) == ("not_needed", False, "")
    assert (pending["reboot"], pending["installing"]) == ("needed", False)
    assert installing["installing"] and COMMAND not in installing["installer"]
    assert COMMAND in working["installer"]


def test_the_script_for_linux_prints_in_the_same_shape(tmp_path: Path) -> None:
    for number, name in enumerate(DISTRIBUTIONS):
        machine = LinuxMachine(tmp_path / str(number), "sh")
        DISTRIBUTIONS[name].put_on(machine, pending=bool(number % 2))
        machine.process(4711, "dnf", environment={"SSM_COMMAND_ID": COMMAND})
        check_shape("Linux", machine.run().stdout)
        check_shape("Linux", machine.run(CommandIds=COMMAND).stdout)
        machine.lock("/var/lib/rpm/.rpm.lock", 4711)
        check_shape("Linux", machine.run().stdout.replace(str(machine.root), ""))


@pytest.mark.parametrize("seed", range(40))
def test_the_script_for_linux_finds_of_the_same_software_what_the_simulated_machine_says(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    software = Software(boots_old_kernel=chance.random() < 0.4)
    names = chance.sample(("kernel", "openssl", "glibc", "tzdata"), chance.randrange(4))
    software.install(Patch(name, "Linux", "Critical", "SecurityUpdates", date(2026, 1, 1)) for name in names)
    tool = chance.random() < 0.7
    machine = LinuxMachine(tmp_path, "sh")
    machine.tool("rpm")
    if tool:
        machine.tool("needs-restarting", DNF_QUIET.output)
    old, new = (f"6.1.{number}-1.amzn2023.x86_64" for number in (100, 101))
    has_new = "kernel" in software.old
    machine.kernel(old, *([new] if has_new else []))
    machine.tool("grubby", f"/boot/vmlinuz-{new if has_new and not software.boots_old_kernel else old}\n")
    libraries = [name for name in software.old if name != "kernel"]
    machine.process(812, "nginx", maps=[f"r-xp 0 fd:00 9 /usr/lib64/lib{name}.so (deleted)" for name in libraries])

    need, reasons = software.look(tool=tool)
    said = machine.answer()

    assert said["reboot"] == need
    assert {one for one in reasons if "kernel" in one} <= set(said["rebootReasons"])


def test_the_script_for_windows_prints_in_the_same_shape(tmp_path: Path) -> None:
    machine = WindowsMachine(tmp_path)
    machine.agent("SSM Agent version: 3.3.1611.0\n")
    check_shape("Windows", machine.run(PROBE).stdout)
    machine.world["processes"] = [{"name": "powershell.exe", "id": 98, "age": 9, "commandLine": f"-f {COMMAND}.ps1"}]
    check_shape("Windows", machine.run(PROBE, CommandIds=COMMAND).stdout)
    machine.world["isBusy"] = True
    check_shape("Windows", machine.run(PROBE).stdout)


def test_without_pwsh_too_the_script_for_windows_is_seen_to_print_these_keys() -> None:
    answer = script(PROBE, "Windows").rstrip().splitlines()[-1]

    assert re.findall(r"(\w+) = ", answer) == list(FORMATS["Windows"])
    assert answer.endswith("| ConvertTo-Json -Compress")


def test_the_simulated_search_prints_what_the_script_prints(fleet: Fleet) -> None:
    machine = simulated(fleet, "Windows", missing=("KB5034439", "KB5035857"))

    line = say(machine, SEARCH)

    assert line == '{"missingCount":2,"missing":["KB5034439","KB5035857"]}\n'
    last = script(SEARCH, "Windows").rstrip().splitlines()[-1]
    assert re.findall(r"(\w+) = ", last) == list(json.loads(line))
