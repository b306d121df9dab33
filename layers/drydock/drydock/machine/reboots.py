"""Reboots: whether a machine runs older code than is installed, by its own answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from drydock.aws.services import Services
from drydock.catalogue.saying import say
from drydock.records import intents
from drydock.records.history import OwedReboot, find_history, forget_owed_reboot, note_outlived, note_owed_reboot
from drydock.records.leases import Lease
from drydock.request.policy import ON_EVIDENCE, Policy
from drydock.request.step import Machine, Step

RebootNeed = Literal["needed", "unknown", "would_not_help", "not_needed"]
"""What the stack's Probe document says of a reboot. It would not help where another kernel than the newest boots."""

NEEDS: tuple[RebootNeed, ...] = get_args(RebootNeed)


def is_pending(need: RebootNeed, policy: Policy, counted_by_aws: int) -> bool:
    """Whether a machine needs a reboot that helps, by its own answer and by AWS's count of patches that wait for one.

    AWS counts whatever was installed without a reboot, needed or not. Where the policy goes by evidence, an answer that
    none is needed outweighs it; where the machine cannot tell, the count stands.
    """
    if need == "needed":
        return True
    if need in ("not_needed", "would_not_help") and policy["reboot"] in ON_EVIDENCE:
        return False
    return counted_by_aws > 0


def boots_old_kernel(probe: Mapping[str, Any] | None) -> bool:
    """Whether a newer kernel is installed than boots: then the machine runs old code, and a reboot changes nothing."""
    return bool(probe and probe.get("bootsOldKernel"))


def is_due(probe: Mapping[str, Any] | None, policy: Policy, counted_by_aws: int) -> bool:
    """Whether a machine is not what is installed on it, by all that is known: then it is never called compliant."""
    return is_pending(need_of(probe), policy, counted_by_aws) or boots_old_kernel(probe)


def would_reboot(machine: Machine, probe: Mapping[str, Any], policy: Policy, counted_by_aws: int) -> bool:
    """Whether patching a machine on which nothing is missing brings about a reboot that helps.

    RebootIfNeeded lets AWS-RunPatchBaseline decide, which goes by its own count. For reasons that have outlived a
    reboot none is made again.
    """
    if policy["reboot"] == "NoReboot":
        return False
    if owes(machine, probe, policy):
        return True
    is_wanted = counted_by_aws > 0 if policy["reboot"] == "RebootIfNeeded" else is_due(probe, policy, counted_by_aws)
    return (
        is_wanted
        and not boots_old_kernel(probe)
        and not _has_outlived(machine["outlivedReasons"], probe, counted_by_aws)
    )


def describe_left(machine: Machine, probe: Mapping[str, Any] | None, policy: Policy, counted_by_aws: int) -> list[str]:
    """Why a machine that was left as it is, since nothing can be done, needs a reboot; nothing where it needs none."""
    if probe is None or not is_due(probe, policy, counted_by_aws):
        return []
    if boots_old_kernel(probe):
        return [describe_pending("would_not_help", probe["rebootReasons"])]
    reasons = _reasons(probe, counted_by_aws)
    if _has_outlived(machine["outlivedReasons"], probe, counted_by_aws):
        return [say("reboot.outlived", reasons=reasons)]
    return [say("reboot.not_made", reboot=policy["reboot"], reasons=reasons)]


def _reasons(probe: Mapping[str, Any], counted_by_aws: int) -> list[str]:
    """All that says of a machine that it has to be rebooted."""
    own = probe["rebootReasons"] if need_of(probe) in ("needed", "unknown") else []
    return [*own, *([say("reboot.aws_counts")] if counted_by_aws > 0 else [])]


def _has_outlived(outlived: Sequence[str], probe: Mapping[str, Any], counted_by_aws: int) -> bool:
    reasons = _reasons(probe, counted_by_aws)
    return bool(reasons) and set(reasons) <= set(outlived)


def describe_pending(need: RebootNeed, reasons: Sequence[str]) -> str:
    """Why a reboot is pending, in a phrase for people."""
    if need == "would_not_help":
        return say("reboot.would_not_help", reasons=reasons)
    return say("reboot.needed", reasons=reasons) if reasons else say("reboot.pending")


def describe_refused(commands: Sequence[Mapping[str, Any]], reboot_document: str) -> list[str]:
    """A phrase for each of the reboots, among the commands that have ended, that the machine has refused."""
    return [
        say("reboot.refused", log=command["logKey"])
        for command in commands
        if command["document"] == reboot_document and not command["succeeded"]
    ]


def owes(machine: Machine, probe: Mapping[str, Any], policy: Policy) -> bool:
    """Whether a machine has yet to be rebooted for what an earlier execution installed.

    Another boot than the one written down has paid it, whoever brought it about; so has an answer that none is needed.
    """
    return (
        policy["reboot"] != "NoReboot"
        and probe["bootId"] == machine["owedBootId"]
        and need_of(probe) in ("needed", "unknown")
    )


def note_put_off(services: Services, step: Step, boot_id: str, reasons: Sequence[str] = ()) -> None:
    """Write down that the machine owes the reboot that ends a boot."""
    machine, now = step.machine, services.now()
    owed = OwedReboot(boot_id, now, tuple(reasons))
    note_owed_reboot(services.table, step.instance_id, machine["platform"], machine["patchGroup"], owed, now)


@dataclass(frozen=True)
class Settlement:
    """What is written down of a machine's reboots as it is released."""

    owes: bool = False
    outlived: Sequence[str] = ()
    """The reasons that stand although a reboot was made for them, as they are told."""


def settle_reboots(services: Services, step: Step, lease: Lease) -> Settlement:
    """Write down whether the machine owes a reboot as it is released, and which reasons have outlived one.

    What nobody has asked it since stands as it was. A machine that is stopped again boots anew by itself.
    """
    data, policy, machine = step.data, step.policy, step.machine
    before = data.get("probeBeforeInstall") or data.get("probeBefore")
    last = data.get("probeAfter") or before or data.get("probeAtFirst")
    if policy["operation"] != "Install" or not last:
        return Settlement(bool(machine["owedBootId"]))
    counted = _count_of(data)
    outlived = _find_outlived(step, last, counted)
    if outlived != machine["outlivedReasons"]:
        note_outlived(
            services.table, step.instance_id, machine["platform"], machine["patchGroup"], outlived, services.now()
        )
    is_in_vain = _has_outlived(outlived, last, counted)
    owes_reboot = _settle_owed(services, step, lease, last, is_in_vain=is_in_vain)
    return Settlement(owes_reboot, outlived if is_in_vain and data.get("verified") else ())


def _count_of(data: Mapping[str, Any]) -> int:
    """AWS's newest count of patches that wait for a reboot; -1 where there is none."""
    counts = (data.get("verified") or {}).get("patches") or data.get("patchesBefore") or {}
    return int(counts.get("pendingReboot", -1))


def _find_outlived(step: Step, last: Mapping[str, Any], counted_by_aws: int) -> list[str]:
    """The reasons that stand although the machine has booted, and nothing was installed since."""
    data = step.data
    first, between, installed, after = (
        data.get(name) for name in ("probeBefore", "probeBeforeInstall", "probeAfterInstall", "probeAfter")
    )
    is_patched = bool(data.get("isPatching"))
    is_idle = not is_patched or (data.get("patchesBefore") or {}).get("missing") == 0
    reboots_at_once = step.policy["reboot"] == "RebootIfNeeded"
    anew = [
        between if is_idle and _is_other_boot(first, between) else None,
        after if _is_other_boot(installed, after) or (reboots_at_once and _is_other_boot(first, after)) else None,
    ]
    found = set() if is_patched else set(step.machine["outlivedReasons"])
    for probe in anew:
        found |= set(_reasons(probe, counted_by_aws)) if probe else set()
    return sorted(found & set(_reasons(last, counted_by_aws)))


def _is_other_boot(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> bool:
    return bool(before and after and before["bootId"] != after["bootId"])


def _settle_owed(services: Services, step: Step, lease: Lease, last: Mapping[str, Any], *, is_in_vain: bool) -> bool:
    data, policy, machine = step.data, step.policy, step.machine
    verified = data.get("verified") or {}
    before = data.get("probeBeforeInstall") or data.get("probeBefore")
    stays_up = machine["power"] != "stopped"
    would_help = need_of(last) != "would_not_help" and not is_in_vain
    if policy["reboot"] in ON_EVIDENCE and stays_up and verified.get("isRebootPending") and would_help:
        note_put_off(services, step, str(last["bootId"]), last["rebootReasons"])
        return True
    puts_off = policy["reboot"] == "Later" and bool(data.get("isPatching")) and intents.INSTALL in lease.intents
    owed_boot = before["bootId"] if before and puts_off else _owed_still(step)
    is_judged = bool(verified) or bool(data.get("isAlreadyCompliant"))
    needs_none = is_judged and (need_of(last) == "not_needed" or not would_help)
    if stays_up and last["bootId"] == owed_boot and not needs_none:
        return True
    # An installation that was then not sent may be written down, too.
    if machine["owedBootId"] or policy["reboot"] == "Later":
        forget_owed_reboot(services.table, step.instance_id)
    return False


def settle_owed_after_death(services: Services, lease: Lease, power: str) -> bool:
    """Whether a machine owes a reboot whose execution has died, by what is written down; none where it is stopped.

    Nobody asks it any more whether it needs one: the next execution does.
    """
    if lease.journal["operation"] != "Install":
        return False
    history = find_history(services.table, "Install", lease.instance_id)
    if history is None or history.owed is None:
        return False
    if power == "running":
        return True
    forget_owed_reboot(services.table, lease.instance_id)
    return False


def _owed_still(step: Step) -> str:
    """The boot out of which a reboot was owed before this execution; empty where there is none, or it has paid."""
    paid = step.data.get("owedReboot")
    return "" if paid and paid["succeeded"] else step.machine["owedBootId"]


def need_of(probe: Mapping[str, Any] | None) -> RebootNeed:
    """What a probe has answered; unknown where none has."""
    need: RebootNeed = probe["reboot"] if probe else "unknown"
    return need
