"""The parameters that are sent, by policy."""

from __future__ import annotations

from typing import Any, cast

import pytest

from drydock.machine.patching import install_parameters, scan_command
from drydock.request.policy import DEFAULTS, Policy
from tests.unit.world import ENVIRONMENT, SNAPSHOT, merge

BASELINE = {"Operation": "Install", "SnapshotId": SNAPSHOT}
LEVELS = "Critical,Important,Moderate,Low"


def by_policy(**above: Any) -> Policy:
    return cast(Policy, merge(DEFAULTS, above))


def windows_update(**filters: Any) -> Policy:
    return by_policy(document="AWS-InstallWindowsUpdates", windowsUpdate=filters)


@pytest.mark.parametrize(
    ("policy", "reboot", "parameters"),
    [
        (by_policy(), True, {**BASELINE, "RebootOption": "RebootIfNeeded"}),
        (by_policy(), False, {**BASELINE, "RebootOption": "NoReboot"}),
        (by_policy(reboot="NoReboot"), True, {**BASELINE, "RebootOption": "NoReboot"}),
        (windows_update(), True, {"Action": "Install", "AllowReboot": "True", "SeverityLevels": LEVELS}),
        (windows_update(), False, {"Action": "Install", "AllowReboot": "False", "SeverityLevels": LEVELS}),
        (
            windows_update(
                severityLevels=[],
                categories=["SecurityUpdates", "Updates"],
                includeKbs=["KB5034439"],
                excludeKbs=["5035857", "KB5036000"],
                publishedDaysOld=7,
            ),
            True,
            {
                "Action": "Install",
                "AllowReboot": "True",
                "Categories": "SecurityUpdates,Updates",
                "IncludeKbs": "KB5034439",
                "ExcludeKbs": "5035857,KB5036000",
                "PublishedDaysOld": "7",
            },
        ),
    ],
    ids=[
        "defaults",
        "first of two runs",
        "no reboot by policy",
        "Windows Update",
        "first of two with Windows Update",
        "all filters",
    ],
)
def test_the_installation_gets_the_parameters_of_its_document(
    policy: Policy, reboot: bool, parameters: dict[str, str]
) -> None:
    assert install_parameters(policy, SNAPSHOT, reboot=reboot) == parameters


def test_windows_update_never_reboots_where_the_policy_forbids_it() -> None:
    policy = by_policy(document="AWS-InstallWindowsUpdates", reboot="NoReboot")

    assert install_parameters(policy, SNAPSHOT, reboot=True)["AllowReboot"] == "False"


def test_a_baseline_is_scanned_with_the_snapshot_of_the_run_and_the_state_of_before_is_remembered() -> None:
    command = scan_command(ENVIRONMENT, by_policy(), SNAPSHOT, "scanAfter", "2026-01-01")

    assert (command.document, command.purpose) == ("AWS-RunPatchBaseline", "scan")
    assert command.parameters == {"Operation": "Scan", "SnapshotId": SNAPSHOT}
    assert command.facts == {"operationEndedBefore": "2026-01-01"}


def test_windows_update_is_searched_with_the_filters_of_the_installation() -> None:
    policy = windows_update(excludeKbs=["KB5034439"])

    command = scan_command(ENVIRONMENT, policy, SNAPSHOT, "scanAfter", "")

    installed = install_parameters(policy, SNAPSHOT, reboot=True)
    filters = {key: value for key, value in installed.items() if key not in ("Action", "AllowReboot")}
    assert (command.document, command.purpose) == ("drydock-SearchWindowsUpdates", "search")
    assert command.parameters == filters != {}
