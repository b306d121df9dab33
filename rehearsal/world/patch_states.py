"""Patches, and what a machine has told Systems Manager about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

Platform = Literal["Linux", "Windows"]
PatchState = Literal["Installed", "InstalledOther", "InstalledPendingReboot", "InstalledRejected", "Missing", "Failed"]

SEVERITIES = ("Critical", "Important", "Moderate", "Low", "Unspecified")
CATEGORIES = {
    "Application": "Applications",
    "Connectors": "Connectors",
    "CriticalUpdates": "Critical Updates",
    "DefinitionUpdates": "Definition Updates",
    "DeveloperKits": "Developer Kits",
    "Drivers": "Drivers",
    "FeaturePacks": "Feature Packs",
    "Guidance": "Guidance",
    "Microsoft": "Microsoft",
    "SecurityUpdates": "Security Updates",
    "ServicePacks": "Service Packs",
    "Tools": "Tools",
    "UpdateRollups": "Update Rollups",
    "Updates": "Updates",
}
"""Categories by the name that AWS-InstallWindowsUpdates takes."""

BASELINES: Mapping[Platform, str] = {
    "Linux": "arn:aws:ssm:ap-northeast-1:484020925801:patchbaseline/pb-0221829c157a4d3e1",
    "Windows": "arn:aws:ssm:ap-northeast-1:484020925801:patchbaseline/pb-0c10e65780f3b1a2d",
}
_NON_COMPLIANT = ("Missing", "Failed", "InstalledPendingReboot", "InstalledRejected")
"""CriticalNonCompliantCount in the API model: "missing, have failed installation, were rejected, or were installed but
awaiting a required managed node reboot"."""


@dataclass(frozen=True)
class Patch:
    """One update: a Windows knowledge base article or a Linux package."""

    name: str
    platform: Platform
    severity: str
    category: str
    published: date

    @property
    def title(self) -> str:
        """Return the text that people see."""
        if self.platform == "Linux":
            return f"{self.name}.x86_64:0:2.0-1"
        month = self.published.strftime("%Y-%m")
        return f"{month} Cumulative Update for Windows Server 2022 for x64-based Systems ({self.name})"

    @property
    def classification(self) -> str:
        """Return the classification that the patch state shows."""
        words = CATEGORIES[self.category]
        return words.replace(" ", "") if self.platform == "Windows" else words.removesuffix(" Updates")


def parse_patch(text: str, platform: Platform, published: date) -> Patch:
    """Return the patch that a fleet describes as `NAME [SEVERITY] [CATEGORY] [YYYY-MM-DD]`.

    Raises ValueError for words that are none of these.
    """
    name, *words = text.split()
    severity, category = "Critical", "SecurityUpdates"
    for word in words:
        if word in SEVERITIES:
            severity = word
        elif word in CATEGORIES:
            category = word
        else:
            published = date.fromisoformat(word)
    return Patch(name, platform, severity, category, published)


def list_old_patches(platform: Platform, published: date) -> list[Patch]:
    """Return the patches that every machine has had for long."""
    names = ("KB5031364", "KB5032198", "KB5033118") if platform == "Windows" else ("openssl", "curl", "glibc")
    return [Patch(name, platform, "Important", "SecurityUpdates", published) for name in names]


@dataclass(frozen=True)
class PatchOperation:
    """One operation of AWS-RunPatchBaseline, as it began by the machine's own clock.

    The patch group is the one that the machine is in at that moment: by it the baseline is chosen, and it stays in what
    is reported until the next operation reports another.
    """

    kind: Literal["Scan", "Install"]
    started: datetime
    snapshot_id: str
    reboot_option: str
    patch_group: str


@dataclass(frozen=True)
class PatchReport:
    """What one operation of AWS-RunPatchBaseline reported; times are those of the machine's own clock."""

    operation: PatchOperation
    ended: datetime
    patches: Sequence[tuple[Patch, PatchState]]
    last_no_reboot_install: datetime | None = None

    def as_patch_state(self, instance_id: str, platform: Platform) -> dict[str, Any]:
        """Return the report in the shape of DescribeInstancePatchStates."""
        counts = Counter(state for _, state in self.patches)
        bad = [patch for patch, state in self.patches if state in _NON_COMPLIANT]
        critical = sum(patch.severity == "Critical" for patch in bad)
        security = sum(patch.severity != "Critical" and patch.category == "SecurityUpdates" for patch in bad)
        answer = {
            "InstanceId": instance_id,
            "PatchGroup": self.operation.patch_group,
            "BaselineId": BASELINES[platform],
            "SnapshotId": self.operation.snapshot_id,
            "InstalledCount": counts["Installed"],
            "InstalledOtherCount": counts["InstalledOther"],
            "InstalledPendingRebootCount": counts["InstalledPendingReboot"],
            "InstalledRejectedCount": counts["InstalledRejected"],
            "MissingCount": counts["Missing"],
            "FailedCount": counts["Failed"],
            "UnreportedNotApplicableCount": 0,
            "NotApplicableCount": 0,
            "OperationStartTime": self.operation.started,
            "OperationEndTime": self.ended,
            "Operation": self.operation.kind,
            "RebootOption": self.operation.reboot_option,
            "CriticalNonCompliantCount": critical,
            "SecurityNonCompliantCount": security,
            "OtherNonCompliantCount": len(bad) - critical - security,
        }
        if platform == "Windows":
            answer["AvailableSecurityUpdateCount"] = 0
        if self.last_no_reboot_install:
            answer["LastNoRebootInstallOperationTime"] = self.last_no_reboot_install
        return answer

    def as_patches(self) -> list[dict[str, Any]]:
        """Return the report in the shape of DescribeInstancePatches."""
        never = datetime.fromtimestamp(0, UTC)
        return [
            {
                "Title": patch.title,
                "KBId": patch.name if patch.platform == "Windows" else f"{patch.name}.x86_64",
                "Classification": patch.classification,
                "Severity": patch.severity,
                "State": state,
                "InstalledTime": self.ended if state.startswith("Installed") else never,
            }
            for patch, state in self.patches
        ]


def select_patches(
    patches: Iterable[Mapping[str, Any]], filters: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return the patches that pass all filters of DescribeInstancePatches, compared as AWS does.

    Raises KeyError for a filter key that AWS does not know.
    """
    chosen = list(patches)
    for condition in filters:
        key = {"State": "State", "KBId": "KBId", "Severity": "Severity", "Classification": "Classification"}[
            condition["Key"]
        ]
        wanted = {_fold(value) for value in condition["Values"]}
        chosen = [patch for patch in chosen if _fold(patch[key]) in wanted]
    return chosen


def filter_windows_updates(updates: Iterable[Patch], parameters: Mapping[str, str], today: date) -> list[Patch]:
    """Return the updates that AWS-InstallWindowsUpdates takes with these parameters.

    All given filters must hold: a knowledge base article to include still has to have the severity.
    """
    severities = _split(parameters.get("SeverityLevels"))
    categories = _split(parameters.get("Categories"))
    included = {_strip_kb(name) for name in _split(parameters.get("IncludeKbs"))}
    excluded = {_strip_kb(name) for name in _split(parameters.get("ExcludeKbs"))}
    age = timedelta(days=int(parameters.get("PublishedDaysOld") or 0))
    after = _parse_date(parameters.get("PublishedDateAfter")) or date.min
    before = _parse_date(parameters.get("PublishedDateBefore")) or date.max
    return [
        update
        for update in updates
        if (not severities or update.severity in severities)
        and (not categories or update.category in categories)
        and (not included or _strip_kb(update.name) in included)
        and _strip_kb(update.name) not in excluded
        and update.published + age <= today
        and after <= update.published <= before
    ]


def _split(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _strip_kb(name: str) -> str:
    return name.lower().removeprefix("kb")


def _parse_date(text: str | None) -> date | None:
    return datetime.strptime(text, "%m/%d/%Y").replace(tzinfo=UTC).date() if text else None


def _fold(text: str) -> str:
    return text.replace("_", "").lower()
