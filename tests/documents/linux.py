"""A Linux machine for the probe: a folder that stands for /, and tools that answer what they are told to answer."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.documents.scripts import require, script

SHELLS: Mapping[str, tuple[str, ...]] = {
    "sh": ("sh",),
    "dash": ("dash",),
    # Amazon Linux, RHEL and SUSE: sh is bash in this mode.
    "bash": ("bash", "--posix"),
    "busybox": ("busybox", "sh"),
}
BOOT_ID = "5b1c7b0e-0f5e-4b53-8f0e-0a4d1f3c2b1a"
PROBE, REBOOT = "drydock-Probe", "drydock-Reboot"
KERNEL = "6.1.94-99.176.amzn2023.x86_64"
BOOTED = 1_764_000_000
"""When the machine booted, in epoch seconds."""
UP = 5000
"""Seconds since then."""

NEEDED = "DRYDOCK_NEEDS_BUSYBOX"
"""Set where a missing shell is a mistake, as in continuous integration."""

_TOOLS = ("awk", "cat", "cut", "grep", "head", "ls", "readlink", "sort", "tail", "timeout", "tr")
"""What the probe may take for granted: POSIX, readlink and timeout."""
_ROOTS = ("boot", "opt", "proc", "run", "snap", "sys", "usr", "var")
_PATH = re.compile(r"(?<![\w$.}])/([a-z]+)(?=/)")


class LinuxMachine:
    """A machine whose /proc, /run, /var, /snap, /opt and /usr are a folder. Nothing of the real one is looked at."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.root = folder / "root"
        self.calls = folder / "calls"
        self._folder = folder
        self._bin = folder / "bin"
        self._bin.mkdir(parents=True)
        command = SHELLS[shell]
        self._shell = (str(require(command[0], NEEDED)), *command[1:])
        for name in _TOOLS:
            found = self._shell[0] if shell == "busybox" else str(require(name, NEEDED))
            (self._bin / name).symlink_to(found)
        self.file("/proc/sys/kernel/random/boot_id", f"{BOOT_ID}\n")
        self.file("/proc/locks", "")
        self.file("/proc/uptime", f"{UP}.37 9000.10\n")
        self.file("/proc/stat", f"cpu  1 2 3 4\nbtime {BOOTED}\nprocesses 9\n")
        self.kernel(KERNEL)
        # The parent of the probe, as on any machine.
        self.process(1, "systemd")

    def file(self, path: str, text: str) -> Path:
        """Write a file of the machine."""
        file = self.root / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def tool(self, name: str, output: str = "", code: int = 0, *, path: str = "") -> None:
        """Put a tool on the PATH, or at a path, that prints `output` and ends with `code`, whatever it is asked."""
        file = self.file(path, "") if path else self._bin / name
        calls, said = shlex.quote(str(self.calls)), shlex.quote(output)
        file.write_text(f'#!/bin/sh\necho {name} "$@" >>{calls}\nprintf %s {said}\nexit {code}\n')
        file.chmod(0o755)

    def kernel(self, running: str, *installed: str, changed: int = BOOTED - 9000) -> None:
        """Let this kernel run. Besides its own file those of others are there; its own was written at `changed`."""
        self.file("/proc/sys/kernel/osrelease", f"{running}\n")
        for old in (self.root / "boot").glob("vmlinuz*"):
            old.unlink()
        for version in (running, *installed):
            self.file(f"/boot/vmlinuz-{version}", "")
        # No test can write the time at which a file was changed.
        self.tool("stat", f"{changed}\n")

    def process(
        self,
        pid: int,
        name: str,
        *,
        age: float = UP,
        state: str = "S",
        command_line: str = "",
        environment: Mapping[str, str] | None = None,
        maps: Sequence[str] = (),
        root: Path | None = None,
    ) -> None:
        """Let a process run that began `age` seconds ago. `maps` are what it runs; a container has its own `root`."""
        began = int((UP - age) * 100)
        # The state is field 3, the start field 22: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
        self.file(f"/proc/{pid}/stat", f"{pid} ({name}) {state} 1{' 0' * 17} {began} 4096 100\n")
        self.file(f"/proc/{pid}/comm", f"{name[:15]}\n")
        self.file(f"/proc/{pid}/cmdline", "\0".join([*(command_line or name).split(), ""]))
        pairs = {"PATH": "/usr/bin", **(environment or {})}
        self.file(f"/proc/{pid}/environ", "".join(f"{key}={value}\0" for key, value in pairs.items()))
        # https://man7.org/linux/man-pages/man5/proc_pid_maps.5.html
        lines = [f"7f3c{at:04x}0000-7f3c{at:04x}8000 {mapped}" for at, mapped in enumerate(maps)]
        self.file(f"/proc/{pid}/maps", "".join(f"{line}\n" for line in lines))
        (self.root / f"proc/{pid}/fd").mkdir(exist_ok=True)
        (self.root / f"proc/{pid}/root").symlink_to(root or self.root)

    def lock(self, path: str, pid: int, *, kind: str = "POSIX  ADVISORY  WRITE", opens: bool = True) -> None:
        """Let a process hold a lock on a file, as /proc/locks shows it. It need not be this file that it has open."""
        file = self.file(path, "")
        locks = self.root / "proc/locks"
        locks.write_text(locks.read_text() + f"1: {kind} {pid} fe:00:{file.stat().st_ino} 0 EOF\n")
        if opens:
            (self.root / f"proc/{pid}/fd/4").symlink_to(file)

    def run(
        self, document: str = PROBE, *, real: tuple[str, ...] = (), **parameters: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the probe as the agent does, with the real machine's folders where they are named."""
        text = script(document, "Linux", **parameters)
        assert set(_PATH.findall(text)) <= {"dev", *_ROOTS}, "the real machine would be looked at"
        text = _PATH.sub(lambda path: path[0] if path[1] in ("dev", *real) else f"{self.root}{path[0]}", text)
        file = self._folder / "_script.sh"
        file.write_text(text)
        return subprocess.run(
            [*self._shell, str(file)],
            env={"PATH": str(self._bin), "SSM_COMMAND_ID": "00000000-0000-4000-8000-000000000000"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def answer(self, *, real: tuple[str, ...] = (), **parameters: str) -> dict[str, Any]:
        """What the probe answers: one line of JSON, and nothing else."""
        done = self.run(real=real, **parameters)
        assert done.returncode == 0, done.stderr
        (line,) = done.stdout.splitlines()
        said: dict[str, Any] = json.loads(line.replace(str(self.root), ""))
        return said

    @property
    def called(self) -> list[str]:
        """What was asked of the tools that tell of packages and agents, in order."""
        calls = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [call for call in calls if not call.startswith("stat ")]


@dataclass(frozen=True)
class Tool:
    output: str = ""
    code: int = 0
    path: str = ""


AGENT = Tool("SSM Agent version: 3.3.1611.0\n")
NO_FLAG = Tool("flag provided but not defined: -version\nUsage of amazon-ssm-agent:\n", 2)
"""What an agent says that is older than the flag."""

_LINK = "https://access.redhat.com/solutions/27943"
# https://github.com/rpm-software-management/yum-utils/blob/master/needs-restarting.py
YUM_QUIET = Tool("No core libraries or services have been updated.\nReboot is probably not necessary.\n")
YUM_REBOOT = Tool(
    "Core libraries or services have been updated:\n  kernel -> 4.14.355-280.664.amzn2\n\n"
    f"Reboot is required to ensure that your system benefits from these updates.\n\nMore information:\n{_LINK}\n",
    1,
)
# https://github.com/rpm-software-management/dnf-plugins-core/blob/master/plugins/needs_restarting.py
DNF_QUIET = Tool(
    "No core libraries or services have been updated since boot-up.\nReboot should not be necessary.\n",
)
DNF_REBOOT = Tool(
    "Core libraries or services have been updated since boot-up:\n  * kernel\n\n"
    f"Reboot is required to fully utilize these updates.\nMore information: {_LINK}\n",
    1,
)
# https://github.com/openSUSE/zypper/blob/master/src/commands/needs-rebooting.cc; 102 is ZYPPER_EXIT_INF_REBOOT_NEEDED.
# https://github.com/liske/needrestart/blob/master/README.batch.md
NEEDRESTART_QUIET = Tool("NEEDRESTART-VER: 3.6\nNEEDRESTART-KCUR: 6.1.0-18-cloud-amd64\nNEEDRESTART-KSTA: 1\n")
NEEDRESTART_REBOOT = Tool("NEEDRESTART-VER: 3.6\nNEEDRESTART-KCUR: 6.1.0-18-cloud-amd64\nNEEDRESTART-KSTA: 2\n")
NEEDRESTART_LOST = Tool("NEEDRESTART-VER: 3.6\nNEEDRESTART-KSTA: 0\n")
NOTIFIER = Tool(path="/usr/share/update-notifier/notify-reboot-required")
"""Who writes Ubuntu's flag."""
ZYPPER_QUIET = Tool("No core libraries or services have been updated.\nReboot is probably not necessary.\n")
ZYPPER_REBOOT = Tool("Core libraries or services have been updated.\n", 102)


@dataclass(frozen=True)
class Distribution:
    """What the probe finds on a distribution, and how that says that a reboot is pending."""

    tools: Mapping[str, Tool]
    reboot: Mapping[str, Tool] = field(default_factory=dict)
    """Tools that answer otherwise then."""
    flag: str = ""
    """A file that is there then."""
    says: str = ""
    """What the answer gives as the reason then."""
    quiet: str = "not_needed"
    """The answer where nothing says that a reboot is needed."""

    def put_on(self, machine: LinuxMachine, *, pending: bool = False) -> None:
        for name, tool in {**self.tools, **(self.reboot if pending else {})}.items():
            machine.tool(name, tool.output, tool.code, path=tool.path)
        if pending and self.flag:
            machine.file(self.flag, "*** System restart required ***\n")


_RPM = Tool("3.3.1611.0\n")
_DEB = Tool("3.3.1611.0-1")
_FLAG = "reboot-required"
DISTRIBUTIONS: Mapping[str, Distribution] = {
    "amazon-linux-2": Distribution(
        {"amazon-ssm-agent": AGENT, "rpm": _RPM, "yum": Tool(), "needs-restarting": YUM_QUIET},
        {"needs-restarting": YUM_REBOOT},
        says="needs-restarting: kernel - 4.14.355-280.664.amzn2",
    ),
    # dnf has the plugin; the program of the same name is in dnf-utils, which is not installed.
    "amazon-linux-2023": Distribution(
        {"amazon-ssm-agent": AGENT, "rpm": _RPM, "dnf": DNF_QUIET},
        {"dnf": DNF_REBOOT},
        says="needs-restarting: kernel",
    ),
    "rhel": Distribution(
        {"amazon-ssm-agent": AGENT, "rpm": _RPM, "dnf": Tool(code=1), "needs-restarting": DNF_QUIET},
        {"needs-restarting": DNF_REBOOT},
        says="needs-restarting: kernel",
    ),
    # It takes no option for this: https://man.archlinux.org/man/dnf5-needs-restarting.8.en
    "dnf5": Distribution(
        {"amazon-ssm-agent": AGENT, "rpm": _RPM, "dnf": Tool(code=2), "dnf5": DNF_QUIET},
        {"dnf5": DNF_REBOOT},
        says="needs-restarting: kernel",
    ),
    "ubuntu-snap": Distribution(
        {
            "amazon-ssm-agent": Tool(AGENT.output, path="/snap/amazon-ssm-agent/current/amazon-ssm-agent"),
            "dpkg-query": Tool("dpkg-query: no packages found matching amazon-ssm-agent\n", 1),
            "notify-reboot-required": NOTIFIER,
        },
        flag="/var/run/reboot-required",
        says=_FLAG,
    ),
    # Of a kernel that a cloud builds, needrestart may know nothing.
    "ubuntu-deb": Distribution(
        {
            "amazon-ssm-agent": AGENT,
            "dpkg-query": _DEB,
            "needrestart": NEEDRESTART_LOST,
            "notify-reboot-required": NOTIFIER,
        },
        flag="/run/reboot-required",
        says=_FLAG,
    ),
    "debian": Distribution(
        {"amazon-ssm-agent": AGENT, "dpkg-query": _DEB, "needrestart": NEEDRESTART_QUIET},
        {"needrestart": NEEDRESTART_REBOOT},
        says="needrestart: another kernel is pending",
    ),
    # Nobody writes the flag here, so that none is there says nothing.
    "debian-bare": Distribution(
        {"amazon-ssm-agent": AGENT, "dpkg-query": _DEB},
        flag="/var/run/reboot-required",
        says=_FLAG,
        quiet="unknown",
    ),
    "suse": Distribution(
        {"amazon-ssm-agent": AGENT, "rpm": _RPM, "zypper": ZYPPER_QUIET},
        {"zypper": ZYPPER_REBOOT},
        says="zypper needs-rebooting",
    ),
    # Before zypper knew needs-rebooting.
    "suse-old": Distribution(
        {"amazon-ssm-agent": AGENT, "rpm": _RPM, "zypper": Tool("Unknown command 'needs-rebooting'\n", 2)},
        flag="/run/reboot-needed",
        says="reboot-needed",
        quiet="unknown",
    ),
    "without-packages": Distribution(
        {"amazon-ssm-agent": AGENT}, flag="/run/reboot-required", says=_FLAG, quiet="unknown"
    ),
}
