"""The policy: what an execution shall do, from the built-in defaults, the account's settings and the input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from datetime import timedelta
from typing import Any, Literal, TypedDict, cast

from drydock.checking import flag, join_mistakes, list_of, one_of, section, text, whole_number
from drydock.errors import InvalidPolicyError

RUN_PATCH_BASELINE = "AWS-RunPatchBaseline"
INSTALL_WINDOWS_UPDATES = "AWS-InstallWindowsUpdates"

Verdict = Literal[
    "compliant", "pending_reboot", "patched_reported_failed", "still_missing", "failed", "unknown", "scanned"
]
HookName = Literal["preInstall", "postInstall", "onExit"]


class WindowsUpdatePolicy(TypedDict):
    """What AWS-InstallWindowsUpdates may install. An empty list means no restriction."""

    severityLevels: list[str]
    categories: list[str]
    includeKbs: list[str]
    excludeKbs: list[str]
    publishedDaysOld: int


class BackupPolicy(TypedDict):
    before: bool
    after: bool
    noReboot: bool
    deprecateAfterDays: int


class HookPolicy(TypedDict):
    """Names of SSM Command documents of the account; empty for none."""

    preInstall: str
    postInstall: str
    onExit: str


class DeadlinePolicy(TypedDict):
    """How long each step may take, in seconds."""

    imageSeconds: int
    startSeconds: int
    patchSeconds: int
    hookSeconds: int
    stopSeconds: int


class Policy(TypedDict):
    operation: Literal["Install", "Scan"]
    document: str
    reboot: Literal["RebootIfNeeded", "NoReboot"]
    windowsUpdate: WindowsUpdatePolicy
    backup: BackupPolicy
    hooks: HookPolicy
    healthProbe: str
    startForScan: bool
    deadlines: DeadlinePolicy
    failOn: list[str]
    notify: Literal["each", "failures", "summary"]


DEFAULTS: Policy = {
    "operation": "Install",
    "document": RUN_PATCH_BASELINE,
    "reboot": "RebootIfNeeded",
    "windowsUpdate": {
        "severityLevels": ["Critical", "Important", "Moderate", "Low"],
        "categories": [],
        "includeKbs": [],
        "excludeKbs": [],
        "publishedDaysOld": 0,
    },
    "backup": {"before": True, "after": True, "noReboot": False, "deprecateAfterDays": 90},
    "hooks": {"preInstall": "", "postInstall": "", "onExit": ""},
    "healthProbe": "",
    "startForScan": False,
    "deadlines": {
        "imageSeconds": 3600,
        "startSeconds": 3600,
        "patchSeconds": 3600,
        "hookSeconds": 600,
        "stopSeconds": 3600,
    },
    "failOn": ["still_missing", "failed", "unknown"],
    "notify": "failures",
}

_SEVERITIES = ("Critical", "Important", "Moderate", "Low", "Unspecified")
_CATEGORIES = (
    "CriticalUpdates",
    "DefinitionUpdates",
    "Drivers",
    "FeaturePacks",
    "SecurityUpdates",
    "ServicePacks",
    "UpdateRollups",
    "Updates",
)
"""Those whose language-free ids the stack's search knows."""

_kb = text(r"(KB)?[0-9]{6,7}", "a KB number such as KB5034439")
_document = text(r"|[a-zA-Z0-9_\-.]{3,128}", "the name of an SSM document (3 to 128 of A-Z a-z 0-9 _ - .) or ''")

MOST_SECONDS: DeadlinePolicy = {
    "imageSeconds": 86_400,
    "startSeconds": 7_200,
    "patchSeconds": 14_400,
    "hookSeconds": 7_200,
    "stopSeconds": 7_200,
}
"""The longest deadline that a policy may ask for; the state machine's retriers last at least as long."""

_check_policy = section(
    {
        "operation": one_of("Install", "Scan"),
        "document": one_of(RUN_PATCH_BASELINE, INSTALL_WINDOWS_UPDATES),
        "reboot": one_of("RebootIfNeeded", "NoReboot"),
        "windowsUpdate": section(
            {
                "severityLevels": list_of(one_of(*_SEVERITIES)),
                "categories": list_of(one_of(*_CATEGORIES)),
                "includeKbs": list_of(_kb),
                "excludeKbs": list_of(_kb),
                "publishedDaysOld": whole_number(0, 3650),
            }
        ),
        "backup": section(
            {
                "before": flag,
                "after": flag,
                "noReboot": flag,
                "deprecateAfterDays": whole_number(1, 3650),
            }
        ),
        "hooks": section({"preInstall": _document, "postInstall": _document, "onExit": _document}),
        "healthProbe": _document,
        "startForScan": flag,
        "deadlines": section({key: whole_number(60, cast(int, most)) for key, most in MOST_SECONDS.items()}),
        "failOn": list_of(one_of("pending_reboot", "patched_reported_failed", "still_missing", "failed", "unknown")),
        "notify": one_of("each", "failures", "summary"),
    }
)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        lower = merged.get(key)
        merged[key] = _merge(lower, value) if isinstance(lower, Mapping) and isinstance(value, Mapping) else value
    return merged


def _impossible(policy: Mapping[str, Any]) -> list[str]:
    """Combinations that no run could carry out, also in a policy that has other mistakes."""
    both = sorted(_kbs(policy, "includeKbs") & _kbs(policy, "excludeKbs"))
    if not both:
        return []
    names = ", ".join(f"KB{kb}" for kb in both[:10])
    return [f"policy.windowsUpdate: {names} stands in includeKbs and in excludeKbs"]


def _kbs(policy: Mapping[str, Any], key: str) -> set[str]:
    wanted = policy.get("windowsUpdate")
    kbs = wanted.get(key) if isinstance(wanted, Mapping) else None
    return {kb.removeprefix("KB") for kb in kbs if isinstance(kb, str)} if isinstance(kbs, list) else set()


def read_settings(settings: str) -> tuple[Mapping[str, Any], list[str]]:
    """The account's policy, from the text in Parameter Store, and its mistakes."""
    try:
        value = json.loads(settings)
    except (ValueError, RecursionError) as error:
        return {}, [f"not JSON: {error}"]
    mistakes = _check_policy("policy", value)
    return ({}, mistakes) if mistakes else (value, [])


def effective_policy(settings: str, settings_name: str, given: object) -> tuple[Policy, list[str]]:
    """Built-in defaults < the account's settings < the input, and every mistake in them.

    `settings_name` says where the settings stand, for the mistakes found there.
    """
    account, mistakes = read_settings(settings)
    mistakes = [f"{settings_name}: {mistake}" for mistake in mistakes]
    given_mistakes = _check_policy("policy", given)
    merged = _merge(_merge(deepcopy(DEFAULTS), account), given if isinstance(given, Mapping) else {})
    return cast(Policy, merged), [*mistakes, *given_mistakes, *_impossible(merged)]


def require_no_mistakes(mistakes: list[str]) -> None:
    """Raises InvalidPolicyError that names every mistake."""
    if mistakes:
        raise InvalidPolicyError(join_mistakes(mistakes))


def deadline_of(policy: Policy, name: str) -> timedelta:
    """The policy's deadline of this name (`imageSeconds`, …)."""
    return timedelta(seconds=int(policy["deadlines"][name]))  # type: ignore[literal-required]
