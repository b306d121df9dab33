"""The policy: what an execution shall do, from the built-in defaults, the account's settings and the input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from datetime import timedelta
from typing import Any, Literal, TypedDict, cast, get_args

from drydock.catalogue.saying import say
from drydock.errors import InvalidPolicyError
from drydock.request.checking import (
    Check,
    flag,
    join_mistakes,
    list_of,
    number_or_share,
    one_of,
    section,
    text,
    whole_number,
)
from drydock.request.documents import DOCUMENT_NAME

RUN_PATCH_BASELINE = "AWS-RunPatchBaseline"
INSTALL_WINDOWS_UPDATES = "AWS-InstallWindowsUpdates"

MOST_BATCH = 20
"""Members of a group that are out of service at once; AWS takes 20 instances in one call of EnterStandby."""

SSM_AGENT = "AmazonSSMAgent"
CLOUDWATCH_AGENT = "AmazonCloudWatchAgent"

Verdict = Literal[
    "compliant",
    "unpatchable",
    "pending_reboot",
    "non_compliant",
    "patched_reported_failed",
    "still_missing",
    "failed",
    "unknown",
    "scanned",
]
Operation = Literal["Install", "Scan", "UpdateAgents"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
RESTORE: Literal["Restore"] = "Restore"
"""What RestoreInstance does. No policy can ask for it."""
Reboot = Literal["RebootIfNeeded", "WhenNeeded", "Later", "NoReboot"]
"""When a machine is rebooted for what was installed: whenever something was; when the machine itself says that it runs
old code; not now, but before anything is installed in the next run; or not at all."""
ON_EVIDENCE: tuple[Reboot, ...] = ("WhenNeeded", "Later")
"""Where the machine's own answer decides, and not whether AWS waits for a reboot."""
ClusterKind = Literal["eks", "ecs", "emr", "karpenter"]
CLUSTER_KINDS: tuple[ClusterKind, ...] = get_args(ClusterKind)


class WindowsUpdatePolicy(TypedDict):
    """What AWS-InstallWindowsUpdates may install. An empty list means no restriction."""

    severityLevels: list[str]
    categories: list[str]
    includeKbs: list[str]
    excludeKbs: list[str]
    publishedDaysOld: int


class BackupBeforePolicy(TypedDict):
    """The image before patching: whether it is made, with a reboot of a running machine, and what patching waits for.

    `available`: until EC2 has finished it. `begun`: until its snapshots have begun, which fixes what is in them.
    """

    take: bool
    reboot: bool
    method: Literal["image"]
    wait: Literal["available", "begun"]


class BackupAfterPolicy(TypedDict):
    """The image after patching: whether it is made, and whether with a reboot of a running machine."""

    take: bool
    reboot: bool


class PrunePolicy(TypedDict):
    """Whether images go by themselves, and which may: older than so many days, beyond so many of each machine."""

    enabled: bool
    afterDays: int
    keep: int


class BackupPolicy(TypedDict):
    """Which images are made, whether of members of groups, too, the days to their deprecation, and when they go."""

    before: BackupBeforePolicy
    after: BackupAfterPolicy
    members: bool
    deprecateAfterDays: int
    prune: PrunePolicy


class HookPolicy(TypedDict):
    """Names of SSM Command documents of the account; empty for none."""

    beforeAnything: str
    preInstall: str
    postInstall: str
    onExit: str


class DeadlinePolicy(TypedDict):
    """How long each step may take, in seconds."""

    imageSeconds: int
    startSeconds: int
    patchSeconds: int
    hookSeconds: int
    agentSeconds: int
    replaceSeconds: int
    stopSeconds: int
    standbySeconds: int


class CanaryPolicy(TypedDict):
    """The machines of the first wave: a number or share of them, or those with a tag (`Key` or `Key=Value`)."""

    count: str | int
    tag: str


class GatePolicy(TypedDict):
    """What must be quiet for a machine to be taken out of service."""

    alarms: list[str]
    calendars: list[str]


class ApprovalPolicy(TypedDict):
    """When people are asked first: always, or for more machines than `above` (0: whatever their number).

    A window carries out a plan that was made for it, and approved, so many days `ahead` (0: people are asked when it
    opens).
    """

    required: bool
    above: int
    seconds: int
    minApprovals: int
    ahead: int


class MessagePolicy(TypedDict):
    """What is repeated in messages of what machines print, secrets masked: nothing, or the last lines of error output.

    Never of hooks and health probes: those are somebody's own, and what they print stays in the log bucket.
    """

    errorOutput: Literal["none", "lastLines"]


class RefreshPolicy(TypedDict):
    """Whether a roll gives the group's launch template the image of a member, and may make that its default."""

    enabled: bool
    allowDefault: bool


class UndoPolicy(TypedDict):
    """What a machine may be brought back to: no image that is older than so many days."""

    maxAgeDays: int


class Policy(TypedDict):
    """What is done to a machine, and how a run goes about its machines."""

    operation: Operation | Literal["Restore"]
    document: str
    reboot: Reboot
    windowsUpdate: WindowsUpdatePolicy
    agents: list[str]
    backup: BackupPolicy
    hooks: HookPolicy
    healthProbe: str
    startForScan: bool
    whenCompliant: Literal["leave", "proceed"]
    include: list[str]
    deadlines: DeadlinePolicy
    undo: UndoPolicy
    failOn: list[str]
    notify: Literal["each", "failures", "summary"]
    messages: MessagePolicy
    deadlineMinutes: int
    maxConcurrency: str | int
    maxErrors: str | int
    canary: CanaryPolicy
    soakMinutes: int
    waveSize: str | int
    gates: GatePolicy
    approval: ApprovalPolicy
    batch: int
    capacity: Literal["reduce", "surge"]
    surgeFallback: Literal["fail", "reduce"]
    minHealthy: str | int
    onMemberFailure: Literal["return", "hold", "replace"]
    launchedMembers: Literal["report", "patch"]
    refreshLaunchTemplate: RefreshPolicy


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
    "agents": [SSM_AGENT, CLOUDWATCH_AGENT],
    "backup": {
        "before": {"take": True, "reboot": True, "method": "image", "wait": "available"},
        "after": {"take": True, "reboot": False},
        "members": False,
        "deprecateAfterDays": 90,
        "prune": {"enabled": False, "afterDays": 90, "keep": 3},
    },
    "hooks": {"beforeAnything": "", "preInstall": "", "postInstall": "", "onExit": ""},
    "healthProbe": "",
    "startForScan": False,
    "whenCompliant": "leave",
    "include": [],
    "deadlines": {
        "imageSeconds": 3600,
        "startSeconds": 3600,
        "patchSeconds": 3600,
        "hookSeconds": 600,
        "agentSeconds": 600,
        "replaceSeconds": 3600,
        "stopSeconds": 3600,
        "standbySeconds": 300,
    },
    "undo": {"maxAgeDays": 14},
    "failOn": ["still_missing", "failed", "unknown"],
    "notify": "failures",
    "messages": {"errorOutput": "none"},
    "deadlineMinutes": 0,
    "maxConcurrency": "1",
    "maxErrors": "0",
    "canary": {"count": "0", "tag": ""},
    "soakMinutes": 0,
    "waveSize": "100%",
    "gates": {"alarms": [], "calendars": []},
    "approval": {"required": False, "above": 0, "seconds": 1200, "minApprovals": 1, "ahead": 0},
    "batch": 1,
    "capacity": "reduce",
    "surgeFallback": "fail",
    "minHealthy": "",
    "onMemberFailure": "return",
    "launchedMembers": "report",
    "refreshLaunchTemplate": {"enabled": False, "allowDefault": False},
}

_NO_FAILURES = ("compliant", "scanned")
"""The verdicts with which nothing is wrong."""

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

_kb = text(r"(KB)?[0-9]{6,7}", say("expected.kb"))
_document = text(rf"|{DOCUMENT_NAME}", say("expected.document_or_none"))

_at_least_one = number_or_share(r"[1-9][0-9]{0,4}|[1-9][0-9]?%|100%", 1, 99_999, say("expected.share"))
_at_least_none = number_or_share(
    r"[0-9]|[1-9][0-9]{0,4}|[0-9]%|[1-9][0-9]%|100%", 0, 99_999, say("expected.share_or_zero")
)
_alarm = text(r"(?s).{1,400}", say("expected.alarm"))
_calendar = text(r"[a-zA-Z0-9_\-.:/]{3,400}", say("expected.calendar"))
_canary_tag = text(r"|[^=]{1,128}(=.{0,256})?", say("expected.canary_tag"))

MOST_SECONDS: DeadlinePolicy = {
    "imageSeconds": 86_400,
    "startSeconds": 7_200,
    "patchSeconds": 14_400,
    "hookSeconds": 7_200,
    "agentSeconds": 7_200,
    "replaceSeconds": 14_400,
    "stopSeconds": 7_200,
    "standbySeconds": 7_200,
}
"""The longest deadline that a policy may ask for; the state machine's retriers last at least as long."""

MOST_DEADLINE_MINUTES = 4320
"""Three days: so long a plan's patch snapshot lives."""


def _moment_of_backup(keys: Mapping[str, Check]) -> Check:
    check_section = section(keys)

    def check(path: str, value: Any) -> list[str]:
        if isinstance(value, bool):
            return [say("policy.take", path=path, value=str(value).lower())]
        return check_section(path, value)

    return check


def _no_reboot(path: str, value: Any) -> list[str]:
    return [say("policy.no_reboot", path=path, backup=path.rpartition(".")[0])]


def _method(path: str, value: Any) -> list[str]:
    if value == "vss":
        return [say("policy.no_vss", path=path)]
    return one_of("image")(path, value)


_BACKUP: Mapping[str, Check] = {
    "before": _moment_of_backup(
        {"take": flag, "reboot": flag, "method": _method, "wait": one_of("available", "begun")}
    ),
    "after": _moment_of_backup({"take": flag, "reboot": flag}),
    "members": flag,
    "deprecateAfterDays": whole_number(1, 3650),
    # A run lasts three days at most, so what a run or a roll may need is always younger.
    "prune": section({"enabled": flag, "afterDays": whole_number(7, 3650), "keep": whole_number(1, 1000)}),
}
_REPLACED: Mapping[str, Check] = {"noReboot": _no_reboot}
"""Keys that there were, and what is written instead. They are not named among those that are known."""

_check_policy = section(
    {
        "operation": one_of(*OPERATIONS),
        "document": one_of(RUN_PATCH_BASELINE, INSTALL_WINDOWS_UPDATES),
        "reboot": one_of(*get_args(Reboot)),
        "windowsUpdate": section(
            {
                "severityLevels": list_of(one_of(*_SEVERITIES)),
                "categories": list_of(one_of(*_CATEGORIES)),
                "includeKbs": list_of(_kb),
                "excludeKbs": list_of(_kb),
                "publishedDaysOld": whole_number(0, 3650),
            }
        ),
        "agents": list_of(one_of(SSM_AGENT, CLOUDWATCH_AGENT)),
        "backup": section(_BACKUP, _REPLACED),
        "hooks": section(
            {"beforeAnything": _document, "preInstall": _document, "postInstall": _document, "onExit": _document}
        ),
        "healthProbe": _document,
        "startForScan": flag,
        "whenCompliant": one_of("leave", "proceed"),
        "include": list_of(one_of(*CLUSTER_KINDS)),
        "undo": section({"maxAgeDays": whole_number(1, 365)}),
        "deadlines": section({key: whole_number(60, cast(int, most)) for key, most in MOST_SECONDS.items()}),
        "failOn": list_of(one_of(*(verdict for verdict in get_args(Verdict) if verdict not in _NO_FAILURES))),
        "notify": one_of("each", "failures", "summary"),
        "messages": section({"errorOutput": one_of("none", "lastLines")}),
        "deadlineMinutes": whole_number(0, MOST_DEADLINE_MINUTES),
        "maxConcurrency": _at_least_one,
        "maxErrors": _at_least_none,
        "canary": section({"count": _at_least_none, "tag": _canary_tag}),
        "soakMinutes": whole_number(0, 1440),
        "waveSize": _at_least_one,
        "gates": section({"alarms": list_of(_alarm, 100), "calendars": list_of(_calendar, 10)}),
        "approval": section(
            {
                "required": flag,
                "above": whole_number(0, 10_000),
                "seconds": whole_number(60, 86_400),
                "minApprovals": whole_number(1, 10),
                "ahead": whole_number(0, 14),
            }
        ),
        "batch": whole_number(1, MOST_BATCH),
        "capacity": one_of("reduce", "surge"),
        "surgeFallback": one_of("fail", "reduce"),
        "minHealthy": number_or_share(
            r"|[0-9]|[1-9][0-9]{0,4}|[0-9]%|[1-9][0-9]%|100%", 0, 99_999, say("expected.share_zero_or_none")
        ),
        "onMemberFailure": one_of("return", "hold", "replace"),
        "launchedMembers": one_of("report", "patch"),
        "refreshLaunchTemplate": section({"enabled": flag, "allowDefault": flag}),
    }
)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """What stands above counts; of sections, key by key."""
    merged = dict(below)
    for key, value in above.items():
        lower = merged.get(key)
        merged[key] = merge(lower, value) if isinstance(lower, Mapping) and isinstance(value, Mapping) else value
    return merged


def _impossible(policy: Mapping[str, Any]) -> list[str]:
    """Combinations that no run could carry out, also in a policy that has other mistakes."""
    mistakes = []
    approval = policy.get("approval")
    asks = isinstance(approval, Mapping) and (approval.get("required") or approval.get("above"))
    if isinstance(approval, Mapping) and approval.get("ahead") and not asks:
        mistakes.append(say("policy.ahead.pointless"))
    both = sorted(_kbs(policy, "includeKbs") & _kbs(policy, "excludeKbs"))
    if both:
        mistakes.append(say("policy.kbs", names=[f"KB{kb}" for kb in both]))
    if policy.get("operation") == "UpdateAgents" and policy.get("agents") == []:
        mistakes.append(say("policy.no_agents", first=SSM_AGENT, second=CLOUDWATCH_AGENT))
    hooks = policy.get("hooks")
    if policy.get("include") and not (
        isinstance(hooks, Mapping) and hooks.get("beforeAnything") and hooks.get("onExit")
    ):
        mistakes.append(say("policy.include_needs_hooks"))
    if policy.get("reboot") == "Later" and _images_with_reboot(policy):
        mistakes.append(say("policy.later_and_image"))
    return mistakes


def _images_with_reboot(policy: Mapping[str, Any]) -> bool:
    backup = policy.get("backup")
    after = backup.get("after") if isinstance(backup, Mapping) else None
    return isinstance(after, Mapping) and after.get("take") is True and after.get("reboot") is True


def _kbs(policy: Mapping[str, Any], key: str) -> set[str]:
    wanted = policy.get("windowsUpdate")
    kbs = wanted.get(key) if isinstance(wanted, Mapping) else None
    return {kb.removeprefix("KB") for kb in kbs if isinstance(kb, str)} if isinstance(kbs, list) else set()


def read_settings(settings: str) -> tuple[Mapping[str, Any], list[str]]:
    """The account's policy, from the text in Parameter Store, and its mistakes."""
    try:
        value = json.loads(settings)
    except (ValueError, RecursionError) as error:
        return {}, [say("policy.not_json", reason=str(error))]
    mistakes = _check_policy("policy", value)
    return ({}, mistakes) if mistakes else (value, [])


def documents_of(policy: Policy) -> list[str]:
    """The operator's own documents that run on each machine, hooks and health probe, by name. A Scan runs none."""
    if policy["operation"] == "Scan":
        return []
    hooks = policy["hooks"].values() if policy["operation"] == "Install" else ()
    return sorted({*map(str, hooks), policy["healthProbe"]} - {""})


def effective_policy(settings: str, settings_name: str, given: object) -> tuple[Policy, list[str]]:
    """Built-in defaults < the account's settings < the input, and every mistake in them.

    `settings_name` says where the settings stand, for the mistakes found there.
    """
    account, mistakes = read_settings(settings)
    mistakes = [f"{settings_name}: {mistake}" for mistake in [*_reserved(settings_name), *mistakes]]
    given_mistakes = _check_policy("policy", given)
    below = merge(deepcopy(DEFAULTS), account)
    merged = merge(below, given if isinstance(given, Mapping) else {})
    found = [*mistakes, *given_mistakes, *_impossible(merged)]
    return cast(Policy, merged), found or _loosened(cast(Policy, below), cast(Policy, merged), settings_name)


def account_policy(settings: str) -> Policy:
    """Built-in defaults < the account's settings; settings with mistakes say nothing."""
    return cast(Policy, merge(deepcopy(DEFAULTS), read_settings(settings)[0]))


def tighten(policy: Policy, account: Policy) -> Policy:
    """A policy of an earlier day with what the account asks for now: as many approvals and gates at the least."""
    earlier, now = policy["approval"], account["approval"]
    thresholds = [one["above"] for one in (earlier, now) if one["above"]]
    approval: ApprovalPolicy = {
        **earlier,
        "required": earlier["required"] or now["required"],
        "above": min(thresholds, default=0),
        "minApprovals": max(earlier["minApprovals"], now["minApprovals"]),
        "ahead": min(earlier["ahead"], now["ahead"]),
    }
    gates: GatePolicy = {
        "alarms": list(dict.fromkeys([*policy["gates"]["alarms"], *account["gates"]["alarms"]])),
        "calendars": list(dict.fromkeys([*policy["gates"]["calendars"], *account["gates"]["calendars"]])),
    }
    return {**policy, "approval": approval, "gates": gates}


def _reserved(settings_name: str) -> list[str]:
    """That nobody can make a parameter of this name: CloudFormation cannot refuse the name of such a stack.

    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
    """
    if not settings_name.lower().startswith(("/aws", "/ssm")):
        return []
    return [say("policy.reserved_name")]


def _loosened(below: Policy, policy: Policy, settings_name: str) -> list[str]:
    """Who starts a run may ask more people and mind more gates than the account does, never fewer."""
    wanted, given = below["approval"], policy["approval"]
    mistakes = []
    if policy["backup"]["prune"] != below["backup"]["prune"]:
        mistakes.append(say("policy.prune.of_account", settings=settings_name))
    if wanted["required"] and not given["required"]:
        mistakes.append(say("policy.approval.loosened", settings=settings_name))
    if given["minApprovals"] < wanted["minApprovals"]:
        mistakes.append(say("policy.approvals.loosened", settings=settings_name, count=wanted["minApprovals"]))
    if (wanted["required"] or wanted["above"]) and given["ahead"] > wanted["ahead"]:
        mistakes.append(say("policy.ahead.loosened", settings=settings_name, days=wanted["ahead"]))
    if wanted["above"] and not given["required"] and not 0 < given["above"] <= wanted["above"]:
        mistakes.append(say("policy.above.loosened", settings=settings_name, count=wanted["above"]))
    for kind, names, kept in (
        ("alarms", below["gates"]["alarms"], policy["gates"]["alarms"]),
        ("calendars", below["gates"]["calendars"], policy["gates"]["calendars"]),
    ):
        missing = [name for name in names if name not in kept]
        mistakes += [say("policy.gates.loosened", kind=kind, settings=settings_name, name=name) for name in missing]
    return mistakes


def require_no_mistakes(mistakes: list[str]) -> None:
    """Raises InvalidPolicyError that names every mistake."""
    if mistakes:
        raise InvalidPolicyError(join_mistakes(mistakes))


def of_member(policy: Policy) -> Policy:
    """What of a policy holds for a member of a group: it is imaged only if the policy says so of members.

    Its image before is made without a reboot: nobody uses it by then.
    """
    backup = policy["backup"]
    before: BackupBeforePolicy = {
        **backup["before"],
        "take": backup["before"]["take"] and backup["members"],
        "reboot": False,
    }
    after: BackupAfterPolicy = {**backup["after"], "take": backup["after"]["take"] and backup["members"]}
    return {**policy, "backup": {**backup, "before": before, "after": after}}


def deadline_of(policy: Policy, name: str) -> timedelta:
    """The policy's deadline of this name (`imageSeconds`, …)."""
    return timedelta(seconds=int(policy["deadlines"][name]))  # type: ignore[literal-required]
