"""What Run Command documents do on a simulated machine.

The behaviour of a document is a generator: it yields what takes time (work, a reboot, or never ending) and
returns its outcome.

AWS-InstallWindowsUpdates prints what Amazon's AWSUpdateWindowsInstance module logs: a line
`Found N available Windows Updates.`, one for each filter, then one for each update,
`<title> - Published date: MM/DD/YYYY`. The prefix of a log line and the name of the step are not documented.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rehearsal.world.machines import InstallFailure, Machine
from rehearsal.world.patch_states import CATEGORIES, SEVERITIES, Patch, Platform, filter_windows_updates

PATCH_BASELINE_PAUSE = 120.0
"""Seconds that must lie between two runs of AWS-RunPatchBaseline on one machine."""


@dataclass(frozen=True)
class Work:
    """Work that takes some seconds."""

    seconds: float


@dataclass(frozen=True)
class Reboot:
    """A reboot by the agent; the document goes on when the agent is back."""


@dataclass(frozen=True)
class Forever:
    """Work that never ends, and that its agent does not end either."""


@dataclass(frozen=True)
class Outcome:
    """How a document ended: exit code 0 is success."""

    output: str
    code: int = 0
    error: str = ""
    """What it wrote to its error output."""


Step = Work | Reboot | Forever
Behaviour = Generator[Step, None, Outcome]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a document."""

    default: str | None = ""
    allowed: tuple[str, ...] = ()
    pattern: str = ""


@dataclass(frozen=True)
class CommandDocument:
    """A Command document: its steps by platform, its parameters and what it does."""

    name: str
    owner: str
    schema_version: str
    steps: Sequence[tuple[str, frozenset[Platform]]]
    parameters: Mapping[str, Parameter]
    run: Callable[[Machine, Mapping[str, str], str], Behaviour]
    """What it does on a machine, with its parameters and the comment of the command."""
    document_type: str = "Command"
    version: str = "1"
    default_version: str = "1"
    latest_version: str = "1"
    hash: str = ""
    """SHA-256 of its content, in hexadecimal digits."""

    @property
    def platforms(self) -> list[str]:
        """Return the platforms that the document can run on, as DescribeDocument lists them."""
        names = {platform for _, platforms in self.steps for platform in platforms}
        return (["Windows"] if "Windows" in names else []) + (["Linux", "MacOS"] if "Linux" in names else [])


def probe(machine: Machine, parameters: Mapping[str, str], comment: str) -> Behaviour:
    """Print boot id, versions of agents, need of a reboot and what installs as JSON, as the stack's document does."""
    yield Work(machine.spec.durations.command)
    if machine.goes_wrong("probe_garbage"):
        return Outcome("bash: line 7: uptime: command not found\n{bootId:")
    installer = _find_installer(machine, parameters)
    tells = not machine.goes_wrong("reboot_cannot_be_told")
    need, reasons = machine.software.look(tool=tells)
    return Outcome(
        _write_json(
            {
                "bootId": machine.boot_id,
                "agentVersion": machine.agent.version,
                "cloudWatchAgentVersion": machine.cloudwatch_agent_version,
                "reboot": need,
                "rebootReasons": reasons,
                "bootsOldKernel": machine.software.boots_old_kernel and "kernel" in machine.software.old,
                "installing": bool(installer),
                "installer": installer,
            }
        )
    )


def _find_installer(machine: Machine, parameters: Mapping[str, str]) -> str:
    """What is at work on the machine now that installs, whatever the status of its command says."""
    windows = machine.spec.platform == "Windows"
    for job in machine.jobs:
        if job.installs:
            return "Windows Update installs" if windows else f"dnf ({_INSTALLER_PID}) holds /var/lib/rpm/.rpm.lock"
    for job in machine.jobs:
        if job.command_id in parameters.get("CommandIds", "").split(","):
            name = "powershell.exe" if windows else "sh"
            return f"{name} ({_INSTALLER_PID}) works for command {job.command_id}"
    return ""


def _write_json(answer: Mapping[str, Any]) -> str:
    return json.dumps(answer, separators=(",", ":")) + "\n"


def run_patch_baseline(machine: Machine, parameters: Mapping[str, str], comment: str) -> Behaviour:
    """Scan or install by the patch baseline, as AWS-RunPatchBaseline does."""
    last = machine.last_patch_baseline
    too_soon = last is not None and machine.account.clock.time() - last < PATCH_BASELINE_PAUSE
    if machine.runs_patch_baseline or too_soon:
        yield Work(2)
        return _cannot_lock(machine)
    machine.runs_patch_baseline = True
    try:
        operation = _scan_baseline if parameters["Operation"] == "Scan" else _install_baseline
        return (yield from operation(machine, parameters))
    finally:
        machine.runs_patch_baseline = False
        machine.last_patch_baseline = machine.account.clock.time()


def _cannot_lock(machine: Machine) -> Outcome:
    """As "Troubleshooting Patch Manager" in the Systems Manager User Guide has it: exit code 4."""
    if machine.spec.platform == "Windows":
        lock, level = r"C:\ProgramData\Amazon\SSM\patch-baseline-concurrent.lock", ""
    else:
        lock, level = "/var/log/amazon/ssm/patch-baseline-concurrent.lock", "[ERROR]: "
    return Outcome(f"{level}Cannot acquire lock on {lock}. Another patching operation is in progress.\n", 4)


def _find_failure(machine: Machine, wanted: Sequence[Patch]) -> InstallFailure | None:
    """How the installation of these updates fails, if it does.

    The texts are those of "Troubleshooting Patch Manager" in the Systems Manager User Guide; the codes are from
    Microsoft's "Windows Update error codes by component" (0x80240016: "the system was pending a mandatory restart") and
    from Windows Installer (0x80070643: the installation failed).
    """
    windows = machine.spec.platform == "Windows"
    if windows and machine.pending_reboot and machine.goes_wrong("refuses_while_reboot_pending"):
        return _fail_on_windows(machine, wanted, "0x80240016")
    if machine.spec.install_failure is not None:
        return machine.spec.install_failure
    if not machine.goes_wrong("install_error"):
        return None
    if windows:
        return _fail_on_windows(machine, wanted, "0x80070643")
    needs = ", ".join(f"u'{patch.name}-2.0-1.x86_64 requires glibc >= 2.99'" for patch in wanted)
    at = f"{machine.patch_time:%m/%d/%Y %H:%M:%S}"
    return InstallFailure(1, f"{at} root [ERROR]: yum update failed with result code: 1, message: [{needs}]\n")


def _fail_on_windows(machine: Machine, wanted: Sequence[Patch], result: str) -> InstallFailure:
    log = _UpdateLog(machine)
    for patch in wanted:
        log.add(f"Installing {patch.title} resulted in error: Exception from HRESULT: {result}", "Error")
    error = f"Invoke-PatchBaselineOperation : Exception Details: Exception from HRESULT: {result}\n"
    return InstallFailure(-1, log.text, error)


def _scan_baseline(machine: Machine, parameters: Mapping[str, str]) -> Behaviour:
    operation = machine.begin_operation("Scan", parameters["SnapshotId"], parameters["RebootOption"])
    yield Work(machine.spec.durations.scan)
    if machine.goes_wrong("scan_fails"):
        return Outcome("Unable to load the patch snapshot.", 1)
    if not machine.goes_wrong("stale_patch_state"):
        machine.report_operation(operation)
    return Outcome(_describe_baseline_run(machine, parameters))


def _install_baseline(machine: Machine, parameters: Mapping[str, str]) -> Behaviour:
    option = parameters["RebootOption"]
    operation = machine.begin_operation("Install", parameters["SnapshotId"], option)
    wanted = list(machine.missing)
    if machine.goes_wrong("never_ends"):
        yield Forever()
    yield Work(machine.spec.durations.install if wanted else machine.spec.durations.scan)
    failure = _find_failure(machine, wanted)
    if failure is not None and wanted:
        machine.report_operation(operation, failed=wanted)
        return Outcome(failure.output, failure.exit_code, failure.error)
    machine.install(wanted)
    rebooted = option == "RebootIfNeeded" and machine.pending_reboot
    if rebooted:
        yield Reboot()
    yield Work(2)
    machine.report_operation(operation)
    output = _describe_baseline_run(machine, parameters)
    if rebooted and machine.goes_wrong("failed_after_reboot"):
        return Outcome(output + "Unable to upload the inventory: the security token has expired.\n", 1)
    return Outcome(output)


def _describe_baseline_run(machine: Machine, parameters: Mapping[str, str]) -> str:
    reboot = "required" if machine.pending_reboot else "not required"
    lines = [
        f"Patch Summary for {machine.instance_id}",
        f"Operation: {parameters['Operation']}",
        f"SnapshotId: {parameters['SnapshotId']}",
        f"RebootOption: {parameters['RebootOption']}",
        f"Installed: {len(machine.installed)}, pending reboot: {len(machine.pending)}",
        f"Reboot is {reboot}",
    ]
    return "\n".join(lines) + "\n"


def install_windows_updates(machine: Machine, parameters: Mapping[str, str], comment: str) -> Behaviour:
    """Search for updates by the filters and install them, as AWS-InstallWindowsUpdates does."""
    log = _UpdateLog(machine)
    scan = parameters["Action"] == "Scan"
    if scan and machine.goes_wrong("scan_fails"):
        yield Work(machine.spec.durations.scan)
        log.add("Searching for updates resulted in error: Exception from HRESULT: 0x80240438")
        return Outcome(log.text, -1)
    if not scan and machine.goes_wrong("never_ends"):
        yield Forever()
    yield Work(machine.spec.durations.scan if scan else machine.spec.durations.install)
    wanted = _search_updates(machine, parameters, log)
    if scan:
        return Outcome(log.text)
    failure = _find_failure(machine, wanted)
    if failure is not None and wanted:
        return Outcome(log.text + failure.output, failure.exit_code, failure.error)
    machine.install(wanted)
    for update in wanted:
        log.add(f"Installed: {update.title}")
    if wanted and parameters["AllowReboot"] == "True":
        log.add("Windows Updates were successfully installed. Rebooting.")
        yield Reboot()
        yield Work(machine.spec.durations.scan)
        _search_updates(machine, parameters, log)
        if machine.goes_wrong("failed_after_reboot"):
            log.add("Attempt to read state file resulted in error: the file is in use.")
            return Outcome(log.text, -1)
    return Outcome(log.text)


def reboot(machine: Machine, parameters: Mapping[str, str], comment: str) -> Behaviour:
    """Reboot once, unless something installs; the agent runs the document again afterwards, in another boot."""
    yield Work(machine.spec.durations.command)
    if machine.boot_id != parameters["BootId"]:
        return Outcome("")
    if machine.goes_wrong("refuses_to_reboot") or any(job.installs for job in machine.jobs):
        return Outcome("/var/lib/dpkg/lock is held by process 4711: not rebooted\n", 1)
    yield Reboot()
    yield Work(machine.spec.durations.command)
    return Outcome("")


def _search_updates(machine: Machine, parameters: Mapping[str, str], log: _UpdateLog) -> list[Patch]:
    log.add("Searching for Windows Updates.")
    log.add(f"Found {len(machine.missing)} available Windows Updates.")
    chosen = filter_windows_updates(machine.missing, parameters, machine.patch_time.date())
    if machine.missing:
        for name, words in (
            ("SeverityLevels", "Severity"),
            ("IncludeKbs", "IncludeKbs"),
            ("ExcludeKbs", "ExcludeKbs"),
            ("PublishedDaysOld", "PublishedDaysOld"),
        ):
            if parameters.get(name):
                one = {name: parameters[name]}
                some = filter_windows_updates(machine.missing, one, machine.patch_time.date())
                log.add(f"Filtering on {words}. (Post-Search)")
                log.add(f"There are {len(some)} Windows Updates after filtering on {words}.")
    for update in chosen:
        log.add(f"{update.title} - Published date: {update.published:%m/%d/%Y}")
    return chosen


class _UpdateLog:
    def __init__(self, machine: Machine) -> None:
        self.text = ""
        self._machine = machine

    def add(self, message: str, level: str = "Info") -> None:
        self.text += f"{self._machine.patch_time:%m/%d/%Y %H:%M:%S} UTC | {level} | {message}\n"


def update_agent(machine: Machine, parameters: Mapping[str, str], comment: str) -> Behaviour:
    """Bring the agent to the newest version, as AWS-UpdateSSMAgent does. What it takes meanwhile is lost."""
    before, wanted = machine.agent.version, parameters["version"] or NEWEST_AGENT
    log = f"Updating amazon-ssm-agent from {before} to {parameters['version'] or 'latest'}\n"
    if machine.goes_wrong("never_ends"):
        yield Forever()
    yield Work(machine.spec.durations.command)
    if _update_goes_wrong(machine, "agent_update_fails", "AmazonSSMAgent"):
        return Outcome(log + "failed to download the manifest\n", 1)
    if _read_version(wanted) < _read_version(before) and parameters["allowDowngrade"] != "true":
        return Outcome(log + f"please enable allow downgrade to proceed from {before} to {wanted}\n", 1)
    if wanted == before:
        return Outcome(log + f"amazon-ssm-agent {before} has already been installed, update skipped\n")
    machine.agent.updates_itself = True
    try:
        yield Work(_AGENT_UPDATE_SECONDS)
    finally:
        machine.agent.updates_itself = False
    machine.agent.version = wanted
    machine.restart_agent()
    if _update_goes_wrong(machine, "agent_update_reports_failure", "AmazonSSMAgent"):
        return Outcome(log + "failed to verify the installation\n", 1)
    return Outcome(log + f"amazon-ssm-agent updated successfully to {wanted}\n")


def configure_package(machine: Machine, parameters: Mapping[str, str], comment: str) -> Behaviour:
    """Bring the CloudWatch Agent to the newest version, as AWS-ConfigureAWSPackage does."""
    name, wanted = parameters["name"], parameters["version"] or NEWEST_CLOUDWATCH_AGENT
    if machine.goes_wrong("never_ends"):
        yield Forever()
    yield Work(machine.spec.durations.command)
    if name != "AmazonCloudWatchAgent" or parameters["action"] != "Install":
        return Outcome(f"failed to find {name}: the rehearsal only installs AmazonCloudWatchAgent\n", 1)
    if _update_goes_wrong(machine, "agent_update_fails", name):
        return Outcome(f"failed to download installation package reliably: {name}\n", 1)
    if machine.cloudwatch_agent_version == wanted:
        return Outcome(f"{name} {wanted} is already installed\n")
    if parameters["installationType"] == "Uninstall and reinstall":
        machine.cloudwatch_agent_version = ""
    yield Work(_AGENT_UPDATE_SECONDS)
    machine.cloudwatch_agent_version = wanted
    if _update_goes_wrong(machine, "agent_update_reports_failure", name):
        return Outcome(f"failed to validate the installation of {name} {wanted}\n", 1)
    return Outcome(f"Successfully installed {name} {wanted}\n")


def _update_goes_wrong(machine: Machine, wrong: str, agent: str) -> bool:
    return machine.goes_wrong(wrong) or machine.goes_wrong(f"{wrong}:{agent}")


def _read_version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split("."))


def search_windows_updates(machine: Machine, parameters: Mapping[str, str], comment: str) -> Behaviour:
    """Print the updates that pass the filters, and their number, as JSON."""
    yield Work(machine.spec.durations.scan)
    if machine.goes_wrong("scan_fails"):
        return Outcome("Exception from HRESULT: 0x80240438\n", 1)
    if machine.goes_wrong("stale_patch_state"):
        return Outcome("")
    missing = filter_windows_updates(machine.missing, parameters, machine.patch_time.date())
    names = [update.name for update in missing[:40]]
    return Outcome(_write_json({"missingCount": len(missing), "missing": names}))


def run_account_document(name: str) -> Callable[[Machine, Mapping[str, str], str], Behaviour]:
    """Return the behaviour of a document of the account: a hook or a health check.

    Which of them it is shows in its name, or in the comment with which it was sent.
    """

    def run(machine: Machine, parameters: Mapping[str, str], comment: str) -> Behaviour:
        yield Work(machine.spec.durations.command)
        seen = _fold(name) + " " + _fold(comment)
        hooks = [wrong.partition(":")[2] for wrong in machine.spec.wrong if wrong.startswith("hook_fails")]
        fails = any(_fold(word) in seen for hook in hooks for word in (hook, _HOOK_STATES.get(hook, hook)))
        fails = fails or ("health" in seen and machine.goes_wrong("health_fails"))
        was_rebooted = machine.was_rebooted_for_image
        fails = fails or ("health" in seen and was_rebooted and machine.goes_wrong("health_fails_after_image"))
        was_installed = len(machine.missing) < len(machine.spec.missing)
        fails = fails or ("health" in seen and was_installed and machine.goes_wrong("health_fails_after_install"))
        return Outcome(f"{name}: {'failed' if fails else 'done'}\n", int(fails))

    return run


def _fold(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())


_HOOK_STATES = {
    "preInstall": "Hook Before Install",
    "postInstall": "Hook After Install",
    "onExit": "Hook On Exit",
}


NEWEST_AGENT = "3.3.2299.0"
NEWEST_CLOUDWATCH_AGENT = "1.300057.3b1197"
_AGENT_UPDATE_SECONDS = 45.0
_INSTALLER_PID = 4711
_LINUX: frozenset[Platform] = frozenset({"Linux"})
_WINDOWS: frozenset[Platform] = frozenset({"Windows"})
_MAC: frozenset[Platform] = frozenset()
_EVERYWHERE = _LINUX | _WINDOWS

AWS_DOCUMENTS: Mapping[str, CommandDocument] = {
    document.name: document
    for document in (
        CommandDocument(
            "AWS-RunPatchBaseline",
            "Amazon",
            "2.2",
            (("PatchWindows", _WINDOWS), ("PatchLinux", _LINUX), ("PatchMacOS", _MAC)),
            {
                "Operation": Parameter(None, ("Scan", "Install")),
                "AssociationId": Parameter(),
                "SnapshotId": Parameter(pattern=r"(|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"),
                "InstallOverrideList": Parameter(pattern=r"(|https://.+|s3://[^/]+/.+)"),
                "BaselineOverride": Parameter(),
                "RebootOption": Parameter("RebootIfNeeded", ("RebootIfNeeded", "NoReboot")),
                "StepTimeoutSeconds": Parameter("7200", pattern="[0-9]{1,5}"),
            },
            run_patch_baseline,
        ),
        CommandDocument(
            "AWS-InstallWindowsUpdates",
            "Amazon",
            "2.2",
            (("InstallWindowsUpdates", _WINDOWS),),
            {
                "Action": Parameter("Install", ("Install", "Scan")),
                "AllowReboot": Parameter("True", ("True", "False")),
                "IncludeKbs": Parameter(),
                "ExcludeKbs": Parameter(),
                "Categories": Parameter(),
                "SeverityLevels": Parameter(),
                "PublishedDaysOld": Parameter(pattern="[0-9]*"),
                "PublishedDateAfter": Parameter(pattern="([0-9]{2}/[0-9]{2}/[0-9]{4})?"),
                "PublishedDateBefore": Parameter(pattern="([0-9]{2}/[0-9]{2}/[0-9]{4})?"),
            },
            install_windows_updates,
        ),
        CommandDocument(
            "AWS-UpdateSSMAgent",
            "Amazon",
            "1.2",
            (("aws:updateSsmAgent", _EVERYWHERE),),
            {"version": Parameter(), "allowDowngrade": Parameter("false", ("true", "false"))},
            update_agent,
        ),
        CommandDocument(
            "AWS-ConfigureAWSPackage",
            "Amazon",
            "2.2",
            (("configurePackage", _EVERYWHERE),),
            {
                "action": Parameter(None, ("Install", "Uninstall")),
                "installationType": Parameter(
                    "Uninstall and reinstall", ("Uninstall and reinstall", "In-place update")
                ),
                "name": Parameter(None),
                "version": Parameter(),
                "additionalArguments": Parameter("{}"),
            },
            configure_package,
        ),
    )
}


def read_account_document(name: str, content: Mapping[str, Any], owner: str, document_type: str) -> CommandDocument:
    """Return a document of the account from its content.

    The names of the steps tell Drydock's own documents, which print what it reads, from hooks.
    """
    steps = []
    if "mainSteps" in content:
        for step in content["mainSteps"]:
            steps.append((str(step["name"]), _find_platforms(step["action"], step.get("precondition"))))
    else:
        for action in content.get("runtimeConfig", {}):
            steps.append((action, _find_platforms(action, None)))
    parameters = {
        key: Parameter(
            None if "default" not in parameter else str(parameter["default"]),
            tuple(str(value) for value in parameter.get("allowedValues", ())),
            str(parameter.get("allowedPattern", "")),
        )
        for key, parameter in (content.get("parameters") or {}).items()
    }
    names = {step for step, _ in steps}
    run: Callable[[Machine, Mapping[str, str], str], Behaviour]
    if names & {"ProbeLinux", "ProbeWindows"}:
        run = probe
    elif "SearchWindows" in names:
        run = search_windows_updates
    elif "RebootLinux" in names:
        run = reboot
    else:
        run = run_account_document(name)
    return CommandDocument(name, owner, str(content["schemaVersion"]), steps, parameters, run, document_type)


def check_parameters(document: CommandDocument, given: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the parameters with their defaults. Raises ValueError for one that the document refuses."""
    for name in given:
        if name not in document.parameters:
            raise ValueError(f"Document {document.name} has no parameter {name}.")
    values = {}
    for name, parameter in document.parameters.items():
        value = ",".join(given[name]) if name in given else parameter.default
        if value is None:
            raise ValueError(f"Parameter {name} of document {document.name} is required.")
        fits = not parameter.pattern or re.fullmatch(parameter.pattern, value)
        if not fits or (parameter.allowed and value not in parameter.allowed):
            raise ValueError(f"Parameter {name} of document {document.name} can not be {value!r}.")
        values[name] = value
    if document.name == "AWS-InstallWindowsUpdates":
        _check_words(values["SeverityLevels"], SEVERITIES)
        _check_words(values["Categories"], tuple(CATEGORIES))
    return values


def _check_words(text: str, allowed: Sequence[str]) -> None:
    for word in text.split(",") if text else ():
        if word not in allowed:
            raise ValueError(f"{word!r} is not one of {', '.join(allowed)}.")


def _find_platforms(action: str, precondition: Mapping[str, Any] | None) -> frozenset[Platform]:
    platforms = _LINUX if action == "aws:runShellScript" else _EVERYWHERE
    for pair in (precondition or {}).values():
        if "platformType" in pair:
            platforms &= {platform for platform in _EVERYWHERE if platform in pair}
    return platforms
