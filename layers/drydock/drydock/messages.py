"""Messages as people read them: what happened, to which machine, what state it is in, what to do, where to look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drydock.times import for_people, from_text

_MOST_SUBJECT = 99
"""SNS: fewer than 100 characters, no line breaks or control characters."""

VERDICTS = {
    "compliant": "nothing is missing",
    "failed": "the installation failed; patches are missing",
    "not_patched": "nothing was installed",
    "patched_reported_failed": "nothing is missing, although the installation reported failure",
    "pending_reboot": "installed; a reboot is still pending",
    "scanned": "looked at only",
    "still_missing": "patches are still missing",
    "unknown": "it is not known what is installed",
}

_ADVICE = {
    "AgentNotReadyError": "Check the SSM Agent and the instance profile, then start the execution again.",
    "AgentUnreachableError": "Check the SSM Agent and the instance profile, then start the execution again.",
    "AwsCallFailedError": "Read the refused call above; often a permission or a quota. Then start it again.",
    "CommandNotDeliveredError": "Check the SSM Agent on the machine, then start the execution again.",
    "CommandTimedOutError": "Look at the command's output; raise policy.deadlines if the machine is just slow.",
    "CommandsNotSettledError": "A command is still at work. Look at the machine before you touch its power.",
    "DocumentError": "Correct the policy or create the document, then start the execution again.",
    "HealthCheckFailedError": "The machine is patched but its health probe fails: look at it now.",
    "HookFailedError": "Look at the hook's output in the log bucket.",
    "ImageFailedError": "No patch without a good backup: see why EC2 could not make the image.",
    "ImageTimedOutError": "No patch without a good backup: raise policy.deadlines.imageSeconds if volumes are large.",
    "InstanceBusyError": "Wait for the other execution, then start this one again.",
    "InstanceExcludedError": "Remove the tag DrydockExclude if the machine may be patched.",
    "InstanceInGroupError": "Drydock does not patch members of Auto Scaling groups yet.",
    "InstanceStartFailedError": "Start the machine by hand to see EC2's reason; check KMS keys and capacity.",
    "InstanceStoppedError": "Somebody stopped the machine; Drydock left it so. Start the execution again later.",
    "InstanceTerminatedError": "The machine is gone. Nothing is left to do for Drydock.",
    "InstanceUnmanagedError": "Make it a managed node (SSM Agent, instance profile, route), then try again.",
    "InvalidInputError": "Correct the input; nothing was touched.",
    "InvalidPolicyError": "Correct the policy; nothing was touched.",
    "PatchesStillMissingError": "Look at the installation's output for each patch that is missing.",
    "PatchingFailedError": "Look at the installation's output; roll back from the image before if needed.",
    "PowerNotRestoredError": "Drydock goes on trying; stop the machine by hand if it must not run.",
    "RebootPendingError": "Reboot the machine when it suits you.",
    "VerdictUnknownError": "Run a Scan to see what is installed.",
}


@dataclass(frozen=True)
class Place:
    """Where the machine is, and in which zone people read times."""

    partition: str
    account: str
    region: str
    time_zone: str


def _subject(text: str) -> str:
    clean = "".join(character if character.isprintable() else " " for character in text)
    return clean if len(clean) <= _MOST_SUBJECT else clean[: _MOST_SUBJECT - 1] + "…"


def machine_text(instance_id: str, name: str) -> str:
    return f"{name} ({instance_id})" if name else instance_id


_CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}


def console_link(execution: str, place: Place) -> str:
    console = _CONSOLES.get(place.partition, "console.aws.amazon.com")
    return f"https://{place.region}.{console}/states/home?region={place.region}#/v2/executions/details/{execution}"


def _where(place: Place, execution: str) -> list[str]:
    return ["", "Where to look", f"  Execution: {console_link(execution, place)}"]


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


def _images(result: Mapping[str, Any]) -> list[str]:
    images = {moment: id for moment, id in (result.get("images") or {}).items() if id}
    return [f"  Image {moment}: {id}" for moment, id in images.items()]


def success_message(result: Mapping[str, Any], place: Place) -> tuple[str, str]:
    """Subject and text for a machine that went well."""
    machine = machine_text(result["instanceId"], result.get("name", ""))
    verb = "scanned" if result["verdict"] == "scanned" else "patched"
    lines = [
        f"{machine} was {verb}: {VERDICTS[result['verdict']]}.",
        "",
        f"  Account {place.account}, Region {place.region}",
        f"  From {for_people(from_text(result['startedAt']), place.time_zone)}",
        f"  to {for_people(from_text(result['endedAt']), place.time_zone)}",
        f"  Power: {result['powerBefore']} before, {result['powerAfter']} now",
        f"  Rebooted: {'yes' if result['rebooted'] else 'no'}",
        *_counts(result),
        *[f"  Hook {hook}: {outcome}" for hook, outcome in result.get("hooks", {}).items()],
        *_images(result),
        *[f"  Note: {problem}" for problem in result.get("problems", [])],
        *_where(place, result["execution"]),
    ]
    return _subject(f"Drydock: {machine} was {verb}"), "\n".join(lines)


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
    place: Place,
) -> tuple[str, str]:
    """Subject and text for an execution that failed, was refused, or was killed.

    `state` says in words what becomes of the machine; `ended` is an ISO time.
    """
    machine = machine_text(instance_id, name)
    refused = result is not None and result["outcome"] == "refused"
    what = "was refused" if refused else "was not patched well"
    details = (
        []
        if result is None or refused
        else [
            f"  Verdict: {VERDICTS[result['verdict']]}",
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
        f"  Account {place.account}, Region {place.region}",
        f"  At {for_people(from_text(ended), place.time_zone)}",
        f"  The machine is {power or 'not known'} now. {state}",
        *details,
        "",
        "What to do next",
        f"  {_ADVICE.get(failure['error'], 'Read the reason above, then start the execution again.')}",
        *_where(place, execution),
    ]
    return _subject(f"Drydock: {machine} {what}: {failure['error']}"), "\n".join(lines)


def not_given_back_message(
    *, instance_id: str, name: str, execution: str, hindrance: str, power: str, place: Place
) -> tuple[str, str]:
    """Subject and text for a machine that Drydock could not give back for a long time."""
    machine = machine_text(instance_id, name)
    lines = [
        f"{machine} could not be given back yet: {hindrance}.",
        "",
        f"  Account {place.account}, Region {place.region}",
        f"  The machine is {power or 'not known'} now. Drydock keeps its lease and goes on trying.",
        "",
        "What to do next",
        "  Look at the machine. Once nothing runs on it any more you may set its power yourself;",
        "  Drydock then ends its lease at the next pass.",
        *_where(place, execution),
    ]
    return _subject(f"Drydock: {machine} could not be given back yet"), "\n".join(lines)
