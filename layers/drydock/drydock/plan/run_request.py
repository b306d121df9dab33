"""The input of MaintenanceRun, checked whole before anything is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from drydock.catalogue.saying import say
from drydock.errors import InvalidInputError
from drydock.plan.targets import Target, check_targets
from drydock.request.checking import GUID, PRINCIPAL, RUN_ID, Check, brief, flag, join_mistakes, one_of, section, text
from drydock.request.policy import OPERATIONS, Policy, effective_policy, require_no_mistakes

Source = Literal["targets", "window", "plan", "resume"]

_SOURCES: tuple[Source, ...] = ("targets", "window", "plan", "resume")
_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


def _operations(path: str, value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) != 1:
        return [say("request.operations", path=path, value=brief(value), allowed=OPERATIONS)]
    return one_of(*OPERATIONS)(f"{path}[0]", value[0])


_check_window: Check = section(
    {
        "windowId": text(r"mw-[0-9a-f]{17}", say("expected.window_id")),
        "executionId": text(_UUID, say("expected.window_execution")),
    }
)

_check_input = section(
    {
        "targets": check_targets,
        "window": _check_window,
        "plan": RUN_ID,
        "resume": RUN_ID,
        "operations": _operations,
        "policy": lambda path, value: [],
        "planOnly": flag,
        "snapshotId": GUID,
        "follows": RUN_ID,
        "startedBy": PRINCIPAL,
    }
)


@dataclass(frozen=True)
class RunRequest:
    """What a run is asked to do. Exactly one of targets, window, plan and resume says with which machines."""

    source: Source
    targets: list[Target]
    window_id: str
    window_execution_id: str
    earlier: str
    """The run whose plan is carried out, or taken up."""
    policy: Policy
    given_policy: Mapping[str, Any]
    plan_only: bool
    snapshot_id: str
    follows: str
    started_by: str

    @property
    def is_ahead(self) -> bool:
        """Whether it is a plan for the next opening of a window."""
        return self.source == "window" and self.plan_only and not self.window_execution_id


def read_run_request(given: object, settings: str, settings_name: str, run_id: str) -> RunRequest:
    """Raises InvalidInputError or InvalidPolicyError; either names every mistake."""
    values: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    policy_given = values.get("policy", {})
    operations = values.get("operations")
    merged = policy_given
    if isinstance(policy_given, Mapping) and isinstance(operations, list) and len(operations) == 1:
        merged = {**policy_given, "operation": operations[0]} if operations[0] in OPERATIONS else policy_given
    policy, policy_mistakes = effective_policy(settings, settings_name, merged)
    mistakes = [*RUN_ID(say("request.execution_name"), run_id), *_check_input("input", given)]
    if isinstance(given, Mapping):
        mistakes += _combinations(values, policy)
    if mistakes:
        raise InvalidInputError(join_mistakes([*mistakes, *policy_mistakes]))
    require_no_mistakes(policy_mistakes)
    source = next(name for name in _SOURCES if name in values)
    window = values.get("window", {})
    return RunRequest(
        source=source,
        targets=list(values.get("targets", [])),
        window_id=str(window.get("windowId", "")),
        window_execution_id=str(window.get("executionId", "")),
        earlier=str(values.get("plan") or values.get("resume") or ""),
        policy=policy,
        given_policy=policy_given,
        plan_only=bool(values.get("planOnly", False)),
        snapshot_id=str(values.get("snapshotId", "")).lower(),
        follows=str(values.get("follows", "")),
        started_by=str(values.get("startedBy", "")),
    )


def _combinations(values: Mapping[str, Any], policy: Policy) -> list[str]:
    """What does not go together, or is missing."""
    mistakes = []
    sources = [name for name in _SOURCES if name in values]
    if len(sources) != 1:
        mistakes.append(
            say("request.several_sources", known=_SOURCES, given=sources)
            if sources
            else say("request.no_source", known=_SOURCES)
        )
    window = values.get("window")
    if isinstance(window, Mapping):
        if "windowId" not in window:
            mistakes.append(say("request.required", path="input.window.windowId"))
        if "executionId" not in window and not values.get("planOnly"):
            mistakes.append(say("request.window.execution", path="input.window.executionId"))
    elif policy["deadlineMinutes"] == 0:
        mistakes.append(say("request.deadline.required"))
    if "snapshotId" in values and "follows" in values:
        mistakes.append(say("request.two_snapshots"))
    for source in ("plan", "resume"):
        if source in values:
            fixed = [name for name in ("operations", "follows", "snapshotId") if name in values]
            mistakes += [say("request.fixed_by_run", name=name, source=source) for name in fixed]
    if "plan" in values and values.get("planOnly"):
        mistakes.append(say("request.planned_already"))
    given = values.get("policy")
    if "plan" in values and isinstance(given, Mapping) and set(given) - {"deadlineMinutes"}:
        mistakes.append(say("request.policy_of_plan"))
    return mistakes
