"""Evidence: what a machine's patch state, boots and agent prove, and the verdict that follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drydock.aws.ec2 import patch_group_of
from drydock.aws.services import Services
from drydock.aws.ssm import ListedPatch, PatchState
from drydock.catalogue.saying import first_of, say
from drydock.errors import (
    AwsCallFailedError,
    DrydockError,
    Failure,
    ImageRebootUnprovedError,
    OperatingSystemEndedError,
    PatchesRejectedError,
    PatchesStillMissingError,
    PatchingFailedError,
    PatchingReportedFailedError,
    PatchStateNotReadyError,
    RebootPendingError,
    VerdictUnknownError,
)
from drydock.log import logger
from drydock.machine.operating_systems import describe_end
from drydock.machine.reboots import describe_pending, describe_refused, is_due, need_of, would_reboot
from drydock.records.results import PatchCounts
from drydock.request.policy import RUN_PATCH_BASELINE, Verdict
from drydock.request.step import Step

_MOST_NAMED = 50

_MOST_READS = 6
"""The patch state follows the command's end; it is read again so many times before it counts as missing."""


NOTHING_KNOWN: PatchCounts = {
    "missing": -1,
    "failed": -1,
    "installed": -1,
    "pendingReboot": -1,
    "rejected": -1,
    "missingPatches": [],
    "missingBySeverity": {},
    "failedPatches": [],
    "rejectedPatches": [],
    "baselineId": "",
    "patchGroup": "",
    "operation": "",
    "operationEnded": "",
}


@dataclass(frozen=True)
class Evidence:
    """What the verdict rests on. The counts are -1 where there is no fresh evidence."""

    is_fresh: bool
    missing: int
    failed: int
    pending_reboot: bool
    installation_succeeded: bool
    only_scanned: bool
    rejected: int = 0
    """Patches that are installed although the baseline rejects them."""
    system_ended: bool = False
    """Whether its operating system gets no more updates: then that nothing is missing proves nothing."""


def judge(evidence: Evidence) -> Verdict:
    """The verdict on a machine: from what was found, not from what a command reported."""
    if not evidence.is_fresh:
        return "unknown"
    if evidence.only_scanned:
        return "scanned"
    if evidence.failed > 0 or (evidence.missing > 0 and not evidence.installation_succeeded):
        return "failed"
    if evidence.missing > 0:
        return "still_missing"
    if evidence.system_ended:
        return "unpatchable"
    if evidence.rejected > 0:
        return "non_compliant"
    if evidence.pending_reboot:
        return "pending_reboot"
    if not evidence.installation_succeeded:
        return "patched_reported_failed"
    return "compliant"


_FAILURES: Mapping[str, type[DrydockError]] = {
    "failed": PatchingFailedError,
    "non_compliant": PatchesRejectedError,
    "patched_reported_failed": PatchingReportedFailedError,
    "pending_reboot": RebootPendingError,
    "still_missing": PatchesStillMissingError,
    "unknown": VerdictUnknownError,
    "unpatchable": OperatingSystemEndedError,
}


def failure_of(
    verdict: Verdict,
    fail_on: list[str],
    counts: PatchCounts,
    notes: Sequence[str] = (),
    installs: Sequence[Mapping[str, Any]] = (),
) -> Failure | None:
    """The error and cause with which a verdict ends the flow, by policy; None when it does not.

    `notes` are what people should know besides, a phrase each; `installs` how the installations have ended.
    """
    if verdict not in fail_on:
        return None
    missing = first_of(counts["missingPatches"], total=counts["missing"]) or say("patches.none")
    failed = first_of(counts["failedPatches"], total=counts["failed"]) or say("patches.none")
    causes = {
        "failed": say("cause.failed", missing=missing, failed=failed),
        "non_compliant": "; ".join(notes),
        "patched_reported_failed": say("cause.reported_failed"),
        "pending_reboot": "; ".join(notes),
        "still_missing": say("cause.still_missing", count=counts["missing"], patches=missing),
        "unknown": _without_evidence(installs),
        "unpatchable": "; ".join(notes),
    }
    return {"error": _FAILURES[verdict].__name__, "cause": causes[verdict]}


def _without_evidence(installs: Sequence[Mapping[str, Any]]) -> str:
    """What is known all the same: how the installation itself has ended, if there was one."""
    bad = [install for install in installs if not install["succeeded"]]
    if bad:
        return say("evidence.none.install_failed", code=str(bad[-1]["responseCode"]))
    return say("evidence.none.after_install") if installs else say("evidence.none")


def is_fresh(state: PatchState | None, scan: Mapping[str, Any], snapshot_id: str) -> bool:
    """Whether a patch state is that of our own scan. The instance's clock is compared with nobody else's."""
    return (
        state is not None
        and state.operation == "Scan"
        and state.snapshot_id == snapshot_id
        and state.operation_ended != scan["operationEndedBefore"]
    )


def count_patches(services: Services, instance_id: str, state: PatchState | None) -> PatchCounts:
    """The counts of a patch state, with the names of what is missing or failed."""
    if state is None:
        return NOTHING_KNOWN
    missing = services.ssm.list_patches(instance_id, "Missing") if state.missing else []
    return {
        "missing": state.missing,
        "failed": state.failed,
        "installed": state.installed + state.installed_other,
        "pendingReboot": state.pending_reboot,
        "rejected": state.rejected,
        "missingPatches": _names(missing),
        "missingBySeverity": dict(Counter(patch.severity for patch in missing)),
        "failedPatches": _names(services.ssm.list_patches(instance_id, "Failed")) if state.failed else [],
        "rejectedPatches": (
            _names(services.ssm.list_patches(instance_id, "InstalledRejected")) if state.rejected else []
        ),
        "baselineId": state.baseline_id,
        "patchGroup": state.patch_group,
        "operation": state.operation,
        "operationEnded": state.operation_ended,
    }


def _names(patches: Sequence[ListedPatch]) -> list[str]:
    return [patch.name for patch in patches[:_MOST_NAMED]]


def read_patches(services: Services, step: Step) -> tuple[PatchCounts, bool]:
    """What the last scan or search of this execution found, and whether that is fresh evidence.

    Raises PatchStateNotReadyError while a scan has ended and its patch state cannot be read.
    """
    scan = step.data["scan"]
    if step.policy["document"] != RUN_PATCH_BASELINE:
        found: PatchCounts = {
            **NOTHING_KNOWN,
            "missing": int(scan["missingCount"]),
            "failed": 0,
            "pendingReboot": 0,
            "rejected": 0,
            "missingPatches": [str(patch) for patch in scan["missing"]],
            "operation": "Search",
            "operationEnded": str(scan["endedAt"]),
        }
        return found, found["missing"] >= 0
    state = services.ssm.find_patch_state(step.instance_id)
    if is_fresh(state, scan, step.machine["snapshotId"]):
        return count_patches(services, step.instance_id, state), True
    if scan["succeeded"] and step.retry_count < _MOST_READS:
        raise PatchStateNotReadyError(say("evidence.not_there", machine=step.instance_id))
    return NOTHING_KNOWN, False


def look_at_patches(services: Services, step: Step) -> dict[str, Any]:
    """What the scan or search before an installation has found, with what the probe beside it has.

    Returns the counts, whether anything is to be done, and whether it can be left as it is: then nothing is missing,
    failed or rejected, by fresh evidence of this execution, and no reboot would come that helps. Whatever is not known
    is not well.
    Raises PatchStateNotReadyError.
    """
    counts, fresh = read_patches(services, step)
    probe, counted = step.data["probe"], counts["pendingReboot"]
    is_missing = not fresh or counts["missing"] != 0 or would_reboot(step.machine, probe, step.policy, counted)
    is_compliant = (
        not is_missing
        and counts["failed"] == 0
        and counts["rejected"] == 0
        and not ("pending_reboot" in step.policy["failOn"] and is_due(probe, step.policy, counted))
        and _is_of_its_patch_group(services, step, counts)
        and not _describe_ended_system(services, step.instance_id)
    )
    return {"patches": counts, "isAnythingMissing": is_missing, "isCompliant": is_compliant}


def _is_of_its_patch_group(services: Services, step: Step, counts: PatchCounts) -> bool:
    """Whether the scan was made by the baseline of the patch group that the machine is in now."""
    if step.policy["document"] != RUN_PATCH_BASELINE:
        return True
    return counts["patchGroup"] == patch_group_of(services.ec2.describe_instance(step.instance_id))


def _describe_ended_system(services: Services, instance_id: str) -> str:
    """In words that a machine's operating system has ended; empty where it has not, or it is not known."""
    agent = services.ssm.find_agent(instance_id)
    return describe_end(agent.system, agent.system_version, services.now()) if agent else ""


def describe_rejected(counts: PatchCounts) -> list[str]:
    """Which patches are installed although the baseline rejects them, in a phrase; none where there are none."""
    if counts["rejected"] <= 0:
        return []
    names = first_of(counts["rejectedPatches"], total=counts["rejected"])
    return [say("patches.rejected", patches=names)]


def find_installed(services: Services, step: Step, counts: PatchCounts) -> list[str]:
    """Which of the patches that were missing are known to be installed: listed so, and neither missing nor failed.

    A patch that another has replaced meanwhile is no longer missing, and was not installed. Windows Update lists
    nothing as installed. Where AWS refuses the list, or more is missing than is named, nothing is known.
    """
    before = step.data.get("patchesBefore") or NOTHING_KNOWN
    wanted = sorted({*before["missingPatches"]} - {*counts["missingPatches"], *counts["failedPatches"]})
    is_listed = step.policy["operation"] == "Install" and step.policy["document"] == RUN_PATCH_BASELINE
    if not wanted or not is_listed or counts["missing"] > len(counts["missingPatches"]):
        return []
    try:
        return services.ssm.list_installed(step.instance_id, wanted)
    except AwsCallFailedError as error:
        logger.warning("what is installed cannot be listed", instance=step.instance_id, reason=str(error))
        return []


def verify_patches(services: Services, step: Step) -> dict[str, Any]:
    """Judge the machine by its last scan, its boots and its agent.

    Returns verdict, failure (error and cause, or None), counts, what is known to be installed, whether it rebooted, and
    notes: what people should know besides, a phrase each. Raises PatchStateNotReadyError, ImageRebootUnprovedError.
    """
    counts, fresh = read_patches(services, step)
    before, after = step.data["probeBefore"], step.data.get("probeAfter")
    before_image = step.data.get("probeBeforeImage")
    if before_image and after and after["bootId"] == before_image["bootId"]:
        raise ImageRebootUnprovedError(say("image.not_rebooted", machine=step.instance_id))
    installs = [install for install in step.data.get("installs", []) if install]
    owed = step.data.get("owedReboot")
    ended = _describe_ended_system(services, step.instance_id)
    need = need_of(after)
    pending = is_due(after, step.policy, counts["pendingReboot"])
    reasons = after["rebootReasons"] if after else []
    verdict = judge(
        Evidence(
            is_fresh=fresh,
            missing=counts["missing"],
            failed=counts["failed"],
            pending_reboot=pending,
            installation_succeeded=all(install["succeeded"] for install in installs),
            only_scanned=step.policy["operation"] == "Scan",
            rejected=counts["rejected"],
            system_ended=bool(ended),
        )
    )
    notes = [*describe_rejected(counts), *([ended] if ended else [])]
    if pending and (notes or verdict == "pending_reboot"):
        notes.append(describe_pending(need, reasons))
        notes += describe_refused([*installs, *([owed] if owed else [])], services.environment.reboot_document)
    return {
        "verdict": verdict,
        "failure": failure_of(verdict, step.policy["failOn"], counts, notes, installs),
        "notes": notes,
        "patches": counts,
        "installed": find_installed(services, step, counts) if fresh else [],
        "isRebootPending": pending,
        # The reboot for an image is none of the installation's.
        "rebooted": bool(after and (before_image or after)["bootId"] != before["bootId"]),
    }
