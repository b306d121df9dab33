from __future__ import annotations

import fcntl
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.documents.linux import (
    AGENT,
    BOOT_ID,
    BOOTED,
    DISTRIBUTIONS,
    DNF_REBOOT,
    KERNEL,
    NO_FLAG,
    REBOOT,
    SHELLS,
    UP,
    LinuxMachine,
    Tool,
)

COMMAND = "e8d3a1f0-6c2b-4d5e-9f70-1a2b3c4d5e6f"


@pytest.fixture(params=SHELLS)
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> LinuxMachine:
    """A machine with an agent, for each shell that may be its sh."""
    found = LinuxMachine(tmp_path, request.param)
    found.tool("amazon-ssm-agent", AGENT.output)
    return found


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("pending", [False, True], ids=["quiet", "reboot-pending"])
def test_every_distribution_is_probed(machine: LinuxMachine, name: str, pending: bool) -> None:
    DISTRIBUTIONS[name].put_on(machine, pending=pending)
    machine.file("/opt/aws/amazon-cloudwatch-agent/bin/CWAGENT_VERSION", "1.300049.1b929\n")

    said = machine.answer()
    reasons = said.pop("rebootReasons")

    assert said == {
        "bootId": BOOT_ID,
        "agentVersion": "3.3.1611.0",
        "cloudWatchAgentVersion": "1.300049.1b929",
        "reboot": "needed" if pending else DISTRIBUTIONS[name].quiet,
        "bootsOldKernel": False,
        "installing": False,
        "installer": "",
    }
    assert (DISTRIBUTIONS[name].says in reasons) is pending
    assert pending or bool(reasons) is (said["reboot"] == "unknown")


def test_a_machine_without_a_boot_id_does_not_answer(machine: LinuxMachine) -> None:
    (machine.root / "proc/sys/kernel/random/boot_id").unlink()

    done = machine.run()

    assert done.returncode != 0
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("SSM Agent version: 3.1.804.0\r\n", "3.1.804.0"),
        ("2026-11-30 10.0.0.1 WARN no metadata\nSSM Agent version: 3.3.2299.0\n", "3.3.2299.0"),
        ('SSM Agent version: "3.3.2299.0"\n', "3.3.2299.0"),
        ("SSM Agent version: unknown\n", ""),
        ("", ""),
    ],
    ids=["carriage-return", "log-before", "quoted", "no-number", "nothing"],
)
def test_the_version_is_read_out_of_whatever_the_agent_says(machine: LinuxMachine, said: str, version: str) -> None:
    machine.tool("amazon-ssm-agent", said)

    assert machine.answer()["agentVersion"] == version


@pytest.mark.parametrize(
    ("tools", "version"),
    [
        ({"rpm": Tool("2.3.1319.0\n")}, "2.3.1319.0"),
        ({"dpkg-query": Tool("2.3.1319.0-1\n")}, "2.3.1319.0"),
        ({"rpm": Tool("package amazon-ssm-agent is not installed\n", 1)}, ""),
        ({}, ""),
    ],
    ids=["rpm", "dpkg", "not-a-package", "no-package-manager"],
)
def test_the_package_tells_the_version_of_an_agent_that_does_not_know_the_flag(
    machine: LinuxMachine, tools: dict[str, Tool], version: str
) -> None:
    for name, tool in {"amazon-ssm-agent": NO_FLAG, **tools}.items():
        machine.tool(name, tool.output, tool.code)

    assert machine.answer()["agentVersion"] == version


@pytest.mark.parametrize(
    ("written", "version"),
    [('1.3"\\00\n', "1.300"), ("1.300057.3b1197\nbuilt yesterday\n", "1.300057.3b1197"), ("\n", ""), (None, "")],
    ids=["quotes", "two-lines", "empty", "no-cloudwatch-agent"],
)
def test_whatever_is_in_the_version_file_the_answer_stays_json(
    machine: LinuxMachine, written: str | None, version: str
) -> None:
    if written is not None:
        machine.file("/opt/aws/amazon-cloudwatch-agent/bin/CWAGENT_VERSION", written)

    assert machine.answer()["cloudWatchAgentVersion"] == version


@pytest.mark.parametrize(
    "tool",
    [
        Tool("Traceback (most recent call last):\nImportError: No module named yum\n", 1),
        Tool("No such command: needs-restarting. Please use /usr/bin/dnf --help\n", 1),
        Tool("Errors during downloading metadata for repository 'rhel'\n", 1),
        Tool("", 127),
        None,
    ],
    ids=["traceback", "no-plugin", "no-repository", "not-found", "no-tool"],
)
@pytest.mark.parametrize("installed", [BOOTED - 60, BOOTED + 60], ids=["before-the-boot", "since-the-boot"])
def test_where_no_tool_tells_the_packages_installed_since_the_boot_do(
    machine: LinuxMachine, tool: Tool | None, installed: int
) -> None:
    if tool is not None:
        machine.tool("needs-restarting", tool.output, tool.code)
    machine.tool("rpm", f"{BOOTED - 9000}\npackage kernel-rt is not installed\n{installed}\n", 1)

    assert machine.answer()["reboot"] == ("needed" if installed > BOOTED else "unknown")


def test_no_package_tool_is_asked_while_something_installs_because_it_would_wait(machine: LinuxMachine) -> None:
    DISTRIBUTIONS["rhel"].put_on(machine)
    machine.tool("needs-restarting", DNF_REBOOT.output, DNF_REBOOT.code)
    machine.process(4711, "dnf")
    machine.lock("/var/lib/rpm/.rpm.lock", 4711)

    said = machine.answer()

    assert (said["installing"], said["reboot"]) == (True, "unknown")
    assert machine.called == ["amazon-ssm-agent -version"]


def needs(machine: LinuxMachine) -> tuple[str, list[str]]:
    said = machine.answer()
    return said["reboot"], said["rebootReasons"]


@pytest.mark.parametrize(
    ("running", "newer", "others"),
    [
        ("6.1.94-99.176.amzn2023.x86_64", "6.1.102-108.177.amzn2023.x86_64", ["6.1.9-9.1.amzn2023.x86_64"]),
        ("6.1.94-99.176.amzn2023.x86_64", "", ["6.12.8-1.amzn2023.x86_64", "0-rescue-3b1f"]),
        ("5.14.0-362.8.1.el9_3.x86_64", "5.14.0-362.18.1.el9_3.x86_64", ["0-rescue-3b1f"]),
        ("5.14.0-362.8.1.el9_3.x86_64", "", ["5.14.0-427.el9.x86_64+rt", "5.15.0-200.131.27.el9uek.x86_64"]),
        ("5.15.0-200.131.27.el9uek.x86_64", "5.15.0-206.153.7.el9uek.x86_64", ["5.15.0-999.el9.x86_64"]),
        ("5.14.21-150500.55.7-default", "5.14.21-150500.55.49-default", ["5.14.21-150500.99.1-rt"]),
        ("6.8.0-1009-aws", "6.8.0-1012-aws", ["6.8.0-1020-generic"]),
        ("6.1.0-18-cloud-amd64", "", ["6.1.0-21-amd64"]),
    ],
)
def test_a_kernel_of_the_same_flavour_that_is_installed_and_newer_needs_a_reboot(
    machine: LinuxMachine, running: str, newer: str, others: list[str]
) -> None:
    DISTRIBUTIONS["rhel"].put_on(machine)
    machine.kernel(running, *others, *([newer] if newer else []))

    told = (["needed", [f"kernel {running} runs, {newer} is installed"]]) if newer else ["not_needed", []]

    assert [*needs(machine)] == told


def test_a_kernel_that_is_installed_and_does_not_boot_is_not_had_by_a_reboot(machine: LinuxMachine) -> None:
    DISTRIBUTIONS["rhel"].put_on(machine)
    old, new = "5.14.0-362.8.1.el9_3.x86_64", "5.14.0-362.18.1.el9_3.x86_64"
    machine.kernel(old, new)
    machine.tool("grubby", f"/boot/vmlinuz-{old}\n")

    assert needs(machine) == ("would_not_help", [f"kernel {new} is installed, but {old} is what boots"])

    machine.tool("grubby", f"/boot/vmlinuz-{new}\n")
    assert needs(machine) == ("needed", [f"kernel {old} runs, {new} is installed"])


def test_where_no_tool_tells_an_old_kernel_that_boots_again_is_seen_all_the_same(machine: LinuxMachine) -> None:
    machine.kernel("5.14.0-362.8.1.el9_3.x86_64", "5.14.0-362.18.1.el9_3.x86_64")
    machine.tool("grubby", "/boot/vmlinuz-5.14.0-362.8.1.el9_3.x86_64\n")

    said = machine.answer()

    assert (said["reboot"], said["bootsOldKernel"]) == ("unknown", True)


def test_a_link_names_what_boots_where_there_is_no_grubby(machine: LinuxMachine) -> None:
    DISTRIBUTIONS["suse"].put_on(machine)
    old, new = "5.14.21-150500.55.7-default", "5.14.21-150500.55.49-default"
    machine.kernel(old, new)
    (machine.root / "boot/vmlinuz").symlink_to(f"vmlinuz-{old}")

    assert needs(machine)[0] == "would_not_help"


def test_who_runs_a_newer_kernel_than_boots_next_runs_no_old_code(machine: LinuxMachine) -> None:
    DISTRIBUTIONS["rhel"].put_on(machine)
    old, new = "5.14.0-362.8.1.el9_3.x86_64", "5.14.0-362.18.1.el9_3.x86_64"
    machine.kernel(new, old)
    machine.tool("grubby", f"/boot/vmlinuz-{old}\n")

    assert needs(machine) == ("not_needed", [])


def test_a_live_patch_does_not_make_an_old_kernel_a_new_one(machine: LinuxMachine) -> None:
    DISTRIBUTIONS["amazon-linux-2023"].put_on(machine)
    newer = "6.1.102-108.177.amzn2023.x86_64"
    machine.kernel(KERNEL, newer)
    machine.file("/sys/kernel/livepatch/livepatch_6_1_94/enabled", "1\n")

    assert needs(machine) == ("needed", [f"kernel {KERNEL} runs, with live patches, {newer} is installed"])


def test_a_kernel_that_was_replaced_under_its_own_name_needs_a_reboot(machine: LinuxMachine) -> None:
    DISTRIBUTIONS["debian"].put_on(machine)
    machine.kernel("6.1.0-18-cloud-amd64", changed=BOOTED + 60)

    assert needs(machine) == ("needed", ["the file of kernel 6.1.0-18-cloud-amd64 was replaced since it booted"])


def test_without_a_kernel_to_compare_nothing_is_known(machine: LinuxMachine) -> None:
    DISTRIBUTIONS["rhel"].put_on(machine)
    machine.kernel(KERNEL)
    (machine.root / f"boot/vmlinuz-{KERNEL}").unlink()

    assert needs(machine)[0] == "unknown"


@pytest.mark.parametrize(
    ("mapped", "is_old"),
    [
        ("r-xp 00026000 fd:00 1234    /usr/lib64/libcrypto.so.3.0.8 (deleted)", True),
        ("r-xp 00000000 fd:00 77      /usr/sbin/sshd (deleted)", True),
        ("r-xp 00000000 fd:00 77      /opt/my app/bin/server (deleted)", True),
        ("r-xp 00026000 fd:00 1234    /usr/lib64/libcrypto.so.3.0.8", False),
        ("r--p 00026000 fd:00 1234    /usr/lib/locale/locale-archive (deleted)", False),
        ("r-xp 00000000 00:01 99      /memfd:libffi (deleted)", False),
        ("r-xp 00000000 fd:00 99      /tmp/jna123.tmp (deleted)", False),
        ("rwxs 00000000 00:05 99      /dev/zero (deleted)", False),
        ("rwxs 00000000 00:01 99      /SYSV00000000 (deleted)", False),
        ("r-xp 00000000 00:00 0       [vdso]", False),
    ],
)
def test_code_that_was_replaced_under_a_process_needs_a_reboot(
    machine: LinuxMachine, mapped: str, is_old: bool
) -> None:
    DISTRIBUTIONS["rhel"].put_on(machine)
    machine.process(812, "nginx", maps=["r-xp 00000000 fd:00 5 /usr/sbin/nginx", mapped])
    path = mapped.split(maxsplit=4)[-1].removesuffix(" (deleted)")

    assert needs(machine) == (("needed", [f"nginx (812) runs the old {path}"]) if is_old else ("not_needed", []))


def test_what_runs_in_a_container_is_not_the_machines(machine: LinuxMachine, tmp_path: Path) -> None:
    DISTRIBUTIONS["rhel"].put_on(machine)
    (tmp_path / "merged").mkdir()
    machine.process(
        812, "nginx", maps=["r-xp 00000000 00:2f 9 /usr/lib64/libssl.so.3 (deleted)"], root=tmp_path / "merged"
    )

    assert needs(machine) == ("not_needed", [])


def test_where_no_process_can_be_looked_into_nothing_is_known(machine: LinuxMachine) -> None:
    DISTRIBUTIONS["rhel"].put_on(machine)
    (machine.root / "proc/1/maps").unlink()

    assert needs(machine)[0] == "unknown"


def test_the_packages_that_want_a_reboot_are_named(machine: LinuxMachine) -> None:
    DISTRIBUTIONS["ubuntu-deb"].put_on(machine, pending=True)
    machine.file("/run/reboot-required.pkgs", "linux-image-6.8.0-1012-aws\nlibc6\n")

    assert needs(machine)[1] == ["reboot-required linux-image-6.8.0-1012-aws libc6"]


def test_many_old_processes_leave_the_answer_short(machine: LinuxMachine) -> None:
    DISTRIBUTIONS["rhel"].put_on(machine, pending=True)
    for pid in range(100, 130):
        machine.process(pid, "java", maps=[f"r-xp 0 fd:00 9 /opt/{'x' * 200}{pid}.so (deleted)"])

    need, reasons = needs(machine)

    assert need == "needed" and len(reasons) == 3
    assert all(len(reason) <= 120 for reason in reasons)


def test_a_reboot_is_asked_of_the_agent_once(machine: LinuxMachine) -> None:
    """https://docs.aws.amazon.com/systems-manager/latest/userguide/send-commands-reboot.html"""
    assert machine.run(REBOOT, BootId=BOOT_ID).returncode == 194
    assert machine.run(REBOOT, BootId=str(uuid.UUID(int=7))).returncode == 0

    (machine.root / "proc/sys/kernel/random/boot_id").unlink()
    assert machine.run(REBOOT, BootId=BOOT_ID).returncode == 1


@pytest.mark.parametrize("lock", ["/var/lib/dpkg/lock", "/var/lib/rpm/.rpm.lock"])
def test_nothing_is_rebooted_under_what_holds_a_lock(machine: LinuxMachine, lock: str) -> None:
    machine.process(4711, "apt-get")
    machine.lock(lock, 4711)

    done = machine.run(REBOOT, BootId=BOOT_ID)

    assert (done.returncode, done.stdout.replace(str(machine.root), "")) == (
        1,
        f"{lock} is held by process 4711: not rebooted\n",
    )


def test_nothing_is_rebooted_under_a_package_manager_that_names_itself(machine: LinuxMachine) -> None:
    machine.process(815, "yum", command_line="/usr/bin/python /bin/yum update")
    machine.file("/var/run/yum.pid", "815\n")

    assert machine.run(REBOOT, BootId=BOOT_ID).returncode == 1


@pytest.mark.parametrize(
    ("lock", "holder"),
    [
        ("/var/lib/dpkg/lock-frontend", "apt-get"),
        ("/var/lib/dpkg/lock", "dpkg"),
        ("/var/cache/apt/archives/lock", "unattended-upgr"),
        ("/var/lib/rpm/.rpm.lock", "rpm"),
        ("/usr/lib/sysimage/rpm/.rpm.lock", "zypp-rpm"),
    ],
)
def test_who_holds_a_lock_of_a_package_manager_installs(machine: LinuxMachine, lock: str, holder: str) -> None:
    machine.process(4711, holder)
    machine.lock(lock, 4711)

    said = machine.answer()

    assert (said["installing"], said["installer"]) == (True, f"{holder} (4711) holds {lock}")


def test_a_lock_that_nobody_holds_says_nothing(machine: LinuxMachine) -> None:
    machine.process(4711, "apt-get")
    machine.file("/var/lib/dpkg/lock-frontend", "")
    machine.file("/var/lib/rpm/.rpm.lock", "")

    assert machine.answer()["installing"] is False


@pytest.mark.parametrize(
    ("kind", "opens"),
    [("POSIX  ADVISORY  READ ", True), ("-> POSIX  ADVISORY  WRITE", True), ("POSIX  ADVISORY  WRITE", False)],
    ids=["only-reads", "waits-for-it", "other-file-system"],
)
def test_a_lock_is_held_by_who_writes_under_it(machine: LinuxMachine, kind: str, opens: bool) -> None:
    machine.process(4711, "dpkg")
    machine.lock("/var/lib/dpkg/lock", 4711, kind=kind, opens=opens)

    assert machine.answer()["installing"] is False


@pytest.mark.parametrize(
    ("lock", "name", "command_line"),
    [
        ("/var/run/yum.pid", "yum", "/usr/bin/python /bin/yum update"),
        ("/var/lib/dnf/rpmdb_lock.pid", "python3", "python3 main.py --operation install"),
        ("/var/cache/dnf/download_lock.pid", "dnf", "/usr/bin/python3 /usr/bin/dnf upgrade"),
        ("/run/zypp.pid", "Zypp-main", "zypper --non-interactive patch"),
        ("/run/zypp-rpm.pid", "zypp-rpm", "/usr/lib/zypp/zypp-rpm"),
    ],
)
def test_who_is_named_in_a_lock_of_a_package_manager_installs(
    machine: LinuxMachine, lock: str, name: str, command_line: str
) -> None:
    machine.process(815, name, command_line=command_line)
    machine.file(lock, "815\n")

    assert machine.answer()["installer"] == f"{name} (815) holds {lock}"


@pytest.mark.parametrize("written", ["4711\n", "815", "", "garbage\n", "-1\n"])
def test_a_lock_whose_process_is_gone_or_another_one_by_now_is_not_held(machine: LinuxMachine, written: str) -> None:
    machine.process(815, "sshd", command_line="/usr/sbin/sshd -D")
    machine.file("/var/lib/dnf/rpmdb_lock.pid", written)
    machine.file("/run/zypp.pid", written)

    assert machine.answer()["installing"] is False


def test_what_our_command_has_left_at_work_installs_whatever_it_is_called(machine: LinuxMachine) -> None:
    machine.process(99, "python3", environment={"SSM_COMMAND_ID": COMMAND})

    said = machine.answer(CommandIds=f"{uuid.UUID(int=7)},{COMMAND}")

    assert said["installer"] == f"python3 (99) works for command {COMMAND}"
    assert machine.answer(CommandIds=str(uuid.UUID(int=7)))["installing"] is False
    assert machine.answer()["installing"] is False


def test_a_keeper_of_keys_that_our_command_has_left_behind_does_not_install(machine: LinuxMachine) -> None:
    machine.process(99, "gpg-agent", environment={"SSM_COMMAND_ID": COMMAND})

    assert machine.answer(CommandIds=COMMAND)["installing"] is False


def test_an_agent_that_does_not_name_the_command_in_the_environment_names_it_in_the_scripts_path(
    machine: LinuxMachine,
) -> None:
    path = f"/var/lib/amazon/ssm/i-1/document/orchestration/{COMMAND}/PatchLinux/_script.sh"
    machine.process(98, "sh", command_line=f"sh -c {path}")

    assert machine.answer(CommandIds=COMMAND)["installer"] == f"sh (98) works for command {COMMAND}"


@pytest.mark.parametrize("name", ["apt-get", "yum", "dnf", "zypper", "Zypp-main"])
def test_a_package_manager_installs_if_it_began_since_our_command(machine: LinuxMachine, name: str) -> None:
    machine.process(77, name, age=120)

    assert machine.answer(SecondsSince="300")["installer"] == f"{name} (77) began in the last 300 seconds"
    assert machine.answer(SecondsSince="60")["installing"] is False
    assert machine.answer()["installing"] is False


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("unattended-upgr", "S"),
        ("packagekitd", "S"),
        ("rpm", "R"),
        ("dpkg-query", "R"),
        ("apt-get", "Z"),
        ("apt.systemd.dai", "S"),
        ("not (apt-get) S", "S"),
    ],
)
def test_a_mere_name_does_not_install(machine: LinuxMachine, name: str, state: str) -> None:
    machine.process(77, name, age=10, state=state)

    assert machine.answer(SecondsSince=str(UP), CommandIds=COMMAND)["installing"] is False


def test_where_the_kernel_does_not_show_its_locks_nothing_is_proved(machine: LinuxMachine) -> None:
    (machine.root / "proc/locks").unlink()

    said = machine.answer()

    assert said["installing"] is True
    assert said["installer"].startswith("cannot be told")


def test_a_process_of_any_name_leaves_the_answer_json(machine: LinuxMachine) -> None:
    machine.process(13, 'a"b\\c)$(x)', environment={"SSM_COMMAND_ID": COMMAND})

    assert machine.answer(CommandIds=COMMAND)["installer"] == f"abc)(x) (13) works for command {COMMAND}"


@contextmanager
def at_work(program: Path, **environment: str) -> Iterator[int]:
    """A real process."""
    process = subprocess.Popen([program, "60"], env=environment)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def test_the_real_kernel_shows_its_locks_processes_and_environments_so(machine: LinuxMachine, tmp_path: Path) -> None:
    command = str(uuid.uuid4())
    sleep = shutil.which("sleep")
    assert sleep is not None
    copy = tmp_path / "zypper"
    # A file of its own: a link to busybox would be called by its argument.
    shutil.copy(Path(sleep).resolve(), copy)

    def installer(**parameters: str) -> str:
        return str(machine.answer(real=("proc",), **parameters)["installer"])

    assert installer(CommandIds=command) == ""
    with at_work(Path(sleep), SSM_COMMAND_ID=command) as pid:
        assert installer(CommandIds=command) == f"sleep ({pid}) works for command {command}"
    assert installer(CommandIds=command) == ""
    with at_work(copy) as pid:
        assert installer(SecondsSince="30") == f"zypper ({pid}) began in the last 30 seconds"
        assert installer() == ""
    with machine.file("/var/lib/dpkg/lock", "").open("w") as lock:
        assert installer() == ""
        fcntl.lockf(lock, fcntl.LOCK_EX)
        assert installer().endswith("holds /var/lib/dpkg/lock")
    assert installer() == ""
