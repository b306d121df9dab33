"""Messages as people read them: what happened, to which machine, what state it is in, what to do, where to look."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from drydock.times import for_people, from_text

_MOST_SUBJECT = 99
"""SNS: fewer than 100 characters, no line breaks or control characters."""

_MOST_TEXT = 80_000
"""Bytes of JSON. SNS takes 262,144 for all protocols and the attributes together; the text goes into it twice."""

_MOST_CHAT_TITLE, _MOST_CHAT_TEXT, _MOST_CHAT_STEP, _MOST_CHAT_STEPS = 250, 8_000, 350, 10
"""AWS Chatbot: so many characters; the number of steps is ours."""

_CUT = "… (cut: the message is longer than can be sent)"
NEXT_STEPS = "What to do next"
"""The heading of what people should do: indented lines follow, and an empty line ends them."""

VERDICTS = {
    "compliant": "nothing is missing",
    "failed": "the installation failed; patches are missing",
    "not_patched": "nothing was installed",
    "patched_reported_failed": "nothing is missing, although the installation reported failure",
    "pending_reboot": "installed; a reboot is still pending",
    "scanned": "looked at only",
    "still_missing": "patches are still missing",
    "unknown": "it is not known what is installed",
    "up_to_date": "its agents were up to date already",
    "updated": "agents were updated",
    "updated_reported_failed": "agents were updated, although a command reported failure",
}

_AGENT_VERDICTS = {
    "failed": "an agent could not be updated",
    "not_patched": "no agent was updated",
    "unknown": "it is not known which agents are installed",
}
"""What these verdicts mean where agents were to be updated."""

DONE = {"Install": "patched", "Scan": "scanned", "UpdateAgents": "brought up to date"}
"""What was done to machines, by the operation."""

WANTED = {"Install": "patch", "Scan": "scan", "UpdateAgents": "update the agents of"}
"""What is to be done to them."""

_ADVICE = {
    "ABORTED": "Somebody stopped it. Start it again when that suits you.",
    "AgentNotReadyError": "Check the SSM Agent and the instance profile, then start the execution again.",
    "AgentUnreachableError": "Check the SSM Agent and the instance profile, then start the execution again.",
    "AgentUpdateFailedError": "Look at the update's output in the log bucket, then start the execution again.",
    "AgentVersionUnknownError": "Run the stack's Probe document on the machine to see its agents.",
    "AlarmRingingError": "See why the alarm rings. Take up what is left once it is quiet.",
    "ApprovalRejectedError": "Ask who rejected it for the reason, then start another run.",
    "ApprovalTimedOutError": "Start another run when an approver can answer, or raise policy.approval.seconds.",
    "AwsCallFailedError": "Read the refused call above; often a permission or a quota. Then start it again.",
    "CanaryFailedError": "Look at the machines of the canary, then take up the run: it has a new canary.",
    "BudgetSpentError": "See why the failed machines failed before you take up what is left.",
    "CalendarClosedError": "Take up what is left once the calendar is open again.",
    "CommandNotDeliveredError": "Check the SSM Agent on the machine, then start the execution again.",
    "CommandTimedOutError": "Look at the command's output; raise policy.deadlines if the machine is just slow.",
    "CommandsNotSettledError": "A command is still at work. Look at the machine before you touch its power.",
    "DeadlineReachedError": "Take up what is left in the next window, or give runs more time or concurrency.",
    "DocumentError": "Correct the policy or create the document, then start the execution again.",
    "GroupBusyError": "Wait for the other execution, then start this one again.",
    "GroupNotFoundError": "Check the group's name, account and Region; nothing was touched.",
    "GroupNotReadyError": "See in the group's activities why it refuses the change, then start it again.",
    "GroupNotRestoredError": "Look at the group's members and sizes now; the notes above say what is left.",
    "GroupTooLargeError": "Name some of its members in only, and the others in another roll; nothing was touched.",
    "GroupWeightedError": "Use an instance refresh for it, or remove the weights; nothing was touched.",
    "HealthCheckFailedError": "The machine is patched but its health probe fails: look at it now.",
    "HookFailedError": "Look at the hook's output in the log bucket.",
    "ImageFailedError": "No patch without a good backup: see why EC2 could not make the image.",
    "ImageTimedOutError": "No patch without a good backup: raise policy.deadlines.imageSeconds if volumes are large.",
    "InServiceTimedOutError": "Look at the member's health in its group and target groups now.",
    "InstanceBusyError": "Wait for the other execution, then start this one again.",
    "InstanceDoneError": "Another execution did the same already. Nothing is left to do.",
    "InstanceExcludedError": "Remove the tag DrydockExclude if the machine may be patched.",
    "InstanceInGroupError": "Start a run, or the roll through its Auto Scaling group: it patches members in service.",
    "InstanceStartFailedError": "Start the machine by hand to see EC2's reason; check KMS keys and capacity.",
    "InstanceStoppedError": "Somebody stopped the machine; Drydock left it so. Start the execution again later.",
    "InstanceTerminatedError": "The machine is gone. Nothing is left to do for Drydock.",
    "InstanceRefreshAtWorkError": "Wait for the instance refresh or cancel it, then start this one again.",
    "InstanceUnmanagedError": "Make it a managed node (SSM Agent, instance profile, route), then try again.",
    "InvalidInputError": "Correct the input; nothing was touched.",
    "InvalidPolicyError": "Correct the policy; nothing was touched.",
    "MachinesFailedError": "Read why each machine failed; start it again for the others once that is mended.",
    "MemberGoneError": "The group terminated the member or gave it away. Nothing is left to do for Drydock.",
    "MemberNotReadyError": "See in the group's activities what keeps the member on its way.",
    "MemberNotSparedError": "Raise the desired capacity, set policy.capacity to surge, or lower policy.minHealthy.",
    "MemberOvertakenError": "Start it again for the members that were not attempted, with a smaller batch.",
    "NoMemberInServiceError": "See in the group's activities why no member serves; nothing was touched.",
    "PatchesStillMissingError": "Look at the installation's output for each patch that is missing.",
    "PatchingFailedError": "Look at the installation's output; roll back from the image before if needed.",
    "PlanChangedError": "The stored plan is not the approved one. Plan and approve anew.",
    "PowerNotRestoredError": "Drydock goes on trying; stop the machine by hand if it must not run.",
    "ProcessSuspendedError": "Resume the process that the reason names, then start again; nothing was touched.",
    "RebootPendingError": "Reboot the machine when it suits you.",
    "RollStoppedError": "See why it stopped. Start it again for the members that were not attempted.",
    "RunIncompleteError": "Take up what is left of the run; its report names the machines.",
    "RunNotFoundError": "Check the run id: there is no such run, or it cannot be taken up.",
    "RunOverError": "The run is over, or its name is another's. Start a new one.",
    "RunStillWorkingError": "Let the earlier run end, or stop it with `drydock stop`.",
    "RunStoppedError": "Somebody stopped the run. Take up what is left when that suits you.",
    "ServiceUnavailableError": "AWS did not answer for some time. Start it again; raise quotas if that goes on.",
    "StandbyTimedOutError": "See in the group's activities why the member does not leave; raise standbySeconds.",
    "SurgeNotPossibleError": "Change what the reason names, or set policy.surgeFallback to reduce.",
    "TIMED_OUT": "It took longer than it may. Look at its history for what it waited for.",
    "VerdictUnknownError": "Run a Scan to see what is installed.",
}


@dataclass(frozen=True)
class Place:
    """Where the machine is, and in which zone people read times."""

    partition: str
    account: str
    region: str
    time_zone: str


def one_line(text: str) -> str:
    """Text of others, such as a Name tag, as it may stand inside a line."""
    return "".join(character if character.isprintable() else " " for character in text)


def cut(text: str, most: int) -> str:
    """At most so many characters; an ellipsis stands for the rest."""
    return text if len(text) <= most else text[: most - 1] + "…"


def subject_line(text: str) -> str:
    """A subject that SNS takes."""
    return cut(one_line(text), _MOST_SUBJECT)


def advice_for(error: str) -> str:
    """What to do next about an error, by the name of its class or the status of an execution."""
    return _ADVICE.get(error, "Read the reason above, then start the execution again.")


def machine_text(instance_id: str, name: str) -> str:
    return f"{name} ({instance_id})" if name else instance_id


_CONSOLES = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}


def _console(place: Place) -> str:
    return f"https://{place.region}.{_CONSOLES.get(place.partition, 'console.aws.amazon.com')}"


def console_link(execution: str, place: Place) -> str:
    return f"{_console(place)}/states/home?region={place.region}#/v2/executions/details/{execution}"


def object_link(bucket: str, key: str, place: Place) -> str:
    """Where the console shows an object of S3. Without an ampersand, which chat clients may spoil."""
    return f"{_console(place)}/s3/object/{bucket}?prefix={quote(key)}"


def windows_link(place: Place) -> str:
    """Where the console lists the maintenance windows."""
    return f"{_console(place)}/systems-manager/maintenance-windows?region={place.region}"


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


def success_message(result: Mapping[str, Any], place: Place) -> tuple[str, str]:
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
    place: Place,
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
        f"  Account {place.account}, Region {place.region}",
        f"  At {for_people(from_text(ended), place.time_zone)}",
        f"  The machine is {power or 'not known'} now. {state}",
        *details,
        "",
        NEXT_STEPS,
        f"  {advice_for(failure['error'])}",
        *_where(place, execution),
    ]
    return subject_line(f"Drydock: {machine} {what}: {failure['error']}"), "\n".join(lines)


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
        NEXT_STEPS,
        "  Look at the machine. Once nothing runs on it any more you may set its power yourself;",
        "  Drydock then ends its lease at the next pass.",
        *_where(place, execution),
    ]
    return subject_line(f"Drydock: {machine} could not be given back yet"), "\n".join(lines)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _json_bytes(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())


def _sendable(text: str) -> str:
    """What SNS takes: UTF-8 without control characters, short enough. Lines that do not fit are left out."""
    clean = _CONTROL.sub(" ", text.encode(errors="replace").decode())
    if _json_bytes(clean) <= _MOST_TEXT:
        return clean
    kept: list[str] = []
    left = _MOST_TEXT - _json_bytes(_CUT)
    for line in clean.split("\n"):
        size = _json_bytes(line)
        if size > left:
            # No character is longer than four bytes.
            kept.append(line[: left // 4])
            break
        kept.append(line)
        left -= size
    return "\n".join([*kept, _CUT])


def _escape(text: str) -> str:
    """Text of others without the mentions and links of Slack's markdown. An ampersand is left alone: it is in links."""
    return text.replace("<", "&lt;").replace(">", "&gt;")


def _for_chat(text: str, most: int) -> str:
    """At most so many characters of a line; no escape is cut in two."""
    escaped = _escape(text)
    return escaped if len(escaped) <= most else re.sub(r"&[lg]?t?$", "", escaped[: most - 1]) + "…"


def _description(lines: Sequence[str]) -> str:
    """The text of a chat message, cut at the end of a line, so that no link is cut in two."""
    shown = [_for_chat(line, _MOST_CHAT_TEXT // 2) for line in lines]
    if len("\n".join(shown)) <= _MOST_CHAT_TEXT:
        return "\n".join(shown)
    kept: list[str] = []
    left = _MOST_CHAT_TEXT - len(_CUT)
    for line in shown:
        left -= len(line) + 1
        if left < 0:
            break
        kept.append(line)
    return "\n".join([*kept, _CUT])


def _part_next_steps(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """What to do next, and the other lines. Steps that a chat message would cut stay where they are."""
    if NEXT_STEPS not in lines:
        return [], list(lines)
    begin = lines.index(NEXT_STEPS)
    end = next((number for number in range(begin, len(lines)) if not lines[number].strip()), len(lines))
    steps = [line.strip() for line in lines[begin + 1 : end]]
    if len(steps) > _MOST_CHAT_STEPS or any(len(_escape(step)) > _MOST_CHAT_STEP for step in steps):
        return [], list(lines)
    return steps, [*lines[:begin], *lines[end + 1 :]]


def _chat_notification(subject: str, text: str, *, thread: str, event: str, resources: Sequence[str]) -> dict[str, Any]:
    """A message in the schema of AWS Chatbot's custom notifications (Amazon Q Developer in chat applications).

    Messages of one thread are shown together.
    """
    steps, lines = _part_next_steps(text.split("\n"))
    content: dict[str, Any] = {
        "textType": "client-markdown",
        "title": _for_chat(subject, _MOST_CHAT_TITLE),
        "description": _description(lines),
    }
    if steps:
        content["nextSteps"] = [_escape(step) for step in steps]
    return {
        "version": "1.0",
        "source": "custom",
        "content": content,
        "metadata": {
            "threadId": thread,
            "summary": content["title"],
            "eventType": event,
            "relatedResources": list(resources),
        },
    }


def wrap_for_protocols(subject: str, text: str, *, thread: str, event: str, resources: Sequence[str]) -> str:
    """A message as SNS takes it with MessageStructure=json: text for mail, AWS Chatbot's schema for https."""
    plain = _sendable(text)
    chat = _chat_notification(subject, plain, thread=thread, event=event, resources=resources)
    return json.dumps(
        {"default": plain, "email": plain, "https": json.dumps(chat, ensure_ascii=False)}, ensure_ascii=False
    )
