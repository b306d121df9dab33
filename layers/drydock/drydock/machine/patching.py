"""Which document is sent for which step, and with which parameters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from drydock.aws.services import Services
from drydock.aws.ssm import PatchState
from drydock.catalogue.saying import say
from drydock.environment import Environment
from drydock.errors import CommandNotDeliveredError, InstanceTerminatedError, PatchingNotReadyError
from drydock.machine.commands import Command, begin_command
from drydock.machine.power import is_gone
from drydock.machine.reboots import note_put_off
from drydock.machine.waiting import wait_for
from drydock.records import intents
from drydock.request.policy import INSTALL_WINDOWS_UPDATES, ON_EVIDENCE, RUN_PATCH_BASELINE, Policy, deadline_of
from drydock.request.step import Step
from drydock.times import from_text

_PAUSE = timedelta(minutes=2)
"""Two runs of AWS-RunPatchBaseline within it collide."""


def install_parameters(policy: Policy, snapshot_id: str, *, reboot: bool) -> dict[str, str]:
    """The parameters of the installation. A reboot happens only where the policy allows it as well."""
    reboots = reboot and policy["reboot"] == "RebootIfNeeded"
    if policy["document"] == INSTALL_WINDOWS_UPDATES:
        return {
            "Action": "Install",
            "AllowReboot": "True" if reboots else "False",
            **_windows_update_filters(policy),
        }
    return {
        "Operation": "Install",
        "SnapshotId": snapshot_id,
        "RebootOption": "RebootIfNeeded" if reboots else "NoReboot",
    }


def _windows_update_filters(policy: Policy) -> dict[str, str]:
    """The filters as AWS-InstallWindowsUpdates takes them: lists with commas and no spaces."""
    wanted = policy["windowsUpdate"]
    filters = {
        "SeverityLevels": ",".join(wanted["severityLevels"]),
        "Categories": ",".join(wanted["categories"]),
        "IncludeKbs": ",".join(wanted["includeKbs"]),
        "ExcludeKbs": ",".join(wanted["excludeKbs"]),
        "PublishedDaysOld": str(wanted["publishedDaysOld"]) if wanted["publishedDaysOld"] else "",
    }
    return {name: value for name, value in filters.items() if value}


def scan_command(environment: Environment, policy: Policy, snapshot_id: str, intent: str, ended_before: str) -> Command:
    """The command whose outcome is judged: a Scan, or a search of Windows Update with the same filters."""
    if policy["document"] == INSTALL_WINDOWS_UPDATES:
        return Command(intent, "search", environment.search_document, _windows_update_filters(policy))
    parameters = {"Operation": "Scan", "SnapshotId": snapshot_id}
    return Command(intent, "scan", RUN_PATCH_BASELINE, parameters, {"operationEndedBefore": ended_before})


def run_command(services: Services, step: Step, command: Command, deadline: str) -> None:
    """Send a command once and wait for its end. `deadline` names the policy's deadline for it.

    Raises InstanceTerminatedError where SSM cannot reach the machine because it is gone.
    """
    try:
        work = begin_command(services, step, command)
    except CommandNotDeliveredError as refused:
        if is_gone(services.ec2.describe_instance(step.instance_id)):
            raise InstanceTerminatedError(
                say("cause.terminated_before_command", id=step.instance_id, command=command.intent)
            ) from refused
        raise
    wait_for(services, step, work, deadline_of(step.policy, deadline))


def probe_instance(services: Services, step: Step) -> None:
    """Ask the machine for boot id, versions of agents, and whether it needs a reboot."""
    command = Command(
        intents.probe(str(step.data["moment"])), "probe", services.environment.probe_document, parameters={}
    )
    run_command(services, step, command, "hookSeconds")


def install_patches(services: Services, step: Step) -> None:
    """Install what is missing; `data.reboot` says whether a reboot may follow at once.

    A reboot that is put off is owed from here on, out of the boot `data.bootId`, even if this execution dies.
    """
    if step.policy["reboot"] == "Later":
        note_put_off(services, step, str(step.data["bootId"]))
    parameters = install_parameters(step.policy, step.machine["snapshotId"], reboot=bool(step.data["reboot"]))
    command = Command(intents.INSTALL, "install", step.policy["document"], parameters)
    run_command(services, step, command, "patchSeconds")


def finish_install(services: Services, step: Step) -> None:
    """Let the agent reboot the machine after an installation without a reboot: once, out of the boot `data.bootId`.

    At the `data.moment` `Before`, that was the installation of an earlier execution, which put the reboot off.
    Where AWS decides whether that is needed, AWS-RunPatchBaseline does so in a second run; AWS-InstallWindowsUpdates
    would find nothing to install and leave the reboot pending.
    """
    is_owed = step.data["moment"] == "Before"
    if is_owed or step.policy["document"] == INSTALL_WINDOWS_UPDATES or step.policy["reboot"] in ON_EVIDENCE:
        intent = intents.FINISH_INSTALL_BEFORE if is_owed else intents.FINISH_INSTALL
        boot_id = str(step.data["bootId"])
        command = Command(intent, "install", services.environment.reboot_document, {"BootId": boot_id})
    else:
        parameters = install_parameters(step.policy, step.machine["snapshotId"], reboot=True)
        command = Command(intents.FINISH_INSTALL, "install", RUN_PATCH_BASELINE, parameters)
    run_command(services, step, command, "patchSeconds")


def scan_patches(services: Services, step: Step) -> None:
    """Look for missing patches, and remember the operation that the patch state shows now.

    Raises PatchingNotReadyError where that was less than two minutes ago, and was not this execution's.
    """
    state = services.ssm.find_patch_state(step.instance_id) if step.policy["document"] == RUN_PATCH_BASELINE else None
    is_first = step.data["moment"] != "After" or step.policy["operation"] == "Scan"
    if state and is_first and step.retry_count == 0:
        _require_pause(services, step, state)
    command = scan_command(
        services.environment,
        step.policy,
        step.machine["snapshotId"],
        intents.scan(str(step.data["moment"])),
        state.operation_ended if state else "",
    )
    run_command(services, step, command, "patchSeconds")


def _require_pause(services: Services, step: Step, state: PatchState) -> None:
    """Raises PatchingNotReadyError. The time is by the machine's own clock; where that is wrong, its lock tells."""
    ended = from_text(state.operation_ended)
    if abs(services.now() - ended) < _PAUSE:
        raise PatchingNotReadyError(say("patching.just_over", machine=step.instance_id, moment=f"{ended:%H:%M:%S}"))


def run_hook(services: Services, step: Step) -> None:
    """Run a hook of the policy: a Command document of the account."""
    hook = str(step.data["hook"])
    hooks: Mapping[str, str] = step.policy["hooks"]  # type: ignore[assignment]
    _run_own_document(services, step, intents.hook(hook), "hook", hooks[hook])


def check_health(services: Services, step: Step) -> None:
    """Run the health probe of the policy: a Command document of the account. `data.moment` tells its runs apart."""
    intent = intents.health_probe(str(step.data["moment"]))
    _run_own_document(services, step, intent, "health", step.policy["healthProbe"])


def _run_own_document(services: Services, step: Step, intent: str, purpose: str, document: str) -> None:
    """A document of the account, in the version that the run's plan has pinned."""
    pinned = step.machine.get("documents", {}).get(document)
    run_command(services, step, Command(intent, purpose, document, {}, pinned=pinned), "hookSeconds")
