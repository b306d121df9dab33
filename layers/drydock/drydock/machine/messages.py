"""Messages about one machine, as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drydock.telling.text import NEXT_STEPS, VERDICTS, Location, _where, advice_for, machine_text, subject_line
from drydock.times import for_people, from_text

_AGENT_VERDICTS = {
    "failed": "an agent could not be updated",
    "not_patched": "no agent was updated",
    "unknown": "it is not known which agents are installed",
}
"""What these verdicts mean where agents were to be updated."""


def _counts(result: Mapping[str, Any]) -> list[str]:
    patches = result.get("patches") or {}
    before, after = patches.get("before") or {}, patches.get("after") or {}
    if not after:
        return []
    lines = [f"  Missing patches: {_count(before.get('missing', -1))} before, {_count(after.get('missing', -1))} after"]
    installed = patches.get("installed") or []
    if installed:
        lines.append(f"  Installed: {', '.join(installed[:20])}")
    return lines


def _count(count: int) -> str:
    return "unknown" if count < 0 else str(count)


def _agents(result: Mapping[str, Any]) -> list[str]:
    """Each agent that was to be updated, with its versions."""
    return [_agent(update) for update in result.get("agents") or []]


def _agent(update: Mapping[str, Any]) -> str:
    if update["before"] == update["after"]:
        return f"{update['name']} {update['after'] or 'not installed'}"
    return f"{update['name']} {update['before'] or 'not installed'} → {update['after'] or 'not known'}"


def _is_of_agents(result: Mapping[str, Any] | None) -> bool:
    return result is not None and result.get("operation") == "UpdateAgents"


def _verdict(result: Mapping[str, Any]) -> str:
    verdict = str(result["verdict"])
    return _AGENT_VERDICTS.get(verdict, VERDICTS[verdict]) if _is_of_agents(result) else VERDICTS[verdict]


def _images(result: Mapping[str, Any]) -> list[str]:
    images = {moment: id for moment, id in (result.get("images") or {}).items() if id}
    return [f"  Image {moment}: {id}" for moment, id in images.items()]


def success_message(result: Mapping[str, Any], location: Location) -> tuple[str, str]:
    """Subject and text for a machine that went well."""
    machine = machine_text(result["instanceId"], result.get("name", ""))
    if _is_of_agents(result):
        subject = f"Drydock: {machine}: {_verdict(result)}"
        first = f"{machine}: {_verdict(result)}: {', '.join(_agents(result))}."
    else:
        verb = "scanned" if result["verdict"] == "scanned" else "patched"
        subject = f"Drydock: {machine} was {verb}"
        first = f"{machine} was {verb}: {_verdict(result)}."
    lines = [
        first,
        "",
        f"  Account {location.account}, Region {location.region}",
        f"  From {for_people(from_text(result['startedAt']), location.time_zone)}",
        f"  to {for_people(from_text(result['endedAt']), location.time_zone)}",
        f"  Power: {result['powerBefore']} before, {result['powerAfter']} now",
        f"  Rebooted: {'yes' if result['rebooted'] else 'no'}",
        *_counts(result),
        *[f"  Hook {hook}: {outcome}" for hook, outcome in result.get("hooks", {}).items()],
        *_images(result),
        *[f"  Note: {problem}" for problem in result.get("problems", [])],
        *_where(location, result["execution"]),
    ]
    return subject_line(subject), "\n".join(lines)


def failure_message(
    *,
    instance_id: str,
    name: str,
    execution: str,
    failure: Mapping[str, str],
    ended: str,
    power: str,
    state: str,
    result: Mapping[str, Any] | None,
    location: Location,
) -> tuple[str, str]:
    """Subject and text for an execution that failed, was refused, or was killed.

    `state` says in words what becomes of the machine; `ended` is an ISO time.
    """
    machine = machine_text(instance_id, name)
    refused = result is not None and result["outcome"] == "refused"
    badly = "was not updated well" if _is_of_agents(result) else "was not patched well"
    what = "was refused" if refused else badly
    details = (
        []
        if result is None or refused
        else [
            f"  Verdict: {_verdict(result)}",
            *[f"  {agent}" for agent in _agents(result)],
            *_counts(result),
            *[f"  Hook {hook}: {outcome}" for hook, outcome in (result.get("hooks") or {}).items()],
            *_images(result),
            *[f"  Note: {problem}" for problem in result.get("problems") or []],
        ]
    )
    lines = [
        f"{machine} {what}: {failure['cause'] or failure['error']}",
        "",
        f"  Reason: {failure['error']}",
        f"  Account {location.account}, Region {location.region}",
        f"  At {for_people(from_text(ended), location.time_zone)}",
        f"  The machine is {power or 'not known'} now. {state}",
        *details,
        "",
        NEXT_STEPS,
        f"  {advice_for(failure['error'])}",
        *_where(location, execution),
    ]
    return subject_line(f"Drydock: {machine} {what}: {failure['error']}"), "\n".join(lines)


def not_given_back_message(
    *, instance_id: str, name: str, execution: str, hindrance: str, power: str, location: Location
) -> tuple[str, str]:
    """Subject and text for a machine that Drydock could not give back for a long time."""
    machine = machine_text(instance_id, name)
    lines = [
        f"{machine} could not be given back yet: {hindrance}.",
        "",
        f"  Account {location.account}, Region {location.region}",
        f"  The machine is {power or 'not known'} now. Drydock keeps its lease and goes on trying.",
        "",
        NEXT_STEPS,
        "  Look at the machine. Once nothing runs on it any more you may set its power yourself;",
        "  Drydock then ends its lease at the next pass.",
        *_where(location, execution),
    ]
    return subject_line(f"Drydock: {machine} could not be given back yet"), "\n".join(lines)
