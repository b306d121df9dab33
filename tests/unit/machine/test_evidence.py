"""Verdicts rest on evidence: fresh patch state, boots and agent; not on what a command reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from drydock import errors
from drydock.errors import AwsCallFailedError, PatchStateNotReadyError
from drydock.machine.evidence import (
    NOTHING_KNOWN,
    Evidence,
    count_patches,
    failure_of,
    find_installed,
    is_fresh,
    judge,
    look_at_patches,
    read_patches,
    verify_patches,
)
from drydock.records.results import PatchCounts
from drydock.request.policy import DEFAULTS, Verdict, merge
from tests.unit.fakes import patch_state
from tests.unit.world import INSTANCE, SNAPSHOT, World

INSTALLED: dict[str, Any] = {"document": "AWS-RunPatchBaseline", "succeeded": True, "responseCode": 0}
NOT_INSTALLED = {**INSTALLED, "succeeded": False, "responseCode": 1}
SCAN: dict[str, Any] = {"operationEndedBefore": "2026-01-13T02:00:00+00:00", "succeeded": True}
PROBE = {"bootId": "boot-1", "agentVersion": "3.3", "reboot": "not_needed", "rebootReasons": []}
COUNTS: PatchCounts = {**NOTHING_KNOWN, "missing": 2, "missingPatches": ["KB1", "KB2"], "failedPatches": ["KB3"]}


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ({}, "compliant"),
        ({"is_fresh": False}, "unknown"),
        ({"is_fresh": False, "missing": 3, "installation_succeeded": False}, "unknown"),
        ({"is_fresh": False, "only_scanned": True}, "unknown"),
        ({"only_scanned": True}, "scanned"),
        ({"only_scanned": True, "missing": 7, "failed": 1, "pending_reboot": True}, "scanned"),
        ({"missing": 1}, "still_missing"),
        ({"missing": 1, "pending_reboot": True}, "still_missing"),
        ({"missing": 1, "installation_succeeded": False}, "failed"),
        ({"failed": 1}, "failed"),
        ({"failed": 1, "missing": 1}, "failed"),
        ({"failed": 1, "installation_succeeded": False}, "failed"),
        ({"pending_reboot": True}, "pending_reboot"),
        ({"pending_reboot": True, "installation_succeeded": False}, "pending_reboot"),
        ({"installation_succeeded": False}, "patched_reported_failed"),
        ({"rejected": 1}, "non_compliant"),
        ({"rejected": 1, "pending_reboot": True}, "non_compliant"),
        ({"rejected": 1, "missing": 1}, "still_missing"),
        ({"system_ended": True}, "unpatchable"),
        ({"system_ended": True, "rejected": 1, "pending_reboot": True}, "unpatchable"),
        ({"system_ended": True, "missing": 1}, "still_missing"),
        ({"system_ended": True, "only_scanned": True}, "scanned"),
    ],
    ids=lambda value: ", ".join(f"{key}={item}" for key, item in value.items()) if isinstance(value, dict) else value,
)
def test_the_verdict_follows_the_evidence(found: dict[str, Any], verdict: str) -> None:
    nothing_wrong: dict[str, Any] = {
        "is_fresh": True,
        "missing": 0,
        "failed": 0,
        "pending_reboot": False,
        "installation_succeeded": True,
        "only_scanned": False,
    }

    assert judge(Evidence(**{**nothing_wrong, **found})) == verdict


@pytest.mark.parametrize(
    ("verdict", "error"),
    [
        ("failed", "PatchingFailedError"),
        ("still_missing", "PatchesStillMissingError"),
        ("unknown", "VerdictUnknownError"),
        ("pending_reboot", "RebootPendingError"),
        ("patched_reported_failed", "PatchingReportedFailedError"),
    ],
)
def test_a_verdict_fails_the_flow_where_the_policy_says_so(verdict: Verdict, error: str) -> None:
    failure = failure_of(verdict, [verdict], COUNTS)

    assert failure is not None and failure["error"] == error
    assert issubclass(getattr(errors, error), errors.DrydockError)
    assert failure_of(verdict, [], COUNTS) is None
    assert (failure_of(verdict, DEFAULTS["failOn"], COUNTS) is not None) == (
        verdict in ("failed", "still_missing", "unknown")
    )


@pytest.mark.parametrize("verdict", ["compliant", "scanned"])
def test_a_good_verdict_never_fails_the_flow(verdict: Verdict) -> None:
    assert failure_of(verdict, DEFAULTS["failOn"], COUNTS) is None


def test_the_cause_names_the_patches() -> None:
    for verdict in ("failed", "still_missing"):
        failure = failure_of(verdict, [verdict], COUNTS)
        assert failure is not None and "KB1, KB2" in failure["cause"]
    failed = failure_of("failed", ["failed"], COUNTS)
    assert failed is not None and "KB3" in failed["cause"]


def test_the_cause_stays_short_however_much_is_missing() -> None:
    many: PatchCounts = {**COUNTS, "missing": 300, "missingPatches": [f"KB{number:07}" for number in range(50)]}

    failure = failure_of("still_missing", ["still_missing"], many)

    assert failure is not None and len(failure["cause"]) < 300


@pytest.mark.parametrize(
    ("state", "fresh"),
    [
        (patch_state(snapshot_id=SNAPSHOT), True),
        (None, False),
        (patch_state(snapshot_id=SNAPSHOT, operation="Install"), False),
        (patch_state(snapshot_id="of another scan"), False),
        (patch_state(snapshot_id=SNAPSHOT, ended=SCAN["operationEndedBefore"]), False),
        (patch_state(snapshot_id=SNAPSHOT, ended="1999-01-01T00:00:00+00:00"), True),
    ],
    ids=["ours", "none", "of an installation", "of another scan", "of before", "ours, by a clock that is wrong"],
)
def test_only_the_state_of_our_own_scan_is_fresh(state: Any, fresh: bool) -> None:
    assert is_fresh(state, SCAN, SNAPSHOT) is fresh


def test_the_names_of_what_is_missing_or_failed_come_with_the_counts(world: World) -> None:
    world.ssm.patches = {(INSTANCE, "Missing"): ["KB1"], (INSTANCE, "Failed"): ["KB2"]}

    counts = count_patches(world.services, INSTANCE, patch_state(missing=1, failed=1, pending_reboot=2))

    assert (counts["missing"], counts["missingPatches"]) == (1, ["KB1"])
    assert (counts["failed"], counts["failedPatches"]) == (1, ["KB2"])
    assert (counts["installed"], counts["pendingReboot"], counts["patchGroup"]) == (11, 2, "web")


def test_of_a_machine_that_was_never_scanned_nothing_is_known(world: World) -> None:
    assert count_patches(world.services, INSTANCE, None) == NOTHING_KNOWN


def test_a_patch_state_that_is_not_there_yet_is_read_again_until_it_counts_as_unknown(world: World) -> None:
    for retry_count in range(6):
        with pytest.raises(PatchStateNotReadyError):
            read_patches(world.services, world.step(data={"scan": SCAN}, retry_count=retry_count))

    assert read_patches(world.services, world.step(data={"scan": SCAN}, retry_count=6)) == (NOTHING_KNOWN, False)


def test_after_a_scan_that_failed_nobody_waits_for_a_patch_state(world: World) -> None:
    scan = {**SCAN, "succeeded": False}

    assert read_patches(world.services, world.step(data={"scan": scan})) == (NOTHING_KNOWN, False)


GROUPED = {"Tags": [{"Key": "Patch Group", "Value": "web"}]}


@pytest.mark.parametrize(
    ("counts", "probe", "tags", "compliant"),
    [
        ({}, {}, GROUPED, True),
        ({"missing": 1}, {}, GROUPED, False),
        ({"failed": 1}, {}, GROUPED, False),
        ({"rejected": 1}, {}, GROUPED, False),
        ({"pending_reboot": 1}, {}, GROUPED, False),
        ({}, {"reboot": "needed", "rebootReasons": ["the policy makes none"]}, GROUPED, True),
        ({}, {}, {"Tags": [{"Key": "Patch Group", "Value": "other"}]}, False),
        ({}, {}, {"Tags": []}, False),
        ({"operation": "Install"}, {}, GROUPED, False),
        ({"snapshot_id": "another"}, {}, GROUPED, False),
    ],
    ids=["well", "missing", "failed", "rejected", "pending", "reboot", "moved", "no group", "installed", "another's"],
)
def test_a_machine_is_well_only_by_a_fresh_scan_of_our_own_that_found_nothing(
    world: World, counts: dict[str, Any], probe: dict[str, Any], tags: dict[str, Any], compliant: bool
) -> None:
    world.ec2.instances[INSTANCE].update(tags)
    world.ssm.patch_states[INSTANCE] = patch_state(**{"snapshot_id": SNAPSHOT, **counts})
    data = {"scan": SCAN, "probe": {**PROBE, **probe}}

    found = look_at_patches(world.services, world.step(data=data, retry_count=6))

    assert found["isCompliant"] is compliant


def test_a_machine_whose_system_has_ended_is_not_well_although_nothing_is_missing(world: World) -> None:
    world.ec2.instances[INSTANCE].update(GROUPED)
    world.ssm.patch_states[INSTANCE] = patch_state(snapshot_id=SNAPSHOT)
    agent = world.ssm.agents[INSTANCE]
    world.ssm.agents[INSTANCE] = replace(agent, system="CentOS Linux", system_version="7")

    found = look_at_patches(world.services, world.step(data={"scan": SCAN, "probe": PROBE}))

    assert (found["isAnythingMissing"], found["isCompliant"]) == (False, False)


def test_a_search_of_windows_update_is_its_own_evidence(world: World) -> None:
    world.set_policy(document="AWS-InstallWindowsUpdates")
    world.ssm.patch_states[INSTANCE] = patch_state(snapshot_id=SNAPSHOT, missing=9)
    scan = {"missingCount": 2, "missing": ["KB1", "KB2"], "endedAt": "2026-01-13T03:00:00+00:00"}

    counts, fresh = read_patches(world.services, world.step(data={"scan": scan}))

    assert fresh
    assert (counts["missing"], counts["missingPatches"]) == (2, ["KB1", "KB2"])


def test_a_search_that_found_nothing_out_is_no_evidence(world: World) -> None:
    world.set_policy(document="AWS-InstallWindowsUpdates")
    scan = {"missingCount": -1, "missing": [], "endedAt": "2026-01-13T03:00:00+00:00"}

    verified = verify(world, scan=scan)

    assert (verified["verdict"], verified["patches"]["missing"]) == ("unknown", -1)


def verify(world: World, **data: Any) -> dict[str, Any]:
    given = {"scan": SCAN, "probeBefore": PROBE, "probeAfter": PROBE, "installs": [INSTALLED], **data}
    return verify_patches(world.services, world.step(data=given, retry_count=6))


@pytest.mark.parametrize(
    ("counts", "data", "verdict", "fails"),
    [
        ({}, {}, "compliant", False),
        ({"missing": 1}, {}, "still_missing", True),
        ({"missing": 1}, {"installs": [NOT_INSTALLED]}, "failed", True),
        ({"missing": 1}, {"installs": [INSTALLED, NOT_INSTALLED]}, "failed", True),
        ({}, {"installs": [NOT_INSTALLED]}, "patched_reported_failed", False),
        ({"pending_reboot": 1}, {}, "pending_reboot", False),
        ({}, {"probeAfter": {**PROBE, "reboot": "needed", "rebootReasons": []}}, "pending_reboot", False),
        ({}, {"installs": []}, "compliant", False),
    ],
    ids=[
        "nothing missing",
        "success but missing",
        "failure and missing",
        "second run failed",
        "failure but nothing missing",
        "reboot pending by patch state",
        "reboot pending by probe",
        "nothing had to be installed",
    ],
)
def test_a_machine_is_judged_by_its_scan(
    world: World, counts: dict[str, Any], data: dict[str, Any], verdict: str, fails: bool
) -> None:
    world.ssm.patch_states[INSTANCE] = patch_state(snapshot_id=SNAPSHOT, **counts)

    verified = verify(world, **data)

    assert verified["verdict"] == verdict
    assert (verified["failure"] is not None) is fails


def test_without_fresh_evidence_the_verdict_is_unknown_and_fails_by_default(world: World) -> None:
    verified = verify(world)

    assert verified["verdict"] == "unknown"
    assert verified["failure"]["error"] == "VerdictUnknownError"
    assert verified["patches"]["missing"] == -1


def test_a_scan_that_finds_missing_patches_fails_nothing(world: World) -> None:
    world.set_policy(operation="Scan", failOn=["still_missing", "failed", "unknown", "pending_reboot"])
    world.ssm.patch_states[INSTANCE] = patch_state(snapshot_id=SNAPSHOT, missing=5, failed=1, pending_reboot=1)

    verified = verify(world, probeAfter=None, installs=[])

    assert (verified["verdict"], verified["failure"], verified["rebooted"]) == ("scanned", None, False)
    assert verified["patches"]["missing"] == 5


@pytest.mark.parametrize(
    ("after", "rebooted"),
    [({**PROBE, "bootId": "boot-2"}, True), (PROBE, False), (None, False)],
    ids=["another boot", "the same boot", "not probed"],
)
def test_rebooted_means_another_boot(world: World, after: Any, rebooted: bool) -> None:
    world.ssm.patch_states[INSTANCE] = patch_state(snapshot_id=SNAPSHOT)

    assert verify(world, probeAfter=after)["rebooted"] is rebooted


def test_the_failed_cause_does_not_claim_what_was_not_reported(world: World) -> None:
    world.ssm.patch_states[INSTANCE] = patch_state(snapshot_id=SNAPSHOT, failed=1)
    world.ssm.patches = {(INSTANCE, "Failed"): ["KB3"]}

    failure = verify(world)["failure"]

    assert failure["error"] == "PatchingFailedError"
    assert "KB3" in failure["cause"]
    assert "the installation reported failure" not in failure["cause"]


BEFORE: PatchCounts = {**NOTHING_KNOWN, "missing": 3, "missingPatches": ["KB1", "KB2", "KB3"]}
AFTER: PatchCounts = {**NOTHING_KNOWN, "missing": 1, "missingPatches": ["KB1"]}


def installed(world: World, counts: PatchCounts = AFTER, **policy: Any) -> list[str]:
    given = world.step(data={"patchesBefore": BEFORE}, policy=merge(DEFAULTS, policy))
    return find_installed(world.services, given, counts)


def test_installed_is_what_was_missing_and_is_listed_so_and_no_longer_missing(world: World) -> None:
    world.ssm.patches[(INSTANCE, "Installed")] = ["KB0", "KB1", "KB2"]

    assert installed(world) == ["KB2"], "KB3 may have been replaced by another, KB1 is missing in a newer version"


@pytest.mark.parametrize(
    ("policy", "counts"),
    [
        ({"operation": "Scan"}, AFTER),
        ({"document": "AWS-InstallWindowsUpdates"}, AFTER),
        ({}, {**AFTER, "missing": 70}),
    ],
    ids=["nothing was to be installed", "Windows Update lists nothing", "more is missing than is named"],
)
def test_what_is_not_known_to_be_installed_is_not_said(
    world: World, policy: dict[str, Any], counts: PatchCounts
) -> None:
    world.ssm.patches[(INSTANCE, "Installed")] = ["KB2", "KB3"]

    assert installed(world, counts, **policy) == []


def test_a_list_that_aws_refuses_fails_no_machine(world: World) -> None:
    world.ssm.faults.before["list_installed"] = AwsCallFailedError("InvalidFilter")

    assert installed(world) == []
