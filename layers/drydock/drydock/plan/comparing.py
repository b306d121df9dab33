"""What is different between a plan and the one that was approved last for the same targets. All of it is pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from drydock.catalogue.saying import say
from drydock.plan.plans import Plan
from drydock.plan.showing import names_of
from drydock.subject import subject_of_item


def purpose_of(plan: Plan) -> str:
    """The same text for plans that are compared: those of one window or of the same targets, for one operation."""
    window = plan["window"]
    about: Any = window["windowId"] if window else plan["targetGroups"]
    canonical = json.dumps([plan["operation"], about], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def find_differences(plan: Plan, before: Plan) -> list[str]:
    """A sentence for each; nothing for plans that are the same but for times, power and estimates."""
    return [
        *_of_targets(plan, before),
        *_of_policies(plan, before),
        *_of_machines(plan, before),
        *_of_documents(plan, before),
    ]


def _of_targets(plan: Plan, before: Plan) -> Iterator[str]:
    if plan["targetGroups"] != before["targetGroups"]:
        yield say("plan.different.targets")


def _of_policies(plan: Plan, before: Plan) -> Iterator[str]:
    now, then = dict(_flat(plan["policy"])), dict(_flat(before["policy"]))
    for key in sorted(now.keys() | then.keys()):
        if key != "deadlineMinutes" and now.get(key) != then.get(key):
            yield say("plan.different.policy", name=key, now=_value(now.get(key)), before=_value(then.get(key)))


def _flat(policy: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in policy.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _value(value: Any) -> str:
    """As it is written in a policy."""
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    if isinstance(value, bool):
        value = str(value).lower()
    return str(value) if value not in ("", None) else say("plan.different.nothing")


def _of_machines(plan: Plan, before: Plan) -> Iterator[str]:
    now, then = names_of(plan), names_of(before)
    more = [now[key] for key in now if key not in then]
    less = [then[key] for key in then if key not in now]
    if more:
        yield say("plan.different.more", count=len(more), names=more)
    if less:
        yield say("plan.different.less", count=len(less), names=less)
    canary = _canary(plan)
    if canary and canary.keys() != _canary(before).keys():
        yield say("plan.different.canary", names=list(canary.values()))


def _canary(plan: Plan) -> dict[str, str]:
    return {
        subject_of_item(one).key: one["name"] or one["instanceId"]
        for one in plan["machines"]
        if plan["waves"][one["wave"]]["isCanary"]
    }


def _of_documents(plan: Plan, before: Plan) -> Iterator[str]:
    now, then = plan.get("documents", {}), before.get("documents", {})
    for name in sorted(now.keys() & then.keys()):
        if now[name]["version"] != then[name]["version"]:
            yield say("plan.different.document", name=name, now=now[name]["version"], before=then[name]["version"])
        elif now[name] != then[name]:
            yield say("plan.different.content", name=name, now=now[name]["version"])
